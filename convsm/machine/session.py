"""The Session: the table, run by `transitions`, as a pure function from events to effects.

This module and `running` are the only ones that know the library that interprets the table.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import attrs

from convsm.machine.effects import Effect, StateChanged, Unexpected
from convsm.machine.emitters import Emitters
from convsm.machine.errors import RefusedCommand
from convsm.machine.events import COMMANDS, EVENTS, Event
from convsm.machine.guards import Guards
from convsm.machine.running import RowMachine
from convsm.machine.table import GROUPS, INITIAL, ROWS, STATES
from convsm.machine.validation import validate

if TYPE_CHECKING:
    from transitions.core import TransitionConfigDict

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
        kind = type(event)
        trigger = _TRIGGERS.get(kind)
        if trigger is None:
            raise TypeError(f"{kind.__name__} is not an event of the session")
        source = self.state
        if source not in trigger.transitions:
            if kind in COMMANDS:
                raise RefusedCommand(kind.__name__, source, self.accepts())
            return (Unexpected(kind.__name__, source),)
        collected: list[Effect] = []
        self._effects = collected
        trigger.trigger(self, event)
        self._effects = []  # let go: they may hold a long piece of speech
        if self.state != source:
            return (StateChanged(source, self.state, kind.__name__, event.at), *collected)
        return tuple(collected)

    def accepts(self) -> tuple[str, ...]:
        """Return the names of the commands that the current state has rows for."""
        return tuple(kind.__name__ for kind in COMMANDS if self.state in _TRIGGERS[kind].transitions)


validate(STATES, ROWS, INITIAL, EVENTS, GROUPS, Guards, Emitters)


def _config() -> list[TransitionConfigDict]:
    return [
        {
            "trigger": row.trigger,
            "source": list(row.sources),
            "dest": row.target,
            "conditions": row.when,  # type: ignore[typeddict-item]  # tuples are taken, and cannot be written to
            "before": row.do,  # type: ignore[typeddict-item]
        }
        for row in deepcopy(ROWS)
    ]


# One interpreter for all sessions. Without a model nothing is decorated and nothing is kept; without
# auto transitions and queue it is read-only at run time, so threads may share it.
MACHINE = RowMachine(
    model=None,
    states=[{"name": state.name, "on_exit": state.on_leave} for state in STATES],
    transitions=_config(),
    initial=INITIAL,
    auto_transitions=False,
    queued=False,
    send_event=False,
)

_TRIGGERS = {kind: MACHINE.events[name] for name, kind in EVENTS.items()}
