"""The reference's own scenarios on a virtual clock: speech, replies, interruptions.

Where the others are: F, P, S19 and S29 in ``test_false_interruptions``; I in ``test_protected``; S2 to S6,
S26 and results that survive interruptions in ``test_tools``; S21, L and T in ``test_timers``; endpointing
in ``test_endpointing``; turn detection in ``test_turn_detection``; commits, close and push-to-talk in
``test_by_hand``; servers that end turns in ``test_realtime``. Not recreated, for a client of a remote
agent has no such part:

=============================== ====================================================================
S16, inbound and outbound calls there is no telephone here; a change while it runs is in S16 below
S22, S23 recognition errors     the server transcribes; its errors are ``SessionFailed`` or ``Malformed``
S24 preemptive generation       the server generates
S25 with preemptive generation  the same; with a hook that takes time it is below
S30 errors of tools             no tool runs here; ``tests/runtime`` has them
F8, L8, L9 handoff              one conversation is with one agent
P2, P3                          the hold before speech: S13
I5 order of the queue           one request waits at most, so there is no order
Early close of a user's turn    what was transcribed was told; an uncommitted turn dies with its server
Hold window of transcripts      transcripts carry no time; what is said right before the end is S18
Metrics of the end of a turn    ``UserTurnCommitted`` carries both times, S1; figures are observation's
Waiting for idle                nobody waits in here; that a hook poisons nothing is below
Silence for recognition only    the microphone reaches detectors before this table: T5
Filler speech                   the server speaks
=============================== ====================================================================
"""

from __future__ import annotations

import attrs
import pytest

from convsm.machine.effects import Flush, PauseAudio, ResumeAudio
from convsm.machine.events import (
    UserTranscript,
)
from convsm.turns import WordListClassifier
from convsm.turns.effects import CompleteTurn
from convsm.turns.events import (
    InterimTranscript,
    InterruptAgent,
    SpeechEnded,
    SpeechStarted,
    TurnHandlingChanged,
    TurnReleased,
)
from convsm.turns.reports import (
    AgentFalseInterruption,
    OverlappingSpeech,
    UserStateChanged,
    UserTurnCommitted,
)
from tests.turns.stage import COMMIT, REPLY, SERVER, SERVER_OWNED, Stage, base, handling, near


def test_s1_a_turn_and_its_reply():
    stage = base().run(10)
    assert [name for name, _ in stage.agent_path()] == ["thinking", "speaking", "listening"]
    assert [time for _, time in stage.agent_path()] == near(3.0, 3.5, 5.5)
    assert stage.sent(COMMIT) == near(3.0)
    assert stage.sent(REPLY) == near(3.0)
    [turn] = stage.facts(UserTurnCommitted)
    assert (turn.turn, turn.transcript) == (1, "Hello there")
    assert [turn.occurred_at, turn.known_at] == near(2.5, 3.0)


def test_s1_states_of_the_user_carry_when_they_began_and_when_they_were_known():
    stage = base().run(10)
    changes = [(one.new_state, one.occurred_at, one.known_at) for one in stage.facts(UserStateChanged)]
    assert changes == [("speaking", 0.5, 0.55), ("listening", 2.5, 3.0)]


def test_s1_a_server_that_owns_the_turn():
    stage = base(server_owned=True).run(10)
    assert list(stage.agent_path()) == [("thinking", 3.0), ("speaking", 3.5), ("listening", 5.5)]
    assert stage.sent(COMMIT) == stage.sent(REPLY) == []
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["Hello there"]


def test_s7_an_interruption_that_cannot_pause():
    stage = base(10.0, can_pause=False).user(5.0, 6.0, "Stop!").run(6.6)
    assert list(stage.agent_path())[2:] == [("listening", *near(5.5)), ("thinking", *near(6.5))]
    assert [stage.speaker.position] == near(2.0)
    assert stage.when(PauseAudio) == []


def test_s8_few_words_do_not_interrupt_and_add_up_within_one_overlap():
    stage = base(10.0, can_pause=False, interruption={"min_words": 3})
    stage.user(5.0, 6.0, "Stop!").user(6.5, 7.5, "ok, stop!", stt_delay=0.0).run(7.9)
    assert stage.when(Flush) == near(7.5)
    assert [stage.speaker.position] == near(4.0)


def test_s9_an_agent_that_may_not_be_interrupted_is_not():
    stage = base(5.0, interruption={"enabled": False}).user(5.0, 6.0, "Stop!").run(8.6)
    assert [stage.speaker.position] == near(5.0)
    assert stage.when(PauseAudio) == stage.when(Flush) == []
    # Its words are kept for the turn that follows.
    stage.user(9.0, 9.5, "please").run(10.1)
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)][1:] == ["Stop! please"]


