from __future__ import annotations

import inspect

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.protocols import messages, reports, tool_reports
from convsm.protocols.messages import (
    AgentChatResponsePartType,
    AudioEventAlignment,
    Feedback,
    MultimodalMessage,
)

CLASSES = [kind for name in messages.__all__ if attrs.has(kind := getattr(messages, name))]


@pytest.mark.parametrize("kind", CLASSES)
def test_messages_are_frozen_values_with_slots(kind):
    assert attrs.has(kind)
    assert "__dict__" not in dir(kind)
    assert kind.__setattr__ is not object.__setattr__


@pytest.mark.parametrize("kind", CLASSES)
def test_every_field_of_a_message_is_documented(kind):
    # From Python 3.13 on the compiler strips the indentation of docstrings.
    documented = inspect.cleandoc(kind.__doc__).partition("Attributes:")[2]
    for name in attrs.fields_dict(kind):
        assert f"\n    {name}: " in documented


def test_all_reports_are_named_among_the_messages():
    assert {*reports.__all__, *tool_reports.__all__} < set(messages.__all__)


def test_alignment_has_the_reference_shape_and_missing_lists_are_empty():
    assert [field.name for field in attrs.fields(AudioEventAlignment)] == [
        "chars",
        "char_start_times_ms",
        "char_durations_ms",
    ]
    assert AudioEventAlignment() == AudioEventAlignment([], [], [])
    nothing = AudioEventAlignment(chars=None, char_start_times_ms=None, char_durations_ms=None)
    assert nothing == AudioEventAlignment()
    assert AudioEventAlignment(chars=["a"], char_start_times_ms=[0], char_durations_ms=[5]).chars == ["a"]


def test_two_alignments_share_no_list():
    assert AudioEventAlignment().chars is not AudioEventAlignment().chars


def test_part_types_are_the_strings_of_the_wire():
    assert [(part.name, part.value) for part in AgentChatResponsePartType] == [
        ("START", "start"),
        ("DELTA", "delta"),
        ("STOP", "stop"),
    ]
    assert {"stop": 1}[AgentChatResponsePartType.STOP] == 1


@given(st.text() | st.none() | st.integers())
def test_a_part_type_that_nobody_has_heard_of_is_a_delta(value):
    expected = {"start": AgentChatResponsePartType.START, "stop": AgentChatResponsePartType.STOP}
    assert AgentChatResponsePartType(value) is expected.get(value, AgentChatResponsePartType.DELTA)


def test_file_ids_may_come_in_any_iterable():
    assert MultimodalMessage(file_ids=["a", "b"]).file_ids == ("a", "b")
    assert MultimodalMessage().file_ids == ()


@pytest.mark.parametrize("score", ["like", "dislike", None])
def test_feedback_likes_dislikes_or_takes_back(score):
    assert Feedback(3, score).score == score


@pytest.mark.parametrize("score", ["love", "", True, 1])
def test_feedback_of_another_score_is_refused(score):
    with pytest.raises(ValueError, match="score"):
        Feedback(3, score)
