from __future__ import annotations

import pytest

from convsm.audio.formats import audio_format
from convsm.machine.effects import Play
from convsm.machine.events import Event, Played
from convsm.runtime.reckoning import PlayoutReckoning
from convsm.testing.clock import ManualTimers


class Stage:
    def __init__(self, name: str = "pcm_24000") -> None:
        self.timers, self.posted = ManualTimers(), list[Event]()
        timers = self.timers
        self.reckoning = PlayoutReckoning(audio_format(name), timers, self.posted.append)
        self.number = 0

    def play(self, size: int) -> None:
        self.number += 1
        self.reckoning.hand_over(Play(self.number, bytes(size), 1))


@pytest.mark.parametrize(
    ("name", "second"), [("pcm_24000", 48000), ("ulaw_8000", 8000), ("pcm_44100", 88200)]
)
def test_a_position_is_what_could_sound_by_now(name, second):
    stage = Stage(name)
    assert stage.reckoning.position == 0
    for _ in range(10):
        stage.play(second // 10)
    rate = audio_format(name).rate
    for tenth in range(1, 10):
        stage.timers.advance(0.1)
        assert stage.reckoning.position == rate * tenth // 10
    stage.timers.advance(0.2)
    assert stage.reckoning.position == rate
    assert stage.posted == [Played(10)]


def test_time_in_which_there_is_nothing_to_play_does_not_count():
    stage = Stage()
    stage.play(4800)
    stage.timers.advance(7)
    assert stage.reckoning.position == 2400
    stage.play(4800)
    stage.timers.advance(0.05)
    assert stage.reckoning.position == 3600


def test_what_was_flushed_was_not_heard_and_what_follows_counts_from_there():
    stage = Stage()
    stage.play(48000)
    stage.timers.advance(0.25)
    stage.reckoning.flush()
    stage.timers.advance(1)
    assert stage.reckoning.position == 6000
    stage.play(4800)
    stage.timers.advance(0.05)
    assert stage.reckoning.position == 7200
    stage.timers.advance(1)
    assert stage.reckoning.position == 8400
    assert stage.posted == [Played(2)]


def test_a_piece_that_ends_within_a_sample_is_completed_by_the_next():
    stage = Stage()
    stage.play(4801)
    stage.timers.advance(0.05)
    assert stage.reckoning.position == 1200
    stage.play(4799)
    stage.timers.advance(1)
    assert stage.reckoning.position == 4800
