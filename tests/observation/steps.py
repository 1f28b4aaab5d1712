"""A session that reducers watch: its steps, at times of the test's choice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import attrs

from convsm.machine import RefusedCommand, Session, SessionOptions
from convsm.machine.effects import Effect
from convsm.machine.events import AudioStarted, Event, SessionReady, SocketOpened, Start, stamp

__all__ = ["OPENING", "Watched", "feed", "watch"]

OPENING = (Start(), SocketOpened(), SessionReady("conversation_1"), AudioStarted())


class Reducer(Protocol):
    def observe(self, event: Event, asked: tuple[Effect, ...]) -> tuple[object, ...]: ...


@attrs.define
class Watched:
    """A session and the reducer that is fed its steps."""

    reducer: Reducer
    session: Session = attrs.field(factory=Session)
    told: list[object] = attrs.field(factory=list)

    def step(self, event: Event, at: float | None = None) -> tuple[object, ...]:
        if at is not None:
            event = attrs.evolve(event)
            stamp(event, at)
        told = self.reducer.observe(event, self.session.handle(event))
        self.told += told
        return told

    def steps(self, at: float, *events: Event) -> None:
        for event in events:
            self.step(event, at)


def watch(reducer: Reducer, text_only: bool = False, **options: Any) -> Watched:
    """Return a session in listening at the time 0, all of whose steps the reducer saw."""
    watched = Watched(reducer, Session(SessionOptions(text_only=text_only, **options)))
    watched.steps(0.0, *(OPENING[:3] if text_only else OPENING))
    watched.told.clear()
    return watched


def feed(reducer: Reducer, options: SessionOptions, events: Iterable[Event]) -> list[object]:
    """Feed a reducer the steps that a session of its own takes; refused commands are no steps."""
    session = Session(options)
    told: list[object] = []
    for event in events:
        try:
            asked = session.handle(event)
        except RefusedCommand:
            continue
        told += reducer.observe(event, asked)
    return told
