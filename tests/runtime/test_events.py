"""The stream of events and the callbacks, over both shells: what is told, in which order, to whom."""

from __future__ import annotations

import inspect
import itertools
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from convsm import ClientTools, Conversation
from convsm.machine.effects import StateChanged
from convsm.machine.events import AgentResponse, Event, Interrupted, Pinged, UserTranscript
from convsm.observation.entries import TranscriptChanged
from convsm.observation.metrics import Measured, SessionMeasured
from convsm.protocols.messages import AgentResponseCorrection
from convsm.runtime.stream import FrameReceived, FrameSent, UnhandledTool
from convsm.runtime.turn_setup import CALLBACKS as TURN_CALLBACKS
from convsm.runtime.wiring import DisconnectionDetails
from convsm.testing import (
    CallTool,
    CorrectResponse,
    HangUp,
    Interrupt,
    LoopbackAgent,
    Ping,
    Say,
    SendMessage,
    UserSaid,
)
from tests.protocols.helpers import entries, plain
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    Call,
    FakeAudio,
    Log,
    ReportingAudio,
    assert_over,
    conversation,
    nothing_is_left,
    provoke,
)

pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


PINGS = itertools.count(1)


def pass_pings(connection):
    """Wait until the client has taken all that was sent."""
    number = next(PINGS)
    connection.send(Ping(number))
    connection.wait_for(lambda message: message.get("type") == "pong" and message["event_id"] == number)


