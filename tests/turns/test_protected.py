"""Single replies that may not be interrupted, and the floor taken from a user who does not stop."""

from __future__ import annotations

from typing import Any

import pytest

from convsm.machine import RefusedCommand, SessionOptions
from convsm.machine.effects import Flush, PauseAudio, Reject, Transmit, TransmitAudio
from convsm.machine.events import (
    AgentAudio,
    AudioFailed,
    End,
    Interrupted,
    ResponseEnded,
    ResponseRefused,
    ResponseStarted,
    Send,
    SessionReady,
    SocketOpened,
    Start,
    ToolCalled,
    ToolCompleted,
    UserAudio,
    UserTranscript,
)
from convsm.turns.events import (
    CommitUserTurn,
    InterruptAgent,
    RequestAgentReply,
    SpeechStarted,
    StartUserTurn,
)
from convsm.turns.reports import UserInterruptionDetected, UserTurnCommitted
from convsm.turns.taking import TurnTaking
from tests.turns.stage import FLOOR, REPLY, SERVER, Stage, handling, near

PROTECTED = RequestAgentReply(FLOOR, allow_interruptions=False)
SOUND = bytes(range(1, 251)) * 64


@pytest.fixture(params=[True, False], ids=["one response at a time", "asked at once"])
def asks(request: Any) -> bool:
    """Whether the server says of its responses when they begin and end."""
    return bool(request.param)


def protecting(asks: bool, reply: float = 5.0, **settings: Any) -> Stage:
    """Return a stage on which a protected reply is asked for at 1.0 and heard from 1.5 on."""
    return Stage(handling(**settings), reply=reply, asks_replies=asks).at(1.0, PROTECTED)


def is_protected(stage: Stage) -> bool:
    return stage.taking.turn.is_agent_protected(InterruptAgent())


def forget(stage: Stage) -> bool:
    """Return whether nothing is kept about protected replies."""
    turn = stage.taking.turn
    return not turn.promises and turn.protected_through == 0 and "promise" not in stage.timers


# What is protected


def test_speech_and_words_leave_a_protected_reply_alone(asks):
    stage = protecting(asks).user(2.0, 3.0, "Stop it now").run(20)
    assert stage.sent(FLOOR) == near(1.0)
    assert stage.when(PauseAudio) == stage.when(Flush) == []
    assert stage.facts(UserInterruptionDetected) == []
    assert list(stage.agent_path())[-2:] == [("speaking", *near(1.5)), ("listening", *near(6.5))]


def test_protection_ends_with_the_reply(asks):
    stage = protecting(asks, reply=2.0).run(3.4)
    assert is_protected(stage)
    stage.agent(5.0, 5.0).user(6.0, 7.0).run(6.6)
    assert forget(stage)
    assert stage.when(PauseAudio) == near(6.5)


def test_i6_a_gentle_interruption_is_refused_and_i7_force_cuts(asks):
    stage = protecting(asks).run(2.0)
    [refusal] = stage.post(InterruptAgent())
    assert isinstance(refusal, Reject)
    assert "force" in refusal.reason
    stage.post(InterruptAgent(force=True))
    assert stage.when(Flush) == near(2.0)
    assert stage.taking.state == "interrupted"
    assert forget(stage)


def test_i1_interrupting_what_is_over_or_cut_is_no_error(asks):
    stage = protecting(asks).at(2.0, InterruptAgent(force=True)).run(2.1)
    assert stage.post(InterruptAgent()) == ()
    stage = protecting(asks, reply=1.0).run(4.0)
    assert stage.post(InterruptAgent()) == ()


def test_i8_the_server_is_told_once(asks):
    stage = protecting(asks).at(2.0, InterruptAgent(force=True), InterruptAgent(force=True)).run(3.0)
    assert len(stage.when(Flush)) == 1
    cuts = [one for _, one in stage.told if isinstance(one, Transmit) and one.message not in (FLOOR, REPLY)]
    assert len(cuts) == (0 if asks else 1)  # it was generated to its end, so there is nothing to cancel


def test_what_is_not_protected_may_be_interrupted(asks):
    stage = Stage(handling(), reply=5.0, asks_replies=asks).at(1.0, RequestAgentReply(FLOOR))
    stage.user(2.0, 3.0).run(2.6)
    assert stage.when(PauseAudio) == near(2.5)


def test_it_does_not_wait_for_a_user_who_speaks(asks):
    stage = protecting(asks).at(0.6, SpeechStarted(0.55)).run(3.0)
    assert stage.when(PauseAudio) == []
    assert list(stage.agent_path())[-1:] == [("speaking", *near(1.5))]


def test_a_user_who_speaks_all_the_while_may_interrupt_what_follows(asks):
    stage = protecting(asks, reply=1.0).at(1.8, SpeechStarted(1.75)).agent(2.6, 5.0, turn=9).run(2.7)
    # What follows is held back before its first sample; that it is meant was known by then.
    assert stage.when(PauseAudio) == near(2.6)
    assert stage.taking.turn.is_serious


