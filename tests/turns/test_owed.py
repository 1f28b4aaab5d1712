"""Which turn words are of that come late, in another order, or never, by the names that servers give."""

from __future__ import annotations

import attrs
import pytest

from convsm.machine.base import Event
from convsm.machine.events import Send, UserTranscript
from convsm.turns.effects import ResolveCommit
from convsm.turns.events import (
    CancelUserTurn,
    ClearUserTurn,
    CommitUserTurn,
    InterimTranscript,
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
    SERVER_OWNED,
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
    assert late(stage) == [(2, "second"), (1, "first"), (1, "first")]
    assert "owed_words" not in stage.timers


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
    assert "owed_words" not in stage.timers


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
    assert stage.taking.turn.owed_turns == []


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
    assert len(stage.taking.turn.unanswered) == 64
    for number in range(200):
        stage.post(UserAudioTaken(f"item_{number}"))
    turn = stage.taking.turn
    assert (len(turn.unanswered), len(turn.items), len(turn.open_items)) == (0, 64, 64)
    stage.post(ClearUserTurn())
    assert (len(turn.items), len(turn.open_items)) == (64, 0)


@pytest.mark.parametrize("server", [SERVER_OWNED, AFTER_COMMIT])
def test_a_second_commit_of_the_same_turn_changes_nothing_and_is_answered_at_once(server):
    stage = manual(server).at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(1)).at(1.2, UserTranscript("so"))
    stage.at(1.5, CommitUserTurn(2)).run(3)
    assert answers(stage) == [(1, "so"), (2, "")]
    assert stage.when(ResolveCommit, commit_id=2) == near(1.5)
    assert [state for state, _ in stage.agent_path()] == ["thinking"]
    assert len(stage.sent(COMMIT)) == (server is AFTER_COMMIT)
