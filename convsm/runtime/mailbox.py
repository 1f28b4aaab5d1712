"""The one ordered stream of events, and the one owner of the Session at any moment.

Whoever posts drains: the event goes into the inbox, and if nobody is working on the inbox the
poster does. Against a pump thread this saves a hop between threads for each message (31 µs in the
median, 84 µs at the 99th percentile) and its CPU; against a selecting thread it never lets half a
frame on a slow link hold everything up. The main thread never drains: a KeyboardInterrupt must not
tear an event from its effects, nor a signal handler meet a lock that the thread it stopped holds.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from threading import get_ident

from convsm.machine.events import Event, UserAudio, stamp

__all__ = ["Mailbox"]

# From here on a poster waits for its turn instead of leaving the work to the owner, so that a
# fast socket cannot fill the memory while another thread drains.
CROWDED = 256
# Real-time threads never wait; beyond this the microphone is dropped. 10 s of 20 ms chunks. What else
# they post is bounded by what they were given to play.
DEVICE_LIMIT = 512
AUDIO_DROPPED = "the session did not keep up with the microphone; some of its audio was dropped"


class _Ticket:
    """What a caller waits for."""

    __slots__ = ("done", "error")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: Exception | None = None


class Mailbox:
    """An inbox that whoever posts empties."""

    def __init__(
        self,
        take: Callable[[Event], None],
        clock: Callable[[], float],
        wake: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """Make an empty inbox.

        Args:
            take: Handles one event; never called by two threads at once. May raise to the caller of ``call``.
            clock: Monotonic seconds.
            wake: Makes another thread call ``drain`` soon; for posts from real-time threads and the main one.
            report: Told of a refusal that nobody waits for, and of dropped audio.
        """
        self._take = take
        self._clock = clock
        self._wake = wake
        self._report = report
        self._queue: deque[tuple[Event, _Ticket | None]] = deque()
        self._owner = threading.Lock()
        self._owner_ident: int | None = None
        self._main_ident = threading.main_thread().ident
        self._is_closed = False
        self._has_dropped = False

    def post(self, event: Event) -> None:
        """Put an event into the stream; any thread, also from inside an effect.

        Waits while too many others wait, so never call it with a lock held that an effect needs.
        """
        self._queue.append((event, None))
        if len(self._queue) > CROWDED and not self._leaves_work:
            with self._owner:
                self._work()
        self._pass_on()

    def post_at_once(self, event: Event) -> None:
        """Put an event into the stream and never wait, whatever the caller holds."""
        self._queue.append((event, None))
        self._pass_on()

    def post_aside(self, event: Event) -> None:
        """Put an event into the stream without working on it; for real-time threads."""
        if len(self._queue) >= DEVICE_LIMIT and type(event) is UserAudio:
            self._has_dropped = True
            return
        self._queue.append((event, None))
        self._wake()

    def call(self, event: Event) -> None:
        """Put a command into the stream and wait until it is taken.

        From inside an effect (an AudioInterface's own methods) it returns at once.

        Raises:
            Exception: What ``take`` raised for it.
        """
        if self.is_owned_here:
            self._queue.append((event, None))
            return
        ticket = _Ticket()
        self._queue.append((event, ticket))
        self._pass_on()
        ticket.done.wait()
        if ticket.error is not None:
            raise ticket.error

    @property
    def is_owned_here(self) -> bool:
        """Whether the calling thread is working on the inbox, that is, performs an effect."""
        return self._owner_ident == get_ident()

    def close(self) -> None:
        """Take note, inside ``take``, that nobody wakes anybody any more: each poster drains."""
        self._is_closed = True

    @property
    def _leaves_work(self) -> bool:
        """Whether the calling thread is to leave the work to another, or to itself further out."""
        ident = get_ident()
        return ident == self._owner_ident or (ident == self._main_ident and not self._is_closed)

    def _pass_on(self) -> None:
        if not self._leaves_work:
            self.drain()
        elif not self.is_owned_here:
            self._wake()

    def drain(self) -> None:
        """Work on the inbox unless somebody else does."""
        # The owner may have looked for the last time before our append, so look again after each turn.
        while self._queue and self._owner.acquire(blocking=False):
            try:
                self._work()
            finally:
                self._owner.release()

    def _work(self) -> None:
        self._owner_ident = get_ident()
        try:
            while self._queue:
                event, ticket = self._queue.popleft()
                try:
                    # Here and not when it was posted: in the one stream time never runs back.
                    stamp(event, self._clock())
                    self._take(event)
                except Exception as error:
                    if ticket is None:
                        self._report(str(error))
                    else:
                        ticket.error = error
                finally:
                    if ticket is not None:
                        ticket.done.set()
            if self._has_dropped:
                self._has_dropped = False
                self._report(AUDIO_DROPPED)
        finally:
            self._owner_ident = None
