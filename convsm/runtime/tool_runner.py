"""Runs the client tools, the approval handler and the hooks of one session, for every runtime.

Plain handlers run on daemon threads, asynchronous ones on an event loop; each call that is not
cancelled ends in one event.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from convsm.machine.effects import AskApproval, RunTool
from convsm.machine.events import ApprovalDecided, Event, ToolCompleted
from convsm.runtime.timers import ThreadedTimers
from convsm.runtime.tool_loop import LoopTimers, ToolLoop
from convsm.runtime.tool_outcome import (
    NOT_RUN,
    TIMED_OUT,
    Outcome,
    await_outcome,
    call_arguments,
    call_handler,
    dismiss,
    error_text,
    failure,
    not_registered_text,
    not_run_text,
    result_text,
    runs_on_loop,
    timed_out_text,
)
from convsm.runtime.tool_workers import Workers
from convsm.runtime.tools import ClientTools

if TYPE_CHECKING:
    import asyncio

__all__ = ["Call", "ToolRunner", "ToolTimers"]

logger = logging.getLogger(__name__)


class ToolTimers(Protocol):
    """Where timeouts are set; a driver's timers and a virtual clock satisfy it."""

    def set(self, key: Hashable, seconds: float, fire: Callable[[], None]) -> None:
        """Call ``fire`` in so many seconds; one with the same key is replaced."""

    def cancel(self, key: Hashable) -> None:
        """Cancel the timer of that key, if any."""


@attrs.define(eq=False)
class Call:
    """A call of a function of the user's.

    Attributes:
        key: What it is and its id; of those that are open, no two have the same.
        name: Its name for messages.
        handler: What is called; None if nobody handles it.
        argument: The handler's one argument.
        read: Makes the outcome of what the handler returned.
        event: Makes the event of the outcome; None if there is nothing to be said.
        timeout: Seconds; None for no limit.
        task: The task that runs it, once it runs on the loop.
    """

    key: tuple[str, str]
    name: str
    handler: Callable[[Any], Any] | None
    argument: Any
    read: Callable[[str, object], Outcome]
    event: Callable[[Outcome], Event | None]
    timeout: float | None = None
    task: asyncio.Task[Outcome] | None = None


def _positive(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.alias} must be at least 1, not {value}.")


