from __future__ import annotations

import importlib
import struct
import warnings
from types import ModuleType

import pytest

from convsm.audio.alaw import alaw_to_pcm, pcm_to_alaw

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = struct.pack("<65536h", *range(-0x8000, 0x8000))


def audioop() -> ModuleType:
    """Return the standard library's own A-law where it still has one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module("audioop")
        except ModuleNotFoundError:
            pytest.skip("this Python has no audioop any more")


def test_every_code_is_decoded_as_audioop_does():
    assert alaw_to_pcm(EVERY_CODE) == audioop().alaw2lin(EVERY_CODE, 2)


def test_every_sample_is_encoded_as_audioop_does():
    assert pcm_to_alaw(EVERY_SAMPLE) == audioop().lin2alaw(EVERY_SAMPLE, 2)


def test_codes_decode_to_the_values_of_the_standard():
    decoded = struct.unpack("<6h", alaw_to_pcm(bytes((0xD5, 0x55, 0xAA, 0x2A, 0xD4, 0x54))))
    assert decoded == (8, -8, 32256, -32256, 24, -24)


def test_every_code_survives_the_way_through_pcm():
    assert pcm_to_alaw(alaw_to_pcm(EVERY_CODE)) == EVERY_CODE


def test_louder_samples_never_decode_to_quieter_ones_and_the_error_is_that_of_the_segment():
    samples = struct.unpack("<65536h", EVERY_SAMPLE)
    decoded = struct.unpack("<65536h", alaw_to_pcm(pcm_to_alaw(EVERY_SAMPLE)))
    assert list(decoded) == sorted(decoded)
    # Half a step is at most a 32nd of the magnitude, and 8 in the two lowest segments.
    for sample, heard in zip(samples, decoded, strict=True):
        assert abs(sample - heard) <= max(8, (abs(sample) + 1) / 32)


def test_nothing_becomes_nothing():
    assert pcm_to_alaw(b"") == alaw_to_pcm(b"") == b""


def test_half_a_sample_is_refused():
    with pytest.raises(struct.error):
        pcm_to_alaw(b"\x00\x00\x00")
