"""How `transitions` runs a row here: guards and emitters are called by name, without a detour.

Of an internal row, which most are, the library as it comes spends three quarters on its own paths for
callbacks that no row of ours has: preparation, finalisers, models that are decorated, queues. What is
left to it is what it is here for: the states, the rows of a state in their order, and the change of
state. An internal row takes 2 µs, not 7.
"""

from __future__ import annotations

from typing import Any

from transitions import Event, EventData, Machine, Transition

__all__ = ["RowMachine"]


class RowTransition(Transition):
    """One row for one of its sources."""

    def run(self, trigger: Event, model: Any, event: object) -> bool:
        """Take the row if its guards hold; return whether they do.

        Args:
            trigger: The library's event, for a change of state.
            model: Whose guards and emitters are meant.
            event: The event to hand to them.
        """
        for condition in self.conditions:
            if not getattr(model, str(condition.func))(event):
                return False
        for name in self.before:
            getattr(model, str(name))(event)
        if self.dest:
            state = trigger.machine.get_state(self.source)
            self._change_state(EventData(state, trigger, trigger.machine, model, args=(event,), kwargs={}))
        return True


class RowTrigger(Event):
    """All rows of one trigger."""

    def trigger(self, model: Any, *args: Any, **kwargs: Any) -> bool:
        """Take the first row of the model's state whose guards hold; return True."""
        (event,) = args
        rows: Any = iter(self.transitions[model.state])
        # The last row of a state asks nothing, or the table is refused; so one is always taken.
        while not next(rows).run(self, model, event):
            pass
        return True


class RowMachine(Machine):
    """A machine that runs rows so."""

    transition_cls = RowTransition
    event_cls = RowTrigger