@attrs.define(eq=False)
class ToolRunner:
    """Runs the tool calls of one session, and asks what is to be approved.

    A coroutine function, a handler registered as asynchronous and an awaitable that a plain handler
    returns run on the loop of the ClientTools, or else on ``loop``, or else on an event loop with a
    daemon thread that starts with the first such call. Plain handlers run on daemon threads, which are
    reused. No thread starts before it is needed, and no handler runs inside a method of the runner.

    All methods may be called from any thread, also from inside a tool or ``post``, and never block.

    Args:
        tools: The tools; also those registered later are found.
        post: Takes the event of each call: on the thread that ran it, on that of the timers, or inside
            ``run``, ``release`` and ``ask`` when nothing runs. An exception of it reaches the caller, the
            log for a worker thread, and the exception handler of the event loop.
        loop: The running loop of an asynchronous conversation.
        timers: Where timeouts are set; without them on ``loop``, or on a daemon thread.
        on_unhandled: Told of each call of a tool that nobody registered, inside ``run``; must not block.
            The call stays open then. None answers it with an error.
        approve: The approval handler: takes the request, returns a bool or an awaitable of one. None
            leaves requests to others.
        max_workers: Plain handlers that run at once, and as many of what is no tool; further ones wait in
            order. 16 is far above what a conversation has open, and a bound for a server that goes wild.
        max_open: Calls that are open at once, running and waiting; further ones are refused.
    """

    _tools: ClientTools = attrs.field(repr=False)
    _post: Callable[[Event], object] = attrs.field(repr=False)
    _given_loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, kw_only=True, alias="loop")
    _given_timers: ToolTimers | None = attrs.field(default=None, kw_only=True, alias="timers")
    _on_unhandled: Callable[[RunTool], object] | None = attrs.field(default=None, kw_only=True)
    _approve: Callable[[Any], Any] | None = attrs.field(default=None, kw_only=True)
    _max_workers: int = attrs.field(default=16, kw_only=True, validator=_positive)
    _max_open: int = attrs.field(default=256, kw_only=True, validator=_positive)

    # Guards all below. It is reentrant, because a signal handler or a finalizer may end the session on a
    # thread that is inside; it is never held while a handler runs.
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False, repr=False)
    _closed: bool = attrs.field(default=False, init=False)
    _open: dict[tuple[str, str], Call] = attrs.field(factory=dict, init=False, repr=False)
    _workers: Workers[Call] = attrs.field(init=False, repr=False)
    _consulted: Workers[Call] = attrs.field(init=False, repr=False)
    _loop: ToolLoop | None = attrs.field(default=None, init=False, repr=False)
    _timers: ToolTimers | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        # Two, so that hooks that never return hold up no tool.
        self._workers, self._consulted = (
            Workers(threading.Condition(self._lock), self._serve, self._max_workers) for _ in range(2)
        )

    def run(self, call: RunTool) -> None:
        """Start a tool call. Exactly one ToolCompleted follows unless the call is cancelled.

        It follows at once, with an error, for an unknown tool, beyond ``max_open`` and when no
        thread or loop can be had. The id of a call that is open, and every call after ``close``, is
        ignored.
        """
        tool = self._tools.tools.get(call.name)
        event = partial(_completed, call.call_id)
        key = ("tool", call.call_id)
        if tool is not None:
            timeout = self._tools.default_timeout if tool.timeout is None else tool.timeout
            arguments = call_arguments(call.call_id, call.parameters)
            self._start(
                Call(key, call.name, tool.call, arguments, result_text, event, timeout), tool.runs_on_loop
            )
        elif self._on_unhandled is None:
            if not self._closed and key not in self._open:
                self._post(event(Outcome(not_registered_text(call.name), True, NOT_RUN)))
        else:
            timeout = self._tools.default_timeout
            if self._admit(Call(key, call.name, None, None, result_text, event, timeout)):
                self._on_unhandled(call)
                if not call.expects_response:
                    self.release(call.call_id)

    def cancel(self, call_id: str) -> None:
        """Give up a tool call; nothing is posted for it from now on.

        A coroutine gets CancelledError, a waiting call is dropped, a plain handler that runs goes
        on unheard. An id that is not open is ignored. A post that has begun is not called back.
        """
        self._give_up(("tool", call_id))

    def release(self, call_id: str) -> None:
        """Take note that a tool call was answered by hand; if nothing runs for it, it completes now."""
        call = self._open.get(("tool", call_id))
        if call is not None and call.handler is None:
            self._complete(call, Outcome("", False))

    def ask(self, request: AskApproval) -> None:
        """Call the approval handler, if there is one. One ApprovalDecided follows unless withdrawn.

        Whatever is not the bool True, an exception too, is a no.
        """
        if self._approve is not None:
            event = partial(_decided, request.call_id)
            key = ("approval", request.call_id)
            name = f"approval of {request.call_id}"
            self.consult(Call(key, name, self._approve, request.request, _decision, event))

    def consult(self, call: Call) -> None:
        """Call a function of the user's that is no tool; what it says is posted, if that is an event."""
        assert call.handler is not None
        self._start(call, runs_on_loop(call.handler, False))

    def withdraw(self, call_id: str) -> None:
        """Give up a question to the approval handler, as ``cancel`` does with a tool call."""
        self._give_up(("approval", call_id))

    def close(self) -> None:
        """Cancel all calls and end all threads; nothing is posted from now on. Repeated: does nothing.

        Cancelled coroutines have one second for their cleanup. Waits for nothing: threads end when
        what they run has ended, and a post that has begun is not called back.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            calls = list(self._open.values())
            self._open.clear()
            for call in calls:
                self._abandon(call)
            self._workers.close()
            self._consulted.close()
            if self._loop is not None:
                self._loop.close()
            if isinstance(self._timers, ThreadedTimers) and self._given_timers is None:
                self._timers.close()

    async def aclose(self) -> None:
        """Close, and wait until what ran on a given loop has ended, for a second at most.

        Plain handlers cannot be stopped and are not waited for.
        """
        self.close()
        if self._loop is not None:
            await self._loop.join()

    # Open calls

    def _start(self, call: Call, on_loop: bool) -> None:
        if not self._admit(call):
            return
        if on_loop:
            self._start_on_loop(call, None)
        else:
            self._start_on_worker(call)

    def _admit(self, call: Call) -> bool:
        with self._lock:
            if self._closed or call.key in self._open:
                return False
            is_crowded = len(self._open) >= self._max_open
            if not is_crowded:
                self._open[call.key] = call
        if is_crowded:
            problem = not_run_text(call.name, f"too many calls are open, the limit is {self._max_open}")
            self._tell(call, Outcome(problem, True, NOT_RUN))
            return False
        try:
            self._set_timer(call)
        except RuntimeError as error:  # no thread for the timers to be had
            self._refuse(call, error)
        return True

    def _set_timer(self, call: Call) -> None:
        if call.timeout is None or math.isinf(call.timeout):
            return
        with self._lock:
            if not self._is_open(call):
                return
            if self._timers is None:
                loop = self._given_loop
                own = ThreadedTimers(_nothing) if loop is None else LoopTimers(loop)
                self._timers = self._given_timers or own
            self._timers.set(call.key, call.timeout, partial(self._expire, call))

    def _expire(self, call: Call) -> None:
        with self._lock:
            if not self._is_open(call):
                return
            del self._open[call.key]
            self._abandon(call)
        assert call.timeout is not None
        self._tell(call, Outcome(timed_out_text(call.name, call.timeout), True, TIMED_OUT))

    def _is_open(self, call: Call) -> bool:
        return self._open.get(call.key) is call

    def _give_up(self, key: tuple[str, str]) -> None:
        with self._lock:
            call = self._open.pop(key, None)
            if call is not None:
                self._abandon(call)

    def _abandon(self, call: Call) -> None:
        self._cancel_timer(call)
        self._workers_of(call).give_up(call)
        if self._loop is not None:
            self._loop.call_if_there(self._cancel_task, call)

    def _cancel_timer(self, call: Call) -> None:
        if self._timers is not None and call.timeout is not None:
            self._timers.cancel(call.key)

    def _complete(self, call: Call, outcome: Outcome) -> None:
        with self._lock:
            if not self._is_open(call):
                return
            del self._open[call.key]
            self._cancel_timer(call)
        self._tell(call, outcome)

    def _tell(self, call: Call, outcome: Outcome) -> None:
        event = call.event(outcome)
        if event is not None:
            self._post(event)

    def _refuse(self, call: Call, error: Exception) -> None:
        self._complete(call, Outcome(not_run_text(call.name, error_text(error)), True, NOT_RUN))

    # Plain handlers

    def _start_on_worker(self, call: Call) -> None:
        try:
            with self._lock:
                if self._is_open(call):
                    self._workers_of(call).submit(call)
        except RuntimeError as error:  # no further thread to be had
            self._refuse(call, error)

    def _workers_of(self, call: Call) -> Workers[Call]:
        return self._workers if call.key[0] == "tool" else self._consulted

    def _serve(self, call: Call) -> None:
        started = self._call(call)
        if isinstance(started, Outcome):
            self._complete(call, started)
        else:
            self._start_on_loop(call, started)

    def _call(self, call: Call) -> Outcome | Awaitable[Any]:
        assert call.handler is not None
        return call_handler(call.name, call.handler, call.argument, call.read)

    # Asynchronous handlers

    def _start_on_loop(self, call: Call, awaitable: Awaitable[Any] | None) -> None:
        """Start the handler of a call, or go on with the awaitable that it returned."""
        try:
            with self._lock:
                wanted = self._is_open(call)
                if wanted:
                    if self._loop is None:
                        self._loop = ToolLoop(self._tools.loop or self._given_loop)
                    # Inside the lock: close then comes behind it on the loop.
                    self._loop.call(self._begin_task, call, awaitable)
        except (OSError, RuntimeError) as error:  # no loop or thread to be had, or the loop is closed
            wanted = False
            self._refuse(call, error)
        if not wanted:
            dismiss(awaitable)

    def _begin_task(self, call: Call, awaitable: Awaitable[Any] | None) -> None:
        if not self._is_open(call):
            dismiss(awaitable)
            return
        assert self._loop is not None
        # The task can end without a word of ours, when it is cancelled before its first step.
        call.task = self._loop.spawn(self._outcome(call, awaitable), call.name, partial(self._end_task, call))

    async def _outcome(self, call: Call, awaitable: Awaitable[Any] | None) -> Outcome:
        started = self._call(call) if awaitable is None else awaitable
        return await await_outcome(call.name, started, call.read)

    def _end_task(self, call: Call, task: asyncio.Task[Outcome]) -> None:
        try:
            outcome = task.result()
        except BaseException as error:
            outcome = failure(error)
        self._complete(call, outcome)

    def _cancel_task(self, call: Call) -> None:
        if call.task is not None:
            call.task.cancel()


def _nothing() -> None:
    """Nobody wakes these timers."""


def _completed(call_id: str, outcome: Outcome) -> Event:
    return ToolCompleted(call_id, outcome.text, outcome.is_error, outcome.error_type)


_APPROVED, _REJECTED = Outcome("approved", False), Outcome("rejected", False)


def _decision(name: str, value: object) -> Outcome:
    if type(value) is bool:
        return _APPROVED if value else _REJECTED
    return Outcome(f"it returned {type(value).__name__}, not a bool", True)


def _decided(call_id: str, outcome: Outcome) -> Event:
    if outcome.is_error:
        logger.error("The approval handler failed for %r, so it is not approved: %s", call_id, outcome.text)
    return ApprovalDecided(call_id, outcome == _APPROVED)
