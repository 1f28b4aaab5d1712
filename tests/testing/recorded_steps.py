"""Recorded steps of sessions, and how to spoil them."""

from __future__ import annotations

from typing import Any

import pytest

from convsm.machine import RefusedCommand, Session, SessionOptions, events
from convsm.machine.effects import Effect
from convsm.machine.events import Event
from convsm.testing.invariants import (
    Invariant,
    check_all,
)
from convsm.testing.observation import ObservedStep, snapshot
from tests.helpers import AUDIO, READY

__all__ = ["CALL", "ENDED", "SPEAK", "START", "fails", "spoil", "steps", "with_", "without"]

START = (events.Start(), events.SocketOpened(), READY, events.AudioStarted())
SPEAK = (*START, events.AgentAudio(AUDIO, 1))
ENDED = (*START, events.End(), events.AudioStopped(), events.SocketClosed(1000))
CALL = events.ToolCalled("call_1", "weather")


def steps(*came: Event, **options: Any) -> list[ObservedStep]:
    """Return the steps of a session that handles these events."""
    session, taken = Session(SessionOptions(**options)), []
    for event in came:
        before = snapshot(session)
        try:
            asked = session.handle(event)
        except RefusedCommand:
            asked = ()
        taken.append(ObservedStep(before, event, asked, snapshot(session)))
    return taken


def spoil(step: ObservedStep, *asked: Effect, **after: Any) -> ObservedStep:
    """Return a step with other effects, and other data afterwards."""
    session = snapshot(step.after)
    for name, value in after.items():
        setattr(session, name, value)
    return ObservedStep(step.before, step.event, asked, session)


def without(step: ObservedStep, kind: type[Effect]) -> ObservedStep:
    """Return a step that lacks the effects of one class."""
    kept = [effect for effect in step.effects if not isinstance(effect, kind)]
    assert len(kept) < len(step.effects)
    return spoil(step, *kept)


def with_(step: ObservedStep, *asked: Effect) -> ObservedStep:
    """Return a step with further effects."""
    return spoil(step, *step.effects, *asked)


def fails(invariant: type[Invariant], taken: list[ObservedStep], spoilt: ObservedStep, detail: str) -> None:
    """Assert that an invariant holds over steps, and not if the last of them is the spoilt one."""
    check_all(taken)
    with pytest.raises(AssertionError) as failure:
        check_all([*taken[:-1], spoilt], [invariant])
    text = str(failure.value)
    assert text.startswith(f"invariant {invariant.number} is broken: {invariant.sentence} But {detail}")
    assert repr(spoilt.before.state) in text
