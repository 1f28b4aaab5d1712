"""The one ordered stream of events of a session on an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from convsm.machine.events import Event, UserAudio, stamp
from convsm.runtime.mailbox import AUDIO_DROPPED, DEVICE_LIMIT

__all__ = ["AsyncInbox"]

# How often a thread that waits for the loop looks whether it is still there, seconds.
LOOK_SECONDS = 0.1


class AsyncInbox:
    """An inbox that is emptied where it is filled: the loop's thread owns the session.

    What an effect posts while it is performed comes behind what waits. ``post``, ``post_at_once`` and
    ``call`` belong to the loop's thread; the others are for any thread.
    """

    def __init__(
        self,
        take: Callable[[Event], None],
        clock: Callable[[], float],
        report: Callable[[str], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Make an empty inbox, on the loop's thread.

        Args:
            take: Handles one event; may raise to the caller of ``call``.
            clock: Monotonic seconds.
            report: Told of a refusal that nobody waits for, and of dropped audio.
            loop: The event loop of the session.
        """
        self._take = take
        self._clock = clock
        self._report = report
        self._loop = loop
        self._loop_ident = threading.get_ident()
        # Bounded by what one step of the session posts: all else is taken before its poster goes on.
        self._queue: deque[Event] = deque()
        self._is_working = False
        # What device threads post; microphone audio is bounded, all else by what they were given.
        self._aside: deque[Event] = deque()
        self._is_awaited = False
        self._has_dropped = False

    def post(self, event: Event) -> None:
        """Put an event into the stream, also from inside an effect."""
        self._queue.append(event)
        if not self._is_working:
            self._work()

    post_at_once = post

    def call(self, event: Event) -> None:
        """Put a command into the stream and take it; from inside an effect it is taken later.

        Raises:
            Exception: What ``take`` raised for it.
        """
        if self._is_working:
            self._queue.append(event)
            return
        self._is_working = True
        try:
            stamp(event, self._clock())
            self._take(event)
        finally:
            self._is_working = False
            self._work()

    def post_aside(self, event: Event) -> None:
        """Put an event into the stream from any thread; never waits, so audio may be dropped."""
        if len(self._aside) >= DEVICE_LIMIT and type(event) is UserAudio:
            self._has_dropped = True
            return
        self._aside.append(event)
        if not self._is_awaited:
            self._is_awaited = True
            self._call_soon(self._take_aside)

    def post_from_thread(self, event: Event) -> None:
        """Put an event into the stream from any thread, and wait until it was taken.

        On the loop's own thread it does not wait: there it is ``post``.
        """
        if threading.get_ident() == self._loop_ident:
            self.post(event)
            return
        taken = threading.Event()

        def take() -> None:
            try:
                self.post(event)
            finally:
                taken.set()

        if self._call_soon(take):
            while not taken.wait(LOOK_SECONDS):
                if self._loop.is_closed():
                    return

    def close(self) -> None:
        """Do nothing: who posts works, before the end and after it."""

    def _call_soon(self, call: Callable[[], None]) -> bool:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            return False  # the loop is closed, and with it the session
        return True

    def _take_aside(self) -> None:
        # Before looking: what comes from now on asks for another look.
        self._is_awaited = False
        while self._aside:
            self.post(self._aside.popleft())
        if self._has_dropped:
            self._has_dropped = False
            self._report(AUDIO_DROPPED)

    def _work(self) -> None:
        self._is_working = True
        try:
            while self._queue:
                event = self._queue.popleft()
                try:
                    # Here and not when it was posted: in the one stream time never runs back.
                    stamp(event, self._clock())
                    self._take(event)
                except Exception as error:
                    self._report(str(error))
        finally:
            self._is_working = False
