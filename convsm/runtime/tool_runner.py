"""Runs the client tools of one session: the threaded runtime's ``ToolRunner``.

Plain handlers run on daemon threads, asynchronous ones on an event loop; each call that is not
cancelled ends in one ToolCompleted.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from convsm.machine.effects import RunTool
from convsm.machine.events import Event, ToolCompleted
from convsm.runtime.tools import (
    ClientTools,
    Outcome,
    ToolHandler,
    await_outcome,
    call_arguments,
    call_handler,
    dismiss,
    error_text,
    not_registered_text,
    not_run_text,
    runs_on_loop,
)

if TYPE_CHECKING:
    # At run time it is imported by what needs it: 15 ms that most sessions never pay.
    import asyncio

__all__ = ["CLEANUP_SECONDS", "ToolRunner"]

# How long the cleanup of cancelled coroutines may take after close; the time that a session may
# take to close its socket, so that tools never outlast it.
CLEANUP_SECONDS = 1.0

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class _Call:
    """A call that was admitted; with its task once it runs on the loop."""

    call_id: str
    name: str
    handler: ToolHandler
    arguments: dict[str, Any]
    task: asyncio.Task[Outcome] | None = None


def _positive(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.alias} must be at least 1, not {value}.")


@attrs.define(eq=False)
class ToolRunner:
    """Runs the tool calls of one session.

    A coroutine function, a handler registered as asynchronous and an awaitable that a plain handler
    returns run on the loop of the ClientTools, or else on an event loop with a daemon thread that
    starts with the first such call. Plain handlers run on daemon threads, which are reused. No
    thread starts before it is needed, and no handler runs on the thread that calls the runner.

    All methods may be called from any thread, also from inside a tool or ``post``, and never block.

    Args:
        tools: The tools; also those registered later are found.
        post: Takes the ToolCompleted of each call: on the thread that ran the tool, or inside
            ``run`` when the call was refused. An exception of it reaches the caller of ``run``, the
            log for a worker thread, and the exception handler of the event loop.
        max_workers: Plain handlers that run at once; further ones wait in order. 16 is far above
            what a conversation has open, and a bound for a server that goes wild.
        max_open: Calls that are open at once, running and waiting; further ones are refused.
    """

    _tools: ClientTools = attrs.field(repr=False)
    _post: Callable[[Event], None] = attrs.field(repr=False)
    _max_workers: int = attrs.field(default=16, kw_only=True, validator=_positive)
    _max_open: int = attrs.field(default=256, kw_only=True, validator=_positive)

    # Guards all below and wakes idle workers. Its lock is reentrant, because a signal handler or a
    # finalizer may end the session on a thread that is inside; it is never held while a handler runs.
    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False, repr=False)
    _closed: bool = attrs.field(default=False, init=False)
    _open: dict[str, _Call] = attrs.field(factory=dict, init=False, repr=False)
    _waiting: deque[_Call] = attrs.field(factory=deque, init=False, repr=False)  # a part of the open ones
    _workers: int = attrs.field(default=0, init=False, repr=False)
    _idle_workers: int = attrs.field(default=0, init=False, repr=False)
    _worker_numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False, repr=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False, repr=False)
    _owns_loop: bool = attrs.field(default=False, init=False, repr=False)

    # Touched on the loop's thread only.
    _tasks: set[asyncio.Task[Outcome]] = attrs.field(factory=set, init=False, repr=False)
    _closing_task: asyncio.Task[None] | None = attrs.field(default=None, init=False, repr=False)
    _loop_ended: bool = attrs.field(default=False, init=False, repr=False)

    def run(self, call: RunTool) -> None:
        """Start a call. Exactly one ToolCompleted follows unless the call is cancelled.

        It follows at once, with an error, for an unknown tool, beyond ``max_open`` and when no
        thread or loop can be had. The id of a call that is open, and every call after ``close``, is
        ignored.
        """
        entry = self._tools.tools.get(call.name)
        with self._changed:
            if self._closed or call.call_id in self._open:
                return
            crowded = len(self._open) >= self._max_open
            if entry is not None and not crowded:
                handler, is_async = entry
                arguments = call_arguments(call.call_id, call.parameters)
                admitted = _Call(call.call_id, call.name, handler, arguments)
                self._open[call.call_id] = admitted
        if entry is None:
            self._post(ToolCompleted(call.call_id, not_registered_text(call.name), is_error=True))
        elif crowded:
            problem = not_run_text(call.name, f"too many calls are open, the limit is {self._max_open}")
            self._post(ToolCompleted(call.call_id, problem, is_error=True))
        elif runs_on_loop(handler, is_async):
            self._start_on_loop(admitted, None)
        else:
            self._start_on_worker(admitted)

    def cancel(self, call_id: str) -> None:
        """Give up a call; nothing is posted for it from now on.

        A coroutine gets CancelledError, a waiting call is dropped, a plain handler that runs goes
        on unheard. An id that is not open is ignored. A post that has begun is not called back.
        """
        with self._changed:
            call = self._open.pop(call_id, None)
            if call is not None:
                self._abandon(call)

    def close(self) -> None:
        """Cancel all calls and end all threads; nothing is posted from now on. Repeated: does nothing.

        Cancelled coroutines have one second for their cleanup. Waits for nothing: threads end when
        what they run has ended, and a post that has begun is not called back.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
            calls = list(self._open.values())
            self._open.clear()
            for call in calls:
                self._abandon(call)
            self._changed.notify_all()
            if self._loop is not None and self._owns_loop:
                self._loop.call_soon_threadsafe(self._begin_closing)

    # Open calls

    def _is_open(self, call: _Call) -> bool:
        return self._open.get(call.call_id) is call

    def _abandon(self, call: _Call) -> None:
        with contextlib.suppress(ValueError):  # it is not waiting
            self._waiting.remove(call)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # a loop of the user's may be closed
                self._loop.call_soon_threadsafe(self._cancel_task, call)

    def _complete(self, call: _Call, outcome: Outcome) -> None:
        with self._changed:
            if not self._is_open(call):
                return
            del self._open[call.call_id]
        self._post(ToolCompleted(call.call_id, outcome.text, is_error=outcome.is_error))

    def _refuse(self, call: _Call, error: Exception) -> None:
        self._complete(call, Outcome(not_run_text(call.name, error_text(error)), True))

    # Plain handlers

    def _start_on_worker(self, call: _Call) -> None:
        try:
            with self._changed:
                if not self._is_open(call):
                    return
                if self._idle_workers <= len(self._waiting) and self._workers < self._max_workers:
                    # It finds the call once this thread has left the lock.
                    name = f"convsm-tool-worker-{next(self._worker_numbers)}"
                    threading.Thread(target=self._work, name=name, daemon=True).start()
                    self._workers += 1
                self._waiting.append(call)
                self._changed.notify()
        except RuntimeError as error:  # no further thread to be had
            self._refuse(call, error)

    def _work(self) -> None:
        while self._serve_next():
            pass

    def _serve_next(self) -> bool:
        # A function of its own, so that an idle worker keeps nothing of the last call alive.
        call = self._next_waiting()
        if call is None:
            return False
        try:
            started = call_handler(call.name, call.handler, call.arguments)
            if isinstance(started, Outcome):
                self._complete(call, started)
            else:
                self._start_on_loop(call, started)
        except BaseException:
            logger.exception("The result of tool '%s' could not be delivered.", call.name)
        return True

    def _next_waiting(self) -> _Call | None:
        with self._changed:
            self._idle_workers += 1
            while not self._waiting and not self._closed:
                self._changed.wait()
            self._idle_workers -= 1
            return None if self._closed else self._waiting.popleft()

    # Asynchronous handlers

    def _start_on_loop(self, call: _Call, awaitable: Awaitable[Any] | None) -> None:
        """Start the handler of a call, or go on with the awaitable that it returned."""
        try:
            with self._changed:
                wanted = self._is_open(call)
                if wanted:
                    # Inside the lock: close then comes behind it on the loop.
                    self._ready_loop().call_soon_threadsafe(self._begin_task, call, awaitable)
        except (OSError, RuntimeError) as error:  # no loop or thread to be had, or the loop is closed
            wanted = False
            self._refuse(call, error)
        if not wanted:
            dismiss(awaitable)

    def _ready_loop(self) -> asyncio.AbstractEventLoop:
        import asyncio

        if self._loop is None:
            self._loop = self._tools.loop
        if self._loop is None:
            self._loop, self._owns_loop = asyncio.new_event_loop(), True
            thread = threading.Thread(
                target=self._run_loop, args=(self._loop,), name="convsm-tool-loop", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                self._loop.close()
                self._loop, self._owns_loop = None, False
                raise
        return self._loop

    def _run_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            # A handler may stop the loop, and a task that it made may break out of it by SystemExit:
            # only close ends it.
            while not self._loop_ended:
                _run_until_stopped(loop)
        finally:
            loop.close()

    def _begin_task(self, call: _Call, awaitable: Awaitable[Any] | None) -> None:
        import asyncio

        if not self._is_open(call):
            dismiss(awaitable)
            return
        loop = asyncio.get_running_loop()
        call.task = loop.create_task(self._outcome(call, awaitable), name=f"convsm-tool {call.name}")
        self._tasks.add(call.task)
        # The task can end without a word of ours, when it is cancelled before its first step.
        call.task.add_done_callback(functools.partial(self._end_task, call))

    async def _outcome(self, call: _Call, awaitable: Awaitable[Any] | None) -> Outcome:
        if awaitable is not None:
            return await await_outcome(call.name, awaitable)
        return await await_outcome(call.name, call_handler(call.name, call.handler, call.arguments))

    def _end_task(self, call: _Call, task: asyncio.Task[Outcome]) -> None:
        self._tasks.discard(task)
        try:
            outcome = task.result()
        except BaseException as error:
            outcome = Outcome(error_text(error), True)
        self._complete(call, outcome)

    def _cancel_task(self, call: _Call) -> None:
        if call.task is not None:
            call.task.cancel()

    # The end of an own loop

    def _begin_closing(self) -> None:
        import asyncio

        self._closing_task = asyncio.get_running_loop().create_task(self._close_loop())

    async def _close_loop(self) -> None:
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
            for task in stuck:
                logger.warning("A task of a tool did not end in time and is abandoned: %s", task.get_name())
            if not stuck:
                await _settle([loop.create_task(loop.shutdown_asyncgens())], deadline)
        finally:
            self._loop_ended = True
            loop.stop()


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    except BaseException:
        logger.exception("A task that a tool started broke out of the event loop; the loop goes on.")


def _other_tasks() -> set[asyncio.Task[Any]]:
    import asyncio

    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def _settle(tasks: Iterable[asyncio.Task[Any]], deadline: float) -> None:
    import asyncio

    waited = set(tasks)
    if waited:
        remaining = deadline - asyncio.get_running_loop().time()
        await asyncio.wait(waited, timeout=max(0.0, remaining))
