"""Two WAV files as a sound card, without the thread and the clock that drive it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import attrs

from convsm.audio.formats import AudioFormat
from convsm.audio.interface import PlayoutListener
from convsm.audio.playout import PlayoutBuffer
from convsm.audio.wav_files import WavReader, WavWriter

__all__ = ["LARGEST_LAG", "TICK", "WavDevice"]

# The pace of the loudspeaker: the usual block of telephony, a whole number of samples at every rate.
TICK = 0.02
# Without pace, this much is taken from the buffer at a time, so that play() never waits long for the lock.
BLOCK = 1.0
# A microphone behind by more than this was asleep with its machine: it goes on from here, for a burst
# of all that was missed would only flood the session.
LARGEST_LAG = 1.0
NOTHING = (b"", 0)


@attrs.define
class _Pace:
    """Deadlines at a fixed distance from each other, none of which depends on when the last was met.

    Attributes:
        start: Monotonic seconds; the first deadline is one period later.
        period: Seconds between two deadlines.
    """

    start: float
    period: float
    _met: int = 0

    @property
    def due(self) -> float:
        return self.start + (self._met + 1) * self.period

    def meet(self, count: int = 1) -> None:
        self._met += count


class WavDevice:
    """Two WAV files that behave like a sound card, without the thread and the clock that drive it.

    ``tick`` belongs to one thread; ``play``, ``pause``, ``resume``, ``interrupt`` and ``retire`` may come
    from any.
    ``close`` comes last, from the thread of ``tick``.

    In real time, what a tick takes from the buffer counts as heard at the next tick, when it is written
    and reported: an interruption in between takes it back, and a pause holds it. Without pace it is heard as
    it is taken.

    Attributes:
        input_finished: Set once the last sample of the input was sent.
        is_retired: Whether ``retire`` was called: then nothing is sent, played or reported any more.
    """

    def __init__(
        self,
        reader: WavReader | None,
        writer: WavWriter | None,
        output_format: AudioFormat,
        input_format: AudioFormat,
        input_callback: Callable[[bytes], None],
        listener: PlayoutListener,
        *,
        input_finished: threading.Event,
        now: float,
        real_time: bool,
        chunk_seconds: float,
        gaps: bool,
    ) -> None:
        """Take over reader and writer; ``close`` closes them. The timeline begins ``now``."""
        self.input_finished = input_finished
        self.is_retired = False
        self._reader = reader
        self._writer = writer
        self._input_format = input_format
        self._input_callback = input_callback
        self._listener = listener
        self._real_time = real_time
        self._gap = output_format.silence(TICK) if gaps else b""
        self._share = output_format.bytes_of(TICK if real_time else BLOCK)
        self._chunk_size = max(input_format.bytes_of(chunk_seconds), input_format.bytes_per_sample)
        self._input_is_over = False
        self._playout = _Pace(now, TICK)
        self._capture = _Pace(now, input_format.seconds_of(self._chunk_size))
        # Guards what follows; held for the time of one append, read or flush, never while calling out.
        self._lock = threading.Lock()
        self._buffer = PlayoutBuffer(output_format.bytes_per_sample)
        self._in_hand = NOTHING
        self._is_paused = False
        # Bytes that were taken from the buffer and dropped before they were heard.
        self._dropped = 0
        # The highest number that was reported, or was interrupted and never will be.
        self._settled = 0

    def play(self, number: int, audio: bytes) -> None:
        """Queue audio; see ReportingAudioInterface.play."""
        with self._lock:
            if not self.is_retired:
                self._buffer.append(number, audio)

    def pause(self) -> None:
        """Fall silent behind the last sample that was heard, and keep the rest."""
        with self._lock:
            self._is_paused = not self.is_retired

    def resume(self) -> None:
        """Go on with the sample behind the last that was heard."""
        with self._lock:
            self._is_paused = False

    @property
    def is_paused(self) -> bool:
        """Whether it is paused."""
        return self._is_paused

    def interrupt(self) -> None:
        """Drop all that is not heard yet; ends a pause."""
        with self._lock:
            self._drop()

    def retire(self) -> None:
        """Drop all and go silent for good, in both directions."""
        with self._lock:
            self.is_retired = True
            self._drop()

    @property
    def position(self) -> int:
        """How many samples were heard."""
        with self._lock:
            heard = self._buffer.position - self._dropped - len(self._in_hand[0])
        return heard // self._buffer.bytes_per_sample

    def _drop(self) -> None:
        self._is_paused = False
        self._buffer.flush()
        self._dropped += len(self._in_hand[0])
        self._in_hand = NOTHING
        self._settled = max(self._settled, self._buffer.through)

    def tick(self, now: float) -> float | None:
        """Play and record all that is due.

        Args:
            now: Monotonic seconds.

        Returns:
            When to come again; None means when something new was handed over.

        Raises:
            Exception: The disk is full, or the callback or the listener raised; the device is spent.
        """
        if not self._real_time:
            return self._rush(now)
        if self._playout.due <= now:
            # Ticks that nobody came for were silent, as on a sound card: caught up with, they would let
            # speech be heard before it had the time to sound.
            missed = max(0, int((now - self._playout.due) / TICK) - 1)
            self._playout.meet(1 + missed)
            while self._playout.due <= now:  # the division may round either way
                self._playout.meet()
                missed += 1
            self._hear(missed)
        if now - self._capture.due > LARGEST_LAG:
            self._capture.start += now - self._capture.due
        # A callback may retire the device; it is not called again, however much else is due.
        while self._capture.due <= now and not self.is_retired:
            self._capture.meet()
            self._send()
        return min(self._playout.due, self._capture.due)

    def _rush(self, now: float) -> float | None:
        self._hear(missed=0)
        if not self._input_is_over and not self.is_retired:
            self._send()
            return now
        with self._lock:
            return None if self._buffer.is_drained or self._is_paused else now

    def _hear(self, missed: int) -> None:
        with self._lock:
            heard, through = NOTHING if self._is_paused else self._take()
            is_news = through > self._settled
            self._settled = max(self._settled, through)
        heard += self._gap[len(heard) :]
        if heard and self._writer is not None:
            self._writer.write(heard)
            for _ in range(missed if self._gap else 0):
                self._writer.write(self._gap)
        if is_news:
            self._listener.played(through)

    def _take(self) -> tuple[bytes, int]:
        taken = (self._buffer.read(self._share), self._buffer.through)
        heard, self._in_hand = (self._in_hand, taken) if self._real_time else (taken, NOTHING)
        return heard

    def _send(self) -> None:
        chunk = b"" if self._reader is None else self._reader.read(self._chunk_size)
        missing = self._chunk_size - len(chunk)
        if self._real_time:
            # A server ends the user's turn by hearing silence, not by hearing nothing.
            chunk += self._input_format.silence_byte * missing
        if chunk:
            self._input_callback(chunk)
        if missing:
            self._input_is_over = True
            self.input_finished.set()

    def close(self) -> None:
        """Close the files.

        Raises:
            OSError: The output did not reach the disk whole.
        """
        self.retire()
        with ExitStack() as stack:
            for file in (self._reader, self._writer):
                if file is not None:
                    stack.callback(file.close)
