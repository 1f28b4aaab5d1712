"""The Session: the table of a conversation as a pure function from events to effects."""

from __future__ import annotations

import attrs

from convsm.machine.effects import Effect
from convsm.machine.emitters import Emitters
from convsm.machine.events import COMMANDS, EVENTS, Event
from convsm.machine.guards import Guards
from convsm.machine.interpreter import Interpreter
from convsm.machine.table import GROUPS, INITIAL, ROWS, STATES

__all__ = ["Session"]


@attrs.define
class Session(Emitters):
    """One conversation's state machine: no thread, no clock, no I/O, nothing random.

    Feed it events with ``handle`` and perform the effects it returns, in order, before the next
    event. The same events always give the same effects. A session is used for one conversation;
    make a new one for the next. It is not thread-safe: whoever calls ``handle`` must be alone.
    """

    def handle(self, event: Event) -> tuple[Effect, ...]:
        """Take one event and return what is to be done about it.

        Args:
            event: An instance of one of the event classes, possible in any state.

        Returns:
            The effects, in order. A change of state is always the first, as StateChanged; an
            event that has no row in this state gives a single Unexpected.

        Raises:
            RefusedCommand: A command came in a state that has no row for it. Nothing was changed.
            TypeError: The event is not of the input alphabet.
        """
        return INTERPRETER.handle(self, event)

    def accepts(self) -> tuple[str, ...]:
        """Return the names of the commands that the current state has rows for."""
        return INTERPRETER.accepts(self.state)


# One interpreter for all sessions.
INTERPRETER = Interpreter.of(STATES, ROWS, INITIAL, EVENTS, COMMANDS, GROUPS, (Guards,), Emitters, "session")
MACHINE = INTERPRETER.machine
