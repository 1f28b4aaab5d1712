"""The driver built of threads: who posts an event drains the inbox."""

from __future__ import annotations

import threading
from collections.abc import Callable

from convsm.runtime.audio_port import AudioPort
from convsm.runtime.driver import Driver
from convsm.runtime.mailbox import Mailbox
from convsm.runtime.notifier import Notifier
from convsm.runtime.timers import ThreadedTimers
from convsm.runtime.tool_runner import ToolRunner
from convsm.runtime.wiring import Wiring
from convsm.transport.threaded import ThreadedTransport

__all__ = ["ThreadedDriver"]


class ThreadedDriver(Driver):
    """One session on threads. All public methods may be called from any thread."""

    make_timers: Callable[[Callable[[], None]], ThreadedTimers] = ThreadedTimers

    is_ready: threading.Event
    is_over: threading.Event
    timers: ThreadedTimers
    transport: ThreadedTransport
    _inbox: Mailbox
    _notifier: Notifier
    _tools: ToolRunner
    _audio: AudioPort

    def _make_parts(self, wiring: Wiring) -> None:
        self.is_ready = threading.Event()
        self.is_over = threading.Event()
        # The inbox does not exist yet; the timers' thread meets it only later.
        self.timers = type(self).make_timers(lambda: self._inbox.drain())
        self._inbox = Mailbox(self._take, self.timers.clock, self.timers.wake, self._diagnostics.say)
        self._notifier = Notifier()
        self._tools = ToolRunner(
            wiring.tools,
            self._inbox.post,
            timers=self.timers,
            on_unhandled=self._tell_unhandled,
            approve=wiring.approve,
        )
        self.transport = ThreadedTransport(
            self._inbox.post, self._decode, wiring.resolve_url, wiring.transport
        )
        self._audio = AudioPort(
            wiring.audio,
            self._inbox.post,
            self._inbox.post_aside,
            self.timers,
            self.transport.wait_for_audio_room,
            self._note_silence,
            self._hear,
        )

    def join(self, timeout: float) -> None:
        """Wait after the end for audio, callbacks and threads, except those the caller is part of."""
        deadline = self.timers.clock() + timeout
        for part in (self._audio, self.turns, self._notifier, self.transport, self.timers):
            if part is not None:
                part.join(max(0.0, deadline - self.timers.clock()))
        self.finish_recording(max(0.0, deadline - self.timers.clock()))

    @property
    def is_performing_here(self) -> bool:
        """Whether the caller runs inside an effect, that is, in ``output`` or ``interrupt``."""
        return self._inbox.is_owned_here
