"""What the tests of the sound card have in the place of a session."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from convsm.audio.device import DefaultAudioInterface
from convsm.audio.formats import audio_format

__all__ = ["Listener", "messages", "running"]


@attrs.define
class Listener:
    """Keeps what its interface records and reports.

    Attributes:
        pieces: The length in bytes of each piece of the user's audio.
        reports: The numbers that were heard, and when.
    """

    interface: DefaultAudioInterface
    recorded: bytearray = attrs.field(factory=bytearray)
    pieces: list[int] = attrs.field(factory=list)
    reports: list[tuple[int, float]] = attrs.field(factory=list)
    failures: list[str] = attrs.field(factory=list)
    has_failed: threading.Event = attrs.field(factory=threading.Event)

    def take(self, audio: bytes) -> None:
        self.recorded += audio
        self.pieces.append(len(audio))

    def played(self, through: int) -> None:
        self.reports.append((through, time.monotonic()))

    def failed(self, message: str) -> None:
        self.failures.append(message)
        self.has_failed.set()

    @property
    def reported(self) -> list[int]:
        return [through for through, _ in self.reports]


def own_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("convsm-audio")]


@contextmanager
def running(
    interface: DefaultAudioInterface | None = None, speech: str = "pcm_16000", voice: str = "pcm_16000"
) -> Iterator[Listener]:
    """Start an interface with these formats, and see in the end that nothing is left of it."""
    listener = Listener(interface or DefaultAudioInterface())
    listener.interface.configure(audio_format(speech), audio_format(voice), listener)
    listener.interface.start(listener.take)
    try:
        yield listener
    finally:
        listener.interface.stop()
        pieces = len(listener.pieces)
    assert not own_threads()
    assert len(listener.pieces) == pieces


def messages(audio: bytes, count: int) -> list[tuple[int, bytes]]:
    """Cut audio into numbered messages, some of which end in the middle of a sample."""
    size = len(audio) // count + 1
    return [(index + 1, audio[index * size : (index + 1) * size]) for index in range(count)]
