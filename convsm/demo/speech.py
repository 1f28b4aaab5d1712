"""The spoken lines of the demo: what is said in which voice, and how a WAV file becomes samples.

The files in ``convsm/data`` were made with espeak-ng 1.51 and sox 14.4, for each line of ``LINES``::

    espeak-ng ESPEAK_OPTIONS_OF_THE_VOICE -w raw.wav "TEXT"
    sox -R raw.wav -b 16 -r 16000 -c 1 NAME.wav \
        silence 1 0.01 0.5% fade t 0.01 reverse silence 1 0.01 0.5% fade t 0.03 reverse norm -6

The two ``silence`` effects trim both ends, ``norm`` brings all lines to one level. The user's
cough is no file but reckoned, see ``cough``.
"""

from __future__ import annotations

import wave
from array import array
from importlib.resources import files
from random import Random

import attrs

from convsm.audio.sinc_resampling import resample
from convsm.errors import AudioError
from convsm.live.files import open_voice

__all__ = ["LINES", "RATE", "VOICES", "Line", "Sound", "cough", "load_line", "read_sound"]

RATE = 16000
# Longer input is not read: the conversation is over before.
MAX_SECONDS = 60.0

# A cough bursts out in the first part of its time and dies away in the rest.
COUGH_SECONDS, BURST_SECONDS = 0.3, 0.01
# As loud as the lines at its loudest, and dull: how much of a change one sample may bring.
COUGH_LEVEL, COUGH_EDGE = 0.8, 0.4

# Options of espeak-ng: a voice, its speed in words a minute, its pitch from 0 to 99.
VOICES = {
    "agent": "-v en-gb-x-rp+f2 -s 170 -p 45",
    "user": "-v en-us+m3 -s 175 -p 40",
}


@attrs.frozen
class Line:
    """Something that is said in the demo.

    Attributes:
        voice: Who says it, a key of ``VOICES``.
        text: The words.
    """

    voice: str
    text: str


# By the name of the WAV file.
LINES = {
    "greeting": Line("agent", "Hello! I am the loopback agent. What would you like to know?"),
    "question": Line("user", "What is a state machine good for in a conversation?"),
    "answer": Line(
        "agent",
        "At every moment it knows what it is doing. Each change of state is a row of one table, "
        "and from it come the pictures and the tests.",
    ),
    "interruption": Line("user", "Thanks! Set a ten minute timer."),
    "result": Line("agent", "Done. Your timer is running. It rings in ten minutes."),
    "farewell": Line("agent", "It was nice talking to you. Goodbye!"),
}


@attrs.frozen
class Sound:
    """A mono signal of 16-bit samples.

    Attributes:
        pcm: The samples, s16le.
        rate: Samples a second.
    """

    pcm: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    rate: int = RATE

    @property
    def seconds(self) -> float:
        """How long it sounds."""
        return len(self.pcm) / (2 * self.rate)

    def hurried(self, speed: int) -> Sound:
        """Return it so many times as fast, and as much higher: every ``speed``-th sample is kept."""
        return Sound(array("h", self.pcm)[::speed].tobytes(), self.rate)

    def at(self, rate: int) -> Sound:
        """Return it at another sample rate, which takes a tenth of its time at most."""
        if rate == self.rate:
            return self
        return Sound(resample(array("h", self.pcm), self.rate, rate).tobytes(), rate)


def load_line(name: str) -> Sound:
    """Return a line of the demo, by its key in ``LINES``."""
    with (files("convsm") / "data" / f"{name}.wav").open("rb") as file, wave.open(file) as reader:
        return Sound(reader.readframes(reader.getnframes()), reader.getframerate())


def cough() -> Sound:
    """Return a short noise in which no word is, the same each time."""
    noise, level, samples = Random(1), 0.0, array("h")
    count, burst = round(COUGH_SECONDS * RATE), BURST_SECONDS * RATE
    for index in range(count):
        level += COUGH_EDGE * (noise.uniform(-1, 1) - level)
        envelope = min(index / burst, 1 - index / count)
        samples.append(round(32767 * COUGH_LEVEL * envelope * level))
    return Sound(samples.tobytes())


def read_sound(path: str) -> Sound:
    """Return the first minute of a user's WAV file.

    Raises:
        AudioError: It cannot be read, holds no sound, or is not 16-bit mono at a rate that the protocol
            knows; the message tells how to convert it.
    """
    reader, sound_format = open_voice(path)
    try:
        pcm = reader.read(sound_format.bytes_of(MAX_SECONDS))
    finally:
        reader.close()
    if not pcm:
        raise AudioError(f"Audio input {path} holds no sound; record something.")
    return Sound(pcm, sound_format.rate)
