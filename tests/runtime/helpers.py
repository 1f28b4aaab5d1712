"""What the tests of the threaded runtime share: logs to wait on, audio interfaces, conversations."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest

from convsm import (
    AudioInterface,
    Conversation,
    ConvsmError,
    DisconnectionDetails,
    ElevenLabs,
    OpenAIRealtime,
    ReportingAudioInterface,
)
from convsm.runtime.async_inbox import AsyncInbox
from convsm.runtime.threaded_driver import ThreadedDriver
from convsm.testing import ConnectionEnded, LoopbackAgent, LoopbackConnection, OpenAILoopbackAgent
from convsm.testing.clock import ManualTimers
from convsm.testing.connection import StepLike
from tests.runtime.hosted import ManualAsyncDriver, run_on_loop, settled

PATIENCE = 5.0  # how long a test waits for what has to come; never what it relies on

BY_USER = DisconnectionDetails("user", None, None, None)

PCM = b"\x01\x02" * 160  # ten milliseconds


class Log:
    """What happened, in order, told by any thread and waited for by the test's."""

    def __init__(self) -> None:
        self._entries: list[Any] = []
        self._changed = threading.Condition()

    def add(self, entry: Any) -> None:
        with self._changed:
            self._entries.append(entry)
            self._changed.notify_all()

    @property
    def entries(self) -> list[Any]:
        with self._changed:
            return list(self._entries)

    def wait_for(self, entry: Any, count: int = 1) -> None:
        """Wait until an entry (or one that meets a predicate) is there so many times."""

        def is_there() -> bool:
            if callable(entry):
                return sum(map(bool, map(entry, self._entries))) >= count
            return self._entries.count(entry) >= count

        with self._changed:
            assert self._changed.wait_for(is_there, PATIENCE), f"{entry!r} is not among {self._entries!r}"


def until(predicate: Callable[[], object]) -> None:
    """Wait until something has come about of which nobody tells."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not predicate():
        assert time.monotonic() < deadline, "it has not come about"
        pause.wait(0.001)


def call(action: Callable[[], object] | None) -> None:
    if action is not None:
        action()


class FakeAudio(AudioInterface):
    """An interface with the four reference methods, which logs and does what the test wants."""

    def __init__(
        self,
        on_start: Callable[[], object] | None = None,
        on_stop: Callable[[], object] | None = None,
        on_output: Callable[[], object] | None = None,
        on_interrupt: Callable[[], object] | None = None,
    ) -> None:
        self.log = Log()
        self.microphone: Callable[[bytes], None] = lambda audio: None
        self.on_start, self.on_stop, self.on_output, self.on_interrupt = (
            on_start,
            on_stop,
            on_output,
            on_interrupt,
        )

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        self.microphone = input_callback
        call(self.on_start)
        self.log.add("start")

    def stop(self) -> None:
        call(self.on_stop)
        self.log.add("stop")

    def output(self, audio: bytes) -> None:
        self.log.add(audio)
        call(self.on_output)

    def interrupt(self) -> None:
        self.log.add("interrupt")
        call(self.on_interrupt)

    @property
    def heard(self) -> bytes:
        return b"".join(entry for entry in self.log.entries if isinstance(entry, bytes))


class ReportingAudio(ReportingAudioInterface):
    """An interface that reports; time passes when the test says that speech was heard."""

    def __init__(self, on_configure: Callable[[], object] | None = None) -> None:
        self.log = Log()
        self.formats: tuple[str, str] | None = None
        self.listener: Any = None
        self.microphone: Callable[[bytes], None] = lambda audio: None
        self.last = 0
        self.on_configure = on_configure

    def configure(self, output_format, input_format, listener) -> None:
        call(self.on_configure)
        self.formats = (output_format.name, input_format.name)
        self.listener = listener

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        self.microphone = input_callback
        self.log.add("start")

    def stop(self) -> None:
        self.log.add("stop")

    def play(self, number: int, audio: bytes) -> None:
        self.last = number
        self.log.add((number, len(audio)))

    def interrupt(self) -> None:
        self.log.add("interrupt")

    def hear(self, through: int | None = None) -> None:
        """Let all speech be heard, or up to a Play."""
        self.listener.played(self.last if through is None else through)


class ManualDriver(ThreadedDriver):
    """A driver whose time is the test's."""

    make_timers = ManualTimers  # type: ignore[assignment]


class ManualConversation(Conversation):
    _driver_class = ManualDriver


# What stands in the place of a conversation's class while a test runs in another shell.
SHELL: dict[type, Any] = {}

ARGUMENTS = {
    "callback_agent_response": "agent",
    "callback_agent_response_correction": "correction",
    "callback_agent_chat_response_part": "part",
    "callback_user_transcript": "user",
    "callback_latency_measurement": "latency",
    "callback_audio_alignment": "alignment",
}


# Callbacks that nothing of OpenAI's calls.
ELEVENLABS_ONLY = (
    "callback_agent_response_correction",
    "callback_latency_measurement",
    "callback_audio_alignment",
)
KEY = "sk-proj-secret_of_the_tests"


