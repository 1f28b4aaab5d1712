from __future__ import annotations

import json
from typing import Any

import pytest

from convsm.errors import ConfigurationError, ProtocolError
from convsm.protocols.openai_options import (
    FunctionTool,
    RealtimeOptions,
    SemanticVad,
    ServerVad,
    Transcription,
    session_update,
)

SECRET = "5ecret"


def session(options: RealtimeOptions) -> dict[str, Any]:
    update: dict[str, Any] = json.loads(session_update(options))
    assert (update["type"], update["event_id"]) == ("session.update", "convsm_session_update")
    return update["session"]  # type: ignore[no-any-return]


def test_without_options_the_server_ends_turns_and_writes_down_what_is_said():
    assert session(RealtimeOptions()) == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}},
        },
    }


def test_every_option_has_its_place():
    said = session(
        RealtimeOptions(
            "Be kind.",
            voice="marin",
            speed=1.25,
            tools=["ping", FunctionTool("weather", "The weather.", {"type": "object"}), {"type": "mcp"}],
            tool_choice="weather",
            parallel_tool_calls=False,
            max_output_tokens=300,
            turn_detection=ServerVad(0.6, 200, 400, 6000, create_response=False, interrupt_response=False),
            transcription=Transcription("whisper-1", "en", "names", {"delay": "low"}),
            noise_reduction="far_field",
            noise_reduction_strength=0.5,
            input_format="ulaw_8000",
            output_format="alaw_8000",
            truncation=0.8,
            reasoning_effort="low",
            more={"tracing": "auto"},
        )
    )
    assert said == {
        "type": "realtime",
        "instructions": "Be kind.",
        "output_modalities": ["audio"],
        "tools": [
            {"type": "function", "name": "ping", "parameters": {"type": "object", "properties": {}}},
            {
                "type": "function",
                "name": "weather",
                "description": "The weather.",
                "parameters": {"type": "object"},
            },
            {"type": "mcp"},
        ],
        "tool_choice": {"type": "function", "name": "weather"},
        "parallel_tool_calls": False,
        "max_output_tokens": 300,
        "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
        "reasoning": {"effort": "low"},
        "tracing": "auto",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "whisper-1", "language": "en", "prompt": "names", "delay": "low"},
                "noise_reduction": {"type": "far_field", "strength": 0.5},
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.6,
                    "prefix_padding_ms": 200,
                    "silence_duration_ms": 400,
                    "idle_timeout_ms": 6000,
                    "create_response": False,
                    "interrupt_response": False,
                },
            },
            "output": {"format": {"type": "audio/pcma"}, "voice": "marin", "speed": 1.25},
        },
    }


def test_what_is_switched_off_is_said():
    options = RealtimeOptions(output_modality="text", turn_detection=None, transcription=None)
    assert session(options)["output_modalities"] == ["text"]
    heard = session(options)["audio"]["input"]
    assert (heard["turn_detection"], heard["transcription"]) == (None, None)


def test_a_model_may_end_the_turns():
    said = session(RealtimeOptions(turn_detection=SemanticVad("low")))["audio"]["input"]["turn_detection"]
    assert said == {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": True,
        "interrupt_response": True,
    }


@pytest.mark.parametrize("choice", ["auto", "none", "required", {"type": "mcp", "server_label": "docs"}])
@pytest.mark.parametrize("truncation", ["auto", "disabled", {"type": "retention_ratio"}])
def test_what_the_protocol_knows_goes_out_as_it_is(choice, truncation):
    said = session(RealtimeOptions(tool_choice=choice, truncation=truncation, max_output_tokens="inf"))
    assert (said["tool_choice"], said["truncation"], said["max_output_tokens"]) == (choice, truncation, "inf")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"speed": 2}, "speed is 2; give a number from 0.25 to 1.5"),
        ({"speed": True}, "speed is True"),
        ({"output_modality": "video"}, "output_modality is 'video'; choose one of 'audio', 'text'"),
        ({"output_modality": "text", "voice": "marin"}, "voice and speed do nothing to text"),
        ({"max_output_tokens": 0}, "max_output_tokens is 0; give 1 to 4096, or 'inf'"),
        ({"input_format": "pcm_16000"}, "input_format is 'pcm_16000'; choose one of 'pcm_24000'"),
        ({"noise_reduction": "loud"}, "noise_reduction is 'loud'"),
        ({"noise_reduction_strength": 0.5}, "needs noise_reduction"),
        ({"truncation": 1.5}, "truncation is 1.5"),
        ({"tools": "weather"}, "tools is a single tool"),
    ],
)
def test_an_option_that_is_wrong_is_named(wrong, named):
    with pytest.raises(ConfigurationError, match=named):
        RealtimeOptions(**wrong)


def test_an_option_of_turn_detection_that_is_wrong_is_named():
    with pytest.raises(ConfigurationError, match="threshold is 2; give a number from 0 to 1"):
        ServerVad(2)
    with pytest.raises(ConfigurationError, match="eagerness is 'very'"):
        SemanticVad("very")  # type: ignore[arg-type]


def test_who_stops_the_response_is_known():
    assert RealtimeOptions().is_interrupted_by_server
    assert RealtimeOptions(turn_detection=None).is_interrupted_by_server
    assert not RealtimeOptions(turn_detection=SemanticVad(interrupt_response=False)).is_interrupted_by_server


def test_what_the_agent_is_told_is_not_shown():
    options = RealtimeOptions(SECRET, transcription=Transcription(prompt=SECRET), more={"key": SECRET})
    assert SECRET not in repr(options)


def test_what_json_cannot_express_is_refused():
    with pytest.raises(ProtocolError):
        session_update(RealtimeOptions(more={"key": object()}))
