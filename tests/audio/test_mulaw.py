from __future__ import annotations

import importlib
import struct
import warnings
from types import ModuleType

import pytest

from convsm.audio.mulaw import pcm_to_ulaw, ulaw_to_pcm

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = struct.pack("<65536h", *range(-0x8000, 0x8000))


def audioop() -> ModuleType:
    """Return the standard library's own µ-law where it still has one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module("audioop")
        except ModuleNotFoundError:
            pytest.skip("this Python has no audioop any more")


def test_every_code_is_decoded_as_audioop_does():
    assert ulaw_to_pcm(EVERY_CODE) == audioop().ulaw2lin(EVERY_CODE, 2)


def test_every_sample_is_encoded_as_audioop_does():
    assert pcm_to_ulaw(EVERY_SAMPLE) == audioop().lin2ulaw(EVERY_SAMPLE, 2)


def test_codes_decode_to_the_values_of_the_standard():
    decoded = struct.unpack("<6h", ulaw_to_pcm(bytes((0xFF, 0x7F, 0x80, 0x00, 0xFE, 0x7E))))
    assert decoded == (0, 0, 32124, -32124, 8, -8)


def test_every_code_survives_the_way_through_pcm_but_the_second_zero():
    assert pcm_to_ulaw(ulaw_to_pcm(EVERY_CODE)) == EVERY_CODE.replace(b"\x7f", b"\xff")


def test_louder_samples_never_decode_to_quieter_ones_and_the_error_is_that_of_the_segment():
    samples = struct.unpack("<65536h", EVERY_SAMPLE)
    decoded = struct.unpack("<65536h", ulaw_to_pcm(pcm_to_ulaw(EVERY_SAMPLE)))
    assert list(decoded) == sorted(decoded)
    # Half a step is a 32nd of the biased magnitude; what is louder than the loudest code is clipped to it;
    # and 14 bits are what is encoded.
    for sample, heard in zip(samples, decoded, strict=True):
        limited = max(-32124, min(32124, sample))
        assert abs(limited - heard) <= (abs(limited) + 132) / 32 + 4


def test_nothing_becomes_nothing():
    assert pcm_to_ulaw(b"") == ulaw_to_pcm(b"") == b""


def test_half_a_sample_is_refused():
    with pytest.raises(struct.error):
        pcm_to_ulaw(b"\x00\x00\x00")
