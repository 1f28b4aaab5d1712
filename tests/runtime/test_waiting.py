"""Waiting for the end, and what is told about it."""

from __future__ import annotations

import threading

import pytest

from convsm import ClientTools, ConnectionFailed, DisconnectionDetails, SessionOptions, TransportOptions
from convsm.runtime import conversation as conversation_module
from convsm.testing import (
    CallTool,
    Close,
    Drop,
    HangUp,
    HoldHandshake,
    IgnoreClose,
    Interrupt,
    LoopbackAgent,
    RefuseHandshake,
    ReportTool,
    SendAudio,
    SendError,
    SendOversized,
    SpoilHandshake,
    UserSaid,
    WaitForInitiation,
)
from convsm.testing.connection import StepLike
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    BY_USER,
    PATIENCE,
    PCM,
    FakeAudio,
    Log,
    ManualConversation,
    conversation,
    join,
    join_threads,
    nothing_is_left,
    provoke,
    run,
)

BEFORE = [WaitForInitiation()]


pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


@pytest.fixture
def short(monkeypatch):
    """What waits for callbacks and audio after the end waits ten milliseconds."""
    monkeypatch.setattr(conversation_module, "AFTER_END_SECONDS", 0.01)


class Busy:
    """A callback, tool or method that goes on until the test lets it return."""

    def __init__(self):
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, *arguments):
        self.reached.set()
        assert self.released.wait(PATIENCE)


# What it returns and raises


def test_without_a_start_there_is_nothing_to_wait_for(agent):
    with conversation(agent) as call, pytest.raises(RuntimeError, match="Session not started"):
        call.conversation.wait_for_session_end()


# What ends it, what is told of it, and whether waiting returns the id.
ENDS: dict[str, tuple[StepLike, DisconnectionDetails]] = {
    "the agent hangs up": (HangUp(), DisconnectionDetails("agent", 1000, "")),
    "the server closes": (Close(1000, "bye"), DisconnectionDetails("agent", 1000, "bye")),
    "the server goes away": (Close(1001), DisconnectionDetails("agent", 1001, "")),
    "protocol error": (Close(1002, "quota"), DisconnectionDetails("error", 1002, "quota", "code 1002")),
    "no code": (Close(None), DisconnectionDetails("error", 1005, "", "code 1005")),
    "policy": (Close(1008, "override"), DisconnectionDetails("error", 1008, "override", "code 1008")),
    "internal": (Close(1011), DisconnectionDetails("error", 1011, "", "code 1011")),
    "its own code": (Close(4242, "x"), DisconnectionDetails("error", 4242, "x", "code 4242")),
}


@pytest.mark.parametrize("name", ENDS)
def test_after_the_acceptance_the_id_is_returned_whatever_ended_it(name):
    step, details = ENDS[name]
    message = details.message and f"the connection was closed (close {details.message})"
    with LoopbackAgent([step]) as agent, conversation(agent, audio_interface=FakeAudio()) as call:
        call.conversation.start_session()
        assert call.finish() == "conv_0"
        assert call.details == DisconnectionDetails(
            details.reason, details.close_code, details.close_reason, message
        )


def test_after_a_lost_connection_the_id_is_returned():
    with LoopbackAgent([Drop()]) as agent, conversation(agent) as call:
        call.conversation.start_session()
        assert call.finish() == "conv_0"
        assert (call.details.reason, call.details.close_code) == ("error", 1006)


def test_after_a_message_over_the_limit_the_id_is_returned():
    limits = TransportOptions(max_bytes=1000)
    step = SendOversized(1001, announced_only=True)
    with LoopbackAgent([step]) as agent, conversation(agent, transport_options=limits) as call:
        call.conversation.start_session()
        assert call.finish() == "conv_0"
        assert (call.details.reason, call.details.close_code) == ("error", 1009)


def test_a_fault_that_is_not_of_the_connection_has_no_close_code():
    def fail():
        raise OSError("no card")

    with LoopbackAgent() as agent, conversation(agent, audio_interface=FakeAudio(on_start=fail)) as call:
        call.conversation.start_session()
        assert call.finish() == "conv_0"
        assert (call.details.reason, call.details.close_code) == ("error", None)


