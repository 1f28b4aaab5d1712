from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.audio import AUDIO_FORMATS, AudioFormat, audio_format
from convsm.audio.companding import to_pcm
from convsm.errors import AudioError

formats = st.sampled_from(list(AUDIO_FORMATS.values()))


@pytest.mark.parametrize(
    ("name", "encoding", "rate", "bytes_per_sample"),
    [
        ("pcm_8000", "pcm", 8000, 2),
        ("pcm_16000", "pcm", 16000, 2),
        ("pcm_22050", "pcm", 22050, 2),
        ("pcm_24000", "pcm", 24000, 2),
        ("pcm_44100", "pcm", 44100, 2),
        ("pcm_48000", "pcm", 48000, 2),
        ("ulaw_8000", "ulaw", 8000, 1),
        ("alaw_8000", "alaw", 8000, 1),
    ],
)
def test_every_format_of_the_protocol_is_known_by_its_name(name, encoding, rate, bytes_per_sample):
    known = audio_format(name)
    assert (known.name, known.encoding, known.rate) == (name, encoding, rate)
    assert known.bytes_per_sample == bytes_per_sample


def test_an_unknown_format_is_named_together_with_the_known_ones():
    with pytest.raises(AudioError, match=r"'opus_48000' is unknown.* pcm_8000.*ulaw_8000"):
        audio_format("opus_48000")


def test_a_format_cannot_be_changed():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        audio_format("pcm_16000").rate = 8000  # type: ignore[misc]


@given(formats, st.integers(0, 10_000_000))
def test_whole_samples_survive_the_way_through_seconds(known: AudioFormat, count):
    length = count * known.bytes_per_sample
    assert known.bytes_of(known.seconds_of(length)) == length


@given(formats, st.floats(0, 3600))
def test_a_duration_becomes_whole_samples_and_is_off_by_half_a_sample_at_most(known: AudioFormat, seconds):
    length = known.bytes_of(seconds)
    assert length % known.bytes_per_sample == 0
    assert abs(known.seconds_of(length) - seconds) <= 0.500001 / known.rate


def test_a_duration_that_binary_fractions_miss_is_not_rounded_down():
    # 0.29 * 100 is 28.999999999999996.
    assert audio_format("pcm_8000").bytes_of(0.0029) == 23 * 2
    assert audio_format("pcm_16000").bytes_of(0.25) == 8000


@given(formats, st.floats(0, 2))
def test_silence_has_its_duration_and_sounds_like_nothing(known: AudioFormat, seconds):
    silence = known.silence(seconds)
    assert len(silence) == known.bytes_of(seconds)
    loudest = max(memoryview(to_pcm(silence, known)).cast("h"), default=0)
    assert loudest == (8 if silence and known.encoding == "alaw" else 0)  # A-law has no zero
