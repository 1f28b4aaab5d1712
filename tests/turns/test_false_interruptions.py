"""Interruptions that pause, come to nothing or are confirmed, on a virtual clock."""

from __future__ import annotations

import pytest

from convsm.machine.effects import Diagnose, Flush, PauseAudio, Play, ResumeAudio
from convsm.machine.events import (
    AudioFailed,
    End,
    Interrupted,
    SocketClosed,
    UserTranscript,
)
from convsm.turns import Overlap, Verdict
from convsm.turns.events import (
    CommitUserTurn,
    HearingLost,
    InterruptAgent,
    MicrophoneMuted,
    SpeechEnded,
    SpeechStarted,
    StartUserTurn,
    TurnHandlingChanged,
)
from convsm.turns.reports import (
    AgentFalseInterruption,
    UserInterruptionDetected,
    UserStateChanged,
)
from tests.turns.stage import SERVER_OWNED, Stage, base, handling, near


def test_a_false_interruption_resumes_after_its_silence_and_loses_nothing():
    stage = base(5.0).user(5.0, 5.7).run(20)
    assert stage.when(PauseAudio) == near(5.5)
    assert stage.when(ResumeAudio) == near(5.7 + 0.5 + 2.0)
    assert [stage.speaker.position] == near(5.0)
    assert list(stage.agent_path())[2:] == [
        ("listening", *near(5.5)),
        ("speaking", *near(8.2)),
        ("listening", *near(11.2)),
    ]
    [fact] = stage.facts(AgentFalseInterruption)
    assert fact.resumed
    [found] = stage.facts(UserInterruptionDetected)
    assert (found.is_tentative, found.occurred_at) == (True, 5.0)


def test_words_confirm_an_interruption():
    stage = base(10.0).user(5.0, 6.0, "Stop!").run(6.9)
    assert stage.when(PauseAudio) == near(5.5)
    assert stage.when(Flush) == near(6.2)
    assert [stage.speaker.position] == near(2.0)
    assert list(stage.agent_path())[2:] == [("listening", *near(5.5)), ("thinking", *near(6.5))]


def test_the_server_confirms_an_interruption():
    stage = base(10.0, server_owned=True).user(5.0, 5.8).at(5.9, Interrupted(2, 2)).run(12)
    assert stage.when(PauseAudio) == near(5.5)
    assert stage.when(Flush) == near(5.9)
    assert stage.facts(AgentFalseInterruption) == []
    assert "dismissal" not in stage.timers


def test_words_that_come_late_do_not_interrupt_the_reply_to_them():
    stage = Stage(handling(turn_detection="server"), SERVER_OWNED).user(0.5, 1.5, "Hello", stt_delay=2.0)
    stage.agent(3.0, 5.0).run(9)
    assert stage.when(Flush) == []
    assert [stage.speaker.position] == near(5.0)


def test_a_short_sound_behind_a_serious_one_does_not_end_the_wait():
    stage = base(10.0).user(5.0, 5.9).user(6.6, 6.7).run(20)
    assert stage.when(PauseAudio) == near(5.5)
    assert stage.when(ResumeAudio) == near(6.7 + 0.5 + 2.0)


def test_once_nothing_hears_on_this_side_the_server_is_believed():
    stage = base(10.0).at(5.05, SpeechStarted(5.0)).at(5.2, HearingLost())
    stage.at(6.0, SpeechStarted(6.0, "server")).at(7.0, SpeechEnded(7.0, "server")).run(7.5)
    changes = [(one.new_state, one.known_at) for one in stage.facts(UserStateChanged)][2:]
    assert changes == [
        ("speaking", *near(5.05)),
        ("listening", *near(5.2)),
        ("speaking", *near(6.0)),
        ("listening", *near(7.0)),
    ]


