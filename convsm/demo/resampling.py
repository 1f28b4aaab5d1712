"""Changing the sample rate of a whole sound at once, without any package: for the demo's few seconds."""

from __future__ import annotations

import math
from array import array
from operator import mul

__all__ = ["resample"]

# Zero crossings of the sinc on each side; so many keep mirror images some 60 dB down.
CROSSINGS = 8


def resample(samples: array[int], source_rate: int, target_rate: int) -> array[int]:
    """Return 16-bit samples at another rate, by a windowed sinc for each phase between two samples.

    Args:
        samples: Of type ``h``.
        source_rate: Samples a second.
        target_rate: Likewise.
    """
    common = math.gcd(source_rate, target_rate)
    up, down = target_rate // common, source_rate // common
    # A lower rate holds less of the treble: the sinc is wider by as much.
    cutoff = min(1.0, target_rate / source_rate)
    reach = math.ceil(CROSSINGS / cutoff)
    kernels = [_kernel(phase / up, cutoff, reach) for phase in range(up)]
    padded = array("h", bytes(2 * reach)) + samples + array("h", bytes(2 * reach))
    count, taps = len(samples) * up // down, 2 * reach
    found = array("h", bytes(2 * count))
    for number in range(count):
        start, phase = divmod(number * down, up)
        value = round(sum(map(mul, kernels[phase], padded[start + 1 : start + 1 + taps])))
        found[number] = min(max(value, -32768), 32767)
    return found


def _kernel(offset: float, cutoff: float, reach: int) -> list[float]:
    """Return the weights of the samples around a place that is ``offset`` behind one of them."""
    places = [tap - reach + 1 - offset for tap in range(2 * reach)]
    weights = [_sinc(cutoff * place) * math.cos(math.pi * place / (2 * reach)) ** 2 for place in places]
    # To the sum of one: silence and anything steady keep their level exactly.
    whole = sum(weights)
    return [weight / whole for weight in weights]


def _sinc(place: float) -> float:
    return math.sin(math.pi * place) / (math.pi * place) if place else 1.0
