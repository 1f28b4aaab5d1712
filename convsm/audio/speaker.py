"""The loudspeaker's side of a sound card: what its callback plays, and what of that was heard by now."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

import attrs

from convsm.audio.companding import to_pcm
from convsm.audio.formats import AudioFormat
from convsm.audio.level import SILENCE, Level, level_of, softened
from convsm.audio.playout import DEFAULT_LIMIT, PlayoutBuffer
from convsm.audio.resampling import PullResampler

__all__ = ["Speaker"]

# How long a stretch the level is measured over: as long as a meter with 20 pictures a second shows one.
METER_SECONDS = 0.05
# A latency beyond this is a device that does not know; what PortAudio said as it opened is taken instead.
LARGEST_LATENCY = 5.0


def _tell_nobody(through: int) -> None:
    pass


@attrs.define
class _Piece:
    """What one callback handed to the device.

    Attributes:
        audio: In the session's format.
        ends_at: When its last sample will have been heard, monotonic seconds.
        through: The highest number that ends in it, if one does.
    """

    audio: bytes
    ends_at: float
    through: int = 0


@attrs.define(eq=False)
class Speaker:
    """Plays numbered audio through ``fill``, and knows what was heard. Knows no PortAudio.

    ``fill`` runs on PortAudio's thread. All else may be called from any thread: one lock guards it, which
    each holder keeps for the time of one append, read or flush and never while calling out, so that neither
    the session nor the callback waits for more than that. While the callback waits for it, the GIL is free.

    A sample was heard when the device's own latency, asked at each callback, has passed since it was
    handed over. It is the callback that looks: a device that stands still has not played what it holds.

    Attributes (to be read, not set, but for ``volume``):
        volume: From 0 to 1; for what is handed to the device from now on.
        underflows: How often the device said that it had run dry.
        is_silenced: Whether an interruption waits for ``silenced``: the device still holds old audio.
    """

    format: AudioFormat
    limit: int = DEFAULT_LIMIT
    volume: float = 1.0
    underflows: int = attrs.field(default=0, init=False)
    is_silenced: bool = attrs.field(default=False, init=False)
    _report: Callable[[int], None] = attrs.field(default=_tell_nobody, init=False)
    _copy: Callable[[bytes], None] | None = attrs.field(default=None, init=False)
    _latency: float = attrs.field(default=0.0, init=False)
    _rate: int = attrs.field(default=0, init=False)
    _resampler: PullResampler | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _buffer: PlayoutBuffer = attrs.field(init=False)
    # Bounded by the device's latency.
    _in_flight: deque[_Piece] = attrs.field(factory=deque, init=False)
    # What a device held that was lost; bounded likewise. It comes before the buffer.
    _again: bytes = attrs.field(default=b"", init=False)
    # What was taken for the present callback.
    _taken: bytes = attrs.field(default=b"", init=False)
    _heard_samples: int = attrs.field(default=0, init=False)
    # The highest number that was read, that was heard, and that was reported or never will be.
    _noted: int = attrs.field(default=0, init=False)
    _heard: int = attrs.field(default=0, init=False)
    _settled: int = attrs.field(default=0, init=False)
    _is_paused: bool = attrs.field(default=False, init=False)
    _is_retired: bool = attrs.field(default=False, init=False)
    _is_quiet: threading.Event = attrs.field(factory=threading.Event, init=False)
    # What the meter shows; bounded by METER_SECONDS.
    _shown: deque[bytes] = attrs.field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self._buffer = PlayoutBuffer(self.format.bytes_per_sample, limit=self.limit)
        self._is_quiet.set()

    # Before and after a stream

    def attach(
        self,
        rate: int,
        latency: float,
        block_seconds: float,
        copy: Callable[[bytes], None] | None,
        report: Callable[[int], None],
    ) -> None:
        """Get ready for a stream that has been opened and not yet started.

        Args:
            rate: Samples a second of the device.
            latency: Seconds between callback and sound where the device does not say so each time.
            block_seconds: Duration of what one callback takes.
            copy: To get all that the device gets, if wanted; called by PortAudio's thread.
            report: To be told up to which number was heard; called by PortAudio's thread.

        Raises:
            AudioError: It needs resampling, and soxr is not installed.
        """
        resampler = PullResampler(self.format.rate, rate) if rate != self.format.rate else None
        with self._lock:
            self._rate = rate
            self._latency = latency
            self._copy = copy
            self._report = report
            self._resampler = resampler
            self._shown = deque(maxlen=max(1, round(METER_SECONDS / block_seconds)))

    def lose_device(self, since: float) -> None:
        """Take note that the device sounds no more, so that what it held has to be played again.

        Args:
            since: When it fell silent, monotonic seconds.
        """
        with self._lock:
            heard = self._settle(since)
            self._again = b"".join(piece.audio for piece in self._in_flight) + self._again
            self._in_flight.clear()
            self._noted = self._heard
            self.is_silenced = False
        self._tell(heard)

    # The session's side

    def play(self, number: int, audio: bytes) -> None:
        """Queue audio; see ReportingAudioInterface.play."""
        with self._lock:
            if not self._is_retired:
                self._buffer.append(number, audio)
                self._is_quiet.clear()

    def interrupt(self) -> bool:
        """Forget all that was not heard, and hand nothing over until ``silenced`` is called.

        Ends a pause.

        Returns:
            Whether the device still holds something to be heard, so that somebody has to empty it.
        """
        with self._lock:
            self._drop()
            return self.is_silenced

    def silenced(self) -> None:
        """Take note that the device has been emptied."""
        with self._lock:
            self.is_silenced = False

    def pause(self) -> None:
        """Hand nothing over from now on; what the device holds is heard to its end."""
        with self._lock:
            self._is_paused = True

    def resume(self) -> None:
        """Go on with the very next sample."""
        with self._lock:
            self._is_paused = False

    def retire(self) -> None:
        """Forget all, and be silent for good."""
        with self._lock:
            self._is_retired = True
            self._drop()

    def _drop(self) -> None:
        now = monotonic()
        self._settle(now)
        self._heard_samples = self._position(now)
        self.is_silenced = self.is_silenced or bool(self._in_flight)
        self._in_flight.clear()
        self._again = b""
        self._buffer.flush()
        if self._resampler is not None:
            self._resampler.clear()
        self._is_paused = False
        self._noted = self._settled = max(self._noted, self._buffer.through)
        self._is_quiet.set()

    def wait_until_quiet(self, timeout: float | None) -> bool:
        """Wait until nothing is left to be heard; return whether that is so."""
        return self._is_quiet.wait(timeout)

    def note_heard(self) -> None:
        """Let those go on who wait, if there is nothing left to be heard."""
        with self._lock:
            if self._buffer.is_drained and not self._in_flight and not self._again:
                self._is_quiet.set()

    @property
    def is_paused(self) -> bool:
        """Whether it is paused."""
        return self._is_paused

    @property
    def position(self) -> int:
        """How many samples of the session's rate were heard."""
        with self._lock:
            return self._position(monotonic())

    def _position(self, now: float) -> int:
        position = self._heard_samples
        for piece in self._in_flight:
            left = max(0, round((piece.ends_at - now) * self.format.rate))
            position += max(0, len(piece.audio) // self.format.bytes_per_sample - left)
        return position

    @property
    def level(self) -> Level:
        """How loud it was during the last 50 ms."""
        with self._lock:
            shown = b"".join(self._shown)
        return level_of(shown) if shown else SILENCE

    # The device's side

    def fill(self, outdata: Any, frames: int, time: Any, status: Any) -> None:
        """Hand the next samples over; PortAudio's callback."""
        now = monotonic()
        if status and status.output_underflow:
            self.underflows += 1
        latency = time.outputBufferDacTime - time.currentTime
        if not 0 < latency < LARGEST_LATENCY:
            latency = self._latency
        with self._lock:
            audio = self._read(frames, now + latency)
            self._shown.append(audio)
            heard = self._settle(now)
        audio += bytes(2 * frames - len(audio))
        outdata[:] = audio
        if self._copy is not None:
            self._copy(audio)
        self._tell(heard)

    def _read(self, frames: int, starts_at: float) -> bytes:
        if self._is_paused or self.is_silenced or self._is_retired:
            return b""
        self._taken = b""
        ends_at = starts_at
        if self._resampler is None:
            audio = self._take(frames)
            ends_at += len(audio) / 2 / self._rate
        else:
            audio = self._resampler.read(2 * frames, self._take_padded)
            ends_at += self._resampler.delay + frames / self._rate
        if self._taken:
            self._in_flight.append(_Piece(self._taken, ends_at))
        return softened(audio, self.volume)

    def _take(self, samples: int) -> bytes:
        size = samples * self.format.bytes_per_sample
        audio, self._again = self._again[:size], self._again[size:]
        audio += self._buffer.read(size - len(audio))
        self._taken += audio
        return to_pcm(audio, self.format)

    def _take_padded(self, size: int) -> bytes:
        audio = self._take(size // 2)
        return audio + bytes(size - len(audio))

    def _settle(self, now: float) -> int:
        """Take what was heard by now out of flight, and return a number to report, or 0."""
        through = self._buffer.through
        if through > self._noted and not self._again:
            self._noted = through
            # The piece that was read just now; or the latest, if audio without samples came after it.
            if self._in_flight:
                self._in_flight[-1].through = through
            else:
                self._heard = through
        while self._in_flight and self._in_flight[0].ends_at <= now:
            piece = self._in_flight.popleft()
            self._heard_samples += len(piece.audio) // self.format.bytes_per_sample
            self._heard = max(self._heard, piece.through)
        if self._heard <= self._settled:
            return 0
        self._settled = self._heard
        return self._heard

    def _tell(self, heard: int) -> None:
        if heard:
            self._report(heard)
