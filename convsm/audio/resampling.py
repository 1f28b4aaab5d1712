"""Changing the sample rate in a stream, by soxr; only for devices that do not open at the session's rate."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from convsm.errors import AudioError

__all__ = ["PullResampler", "Resampler"]

# Of what is put in, this much has to have come before all of it is out; more than soxr ever holds back
# in this mode (30 ms from 8 to 16 kHz, 10 to 15 ms between higher rates).
LONGEST_TAIL = 0.05


class Resampler:
    """A stream of s16le samples at one rate into one at another. For one thread at a time.

    What comes out at a time has nearly the duration of what went in, but is later by a constant time
    of 10 to 30 ms. Silence comes out as silence.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        """Make a stream.

        Raises:
            AudioError: soxr is not installed; the message names the extra.
        """
        try:
            # By name: neither is there when types are checked without the extra.
            self._numpy: Any = import_module("numpy")
            soxr: Any = import_module("soxr")
        except ImportError as error:
            raise AudioError(
                f"The device runs at {source_rate} or {target_rate} Hz but not at the other, and converting "
                "needs soxr; install it with \"pip install 'convsm[resample]'\", or choose another device."
            ) from error
        # Variable rate, for else soxr delivers in bursts and holds back up to 118 ms. Floats, for its
        # int16 makes noise of one step out of silence.
        self._stream: Any = soxr.ResampleStream(
            source_rate, target_rate, 1, dtype="float32", quality="HQ", vr=True
        )

    def convert(self, audio: bytes) -> bytes:
        """Put samples in and return those that come out."""
        numpy = self._numpy
        samples = numpy.frombuffer(audio, dtype="<i2").astype("float32")
        converted = self._stream.resample_chunk(samples)
        rounded: bytes = numpy.clip(numpy.rint(converted), -32768, 32767).astype("<i2").tobytes()
        return rounded

    def clear(self) -> None:
        """Forget what is held back."""
        self._stream.clear()


class PullResampler:
    """The same for a reader that wants a certain number of samples at a time. For one thread at a time.

    Attributes:
        delay: Seconds by which what comes out is later than what goes in.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        """Make a stream.

        Raises:
            AudioError: soxr is not installed.
        """
        self._resampler = Resampler(source_rate, target_rate)
        self._ratio = source_rate / target_rate
        self._ready = bytearray()
        self.delay = self._measure_delay(source_rate, target_rate)

    def _measure_delay(self, source_rate: int, target_rate: int) -> float:
        sent = round(LONGEST_TAIL * source_rate)
        got = len(self._resampler.convert(bytes(2 * sent))) // 2
        self._resampler.clear()
        return sent / source_rate - got / target_rate

    def read(self, size: int, source: Callable[[int], bytes]) -> bytes:
        """Return exactly so many bytes.

        Args:
            size: Bytes of whole samples.
            source: Called with a number of bytes, returns that many at the source's rate.
        """
        while len(self._ready) < size:
            missing = (size - len(self._ready)) // 2
            self._ready += self._resampler.convert(source(2 * max(1, round(missing * self._ratio))))
        audio = bytes(self._ready[:size])
        del self._ready[:size]
        return audio

    def clear(self) -> None:
        """Forget what is held back."""
        self._resampler.clear()
        self._ready.clear()