def test_the_server_hears_silence_meanwhile(asks):
    stage = protecting(asks, reply=1.0)
    stage.at(2.0, UserAudio(SOUND)).at(3.0, UserAudio(SOUND)).run(4.0)
    heard = [one.audio for _, one in stage.told if isinstance(one, TransmitAudio)]
    assert heard == [bytes(len(SOUND)), SOUND]


def test_the_server_hears_silence_as_soon_as_it_says_that_the_reply_is_generated():
    stage = protecting(True).at(1.05, UserAudio(SOUND)).at(1.2, UserAudio(SOUND)).run(2.0)
    heard = [one.audio for _, one in stage.told if isinstance(one, TransmitAudio)]
    assert heard == [SOUND, bytes(len(SOUND))]


def test_no_turn_begins_by_hand_while_it_is_heard(asks):
    stage = protecting(asks, turn_detection="manual").run(2.0)
    [refusal] = stage.post(StartUserTurn())
    assert isinstance(refusal, Reject)
    assert stage.when(Flush) == []


# Which speech it is


def test_i2_i3_a_request_behind_unprotected_speech_protects_it_once_both_would_be_cut():
    stage = Stage(handling(), reply=3.0, asks_replies=True).at(0.5, RequestAgentReply(REPLY))
    # The first is generated at 1.0 and heard until 4.0; the second is asked for at 2.0.
    stage.at(2.0, PROTECTED).run(2.05)
    assert stage.taking.state == "agent_speaking"
    assert not is_protected(stage)
    stage.run(2.2)
    assert is_protected(stage)
    stage.run(6.9)
    assert is_protected(stage)
    stage.run(7.1)
    assert [stage.speaker.position] == near(6.0)
    assert forget(stage)


def test_it_waits_for_another_response_and_that_one_is_not_protected():
    stage = Stage(handling(), reply=None, asks_replies=True)
    stage.at(0.5, ResponseStarted(1)).agent(1.0, 1.0, turn=1).at(1.2, PROTECTED).run(1.5)
    assert stage.sent(FLOOR) == []
    assert not is_protected(stage)
    stage.at(1.6, ResponseEnded(1)).at(1.8, ResponseStarted(2)).agent(1.9, 1.0, turn=2).run(2.5)
    assert stage.sent(FLOOR) == near(1.6)
    assert is_protected(stage)


def test_an_interruption_of_what_it_waits_for_gives_it_up_with_that():
    stage = Stage(handling(), reply=None, asks_replies=True)
    stage.at(0.5, ResponseStarted(1)).agent(1.0, 5.0, turn=1).at(1.2, PROTECTED).at(2.0, InterruptAgent())
    stage.run(3.0)
    # The user's turn comes first; the reply to that is nobody's promise.
    assert stage.sent(FLOOR) == []
    assert forget(stage)


def test_a_response_of_the_servers_own_is_disowned_when_the_request_is_refused():
    stage = Stage(handling(), reply=None, asks_replies=True).at(1.0, PROTECTED)
    stage.at(1.1, ResponseStarted(1)).agent(1.3, 1.0, turn=1).run(1.4)
    assert is_protected(stage)
    stage.at(1.5, ResponseRefused(is_busy=True)).run(1.6)
    assert not is_protected(stage)
    # It is asked for again behind the other one.
    stage.at(1.8, ResponseEnded(1)).at(1.9, ResponseStarted(2)).agent(2.0, 1.0, turn=2).run(2.1)
    assert stage.sent(FLOOR) == near(1.0, 1.8)
    assert is_protected(stage)


def test_a_tool_that_runs_is_waited_for(asks):
    stage = Stage(handling(), reply=1.0, asks_replies=asks).at(0.5, ToolCalled("call_1", "weather"))
    stage.at(1.0, PROTECTED).at(3.0, ToolCompleted("call_1", "rain")).run(6.0)
    assert stage.sent(FLOOR) == near(3.0 if asks else 1.0)
    assert forget(stage)


def test_a_request_that_another_takes_the_place_of_protects_nothing():
    stage = Stage(handling(), reply=2.0, asks_replies=True).at(0.5, ToolCalled("call_1", "weather"))
    stage.at(1.0, PROTECTED).at(1.1, RequestAgentReply(REPLY)).at(2.0, ToolCompleted("call_1", "rain"))
    stage.run(2.7)
    assert (stage.sent(FLOOR), stage.sent(REPLY)) == ([], near(2.0))
    assert stage.taking.state == "agent_speaking"
    assert not is_protected(stage)


def test_two_requests_are_two_protected_replies(asks):
    stage = protecting(asks, reply=1.0).at(1.2, RequestAgentReply(REPLY, allow_interruptions=False)).run(1.6)
    assert is_protected(stage)
    stage.run(2.6)
    assert is_protected(stage)
    stage.run(9)
    assert forget(stage)
    assert [stage.speaker.position] == near(2.0)


def test_pieces_that_come_after_the_loudspeaker_ran_dry_are_protected_too(asks):
    stage = Stage(handling(), reply=None, asks_replies=asks).at(1.0, PROTECTED)
    if asks:
        stage.at(1.1, ResponseStarted(1))
    stage.agent(1.5, 0.5, turn=1).agent(2.5, 1.0, turn=1).user(1.6, 2.9).run(2.8)
    assert stage.when(PauseAudio) == []
    assert is_protected(stage)