def test_s11_an_interruption_before_speech_that_cannot_pause():
    stage = base(can_pause=False).user(3.0, 4.0, "Wait").run(4.4)
    assert stage.speaker.position <= 0.02


def test_s12_an_interruption_before_speech_is_never_heard():
    stage = base().user(3.0, 4.0, "Wait").run(4.4)
    assert "speaking" not in [name for name, _ in stage.agent_path()]
    assert stage.speaker.position == 0.0
    assert stage.when(Flush) == near(4.2)


def test_s13_a_noise_before_speech_holds_it_back_and_loses_nothing():
    stage = base(5.0).user(3.0, 3.3).run(20)
    assert stage.when(ResumeAudio) == near(3.8)
    assert list(stage.agent_path())[-2:] == [("speaking", *near(3.8)), ("listening", *near(8.8))]
    assert [stage.speaker.position] == near(5.0)


@pytest.mark.parametrize(("warmup", "cut"), [(3.0, 5.5), (None, 4.5)])
def test_s14_s15_while_echo_cancellation_settles_only_a_turn_interrupts(warmup, cut):
    stage = base(10.0, can_pause=False, aec_warmup_duration=warmup).user(4.0, 5.0, "Stop").run(5.9)
    assert stage.when(Flush) == near(cut)


def test_s17_a_backchannel_right_at_the_start_is_not_believed():
    # As the agent begins it is not yet heard, so what is said then may well be meant.
    stage = base(10.0, classifier=WordListClassifier(), interruption={"backchannel_boundary": 1.0})
    stage.user(4.0, 4.8, "mhm").run(5.1)
    assert stage.facts(AgentFalseInterruption) == []
    stage = base(10.0, classifier=WordListClassifier(), interruption={"backchannel_boundary": 0.05})
    stage.user(4.0, 4.8, "mhm").run(5.1)
    assert [fact.known_at for fact in stage.facts(AgentFalseInterruption)] == near(5.0)
    assert stage.taking.state == "agent_speaking"


@pytest.mark.parametrize(("before_the_end", "is_released"), [(0.25, True), (0.75, False)])
def test_s18_a_short_word_right_before_the_end_is_an_answer(before_the_end, is_released):
    settings = handling(interruption={"backchannel_boundary": (0.0, 0.5), "min_duration": 3.0})
    stage = Stage(settings, classifier=WordListClassifier(), reply=None).agent(1.0, 5.0)
    end = 6.0 - before_the_end
    stage.user(end - 0.5, end - 0.1, "okay", stt_delay=0.1, silence=0.15).run(9)
    committed = [turn.transcript for turn in stage.facts(UserTurnCommitted)]
    assert committed == (["okay"] if is_released else [])


def test_a_reply_that_is_sooner_than_the_detector_is_not_held_back():
    stage = Stage(handling(turn_detection="server"), SERVER_OWNED).at(1.05, SpeechStarted(1.0))
    stage.at(2.1, UserTranscript("so")).agent(2.2, 3.0).at(2.5, SpeechEnded(2.0)).run(9)
    assert stage.when(PauseAudio) == []
    assert list(stage.agent_path()) == [("speaking", *near(2.2)), ("listening", *near(5.2))]
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["so"]


def test_words_behind_the_reply_to_them_leave_nobody_thinking():
    stage = Stage(handling(turn_detection="server"), SERVER_OWNED).user(1.0, 2.0).agent(2.6, 3.0)
    stage.at(3.0, UserTranscript("so")).run(9)
    assert list(stage.agent_path()) == [("speaking", *near(2.6)), ("listening", *near(5.6))]
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["so"]


def test_a_backchannel_resumes_at_once_and_leaves_no_words():
    stage = base(10.0, classifier=WordListClassifier()).user(5.0, 5.8, "uh-huh").run(14)
    assert stage.when(PauseAudio) == near(5.5)
    assert stage.when(ResumeAudio) == near(6.0)
    assert [(one.verdict, one.text) for one in stage.facts(OverlappingSpeech)] == [("backchannel", "uh-huh")]
    assert len(stage.facts(UserTurnCommitted)) == 1
    assert [stage.speaker.position] == near(10.0)


def test_a_backchannel_whose_words_come_late_is_no_turn():
    stage = Stage(handling(), classifier=WordListClassifier(), reply=None).agent(0.5, 10.0)
    stage.user(5.0, 5.8, "uh-huh", stt_delay=0.8).run(14)
    assert stage.when(ResumeAudio) == near(6.6)
    assert stage.facts(UserTurnCommitted) == []
    assert stage.taking.turn.state == "silent"


