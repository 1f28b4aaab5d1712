"""The reference interpreter: the same rows, the same methods of the model, without `transitions`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from convsm.machine import ROWS, STATES, RefusedCommand, Row
from convsm.machine.effects import Effect, StateChanged, Unexpected
from convsm.machine.events import COMMANDS, Event

__all__ = ["interpret"]

ON_LEAVE = {state.name: state.on_leave for state in STATES}


def interpret(
    model: Any,
    event: Event,
    table: Iterable[Row] = ROWS,
    on_leave: Mapping[str, tuple[str, ...]] = ON_LEAVE,
    commands: tuple[type[Event], ...] = COMMANDS,
) -> tuple[Effect, ...]:
    """Do what ``Session.handle`` must do, or the same with another table."""
    name, source = type(event).__name__, model.state
    rows = [row for row in table if row.trigger == name and source in row.sources]
    if not rows and type(event) in commands:
        raise RefusedCommand(name, source, model.accepts())
    if not rows:
        return (Unexpected(name, source),)
    row = next(row for row in rows if all(getattr(model, guard)(event) for guard in row.when))
    effects: list[Effect] = []
    model._effects = effects
    for emitter in row.do:
        getattr(model, emitter)(event)
    if row.target is None:
        return tuple(effects)
    for emitter in on_leave[source]:
        getattr(model, emitter)(event)
    model.state = row.target
    return (StateChanged(source, row.target, name, event.at), *effects)
