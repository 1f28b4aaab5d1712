"""Changing the rate without any package, of a whole sound and of a stream."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convsm.audio.sinc_resampling import SincResampler, resample

RATES = [8000, 16000, 22050, 24000, 44100, 48000]


def tone(hertz, rate, seconds=0.2):
    return array(
        "h", [round(10000 * math.sin(2 * math.pi * hertz * n / rate)) for n in range(int(rate * seconds))]
    )


def loudness(samples):
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [300, 1000, 2500])
def test_a_tone_is_the_same_tone_at_the_other_rate(rate, hertz):
    found, wanted = resample(tone(hertz, rate), rate, 24000), tone(hertz, 24000)
    assert len(found) == len(wanted)
    # Not at the ends, which begin and end in silence.
    middle = slice(600, -600)
    wrong = [one - other for one, other in zip(found[middle], wanted[middle], strict=True)]
    assert loudness(wrong) < loudness(wanted) / 300


def test_what_the_lower_rate_cannot_hold_is_taken_out():
    assert loudness(resample(tone(16000, 48000), 48000, 24000)[600:-600]) < 10


@given(st.lists(st.integers(-32768, 32767), max_size=60), st.sampled_from(RATES), st.sampled_from(RATES))
@settings(max_examples=60)
def test_any_samples_keep_their_length_and_stay_samples(samples, source, target):
    found = resample(array("h", samples), source, target)
    assert len(found) == len(samples) * target // source


@pytest.mark.parametrize("level", [0, 12345, -32768, 32767])
def test_silence_stays_silence_and_what_is_steady_keeps_its_level(level):
    found = resample(array("h", [level] * 400), 16000, 24000)
    assert set(found[60:-60]) == {level}


@given(
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=200),
    st.lists(st.integers(0, 60), max_size=10),
    st.sampled_from(RATES),
    st.sampled_from(RATES),
)
@settings(max_examples=60)
def test_in_whatever_pieces_a_sound_comes_it_is_the_same(samples, sizes, source, target):
    stream, rest, found = SincResampler(source, target), array("h", samples), b""
    for size in sizes:
        found += stream.convert(rest[:size].tobytes())
        rest = rest[size:]
    found += stream.convert(rest.tobytes()) + stream.finish()
    whole = resample(array("h", samples), source, target).tobytes()
    assert found[: len(whole)] == whole


@pytest.mark.parametrize("rate", RATES)
def test_a_stream_is_late_by_eight_samples_at_most_of_the_lower_rate(rate):
    got = len(SincResampler(rate, 16000).convert(bytes(2 * rate))) / 32000
    assert 1.0 - got <= 9 / min(rate, 16000)