class Reading:
    """A stream that is read on a thread while the test goes on."""

    def __init__(self, stream: Any) -> None:
        self.log = Log()
        self._stream = stream
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for event in self._stream:
            self.log.add(event)

    def finish(self) -> list[Any]:
        """Wait for the end of the stream, and return all of it."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the stream does not end"
        return self.log.entries


def everything(log: Log) -> dict[str, Any]:
    """All callbacks but the one that decides and those of turn handling; each adds what it gets to a log."""
    parameters = inspect.signature(Conversation).parameters
    names = [name for name in parameters if name.startswith("callback_") and name not in TURN_CALLBACKS]

    def teller(name: str) -> Callable[..., None]:
        return lambda *told: log.add((name, *told))

    return {name: teller(name) for name in names if name != "callback_mcp_approval"}


# A whole conversation


def hold(call: Call) -> None:
    """Have a conversation with an interruption, a tool and a farewell."""
    connection = call.start()
    call.audio.log.wait_for("start")
    connection.send(Ping(1, 30))
    connection.send(Say("It is three o'clock, and", seconds=0.2, turn=1))
    call.wait_for_state("agent_speaking")
    connection.send(Interrupt(2))
    call.wait_for_state("interrupted")
    connection.send(CorrectResponse("It is three o'clock, and", "It is three", 1))
    connection.send(UserSaid("In Oslo?", turn=2, tentative=["In"]))
    call.wait_for_state("listening", 2)
    connection.send(CallTool("look_up", parameters={"city": "Oslo"}, turn=2))
    connection.wait_for("client_tool_result")
    connection.send(Say("Three, too. Bye!", seconds=0.2, turn=3))
    call.wait_for_state("agent_speaking", 2)
    provoke(connection, HangUp())
    call.wait_for_state("closing")
    call.settle()
    call.audio.hear()
    call.finish()


def test_a_whole_conversation_in_events_callbacks_transcript_and_metrics(agent):
    tools = ClientTools()
    tools.register("look_up", lambda parameters: "15:00")
    told = Log()
    with conversation(
        agent, client_tools=tools, audio_interface=ReportingAudio(), **everything(told)
    ) as call:
        call.changes = told  # the state changes are among what is told
        call.wait_for_state = lambda state, count=1: told.wait_for(  # type: ignore[method-assign]
            lambda entry: entry[0] == "callback_state_change" and entry[1].target == state, count
        )
        reading = Reading(call.conversation.events())
        hold(call)
        events = reading.finish()
        transcript, metrics = call.conversation.transcript, call.conversation.metrics

    # The order of the events
    assert [event.target for event in events if type(event) is StateChanged] == [
        "connecting",
        "listening",
        "agent_speaking",
        "interrupted",
        "listening",
        "tool_running",
        "listening",
        "agent_speaking",
        "closing",
        "idle",
    ]
    wanted = (AgentResponse, Interrupted, AgentResponseCorrection, UserTranscript)
    assert [type(event) for event in events if isinstance(event, wanted)] == [
        AgentResponse,
        Interrupted,
        AgentResponseCorrection,
        UserTranscript,
        AgentResponse,
    ]
    assert events[-1] == DisconnectionDetails("agent", 1000, "")
    assert not any(isinstance(event, FrameReceived | FrameSent) for event in events)

    # Callbacks tell the same, in the same order
    pairs: list[tuple[str, type, Callable[[Any], object]]] = [
        ("callback_state_change", StateChanged, lambda event: event),
        ("callback_metrics", Measured, lambda event: event),
        ("callback_interruption", Interrupted, lambda event: event),
        ("callback_agent_response", AgentResponse, lambda event: event.text),
        ("callback_user_transcript", UserTranscript, lambda event: event.text),
        ("callback_disconnect", DisconnectionDetails, lambda event: event),
    ]
    kinds = {kind: (name, read) for name, kind, read in pairs}
    names = {name for name, _, _ in pairs}
    assert [entry for entry in told.entries if entry[0] in names] == [
        (kinds[type(event)][0], kinds[type(event)][1](event)) for event in events if type(event) in kinds
    ]
    assert [entry[1] for entry in told.entries if entry[0] == "callback_status"] == [
        "connecting",
        "connected",
        "disconnecting",
        "disconnected",
    ]
    assert [entry[1] for entry in told.entries if entry[0] == "callback_mode"] == [
        "speaking",
        "listening",
        "speaking",
        "listening",
    ]
    assert ("callback_connect", "conv_0", "pcm_16000", "pcm_16000") in told.entries
    assert told.entries[-1] == ("callback_end_session",)

    # What was said
    assert [(entry.who, entry.spoken, entry.is_interrupted) for entry in transcript] == [
        ("agent", "It is three", True),
        ("user", "In Oslo?", False),
        ("agent", "Three, too. Bye!", False),
    ]
    copy: list[Any] = []
    for event in events:
        if type(event) is TranscriptChanged:
            place = slice(event.position, event.position + (event.change != "added"))
            copy[place] = [] if event.change == "removed" else [event.entry]
    assert tuple(copy) == transcript

    # What was measured
    assert metrics is not None
    assert (metrics.user_turns, metrics.agent_turns, metrics.interruptions, metrics.diagnostics) == (
        1,
        2,
        1,
        0,
    )
    assert metrics.tools["look_up"].seconds.count == 1
    assert metrics.ping_milliseconds.count == 1
    assert metrics.interruption_seconds.count == 1
    assert metrics.response_seconds.count == 1
    assert metrics.seconds is not None
    assert metrics.seconds_to_ready is not None
    assert 0 < metrics.seconds_to_ready < metrics.seconds
    [measured] = [event for event in events if type(event) is SessionMeasured]
    assert measured.metrics.seconds == metrics.seconds
    measures = {event.measure for event in events if type(event) is Measured}
    assert {"seconds_to_ready", "response_seconds", "interruption_seconds", "tools"} <= measures


# Every type of message


CALLBACKS = {
    "agent_chat_response_part": "callback_agent_chat_response_part",
    "agent_reasoning_response_part": "callback_reasoning_part",
    "agent_response": "callback_agent_response",
    "agent_response_complete": "callback_response_complete",
    "agent_response_correction": "callback_agent_response_correction",
    "agent_response_metadata": "callback_metadata",
    "agent_tool_request": "callback_agent_tool_request",
    "agent_tool_response": "callback_agent_tool_response",
    "agent_tool_response_full_payload": "callback_agent_tool_response",
    "agent_typing": "callback_agent_typing",
    "audio": "callback_audio",
    "client_error": "callback_error",
    "client_tool_call": "callback_unhandled_tool",
    "context_usage": "callback_context_usage",
    "conversation_initiation_metadata": "callback_connect",
    "error": "callback_error",
    "guardrail_triggered": "callback_guardrail",
    "interruption": "callback_interruption",
    "mcp_connection_status": "callback_mcp_connection_status",
    "mcp_tool_call": "callback_mcp_tool_call",
    "ping": "callback_latency_measurement",
    "tentative_user_transcript": "callback_tentative_transcript",
    "user_transcript": "callback_user_transcript",
    "vad_score": "callback_vad_score",
}
# What no client has a callback for is read from the stream.
STREAM_ONLY = {
    "asr_initiation_metadata",
    "audio_alignment",
    "contextual_update",
    "dtmf_request",
    "external_agent_connected",
    "external_agent_disconnected",
    "internal_tentative_agent_response",
    "internal_turn_probability",
    "rich_content",
    "unheard_of",
}


def golden_frames() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """The first frame of each type that means something, and what it means."""
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for name, entry in entries("events"):
        meaning = entry["events"][0]
        is_told = meaning["is"] != "Malformed" and (meaning["is"] != "Pinged" or meaning["latency_ms"])
        if is_told and isinstance(entry["frame"], dict):
            found.setdefault(name, (entry["frame"], meaning.get("message", meaning)))
    return found


FRAMES = golden_frames()


def test_every_type_of_message_is_among_the_frames():
    assert set(FRAMES) == {*CALLBACKS, *STREAM_ONLY}


@pytest.mark.parametrize("name", FRAMES)
def test_every_type_of_message_reaches_its_callback_and_the_stream(name):
    frame, meaning = FRAMES[name]
    is_metadata = name == "conversation_initiation_metadata"
    told = Log()
    script = [SendMessage(frame)] if is_metadata else []
    with LoopbackAgent(script, opening=not is_metadata) as agent:
        with conversation(agent, audio_interface=FakeAudio(), **everything(told)) as call:
            reading = Reading(call.conversation.events())
            connection = call.start()
            if not is_metadata:
                connection.send(SendMessage(frame))
            pass_pings(connection)
            call.conversation.end_session()
            call.finish()
            events = reading.finish()
        agent.forgive()
    calls = [entry[0] for entry in told.entries]
    if name in CALLBACKS:
        assert calls.count(CALLBACKS[name]) == 1
    always = {"connect", "state_change", "status", "mode", "metrics", "message_received", "message_sent"}
    always |= {"disconnect", "end_session"}
    assert {*calls} - {f"callback_{each}" for each in always} - {CALLBACKS.get(name)} == set()
    if name == "client_tool_call":
        assert UnhandledTool(meaning["name"], meaning["call_id"], meaning["parameters"]) in events
    else:
        assert meaning in [plain(event) for event in events]
    assert call.conversation.metrics is not None
    assert call.conversation.metrics.diagnostics == 0


# Taps


def test_the_taps_get_everything_in_and_out_undecoded(agent):
    received, sent = Log(), Log()
    with conversation(agent, callback_message_received=received.add, callback_message_sent=sent.add) as call:
        reading = Reading(call.conversation.events(FrameReceived, FrameSent))
        connection = call.start()
        connection.send(Ping(1))
        connection.send(SendMessage({"type": "who knows", "ü": [1.0]}))
        call.conversation.send_user_message("grüß Gott")
        connection.wait_for("user_message")
        pass_pings(connection)
        call.conversation.end_session()
        assert_over(call)
        frames = reading.finish()
    incoming = [event.frame for event in frames if type(event) is FrameReceived]
    outgoing = [event.frame for event in frames if type(event) is FrameSent]
    assert (incoming, outgoing) == (received.entries, sent.entries)
    assert [json.loads(frame) for frame in outgoing] == [each.message for each in connection.received]
    assert [json.loads(frame)["type"] for frame in incoming] == [
        "conversation_initiation_metadata",
        "ping",
        "who knows",
        "ping",
    ]


def test_the_microphone_is_tapped_too(agent):
    sent = Log()
    with conversation(agent, audio_interface=FakeAudio(), callback_message_sent=sent.add) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        call.audio.microphone(b"\x01\x02")
        connection.wait_for("user_audio")
        sent.wait_for(b'{"user_audio_chunk":"AQI="}')


def test_nothing_is_tapped_unless_somebody_wants_it(agent):
    with conversation(agent) as call:
        reading = Reading(call.conversation.events())
        call.start()
        assert not call.driver._readers.is_tapped
        tapping = call.conversation.events(FrameSent)
        assert call.driver._readers.is_tapped
        tapping.close()
        call.conversation.events(Pinged)
        assert not call.driver._readers.is_tapped  # and one that is closed is forgotten with the next
        assert len(call.driver._readers._streams) == 2
        call.conversation.end_session()
        call.finish()
        assert not any(isinstance(event, FrameReceived | FrameSent) for event in reading.finish())


# Streams


def test_a_stream_reads_what_it_asks_for(agent):
    with conversation(agent) as call:
        chosen = Reading(call.conversation.events(UserTranscript, DisconnectionDetails))
        machine = Reading(call.conversation.events(Event))
        connection = call.start()
        connection.send(UserSaid("Hi", tentative=["H"]))
        connection.send(Ping(1))
        pass_pings(connection)
        call.conversation.end_session()
        call.finish()
        assert [type(event) for event in chosen.finish()] == [UserTranscript, DisconnectionDetails]
        assert [type(event).__name__ for event in machine.finish()] == [
            "SessionReady",
            "UserTranscript",
            "Pinged",
            "Pinged",
        ]


def test_streams_made_before_during_and_after_a_session_read_what_follows(agent):
    kinds = (UserTranscript, DisconnectionDetails)

    def texts(stream: Any) -> list[Any]:
        return [getattr(event, "text", getattr(event, "reason", None)) for event in stream]

    def say(connection: Any, text: str) -> None:
        connection.send(UserSaid(text))
        pass_pings(connection)

    with conversation(agent) as call:
        before = call.conversation.events(*kinds)
        connection = call.start()
        say(connection, "one")
        during = call.conversation.events(*kinds)
        say(connection, "two")
        call.conversation.end_session()
        call.finish()
        after = call.conversation.events(*kinds)
        say(call.start(1), "three")
        call.conversation.end_session()
        call.finish()
        assert texts(before) == ["one", "two", "user"]
        assert texts(during) == ["two", "user"]
        assert texts(after) == ["three", "user"]


def test_a_stream_that_is_left_is_closed_and_delays_nothing(agent):
    with conversation(agent) as call:
        with call.conversation.events(UserTranscript) as stream:
            connection = call.start()
            connection.send(UserSaid("Hi"))
            for event in stream:
                assert event.text == "Hi"  # type: ignore[attr-defined]
                break
        connection.send(UserSaid("Ho"))
        pass_pings(connection)
        assert list(stream) == []


def test_a_session_that_never_gets_ready_ends_its_streams_too(agent):
    agent.stop()
    with conversation(agent) as call:
        reading = Reading(call.conversation.events(SessionMeasured, DisconnectionDetails))
        call.conversation.start_session()
        measured, details = reading.finish()
    assert (type(measured), details.reason) == (SessionMeasured, "error")
    assert measured.metrics.seconds_to_ready is None
    assert call.conversation.transcript == ()


def test_before_the_first_start_there_is_nothing_to_read(agent):
    with conversation(agent) as call:
        assert call.conversation.transcript == ()
        assert call.conversation.metrics is None
        assert call.conversation.conversation_id is None
        assert call.conversation.state == "idle"
