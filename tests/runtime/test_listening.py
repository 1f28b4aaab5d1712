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
from convsm.runtime import listening
from convsm.runtime.listening import KEPT_SECONDS, LATE_SECONDS, LIMIT, Listening
from convsm.turns.events import HearingLost, SpeechEnded, SpeechPaused, SpeechStarted
from tests.runtime.helpers import Log, nothing_is_left, until  # noqa: F401 (a fixture)


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
        self.listening = Listening(make or (lambda: self.ear), self.posted.add, self.clock, lambda: is_needed)
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
    stage.ear.log.wait_for(lambda entry: entry != "reset", LIMIT)
    stage.close()
    assert len(stage.ear.log.entries) <= LIMIT + 2


def test_what_waits_is_not_heard_after_the_end(stage):
    stage.ear.gate = threading.Event()
    for _ in range(10):
        stage.listening.feed(b"ab")
    until(stage.listening.latest)
    stage.listening.close()
    stage.ear.gate.set()
    stage.listening.join(5)
    assert stage.ear.log.entries == ["reset", (b"ab", 0.0)]


def test_a_detector_that_does_not_keep_up_hears_nothing_late(stage):
    stage.ear.gate = threading.Event()
    stage.listening.feed(b"ab")
    until(stage.listening.latest)
    stage.listening.feed(b"cd")
    stage.clock.now = LATE_SECONDS + 0.1
    stage.listening.feed(b"ef")
    stage.ear.gate.set()
    stage.posted.wait_for(SpeechStarted(stage.clock.now))
    assert [entry[0] for entry in stage.ear.log.entries[1:]] == [b"ab", b"ef"]
    assert stage.listening.latest() == b"abcdef"


def test_nothing_is_heard_after_the_end(stage):
    stage.close()
    stage.listening.feed(b"ab")
    assert stage.posted.entries == []


def test_nothing_of_a_muted_microphone_is_heard_or_kept(stage):
    stage.listening.feed(b"ab")
    stage.ear.log.wait_for((b"ab", 0.0))
    stage.listening.begin_anew(is_muted=True)
    assert stage.listening.latest() == b""
    stage.listening.feed(b"cd")
    stage.listening.begin_anew()
    stage.listening.feed(b"ef")
    stage.ear.log.wait_for((b"ef", 0.0))
    assert stage.ear.log.entries == ["reset", (b"ab", 0.0), "reset", (b"ef", 0.0)]
    assert stage.listening.latest() == b"ef"


def test_what_waits_is_forgotten_when_it_begins_anew(stage):
    stage.ear.gate = threading.Event()
    for _ in range(3):
        stage.listening.feed(b"ab")
    stage.listening.begin_anew()
    stage.listening.feed(b"cd")
    stage.ear.gate.set()
    stage.ear.log.wait_for((b"cd", 0.0))
    assert [entry for entry in stage.ear.log.entries if entry == (b"ab", 0.0)] in ([], [(b"ab", 0.0)])


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
    stage.posted.wait_for(HearingLost())
    stage.close()
    assert "The voice detector raised ValueError: mine" in caplog.text
    assert stage.posted.entries == [HearingLost()]


def test_one_without_whom_no_turn_would_end_ends_the_session():
    def make() -> Any:
        raise AudioError("nothing hears")

    stage = Stage(make, is_needed=True)
    stage.posted.wait_for(AudioFailed("nothing hears"))
    stage.close()


@pytest.mark.parametrize(
    "answer",
    [
        None,
        ["speech"],
        [AudioFailed("mine")],
        [SpeechStarted(math.nan)],
        [SpeechEnded("now")],  # type: ignore[arg-type]
    ],
)
def test_a_detector_that_answers_nonsense_has_failed(answer, caplog):
    ear = Ear()
    ear.feed = lambda audio, at: answer  # type: ignore[method-assign]
    stage = Stage(lambda: ear)
    stage.listening.feed(b"ab")
    stage.posted.wait_for(HearingLost())
    stage.close()
    assert stage.posted.entries == [HearingLost()]
    assert "The voice detector raised TypeError" in caplog.text


def test_one_that_leaves_its_thread_has_failed(stage, caplog):
    stage.ear.error = SystemExit(3)
    stage.listening.feed(b"ab")
    stage.posted.wait_for(HearingLost())
    stage.close()
    assert "SystemExit" in caplog.text


def test_a_detector_serves_one_session_after_the_other():
    ear, gate = Ear(), threading.Event()
    ear.gate = gate
    former = Stage(lambda: ear)
    former.listening.feed(b"ab")
    until(former.listening.latest)
    former.listening.close()
    ear.gate = None
    later = Stage(lambda: ear)
    later.listening.feed(b"cd")
    try:
        assert ear.log.entries == ["reset"]
    finally:
        gate.set()
    later.posted.wait_for(SpeechStarted(0.0))
    later.close()
    former.close()
    assert [entry if entry == "reset" else entry[0] for entry in ear.log.entries] == [
        "reset",
        b"ab",
        "reset",
        b"cd",
    ]


def test_a_detector_does_not_serve_two_sessions_at_once(monkeypatch):
    monkeypatch.setattr(listening, "BUSY_SECONDS", 0.01)
    ear = Ear()
    first = Stage(lambda: ear)
    ear.log.wait_for("reset")
    second = Stage(lambda: ear, is_needed=True)
    second.posted.wait_for(
        lambda event: isinstance(event, AudioFailed) and "another session" in event.message
    )
    second.close()
    first.close()


def test_without_a_thread_nothing_is_heard(monkeypatch):
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        stage = Stage(is_needed=True)
    stage.listening.feed(b"ab")
    stage.close()
    assert [type(event) for event in stage.posted.entries] == [HearingLost, AudioFailed]
