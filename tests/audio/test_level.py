from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.audio.level import SILENCE, Level, level_of, softened
from tests.audio.sounds import tone

sounds = st.lists(st.integers(-32768, 32767), max_size=200).map(
    lambda values: struct.pack(f"<{len(values)}h", *values)
)


def values_of(audio: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(audio) // 2}h", audio)


@given(sounds)
def test_the_level_is_root_mean_square_and_peak(audio: bytes):
    level = level_of(audio)
    values = values_of(audio)
    if not values:
        assert level == SILENCE
        return
    assert level.rms == pytest.approx(math.sqrt(sum(x * x for x in values) / len(values)) / 32768)
    assert level.peak == max(map(abs, values)) / 32768
    assert 0 <= level.rms <= level.peak * 1.000001 <= 1.000001


def test_zeros_are_silence_and_the_lowest_sample_is_full_scale():
    assert level_of(bytes(320)) == SILENCE
    assert level_of(tone(-32768, 160)) == Level(1.0, 1.0)


@given(sounds, st.floats(0, 1))
def test_softened_sound_is_the_sound_times_the_volume_to_one_step(audio: bytes, volume: float):
    soft = softened(audio, volume)
    assert len(soft) == len(audio)
    for before, after in zip(values_of(audio), values_of(soft), strict=True):
        assert abs(after - before * volume) < 1.6


@given(sounds)
def test_full_volume_keeps_the_very_bytes_and_none_makes_silence(audio: bytes):
    assert softened(audio, 1) is audio
    assert softened(audio, 0) == bytes(len(audio))


@given(st.floats(0, 1))
def test_silence_stays_silent(volume: float):
    assert softened(bytes(20), volume) == bytes(20)