def test_an_agent_that_announces_its_hanging_up_is_the_cause_whoever_closes(agent):
    with conversation(agent, kind=ManualConversation) as call:
        connection = call.start()
        connection.send(ReportTool("end_call", tool_type="system"))
        connection.send(UserSaid("Bye"))
        call.log.wait_for(("user", "Bye"))
        call.advance(5)
        assert call.finish() == "conv_0"
        assert call.details == DisconnectionDetails("agent")


FAILURES: dict[str, tuple[list[StepLike], int | None, str]] = {
    "refused with 401": ([RefuseHandshake(401)], 401, "HTTP status 401"),
    "refused with 403": ([RefuseHandshake(403)], 403, "HTTP status 403"),
    "redirected": ([RefuseHandshake(302, headers={"Location": "ws://example.com"})], 302, "HTTP status 302"),
    "no WebSocket": ([SpoilHandshake(b"SSH-2.0-OpenSSH_9\r\n\r\n")], None, "handshake"),
    "closed before the acceptance": ([*BEFORE, Close(1008, "bad")], None, "close code 1008"),
    "left before the acceptance": ([*BEFORE, Close(1000)], None, "close code 1000"),
    "lost before the acceptance": ([*BEFORE, Drop()], None, "close code 1006"),
    "an error before the acceptance": ([*BEFORE, SendError(), Close(1002)], None, "exceeds your quota limit"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_session_that_was_never_accepted_is_a_failed_connection(name):
    script, status, text = FAILURES[name]
    with LoopbackAgent(script, opening=False) as agent, conversation(agent) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match=text) as failure:
            call.finish()
        assert failure.value.status == status
        assert call.details.reason == "error"
        assert call.details.message == str(failure.value)
        # Asked again, it says the same.
        with pytest.raises(ConnectionFailed, match=text):
            call.conversation.wait_for_session_end()


def test_nobody_there_is_a_failed_connection(agent):
    agent.stop()
    with conversation(agent) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match="could not be reached") as failure:
            call.finish()
        assert failure.value.status is None
        assert call.details == DisconnectionDetails("error", None, None, str(failure.value))


def test_a_server_that_answers_too_late_is_a_failed_connection():
    with (
        LoopbackAgent([HoldHandshake()]) as agent,
        conversation(agent, transport_options=TransportOptions(open_seconds=0.01)) as call,
    ):
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match="did not answer in time"):
            call.finish()


def test_a_session_that_was_ended_here_is_not_a_failed_one():
    with LoopbackAgent([HoldHandshake()]) as agent, conversation(agent) as call:
        call.conversation.start_session()
        call.conversation.end_session()
        assert call.finish() is None
        assert call.details == BY_USER


def test_everybody_who_waits_is_told(agent):
    with conversation(agent) as call:
        call.start()
        told = Log()
        waiters = run(*[lambda: told.add(call.conversation.wait_for_session_end())] * 5)
        call.conversation.end_session()
        join(waiters)
        assert told.entries == ["conv_0"] * 5
        assert call.conversation.wait_for_session_end() == "conv_0"


# What it waits for


def test_it_returns_behind_the_stop_and_behind_the_callbacks_of_the_end(agent):
    order = Log()
    audio = FakeAudio(on_stop=lambda: order.add("stop"))
    with conversation(agent, audio_interface=audio) as call:
        call.conversation.callback_end_session = lambda: order.add("end")
        call.start()
        audio.log.wait_for("start")
        call.conversation.end_session()
        call.conversation.wait_for_session_end()
        order.add("returned")
    assert order.entries == ["stop", "end", "returned"]


def test_all_threads_are_gone_when_it_returns(agent):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        call.start()
        call.conversation.end_session()
        call.conversation.wait_for_session_end()
        join_threads()


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", ["callback_user_transcript", "callback_end_session", "callback_disconnect"])
def test_a_busy_callback_does_not_hold_it(agent, name):
    busy = Busy()
    with conversation(agent, **{name: busy}) as call:
        connection = call.start()
        connection.send(UserSaid("Yes"))
        if name == "callback_user_transcript":
            assert busy.reached.wait(PATIENCE)
        else:
            call.log.wait_for(("user", "Yes"))
        call.conversation.end_session()
        assert call.conversation.wait_for_session_end() == "conv_0"
        busy.released.set()


