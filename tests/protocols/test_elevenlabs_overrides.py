from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convsm
from convsm.errors import ConfigurationError
from convsm.protocols.elevenlabs_overrides import (
    AgentOverride,
    AsrOverride,
    ConfigurationOverride,
    ConversationOverride,
    KnowledgeBaseDocument,
    PromptOverride,
    SoftTimeoutOverride,
    SourceInfo,
    ToolMocking,
    TtsOverride,
    TurnOverride,
    said,
)

PARTS = [
    AgentOverride,
    AsrOverride,
    ConfigurationOverride,
    ConversationOverride,
    PromptOverride,
    SoftTimeoutOverride,
    SourceInfo,
    ToolMocking,
    TtsOverride,
    TurnOverride,
]
EVERYTHING = ConfigurationOverride(
    agent=AgentOverride(
        first_message="Tere!",
        language="et",
        max_conversation_duration_message="Time is up.",
        prompt=PromptOverride(
            prompt="Be brief.",
            llm="gpt-x",
            tool_ids=["tool_1"],
            native_mcp_server_ids=["mcp_1"],
            knowledge_base=[
                KnowledgeBaseDocument(type="file", name="Menu", id="doc_1", usage_mode="auto"),
                KnowledgeBaseDocument(type="url", name="Hours", id="doc_2"),
            ],
        ),
    ),
    tts=TtsOverride(voice_id="v", model_id="m", stability=0.5, speed=1.2, similarity_boost=1),
    asr=AsrOverride(keywords=["Tallinn"]),
    turn=TurnOverride(soft_timeout_config=SoftTimeoutOverride(message="Hm…")),
    conversation=ConversationOverride(text_only=False, client_events=["audio", "ping"]),
)


# What is said


def test_everything_has_its_place_on_the_wire():
    assert EVERYTHING.to_dict() == {
        "agent": {
            "first_message": "Tere!",
            "language": "et",
            "max_conversation_duration_message": "Time is up.",
            "prompt": {
                "prompt": "Be brief.",
                "llm": "gpt-x",
                "tool_ids": ["tool_1"],
                "native_mcp_server_ids": ["mcp_1"],
                "knowledge_base": [
                    {"type": "file", "name": "Menu", "id": "doc_1", "usage_mode": "auto"},
                    {"type": "url", "name": "Hours", "id": "doc_2"},
                ],
            },
        },
        "tts": {"voice_id": "v", "model_id": "m", "stability": 0.5, "speed": 1.2, "similarity_boost": 1},
        "asr": {"keywords": ["Tallinn"]},
        "turn": {"soft_timeout_config": {"message": "Hm…"}},
        "conversation": {"text_only": False, "client_events": ["audio", "ping"]},
    }


def test_what_is_none_is_not_said_nor_is_a_part_without_anything():
    nothing = ConfigurationOverride(
        agent=AgentOverride(prompt=PromptOverride()), turn=TurnOverride(soft_timeout_config=None)
    )
    assert nothing.to_dict() == ConfigurationOverride().to_dict() == {}


def test_what_is_empty_or_zero_or_false_is_said():
    override = ConfigurationOverride(
        agent=AgentOverride(first_message="", prompt=PromptOverride(tool_ids=[])),
        tts=TtsOverride(stability=0),
        conversation=ConversationOverride(text_only=False),
    )
    assert override.to_dict() == {
        "agent": {"first_message": "", "prompt": {"tool_ids": []}},
        "tts": {"stability": 0},
        "conversation": {"text_only": False},
    }


def test_what_the_classes_do_not_know_is_merged_into_what_they_do():
    override = ConfigurationOverride(
        tts=TtsOverride(speed=1.1),
        extra={"tts": {"clone_strength": 0.5}, "conversation": {"max_duration_seconds": 60}, "new": [1]},
    )
    assert override.to_dict() == {
        "tts": {"speed": 1.1, "clone_strength": 0.5},
        "conversation": {"max_duration_seconds": 60},
        "new": [1],
    }


@pytest.mark.parametrize("extra", [{"tts": {"speed": 1.1}}, {"tts": None}, {"tts": 5}])
def test_what_is_said_already_is_not_said_again(extra):
    with pytest.raises(ConfigurationError, match=r"extra holds tts(\.speed)?, which is given already"):
        ConfigurationOverride(tts=TtsOverride(speed=1.1), extra=extra)


