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
from convsm.audio.wav_device import WavDevice
from convsm.audio.wav_files import WavReader, WavWriter
from convsm.errors import AudioError, ConfigurationError

__all__ = ["WavAudioInterface"]


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

    @property
    def position(self) -> int:
        """How many samples of the output format were heard since ``start``."""
        return 0 if self._run is None else self._run.device.position

    def play(self, number: int, audio: bytes) -> None:
        """Queue audio; see ReportingAudioInterface.play. Dropped unless the interface is running."""
        if self._run is not None:
            self._run.device.play(number, audio)
            if not self.real_time:
                # In real time the next tick will find it.
                self._run.wake.set()

    def pause(self) -> None:
        """Fall silent and keep what was not heard, to the sample."""
        if self._run is not None:
            self._run.device.pause()

    def resume(self) -> None:
        """Go on with the sample behind the last that was heard."""
        if self._run is not None:
            self._run.device.resume()
            if not self.real_time:
                self._run.wake.set()

    @property
    def is_paused(self) -> bool:
        """Whether ``pause`` was called and neither ``resume`` nor ``interrupt`` since."""
        return self._run is not None and self._run.device.is_paused

    def interrupt(self) -> None:
        """Drop all that was not heard yet, at once; ends a pause. What was handed over later is played."""
        if self._run is not None:
            self._run.device.interrupt()

    def _require_rest(self) -> None:
        if self._run is not None and self._run.thread.is_alive():
            raise AudioError("The WAV audio interface is still running; call stop() and wait for its return.")
