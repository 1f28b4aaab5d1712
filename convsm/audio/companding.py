"""From the encoding of a format to s16le samples and back."""

from __future__ import annotations

from collections.abc import Callable

from convsm.audio.alaw import alaw_to_pcm, pcm_to_alaw
from convsm.audio.formats import AudioFormat
from convsm.audio.mulaw import pcm_to_ulaw, ulaw_to_pcm

__all__ = ["from_pcm", "to_pcm"]

_DECODERS: dict[str, Callable[[bytes], bytes]] = {"pcm": bytes, "ulaw": ulaw_to_pcm, "alaw": alaw_to_pcm}
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {"pcm": bytes, "ulaw": pcm_to_ulaw, "alaw": pcm_to_alaw}


def to_pcm(audio: bytes, written: AudioFormat) -> bytes:
    """Return the s16le samples of audio in a format, at the format's rate."""
    return _DECODERS[written.encoding](audio)


def from_pcm(samples: bytes, written: AudioFormat) -> bytes:
    """Return s16le samples, which have the format's rate, in the format's encoding.

    Raises:
        struct.error: The length is odd, and the format is not pcm.
    """
    return _ENCODERS[written.encoding](samples)
