"""The output alphabet: complete, frozen, documented, and each effect asked for by somebody."""

from __future__ import annotations

import attrs
import pytest

from convsm.machine import Session, effects
from convsm.machine.effects import (
    EFFECTS,
    CancelReply,
    Effect,
    Interruption,
    ItemHeard,
    Pong,
    RequestReply,
    ToolResult,
)
from convsm.machine.events import Event
from tests.machine.sequences import walk
from tests.machine.test_events import documented_fields

MESSAGES = (Pong, ToolResult, Interruption, RequestReply, CancelReply, ItemHeard)

every_effect = pytest.mark.parametrize("kind", [*EFFECTS.values(), *MESSAGES], ids=lambda kind: kind.__name__)


def test_every_effect_class_is_in_the_alphabet():
    classes = {
        name: kind
        for name, kind in vars(effects).items()
        if isinstance(kind, type) and issubclass(kind, Effect) and kind is not Effect
    }
    assert classes == EFFECTS
    assert set(effects.__all__) >= set(EFFECTS)


@every_effect
def test_an_effect_is_frozen_slotted_and_documented(kind):
    assert "__slots__" in vars(kind)
    assert documented_fields(kind) == [field.name for field in attrs.fields(kind)]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Pong(1).ping_id = 2  # type: ignore[misc]


def test_every_effect_is_asked_for():
    found: set[type[Effect]] = set()

    def collect(session: Session, event: Event) -> tuple[Effect, ...]:
        asked = session.handle(event)
        found.update(map(type, asked))
        return asked

    for seed in range(300):
        walk(seed, collect, noise=0.1)
    assert found == set(EFFECTS.values())
