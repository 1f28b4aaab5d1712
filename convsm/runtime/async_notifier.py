"""The ordered task on which all user callbacks of a session on an event loop run."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from convsm.runtime.notifier import LIMIT
from convsm.runtime.parts import Callback

__all__ = ["AsyncNotifier"]

logger = logging.getLogger("convsm.callbacks")

# How long all that is still to be awaited may take when the loop is shut down.
FAREWELL_SECONDS = 1.0
LEAST_SECONDS = 0.001


class AsyncNotifier:
    """Runs callbacks one at a time, in order, in a task that starts with the first.

    What a callback returns is awaited in a task of its own, if it can be. A callback that waits delays only
    the callbacks behind it; one that raises is logged with its name and ends nothing. A plain one that blocks
    blocks the loop, as it would anywhere. A loop that is shut down waits for the end to be told.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, context: contextvars.Context | None = None) -> None:
        """Make a notifier without a task.

        Args:
            loop: The event loop of the session.
            context: What the callbacks see, whoever brings the first; None is the caller's.
        """
        self._loop = loop
        self._context = contextvars.copy_context() if context is None else context
        self._deadline: float | None = None
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
                self._task = self._context.run(self._make_task)
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _make_task(self) -> asyncio.Task[None]:
        return self._loop.create_task(self._run(), name="convsm-callbacks")

    async def join(self, timeout: float) -> None:
        """Wait until all callbacks have run, for so many seconds at most."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout)

    async def _run(self) -> None:
        while True:
            while not self._queue:
                if self._is_closed:
                    return
                await self._wait()
            name, callback, arguments = self._queue.popleft()
            try:
                result = callback(*arguments)
                if inspect.isawaitable(result):
                    await self._finish(name, asyncio.ensure_future(result))
            except asyncio.CancelledError:
                logger.warning("%s was cancelled; the conversation goes on", name)
            except Exception:
                logger.exception("%s raised; the conversation goes on", name)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            # The loop is shut down, which ends the session; that is still to be told.
            self._hurry()

    async def _finish(self, name: str, result: asyncio.Future[Any]) -> None:
        # In a task of its own: whether the callback or the loop is cancelled, Python 3.10 cannot tell.
        if self._deadline is None:
            try:
                await asyncio.wait([result])
            except asyncio.CancelledError:
                self._hurry()
                result.cancel()
        if self._deadline is not None:
            # Never zero: each is at least begun.
            remaining = max(LEAST_SECONDS, self._deadline - self._loop.time())
            await asyncio.wait([result], timeout=remaining)
            if not result.done():
                logger.warning("%s was given up, for the loop is shut down", name)
                result.cancel()
                await asyncio.wait([result], timeout=LEAST_SECONDS)
                return
        await result

    def _hurry(self) -> None:
        if self._deadline is None:
            self._deadline = self._loop.time() + FAREWELL_SECONDS
