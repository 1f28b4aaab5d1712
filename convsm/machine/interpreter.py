"""The interpreter: a table's rows, run by `transitions` as a pure function from events to effects.

This module and `running` are the only ones that know the library that interprets a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import attrs
from transitions import Machine

from convsm.machine.base import Event
from convsm.machine.effects import Effect, StateChanged, Unexpected
from convsm.machine.errors import RefusedCommand
from convsm.machine.rows import Row, State
from convsm.machine.running import RowMachine
from convsm.machine.validation import validate

if TYPE_CHECKING:
    from transitions import Event as Trigger
    from transitions.core import TransitionConfigDict

__all__ = ["Interpreter"]


@attrs.frozen
class Interpreter:
    """One table, ready to be run for any number of models. Read-only, so threads may share it.

    A model is an attrs instance with the table's guards and emitters as methods, its current state
    as ``state``, and a list ``_effects`` that the emitters append to.

    Attributes:
        machine: The table as the library holds it. Without a model nothing is decorated and nothing
            is kept; without auto transitions and queue it is read-only at run time.
        triggers: What the library does with each class of events.
        commands: The classes that are commands.
        alphabet: Whose alphabet it is, for messages.
    """

    machine: Machine
    triggers: Mapping[type[Event], Trigger]
    commands: tuple[type[Event], ...]
    alphabet: str

    @classmethod
    def of(
        cls,
        states: tuple[State, ...],
        rows: tuple[Row, ...],
        initial: str,
        events: Mapping[str, type[Event]],
        commands: tuple[type[Event], ...],
        groups: Mapping[str, tuple[str, ...]],
        guards: Sequence[type],
        emitters: type,
        alphabet: str,
    ) -> Interpreter:
        """Check a table and make it ready.

        Args:
            states: The states.
            rows: The rows, in order.
            initial: Name of the first state.
            events: The event classes, by name.
            commands: Those of them that are commands.
            groups: Named groups of states.
            guards: The classes whose own public methods are the guards; the first has all of them.
            emitters: The class whose public methods are the emitters, those of the guards left out.
            alphabet: Whose alphabet it is, for messages.

        Raises:
            TableError: Something is unknown, unused, doubled or shadowed.
        """
        validate(states, rows, initial, events, groups, guards, emitters)
        machine = RowMachine(
            model=None,
            states=[{"name": state.name, "on_exit": state.on_leave} for state in states],
            transitions=_config(rows),
            initial=initial,
            auto_transitions=False,
            queued=False,
            send_event=False,
        )
        triggers = {kind: machine.events[name] for name, kind in events.items()}
        return cls(machine, triggers, commands, alphabet)

    def handle(self, model: Any, event: Event) -> tuple[Effect, ...]:
        """Let a model take one event; see ``Session.handle``."""
        kind = type(event)
        trigger = self.triggers.get(kind)
        if trigger is None:
            raise TypeError(f"{kind.__name__} is not an event of the {self.alphabet}")
        source = model.state
        if source not in trigger.transitions:
            if kind in self.commands:
                raise RefusedCommand(kind.__name__, source, self.accepts(source))
            return (Unexpected(kind.__name__, source),)
        collected: list[Effect] = []
        model._effects = collected
        trigger.trigger(model, event)
        model._effects = []  # let go: they may hold a long piece of speech
        if model.state != source:
            return (StateChanged(source, model.state, kind.__name__, event.at), *collected)
        return tuple(collected)

    def accepts(self, state: str) -> tuple[str, ...]:
        """Return the names of the commands that a state has rows for."""
        return tuple(kind.__name__ for kind in self.commands if state in self.triggers[kind].transitions)


def _config(rows: tuple[Row, ...]) -> list[TransitionConfigDict]:
    return [
        {
            "trigger": row.trigger,
            "source": list(row.sources),
            "dest": row.target,
            "conditions": row.when,  # type: ignore[typeddict-item]  # tuples are taken, and cannot be written to
            "before": row.do,  # type: ignore[typeddict-item]
        }
        for row in deepcopy(rows)
    ]
