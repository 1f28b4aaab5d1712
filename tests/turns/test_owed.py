"""Which turn words are of that come late, in another order, or never, by the names that servers give."""

from __future__ import annotations

import attrs
import pytest

from convsm.machine.base import Event
from convsm.machine.effects import PauseAudio, ResumeAudio
from convsm.machine.events import Send, UserTranscript
from convsm.turns.effects import ResolveCommit
from convsm.turns.events import (
    CancelUserTurn,
    ClearUserTurn,
    CommitUserTurn,
    InterimTranscript,
    SpeechEnded,
    SpeechStarted,
    StartUserTurn,
    TranscriptionFailed,
    UserAudioRefused,
    UserAudioTaken,
)
from convsm.turns.reports import LateTranscript, UserTurnCommitted
from tests.turns.stage import (
    AFTER_COMMIT,
    COMMIT,
    REPLY,
    SERVER,
    Stage,
    answers,
    handling,
    manual,
    near,
)


def named(*told: tuple[float, Event], commits: tuple[float, ...] = (1.0, 3.0)) -> Stage:
    """Return a stage whose user holds the button for a second before each commit."""
    stage = manual(AFTER_COMMIT)
    for number, time in enumerate(commits, 1):
        stage.at(time - 1.0, StartUserTurn()).at(time, CommitUserTurn(number, transcript_timeout=0.5))
        stage.at(time + 0.1, UserAudioTaken(f"item_{number}"))
    for time, event in told:
        stage.at(time, event)
    return stage.run(9)


def late(stage: Stage) -> list[tuple[int, str]]:
    return [(one.turn, one.text) for one in stage.facts(LateTranscript)]


def test_late_words_do_not_answer_a_later_commit():
    stage = named(
        (3.2, UserTranscript("first", item="item_1")),
        (3.3, InterimTranscript("first again", "item_1")),
        (3.4, UserTranscript("second", item="item_2")),
    )
    assert answers(stage) == [(1, ""), (2, "second")]
    assert late(stage) == [(1, "first")]
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["", "second"]


def test_words_in_another_order_than_the_turns_are_each_turns_own():
    stage = named(
        (6.0, UserTranscript("second", item="item_2")),
        (6.1, UserTranscript("first", item="item_1")),
        (6.2, UserTranscript("first", item="item_1")),
    )
    assert late(stage) == [(2, "second"), (1, "first")]


def test_a_transcription_that_failed_shifts_no_others_numbers():
    stage = named((2.5, TranscriptionFailed("item_1")), (6.0, UserTranscript("second", item="item_2")))
    assert late(stage) == [(2, "second")]
    # Without names too, for the server tells of each in order.
    stage = Stage(handling(), AFTER_COMMIT, reply=None).user(0.5, 1.0).user(2.0, 2.5)
    stage.at(3.1, TranscriptionFailed()).at(3.3, UserTranscript("two")).run(5)
    assert late(stage) == [(2, "two")]


def test_a_transcription_that_failed_answers_the_commit_at_once_and_the_agent_replies():
    stage = named((1.2, TranscriptionFailed("item_1")), commits=(1.0,))
    assert stage.when(ResolveCommit) == near(1.2)
    assert answers(stage) == [(1, "")]
    assert stage.sent(REPLY) == near(1.2)


def test_a_transcription_that_failed_of_a_turn_before_answers_nothing():
    stage = named((3.2, TranscriptionFailed("item_1")), (3.4, UserTranscript("second", item="item_2")))
    assert answers(stage) == [(1, ""), (2, "second")]


@pytest.mark.parametrize("call", [ClearUserTurn(), CancelUserTurn(), StartUserTurn()])
def test_words_of_a_turn_that_was_given_up_while_they_were_awaited_are_of_no_later_turn(call):
    stage = named((1.2, call), (3.2, UserTranscript("oops", item="item_1")))
    assert answers(stage) == [(1, ""), (2, "")]
    assert late(stage) == [(1, "oops")]


def test_a_commit_of_which_the_server_heard_nothing_is_answered_at_once_and_asks_for_no_reply():
    stage = manual(AFTER_COMMIT).at(0.0, StartUserTurn()).at(0.1, CommitUserTurn(1))
    stage.at(0.2, UserAudioRefused()).run(5)
    assert stage.when(ResolveCommit) == near(0.2)
    assert answers(stage) == [(1, "")]
    assert stage.sent(REPLY) == []
    assert stage.facts(UserTurnCommitted) == []


