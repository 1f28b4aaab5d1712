"""Sounds whose every sample can be told from the others, and WAV files of them."""

from __future__ import annotations

import random
import struct
import wave
from array import array
from pathlib import Path


def samples(first: int, count: int) -> bytes:
    """Return s16le samples that count upwards."""
    return struct.pack(f"<{count}h", *((first + index) % 0x8000 for index in range(count)))


def counting(count: int) -> bytes:
    """Return s16le samples that count upwards from 1 again and again, none of which is zero."""
    return struct.pack(f"<{count}h", *(1 + index % 0x7FFF for index in range(count)))


def tone(value: int, count: int) -> bytes:
    """Return s16le samples that are all of one value."""
    return struct.pack("<h", value) * count


def hiss(count: int, *, rms: int = 300, seed: int = 1) -> bytes:
    """Return s16le samples of steady white noise."""
    source = random.Random(seed)
    return array("h", (round(max(-4, min(source.gauss(0.0, 1.0), 4)) * rms) for _ in range(count))).tobytes()


def mixed(*sounds: bytes) -> bytes:
    """Return sounds of one length heard together."""
    return array(
        "h", (sum(values) for values in zip(*(array("h", one) for one in sounds), strict=True))
    ).tobytes()


def halved(sound: bytes) -> bytes:
    """Return a sound 6 dB quieter."""
    return array("h", (value // 2 for value in array("h", sound))).tobytes()


def write_wav(path: Path, audio: bytes, *, rate: int = 16000, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(audio)
    return path


def read_wav(path: Path, *, rate: int = 16000) -> bytes:
    """Return the samples of a mono 16-bit file of this rate."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, rate)
        return file.readframes(file.getnframes())