def test_speech_that_goes_on_keeps_the_agent_paused():
    stage = base(10.0).user(5.0, 5.7).user(7.0, 7.6).run(20)
    assert stage.when(PauseAudio) == near(5.5)
    assert stage.when(ResumeAudio) == near(7.6 + 0.5 + 2.0)


def test_a_pause_within_speech_does_not_count_towards_an_interruption():
    stage = base(10.0).user(5.0, 5.3).run(12)
    assert stage.when(PauseAudio) == []


def test_without_resuming_every_interruption_is_final():
    for change in ({"resume_false_interruption": False}, {"false_interruption_timeout": None}):
        stage = base(10.0, interruption=change).user(5.0, 5.8).run(8)
        assert stage.when(Flush) == near(5.5)
        assert stage.when(PauseAudio) == []


def test_a_muted_microphone_ends_speech():
    stage = base(10.0).at(5.05, SpeechStarted(5.0)).at(5.6, MicrophoneMuted()).run(12)
    assert [one.known_at for one in stage.facts(UserStateChanged)][-1:] == near(5.6)
    assert stage.when(PauseAudio) == near(5.5)
    assert stage.when(ResumeAudio) == near(7.6)


def test_few_words_of_distant_overlaps_do_not_add_up():
    stage = base(20.0, can_pause=False, interruption={"min_words": 3})
    stage.user(5.0, 5.5, "yeah").user(9.0, 9.5, "right okay").run(15)
    assert stage.when(Flush) == []


@pytest.mark.parametrize(("min_words", "resumes"), [(5, True), (0, False)])
def test_f1_f2_an_open_decision_keeps_the_agent_paused_until_it_is_made(min_words, resumes):
    settings = {"min_words": min_words, "false_interruption_timeout": 0.3}
    stage = Stage(
        handling(endpointing={"min_delay": 0.9, "max_delay": 0.9}, interruption=settings), reply=None
    )
    stage.agent(0.5, 10.0).user(1.0, 2.0, "no", stt_delay=0.02, silence=0.05).run(6)
    if resumes:
        # Speech ended at 2.0; at 2.35 the turn was undecided, at 2.9 it was dropped.
        assert stage.when(ResumeAudio) == near(2.9)
        assert len(stage.facts(AgentFalseInterruption)) == 1
    else:
        assert stage.when(Flush) == near(2.02)
        assert stage.facts(AgentFalseInterruption) == []


def test_f9_without_an_open_decision_it_resumes_after_the_timeout():
    stage = Stage(handling(interruption={"false_interruption_timeout": 0.3}), reply=None)
    stage.agent(0.5, 10.0).user(1.0, 2.0, silence=0.05).run(6)
    assert stage.when(ResumeAudio) == near(2.35)


def test_a_decision_of_the_servers_is_waited_for_but_not_for_ever():
    stage = base(10.0, server_owned=True, interruption={"false_interruption_timeout": 0.3})
    stage.user(5.0, 5.8).at(5.6, SpeechStarted(5.5, "server")).run(20)
    assert stage.when(ResumeAudio) == near(5.8 + 0.5 + 0.3 + 5.0)


@pytest.mark.parametrize("end", [End(), SocketClosed(1000)])
def test_f3_nothing_resumes_once_the_conversation_ends(end):
    stage = base(10.0).user(5.0, 5.8).at(6.5, end).run(12)
    assert stage.facts(AgentFalseInterruption) == []
    assert set(stage.timers) <= {"close", "drain"}
    assert [stage.speaker.position] == near(2.0)


def test_f5_speech_that_only_the_server_hears_decides_nothing_by_itself():
    stage = base(10.0, server_owned=True).user(5.0, 5.8)
    stage.at(5.6, SpeechStarted(5.5, "server")).at(6.0, SpeechEnded(5.8, "server")).run(12)
    assert stage.when(ResumeAudio) == near(8.3)


def test_p4_p5_settings_that_forbid_a_pause_end_it_at_the_next_silence():
    stage = base(10.0).user(5.0, 6.0)
    stage.at(5.7, TurnHandlingChanged(handling(interruption={"false_interruption_timeout": None}))).run(9)
    assert stage.when(ResumeAudio) == near(6.5)


