"""Who says that a turn is over: detectors, recognition, silence; on a virtual clock."""

from __future__ import annotations

import attrs
import pytest

from convsm.machine.events import UserTranscript
from convsm.turns.effects import PredictTurn
from convsm.turns.events import (
    ClearUserTurn,
    SpeechEnded,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    TurnPredicted,
)
from convsm.turns.reports import UserTurnCommitted
from tests.turns.stage import COMMIT, SERVER, Stage, handling, near


class Detector:
    unlikely_threshold = 0.3

    def __init__(self, is_streaming: bool) -> None:
        self.is_streaming = is_streaming

    async def probability(self, transcript: str, audio: bytes) -> float:
        raise AssertionError("the shell asks, not the table")


def detecting(is_streaming: bool = False) -> Stage:
    endpointing = {"min_delay": 0.6, "max_delay": 3.0}
    settings = handling(turn_detection=Detector(is_streaming), endpointing=endpointing)
    return Stage(settings, reply=None).user(0.5, 1.5, "Hello")


@pytest.mark.parametrize(
    ("answers", "committed"),
    [
        ([(2.05, 1, 0.9)], 2.1),
        ([(2.05, 1, 0.1)], 4.5),
        # Too late: it had a second from 2.0 on.
        ([(3.05, 1, 0.1)], 3.0),
        ([], 3.0),
        # The answer to another question.
        ([(2.05, 7, 0.1)], 3.0),
        # One answer a question.
        ([(2.05, 1, 0.1), (2.06, 1, 0.9)], 4.5),
    ],
)
def test_a_detector_chooses_the_delay_within_a_second(answers, committed):
    stage = detecting()
    for time, number, probability in answers:
        stage.at(time, TurnPredicted(number, probability))
    stage.run(9)
    assert stage.when(PredictTurn) == near(2.0)
    assert stage.sent(COMMIT) == near(committed)


def test_speech_makes_an_answer_void():
    stage = detecting().at(2.1, SpeechStarted(2.05)).at(2.2, TurnPredicted(1, 0.9)).at(3.0, SpeechEnded(2.5))
    stage.at(3.1, TurnPredicted(2, 0.9)).run(9)
    assert stage.when(PredictTurn) == near(2.0, 3.0)
    assert stage.sent(COMMIT) == near(3.1)


def test_a_detector_that_listens_is_asked_in_the_pause_and_its_answer_holds():
    stage = detecting(is_streaming=True).at(1.75, TurnPredicted(1, 0.9)).run(9)
    assert stage.when(PredictTurn) == near(1.7)
    assert stage.sent(COMMIT) == near(2.1)


def test_speech_that_resumes_makes_it_void_and_asks_again():
    settings = handling(turn_detection=Detector(True), endpointing={"min_delay": 0.6})
    stage = Stage(settings, reply=None).at(0.55, SpeechStarted(0.5)).at(1.5, SpeechPaused(1.5))
    stage.at(1.75, TurnPredicted(1, 0.1)).at(1.8, SpeechResumed(1.8)).at(2.5, SpeechPaused(2.5))
    stage.at(2.6, UserTranscript("so")).at(2.8, TurnPredicted(2, 0.9)).at(3.0, SpeechEnded(2.5)).run(9)
    assert stage.when(PredictTurn) == near(1.7, 2.7)
    assert stage.sent(COMMIT) == near(3.1)


@pytest.mark.parametrize(("is_local", "committed"), [(True, 1.5), (False, 1.9)])
def test_recognition_ends_speech_where_it_is_asked_to(is_local, committed):
    server = attrs.evolve(SERVER, speech_events=True)
    stage = Stage(handling(turn_detection="stt"), server, reply=None)
    stage.at(0.55, SpeechStarted(0.5, "local" if is_local else "server"))
    if is_local:
        stage.at(1.0, SpeechEnded(0.9))
    # The wait begins where speech ended, as far as a detector of our own knows better.
    stage.at(1.2, UserTranscript("so")).at(1.5, SpeechEnded(1.4, "server")).run(5)
    assert stage.sent(COMMIT) == near(committed)


def test_words_without_any_detector_are_a_turn():
    stage = Stage(handling(), reply=None).at(1.0, UserTranscript("hello")).run(5)
    assert stage.sent(COMMIT) == near(1.5)


def test_speech_that_begins_while_the_end_is_awaited_takes_the_commit_back():
    stage = Stage(handling(endpointing={"min_delay": 2.0}), reply=None).user(0.5, 1.5, "Hello")
    stage.user(3.0, 4.0, "there").run(9)
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["Hello there"]
    assert stage.sent(COMMIT) == near(6.0)


def test_a_sound_that_is_no_speech_keeps_no_turn_open():
    stage = Stage(handling(endpointing={"min_delay": 1.0}), reply=None).user(0.5, 1.5, "Hello")
    stage.at(2.1, SpeechResumed(2.1)).at(2.2, SpeechPaused(2.2)).at(2.3, SpeechEnded(2.2)).run(9)
    assert stage.sent(COMMIT) == near(2.5)


def test_words_that_come_while_the_end_is_awaited_belong_to_the_turn_and_delay_it_by_nothing():
    stage = Stage(handling(endpointing={"min_delay": 2.0}), reply=None).user(0.5, 1.5, "Hello")
    stage.at(3.0, UserTranscript("there")).run(9)
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["Hello there"]
    assert stage.sent(COMMIT) == near(3.5)


def test_a_turn_begins_with_its_first_word_and_a_noise_is_none():
    stage = Stage(handling(), reply=None).user(0.5, 1.5).user(3.0, 3.5).run(9)
    assert stage.facts(UserTurnCommitted) == []
    assert stage.sent(COMMIT) == []


def test_what_a_detector_was_asked_about_a_turn_that_was_cleared_decides_nothing():
    stage = detecting().at(2.1, ClearUserTurn()).at(2.2, TurnPredicted(1, 0.9)).run(9)
    assert stage.when(PredictTurn) == near(2.0)
    assert stage.sent(COMMIT) == []
