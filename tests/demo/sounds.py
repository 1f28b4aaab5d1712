"""WAV files for the tests of the demo."""

from __future__ import annotations

import wave

from convsm.demo.speech import RATE


def write_wav(path, pcm=b"\x01\x02" * 800, rate=RATE, channels=1):
    """Write samples to a 16-bit WAV file; return its path as a string."""
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return str(path)
