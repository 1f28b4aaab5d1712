from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.errors import ConfigurationError, ProtocolError
from convsm.machine.effects import Play, Pong, ToolResult
from convsm.machine.events import AgentAudio, Event, Informed, Malformed, Pinged
from convsm.protocols.codec import Codec
from convsm.protocols.elevenlabs import DECODERS, ENCODERS, ElevenLabsCodec
from convsm.protocols.messages import UnknownMessage, UserMessage
from tests.protocols.helpers import GOLDEN, JSON, entries, exactly, message_of, plain

CODEC: Codec = ElevenLabsCodec()

SECRET = "5ecret"

REQUIRED = [
    ("ping", "ping_event", "event_id"),
    ("audio", "audio_event", "audio_base_64"),
    ("audio", "audio_event", "event_id"),
    ("interruption", "interruption_event", "event_id"),
    ("client_tool_call", "client_tool_call", "tool_name"),
    ("client_tool_call", "client_tool_call", "tool_call_id"),
    ("agent_tool_request", "agent_tool_request", "tool_name"),
    ("agent_tool_request", "agent_tool_request", "tool_call_id"),
    ("agent_tool_response", "agent_tool_response", "tool_name"),
    ("agent_tool_response", "agent_tool_response", "tool_call_id"),
    ("mcp_tool_call", "mcp_tool_call", "tool_name"),
    ("mcp_tool_call", "mcp_tool_call", "tool_call_id"),
    ("agent_response", "agent_response_event", "agent_response"),
    ("agent_response_correction", "agent_response_correction_event", "original_agent_response"),
    ("agent_response_correction", "agent_response_correction_event", "corrected_agent_response"),
    ("user_transcript", "user_transcription_event", "user_transcript"),
    ("tentative_user_transcript", "tentative_user_transcription_event", "user_transcript"),
    ("conversation_initiation_metadata", "conversation_initiation_metadata_event", "conversation_id"),
]

DECODED = list(entries("events"))
FRAMES = [entry["frame"] for _, entry in DECODED]


def good_frame(kind: str) -> dict[str, Any]:
    """Return a copy of the first golden frame of a type, with a secret in it."""
    frame: dict[str, Any] = copy.deepcopy(next(entry["frame"] for name, entry in DECODED if name == kind))
    return {**frame, "note": SECRET}


def decode(frame: object) -> tuple[Event, ...]:
    return CODEC.decode(json.dumps(frame).encode())


def names(value: object) -> list[str]:
    return [type(event).__name__ for event in decode(value)]


# Golden files


@pytest.mark.parametrize(("name", "entry"), DECODED)
def test_frames_decode_to_the_golden_events(name, entry):
    codec = ElevenLabsCodec(equal_id=entry.get("equal_id", "play"))
    written = json.dumps(entry["frame"])
    for frame in (written, written.encode()):
        assert exactly(plain(codec.decode(frame))) == exactly(entry["events"])
    assert name in (entry["frame"]["type"], "unheard_of")


@pytest.mark.parametrize(("name", "entry"), list(entries("message")))
def test_messages_encode_to_the_golden_frames(name, entry):
    frame = CODEC.encode(message_of(entry["message"]))
    assert exactly(json.loads(frame)) == exactly(entry["frame"])
    assert name == entry["frame"]["type"]


@pytest.mark.parametrize("entry", [entry for _, entry in entries("audio")])
def test_audio_encodes_to_the_golden_frames(entry):
    frame = CODEC.encode_audio(base64.b64decode(entry["audio"]))
    assert exactly(json.loads(frame)) == exactly(entry["frame"])


def test_every_type_and_every_message_has_golden_files():
    decoded = {name for name, _ in DECODED}
    assert decoded == {*DECODERS, "unheard_of"}
    said = {entry["message"]["is"] for _, entry in entries("message")}
    assert said == {kind.__name__ for kind in ENCODERS}


def test_every_golden_file_is_read_by_a_test():
    read = {name for key in ("events", "message", "audio", "opening") for name, _ in entries(key)}
    assert read == {path.stem for path in GOLDEN.iterdir()}


# Whatever comes


@given(st.binary() | st.text())
def test_any_bytes_and_any_text_decode_to_one_malformed_or_to_events(frame):
    events = CODEC.decode(frame)
    assert events
    assert all(isinstance(event, Event) for event in events)


@given(JSON, st.sampled_from([*DECODERS, "unheard_of"]))
def test_any_json_decodes_to_events(value, kind):
    for frame in (value, {"type": kind, f"{kind}_event": value, kind: value}, {"type": value}):
        events = decode(frame)
        assert events
        assert all(isinstance(event, Event) for event in events)


