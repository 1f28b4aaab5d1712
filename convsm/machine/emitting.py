"""What the emitters of every table need: to emit, and to arm timers whose late firing can be told."""

from __future__ import annotations

from convsm.machine.effects import CancelTimer, Effect, SetTimer
from convsm.machine.events import TimerFired

__all__ = ["Emitting"]


class Emitting:
    """Mixed into a class that has these three as its data."""

    __slots__ = ()

    timers: dict[str, int]
    last_token: int
    _effects: list[Effect]

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _arm(self, name: str, seconds: float) -> None:
        self.last_token += 1  # type: ignore[misc]  # the slot is that of the class it is mixed into
        self.timers[name] = self.last_token
        self._emit(SetTimer(name, seconds, self.last_token))

    def _cancel(self, name: str) -> None:
        if self.timers.pop(name, None) is not None:
            self._emit(CancelTimer(name))

    def take_timer(self, event: TimerFired) -> None:
        """Remember that the timer is no longer armed."""
        del self.timers[event.name]
