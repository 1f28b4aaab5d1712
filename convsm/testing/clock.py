"""A virtual clock: timers that fire when a test says that time has passed."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Hashable

__all__ = ["ManualTimers"]


class ManualTimers:
    """Timers on virtual time, in place of a driver's own.

    Time stands still until ``advance``. Timers fire on the thread that advances, in order of their
    deadlines; one that sets another within the advanced time has that fire too.
    """

    def __init__(self, on_wake: Callable[[], None] = lambda: None) -> None:
        """Start at zero, without timers.

        Args:
            on_wake: What ``wake`` calls, at once.
        """
        self._on_wake = on_wake
        self._lock = threading.Lock()
        self._now = 0.0
        self._count = 0
        self._armed: dict[Hashable, tuple[float, int, Callable[[], None]]] = {}

    def clock(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def set(self, key: Hashable, seconds: float, fire: Callable[[], None]) -> None:
        """Call ``fire`` once so many seconds have passed; one with the same key is replaced."""
        with self._lock:
            self._count += 1
            self._armed[key] = (self._now + seconds, self._count, fire)

    def cancel(self, key: Hashable) -> None:
        """Cancel the timer of that key, if any."""
        with self._lock:
            self._armed.pop(key, None)

    def wake(self) -> None:
        """Call ``on_wake``."""
        self._on_wake()

    @property
    def armed(self) -> dict[Hashable, float]:
        """The armed timers and in how many seconds each fires."""
        with self._lock:
            return {key: deadline - self._now for key, (deadline, _, _) in self._armed.items()}

    def advance(self, seconds: float) -> None:
        """Let time pass, and fire what becomes due."""
        until = self._now + seconds
        while True:
            with self._lock:
                due = heapq.nsmallest(
                    1, ((deadline, count, key) for key, (deadline, count, _) in self._armed.items())
                )
                if not due or due[0][0] > until:
                    self._now = until
                    return
                self._now = max(self._now, due[0][0])
                _, _, fire = self._armed.pop(due[0][2])
            fire()

    def close(self) -> None:
        """Cancel all timers."""
        with self._lock:
            self._armed.clear()

    def join(self, timeout: float) -> bool:
        """Return at once: there is no thread."""
        return True
