"""The invariants of servers that are asked for replies find what they are there to find."""

from __future__ import annotations

import pytest

from convsm.machine import effects, events
from convsm.machine.effects import ItemHeard, RequestReply, Transmit
from convsm.testing.invariants import CutSpeechIsReported, RepliesAreAskedForOnce, check_all
from tests.testing.recorded_steps import CALL, START, fails, spoil, steps, with_, without

ASK = Transmit(RequestReply())
TURN = events.Send("hello", "turn")


def piece(turn: int = 1, item: str = "item_1") -> events.AgentAudio:
    return events.AgentAudio(bytes(10), turn, item=item)


# 12


@pytest.mark.parametrize("event", [events.ResponseStarted(1), TURN])
def test_a_second_request_is_found(event):
    taken = steps(*START, event, events.Informed("news"), asks_replies=True)
    fails(RepliesAreAskedForOnce, taken, with_(taken[-1], ASK), "another one was not over")


def test_a_request_while_a_tool_runs_is_found():
    taken = steps(*START, CALL, events.Informed("news"), asks_replies=True)
    fails(RepliesAreAskedForOnce, taken, with_(taken[-1], ASK), "a tool's result was awaited")


def test_a_request_while_an_interruption_is_undecided_is_found():
    taken = steps(*START, piece(), events.InterruptionSuspected(), events.Informed("news"), asks_replies=True)
    fails(RepliesAreAskedForOnce, taken, with_(taken[-1], ASK), "it would end a turn that may be resumed")


@pytest.mark.parametrize(
    "end", [events.ResponseEnded(1), events.ResponseRefused(), events.ResponseRefused(is_busy=True)]
)
def test_a_request_after_another_is_over_is_none_too_many(end):
    check_all(steps(*START, TURN, end, TURN, asks_replies=True))


def test_who_replies_by_itself_may_be_sent_whatever_the_user_likes():
    check_all(steps(*START, events.ResponseStarted(1), events.Send(RequestReply(), "request")))


# 13


def test_a_cut_that_is_not_told_or_told_wrongly_is_found():
    taken = steps(*START, piece(), piece(), events.Played(1, 4), events.Interrupted(1, 2))
    right = Transmit(ItemHeard("item_1", 14))
    assert right in taken[-1].effects
    detail = "[('item_1', 14)] was to be told"
    fails(CutSpeechIsReported, taken, without(taken[-1], Transmit), detail)
    fails(CutSpeechIsReported, taken, with_(taken[-1], right), detail)
    for wrong in (ItemHeard("item_1", 15), ItemHeard("item_2", 14)):
        fails(CutSpeechIsReported, taken, with_(without(taken[-1], Transmit), Transmit(wrong)), detail)


def test_a_report_without_a_cut_is_found():
    taken = steps(*START, piece())
    fails(CutSpeechIsReported, taken, with_(taken[-1], Transmit(ItemHeard("item_1", 0))), "[] was to be told")


def test_an_item_that_comes_too_late_and_is_not_withdrawn_is_found():
    taken = steps(*START, events.Interrupted(1, 2), piece())
    spoilt = spoil(taken[-1])
    fails(CutSpeechIsReported, taken, spoilt, "[('item_1', 0)] was to be told")
    assert taken[-1].effects == (Transmit(ItemHeard("item_1", 0)),)


def test_a_paused_turn_that_gives_way_and_is_not_told_is_found():
    taken = steps(*START, piece(), events.InterruptionSuspected(), piece(2, "item_2"), asks_replies=True)
    assert Transmit(ItemHeard("item_1", 0)) in taken[-1].effects
    fails(CutSpeechIsReported, taken, without(taken[-1], Transmit), "[('item_1', 0)] was to be told")


def test_a_turn_of_the_users_cuts_where_replies_are_asked_for():
    taken = steps(*START, piece(), TURN, asks_replies=True)
    assert effects.Flush() in taken[-1].effects
    fails(CutSpeechIsReported, taken, without(taken[-1], Transmit), "[('item_1', 0)] was to be told")
    check_all(steps(*START, piece(), TURN))
