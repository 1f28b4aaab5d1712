"""Timers of a threaded session: one thread that waits for the next deadline."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Hashable
from typing import Protocol

__all__ = ["ThreadedTimers", "Timers"]


class Timers(Protocol):
    """Where a driver sets its timers; a virtual clock satisfies it too."""

    def clock(self) -> float:
        """Return monotonic seconds."""

    def set(self, key: Hashable, seconds: float, fire: Callable[[], None]) -> None:
        """Call ``fire`` in so many seconds; one with the same key is replaced."""

    def cancel(self, key: Hashable) -> None:
        """Cancel the timer of that key, if any."""

    def wake(self) -> None:
        """Have ``on_wake`` called soon, from another thread; never blocks."""

    def close(self) -> None:
        """Cancel all timers and end."""


class ThreadedTimers:
    """Timers on a daemon thread that starts with the first of them.

    A timer's function runs on that thread, which also does what real-time threads ask for by
    ``wake``. All methods may be called from any thread.
    """

    def __init__(self, on_wake: Callable[[], None]) -> None:
        """Make an empty set of timers.

        Args:
            on_wake: What ``wake`` has called.
        """
        self._on_wake = on_wake
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int, Hashable]] = []
        self._armed: dict[Hashable, tuple[int, Callable[[], None]]] = {}
        self._count = 0
        self._is_woken = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="convsm-timers", daemon=True)

    def clock(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    def set(self, key: Hashable, seconds: float, fire: Callable[[], None]) -> None:
        """Call ``fire`` in so many seconds; one with the same key is replaced."""
        with self._condition:
            if self._is_closed:
                return
            self._count += 1
            deadline = time.monotonic() + seconds
            self._armed[key] = (self._count, fire)
            heapq.heappush(self._heap, (deadline, self._count, key))
            if self._heap[0][1] == self._count:
                self._notify()

    def cancel(self, key: Hashable) -> None:
        """Cancel the timer of that key, if any."""
        with self._condition:
            self._armed.pop(key, None)
            # Cancelled ones stay in the heap until due; rebuild before they outnumber the rest.
            if len(self._heap) > 64 and len(self._heap) > 4 * len(self._armed):
                self._heap = [item for item in self._heap if self._armed.get(item[2], (0,))[0] == item[1]]
                heapq.heapify(self._heap)

    def wake(self) -> None:
        """Have ``on_wake`` called soon, on this thread."""
        with self._condition:
            self._is_woken = True
            self._notify()

    def _notify(self) -> None:
        if self._thread.ident is None:
            self._thread.start()
        self._condition.notify()

    def close(self) -> None:
        """Cancel all timers and end the thread; does not wait for it."""
        with self._condition:
            self._is_closed = True
            self._armed.clear()
            self._condition.notify()

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end; return whether it did."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            fire = self._next()
            if fire is None:
                return
            fire()

    def _next(self) -> Callable[[], None] | None:
        with self._condition:
            while True:
                if self._is_woken:
                    self._is_woken = False
                    return self._on_wake
                if self._is_closed:
                    return None
                if not self._heap:
                    self._condition.wait()
                    continue
                deadline, count, key = self._heap[0]
                armed = self._armed.get(key)
                if armed is None or armed[0] != count:
                    heapq.heappop(self._heap)
                    continue
                remaining = deadline - time.monotonic()
                if remaining > 0:
                    self._condition.wait(min(remaining, threading.TIMEOUT_MAX))
                    continue
                heapq.heappop(self._heap)
                del self._armed[key]
                return armed[1]
