from __future__ import annotations

import math
import struct
import sys
from itertools import pairwise, permutations

import pytest

from convsm.audio.formats import AUDIO_FORMATS
from convsm.audio.level import level_of
from convsm.audio.resampling import PullResampler, Resampler
from convsm.errors import AudioError
from tests.audio.sounds import tone

pytest.importorskip("soxr")

RATES = sorted({each.rate for each in AUDIO_FORMATS.values()})
PAIRS = list(permutations(RATES, 2))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_stream_keeps_its_duration_but_for_a_constant_delay(source: int, target: int):
    resampler = PullResampler(source, target)
    assert 0 < resampler.delay < 0.05
    pulled = 0

    def pull(size: int) -> bytes:
        nonlocal pulled
        pulled += size // 2
        return bytes(size)

    for count in range(1, 101):
        assert resampler.read(2 * round(target / 100), pull) == bytes(2 * round(target / 100))
        ahead = pulled / source - count * round(target / 100) / target
        assert abs(ahead - resampler.delay) < 0.012


def test_a_steady_sound_stays_what_it_is():
    converted = Resampler(16000, 48000).convert(tone(10000, 16000))
    assert level_of(converted[4000:-4000]).peak == pytest.approx(10000 / 32768, abs=2 / 32768)


def test_the_loudest_sound_does_not_wrap_around():
    loud = tone(32767, 200) + tone(-32768, 200)
    converted = Resampler(16000, 48000).convert(loud * 20)
    # Had the overshoot wrapped around, next to the highest samples there would be the lowest.
    values = memoryview(converted).cast("h").tolist()
    assert max(abs(after - before) for before, after in pairwise(values)) < 40000


def test_what_was_held_back_is_gone_after_clear():
    resampler = PullResampler(8000, 16000)
    resampler.read(320, lambda size: tone(10000, size // 2))
    resampler.clear()
    assert resampler.read(3200, bytes) == bytes(3200)


def test_without_soxr_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(AudioError, match=r"16000 or 48000 Hz .* \"pip install 'convsm\[resample\]'\""):
        Resampler(16000, 48000)


def test_a_tone_keeps_its_frequency():
    turn = 2 * math.pi * 500 / 24000
    sine = struct.pack("<24000h", *(round(8000 * math.sin(turn * index)) for index in range(24000)))
    converted = memoryview(Resampler(24000, 16000).convert(sine)).cast("h").tolist()
    rises = sum(before < 0 <= after for before, after in pairwise(converted))
    assert abs(rises - 495) <= 5