def test_p6_a_manual_interruption_of_a_paused_agent_is_final():
    stage = base(10.0).user(5.0, 6.0).at(5.7, InterruptAgent()).run(9)
    assert stage.when(Flush) == near(5.7)
    assert stage.facts(AgentFalseInterruption) == []
    assert "dismissal" not in stage.timers


def test_speech_whose_end_was_buffered_while_paused_is_played_to_its_last_sample():
    # The pieces of one turn, the latter of which come while the agent is paused.
    stage = Stage(handling(), reply=None)
    for time in (1.0, 1.2, 3.0, 3.2):
        stage.agent(time, 1.0, turn=1)
    stage.user(2.0, 2.8).run(20)
    assert stage.when(PauseAudio) == near(2.5)
    assert stage.when(ResumeAudio) == near(5.3)
    assert [stage.speaker.position] == near(4.0)
    assert list(stage.agent_path())[-1] == ("listening", *near(5.3 + 2.5))


def test_f4_a_commit_without_a_reply_leaves_the_agent_paused_until_silence_decides():
    stage = base(10.0).user(5.0, 6.0).at(6.1, CommitUserTurn(1, skip_reply=True)).run(20)
    assert stage.when(Flush) == []
    # The turn by hand ended speech at 6.1.
    assert stage.when(ResumeAudio) == near(8.1)
    assert [fact.resumed for fact in stage.facts(AgentFalseInterruption)] == [True]
    assert [stage.speaker.position] == near(10.0)
    # A word is no noise, whether it is to be replied to or not.
    stage = base(10.0).user(5.0, 6.0, "Stop").at(6.1, CommitUserTurn(1, skip_reply=True)).run(20)
    assert stage.when(Flush) == near(6.2)
    stage = base(10.0).user(5.0, 6.0).at(6.1, CommitUserTurn(1)).run(20)
    assert stage.when(Flush) == near(6.1)
    assert stage.when(ResumeAudio) == near(6.1)
    assert stage.facts(AgentFalseInterruption) == []


@pytest.mark.parametrize("decided", [5.8, 6.2])
def test_f6_f7_the_agent_ends_once_whenever_the_interruption_is_decided(decided):
    stage = base(10.0).at(5.05, SpeechStarted(5.0)).at(decided, InterruptAgent()).run(7)
    assert [time for name, time in stage.agent_path() if name == "listening"] == near(5.5)
    assert [stage.taking.turn.delays.agent_end] == near(5.5)


def test_p1_more_of_a_paused_turn_waits_and_changes_nothing():
    stage = Stage(handling(), reply=None).agent(1.0, 3.0, turn=1).user(2.0, 2.8).agent(4.0, 2.0, turn=1)
    stage.run(4.5)
    assert stage.when(PauseAudio) == near(2.5)
    stage.run(20)
    assert stage.when(ResumeAudio) == near(5.3)
    assert [stage.speaker.position] == near(5.0)


def test_p7_a_pause_ends_with_the_device_that_paused():
    stage = base(10.0, needs_audio=False).user(5.0, 5.8).at(6.5, AudioFailed("unplugged")).run(12)
    assert stage.facts(AgentFalseInterruption) == []
    assert not {"dismissal", "decision"} & set(stage.timers)
    assert stage.taking.state == "listening"


def test_p8_speech_is_held_back_before_its_first_sample():
    stage = Stage(handling(), reply=None).at(1.05, SpeechStarted(1.0)).agent(1.2, 2.0).run(3)
    kinds = [type(effect) for _, effect in stage.told if isinstance(effect, PauseAudio | Play)]
    assert kinds == [PauseAudio, Play]
    assert stage.speaker.position == 0.0


