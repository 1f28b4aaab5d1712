"""G.711 µ-law to s16le and back, by tables: the standard library's audioop is gone from Python 3.13."""

from __future__ import annotations

from convsm.audio.g711 import SampleTables

__all__ = ["pcm_to_ulaw", "ulaw_to_pcm"]

# G.711 shifts the magnitude by this before it looks for the segment, so that each segment begins at a
# power of two: 33 on its 14-bit scale, 132 on the 16-bit scale of the decoded sample.
BIAS_14_BIT = 33
BIAS_16_BIT = BIAS_14_BIT << 2
# The largest 14-bit magnitude that still has a segment.
CLIP_14_BIT = 0x1FFF - BIAS_14_BIT


def _decode_byte(code: int) -> int:
    """Return the 16-bit sample of one µ-law byte."""
    plain = ~code & 0xFF
    magnitude = (((plain & 0x0F) << 3) + BIAS_16_BIT << (plain >> 4 & 0x07)) - BIAS_16_BIT
    return -magnitude if plain & 0x80 else magnitude


def _encode_sample(sample: int) -> int:
    """Return the µ-law byte of one 14-bit sample."""
    sign = 0x80 if sample < 0 else 0x00
    magnitude = min(abs(sample), CLIP_14_BIT) + BIAS_14_BIT
    # A biased magnitude has 6 to 13 bits; the bits above the lowest segment's 6 are the segment.
    segment = magnitude.bit_length() - 6
    return ~(sign | segment << 4 | magnitude >> segment + 1 & 0x0F) & 0xFF


_TABLES = SampleTables(_decode_byte, _encode_sample, 14)


def ulaw_to_pcm(audio: bytes) -> bytes:
    """Decode µ-law bytes into s16le samples, twice as long."""
    return _TABLES.to_pcm(audio)


def pcm_to_ulaw(audio: bytes) -> bytes:
    """Encode s16le samples into µ-law bytes, half as long.

    Args:
        audio: Whole samples.

    Raises:
        struct.error: The length is odd.
    """
    return _TABLES.from_pcm(audio)
