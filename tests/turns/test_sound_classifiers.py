"""A classifier that listens is asked about the sound of an overlap, and its verdict counts; virtual time."""

from __future__ import annotations

from typing import Any

from convsm.machine.effects import Flush, PauseAudio, ResumeAudio
from convsm.turns import Overlap, Verdict, WordListClassifier
from convsm.turns.effects import JudgeSound
from convsm.turns.events import OverlapJudged
from convsm.turns.reports import OverlappingSpeech
from tests.turns.stage import Stage, base, near


class Listener:
    """It listens; words alone tell it nothing."""

    def classify(self, overlap: Overlap) -> Verdict:
        return "unknown"

    async def classify_sound(self, overlap: Overlap, audio: bytes) -> Verdict:
        return "unknown"


def interrupted(**options: Any) -> Stage:
    """The agent speaks from 3.5 on; the user from 5.0 to 6.0, without words."""
    return base(10.0, classifier=options.pop("classifier", Listener()), **options).user(5.0, 6.0)


def questions(stage: Stage) -> list[JudgeSound]:
    return [effect for _, effect in stage.told if isinstance(effect, JudgeSound)]


def test_it_is_asked_when_the_agent_is_paused_and_again_when_the_user_falls_silent():
    stage = interrupted().run(7.0)
    assert stage.when(JudgeSound) == stage.when(PauseAudio) + near(6.5) == near(5.5, 6.5)
    first, second = questions(stage)
    assert first.speech == second.speech
    assert (first.overlap.text, first.overlap.is_final) == ("", False)
    assert [first.overlap.duration, second.overlap.duration] == near(0.5, 1.5)


def test_a_backchannel_resumes_the_agent_at_once():
    stage = interrupted()
    stage.at(5.6, lambda: stage.post(OverlapJudged("backchannel", speech=questions(stage)[0].speech)))
    stage.run(9)
    assert stage.when(ResumeAudio) == near(5.6)
    assert stage.when(Flush) == []
    assert [(one.verdict, one.text) for one in stage.facts(OverlappingSpeech)] == [("backchannel", "")]


def test_an_interruption_cuts_the_agent_without_words():
    stage = interrupted()
    stage.at(5.6, lambda: stage.post(OverlapJudged("interruption", speech=questions(stage)[0].speech)))
    stage.run(9)
    assert stage.when(Flush) == near(5.6)


def test_a_verdict_that_comes_too_late_says_nothing_about_what_is_said_now():
    stage = interrupted().user(7.0, 8.0)
    stage.at(7.6, lambda: stage.post(OverlapJudged("interruption", speech=questions(stage)[0].speech)))
    stage.run(9)
    assert stage.when(Flush) == []


def test_an_unknown_verdict_leaves_it_to_silence():
    stage = interrupted()
    stage.at(5.6, lambda: stage.post(OverlapJudged("unknown", speech=questions(stage)[0].speech)))
    stage.run(12)
    assert stage.when(ResumeAudio) == near(6.0 + 0.5 + 2.0)


def test_nobody_is_asked_who_does_not_listen_or_is_not_wanted():
    for stage in (
        interrupted(classifier=WordListClassifier()),
        interrupted(interruption={"mode": "vad"}),
    ):
        assert questions(stage.run(9)) == []
