"""Random servers of the OpenAI Realtime protocol: whatever they say, the invariants of the core hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from convsm.machine import effects
from convsm.machine.events import (
    AudioStopped,
    End,
    Event,
    Send,
    SocketClosed,
    TimerFired,
    ToolCompleted,
)
from convsm.protocols.messages import ContextualUpdate, UserMessage
from convsm.protocols.openai_options import RealtimeOptions, ServerVad
from convsm.testing.observation import LIVE
from tests.protocols.test_openai_playout import USER_SPEAKS, Desk, begin, end, speech
from tests.protocols.test_openai_realtime import mutated

numbers = st.integers(1, 4)
ids = st.sampled_from(["call_1", "call_2"])


def tool(number: int, call_id: str, written: str) -> dict[str, Any]:
    call = {"type": "function_call", "status": "completed", "name": "t", "call_id": call_id}
    item = {**call, "arguments": written}
    return {"type": "response.output_item.done", "response_id": f"resp_{number}", "item": item}


def refusal(code: str, event_id: str) -> dict[str, Any]:
    error = {"type": "invalid_request_error", "code": code, "message": "No.", "event_id": event_id}
    return {"type": "error", "error": error}


frames = st.one_of(
    st.builds(begin, numbers),
    st.builds(speech, numbers, st.sampled_from([0, 1, 480, 4800]), st.sampled_from([None, "a", "b"])),
    st.builds(end, numbers, st.sampled_from(["completed", "cancelled", "failed"])),
    st.just(USER_SPEAKS),
    st.builds(tool, numbers, ids, st.sampled_from(["{}", "", "half"])),
    st.builds(
        refusal,
        st.sampled_from(["conversation_already_has_active_response", "invalid_value", "session_expired"]),
        st.sampled_from(["convsm_response_create", "convsm_session_update", "other"]),
    ),
    st.just(
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": "u",
            "transcript": "Yes.",
        }
    ),
    mutated().map(lambda entry: entry["frame"]),
)
sends = st.sampled_from(
    [
        Send(UserMessage("Hi"), "turn"),
        Send(ContextualUpdate("It rains.")),
        Send(effects.RequestReply(), "request"),
    ]
)
steps = st.one_of(
    frames, frames, frames, sends, st.integers(0, 300), st.just("answer"), st.just("settle"), st.just("close")
)


# Half of the sequences begin with speech, or few would get that far.
SPEAKING = (begin(1), speech(1), speech(1), speech(1), 120)
sequences = st.tuples(st.sampled_from([(), SPEAKING]), st.lists(steps, max_size=40)).map(
    lambda parts: [*parts[0], *parts[1]]
)


def step(desk: Desk, what: Any) -> None:
    """Let a server, a user, a loudspeaker, a tool or a timer do something."""
    session = desk.session
    if isinstance(what, dict):
        if session.socket == "open":
            desk.hear(what)
    elif isinstance(what, Send):
        if session.state in LIVE:
            desk.handle(what)
    elif isinstance(what, int):
        desk.play(what)
    elif what == "answer" and desk.calls:
        desk.handle(ToolCompleted(desk.calls.pop(0), "done"))
    elif what == "settle" and "settle" in session.timers:
        desk.handle(TimerFired("settle", session.timers["settle"]))
    elif what == "close" and session.socket == "open":
        desk.handle(SocketClosed(1001, "going away"))


def finish(desk: Desk) -> None:
    """End the session, and answer all that it waits for."""
    session = desk.session
    desk.handle(End())
    while session.state != "idle":
        if session.audio == "stopping":
            event: Event = AudioStopped()
        elif session.socket != "closed":
            event = SocketClosed()
        else:
            name, token = next(iter(session.timers.items()))
            event = TimerFired(name, token)
        desk.handle(event)


@settings(max_examples=300)
@given(sequences, st.booleans())
def test_whatever_the_server_says_every_invariant_holds(whats, interrupts):
    desk = Desk(RealtimeOptions(turn_detection=ServerVad(interrupt_response=interrupts)))
    for what in whats:
        step(desk, what)
    finish(desk)
    assert desk.session.state == "idle"


@settings(max_examples=300)
@given(sequences, st.booleans())
def test_no_item_is_truncated_beyond_what_was_sent_of_it(whats, interrupts):
    desk = Desk(RealtimeOptions(turn_detection=ServerVad(interrupt_response=interrupts)))
    lengths: dict[str, int] = {}
    for what in whats:
        if isinstance(what, dict) and what.get("type") == "response.output_audio.delta":
            delta, item = what.get("delta"), what.get("item_id")
            if isinstance(delta, str) and isinstance(item, str):
                lengths[item] = lengths.get(item, 0) + len(delta)
        step(desk, what)
    for message in desk.sent:
        if message["type"] == "conversation.item.truncate":
            # Four characters are three bytes.
            assert 0 < message["audio_end_ms"] <= lengths[message["item_id"]] * 3 / 4 / 48
