from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.errors import ProtocolError
from convsm.machine.effects import ItemHeard, Play, Pong, ToolResult
from convsm.machine.events import (
    AgentAudio,
    Event,
    Informed,
    Interrupted,
    Malformed,
    ResponseEnded,
    ResponseStarted,
    TextPart,
)
from convsm.protocols.codec import Codec
from convsm.protocols.messages import MultimodalMessage, UserActivity, UserMessage
from convsm.protocols.openai_messages import ENCODERS
from convsm.protocols.openai_options import RealtimeOptions
from convsm.protocols.openai_realtime import BETA_NAMES, DECODERS, OpenAIRealtimeCodec
from convsm.protocols.reports import TentativeTranscript, UnknownMessage
from tests.protocols.helpers import JSON, entries, exactly, message_of, plain

GOLDEN = Path(__file__).with_name("golden_openai")
SECRET = "5ecret"

DECODED = list(entries("events", GOLDEN))


def codec_of(entry: dict[str, Any]) -> Codec:
    """Return the codec that a golden file means: with options or without, and what it read before."""
    codec = OpenAIRealtimeCodec(RealtimeOptions() if entry.get("options", True) else None)
    for frame in entry.get("before", ()):
        codec.decode(json.dumps(frame))
    return codec


def decode(*frames: object) -> list[Event]:
    """Return what a new codec makes of the last of some frames."""
    codec, events = OpenAIRealtimeCodec(RealtimeOptions()), tuple[Event, ...]()
    for frame in frames:
        events = codec.decode(json.dumps(frame))
    return list(events)


def created(response_id: str) -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": response_id, "conversation_id": "conv_1"}}


def done(response_id: str) -> dict[str, Any]:
    return {"type": "response.done", "response": {"id": response_id, "status": "completed"}}


def audio(response_id: str) -> dict[str, Any]:
    return {
        "type": "response.output_audio.delta",
        "response_id": response_id,
        "item_id": "i",
        "delta": "AAA=",
    }


# Golden files


@pytest.mark.parametrize(("name", "entry"), DECODED)
def test_frames_decode_to_the_golden_events(name, entry):
    written = json.dumps(entry["frame"])
    for frame in (written, written.encode()):
        assert exactly(plain(codec_of(entry).decode(frame))) == exactly(entry["events"])
    assert name in (entry["frame"]["type"], "unheard_of")


@pytest.mark.parametrize(("name", "entry"), list(entries("message", GOLDEN)))
def test_messages_encode_to_the_golden_frames(name, entry):
    codec = OpenAIRealtimeCodec(RealtimeOptions())
    for _ in range(2):  # encoding changes nothing, so it may be done to try
        assert exactly(json.loads(codec.encode(message_of(entry["message"])))) == exactly(entry["frame"])
    assert name == entry["frame"]["type"]


@pytest.mark.parametrize("entry", [entry for _, entry in entries("audio", GOLDEN)])
def test_audio_encodes_to_the_golden_frames(entry):
    frame = OpenAIRealtimeCodec().encode_audio(base64.b64decode(entry["audio"]))
    assert exactly(json.loads(frame)) == exactly(entry["frame"])


def test_every_type_and_every_message_has_golden_files():
    assert {name for name, _ in DECODED} == {*DECODERS, "unheard_of"}
    assert len(set(DECODERS) - set(BETA_NAMES)) == 46
    assert {entry["message"]["is"] for _, entry in entries("message", GOLDEN)} == {
        kind.__name__ for kind in ENCODERS
    }


def test_every_golden_file_is_read_by_a_test():
    read = {name for key in ("events", "message", "audio") for name, _ in entries(key, GOLDEN)}
    assert read == {path.stem for path in GOLDEN.iterdir()}


def test_the_first_frame_of_each_golden_file_is_one_of_the_vendors_own_types():
    types = pytest.importorskip("openai.types.realtime.realtime_server_event")
    pydantic = pytest.importorskip("pydantic")
    adapter = pydantic.TypeAdapter(types.RealtimeServerEvent)
    first = {name: entry["frame"] for name, entry in reversed(DECODED)}
    for name in set(DECODERS) - set(BETA_NAMES):
        assert adapter.validate_python(first[name]).type == name