def test_an_agent_that_is_asked_for_a_reply_thinks_until_it_is_heard_or_fails():
    stage = protecting(True, reply=1.0).run(9)
    assert [name for name, _ in stage.agent_path()] == ["thinking", "speaking", "listening"]
    assert [time for _, time in stage.agent_path()] == near(1.0, 1.5, 2.5)
    stage = Stage(handling(), reply=None, asks_replies=True).at(1.0, PROTECTED)
    stage.at(1.2, ResponseStarted(1)).at(1.4, ResponseEnded(1, "failed")).run(9)
    assert list(stage.agent_path()) == [("thinking", 1.0), ("listening", 1.4)]


# It never outlives its reply


@pytest.mark.parametrize(
    "events",
    [
        [ResponseRefused()],
        [ResponseStarted(1), ResponseEnded(1, "failed")],
        [ResponseStarted(1), ResponseRefused(), ResponseEnded(1)],
        [ResponseStarted(1), AgentAudio(SOUND, 1), Interrupted(1, 2)],
        [ResponseStarted(1), AgentAudio(SOUND, 1), ResponseEnded(1), Send("text", "turn")],
        [ResponseStarted(1), AgentAudio(SOUND, 1), ResponseEnded(1), AudioFailed("gone")],
        [InterruptAgent(force=True), ResponseStarted(1)],
        [End()],
    ],
)
def test_nothing_stays_protected_that_does_not_come_or_is_cut(events):
    stage = Stage(handling(), reply=None, asks_replies=True, needs_audio=False).at(1.0, PROTECTED)
    stage.at(1.5, *events).run(1.6)
    assert forget(stage)
    stage.agent(2.0, 5.0, turn=7).run(2.1)
    assert not is_protected(stage)


@pytest.mark.parametrize("events", [[ResponseRefused()], [End()], [InterruptAgent(force=True)], []])
def test_a_server_that_says_nothing_of_its_replies_is_not_waited_for_for_ever(events):
    stage = Stage(handling(), reply=None).at(1.0, PROTECTED).at(1.5, *events).run(16.1)
    assert forget(stage)
    stage.agent(17.0, 5.0).run(17.1)
    assert not is_protected(stage)


@pytest.mark.parametrize("opening", [[], [Start(), End()]])
def test_where_there_is_no_conversation_the_request_is_refused_and_nothing_is_kept(opening):
    taking = TurnTaking.of(SessionOptions(asks_replies=True), handling(), SERVER)
    for event in opening:
        taking.handle(event)
    with pytest.raises(RefusedCommand):
        taking.handle(PROTECTED)
    assert taking.turn.promises == []


def test_a_request_that_cannot_be_held_until_the_server_accepts_protects_nothing():
    taking = TurnTaking.of(SessionOptions(hold_limit=1), handling(), SERVER)
    for event in (Start(), SocketOpened(), Send("text")):
        taking.handle(event)
    [refusal] = taking.handle(PROTECTED)
    assert isinstance(refusal, Reject)
    assert taking.turn.promises == []


def test_a_request_before_the_server_accepts_is_kept_and_protected(asks):
    taking = TurnTaking.of(SessionOptions(asks_replies=asks), handling(), SERVER)
    for event in (Start(), SocketOpened(), PROTECTED, SessionReady("conversation_1")):
        taking.handle(event)
    assert ("promise" in taking.turn.timers) is not asks
    if asks:
        taking.handle(ResponseStarted(1))
    taking.handle(AgentAudio(SOUND, 1))
    assert taking.turn.is_agent_protected(InterruptAgent())


def test_the_timer_that_would_interrupt_is_not_even_armed(asks):
    stage = protecting(asks).at(2.0, SpeechStarted(1.95)).run(2.1)
    assert "interruption" not in stage.timers


def test_a_turn_that_was_held_before_is_committed_behind_it(asks):
    stage = protecting(asks, reply=3.0, turn_detection="manual").at(0.5, StartUserTurn())
    stage.at(2.0, CommitUserTurn(1)).at(2.1, UserTranscript("so")).run(2.5)
    assert stage.when(Flush) == []
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["so"]
    assert is_protected(stage)


def test_the_same_request_again_is_one_request():
    stage = Stage(handling(), reply=None, asks_replies=True).at(0.5, ToolCalled("call_1", "weather"))
    stage.at(1.0, PROTECTED, PROTECTED, PROTECTED).run(1.1)
    assert stage.taking.turn.promises == [FLOOR]


def test_replies_come_in_the_order_of_the_requests():
    stage = Stage(handling(), reply=None).at(0.5, PROTECTED, PROTECTED)
    stage.agent(1.0, 1.0, turn=1).agent(1.5, 1.0, turn=1).agent(4.0, 1.0, turn=2).agent(6.0, 1.0, turn=3)
    for time, expected in ((1.6, True), (4.5, True), (6.5, False)):
        assert is_protected(stage.run(time)) is expected