@st.composite
def mutated(draw):
    """A golden frame in which something was removed, replaced, or wrapped in a list."""
    frame = copy.deepcopy(draw(st.sampled_from(FRAMES)))
    paths = [(frame, key) for key in frame]
    paths += [(frame[key], inner) for key in frame if isinstance(frame[key], dict) for inner in frame[key]]
    parent, key = draw(st.sampled_from(paths))
    change = draw(st.sampled_from(["delete", "replace", "wrap"]))
    if change == "delete":
        del parent[key]
    elif change == "replace":
        parent[key] = draw(JSON)
    else:
        parent[key] = [parent[key]]
    return frame


@given(mutated())
def test_a_damaged_frame_decodes_to_events_that_can_be_shown_and_stored(frame):
    events = decode(frame)
    assert events
    assert [type(event) for event in events].count(Malformed) in (0, len(events))
    assert repr(events)
    assert json.dumps(plain(events))


@pytest.mark.parametrize(("kind", "body", "field"), REQUIRED)
@given(
    value=st.none() | st.booleans() | st.lists(st.integers()) | st.just({"note": SECRET}),
    absent=st.booleans(),
)
def test_a_required_field_that_is_missing_or_wrong_is_one_malformed_without_content(
    kind, body, field, value, absent
):
    frame = good_frame(kind)
    frame[body][field] = value
    if absent:
        del frame[body][field]
    (event,) = decode(frame)
    assert isinstance(event, Malformed)
    assert (event.kind, event.field) == (kind, field)
    assert event.problem == "missing" if absent or value is None else event.problem.startswith("not ")
    assert SECRET not in repr(event)


@pytest.mark.parametrize(("kind", "body"), sorted({(kind, body) for kind, body, _ in REQUIRED}))
def test_a_body_that_is_missing_or_no_object_is_one_malformed(kind, body):
    blamed = "conversation_id" if kind == "conversation_initiation_metadata" else body
    for value in (None, [SECRET], SECRET, 5, True):
        (event,) = decode({**good_frame(kind), body: value})
        assert isinstance(event, Malformed)
        assert (event.kind, event.field) == (kind, blamed)
        assert SECRET not in repr(event)


@pytest.mark.parametrize("body", ["audio_event", "interruption_event"])
@pytest.mark.parametrize("number", [1.5, 1e999, "1.5", "nan", "9" * 5000, "", True])
def test_a_turn_has_to_be_a_whole_number(body, number):
    kind = body.removesuffix("_event")
    frame = good_frame(kind)
    frame[body]["event_id"] = number
    (event,) = CODEC.decode(json.dumps(frame))
    assert isinstance(event, Malformed)


WRONG: list[object] = [None, [], 5, "x", False]
NEEDED = {field for _, _, field in REQUIRED if field != "event_id"} | {"text", "tentative_agent_response"}
WITH_ID = ("audio_event", "interruption_event", "ping_event")
OPTIONAL = [
    (frame, body, field)
    for frame in FRAMES
    if names(frame) != ["Malformed"]
    for body, content in frame.items()
    if isinstance(content, dict)
    for field in content
    if field not in NEEDED
    if not (field == "event_id" and body in WITH_ID)
    # A part without a kind is a delta, which needs its text.
    if not (field == "type" and content.get("text") is None)
]


@pytest.mark.parametrize(("frame", "body", "field"), OPTIONAL)
def test_what_is_not_required_may_be_absent_null_or_wrong(frame, body, field):
    damaged = copy.deepcopy(frame)
    del damaged[body][field]
    for wrong in (damaged, *({**frame, body: {**frame[body], field: value}} for value in WRONG)):
        # A hang-up that was not made may become one, and the reverse; nothing else changes.
        assert names(wrong)[0] == names(frame)[0]


@pytest.mark.parametrize(
    ("frame", "field", "problem"),
    [
        (b"", "", "not JSON"),
        (b"\xff\xfe", "", "not JSON"),
        (b'{"type": "ping", "x": "\xff"}', "", "not JSON"),
        ("{", "", "not JSON"),
        ('{"a": NaN}', "", "not JSON"),
        ("[" * 100_000, "", "not JSON"),
        ('{"a":' * 100_000, "", "not JSON"),
        ("\ud800", "", "not JSON"),
        ("null", "", "not a JSON object"),
        ("[]", "", "not a JSON object"),
        ('"ping"', "", "not a JSON object"),
        ("{}", "type", "missing"),
        ('{"type": null}', "type", "missing"),
        ('{"type": 5}', "type", "not a string"),
        ('{"type": ["ping"]}', "type", "not a string"),
        ('{"type": {}}', "type", "not a string"),
    ],
)
def test_a_frame_without_a_readable_type_is_malformed_as_a_whole(frame, field, problem):
    (event,) = CODEC.decode(frame)
    assert isinstance(event, Malformed)
    assert (event.kind, event.field) == ("", field)
    assert event.problem.startswith(problem)


