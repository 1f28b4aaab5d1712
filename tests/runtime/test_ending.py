"""The end: from anywhere, at any time, announced once, and nothing is left."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from convsm import ClientTools, DisconnectionDetails
from convsm.runtime import conversation as conversation_module
from convsm.testing import (
    CallTool,
    Close,
    CorrectResponse,
    HoldHandshake,
    Interrupt,
    LoopbackAgent,
    Ping,
    Say,
    SendAudio,
    StreamText,
    UserSaid,
    WaitFor,
    WaitForInitiation,
)
from convsm.testing.connection import StepLike
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    BY_USER,
    PATIENCE,
    PCM,
    FakeAudio,
    ReportingAudio,
    assert_over,
    conversation,
    elsewhere,
    join,
    nothing_is_left,
    run,
)

TIMING = {"chars": ["H"], "char_start_times_ms": [0], "char_durations_ms": [90]}


pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


def silent(log):
    return [entry for entry in log.entries if not isinstance(entry, bytes) and entry != "interrupt"]


# From anywhere


def test_from_the_main_thread_and_from_any_other(agent):
    for number, on_a_thread in enumerate([lambda action: action(), elsewhere]):
        with conversation(agent, audio_interface=FakeAudio()) as call:
            connection = call.start(number)
            on_a_thread(call.conversation.end_session)
            assert_over(call)
            assert connection.close_code == 1000


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the platform has no such signal")
@pytest.mark.parametrize("name", ["timers", "notifier", "waiters"])
@pytest.mark.threads_only
def test_from_a_signal_handler_whatever_lock_the_main_thread_holds(name):
    # A handler runs in the main thread between two instructions: it must not wait for what that one holds.
    with LoopbackAgent([HoldHandshake()]) as agent, conversation(agent) as call:
        call.conversation.start_session()
        agent.wait_for_connection()
        locks: dict[str, Any] = {
            "timers": call.driver.timers._condition,
            "notifier": call.driver._notifier._condition,
            "waiters": call.driver.is_over._cond,
        }
        before = signal.signal(signal.SIGUSR1, lambda *_: call.conversation.end_session())
        try:
            with locks[name]:
                signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert_over(call)


CALLBACKS: dict[str, list[StepLike]] = {
    "callback_agent_response": [Say("Hi", PCM)],
    "callback_agent_response_correction": [CorrectResponse("a", "b")],
    "callback_agent_chat_response_part": [StreamText(["Hi"])],
    "callback_user_transcript": [UserSaid("Hi")],
    "callback_latency_measurement": [Ping(1, 42)],
    "callback_audio_alignment": [SendAudio(PCM, alignment=TIMING)],
    "callback_state_change": [],
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_from_any_callback(name):
    with (
        LoopbackAgent(CALLBACKS[name]) as agent,
        conversation(agent, audio_interface=FakeAudio()) as call,
    ):
        told = getattr(call.conversation, name)

        def end(*arguments):
            told(*arguments)
            call.conversation.end_session()

        setattr(call.conversation, name, end)
        call.conversation.start_session()
        call.log.wait_for(("end",))
        assert_over(call)


@pytest.mark.parametrize("name", ["callback_disconnect", "callback_end_session"])
def test_from_the_callbacks_of_the_end_it_does_and_announces_nothing(agent, name):
    with conversation(agent) as call:
        told = getattr(call.conversation, name)

        def end(*arguments):
            call.conversation.end_session()
            told(*arguments)

        setattr(call.conversation, name, end)
        call.start()
        call.conversation.end_session()
        assert_over(call)


@pytest.mark.parametrize("kind", ["plain", "asynchronous", "on a loop of the user's"])
def test_from_any_tool(kind):
    loop = asyncio.new_event_loop() if kind == "on a loop of the user's" else None
    tools = ClientTools(loop=loop)
    runner = run(loop.run_forever) if loop is not None else []
    with LoopbackAgent([CallTool("end")]) as agent, conversation(agent, client_tools=tools) as call:

        async def end_later(_):
            call.conversation.end_session()

        tools.register("end", (lambda _: call.conversation.end_session()) if kind == "plain" else end_later)
        call.conversation.start_session()
        call.log.wait_for(("end",))
        assert_over(call)
        assert agent.wait_for_connection().tool_results == []
    if loop is not None:
        loop.call_soon_threadsafe(loop.stop)
        join(runner)
        loop.close()


@pytest.mark.parametrize("method", ["start", "output", "interrupt", "stop"])
def test_from_inside_any_method_of_the_audio_interface(method):
    heard = threading.Event()
    with LoopbackAgent([SendAudio(PCM, 1), WaitFor(heard), Interrupt(2)]) as agent:
        audio = FakeAudio(on_output=heard.set)
        with conversation(agent, audio_interface=audio) as call:
            setattr(audio, f"on_{method}", call.conversation.end_session)
            call.start()
            if method == "stop":
                audio.log.wait_for("start")
                call.conversation.end_session()
            call.log.wait_for(("end",))
            assert_over(call)
        assert silent(audio.log) == ["start", "stop"]


def test_from_the_thread_of_the_microphone_which_the_stop_waits_for(agent):
    # As a sound card does it: stop() ends the stream and waits for its callback to return.
    microphone: list[threading.Thread] = []

    def speak():
        audio.microphone(PCM)
        call.conversation.end_session()
        audio.microphone(PCM)

    audio = FakeAudio(
        on_start=lambda: microphone.extend(run(speak)),
        on_stop=lambda: join(microphone),
    )
    with conversation(agent, audio_interface=audio) as call:
        call.conversation.start_session()
        call.log.wait_for(("end",))
        assert_over(call)
        assert silent(audio.log) == ["start", "stop"]


# Any number of times


def test_twice_is_once(agent):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        call.start()
        call.conversation.end_session()
        call.conversation.end_session()
        assert_over(call)
        call.conversation.end_session()
        assert_over(call)
        assert silent(call.audio.log) == ["start", "stop"]


def test_from_eight_threads_at_once_is_once(agent):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        call.start()
        barrier = threading.Barrier(8)

        def end():
            barrier.wait()
            call.conversation.end_session()

        join(run(*[end] * 8))
        assert_over(call)
        assert silent(call.audio.log) == ["start", "stop"]


def test_from_both_sides_at_once_is_once():
    for _ in range(15):
        barrier = threading.Barrier(2)

        def meet(connection, barrier=barrier):
            barrier.wait(PATIENCE)

        with LoopbackAgent([meet, Close(1000)]) as agent, conversation(agent) as call:
            call.start()
            barrier.wait(PATIENCE)
            call.conversation.end_session()
            call.finish()
            assert call.details in (BY_USER, DisconnectionDetails("agent", 1000, ""))
            agent.forgive()


# At any time


def test_before_the_start_it_does_and_announces_nothing(agent):
    with conversation(agent) as call:
        call.conversation.end_session()
        assert call.conversation.state == "idle"
        assert call.log.entries == call.changes.entries == []
        call.start()


def test_during_a_handshake_that_is_never_answered():
    with LoopbackAgent([HoldHandshake()]) as agent, conversation(agent) as call:
        call.conversation.start_session()
        agent.wait_for_connection()
        call.conversation.end_session()
        assert_over(call)


def test_while_tcp_is_accepted_by_nobody():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = SimpleNamespace(
            _client_wrapper=SimpleNamespace(
                get_base_url=lambda: f"http://127.0.0.1:{listener.getsockname()[1]}"
            )
        )
        with conversation(None, client=client) as call:
            call.conversation.start_session()
            call.conversation.end_session()
            assert_over(call)


def test_while_a_signed_url_is_fetched_that_does_not_come(agent, monkeypatch):
    asked, answer = threading.Event(), threading.Event()

    def get_signed_url(**_):
        asked.set()
        assert answer.wait(PATIENCE)
        return SimpleNamespace(signed_url=agent.url)

    client = SimpleNamespace(
        _client_wrapper=SimpleNamespace(get_base_url=lambda: agent.base_url),
        conversational_ai=SimpleNamespace(conversations=SimpleNamespace(get_signed_url=get_signed_url)),
    )
    # The thread that asks cannot be called back; who waits for the end waits for it no longer than this.
    monkeypatch.setattr(conversation_module, "AFTER_END_SECONDS", 0.01)
    with conversation(agent, client=client, requires_auth=True) as call:
        call.conversation.start_session()
        assert asked.wait(PATIENCE)
        call.conversation.end_session()
        assert call.conversation.wait_for_session_end() is None
        call.log.wait_for(("end",))
        answer.set()
        assert_over(call)
        assert agent.connections == []


def test_before_the_server_accepts():
    with LoopbackAgent([WaitForInitiation()], opening=False) as agent, conversation(agent) as call:
        call.conversation.start_session()
        assert agent.wait_for_connection().script_done.wait(PATIENCE)
        call.conversation.end_session()
        assert call.conversation.wait_for_session_end() is None
        assert_over(call)


def test_while_the_agent_speaks_it_falls_silent_at_once(agent):
    with conversation(agent, audio_interface=ReportingAudio()) as call:
        connection = call.start()
        connection.send(SendAudio(PCM))
        call.wait_for_state("agent_speaking")
        call.audio.log.wait_for((1, len(PCM)))
        call.conversation.end_session()
        assert_over(call)
        assert call.audio.log.entries == ["start", (1, len(PCM)), "interrupt", "stop"]


def test_during_a_farewell_the_rest_is_not_heard_and_the_first_cause_stands():
    with (
        LoopbackAgent([SendAudio(PCM), Close(1000, "bye")]) as agent,
        conversation(agent, audio_interface=ReportingAudio()) as call,
    ):
        call.start()
        call.wait_for_state("closing")
        call.audio.log.wait_for((1, len(PCM)))
        call.conversation.end_session()
        assert_over(call, DisconnectionDetails("agent", 1000, "bye"))
        assert call.audio.log.entries == ["start", (1, len(PCM)), "interrupt", "stop"]