def test_neither_values_nor_a_users_lists_are_shared_or_changed():
    words = ["a"]
    override = AsrOverride(keywords=words)
    words.append("b")
    assert said(override) == {"keywords": ["a"]}
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        override.keywords = ("c",)  # type: ignore[misc]
    extra = {"tts": {"x": 1}}
    ConfigurationOverride(tts=TtsOverride(speed=1), extra=extra).to_dict()["tts"]["y"] = 2
    assert extra == {"tts": {"x": 1}}


# What is refused


@pytest.mark.parametrize(
    ("name", "low", "high"), [("stability", 0, 1), ("similarity_boost", 0, 1), ("speed", 0.7, 5)]
)
@given(value=st.floats() | st.integers())
def test_a_number_is_taken_within_its_range_only(name, low, high, value):
    if low <= value <= high:
        assert said(TtsOverride(**{name: value})) == {name: value}
    else:
        with pytest.raises(
            ConfigurationError, match=rf"TtsOverride\.{name} is not a number from {low} to {high}"
        ):
            TtsOverride(**{name: value})


WRONG: list[tuple[type, dict[str, Any]]] = [
    (TtsOverride, {"stability": True}),
    (TtsOverride, {"speed": "1"}),
    (TtsOverride, {"voice_id": 5}),
    (AgentOverride, {"prompt": "Be brief."}),
    (AgentOverride, {"language": b"et"}),
    (PromptOverride, {"tool_ids": "tool_1"}),
    (PromptOverride, {"tool_ids": 5}),
    (PromptOverride, {"native_mcp_server_ids": [5]}),
    (PromptOverride, {"knowledge_base": [{"type": "file"}]}),
    (PromptOverride, {"knowledge_base": "doc_1"}),
    (AsrOverride, {"keywords": {"a": "b"}}),
    (ConversationOverride, {"text_only": "yes"}),
    (ConversationOverride, {"text_only": 1}),
    (ConversationOverride, {"client_events": "audio"}),
    (TurnOverride, {"soft_timeout_config": {"message": "Hm"}}),
    (ConfigurationOverride, {"agent": {"language": "et"}}),
    (ConfigurationOverride, {"tts": AgentOverride()}),
    (ConfigurationOverride, {"extra": [1]}),
    (KnowledgeBaseDocument, {"type": "book", "name": "n", "id": "i"}),
    (KnowledgeBaseDocument, {"usage_mode": "whole", "type": "file", "name": "n", "id": "i"}),
    (ToolMocking, {"mocking_strategy": "some"}),
    (ToolMocking, {"fallback_strategy": ["raise_error"]}),
    (ToolMocking, {"mocked_tool_names": ["t"]}),
    (ToolMocking, {"mocked_tool_names": ["t"], "mocking_strategy": "all"}),
    (SourceInfo, {"version": "1" * 51}),
]


@pytest.mark.parametrize(("kind", "arguments"), WRONG)
def test_a_wrong_value_is_refused_when_it_is_given_by_the_name_of_its_field(kind, arguments):
    with pytest.raises(ConfigurationError, match=f"^{kind.__name__}.{next(iter(arguments))} "):
        kind(**arguments)


def test_names_of_mocked_tools_go_with_their_strategy():
    mocking = ToolMocking(
        mocking_strategy="selected", mocked_tool_names=["t"], fallback_strategy="raise_error"
    )
    assert said(mocking) == {
        "mocking_strategy": "selected",
        "mocked_tool_names": ["t"],
        "fallback_strategy": "raise_error",
    }
    assert said(SourceInfo(version="1" * 50)) == {"version": "1" * 50}


# Shape


@pytest.mark.parametrize("kind", PARTS)
def test_every_field_is_optional_and_given_by_name(kind):
    assert said(kind()) == {}
    with pytest.raises(TypeError):
        kind("x")


def test_what_is_personal_is_not_shown():
    shown = repr(EVERYTHING) + repr(ConfigurationOverride(extra={"x": "hush"}))
    for text in ("Tere!", "Be brief", "Time is up", "Tallinn", "Menu", "Hm…", "hush"):
        assert text not in shown
    assert "stability=0.5" in shown


def test_the_classes_are_found_at_the_top():
    for kind in [*PARTS, KnowledgeBaseDocument]:
        assert getattr(convsm, kind.__name__) is kind
