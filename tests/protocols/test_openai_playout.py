"""A whole conversation through codec, session and a playout buffer, in virtual time, without a socket."""

from __future__ import annotations

import base64
import json
from typing import Any

import attrs

from convsm.audio.formats import audio_format
from convsm.audio.heard import HeardLedger
from convsm.audio.playout import PlayoutBuffer
from convsm.machine import Session, SessionOptions, effects
from convsm.machine.events import (
    CUTTING,
    AudioStarted,
    Event,
    Played,
    Send,
    SocketOpened,
    Start,
    ToolCompleted,
)
from convsm.protocols.messages import UserMessage
from convsm.protocols.openai_options import RealtimeOptions, ServerVad
from convsm.protocols.openai_realtime import OpenAIRealtimeCodec
from convsm.testing.invariants import InvariantChecker


@attrs.define
class Desk:
    """A driver in a few lines: what one has to do with this protocol's effects, and nothing else.

    Attributes:
        options: Options of the session.
        sent: What went to the server.
        calls: Tool calls that run.
    """

    options: RealtimeOptions = attrs.field(factory=RealtimeOptions)
    sent: list[dict[str, Any]] = attrs.field(factory=list)
    calls: list[str] = attrs.field(factory=list)
    codec: OpenAIRealtimeCodec = attrs.field(init=False)
    session: Session = attrs.field(factory=lambda: Session(SessionOptions(asks_replies=True)))
    checker: InvariantChecker = attrs.field(factory=InvariantChecker)
    buffer: PlayoutBuffer = attrs.field(init=False)
    ledger: HeardLedger = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        known = audio_format(self.options.output_format)
        self.codec = OpenAIRealtimeCodec(self.options)
        self.buffer = PlayoutBuffer(known.bytes_per_sample)
        self.ledger = HeardLedger(known.bytes_per_sample)
        self.handle(Start(), SocketOpened())
        self.hear({"type": "session.created", "session": {"id": "sess_1"}})
        self.hear({"type": "session.updated", "session": {"id": "sess_1"}})
        self.handle(AudioStarted())
        self.sent.clear()

    def handle(self, *events: Event) -> None:
        """Let the session handle events and perform the effects."""
        for event in events:
            if type(event) in CUTTING:
                self._step(Played(*self.ledger.locate(self._position)))
            self._step(event)

    @property
    def _position(self) -> int:
        return self.buffer.position // self.buffer.bytes_per_sample

    def _step(self, event: Event) -> None:
        for effect in self.checker.handle(self.session, event):
            if isinstance(effect, effects.SendOpening):
                self.sent += [json.loads(frame) for frame in self.codec.opening()]
            elif isinstance(effect, effects.Transmit):
                self.sent.append(json.loads(self.codec.encode(effect.message)))
            elif isinstance(effect, effects.Play):
                self.buffer.append(effect.number, effect.audio)
                self.ledger.hand_over(effect.number, len(effect.audio))
            elif isinstance(effect, effects.Flush):
                self.buffer.flush()
                self.ledger.flush(self._position)
            elif isinstance(effect, effects.RunTool):
                self.calls.append(effect.call_id)

    def hear(self, *frames: dict[str, Any]) -> None:
        """Take frames of the server's."""
        for frame in frames:
            self.handle(*self.codec.decode(json.dumps(frame)))

    def play(self, milliseconds: float) -> None:
        """Let the loudspeaker play; it reports whole pieces, as devices do."""
        rate = audio_format(self.options.output_format).rate
        before = self.buffer.through
        self.buffer.read(round(milliseconds * rate / 1000) * self.buffer.bytes_per_sample)
        if self.buffer.through > before:
            self.handle(Played(self.buffer.through))

    def take_sent(self) -> list[dict[str, Any]]:
        """Return what was sent since the last time."""
        sent, self.sent = self.sent, []
        assert all(message.pop("event_id").startswith("convsm_") for message in sent)
        return sent


def begin(number: int) -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": f"resp_{number}", "conversation_id": "conv_1"}}


def end(number: int, status: str = "completed") -> dict[str, Any]:
    return {"type": "response.done", "response": {"id": f"resp_{number}", "status": status}}


def speech(number: int, size: int = 4800, item: str | None = None) -> dict[str, Any]:
    """Return a piece of a response; 4,800 bytes of pcm_24000 are 100 ms."""
    return {
        "type": "response.output_audio.delta",
        "response_id": f"resp_{number}",
        "item_id": item or f"item_{number}",
        "delta": base64.b64encode(bytes(size)).decode(),
    }


