"""Changing the sample rate without any package: slow, and good enough for whoever only listens."""

from __future__ import annotations

import math
from array import array
from operator import mul

__all__ = ["SincResampler", "resample"]

# Zero crossings of the sinc on each side; so many keep mirror images some 60 dB down.
CROSSINGS = 8


class SincResampler:
    """A stream of s16le samples at one rate into one at another, by a windowed sinc.

    For one thread at a time. A second of sound takes some 20 to 40 ms of a core. What comes out is later by
    the eight samples of the lower rate that it is reckoned from, 1 ms at 8 kHz.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        """Make a stream.

        Args:
            source_rate: Samples a second.
            target_rate: Likewise.
        """
        common = math.gcd(source_rate, target_rate)
        self._up, self._down = target_rate // common, source_rate // common
        # A lower rate holds less of the treble: the sinc is wider by as much.
        cutoff = min(1.0, target_rate / source_rate)
        self._reach = math.ceil(CROSSINGS / cutoff)
        self._kernels = [_kernel(phase / self._up, cutoff, self._reach) for phase in range(self._up)]
        # Bounded by one piece and a kernel; it begins with the silence before the first sample.
        self._waiting = array("h", bytes(2 * (self._reach - 1)))
        # Where the next sample lies behind the first that waits, in samples of both rates' common multiple.
        self._place = 0

    def convert(self, audio: bytes) -> bytes:
        """Put samples in and return those that come out."""
        self._waiting.frombytes(audio)
        waiting, kernels, taps = self._waiting, self._kernels, 2 * self._reach
        found, place = array("h"), self._place
        start, phase = divmod(place, self._up)
        while start + taps <= len(waiting):
            value = round(sum(map(mul, kernels[phase], waiting[start : start + taps])))
            found.append(min(max(value, -32768), 32767))
            place += self._down
            start, phase = divmod(place, self._up)
        used = min(start, len(waiting))
        del waiting[:used]
        self._place = place - used * self._up
        return found.tobytes()

    def finish(self) -> bytes:
        """Return what the last samples still owe; the stream is over."""
        return self.convert(bytes(2 * self._reach))


def resample(samples: array[int], source_rate: int, target_rate: int) -> array[int]:
    """Return a whole sound at another rate, of the same duration to the sample.

    Args:
        samples: Of type ``h``.
        source_rate: Samples a second.
        target_rate: Likewise.
    """
    stream = SincResampler(source_rate, target_rate)
    found = array("h", stream.convert(samples.tobytes()) + stream.finish())
    return found[: len(samples) * target_rate // source_rate]


def _kernel(offset: float, cutoff: float, reach: int) -> list[float]:
    """Return the weights of the samples around a place that is ``offset`` behind one of them."""
    places = [tap - reach + 1 - offset for tap in range(2 * reach)]
    weights = [_sinc(cutoff * place) * math.cos(math.pi * place / (2 * reach)) ** 2 for place in places]
    # To the sum of one: silence and anything steady keep their level exactly.
    whole = sum(weights)
    return [weight / whole for weight in weights]


def _sinc(place: float) -> float:
    return math.sin(math.pi * place) / (math.pi * place) if place else 1.0
