from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pybase64
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convsm.testing import (
    CallTool,
    Close,
    CorrectResponse,
    Interrupt,
    Ping,
    Repeat,
    ReportTool,
    Say,
    SendAudio,
    SendError,
    SendMessage,
    SendRaw,
    StreamText,
    UserSaid,
)
from convsm.testing.script import bytes_per_second, tone
from tests.testing.loopback_clients import (  # noqa: F401 (a fixture)
    conversation,
    no_thread_is_left,
)

MESSAGES: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "a typed message": (
        SendMessage({"type": "vad_score", "vad_score_event": {"vad_score": 0.5}}),
        [{"type": "vad_score", "vad_score_event": {"vad_score": 0.5}}],
    ),
    "audio": (
        SendAudio(b"\1\0\2\0", 4, True, {"chars": ["a"]}),
        [
            {
                "type": "audio",
                "audio_event": {
                    "audio_base_64": "AQACAA==",
                    "event_id": 4,
                    "alignment": {"chars": ["a"]},
                    "is_final": True,
                },
            }
        ],
    ),
    "an interruption": (Interrupt(5), [{"type": "interruption", "interruption_event": {"event_id": 5}}]),
    "a correction": (
        CorrectResponse("It is late.", "It is...", 2),
        [
            {
                "type": "agent_response_correction",
                "agent_response_correction_event": {
                    "original_agent_response": "It is late.",
                    "corrected_agent_response": "It is...",
                    "event_id": 2,
                },
            }
        ],
    ),
    "a transcript": (
        UserSaid("stop it", 3, ["stop"]),
        [
            {
                "type": "tentative_user_transcript",
                "tentative_user_transcription_event": {"user_transcript": "stop", "event_id": 3},
            },
            {
                "type": "user_transcript",
                "user_transcription_event": {"user_transcript": "stop it", "event_id": 3},
            },
        ],
    ),
    "a tool call": (
        CallTool("look", "call_9", {"where": "up"}, False, 4),
        [
            {
                "type": "client_tool_call",
                "client_tool_call": {
                    "tool_name": "look",
                    "tool_call_id": "call_9",
                    "parameters": {"where": "up"},
                    "event_id": 4,
                    "expects_response": False,
                },
            }
        ],
    ),
    "a tool call of an older server": (
        CallTool("look", expects_response=None),
        [
            {
                "type": "client_tool_call",
                "client_tool_call": {
                    "tool_name": "look",
                    "tool_call_id": "call_1",
                    "parameters": {},
                    "event_id": 1,
                },
            }
        ],
    ),
    "a tool report": (
        ReportTool("look", is_error=True),
        [
            {
                "type": "agent_tool_response",
                "agent_tool_response": {
                    "tool_name": "look",
                    "tool_call_id": "call_1",
                    "tool_type": "client",
                    "is_error": True,
                    "is_called": True,
                    "event_id": 1,
                },
            }
        ],
    ),
    "an error": (
        SendError(1008, "No.", "value_error"),
        [{"type": "error", "error_event": {"code": 1008, "message": "No.", "error_type": "value_error"}}],
    ),
    "an error of an older server": (
        SendError(1002, "No.", flat=True),
        [{"type": "error", "code": 1002, "message": "No."}],
    ),
    "streamed text": (
        StreamText(["Hel", "lo"], 6),
        [
            *(
                {
                    "type": "agent_chat_response_part",
                    "text_response_part": {"text": text, "type": part_type, "event_id": 6},
                }
                for part_type, text in [("start", ""), ("delta", "Hel"), ("delta", "lo"), ("stop", "")]
            ),
            {"type": "agent_response", "agent_response_event": {"agent_response": "Hello", "event_id": 6}},
        ],
    ),
    "a mapping": ({"type": "agent_typing"}, [{"type": "agent_typing"}]),
    "a function": (lambda connection: connection.transmit({"type": "odd"}), [{"type": "odd"}]),
    "a repetition": (
        Repeat([Ping(1), Ping(2)], 2),
        [
            {"type": "ping", "ping_event": {"event_id": event_id, "ping_ms": None}}
            for event_id in (1, 2, 1, 2)
        ],
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_step_sends(name):
    step, expected = MESSAGES[name]
    with conversation([step]) as (_, client):
        assert [client.receive() for _ in expected] == expected


@given(
    samples=st.integers(1, 3_000),
    chunk_seconds=st.floats(0.001, 0.2),
    audio_format=st.sampled_from(["pcm_8000", "pcm_16000", "pcm_44100", "ulaw_8000"]),
)
@settings(max_examples=100, deadline=None)
def test_speech_is_cut_into_whole_samples_and_only_the_last_chunk_is_final(
    samples, chunk_seconds, audio_format
):
    audio = tone(samples / int(audio_format.split("_")[1]), audio_format)
    said: list[dict[str, Any]] = []

    recorder: Any = SimpleNamespace(output_format=audio_format, transmit=said.append)

    Say("Hi", audio, 3, chunk_seconds=chunk_seconds, alignment={"chars": ["H"]}).perform(recorder)

    response, *chunks = said
    events = [chunk["audio_event"] for chunk in chunks]
    pieces = [pybase64.b64decode(event["audio_base_64"]) for event in events]
    assert response == {
        "type": "agent_response",
        "agent_response_event": {"agent_response": "Hi", "event_id": 3},
    }
    assert b"".join(pieces) == audio
    assert all(len(piece) % 2 == 0 for piece in pieces[:-1])
    assert {event["event_id"] for event in events} <= {3}
    assert [event.get("is_final") for event in events] == [None] * (len(events) - 1) + [True] * bool(audio)
    assert ["alignment" in event for event in events] == [index == 0 for index in range(len(events))]


@given(seconds=st.floats(0, 2), audio_format=st.sampled_from(["pcm_8000", "pcm_22050", "ulaw_8000"]))
def test_a_tone_is_as_long_as_asked_for(seconds, audio_format):
    bytes_per_sample = 1 if audio_format.startswith("ulaw") else 2
    length = len(tone(seconds, audio_format))
    assert length % bytes_per_sample == 0
    assert abs(length - seconds * bytes_per_second(audio_format)) <= bytes_per_sample


def test_paced_speech_comes_in_real_time():
    with conversation([Say(None, seconds=0.2, chunk_seconds=0.05, pace=1.0)]) as (_, client):
        client.receive()
        first = time.monotonic()
        assert client.receive_types(3) == ["audio"] * 3
        assert time.monotonic() - first >= 0.12


def test_thousands_of_messages_go_out_back_to_back():
    message = json.dumps({"type": "audio", "audio_event": {"audio_base_64": "A" * 10_668, "event_id": 1}})
    with conversation([Repeat(SendRaw(message), 5_000), Close(1000)]) as (_, client):
        assert sum(1 for _ in client.connection) == 5_000
