"""Timers of a session on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

__all__ = ["AsyncTimers"]


class AsyncTimers:
    """Timers of the event loop, by key. For the loop's thread, but for ``clock``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set none."""
        self._loop = loop
        self._handles: dict[Hashable, asyncio.TimerHandle] = {}
        self._is_closed = False

    def clock(self) -> float:
        """Return the loop's seconds."""
        return self._loop.time()

    def set(self, key: Hashable, seconds: float, fire: Callable[[], None]) -> None:
        """Call ``fire`` in so many seconds; one with the same key is replaced."""
        if self._is_closed:
            return
        self.cancel(key)
        self._handles[key] = self._loop.call_later(seconds, self._fire, key, fire)

    def cancel(self, key: Hashable) -> None:
        """Cancel the timer of that key, if any."""
        handle = self._handles.pop(key, None)
        if handle is not None:
            handle.cancel()

    def wake(self) -> None:
        """Do nothing: whoever posts from another thread wakes the loop."""

    def close(self) -> None:
        """Cancel all timers; later ones are not set."""
        self._is_closed = True
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _fire(self, key: Hashable, fire: Callable[[], None]) -> None:
        del self._handles[key]
        fire()
