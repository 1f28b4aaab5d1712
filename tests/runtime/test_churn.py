"""Sessions one after another, each ended in another way, leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import tracemalloc
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import attrs
import pytest

from convsm import (
    AsyncAudioInterface,
    AsyncConversation,
    AudioError,
    AudioInterface,
    ClientTools,
    Conversation,
    ConvsmError,
    ElevenLabs,
    SessionOptions,
)
from convsm.testing import (
    CallTool,
    Close,
    Drop,
    HoldHandshake,
    IgnoreClose,
    LoopbackAgent,
    RefuseHandshake,
    Say,
    WaitForInitiation,
)
from tests.runtime.helpers import PATIENCE, join_threads

# Rounds of all ways: 210 sessions, 2,010 with --long. Those before them fill what is kept on purpose:
# imports, the executor's thread.
ROUNDS, LONG_ROUNDS, FIRST_ROUNDS = 14, 134, 2

# What the interpreter's own tables may grow by, altogether and a session; a session takes 40 kB.
SPARE_BYTES, SPARE_BYTES_A_SESSION = 50_000, 100


class Interrupted(Exception):
    """The body of a conversation does not go on."""


@attrs.frozen
class Way:
    """One way to end.

    Attributes:
        reason: Why it ended, as users are told.
        script: What the agent does.
        by: Who ends it: ``peer`` (or the session itself), ``end`` (the user's call), ``early end`` (the
            same while it connects), ``body`` (what it is a context manager of raises), and on an event
            loop ``wait`` and ``task`` (the task is cancelled in wait_for_session_end, in the body).
        agent: Options of the agent.
        options: Arguments of the conversation.
        session: Options of the session.
        is_reachable: Whether the agent is there at all.
        has_broken_audio: Whether the audio interface cannot be opened.
    """

    reason: str
    script: tuple[Any, ...] = ()
    by: str = "peer"
    agent: Mapping[str, Any] = attrs.field(factory=dict)
    options: Mapping[str, Any] = attrs.field(factory=dict)
    session: SessionOptions | None = None
    is_reachable: bool = True
    has_broken_audio: bool = False


CALL = CallTool("wait", "call_1")

WAYS = {
    "the user": Way("user", by="end"),
    "the user while the agent speaks": Way("user", (Say("Hello!", seconds=5),), by="end"),
    "the user while a tool runs": Way("user", (CALL,), by="end"),
    "the user while it connects": Way("user", (HoldHandshake(PATIENCE),), by="early end"),
    "an exception of the user's": Way("user", by="body"),
    "the agent": Way("agent", (Say("Bye.", seconds=0.01), Close(1000))),
    "the agent while a tool runs": Way("agent", (CALL, Close(1000))),
    "an error": Way("error", (Close(1011, "out of order"),)),
    "a lost connection": Way("error", (Drop(),)),
    "a refused handshake": Way("error", (RefuseHandshake(403),)),
    "nobody there": Way("error", is_reachable=False),
    "a refused signature": Way("error", agent={"api_key": "other"}, options={"requires_auth": True}),
    "no acceptance": Way(
        "error",
        (WaitForInitiation(),),
        agent={"opening": False},
        session=SessionOptions(ready_seconds=0.01),
    ),
    "a close frame ignored": Way(
        "user", (IgnoreClose(),), by="end", session=SessionOptions(close_seconds=0.005)
    ),
    "broken audio": Way("error", has_broken_audio=True),
}
TASK_WAYS = {
    "a cancelled wait": Way("user", by="wait"),
    "a cancelled body": Way("user", (Say("Hello!", seconds=5),), by="task"),
}


class Audio(AudioInterface):
    """Drops what it is given."""

    def __init__(self, is_broken: bool) -> None:
        self._is_broken = is_broken

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        if self._is_broken:
            raise AudioError("no microphone")
        input_callback(bytes(320))

    def stop(self) -> None:
        pass

    def output(self, audio: bytes) -> None:
        pass

    def interrupt(self) -> None:
        pass


class AsyncAudio(AsyncAudioInterface):
    """Waits with what it is given, as far as it may."""

    def __init__(self, is_broken: bool) -> None:
        self._is_broken = is_broken

    async def start(self, input_callback: Any) -> None:
        if self._is_broken:
            raise AudioError("no microphone")
        await input_callback(bytes(320))

    async def stop(self) -> None:
        await asyncio.sleep(0)

    async def output(self, audio: bytes) -> None:
        await asyncio.sleep(0.01)

    async def interrupt(self) -> None:
        await asyncio.sleep(0)


def arguments(way: Way, agent: LoopbackAgent, tools: ClientTools, told: list[str]) -> dict[str, Any]:
    # Nothing listens on the discard port.
    url = agent.base_url if way.is_reachable else "http://127.0.0.1:9"
    return {
        "client": ElevenLabs(api_key="key", base_url=url),
        "agent_id": "agent_1",
        "requires_auth": False,
        "client_tools": tools,
        "session_options": way.session,
        "callback_disconnect": lambda details: told.append(details.reason),
        "callback_agent_response": lambda text: None,
        **way.options,
    }


def converse(way: Way) -> None:
    """Hold one conversation on threads and end it."""
    told: list[str] = []
    is_over = threading.Event()
    tools = ClientTools()
    tools.register("wait", lambda parameters: is_over.wait(PATIENCE))
    with LoopbackAgent(list(way.script), **way.agent) as agent:
        held = Conversation(**arguments(way, agent, tools, told), audio_interface=Audio(way.has_broken_audio))
        if way.by == "body":
            with suppress(Interrupted), held:
                raise Interrupted
        else:
            held.start_session()
            if way.by == "end":
                held.wait_until_ready(PATIENCE)
            elif way.by == "early end":
                agent.wait_for_connection()
            if way.by != "peer":
                held.end_session()
            with suppress(ConvsmError):
                held.wait_for_session_end()
        is_over.set()
        join_threads()
        agent.forgive()
    assert told == [way.reason]


async def converse_on_a_loop(way: Way) -> None:
    """Do the same in tasks."""
    told: list[str] = []
    tools = ClientTools()

    async def wait(parameters: Any) -> None:
        await asyncio.sleep(PATIENCE)

    tools.register("wait", wait, is_async=True)
    with LoopbackAgent(list(way.script), **way.agent) as agent:
        held = AsyncConversation(
            **arguments(way, agent, tools, told), audio_interface=AsyncAudio(way.has_broken_audio)
        )
        if way.by in ("body", "task"):
            await _leave_body(held, way.by)
        else:
            await held.start_session()
            if way.by == "end":
                await held.wait_until_ready(PATIENCE)
            elif way.by == "early end":
                await asyncio.sleep(0.002)
            if way.by in ("end", "early end"):
                await held.end_session()
            waiting = asyncio.ensure_future(held.wait_for_session_end())
            if way.by == "wait":
                await held.wait_until_ready(PATIENCE)
                waiting.cancel()
            with suppress(ConvsmError, asyncio.CancelledError):
                await waiting
        agent.forgive()
    assert told == [way.reason]
    assert held.state == "idle"


async def _leave_body(held: AsyncConversation, by: str) -> None:
    is_inside = asyncio.Event()

    async def hold() -> None:
        async with held:
            is_inside.set()
            if by == "body":
                raise Interrupted
            await asyncio.sleep(PATIENCE)

    task = asyncio.ensure_future(hold())
    if by == "task":
        await is_inside.wait()
        task.cancel()
    with suppress(Interrupted, asyncio.CancelledError):
        await task


@attrs.frozen
class Holdings:
    """What this process holds."""

    threads: int
    files: int
    objects: Counter[str]
    size: int = attrs.field(eq=False)

    @classmethod
    def count(cls) -> Holdings:
        # Each agent has a port of its own, so that there is always a new URL to be kept there.
        urllib.parse.clear_cache()  # type: ignore[attr-defined]
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
        kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
        ours = ("convsm", "asyncio", "_asyncio", "websockets", "websocket", "socket", "threading", "_thread")
        return cls(
            threading.active_count(),
            len(os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else 0,
            Counter({kind: count for kind, count in kinds.items() if kind.split(".")[0] in ours}),
            size,
        )

    def assert_back(self, sessions: int) -> None:
        """Assert that after so many sessions this is what the process holds again."""
        now = Holdings.count()
        assert (now.objects - self.objects, self.objects - now.objects) == (Counter(), Counter())
        assert now == self
        if threading.gettrace() is not None:
            return  # the tracer of new threads keeps what it saw
        left = now.size - self.size
        assert left < SPARE_BYTES + SPARE_BYTES_A_SESSION * sessions, f"{left} bytes are left"


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return LONG_ROUNDS if request.config.getoption("--long") else ROUNDS


@pytest.fixture
def only_what_is_held_counts() -> Iterator[None]:
    """Nothing is logged, for pytest keeps the records with the exceptions in them; sizes are traced."""
    logging.disable(logging.CRITICAL)
    tracemalloc.start()
    yield
    tracemalloc.stop()
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("untraced", "only_what_is_held_counts")
def test_sessions_on_threads_leave_nothing_behind(rounds):
    def hold(count: int) -> None:
        for _ in range(count):
            for way in WAYS.values():
                converse(way)

    hold(FIRST_ROUNDS)
    before = Holdings.count()
    hold(rounds)
    before.assert_back(rounds * len(WAYS))


@pytest.mark.usefixtures("untraced", "only_what_is_held_counts")
def test_sessions_on_a_loop_leave_nothing_behind(rounds):
    ways = [*WAYS.values(), *TASK_WAYS.values()]

    async def hold(count: int) -> None:
        for _ in range(count):
            for way in ways:
                await converse_on_a_loop(way)
                assert asyncio.all_tasks() == {asyncio.current_task()}
        # The loop holds the task that woke this one, until this one has been woken by another.
        await asyncio.sleep(0)

    async def main() -> None:
        # One thread: whether a pool starts another depends on how soon the first is seen to be idle.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        await hold(FIRST_ROUNDS)
        before = Holdings.count()
        await hold(rounds)
        before.assert_back(rounds * len(ways))

    asyncio.run(main())
