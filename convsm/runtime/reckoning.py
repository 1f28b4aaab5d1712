"""When an interface that reports nothing will have played what it was given."""

from __future__ import annotations

import threading
from collections.abc import Callable

from convsm.audio.formats import AudioFormat
from convsm.machine.effects import Play
from convsm.machine.events import Event, Played
from convsm.runtime.timers import Timers

__all__ = ["PlayoutReckoning"]


class PlayoutReckoning:
    """Reckons playout by the duration of what was handed over, and posts what was heard.

    Attributes:
        format: Of the agent's speech.
    """

    def __init__(self, audio_format: AudioFormat, timers: Timers, post: Callable[[Event], None]) -> None:
        """Begin with silence."""
        self.format = audio_format
        self._timers = timers
        self._post = post
        self._lock = threading.Lock()
        self._dry_at = 0.0
        self._last_handed = 0
        self._is_reckoning = False
        self._handed_bytes = 0

    @property
    def position(self) -> int:
        """How many samples were heard by now, as far as durations tell."""
        with self._lock:
            return self._position()

    def _position(self) -> int:
        left = max(0.0, self._dry_at - self._timers.clock())
        size = self.format.bytes_per_sample
        return max(0, self._handed_bytes // size - round(left * self.format.rate))

    def hand_over(self, play: Play) -> None:
        """Take note that a piece has been handed over."""
        with self._lock:
            now = self._timers.clock()
            self._dry_at = max(self._dry_at, now) + self.format.seconds_of(len(play.audio))
            self._last_handed = play.number
            self._handed_bytes += len(play.audio)
            if self._is_reckoning:
                return
            self._is_reckoning = True
            seconds = self._dry_at - now
        self._timers.set("playout", seconds, self._reckon)

    def flush(self) -> None:
        """Take note that all was forgotten."""
        with self._lock:
            self._handed_bytes = self._position() * self.format.bytes_per_sample
            self._dry_at = 0.0
            self._is_reckoning = False
        self._timers.cancel("playout")

    def _reckon(self) -> None:
        """Report playout when the reckoned time has come, or look again when speech was added."""
        with self._lock:
            remaining = self._dry_at - self._timers.clock()
            self._is_reckoning = remaining > 0
            through = self._last_handed
        if remaining > 0:
            self._timers.set("playout", remaining, self._reckon)
        else:
            # After a flush this is a late report, which the table ignores.
            self._post(Played(through))
