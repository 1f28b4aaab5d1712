"""Lengths and silence of the formats that a microphone's signal may have."""

from __future__ import annotations

__all__ = ["bytes_per_second", "silence"]

# The byte of silence in the formats of one byte a sample: the codes of G.711 for zero.
_ONE_BYTE = {"ulaw": b"\xff", "alaw": b"\xd5"}


def bytes_per_second(audio_format: str) -> int:
    """Return how many bytes a second of a format takes.

    Args:
        audio_format: Such as ``pcm_16000`` or ``ulaw_8000``; a name of another form counts as pcm_16000.
    """
    kind, _, rate = audio_format.partition("_")
    size = 1 if kind in _ONE_BYTE else 2
    return size * (int(rate) if rate.isascii() and rate.isdigit() and int(rate) > 0 else 16000)


def silence(audio_format: str, seconds: float) -> bytes:
    """Return silence.

    Args:
        audio_format: As for ``bytes_per_second``.
        seconds: How much of it; whole samples.
    """
    kind = audio_format.partition("_")[0]
    size = 1 if kind in _ONE_BYTE else 2
    samples = round(seconds * bytes_per_second(audio_format) / size)
    return _ONE_BYTE.get(kind, b"\0\0") * samples