class Call:
    """A conversation and what it told.

    With an OpenAILoopbackAgent it speaks that protocol, and ``realtime`` are the session's options.

    Attributes:
        conversation: The conversation.
        log: Callbacks in order: name and arguments; at the end ``("disconnect", details)`` and ``("end",)``.
        states: The states it went through, beginning behind idle.
    """

    def __init__(self, agent: LoopbackAgent | None, **options: Any) -> None:
        self.agent = agent
        self.log = Log()
        self.changes = Log()
        kind = options.pop("kind", Conversation)
        kind = SHELL.get(kind, kind)
        given: dict[str, Any] = {
            **{name: self._teller(told) for name, told in ARGUMENTS.items()},
            "callback_disconnect": self._teller("disconnect"),
            "callback_end_session": self._teller("end"),
            "callback_state_change": self.changes.add,
            **options,
        }
        if isinstance(agent, OpenAILoopbackAgent) or isinstance(given.get("client"), OpenAIRealtime):
            for name in ELEVENLABS_ONLY:
                given.pop(name)
            client: Any = OpenAIRealtime(
                given.pop("realtime", None), api_key=KEY, base_url=f"{agent.base_url}/v1" if agent else ""
            )
        else:
            client = ElevenLabs(base_url=agent.base_url) if agent is not None else None
            given = {"agent_id": "agent_1", "requires_auth": False, **given}
        self.conversation: Conversation = kind(given.pop("client", client), **given)

    def _teller(self, told: str) -> Callable[..., None]:
        return lambda *arguments: self.log.add((told, *arguments))

    @property
    def states(self) -> list[str]:
        return [change.target for change in self.changes.entries]

    @property
    def audio(self) -> Any:
        return self.conversation.audio_interface

    def wait_for_state(self, state: str, count: int = 1) -> None:
        self.changes.wait_for(lambda change: change.target == state, count)

    @property
    def driver(self) -> Any:
        driver = self.conversation._driver
        assert driver is not None
        return driver

    @property
    def timers(self) -> ManualTimers:
        timers: Any = self.driver.timers
        assert isinstance(timers, ManualTimers)
        return timers

    def settle(self) -> None:
        """Wait until all that was posted so far has been taken and its effects were performed."""
        mailbox = self.driver._inbox
        if isinstance(mailbox, AsyncInbox):
            run_on_loop(settled())
            return

        def is_settled() -> bool:
            with mailbox._owner:
                is_empty = not mailbox._queue
            if not is_empty:
                mailbox._wake()  # who posted meanwhile took us for one who works on it
            return is_empty

        until(is_settled)

    def advance(self, seconds: float) -> None:
        """Let virtual time pass, behind all that has happened, and let it take effect."""
        self.settle()
        if isinstance(self.driver._inbox, AsyncInbox):
            run_on_loop(settled(partial(self.timers.advance, seconds)))
        else:
            self.timers.advance(seconds)
        self.settle()

    def start(self, number: int = 0) -> LoopbackConnection:
        """Start, wait until ready, and return the agent's end."""
        assert self.agent is not None
        self.conversation.start_session()
        self.conversation.wait_until_ready(PATIENCE)
        return self.agent.wait_for_connection(number=number)

    def finish(self) -> str | None:
        """Wait for the end and let all threads go."""
        conversation_id = self.conversation.wait_for_session_end()
        join_threads()
        return conversation_id

    @property
    def details(self) -> DisconnectionDetails:
        """The one announcement of the end."""
        [details] = [entry[1] for entry in self.log.entries if entry[0] == "disconnect"]
        assert isinstance(details, DisconnectionDetails)
        assert self.log.entries[-1] == ("end",)
        assert self.log.entries.count(("end",)) == 1
        return details


def assert_over(call: Call, details: DisconnectionDetails = BY_USER) -> None:
    """The end was announced once, and all threads and both ends of the connection are gone."""
    call.finish()
    assert call.details == details
    assert call.states[-2:] == ["closing", "idle"]
    assert call.states.count("idle") == 1
    if call.agent is not None:
        for connection in call.agent.connections:
            assert connection.closed.wait(PATIENCE)


@contextmanager
def conversation(agent: LoopbackAgent | None, **options: Any) -> Iterator[Call]:
    """A conversation that is not left behind, whatever becomes of the test."""
    call = Call(agent, **options)
    try:
        yield call
    finally:
        call.conversation.end_session()
        if isinstance(call.conversation._driver, ManualDriver | ManualAsyncDriver):
            call.advance(100)  # whatever it waits for
        with suppress(ConvsmError, RuntimeError):
            call.conversation.wait_for_session_end()


def provoke(connection: LoopbackConnection, step: StepLike) -> None:
    """Send what ends the conversation; the client may be gone before the call returns."""
    with suppress(ConnectionEnded):
        connection.send(step)


def threads() -> list[threading.Thread]:
    """The threads of conversations that are alive; not those of loopback agents."""
    return [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("convsm-") and not thread.name.startswith("convsm-loopback")
    ]


def join_threads() -> None:
    """Wait until no thread of a conversation is left."""
    for thread in threads():
        if thread is not threading.current_thread():
            thread.join(PATIENCE)
    assert [thread.name for thread in threads() if thread is not threading.current_thread()] == []


def sockets() -> set[str]:
    """The sockets that this process has open."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            if target.startswith("socket:"):
                found.add(target)
    return found


def run(*actions: Callable[[], object]) -> list[threading.Thread]:
    """Start a thread for each action."""
    started = [threading.Thread(target=action, daemon=True) for action in actions]
    for thread in started:
        thread.start()
    return started


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a thread of the test hangs"


def elsewhere(action: Callable[[], Any]) -> Any:
    """Do something on a thread that is not the main one, and return what it returned."""
    results: list[Any] = []
    join(run(lambda: results.append(action())))
    [result] = results
    return result


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Every test of a module that imports this ends without a thread and without a socket of its own."""
    before = sockets() if sys.platform == "linux" else set()
    yield
    join_threads()
    if sys.platform == "linux":
        assert sockets() - before == set()
