"""The event loop of asynchronous handlers: the user's, the conversation's, or an own one on a thread."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # At run time it is imported by what needs it: 15 ms that most sessions never pay.
    import asyncio

__all__ = ["CLEANUP_SECONDS", "LoopTimers", "ToolLoop"]

# How long the cleanup of cancelled coroutines may take after close; the time that a session may
# take to close its socket, so that tools never outlast it.
CLEANUP_SECONDS = 1.0

logger = logging.getLogger(__name__)


class ToolLoop:
    """Runs tasks on a loop that is given, or on its own, whose daemon thread starts with the first task.

    Not thread-safe but for ``spawn`` on a loop that is there; its owner holds a lock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Take a running or waiting loop; None makes an own one when it is needed."""
        self._loop = loop
        self._is_own = loop is None
        # Touched on the loop's thread only.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing_task: asyncio.Task[None] | None = None
        self._has_ended = False

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the loop soon.

        Raises:
            OSError: No loop can be had.
            RuntimeError: No thread can be had, or the loop is closed.
        """
        self._ready().call_soon_threadsafe(function, *arguments)

    def call_if_there(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the loop soon, unless there is none or it is closed."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function, *arguments)

    def spawn(
        self, work: Coroutine[Any, Any, Any], name: str, done: Callable[[asyncio.Task[Any]], None]
    ) -> asyncio.Task[Any]:
        """Make a task of a coroutine, on the loop's thread; ``done`` is called when it ends."""
        import asyncio

        task = asyncio.get_running_loop().create_task(work, name=f"convsm-tool {name}")
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._end, done))
        return task

    def _end(self, done: Callable[[asyncio.Task[Any]], None], task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        done(task)

    def _ready(self) -> asyncio.AbstractEventLoop:
        import asyncio

        if self._loop is None:
            # Before the thread starts: a signal handler may close meanwhile, and has to find it.
            self._loop = loop = asyncio.new_event_loop()
            thread = threading.Thread(target=self._run, args=(loop,), name="convsm-tool-loop", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                self._loop = None
                loop.close()
                raise
        return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            # A handler may stop the loop, and a task that it made may break out of it by SystemExit:
            # only close ends it.
            while not self._has_ended:
                _run_until_stopped(loop)
        finally:
            loop.close()

    # The end

    def close(self) -> None:
        """End an own loop once its tasks, cancelled before, had a second for their cleanup; never waits."""
        if self._is_own and self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_closing)

    async def join(self) -> None:
        """Wait until the tasks on a loop that was given have ended, for a second at most."""
        import asyncio

        loop = self._loop
        if self._is_own or loop is None:
            return
        if loop is asyncio.get_running_loop():
            await self._finish()
            return
        finishing = self._finish()
        try:
            waited = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(finishing, loop))
        except RuntimeError:  # closed
            finishing.close()
            return
        # A loop of the user's may be stopped.
        await asyncio.wait([waited], timeout=CLEANUP_SECONDS)

    async def _finish(self) -> None:
        import asyncio

        await asyncio.sleep(0)  # behind what was asked of the loop before
        loop = asyncio.get_running_loop()
        await _settle(self._tasks, loop.time() + CLEANUP_SECONDS)
        _complain(self._tasks)

    def _begin_closing(self) -> None:
        import asyncio

        self._closing_task = asyncio.get_running_loop().create_task(self._close())

    async def _close(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        deadline = loop.time() + CLEANUP_SECONDS
        try:
            # Calls were cancelled already; a second time would break into their cleanup. What they
            # started besides is cancelled after them, for the same reason.
            await _settle(self._tasks, deadline)
            rest = _other_tasks()
            for task in rest:
                task.cancel()
            await _settle(rest, deadline)
            stuck = _other_tasks()
            _complain(stuck)
            if not stuck:
                await _settle([loop.create_task(loop.shutdown_asyncgens())], deadline)
        finally:
            self._has_ended = True
            loop.stop()


class LoopTimers:
    """Timers on a loop that is given; a driver of its own has better ones. Any thread may use them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make an empty set of timers."""
        self._loop = loop
        self._armed: dict[Hashable, asyncio.TimerHandle] = {}  # touched on the loop's thread only

    def set(self, key: Hashable, seconds: float, fire: Callable[[], None]) -> None:
        """Call ``fire`` on the loop in so many seconds; one with the same key is replaced."""
        self._soon(self._set, key, seconds, fire)

    def cancel(self, key: Hashable) -> None:
        """Cancel the timer of that key, if any."""
        self._soon(self._cancel, key)

    def close(self) -> None:
        """Do nothing: whoever sets timers cancels them."""

    def _soon(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # closed: nobody waits any longer
            self._loop.call_soon_threadsafe(function, *arguments)

    def _set(self, key: Hashable, seconds: float, fire: Callable[[], None]) -> None:
        self._cancel(key)
        self._armed[key] = self._loop.call_later(seconds, self._fire, key, fire)

    def _cancel(self, key: Hashable) -> None:
        handle = self._armed.pop(key, None)
        if handle is not None:
            handle.cancel()

    def _fire(self, key: Hashable, fire: Callable[[], None]) -> None:
        del self._armed[key]
        fire()


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    except BaseException:
        logger.exception("A task that a tool started broke out of the event loop; the loop goes on.")


def _complain(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        logger.warning("A task of a tool did not end in time and is abandoned: %s", task.get_name())


def _other_tasks() -> set[asyncio.Task[Any]]:
    import asyncio

    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def _settle(tasks: Iterable[asyncio.Task[Any]], deadline: float) -> None:
    import asyncio

    waited = set(tasks)
    if waited:
        remaining = deadline - asyncio.get_running_loop().time()
        await asyncio.wait(waited, timeout=max(0.0, remaining))
