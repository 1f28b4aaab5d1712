"""The ordered task on which all user callbacks of a session on an event loop run."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from convsm.runtime.notifier import LIMIT
from convsm.runtime.parts import Callback

__all__ = ["AsyncNotifier"]

logger = logging.getLogger("convsm.callbacks")


class AsyncNotifier:
    """Runs callbacks one at a time, in order, in a task that starts with the first.

    What a callback returns is awaited, if it can be. A callback that waits delays only the callbacks
    behind it; one that raises is logged with its name and ends nothing. A plain one that blocks
    blocks the loop, as it would anywhere.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make a notifier without a task."""
        self._loop = loop
        self._queue: deque[Callback] = deque()
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_closed = False
        self._dropped = 0

    def notify(self, name: str, callback: Callable[..., object], *arguments: Any) -> None:
        """Have a callback called; never waits."""
        if self._is_closed:
            return
        if len(self._queue) >= LIMIT:
            self._dropped += 1
            if self._dropped == 1:
                logger.error("callbacks are %d events behind; further events are dropped", LIMIT)
            return
        self._queue.append((name, callback, arguments))
        self._begin()

    def close(self, last: Iterable[Callback] = ()) -> None:
        """Take no more; the task ends when all that was taken has run.

        Args:
            last: Callbacks behind all others; they are never dropped.
        """
        if not self._is_closed:
            self._is_closed = True
            self._queue.extend(last)
            self._begin()

    def _begin(self) -> None:
        if self._task is None:
            if self._queue:
                self._task = self._loop.create_task(self._run(), name="convsm-callbacks")
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def join(self, timeout: float) -> None:
        """Wait until all callbacks have run, for so many seconds at most."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout)

    async def _run(self) -> None:
        while True:
            while not self._queue:
                if self._is_closed:
                    return
                self._waiter = self._loop.create_future()
                await self._waiter
            name, callback, arguments = self._queue.popleft()
            try:
                result = callback(*arguments)
                if inspect.isawaitable(result):
                    await result
            except asyncio.CancelledError:
                # Either somebody cancelled what the callback waited for, or the loop is shut down.
                if self._is_cancelled:
                    raise
                logger.warning("%s was cancelled; the conversation goes on", name)
            except Exception:
                logger.exception("%s raised; the conversation goes on", name)

    @property
    def _is_cancelled(self) -> bool:
        task = self._task
        # Python 3.10 cannot tell; there a cancellation is taken at its word.
        return task is None or not hasattr(task, "cancelling") or task.cancelling() > 0
