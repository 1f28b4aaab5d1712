"""Streams in the place of PortAudio's, for machines without sound and for faults that no server has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import attrs
import pytest

from convsm.audio import card, streams
from convsm.audio.portaudio import AudioDevice, Kind, Stream
from convsm.errors import AudioError

__all__ = ["FakePortAudio", "fake_portaudio"]

LATENCY = 0.02


@attrs.define
class Time:
    """What PortAudio tells a callback."""

    currentTime: float = 0.0  # noqa: N815, PortAudio's name
    outputBufferDacTime: float = LATENCY  # noqa: N815


@attrs.define
class Status:
    output_underflow: bool = False
    input_overflow: bool = False

    def __bool__(self) -> bool:
        return self.output_underflow or self.input_overflow


@attrs.define(eq=False)
class FakeStream:
    """Calls back at its pace, on a thread of its own."""

    portaudio: FakePortAudio
    kind: Kind
    frames: int
    seconds: float
    callback: Callable[[Any, int, Any, Any], None]
    finished_callback: Callable[[], None]
    ended: threading.Event = attrs.field(factory=threading.Event)
    thread: threading.Thread | None = None

    def start(self) -> None:
        if self.portaudio.refuses_to_start:
            raise AudioError("no start")
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(self.ended,), daemon=True)
        self.thread.start()

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(self.seconds):
            if self.kind in self.portaudio.stands_still:
                continue
            block = bytearray(self.portaudio.voice[: 2 * self.frames].ljust(2 * self.frames, b"\0"))
            self.callback(block, self.frames, Time(), self.portaudio.status)
            if self.kind == "output":
                self.portaudio.heard += block
        self.finished_callback()

    def abort(self, ignore_errors: bool = True) -> None:
        self.ended.set()
        if self.thread is not None:
            self.thread.join(5)
        if self.portaudio.refuses_to_close:
            raise OSError("no close")

    def close(self, ignore_errors: bool = True) -> None:
        self.abort()
        self.portaudio.open.discard(self)


@attrs.define(eq=False)
class FakePortAudio:
    """A sound card without sound.

    Attributes:
        voice: What the microphone brings in each block.
        heard: What the loudspeaker got.
        stands_still: Which directions do not call back.
        open: The streams that are open.
    """

    voice: bytes = b""
    heard: bytearray = attrs.field(factory=bytearray)
    status: Status = attrs.field(factory=Status)
    stands_still: set[Kind] = attrs.field(factory=set)
    refuses_to_open: Exception | None = None
    refuses_to_start: bool = False
    refuses_to_close: bool = False
    openings: int = 0
    open: set[FakeStream] = attrs.field(factory=set)

    def open_stream(
        self,
        kind: Kind,
        wanted: int | str | None,
        rate: int,
        *,
        block_seconds: float,
        latency: float | Literal["low", "high"],
        callback: Callable[[Any, int, Any, Any], None],
        finished_callback: Callable[[], None],
    ) -> Any:
        self.openings += 1
        if self.refuses_to_open is not None:
            raise self.refuses_to_open
        stream = FakeStream(
            self, kind, round(rate * block_seconds), block_seconds, callback, finished_callback
        )
        self.open.add(stream)
        return FakeOpened(AudioDevice(0, "fake", "none", 1, 1, rate, True, True), rate, LATENCY, stream)


class FakeOpened(Stream):
    """As the real one, but without PortAudio's locks and errors."""

    def start(self) -> None:
        self._stream.start()

    def close(self) -> None:
        self._stream.close()


@contextmanager
def fake_portaudio() -> Iterator[FakePortAudio]:
    """Have no PortAudio, but this."""
    portaudio = FakePortAudio()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(streams, "open_stream", portaudio.open_stream)
        monkeypatch.setattr(card, "load", lambda: None)
        monkeypatch.setattr(card, "refresh", lambda: True)
        monkeypatch.setattr(card, "abandon", lambda: None)
        yield portaudio
        assert not portaudio.open