def test_a_turn_without_sound_owes_no_words():
    stage = Stage(handling(), AFTER_COMMIT, reply=None).user(0.5, 1.0).at(1.6, UserAudioRefused()).run(3)
    assert stage.sent(COMMIT) == near(1.5)
    assert stage.taking.turn.pieces == []


def test_what_the_program_commits_itself_is_no_turn():
    stage = named(
        (2.9, Send(COMMIT)), (3.05, UserAudioTaken("theirs")), (3.2, UserTranscript("x", item="theirs"))
    )
    assert answers(stage) == [(1, ""), (2, "")]
    assert [text for _, text in late(stage)] == ["x"]


def test_words_of_what_was_cleared_do_not_begin_a_turn():
    # The server parts speech into pieces, and this side says when the turn is over.
    pieces = attrs.evolve(SERVER, commit=None, speech_events=True)
    stage = Stage(handling(), pieces, reply=None).user(0.5, 1.5)
    stage.at(1.6, UserAudioTaken("item_1")).at(1.7, ClearUserTurn())
    stage.at(2.0, UserTranscript("forget this", item="item_1"))
    stage.at(4.0, UserAudioTaken("item_2")).at(4.1, UserTranscript("but not that", item="item_2")).run(9)
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["but not that"]
    assert late(stage) == [(1, "forget this")]


def test_a_server_that_answers_nothing_is_not_remembered_for_ever():
    stage = manual(attrs.evolve(AFTER_COMMIT, user_transcripts=False))
    for number in range(200):
        stage.post(StartUserTurn())
        stage.post(CommitUserTurn(number))
    assert len(stage.taking.turn.pieces) == 64
    for number in range(200):
        stage.post(UserAudioTaken(f"item_{number}"))
    stage.post(ClearUserTurn())
    assert len(stage.taking.turn.pieces) == 64


def test_a_second_commit_of_the_same_turn_changes_nothing_and_is_answered_at_once():
    stage = manual(AFTER_COMMIT).at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(1))
    stage.at(1.2, UserTranscript("so")).at(1.5, CommitUserTurn(2)).run(3)
    assert answers(stage) == [(1, "so"), (2, "")]
    assert stage.when(ResolveCommit, commit_id=2) == near(1.5)
    assert [state for state, _ in stage.agent_path()] == ["thinking"]
    assert stage.sent(COMMIT) == near(1.0)


# In other orders than usual


@pytest.mark.parametrize("call", [ClearUserTurn(), CancelUserTurn(), StartUserTurn()])
@pytest.mark.parametrize("first", [TranscriptionFailed("item_1"), UserTranscript("first", item="item_1")])
def test_a_turn_that_was_given_up_is_none_whatever_became_of_the_one_before(first, call):
    stage = named(
        (1.2, first),
        (3.2, call),
        (5.2, UserTranscript("oops", item="item_2")),
        (5.3, UserTranscript("third", item="item_3")),
        commits=(1.0, 3.0, 5.0),
    )
    assert answers(stage)[1:] == [(2, ""), (3, "third")]
    assert late(stage) == [(2, "oops")]


def test_what_the_program_committed_hides_no_turn_that_is_given_up():
    stage = named(
        (1.5, Send(COMMIT)),
        (1.6, UserAudioTaken("theirs")),
        (3.2, CancelUserTurn()),
        (5.2, UserTranscript("oops", item="item_2")),
        (5.3, UserTranscript("third", item="item_3")),
        (5.6, UserTranscript("x", item="theirs")),
        commits=(1.0, 3.0, 5.0),
    )
    assert answers(stage) == [(1, ""), (2, ""), (3, "third")]
    assert late(stage) == [(2, "oops"), (0, "x")]


def test_a_commit_that_is_never_answered_shifts_no_names():
    stage = manual(AFTER_COMMIT).at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(1))
    for number in (2, 3):
        time = number * 20.0
        stage.at(time, StartUserTurn()).at(time + 1.0, CommitUserTurn(number))
        stage.at(time + 1.1, UserAudioTaken(f"item_{number}"))
        stage.at(time + 1.3, UserTranscript(f"words {number}", item=f"item_{number}"))
    stage.at(80.0, StartUserTurn()).at(81.0, CommitUserTurn(4)).at(81.1, UserAudioRefused()).run(90)
    assert answers(stage) == [(1, ""), (2, "words 2"), (3, "words 3"), (4, "")]
    assert stage.when(ResolveCommit, commit_id=4) == near(81.1)