# Whatever comes


@given(st.binary() | st.text())
def test_any_bytes_and_any_text_decode_to_events(frame):
    events = OpenAIRealtimeCodec().decode(frame)
    assert all(isinstance(event, Event) for event in events)


@given(JSON, st.sampled_from([*DECODERS, "unheard_of"]))
def test_any_json_decodes_to_events(value, kind):
    for frame in (value, {"type": kind, "response": value, "item": value, "delta": value}, {"type": value}):
        assert all(isinstance(event, Event) for event in decode(created("resp_1"), frame))


@st.composite
def mutated(draw):
    """A golden entry in whose frame something was removed, replaced, or wrapped in a list."""
    entry = copy.deepcopy(draw(st.sampled_from([entry for _, entry in DECODED])))
    frame = entry["frame"]
    paths = [(frame, key) for key in frame]
    paths += [(frame[key], inner) for key in frame if isinstance(frame[key], dict) for inner in frame[key]]
    parent, key = draw(st.sampled_from(paths))
    change = draw(st.sampled_from(["delete", "replace", "wrap"]))
    if change == "delete":
        del parent[key]
    else:
        parent[key] = draw(JSON) if change == "replace" else [parent[key]]
    return entry


@given(mutated())
def test_a_damaged_frame_decodes_to_events_that_can_be_shown_and_stored(entry):
    events = codec_of(entry).decode(json.dumps(entry["frame"]))
    assert repr(events)
    assert json.dumps(plain(events))


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        ({"type": "response.output_audio.delta", "response_id": SECRET}, "delta"),
        ({"type": "response.output_audio.delta", "delta": SECRET}, "response_id"),
        ({"type": "response.output_audio.delta", "response_id": "r", "delta": "5ecret"}, "delta"),
        ({"type": "response.output_text.delta", "response_id": SECRET, "delta": 5}, "delta"),
        ({"type": "response.created", "response": {"id": 5, "note": SECRET}}, "id"),
        ({"type": "response.done", "response": [SECRET]}, "response"),
        ({"type": "error", "error": SECRET}, "error"),
    ],
)
def test_what_is_needed_and_missing_is_named_without_content(frame, field):
    [event] = decode(frame)
    assert isinstance(event, Malformed)
    assert (event.kind, event.field) == (frame["type"], field)
    assert SECRET not in repr(event)


def test_an_unheard_of_type_is_delivered_but_never_named_in_a_diagnostic():
    assert decode({"type": SECRET, "a": 1}) == [Informed(UnknownMessage(SECRET, {"type": SECRET, "a": 1}))]


@given(st.binary(max_size=400))
def test_audio_comes_out_as_it_went_in(sound):
    encoded = json.loads(OpenAIRealtimeCodec().encode_audio(sound))["audio"]
    [event] = decode({**audio("resp_1"), "delta": encoded})
    assert isinstance(event, AgentAudio)
    assert event.audio == sound


# Turns


def test_responses_are_numbered_as_they_come_and_keep_their_numbers():
    codec = OpenAIRealtimeCodec()
    frames = [created("b"), audio("b"), created("a"), audio("b"), audio("a"), audio("new"), done("b")]
    events = [event for frame in frames for event in codec.decode(json.dumps(frame))]
    turns = [event.turn for event in events if isinstance(event, AgentAudio)]
    assert turns == [1, 1, 2, 3]
    assert [event.turn for event in events if isinstance(event, ResponseStarted)] == [1, 2]
    assert [event for event in events if isinstance(event, ResponseEnded)] == [ResponseEnded(1)]


def test_an_interruption_voids_all_that_was_generated_and_nothing_later():
    speech = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 5, "item_id": "u"}
    cut, _ = decode(created("a"), created("b"), speech)
    assert cut == Interrupted(2, 3, is_cancelled=True)
    [late] = decode(created("a"), speech, audio("a"))
    [fresh] = decode(created("a"), speech, audio("b"))
    assert isinstance(late, AgentAudio)
    assert isinstance(fresh, AgentAudio)
    assert (late.turn, fresh.turn) == (1, 2)


def test_a_response_that_is_done_twice_ends_once():
    assert [type(event) for event in decode(created("a"), done("a"), done("a"))] == []