def test_s29_what_comes_of_a_turn_behind_its_interruption_is_never_heard():
    stage = Stage(handling(), reply=None).agent(1.0, 3.0, turn=1).user(2.0, 3.0, "Stop")
    stage.agent(4.0, 3.0, turn=1).agent(4.5, 1.0, turn=2).run(9)
    assert stage.when(Flush) == near(3.2)
    assert stage.when(Play, turn=1) == near(1.0)
    assert [stage.speaker.position] == near(1.5 + 1.0)


def test_s19_a_classifier_that_fails_costs_a_line_in_the_log_and_speech_still_interrupts():
    class Broken:
        def classify(self, overlap: Overlap) -> Verdict:
            raise RuntimeError("no model")

    for length, pauses in ((0.49, []), (0.51, [5.5])):
        stage = base(10.0, classifier=Broken()).user(5.0, 5.0 + length).run(6)
        assert stage.when(PauseAudio) == near(*pauses)
    stage = base(10.0, classifier=Broken()).user(5.0, 6.0, "Stop!").run(6.9)
    assert stage.when(Flush) == near(6.2)
    [line] = {effect.what for _, effect in stage.told if isinstance(effect, Diagnose)}
    assert "RuntimeError" in line
    assert "no model" not in line


# What is told is told in pairs


def told(stage: Stage) -> list[tuple[type, float]]:
    kinds = (UserInterruptionDetected, AgentFalseInterruption)
    return [(kind, fact.known_at) for kind in kinds for fact in stage.facts(kind)]


def held(end: float) -> Stage:
    """Return a stage whose agent would begin at 1.2 over sound that lasts from 1.0 on."""
    return Stage(handling(), reply=None).user(1.0, end).agent(1.2, 2.0).run(12)


def test_a_noise_that_held_the_agent_back_is_no_interruption_that_could_be_a_false_one():
    stage = held(1.3)
    assert stage.when(ResumeAudio) == near(1.8)
    assert told(stage) == []


def test_more_than_a_noise_that_held_the_agent_back_is_told_and_told_to_be_false():
    stage = held(2.0)
    assert told(stage) == [(UserInterruptionDetected, *near(1.5)), (AgentFalseInterruption, *near(4.5))]
    stage = Stage(handling(), reply=None).user(1.0, 2.0).agent(1.7, 2.0).run(12)
    assert told(stage) == [(UserInterruptionDetected, *near(1.7)), (AgentFalseInterruption, *near(4.5))]


def test_each_of_several_false_interruptions_is_told_once():
    stage = base(10.0).user(5.0, 5.7).user(9.0, 9.7).user(13.0, 13.2).user(14.0, 14.7).run(30)
    assert [time for _, time in told(stage)] == near(5.5, 9.5, 14.5, 8.2, 12.2, 17.2)
    assert [stage.speaker.position] == near(10.0)


def test_an_interruption_by_the_button_is_not_dated_by_what_was_said_long_before():
    stage = Stage(handling(turn_detection="manual"), reply=None)
    stage.at(0.5, StartUserTurn()).at(1.1, SpeechStarted(1.0)).at(2.0, SpeechEnded(1.9))
    stage.at(2.0, CommitUserTurn(1)).at(2.2, UserTranscript("So")).agent(3.0, 60.0)
    stage.at(50.0, StartUserTurn()).run(51)
    assert [fact.occurred_at for fact in stage.facts(UserInterruptionDetected)] == near(50.0)


# Echo cancellation


@pytest.mark.parametrize("start", [0.6, 2.8])
def test_speech_that_outlasts_the_warm_up_interrupts_at_its_end(start):
    stage = Stage(handling(aec_warmup_duration=3.0), reply=None).agent(0.5, 9.0).user(start, 6.0).run(6)
    assert stage.when(PauseAudio) == near(3.5)
    stage = Stage(handling(aec_warmup_duration=3.0), reply=None).agent(0.5, 9.0).user(start, 3.2).run(20)
    assert stage.when(PauseAudio) == []