def parted(**settings: object) -> Stage:
    """Return a stage whose server parts speech into pieces while this side ends the turns."""
    server = attrs.evolve(SERVER, commit=None, speech_events=True)
    return Stage(handling(turn_detection="stt", **settings), server, reply=None)


def test_what_is_taken_after_a_turn_was_given_up_is_of_that_and_the_next_words_are_a_turn():
    stage = parted().at(0.0, StartUserTurn()).at(0.5, CommitUserTurn(1)).at(0.6, CancelUserTurn())
    stage.at(0.7, UserAudioTaken("i1")).at(0.8, ClearUserTurn()).at(1.0, UserTranscript("oops", item="i1"))
    stage.at(3.0, UserAudioTaken("i2")).at(3.2, UserTranscript("What time is it", item="i2")).run(9)
    assert late(stage) == [(1, "oops")]
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["What time is it"]


def test_a_piece_that_failed_while_its_words_were_awaited_owes_nothing():
    stage = parted().at(0.0, StartUserTurn()).at(0.4, UserAudioTaken("p1")).at(0.5, CommitUserTurn(1))
    stage.at(0.8, TranscriptionFailed("p1")).at(4.5, UserAudioTaken("p2"))
    stage.at(4.8, UserTranscript("What time is it", item="p2")).run(9)
    assert answers(stage) == [(1, "")]
    assert late(stage) == []
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["What time is it"]


def test_a_noise_of_its_own_name_pays_no_other_ones_debt():
    stage = parted().at(0.0, StartUserTurn()).at(0.5, CommitUserTurn(1)).at(0.6, CancelUserTurn())
    stage.at(0.7, UserAudioTaken("i1")).at(0.8, UserAudioTaken("i2"))
    stage.at(1.0, UserTranscript("", item="i2")).at(1.2, UserTranscript("oops", item="i1")).run(9)
    assert late(stage) == [(1, "oops")]
    assert stage.facts(UserTurnCommitted) == []


def test_a_commit_waits_for_all_pieces_of_its_turn():
    stage = parted().at(0.0, StartUserTurn()).at(0.4, UserAudioTaken("i1")).at(0.8, UserAudioTaken("i2"))
    stage.at(1.0, CommitUserTurn(1)).at(1.2, UserTranscript("Please tell me", item="i1"))
    stage.at(1.6, UserTranscript("the time", item="i2")).run(9)
    assert answers(stage) == [(1, "Please tell me the time")]
    assert stage.when(ResolveCommit) == near(1.6)


def test_words_of_a_piece_that_was_taken_before_the_end_of_the_turn_are_late_and_no_turn():
    stage = parted().at(0.5, SpeechStarted(0.5, "server")).at(1.0, UserAudioTaken("i1"))
    stage.at(1.5, UserAudioTaken("i2")).at(1.6, SpeechEnded(1.5, "server"))
    stage.at(1.7, UserTranscript("Please tell me", item="i1")).agent(3.0, 3.0)
    stage.at(3.5, UserTranscript("the time", item="i2")).run(9)
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["Please tell me"]
    assert late(stage) == [(1, "the time")]
    assert stage.speaker.position == pytest.approx(3.0)


def test_what_the_server_tells_twice_is_told_once():
    stage = named(
        (1.15, UserAudioTaken("item_1")),
        (1.2, UserTranscript("one", item="item_1")),
        (3.2, UserTranscript("one", item="item_1")),
        (3.25, InterimTranscript("on", "item_1")),
        (3.3, TranscriptionFailed("item_1")),
        (3.4, UserTranscript("two", item="item_2")),
    )
    assert answers(stage) == [(1, "one"), (2, "two")]
    assert late(stage) == []


def test_an_empty_name_is_none():
    stage = manual(AFTER_COMMIT).at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(1))
    stage.at(1.1, UserAudioTaken("")).at(1.2, UserTranscript("one", item=""))
    stage.at(2.0, StartUserTurn()).at(3.0, CommitUserTurn(2)).at(3.1, UserAudioTaken(None))
    stage.at(3.2, UserTranscript("two", item="")).run(6)
    assert answers(stage) == [(1, "one"), (2, "two")]


