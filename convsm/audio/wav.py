"""An audio interface whose microphone and loudspeaker are WAV files, for tests, demos and batch work."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic

import attrs

from convsm.audio.formats import AudioFormat, audio_format
from convsm.audio.interface import PlayoutListener, ReportingAudioInterface
from convsm.audio.playout import PlayoutBuffer
from convsm.audio.wav_files import WavReader, WavWriter
from convsm.errors import AudioError, ConfigurationError

__all__ = ["WavAudioInterface", "WavDevice"]

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

    ``tick`` belongs to one thread; ``play``, ``interrupt`` and ``retire`` may come from any.
    ``close`` comes last, from the thread of ``tick``.

    In real time, what a tick takes from the buffer counts as heard at the next tick, when it is written
    and reported: an interruption in between takes it back. Without pace it is heard as it is taken.

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
        # The highest number that was reported, or was interrupted and never will be.
        self._settled = 0

    def play(self, number: int, audio: bytes) -> None:
        """Queue audio; see ReportingAudioInterface.play."""
        with self._lock:
            if not self.is_retired:
                self._buffer.append(number, audio)

    def interrupt(self) -> None:
        """Drop all that is not heard yet."""
        with self._lock:
            self._drop()

    def retire(self) -> None:
        """Drop all and go silent for good, in both directions."""
        with self._lock:
            self.is_retired = True
            self._drop()

    def _drop(self) -> None:
        self._buffer.flush()
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
            return None if self._buffer.is_drained else now

    def _hear(self, missed: int) -> None:
        with self._lock:
            taken = (self._buffer.read(self._share), self._buffer.through)
            (heard, through), self._in_hand = (self._in_hand, taken) if self._real_time else (taken, NOTHING)
            is_news = through > self._settled
            self._settled = max(self._settled, through)
        heard += self._gap[len(heard) :]
        if heard and self._writer is not None:
            self._writer.write(heard)
            for _ in range(missed if self._gap else 0):
                self._writer.write(self._gap)
        if is_news:
            self._listener.played(through)

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


@attrs.define(eq=False)
class _Run:
    """One start of the interface: a device and the thread that drives it."""

    device: WavDevice
    listener: PlayoutListener
    wake: threading.Event = attrs.field(factory=threading.Event, init=False)
    thread: threading.Thread = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.thread = threading.Thread(target=self._drive, name="convsm-wav", daemon=True)

    def _drive(self) -> None:
        try:
            try:
                self._tick_until_retired()
            finally:
                self.device.close()
        except Exception as error:
            self.listener.failed(
                f"The WAV audio interface stopped on {type(error).__name__} ({error}); "
                "check its files and the disk, and that its input callback does not raise."
            )
        finally:
            # Nobody shall wait for input that will never come.
            self.device.input_finished.set()

    def _tick_until_retired(self) -> None:
        while True:
            # Cleared before looking: what comes while we look wakes us again.
            self.wake.clear()
            if self.device.is_retired:
                return
            due = self.device.tick(monotonic())
            self.wake.wait(None if due is None else max(0.0, due - monotonic()))

    def stop(self) -> None:
        self.device.retire()
        self.wake.set()
        if self.thread.is_alive() and self.thread is not threading.current_thread():
            self.thread.join()


class _Nobody:
    """Listener of an interface that nobody configured."""

    def played(self, through: int) -> None:
        pass

    def failed(self, message: str) -> None:
        logging.getLogger(__name__).error("%s", message)


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


@attrs.define(eq=False)
class WavAudioInterface(ReportingAudioInterface):
    """A microphone that plays a WAV file and a loudspeaker that writes one.

    One daemon thread serves both directions. The methods may be called from any thread; ``start``,
    ``stop`` and ``configure`` by one at a time. Without ``configure`` it is a plain interface for PCM16
    at 16 kHz, as the reference client uses it. It may be started again after ``stop``: the input is
    read from its beginning once more, and the output is overwritten.

    In real time both directions keep the pace of sound, against absolute deadlines, so that nothing
    drifts. The microphone sends the file's samples exactly and silence after them, without end; without
    a file it sends silence. The loudspeaker works in ticks of 20 ms: it begins a message at the tick
    after its arrival and reports it at the tick at which its last sample was heard. When the machine is
    too busy to keep up, the microphone catches up and the loudspeaker has a pause.

    As fast as possible (``real_time=False``), the file is sent without waiting and then nothing; what is
    handed over is heard as soon as the thread comes to it.

    The output file has exactly the samples that were heard, as 16-bit mono at the rate of the output
    format, also for µ-law. It can be read while it grows and is complete once ``stop`` has returned.

    Args:
        input: Path of a 16-bit mono WAV file at the rate of the session's input format, or None.
        output: Path of the WAV file to write, or None to keep the pace and forget the sound. It has to be
            seekable, and another one than the input.
        real_time: Whether to keep the pace of sound.
        chunk_seconds: Duration of the microphone's pieces; more than 0.
        gaps: Whether to write silence while nothing plays, so that the output has the timeline of the
            conversation. Only in real time.

    Attributes:
        input_finished: Set once the input's last sample was sent, and in any case when the interface
            has ended after a ``start``. To be waited for from other threads, with a timeout in case the
            session never starts it.

    Raises:
        ConfigurationError: The arguments contradict each other.
    """

    _input: str | None = attrs.field(default=None, converter=_path)
    _output: str | None = attrs.field(default=None, converter=_path)
    real_time: bool = attrs.field(default=True, kw_only=True)
    chunk_seconds: float = attrs.field(default=0.02, kw_only=True)
    gaps: bool = attrs.field(default=False, kw_only=True)
    input_finished: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)
    _output_format: AudioFormat = attrs.field(default=audio_format("pcm_16000"), init=False, repr=False)
    _input_format: AudioFormat = attrs.field(default=audio_format("pcm_16000"), init=False, repr=False)
    _listener: PlayoutListener = attrs.field(factory=_Nobody, init=False, repr=False)
    _run: _Run | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check the arguments."""
        if not (math.isfinite(self.chunk_seconds) and self.chunk_seconds > 0):
            raise ConfigurationError(f"chunk_seconds is {self.chunk_seconds}; choose a duration above 0.")
        if self.gaps and not self.real_time:
            raise ConfigurationError(
                "Without real time there are no gaps; leave gaps or real_time=False out."
            )
        if self._input and self._output and os.path.realpath(self._input) == os.path.realpath(self._output):
            raise ConfigurationError(f"Input and output are both {self._input}; choose another output.")

    @property
    def may_wait(self) -> bool:
        """Whether ``input_callback`` may keep its caller waiting: without pace it may."""
        return not self.real_time

    def configure(
        self, output_format: AudioFormat, input_format: AudioFormat, listener: PlayoutListener
    ) -> None:
        """Choose formats and listener of the starts to come.

        Raises:
            AudioError: The interface is running. Whether the input file fits the format is seen by ``start``.
        """
        self._require_rest()
        self._output_format = output_format
        self._input_format = input_format
        self._listener = listener

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        """Open the files and begin; see AudioInterface.start.

        Raises:
            AudioError: A file cannot be opened, the input is not 16-bit mono at the input format's rate
                (the message has a command that converts it), or the interface is running.
        """
        self._require_rest()
        with ExitStack() as unless_started:
            reader = writer = None
            if self._input is not None:
                reader = WavReader(self._input, self._input_format)
                unless_started.callback(reader.close)
            if self._output is not None:
                writer = WavWriter(self._output, self._output_format)
                unless_started.callback(writer.close)
            self.input_finished.clear()
            device = WavDevice(
                reader,
                writer,
                self._output_format,
                self._input_format,
                input_callback,
                self._listener,
                input_finished=self.input_finished,
                now=monotonic(),
                real_time=self.real_time,
                chunk_seconds=self.chunk_seconds,
                gaps=self.gaps,
            )
            run = _Run(device, self._listener)
            self._run = run
            run.thread.start()
            unless_started.pop_all()

    def stop(self) -> None:
        """Close the files and end the thread; from inside that thread, as soon as it returns there.

        What was not heard is dropped. Nothing happens if the interface is not running.
        """
        if self._run is not None:
            self._run.stop()

    def play(self, number: int, audio: bytes) -> None:
        """Queue audio; see ReportingAudioInterface.play. Dropped unless the interface is running."""
        if self._run is not None:
            self._run.device.play(number, audio)
            if not self.real_time:
                # In real time the next tick will find it.
                self._run.wake.set()

    def interrupt(self) -> None:
        """Drop all that was not heard yet, at once. What was handed over later is played."""
        if self._run is not None:
            self._run.device.interrupt()

    def _require_rest(self) -> None:
        if self._run is not None and self._run.thread.is_alive():
            raise AudioError("The WAV audio interface is still running; call stop() and wait for its return.")