def test_a_busy_tool_does_not_hold_it(agent):
    busy = Busy()
    tools = ClientTools()
    tools.register("busy", busy)
    with conversation(agent, client_tools=tools) as call:
        call.start().send(CallTool("busy"))
        assert busy.reached.wait(PATIENCE)
        call.conversation.end_session()
        assert call.conversation.wait_for_session_end() == "conv_0"
        busy.released.set()


@pytest.mark.usefixtures("short")
def test_a_busy_stop_does_not_hold_it(agent):
    busy = Busy()
    options = SessionOptions(close_seconds=0.01)
    with conversation(agent, audio_interface=FakeAudio(on_stop=busy), session_options=options) as call:
        call.start()
        call.audio.log.wait_for("start")
        call.conversation.end_session()
        assert call.conversation.wait_for_session_end() == "conv_0"
        busy.released.set()


# From where it is called


@pytest.mark.parametrize("name", ["callback_user_transcript", "callback_end_session"])
def test_from_a_callback_it_waits_for_idle_only(agent, name):
    told = Log()

    def wait(*_):
        call.conversation.end_session()
        told.add(call.conversation.wait_for_session_end())

    with conversation(agent) as call:
        setattr(call.conversation, name, wait)
        provoke(call.start(), UserSaid("Yes"))
        if name == "callback_end_session":
            call.conversation.end_session()
        told.wait_for("conv_0")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.threads_only
def test_from_a_tool_it_waits_for_idle_only(agent, is_async):
    told = Log()

    def wait():
        call.conversation.end_session()
        told.add(call.conversation.wait_for_session_end())

    async def wait_later(_):
        wait()

    tools = ClientTools()
    tools.register("wait", wait_later if is_async else lambda _: wait())
    with conversation(agent, client_tools=tools) as call:
        provoke(call.start(), CallTool("wait"))
        told.wait_for("conv_0")


@pytest.mark.parametrize("method", ["output", "interrupt"])
@pytest.mark.threads_only
def test_inside_an_effect_it_is_refused_for_it_would_wait_for_itself(agent, method):
    told = Log()

    def wait():
        try:
            call.conversation.wait_for_session_end()
        except RuntimeError as error:
            told.add(str(error))

    audio = FakeAudio(**{f"on_{method}": wait})
    with conversation(agent, audio_interface=audio) as call:
        connection = call.start()
        connection.send(SendAudio(PCM, 1))
        audio.log.wait_for(PCM)  # else the interface might not have opened yet, and be left out
        connection.send(Interrupt(2))
        told.wait_for("wait_for_session_end cannot wait inside output or interrupt of the audio interface")


@pytest.mark.parametrize("method", ["start", "stop"])
def test_inside_start_or_stop_it_waits_until_they_are_given_up(agent, method):
    told = Log()

    def wait():
        call.conversation.end_session()
        told.add(call.conversation.wait_for_session_end())

    options = SessionOptions(close_seconds=0.01)
    audio = FakeAudio(**{f"on_{method}": wait})
    with conversation(agent, audio_interface=audio, session_options=options) as call:
        call.start()
        if method == "stop":
            audio.log.wait_for("start")
            call.conversation.end_session()
        told.wait_for("conv_0")


def test_it_can_be_waited_for_before_the_end_is_in_sight():
    with LoopbackAgent([IgnoreClose()]) as agent, conversation(agent, kind=ManualConversation) as call:
        assert call.start().script_done.wait(PATIENCE)
        told = Log()
        waiter = run(lambda: told.add(call.conversation.wait_for_session_end()))
        call.conversation.end_session()
        call.advance(0.5)
        assert told.entries == []
        call.advance(0.5)
        join(waiter)
        assert told.entries == ["conv_0"]