USER_SPEAKS = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "user_1"}


def truncated(item: str, milliseconds: int) -> dict[str, Any]:
    return {
        "type": "conversation.item.truncate",
        "item_id": item,
        "content_index": 0,
        "audio_end_ms": milliseconds,
    }


def deleted(item: str) -> dict[str, Any]:
    return {"type": "conversation.item.delete", "item_id": item}


def test_the_server_is_told_to_the_millisecond_what_was_heard_when_the_user_cuts_in():
    desk = Desk()
    desk.hear(begin(1), *[speech(1)] * 10, end(1))
    desk.play(437)
    assert desk.session.state == "agent_speaking"
    desk.hear(USER_SPEAKS)
    assert (desk.session.state, desk.buffer.is_drained) == ("interrupted", True)
    assert desk.take_sent() == [truncated("item_1", 437)]
    desk.hear(speech(1), begin(2), speech(2))
    assert desk.session.state == "agent_speaking"
    assert desk.buffer.pending == 4800
    desk.play(30)
    desk.hear(USER_SPEAKS)
    assert desk.take_sent() == [truncated("item_2", 30)]


def test_speech_of_which_nothing_was_heard_is_deleted_and_what_was_all_heard_is_left_alone():
    desk = Desk()
    desk.hear(begin(1), speech(1), end(1), begin(2), speech(2), end(2))
    desk.hear(USER_SPEAKS)
    assert desk.take_sent() == [deleted("item_1"), deleted("item_2")]
    desk = Desk()
    desk.hear(begin(1), speech(1), end(1), begin(2), speech(2), end(2))
    desk.play(150)
    desk.hear(USER_SPEAKS)
    assert desk.take_sent() == [truncated("item_2", 50)]
    desk = Desk()
    desk.hear(begin(1), speech(1), end(1))
    desk.play(100)
    desk.hear(USER_SPEAKS)
    assert desk.take_sent() == []


def test_time_in_which_nothing_plays_does_not_count():
    desk = Desk(RealtimeOptions(output_format="alaw_8000"))
    desk.hear(begin(1), speech(1, 800))
    desk.play(40)
    desk.play(0)  # a pause, however long, reads nothing
    desk.play(23)
    desk.hear(USER_SPEAKS)
    assert desk.take_sent() == [truncated("item_1", 63)]


def test_where_the_server_does_not_stop_it_is_told_to():
    desk = Desk(RealtimeOptions(turn_detection=ServerVad(interrupt_response=False)))
    desk.hear(begin(1), *[speech(1)] * 3)
    desk.play(120)
    desk.hear(USER_SPEAKS)
    assert desk.take_sent() == [{"type": "response.cancel"}, truncated("item_1", 120)]
    desk.hear(speech(1), end(1, "cancelled"))
    assert desk.take_sent() == []
    assert desk.buffer.is_drained


def test_each_item_of_a_response_is_told_by_itself():
    desk = Desk()
    desk.hear(begin(1), speech(1, item="preamble"), speech(1, item="answer"), speech(1, item="answer"))
    desk.play(130)
    desk.hear(USER_SPEAKS, speech(1, item="late"))
    assert desk.take_sent() == [truncated("answer", 30), deleted("late")]


def test_a_text_of_the_users_cuts_in_and_is_answered_when_the_old_response_is_over():
    desk = Desk()
    desk.hear(begin(1), *[speech(1)] * 3)
    desk.play(110)
    desk.handle(Send(UserMessage("Wait!"), "turn"))
    kinds = [message["type"] for message in desk.take_sent()]
    assert kinds == ["response.cancel", "conversation.item.truncate", "conversation.item.create"]
    desk.hear(end(1, "cancelled"))
    assert [message["type"] for message in desk.take_sent()] == ["response.create"]
    desk.hear(begin(2), speech(2))
    assert desk.session.state == "agent_speaking"


def test_a_tool_is_answered_at_once_and_the_reply_asked_for_when_its_response_is_done():
    desk = Desk()
    call = {"type": "function_call", "status": "completed", "name": "t", "call_id": "c", "arguments": "{}"}
    done = {"type": "response.output_item.done", "response_id": "resp_1", "item": call}
    desk.hear(begin(1), speech(1), done)
    assert (desk.session.state, desk.calls) == ("agent_speaking", ["c"])
    desk.handle(ToolCompleted("c", "12"))
    assert [message["type"] for message in desk.take_sent()] == ["conversation.item.create"]
    desk.hear(end(1))
    assert [message["type"] for message in desk.take_sent()] == ["response.create"]
