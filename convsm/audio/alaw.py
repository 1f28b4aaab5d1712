"""G.711 A-law to s16le and back, by tables: the standard library's audioop is gone from Python 3.13."""

from __future__ import annotations

import functools
import struct

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


@functools.cache
def _decode_tables() -> tuple[bytes, bytes]:
    samples = [struct.pack("<h", _decode_byte(code)) for code in range(256)]
    return bytes(sample[0] for sample in samples), bytes(sample[1] for sample in samples)


@functools.cache
def _encode_table() -> bytes:
    # 64 KiB, indexed by the sample taken as unsigned. Built on first use: most sessions speak pcm.
    return b"".join(
        bytes((_encode_sample(eighth - 0x2000 if eighth >= 0x1000 else eighth),)) * 8
        for eighth in range(0x2000)
    )


def alaw_to_pcm(audio: bytes) -> bytes:
    """Decode A-law bytes into s16le samples, twice as long."""
    low, high = _decode_tables()
    pcm = bytearray(2 * len(audio))
    pcm[0::2] = audio.translate(low)
    pcm[1::2] = audio.translate(high)
    return bytes(pcm)


def pcm_to_alaw(audio: bytes) -> bytes:
    """Encode s16le samples into A-law bytes, half as long.

    Args:
        audio: Whole samples.

    Raises:
        struct.error: The length is odd.
    """
    samples = struct.unpack(f"<{len(audio) // 2}H", audio)
    return bytes(map(_encode_table().__getitem__, samples))
