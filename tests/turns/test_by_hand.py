"""Turns by hand: push-to-talk, commits and their answers, late words; and who may call what when."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from convsm.machine import RefusedCommand, SessionOptions
from convsm.machine.base import Event
from convsm.machine.effects import Flush, PauseAudio, Reject, ResumeAudio, TransmitAudio
from convsm.machine.events import (
    AgentAudio,
    End,
    Interrupt,
    Interrupted,
    SocketClosed,
    SocketOpened,
    Start,
    ToolCalled,
    UserAudio,
    UserTranscript,
)
from convsm.testing.observation import snapshot
from convsm.turns.effects import CancelCommit, ResolveCommit
from convsm.turns.events import (
    CancelUserTurn,
    ClearUserTurn,
    CommitUserTurn,
    InterimTranscript,
    InterruptAgent,
    MicrophoneMuted,
    MicrophoneUnmuted,
    RequestAgentReply,
    SpeechEnded,
    SpeechStarted,
    StartUserTurn,
    TakeFloor,
    TurnHandlingChanged,
)
from convsm.turns.reports import LateTranscript, UserTurnCommitted
from convsm.turns.taking import TurnTaking
from tests.turns.stage import (
    AFTER_COMMIT,
    CLEAR,
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

SOUND = bytes(range(1, 251)) * 64  # half a second


def audio(stage: Stage) -> bytes:
    return b"".join(one.audio for _, one in stage.told if isinstance(one, TransmitAudio))


# Push-to-talk


def test_the_first_word_is_not_lost_and_nothing_else_goes_out():
    stage = manual()
    stage.post(UserAudio(SOUND))
    stage.post(UserAudio(SOUND))
    assert audio(stage) == bytes(2 * len(SOUND))
    stage.told.clear()
    stage.post(StartUserTurn())
    stage.post(UserAudio(SOUND))
    # The half second before the button, and what comes after it.
    assert audio(stage) == SOUND + SOUND
    stage.told.clear()
    stage.post(CommitUserTurn(1, stt_flush_duration=0.4))
    stage.post(UserAudio(SOUND))
    # Silence that makes the server end the turn, and more of it in the microphone's place.
    assert audio(stage) == bytes(round(0.4 * 32000) + len(SOUND))


def test_a_server_that_can_be_told_hears_nothing_between_turns():
    stage = manual(SERVER)
    stage.post(UserAudio(SOUND))
    assert audio(stage) == b""
    stage.post(StartUserTurn())
    assert stage.sent(CLEAR) == near(0.0)
    assert audio(stage) == SOUND
    stage.told.clear()
    stage.post(CommitUserTurn(1))
    stage.post(UserAudio(SOUND))
    assert stage.sent(COMMIT) == near(0.0)
    assert audio(stage) == b""


def test_silence_is_that_of_the_format():
    stage = manual()
    stage.taking.session.input_format = "ulaw_8000"
    stage.post(UserAudio(b"abcd"))
    assert audio(stage) == b"\xff\xff\xff\xff"


def test_a_turn_begun_by_hand_silences_the_agent_and_forgets_what_was_said():
    stage = manual().agent(0.0, 5.0).run(1.0)
    stage.post(StartUserTurn())
    assert stage.when(Flush) == near(1.0)
    assert stage.taking.state == "interrupted"


def test_speech_of_the_agent_waits_while_the_button_is_held():
    stage = manual().at(0.0, StartUserTurn()).agent(1.0, 2.0).at(3.0, CancelUserTurn()).run(4.0)
    assert stage.when(PauseAudio) == near(1.0)
    assert stage.when(ResumeAudio) == near(3.0)


# A server that ends turns itself may do so in a pause, while the button is still held.


def held_reply(*words: float, **options: Any) -> Stage:
    """Return a stage whose user holds the button from 0 to 3; the reply begins at 2 and is held back."""
    stage = manual(**options).at(0.0, StartUserTurn()).at(0.1, SpeechStarted(0.0)).at(1.5, SpeechEnded(1.0))
    stage.at(3.0, CommitUserTurn(7)).agent(2.0, 2.0)
    for time in words:
        stage.at(time, UserTranscript("What time is it?"))
    return stage.run(20)


@pytest.mark.parametrize("words", [(1.8,), (2.5,), (3.5,)])
def test_a_reply_that_came_before_the_release_is_heard_and_its_words_answer_the_commit(words):
    stage = held_reply(*words)
    assert stage.when(Flush) == []
    assert stage.when(ResumeAudio) == near(3.0)
    assert [stage.speaker.position] == near(2.0)
    assert answers(stage) == [(7, "What time is it?")]
    assert stage.when(ResolveCommit) == near(max(3.0, *words))
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["What time is it?"]
    assert list(stage.agent_path()) == [("speaking", *near(3.0)), ("listening", *near(5.0))]


def test_a_reply_without_words_leaves_the_commit_unanswered_and_the_agent_heard():
    stage = held_reply()
    assert [stage.speaker.position] == near(2.0)
    assert (answers(stage), stage.when(ResolveCommit)) == ([(7, "")], near(5.0))


@pytest.mark.parametrize(("words", "reply", "answered"), [(0.9, 2.0, 2.0), (2.5, 2.0, 2.5), (0.9, 9.0, 3.0)])
def test_nobody_thinks_once_the_agent_has_replied_to_a_commit(words, reply, answered):
    stage = manual().at(0.0, StartUserTurn()).at(0.1, SpeechStarted(0.0)).at(words, UserTranscript("So"))
    stage.at(1.0, CommitUserTurn(7)).agent(reply, 4.0).run(20)
    assert (answers(stage), stage.when(ResolveCommit)) == ([(7, "So")], near(answered))
    assert list(stage.agent_path())[-2:] == [("speaking", *near(reply)), ("listening", *near(reply + 4.0))]


def test_interim_words_of_a_commit_that_the_agent_replies_to_already_are_its_words():
    stage = manual().at(0.0, StartUserTurn()).at(0.9, InterimTranscript("So")).at(1.0, CommitUserTurn(7))
    stage.agent(2.0, 4.0).run(20)
    assert (answers(stage), stage.when(ResolveCommit)) == ([(7, "So")], near(3.0))
    assert list(stage.agent_path()) == [("speaking", *near(2.0)), ("listening", *near(6.0))]


def test_a_commit_is_answered_by_the_next_final_words():
    stage = manual().at(0.0, StartUserTurn()).at(2.0, CommitUserTurn(7)).at(2.4, UserTranscript("so"))
    stage.run(5)
    assert answers(stage) == [(7, "so")]
    assert stage.when(ResolveCommit) == near(2.4)
    [turn] = stage.facts(UserTurnCommitted)
    assert turn.transcript == "so"


def test_a_commit_without_words_is_answered_by_none_at_its_timeout():
    stage = manual().at(0.0, StartUserTurn()).at(2.0, CommitUserTurn(7, transcript_timeout=1.5)).run(5)
    assert answers(stage) == [(7, "")]
    assert stage.when(ResolveCommit) == near(3.5)
    assert stage.facts(UserTurnCommitted) == []


def test_words_that_never_became_final_are_words():
    stage = manual().at(0.0, StartUserTurn()).at(1.0, InterimTranscript("half a")).at(2.0, CommitUserTurn(7))
    stage.run(5)
    assert answers(stage) == [(7, "half a")]


def test_an_empty_final_answers_a_commit():
    stage = manual().at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(7)).at(1.2, UserTranscript(" ")).run(5)
    assert answers(stage) == [(7, "")]
    assert stage.when(ResolveCommit) == near(1.2)


def test_words_that_were_in_long_before_need_no_wait():
    stage = manual().at(0.0, StartUserTurn()).at(0.1, SpeechStarted(0.0)).at(1.0, SpeechEnded(0.9))
    stage.at(1.1, UserTranscript("so")).at(2.0, CommitUserTurn(7)).run(3)
    assert stage.when(ResolveCommit) == near(2.0)


def test_a_server_without_words_answers_at_once():
    stage = manual(attrs.evolve(SERVER, user_transcripts=False)).at(0.0, StartUserTurn())
    stage.at(1.0, CommitUserTurn(7)).run(3)
    assert answers(stage) == [(7, "")]
    assert (stage.when(ResolveCommit), stage.sent(COMMIT), stage.sent(REPLY)) == (
        near(1.0),
        near(1.0),
        near(1.0),
    )


def test_of_two_commits_the_later_stands():
    stage = manual().at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(1)).at(2.0, CommitUserTurn(2))
    stage.at(3.5, UserTranscript("so")).run(6)
    assert stage.when(CancelCommit, commit_id=1) == near(2.0)
    assert answers(stage) == [(2, "so")]


def test_no_reply_is_asked_for_when_it_is_to_be_skipped():
    for skips, count in ((True, 0), (False, 1)):
        stage = manual(AFTER_COMMIT).at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(1, skip_reply=skips))
        stage.at(1.2, UserTranscript("so")).run(3)
        assert len(stage.sent(REPLY)) == count


def test_a_reply_cannot_be_skipped_where_the_server_gives_it_by_itself():
    stage = manual()
    stage.post(StartUserTurn())
    [refusal] = stage.post(CommitUserTurn(1, skip_reply=True))
    assert isinstance(refusal, Reject)
    assert "skip_reply" in refusal.reason
    assert stage.taking.turn.state == "speaking"


@pytest.mark.parametrize("time", [5.7, 7.0])
def test_a_turn_that_overlaps_the_agent_can_be_committed(time):
    few = handling(interruption={"min_words": 3}, endpointing={"min_delay": 1.0})
    stage = Stage(few, reply=None, can_pause=False)
    stage.agent(1.0, 10.0).user(4.0, 5.0, "please wait").at(time, CommitUserTurn(1)).run(9.0)
    assert stage.when(Flush) == near(time)
    assert answers(stage) == [(1, "please wait")]


def test_late_words_never_leak_into_the_next_turn():
    stage = manual().at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(1, transcript_timeout=0.5))
    stage.at(2.0, StartUserTurn()).at(2.2, UserTranscript("late")).at(3.0, CommitUserTurn(2))
    stage.at(3.4, UserTranscript("now")).run(6)
    assert answers(stage) == [(1, ""), (2, "now")]
    assert [(one.turn, one.text) for one in stage.facts(LateTranscript)] == [(1, "late")]


def test_words_that_never_come_are_not_waited_for_in_a_later_turn():
    stage = manual().at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(1))
    stage.at(20.0, StartUserTurn()).at(20.1, SpeechStarted(20.0)).at(22.0, UserTranscript("Hello"))
    stage.at(24.0, CommitUserTurn(2)).at(24.3, UserTranscript("there")).run(30)
    assert answers(stage) == [(1, ""), (2, "Hello there")]
    assert stage.facts(LateTranscript) == []


@pytest.mark.parametrize(("first", "expected"), [("one", [(1, "one"), (2, "two")]), ("", [(2, "two")])])
def test_late_words_of_several_turns_are_told_with_the_number_of_each(first, expected):
    # This side ends the turns, and the server transcribes what it was told of.
    stage = Stage(handling(), AFTER_COMMIT, reply=None).user(0.5, 1.0).user(2.0, 2.5)
    stage.at(3.1, UserTranscript(first)).at(3.3, UserTranscript("two")).run(5)
    assert stage.sent(COMMIT) == near(1.5, 3.0)
    assert [(one.turn, one.text) for one in stage.facts(LateTranscript)] == expected


def test_words_of_a_cancelled_turn_belong_to_no_other():
    stage = manual().at(0.0, StartUserTurn()).at(1.0, CancelUserTurn()).at(1.3, UserTranscript("oops"))
    stage.at(2.0, StartUserTurn()).at(3.0, CommitUserTurn(2)).at(3.4, UserTranscript("now")).run(6)
    assert answers(stage) == [(2, "now")]
    assert [one.text for one in stage.facts(LateTranscript)] == ["oops"]
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["now"]


def test_words_behind_a_commit_that_the_server_transcribes_later_are_told_as_late():
    stage = manual(AFTER_COMMIT).at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(1, transcript_timeout=0.3))
    stage.at(2.0, StartUserTurn()).at(2.5, UserTranscript("first")).run(3)
    assert answers(stage) == [(1, "")]
    assert [(one.turn, one.text) for one in stage.facts(LateTranscript)] == [(1, "first")]


def test_clearing_while_the_end_is_awaited_commits_nothing():
    stage = Stage(handling(), reply=None).user(0.5, 1.5, "Hello")
    stage.at(1.99, ClearUserTurn()).at(2.0, ClearUserTurn()).run(5)
    assert stage.sent(COMMIT) == []
    assert stage.taking.turn.state == "silent"


def test_no_commit_waits_for_ever():
    for end in (End(), SocketClosed(1006), ClearUserTurn(), CancelUserTurn(), StartUserTurn()):
        stage = manual().at(0.0, StartUserTurn()).at(1.0, CommitUserTurn(1)).at(1.5, end).run(1.6)
        assert answers(stage) == [(1, "")], end


def test_a_muted_microphone_keeps_nothing():
    stage = manual()
    stage.post(MicrophoneMuted())
    stage.post(UserAudio(SOUND))
    stage.post(MicrophoneUnmuted())
    stage.post(StartUserTurn())
    assert audio(stage) == bytes(len(SOUND))


def test_a_server_hears_silence_while_the_agent_is_protected():
    settings = handling(turn_detection="server", interruption={"enabled": False})
    stage = Stage(settings, SERVER_OWNED).agent(0.0, 1.0).at(0.5, UserAudio(SOUND)).at(1.5, UserAudio(SOUND))
    stage.run(2)
    assert audio(stage) == bytes(len(SOUND)) + SOUND


def test_other_settings_hold_at_once_and_a_turn_that_changes_hands_is_not_committed():
    stage = Stage(handling(endpointing={"min_delay": 2.0}), reply=None).user(0.5, 1.5, "Hello")
    stage.at(2.5, TurnHandlingChanged(handling(turn_detection="manual"))).run(9)
    assert stage.sent(COMMIT) == []
    assert stage.taking.turn.handling.is_manual


# What is possible when

STATES = ("idle", "connecting", "listening", "agent_speaking", "interrupted", "tool_running", "closing")

# An entry is what becomes of the call: "error", "nothing" (no change, no effect), or "done".
LEGALITY = {
    "interrupt": ("error", "nothing", "nothing", "done", "nothing", "nothing", "nothing"),
    "clear": ("error", "nothing", "done", "done", "done", "done", "nothing"),
    "commit": ("error", "error", "done", "error", "done", "done", "error"),
    "start": ("error", "error", "done", "done", "done", "done", "error"),
    "request": ("error", "done", "done", "done", "done", "done", "error"),
    "request protected": ("error", "done", "done", "done", "done", "done", "error"),
    "take the floor": ("nothing", "nothing", "done", "nothing", "done", "done", "nothing"),
    "end": ("nothing", "done", "done", "done", "done", "done", "nothing"),
}
CALLS: dict[str, Event] = {
    "interrupt": InterruptAgent(),
    "clear": ClearUserTurn(),
    "commit": CommitUserTurn(1),
    "start": StartUserTurn(),
    "request": RequestAgentReply(REPLY),
    "request protected": RequestAgentReply(REPLY, allow_interruptions=False),
    "take the floor": TakeFloor(REPLY),
    "end": End(),
}


def taking_in(state: str, asks_replies: bool = False) -> TurnTaking:
    """Return turn-taking whose conversation is in a state."""
    stage = manual(SERVER, asks_replies=asks_replies)
    if state in ("idle", "connecting"):
        options = SessionOptions(asks_replies=asks_replies)
        taking = TurnTaking.of(options, handling(turn_detection="manual"), SERVER)
        events: list[Event] = [] if state == "idle" else [Start(), SocketOpened()]
    else:
        taking = stage.taking
        speech = AgentAudio(bytes(32), 1)
        ways: dict[str, list[Event]] = {
            "listening": [],
            "agent_speaking": [speech],
            "interrupted": [speech, Interrupted(2, 2)],
            "tool_running": [ToolCalled("call_1", "weather")],
            "closing": [End()],
        }
        events = ways[state]
    for event in events:
        taking.handle(event)
    assert taking.state == state
    return taking


def waiting_in(taking: TurnTaking) -> tuple[object, ...]:
    """Return what waits to be sent."""
    return (taking.session.wanted, *taking.session.held)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("asks_replies", [False, True])
def test_what_becomes_of_a_call_in_each_state(state, call, asks_replies):
    taking = taking_in(state, asks_replies)
    before, waiting = snapshot(taking.turn), waiting_in(taking)
    expected = LEGALITY[call][STATES.index(state)]
    try:
        effects = taking.handle(CALLS[call])
    except RefusedCommand:
        assert expected == "error"
        assert taking.turn == before
        return
    # A request that waits for its time has no effect yet.
    is_done = bool(effects) or waiting_in(taking) != waiting
    found = "error" if any(isinstance(one, Reject) for one in effects) else "done" if is_done else "nothing"
    assert found == expected


def test_an_undecided_interruption_is_confirmed_by_a_call():
    for call in (Interrupt(), CommitUserTurn(1), StartUserTurn()):
        stage = Stage(handling(), reply=None).agent(0.0, 5.0).user(1.0, 3.0).run(2.0)
        assert stage.taking.session.is_undecided(call)
        stage.post(call)
        assert stage.when(Flush) == near(2.0), call
        assert stage.taking.state == "interrupted"


def test_a_protected_agent_is_interrupted_by_force_only():
    stage = Stage(handling(interruption={"enabled": False}), reply=None).agent(0.0, 5.0).run(1.0)
    [refusal] = stage.post(InterruptAgent())
    assert isinstance(refusal, Reject)
    assert "force" in refusal.reason
    stage.post(InterruptAgent(force=True))
    assert stage.when(Flush) == near(1.0)
    # Nobody is protected who does not speak.
    assert not any(isinstance(effect, Reject) for effect in stage.post(InterruptAgent()))


def test_an_open_turn_in_an_overlap_can_be_committed():
    settings = handling(turn_detection="vad", interruption={"min_duration": 3.0})
    stage = Stage(settings, reply=None).agent(0.0, 5.0).user(1.0, 2.0).run(1.5)
    stage.post(CommitUserTurn(1))
    assert stage.when(Flush) == near(1.5)
