"""G.711 A-law to s16le and back, by tables: the standard library's audioop is gone from Python 3.13."""

from __future__ import annotations

from convsm.audio.g711 import SampleTables

__all__ = ["alaw_to_pcm", "pcm_to_alaw"]

# G.711 sends every other bit inverted, so that silence is no long run of zeros on the line.
EVEN_BITS = 0x55
POSITIVE = 0x80


def _decode_byte(code: int) -> int:
    """Return the 16-bit sample of one A-law byte: the middle of what it stands for."""
    plain = code ^ EVEN_BITS
    segment, step = plain >> 4 & 0x07, plain & 0x0F
    # The two lowest segments have steps of equal size; from there on each has twice the step.
    magnitude = (step << 4) + 8 if segment == 0 else (step << 4) + 0x108 << segment - 1
    return magnitude if plain & POSITIVE else -magnitude


def _encode_sample(sample: int) -> int:
    """Return the A-law byte of one 13-bit sample."""
    sign, magnitude = (POSITIVE, sample) if sample >= 0 else (0, ~sample)
    segment = max(0, magnitude.bit_length() - 5)
    return (sign | segment << 4 | magnitude >> max(1, segment) & 0x0F) ^ EVEN_BITS


_TABLES = SampleTables(_decode_byte, _encode_sample, 13)


def alaw_to_pcm(audio: bytes) -> bytes:
    """Decode A-law bytes into s16le samples, twice as long."""
    return _TABLES.to_pcm(audio)


def pcm_to_alaw(audio: bytes) -> bytes:
    """Encode s16le samples into A-law bytes, half as long.

    Args:
        audio: Whole samples.

    Raises:
        struct.error: The length is odd.
    """
    return _TABLES.from_pcm(audio)
