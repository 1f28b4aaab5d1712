"""The input alphabet: complete, frozen, documented to the field."""

from __future__ import annotations

import inspect
import re
from random import Random

import attrs
import pytest

from convsm.machine import events
from convsm.machine.events import COMMANDS, EVENTS, LOCAL_EVENTS, SERVER_EVENTS, Event, Start, stamp
from convsm.testing.noise import hostile_event

# One event of each class.
EXAMPLES = {type(event): event for event in map(hostile_event, [Random(0)] * 2_000)}

every_event = pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)


def documented_fields(kind: type) -> list[str]:
    """Return the names under Attributes in a class's docstring, in order."""
    text = inspect.cleandoc(kind.__doc__ or "")
    return re.findall(r"^    (\w+): \S", text.partition("Attributes:\n")[2], re.MULTILINE)


def test_every_event_class_is_in_the_alphabet_once():
    classes = {
        name: kind
        for name, kind in vars(events).items()
        if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    }
    assert classes == EVENTS
    assert len(COMMANDS) + len(SERVER_EVENTS) + len(LOCAL_EVENTS) == len(EVENTS)
    assert set(events.__all__) >= set(EVENTS)


@every_event
def test_an_event_is_frozen_and_slotted(kind):
    assert "__slots__" in vars(kind)
    assert not hasattr(EXAMPLES[kind], "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        EXAMPLES[kind].at = 1.0  # type: ignore[misc]


@every_event
def test_every_field_of_an_event_is_documented(kind):
    assert documented_fields(kind) == [field.name for field in attrs.fields(kind) if field.name != "at"]
    assert documented_fields(Event) == ["at"]


@every_event
def test_the_time_is_the_last_word_of_every_event(kind):
    assert attrs.fields(kind).at.kw_only
    assert attrs.fields(kind).at.default == 0.0


def test_a_time_is_stamped_before_anybody_else_sees_the_event():
    event = Start()
    stamp(event, 12.5)
    assert event == Start(at=12.5)