def test_a_response_beside_the_conversation_starts_and_ends_nothing():
    aside = {"type": "response.created", "response": {"id": "x", "conversation_id": None}}
    assert decode(aside) == []
    assert decode(aside, done("x")) == []


def test_numbers_are_forgotten_long_after_the_last_frame_that_could_name_them():
    codec = OpenAIRealtimeCodec()
    for number in range(1000):
        codec.decode(json.dumps(created(f"resp_{number}")))
        codec.decode(json.dumps(done(f"resp_{number}")))
    assert len(codec._state.turns) == 256
    [event] = codec.decode(json.dumps(audio("resp_999")))
    assert isinstance(event, AgentAudio)
    assert event.turn == 1000


def test_a_transcript_that_never_ends_is_not_kept_for_ever():
    codec = OpenAIRealtimeCodec()
    delta = {"type": "conversation.item.input_audio_transcription.delta", "item_id": "u", "delta": "x" * 9999}
    for _ in range(10):
        [event] = codec.decode(json.dumps(delta))
    assert isinstance(event, Informed)
    assert isinstance(event.message, TentativeTranscript)
    assert len(event.message.text) == 32_768


def test_text_is_framed_once_a_part():
    def delta(kind: str) -> dict[str, Any]:
        return {"type": f"response.{kind}.delta", "response_id": "a", "delta": "x"}

    assert [event.kind for event in decode(delta("text")) if isinstance(event, TextPart)] == [
        "start",
        "delta",
    ]
    assert decode(delta("text"), delta("output_text")) == [TextPart("delta", "x", 1)]


def test_the_beta_is_understood():
    beta = {"type": "response.audio.delta", "response_id": "a", "item_id": "i", "delta": "AAA="}
    assert decode(beta) == [AgentAudio(b"\0\0", 1, item="i")]


# To the server


@pytest.mark.parametrize(
    ("audio_format", "audio_bytes", "heard_ms"),
    [("pcm_24000", 24_000, 500), ("ulaw_8000", 4_000, 500), ("alaw_8000", 7_999, 999)],
)
def test_what_was_heard_is_told_in_whole_milliseconds_of_the_sessions_format(
    audio_format, audio_bytes, heard_ms
):
    codec = OpenAIRealtimeCodec(RealtimeOptions(output_format=audio_format))
    said = json.loads(codec.encode(ItemHeard("item_1", audio_bytes)))
    assert (said["type"], said["audio_end_ms"]) == ("conversation.item.truncate", heard_ms)


def test_the_server_has_the_last_word_on_formats():
    codec = OpenAIRealtimeCodec(RealtimeOptions())
    settings = {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 16000}}}}
    codec.decode(json.dumps({"type": "session.updated", "session": settings}))
    assert json.loads(codec.encode(ItemHeard("item_1", 32_000)))["audio_end_ms"] == 1000


@given(st.text(st.characters()), st.booleans())
def test_any_text_can_be_said(said, is_error):
    codec = OpenAIRealtimeCodec()
    expected = said.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    frame = json.loads(codec.encode(UserMessage(said)))
    assert frame["item"]["content"][0]["text"] == expected
    output = json.loads(codec.encode(ToolResult("call_1", said, is_error)))["item"]["output"]
    assert (json.loads(output)["error"] if is_error else output) == expected


@pytest.mark.parametrize(
    "message", [object(), None, "hello", Play(1, b"", 1), Pong(1), UserActivity(), UserMessage]
)
def test_a_message_of_another_protocol_is_refused(message):
    with pytest.raises(ProtocolError, match="has no message for"):
        OpenAIRealtimeCodec().encode(message)


@pytest.mark.parametrize("message", [MultimodalMessage("look", ("file_1",)), MultimodalMessage()])
def test_files_cannot_be_shown(message):
    with pytest.raises(ProtocolError, match="no uploaded files"):
        OpenAIRealtimeCodec().encode(message)


def test_the_opening_is_the_session_and_never_shown():
    codec = OpenAIRealtimeCodec(RealtimeOptions(SECRET))
    [opening] = codec.opening()
    assert SECRET.encode() in opening
    assert SECRET not in repr(codec)
    assert OpenAIRealtimeCodec().opening() == ()
