"""Daemon threads for plain handlers: reused, bounded, and replaced while one of them is stuck."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import attrs

__all__ = ["STUCK_FACTOR", "Workers"]

# How many stuck threads are replaced, as a multiple of those that work: a bound for tools that never end.
STUCK_FACTOR = 3

logger = logging.getLogger(__name__)

Job = TypeVar("Job")


@attrs.define(eq=False)
class Workers(Generic[Job]):
    """Runs jobs on daemon threads, in order, at most so many at once.

    A job that was given up while it runs leaves its place to another thread and its own thread ends
    with it; of such threads there are at most ``STUCK_FACTOR`` times ``limit``, after that they keep
    their places.

    Attributes:
        limit: Jobs that run at once.
        idle: Threads that wait for a job.
        is_closed: Whether no job begins any more.
    """

    _changed: threading.Condition  # its owner's; reentrant, and held by nobody while a job runs
    _serve: Callable[[Job], None]
    limit: int
    idle: int = attrs.field(default=0, init=False)
    is_closed: bool = attrs.field(default=False, init=False)
    _places: int = attrs.field(default=0, init=False)
    _waiting: deque[Job] = attrs.field(factory=deque, init=False)
    _running: set[Job] = attrs.field(factory=set, init=False)
    _stuck: set[Job] = attrs.field(factory=set, init=False)
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)

    def submit(self, job: Job) -> None:
        """Let a job run when a thread is free; the caller holds the condition.

        Raises:
            RuntimeError: No thread can be had; the job was not taken.
        """
        if self.idle <= len(self._waiting):
            self._grow()
        self._waiting.append(job)
        self._changed.notify()

    def give_up(self, job: Job) -> None:
        """Forget a job: it does not begin any more, or its thread loses its place; the condition is held."""
        with contextlib.suppress(ValueError):
            self._waiting.remove(job)
            return
        if job in self._running and len(self._stuck) < STUCK_FACTOR * self.limit:
            self._stuck.add(job)
            self._places -= 1
            # Without a further thread to be had, the next submit tries again.
            with contextlib.suppress(RuntimeError):
                if self._waiting:
                    self._grow()

    def close(self) -> None:
        """Begin no job any more; threads end when what they run has ended. The condition is held."""
        self.is_closed = True
        self._waiting.clear()
        self._changed.notify_all()

    def _grow(self) -> None:
        if self._places < self.limit and not self.is_closed:
            # It finds its job once this thread has left the lock.
            name = f"convsm-tool-worker-{next(self._numbers)}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
            self._places += 1

    def _work(self) -> None:
        while self._serve_next():
            pass

    def _serve_next(self) -> bool:
        # A function of its own, so that an idle worker keeps nothing of the last job alive.
        job = self._next()
        if job is None:
            return False
        try:
            self._serve(job)
        except BaseException:
            logger.exception("The result of a tool could not be delivered.")
        with self._changed:
            self._running.discard(job)
            has_place = job not in self._stuck
            self._stuck.discard(job)
        return has_place

    def _next(self) -> Job | None:
        with self._changed:
            self.idle += 1
            while not self._waiting and not self.is_closed:
                self._changed.wait()
            self.idle -= 1
            if self.is_closed:
                return None
            job = self._waiting.popleft()
            self._running.add(job)
            return job
