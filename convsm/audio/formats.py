"""The audio formats that a session can negotiate, and the arithmetic of their bytes. All are mono."""

from __future__ import annotations

from typing import Literal

import attrs

from convsm.errors import AudioError

__all__ = ["AUDIO_FORMATS", "AudioFormat", "audio_format"]


@attrs.frozen
class AudioFormat:
    """How a mono signal is written as bytes.

    Values are immutable and may be shared by any threads.

    Attributes:
        name: Name in the protocol, such as ``pcm_16000``.
        encoding: ``pcm`` for signed 16-bit little-endian, ``ulaw`` and ``alaw`` for G.711.
        rate: Samples a second.
        bytes_per_sample: 2 for pcm, 1 for G.711.
        silence_byte: The one byte of which silence consists.
    """

    name: str
    encoding: Literal["pcm", "ulaw", "alaw"]
    rate: int
    bytes_per_sample: int
    silence_byte: bytes

    def seconds_of(self, audio_length_bytes: int) -> float:
        """Return how long so many bytes sound, in seconds."""
        return audio_length_bytes / (self.rate * self.bytes_per_sample)

    def bytes_of(self, seconds: float) -> int:
        """Return the length in bytes of the whole number of samples nearest to a duration of 0 or more."""
        return round(seconds * self.rate) * self.bytes_per_sample

    def silence(self, seconds: float) -> bytes:
        """Return silence of a duration of 0 or more seconds, to the nearest sample."""
        return self.silence_byte * self.bytes_of(seconds)


def _pcm(rate: int) -> AudioFormat:
    return AudioFormat(f"pcm_{rate}", "pcm", rate, 2, b"\x00")


AUDIO_FORMATS: dict[str, AudioFormat] = {
    known.name: known
    for known in (
        _pcm(8000),
        _pcm(16000),
        _pcm(22050),
        _pcm(24000),
        _pcm(44100),
        _pcm(48000),
        # µ-law is stored inverted, so that zero is all ones; 0x00 would be the loudest negative sample.
        AudioFormat("ulaw_8000", "ulaw", 8000, 1, b"\xff"),
        # A-law has no zero; this is the smallest positive sample.
        AudioFormat("alaw_8000", "alaw", 8000, 1, b"\xd5"),
    )
}


def audio_format(name: str) -> AudioFormat:
    """Return the format of this protocol name.

    Raises:
        AudioError: The name is unknown; the message has the known ones.
    """
    try:
        return AUDIO_FORMATS[name]
    except KeyError:
        known = ", ".join(AUDIO_FORMATS)
        raise AudioError(f"Audio format {name!r} is unknown; choose one of {known}.") from None