@pytest.mark.parametrize("told", [UserAudioRefused(), UserTranscript("")])
def test_an_empty_commit_leaves_the_reply_to_the_turn_before(told):
    # The hook of the first turn takes a while; a noise begins, and the program commits it.
    stage = Stage(handling(), AFTER_COMMIT, reply=None, hook_delay=0.5).user(0.5, 1.0)
    stage.at(1.6, UserAudioTaken("item_1")).at(1.7, SpeechStarted(1.7)).at(1.8, CommitUserTurn(1)).at(
        2.2, told
    ).run(6)
    assert stage.sent(REPLY) == near(2.2)


def test_an_agent_that_was_paused_goes_on_when_nothing_was_heard():
    stage = Stage(handling(), AFTER_COMMIT, reply=None).agent(1.0, 10.0).at(1.55, SpeechStarted(1.5))
    stage.at(2.3, CommitUserTurn(1, transcript_timeout=60, skip_reply=True))
    stage.at(4.6, UserAudioRefused()).run(9)
    assert stage.when(PauseAudio) == near(2.0)
    assert stage.when(ResumeAudio) == near(4.6)


def test_a_second_commit_may_take_the_wish_for_a_reply_back():
    stage = manual(AFTER_COMMIT, hook_delay=1.0).at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(1))
    stage.at(1.2, UserTranscript("so")).at(1.5, CommitUserTurn(2, skip_reply=True)).run(5)
    assert answers(stage) == [(1, "so"), (2, "")]
    assert stage.sent(REPLY) == []


def test_a_press_in_which_nothing_was_said_takes_nothing_from_the_next_one():
    stage = parted().at(0.0, StartUserTurn()).at(0.5, CommitUserTurn(1)).at(5.0, StartUserTurn())
    stage.at(5.5, SpeechStarted(5.5, "server")).at(7.0, UserAudioTaken("i2"))
    stage.at(7.3, UserTranscript("What time is it", item="i2")).at(7.5, CommitUserTurn(2)).run(12)
    assert [words for _, words in answers(stage)] == ["", "What time is it"]
    assert late(stage) == []


def test_a_piece_without_words_leaves_the_commit_to_the_others():
    stage = parted().at(0.0, StartUserTurn()).at(0.4, UserAudioTaken("i1")).at(0.8, UserAudioTaken("i2"))
    stage.at(1.0, CommitUserTurn(1)).at(1.2, UserTranscript("", item="i1"))
    stage.at(1.6, UserTranscript("the time", item="i2")).run(9)
    assert answers(stage) == [(1, "the time")]
    assert len(stage.facts(UserTurnCommitted)) == 1


@pytest.mark.parametrize("told", [UserAudioRefused(), UserTranscript("")])
def test_a_reply_that_was_released_while_a_noise_was_heard_outlives_its_empty_commit(told):
    stage = Stage(handling(), AFTER_COMMIT, reply=None, hook_delay=0.35).user(0.5, 1.0)
    stage.at(1.6, UserAudioTaken("item_1")).at(1.7, SpeechStarted(1.7)).at(1.9, CommitUserTurn(1))
    stage.at(2.2, told).run(6)
    assert stage.sent(REPLY) == near(2.2)


def test_a_turn_without_words_does_not_let_the_next_one_leak():
    stage = parted().at(0.0, StartUserTurn()).at(0.4, UserAudioTaken("i1")).at(0.5, CommitUserTurn(1))
    stage.at(0.8, UserTranscript("", item="i1")).at(2.0, StartUserTurn()).at(2.5, CommitUserTurn(2))
    stage.at(2.6, CancelUserTurn()).at(2.7, UserAudioTaken("i2"))
    stage.at(3.0, UserTranscript("oops", item="i2")).run(9)
    assert stage.facts(UserTurnCommitted) == []
    assert late(stage) == [(1, "oops")]


def test_a_network_that_stalls_shifts_no_names():
    stage = manual(AFTER_COMMIT).at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(1, transcript_timeout=60))
    stage.at(7.0, UserAudioTaken("item_1")).at(7.3, UserTranscript("hello", item="item_1")).run(9)
    assert answers(stage) == [(1, "hello")]
