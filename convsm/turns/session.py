"""The user and their turn: the second table as a pure function from events to effects."""

from __future__ import annotations

import attrs

from convsm.machine.base import Event
from convsm.machine.effects import Effect
from convsm.machine.interpreter import Interpreter
from convsm.turns.emitters import TurnEmitters
from convsm.turns.events import COMMANDS, EVENTS
from convsm.turns.guards import TurnGuards
from convsm.turns.table import GROUPS, INITIAL, ROWS, STATES
from convsm.turns.words import WordGuards

__all__ = ["UserTurn"]


@attrs.define
class UserTurn(TurnEmitters):
    """One user's turns in one conversation. ``TurnTaking`` runs it together with that conversation."""

    def handle(self, event: Event) -> tuple[Effect, ...]:
        """Take one event and return what is to be done about it.

        Args:
            event: An instance of one of the event classes of ``convsm.turns.events``.

        Returns:
            The effects, in order; a change of state is the first, as StateChanged.

        Raises:
            RefusedCommand: A command came in a state that has no row for it. Nothing was changed.
            TypeError: The event is not of the input alphabet.
        """
        return INTERPRETER.handle(self, event)


INTERPRETER = Interpreter.of(
    STATES, ROWS, INITIAL, EVENTS, COMMANDS, GROUPS, (TurnGuards, WordGuards), TurnEmitters, "user's turn"
)