@pytest.mark.parametrize("is_heard", [True, False])
def test_s20_interim_words_interrupt_only_where_nothing_hears_speech(is_heard):
    stage = Stage(handling(), reply=None, can_pause=False).agent(1.0, 10.0)
    if is_heard:
        stage.at(2.0, SpeechStarted(1.95))
    stage.at(2.1, InterimTranscript("stop")).run(2.2)
    assert stage.when(Flush) == ([] if is_heard else near(2.1))


def test_s25_a_second_utterance_belongs_to_the_turn_until_that_is_committed():
    stage = base(endpointing={"min_delay": 1.0}).user(3.1, 3.8, "and one more thing").run(12)
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["Hello there and one more thing"]
    assert stage.sent(REPLY) == near(4.8)
    stage = base().user(3.1, 3.8, "and one more thing").run(12)
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == [
        "Hello there",
        "and one more thing",
    ]


@pytest.mark.parametrize(("min_delay", "is_held"), [(1.0, True), (0.2, False)])
def test_s27_a_reply_is_held_back_as_long_as_the_user_has_hardly_paused(min_delay, is_held):
    stage = Stage(handling(endpointing={"min_delay": min_delay}), reply=None)
    stage.at(1.0, SpeechStarted(0.95)).user(1.0, 1.5, silence=1.0).agent(1.75, 2.0).run(2.0)
    assert bool(stage.when(PauseAudio)) is is_held


def test_nobody_is_asked_twice_about_a_turn():
    stage = base().run(10)
    assert stage.when(CompleteTurn) == near(3.0)


def test_s10_text_cuts_the_agent_off_and_the_reply_to_it_plays():
    stage = base(10.0).at(5.0, InterruptAgent()).agent(5.4, 1.0, turn=9).run(9)
    assert [time for name, time in stage.agent_path() if name == "speaking"] == near(3.5, 5.4)
    assert [stage.speaker.position] == near(1.5 + 1.0)


@pytest.mark.parametrize(("hook_delay", "requested"), [(0.0, [3.0, 4.3]), (2.0, [6.3])])
def test_s25_only_the_latest_turn_is_replied_to(hook_delay, requested):
    # With time to think about a turn, the user has gone on when the first answer comes.
    stage = base(hook_delay=hook_delay).user(3.1, 3.8, "and one more thing").run(12)
    assert stage.sent(REPLY) == near(*requested)
    assert stage.sent(COMMIT) == stage.when(CompleteTurn) == near(3.0, 4.3)
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == [
        "Hello there",
        "and one more thing",
    ]


def test_a_hook_that_never_answers_poisons_no_later_turn():
    stage = base(hook_delay=None, user_away_timeout=5.0).run(9)
    assert stage.sent(REPLY) == []
    # Whoever is not replied to is free to go away, later.
    assert list(stage.agent_path()) == [("thinking", *near(3.0)), ("listening", *near(8.0))]
    stage.hook_delay = 0.0
    stage.user(9.5, 10.0, "Hello?").run(20)
    assert stage.sent(REPLY) == near(10.5)


def test_a_turn_that_nobody_wants_replied_to_leaves_nobody_thinking():
    stage = base(hook_delay=None).at(4.0, TurnReleased(1, wants_reply=False)).run(9)
    assert stage.sent(REPLY) == []
    assert list(stage.agent_path()) == [("thinking", *near(3.0)), ("listening", *near(4.0))]


def test_s16_settings_without_a_warm_up_end_the_one_that_runs():
    stage = base(10.0, can_pause=False, aec_warmup_duration=3.0).at(3.8, TurnHandlingChanged(handling()))
    stage.user(4.0, 5.0, "Stop").run(5.9)
    assert stage.when(Flush) == near(4.5)


def test_s28_recognition_that_ends_speech_leaves_the_detector_free_to_hear_the_next():
    server = attrs.evolve(SERVER, speech_events=True)
    stage = Stage(handling(turn_detection="stt"), server, reply=None).at(0.55, SpeechStarted(0.5))
    stage.at(1.2, UserTranscript("one")).at(1.5, SpeechEnded(1.4, "server"))
    # The detector's own segment ends behind that, and a new one is another turn.
    stage.at(2.0, SpeechEnded(1.9)).at(3.0, SpeechStarted(2.9)).at(3.5, UserTranscript("two"))
    stage.at(4.0, SpeechEnded(3.8, "server")).run(6)
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["one", "two"]
    assert stage.sent(COMMIT) == near(1.9, 4.3)
