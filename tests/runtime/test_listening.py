"""A voice detector on its thread: what it is given, when, and what becomes of its faults."""

from __future__ import annotations

import math
import struct
import sys
import threading
from typing import Any

import pytest

from convsm.audio.formats import audio_format
from convsm.audio.vad import LoudnessModel, SpeechDetector
from convsm.errors import AudioError
from convsm.machine.base import Event
from convsm.machine.events import AudioFailed
from convsm.runtime.listening import KEPT_SECONDS, LIMIT, Listening
from convsm.turns.events import SpeechEnded, SpeechPaused, SpeechStarted
from tests.runtime.helpers import Log, nothing_is_left  # noqa: F401 (a fixture)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Ear:
    """A detector that does what the test wants."""

    def __init__(self) -> None:
        self.log = Log()
        self.gate: threading.Event | None = None
        self.error: Exception | None = None

    def feed(self, audio: bytes, at: float) -> list[Event]:
        if self.gate is not None:
            self.gate.wait(5)
        if self.error is not None:
            raise self.error
        self.log.add((audio, at))
        return [SpeechStarted(at)]

    def reset(self) -> None:
        self.log.add("reset")


class Stage:
    def __init__(self, make: Any = None, name: str = "pcm_16000", is_needed: bool = False) -> None:
        self.ear, self.clock, self.posted = Ear(), Clock(), Log()
        self.listening = Listening(make or (lambda: self.ear), self.posted.add, self.clock, is_needed)
        self.listening.start(audio_format(name))

    def close(self) -> None:
        self.listening.close()
        self.listening.join(5)


@pytest.fixture
def stage():
    stage = Stage()
    yield stage
    if stage.ear.gate is not None:
        stage.ear.gate.set()
    stage.close()


def voice(seconds: float, rate: int, amplitude: float = 0.3) -> bytes:
    count = round(seconds * rate)
    return struct.pack(
        f"<{count}h", *(int(32767 * amplitude * math.sin(index * 0.2)) for index in range(count))
    )


def test_sound_is_heard_with_the_time_at_which_it_came(stage):
    stage.clock.now = 1.5
    stage.listening.feed(b"ab")
    stage.posted.wait_for(SpeechStarted(1.5))
    assert stage.ear.log.entries == ["reset", (b"ab", 1.5)]


def test_feeding_never_waits_and_what_is_too_much_is_left_out(stage):
    stage.ear.gate = threading.Event()
    for _ in range(3 * LIMIT):
        stage.listening.feed(b"ab")
    stage.ear.gate.set()
    stage.close()
    assert LIMIT <= len(stage.ear.log.entries) <= LIMIT + 2


def test_nothing_is_heard_after_the_end(stage):
    stage.close()
    stage.listening.feed(b"ab")
    assert stage.posted.entries == []


def test_the_latest_sound_is_kept_and_no_more(stage):
    piece = bytes(32000)
    for _ in range(20):
        stage.listening.feed(piece)
    stage.ear.log.wait_for(lambda entry: entry != "reset", 20)
    assert len(stage.listening.latest()) == KEPT_SECONDS * 32000


@pytest.mark.parametrize("name", ["pcm_8000", "pcm_16000", "pcm_24000", "pcm_48000"])
@pytest.mark.parametrize("has_extra", [True, False])
def test_every_format_is_heard(name, has_extra, monkeypatch):
    if not has_extra:
        monkeypatch.setitem(sys.modules, "soxr", None)
    stage = Stage(lambda: SpeechDetector(LoudnessModel()), name)
    written = audio_format(name)
    sound = voice(0.3, written.rate) + written.silence(0.5)
    size = written.bytes_of(0.02)
    for start in range(0, len(sound), size):
        stage.clock.now = (start + size) / size * 0.02
        stage.listening.feed(sound[start : start + size])
    stage.posted.wait_for(lambda event: isinstance(event, SpeechEnded))
    stage.close()
    began, paused, ended = stage.posted.entries
    assert (type(began), type(paused)) == (SpeechStarted, SpeechPaused)
    assert began.began == pytest.approx(0, abs=0.05)
    assert ended.ended == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("name", ["ulaw_8000", "alaw_8000"])
def test_telephony_is_heard(name):
    from convsm.audio.companding import from_pcm

    stage = Stage(lambda: SpeechDetector(LoudnessModel()), name)
    stage.listening.feed(from_pcm(voice(0.3, 8000), audio_format(name)))
    stage.posted.wait_for(lambda event: isinstance(event, SpeechStarted))
    stage.close()


def test_a_detector_that_raises_ends_speech_and_not_the_session(stage, caplog):
    stage.ear.error = ValueError("mine")
    stage.listening.feed(b"ab")
    stage.posted.wait_for(SpeechEnded(0.0))
    stage.close()
    assert "The voice detector raised ValueError: mine" in caplog.text
    assert stage.posted.entries == [SpeechEnded(0.0)]


def test_one_without_whom_no_turn_would_end_ends_the_session():
    def make() -> Any:
        raise AudioError("nothing hears")

    stage = Stage(make, is_needed=True)
    stage.posted.wait_for(AudioFailed("nothing hears"))
    stage.close()
