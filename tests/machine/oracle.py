"""The reference interpreter: the same rows, the same Session methods, without `transitions`."""

from __future__ import annotations

from convsm.machine import ROWS, STATES, RefusedCommand, Session
from convsm.machine.effects import Effect, StateChanged, Unexpected
from convsm.machine.events import COMMANDS, Event

__all__ = ["interpret"]

ON_LEAVE = {state.name: state.on_leave for state in STATES}


def interpret(session: Session, event: Event) -> tuple[Effect, ...]:
    """Do what ``Session.handle`` must do."""
    name, source = type(event).__name__, session.state
    rows = [row for row in ROWS if row.trigger == name and source in row.sources]
    if not rows and type(event) in COMMANDS:
        raise RefusedCommand(name, source, session.accepts())
    if not rows:
        return (Unexpected(name, source),)
    row = next(row for row in rows if all(getattr(session, guard)(event) for guard in row.when))
    effects: list[Effect] = []
    session._effects = effects
    for emitter in row.do:
        getattr(session, emitter)(event)
    if row.target is None:
        return tuple(effects)
    for emitter in ON_LEAVE[source]:
        getattr(session, emitter)(event)
    session.state = row.target
    return (StateChanged(source, row.target, name, event.at), *effects)