def test_not_even_a_frame_of_a_wrong_type_raises():
    (event,) = CODEC.decode(None)  # type: ignore[arg-type]
    assert isinstance(event, Malformed)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("client_tool_call", "client_tool_call.parameters"),
        ("agent_response_metadata", "agent_response_metadata_event.metadata"),
        ("mcp_tool_call", "mcp_tool_call.parameters"),
        ("rich_content", "rich_content.props"),
        ("error", "error_event.details"),
        ("dtmf_request", "dtmf_request.digits"),
        ("unheard_of", "body.new"),
    ],
)
def test_free_form_deeper_than_recursion_can_walk_is_malformed(kind, body):
    frame = good_frame(kind)
    outer, inner = body.split(".")
    deep = "".join(['{"a":'] * 900) + "1" + "}" * 900
    frame[outer][inner] = "DEEP"
    (event,) = CODEC.decode(json.dumps(frame).replace('"DEEP"', deep))
    assert isinstance(event, Malformed)
    assert event.problem == "nested too deeply"
    assert event.kind == ("" if kind == "unheard_of" else kind)


def test_an_unheard_of_type_is_delivered_but_never_named_in_a_diagnostic():
    (event,) = decode({"type": SECRET, "a": 1})
    assert event == Informed(UnknownMessage(SECRET, {"type": SECRET, "a": 1}))


# Single messages


def test_alignment_holds_characters_and_times_only():
    frame = good_frame("audio")
    frame["audio_event"]["alignment"] = {
        "chars": ["a", 5],
        "char_start_times_ms": [True],
        "char_durations_ms": [1, 2.5],
    }
    (event,) = decode(frame)
    assert isinstance(event, AgentAudio)
    assert plain(event.alignment) == {
        "is": "AudioEventAlignment",
        "chars": [],
        "char_start_times_ms": [],
        "char_durations_ms": [1, 2.5],
    }


@pytest.mark.parametrize("alignment", [5, "a", [], True])
def test_alignment_that_is_no_object_is_none(alignment):
    frame = good_frame("audio")
    frame["audio_event"]["alignment"] = alignment
    (event,) = decode(frame)
    assert isinstance(event, AgentAudio)
    assert event.alignment is None


@given(st.binary(max_size=400))
def test_audio_comes_out_as_it_went_in(audio):
    encoded = json.loads(CODEC.encode_audio(audio))["user_audio_chunk"]
    (event,) = decode({"type": "audio", "audio_event": {"audio_base_64": encoded, "event_id": 1}})
    assert isinstance(event, AgentAudio)
    assert event.audio == audio


@pytest.mark.parametrize("encoded", ["AAA", "AA=A", "AAAA\n", "AA AA", "AA-_", "ÄÖÜ=", "😀", "\x00"])
def test_bad_base64_is_malformed(encoded):
    (event,) = decode({"type": "audio", "audio_event": {"audio_base_64": encoded, "event_id": 1}})
    assert event == Malformed("audio", "audio_base_64", "not base64")


@given(st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_ping_is_echoed_unchanged(ping_id):
    (event,) = decode({"type": "ping", "ping_event": {"event_id": ping_id}})
    assert isinstance(event, Pinged)
    answer = json.loads(CODEC.encode(Pong(event.ping_id)))
    assert exactly(answer) == exactly({"type": "pong", "event_id": ping_id})


@pytest.mark.parametrize("ping_id", ["nan", "1.5", "", "9" * 5000])
def test_a_ping_whose_id_is_no_number_is_malformed(ping_id):
    (event,) = decode({"type": "ping", "ping_event": {"event_id": ping_id}})
    assert event == Malformed("ping", "event_id", "not a number")


# To the server


@given(st.text(st.characters()), st.text(st.characters()), st.booleans())
def test_any_text_can_be_said(said, identifier, is_error):
    for message in (UserMessage(said, identifier), ToolResult(identifier, said, is_error)):
        frame = json.loads(CODEC.encode(message))
        values = {"text": said, "result": said}
        for key in frame.keys() & values.keys():
            assert frame[key] == said.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@pytest.mark.parametrize("message", [object(), None, "hello", Play(1, b"", 1), UserMessage])
def test_a_message_of_another_protocol_is_refused(message):
    with pytest.raises(ProtocolError, match="has no message for"):
        CODEC.encode(message)


def test_a_message_that_json_cannot_express_is_refused():
    with pytest.raises(ProtocolError, match="cannot be written as JSON"):
        CODEC.encode(UserMessage(object()))  # type: ignore[arg-type]


def test_the_opening_is_said_as_given_and_never_shown():
    codec = ElevenLabsCodec([b"setup", b"initiation"])
    assert codec.opening() == (b"setup", b"initiation")
    assert CODEC.opening() == ()
    assert "setup" not in repr(codec)


def test_the_policy_for_equal_ids_is_play_or_drop():
    with pytest.raises(ConfigurationError, match="choose 'play' or 'drop'"):
        ElevenLabsCodec(equal_id="maybe")  # type: ignore[arg-type]
