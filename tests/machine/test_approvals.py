"""Approvals: each is asked about once, answered at most once, and holds nobody up."""

from __future__ import annotations

import pytest

from convsm.machine.effects import (
    Approval,
    AskApproval,
    CancelTimer,
    CloseSocket,
    Diagnose,
    Flush,
    Reject,
    SetTimer,
    StopAudio,
    Transmit,
    WithdrawApproval,
)
from convsm.machine.events import (
    ApprovalAsked,
    ApprovalDecided,
    ApprovalWithdrawn,
    DecideApproval,
    End,
    SocketClosed,
    TimerFired,
)
from tests.helpers import (
    LIVE,
    assert_effects,
    assert_refused,
    assert_step,
    drive,
    finish,
    moved,
    ready_session,
    session_in,
)

ASKED = ApprovalAsked("call_9", "a request", 30.0)
TIMER = "approval call_9"
in_every_live_state = pytest.mark.parametrize("state", LIVE)


def asked_session(state="listening"):
    session = session_in(state)
    drive(session, ASKED)
    return session


@in_every_live_state
def test_a_request_is_asked_about_and_limited_and_moves_nothing(state):
    session = session_in(state)
    token = session.last_token + 1
    assert_step(
        session,
        ASKED,
        AskApproval("call_9", "a request"),
        SetTimer(TIMER, 30.0, token),
        approvals={"call_9"},
        seen_approvals={"call_9"},
        timers={**session.timers, TIMER: token},
        last_token=token,
    )


@in_every_live_state
@pytest.mark.parametrize("is_approved", [True, False])
def test_a_decision_goes_out_once(state, is_approved):
    session = asked_session(state)
    timers = {name: token for name, token in session.timers.items() if name != TIMER}
    assert_step(
        session,
        ApprovalDecided("call_9", is_approved),
        CancelTimer(TIMER),
        Transmit(Approval("call_9", is_approved)),
        approvals=set(),
        timers=timers,
    )
    assert_step(session, ApprovalDecided("call_9", not is_approved))


@in_every_live_state
def test_a_decision_by_hand_goes_out_and_ends_the_handlers_question(state):
    session = asked_session(state)
    assert_effects(
        session,
        DecideApproval("call_9", True),
        CancelTimer(TIMER),
        Transmit(Approval("call_9", True)),
        WithdrawApproval("call_9"),
    )
    assert_step(session, ApprovalDecided("call_9", False))
    text = "the call 'call_9' does not await approval"
    assert_step(session, DecideApproval("call_9", True), Reject(text))


@in_every_live_state
def test_a_request_that_the_server_withdrew_is_not_answered(state):
    session = asked_session(state)
    assert_effects(session, ApprovalWithdrawn("call_9"), CancelTimer(TIMER), WithdrawApproval("call_9"))
    assert_step(session, ApprovalDecided("call_9", True))
    assert_step(session, ApprovalWithdrawn("call_9"))
    assert session.handle(DecideApproval("call_9", True)) == (
        Reject("the call 'call_9' does not await approval"),
    )


@in_every_live_state
def test_a_request_whose_time_is_over_is_not_answered(state):
    session = asked_session(state)
    assert_effects(
        session,
        TimerFired(TIMER, session.timers[TIMER]),
        WithdrawApproval("call_9"),
        Diagnose("the call 'call_9' was not approved in time"),
    )
    assert session.approvals == set()
    assert_step(session, ApprovalDecided("call_9", True))


@pytest.mark.parametrize(
    "former", [ApprovalDecided("call_9", True), ApprovalWithdrawn("call_9"), ApprovalWithdrawn("call_1")]
)
def test_what_was_asked_about_is_not_asked_about_again(former):
    session = asked_session()
    drive(session, former)
    assert_step(session, ASKED)


def test_a_call_that_went_on_before_anybody_was_asked_can_still_be_asked_about():
    session = ready_session()
    assert_step(session, ApprovalWithdrawn("call_9"))
    assert AskApproval("call_9", "a request") in session.handle(ASKED)


def test_a_timer_of_another_request_or_of_no_request_ends_none():
    session = asked_session()
    for name in ("approval ", "approval call_1", "call_9"):
        assert_step(session, TimerFired(name, session.timers[TIMER]))
    assert_step(session, TimerFired(TIMER, session.timers[TIMER] - 1))


def test_more_requests_than_the_limit_are_not_asked_about_until_there_is_room():
    session = ready_session(approval_limit=1)
    drive(session, ASKED)
    other = ApprovalAsked("call_8", "another")
    assert_step(session, other, Diagnose("1 calls already await approval; one more is ignored"))
    drive(session, ApprovalDecided("call_9", True))
    assert AskApproval("call_8", "another") in session.handle(other)


def test_open_requests_are_withdrawn_at_closing_and_not_answered():
    session = asked_session()
    drive(session, ApprovalAsked("call_8", "another"))
    assert_effects(
        session,
        End(),
        moved("listening", "closing", "End"),
        Flush(),
        WithdrawApproval("call_8"),
        CancelTimer("approval call_8"),
        WithdrawApproval("call_9"),
        CancelTimer(TIMER),
        CloseSocket(),
        StopAudio(),
        SetTimer("close", 0.9, 4),
    )
    for late in (
        ApprovalDecided("call_9", True),
        ApprovalWithdrawn("call_9"),
        ApprovalAsked("call_7", "late"),
    ):
        assert_step(session, late)
    assert_refused(session, DecideApproval("call_9", True))
    finish(session)
    assert_step(session, ApprovalDecided("call_9", True))
    assert_refused(session, DecideApproval("call_9", True))


def test_open_requests_are_withdrawn_when_the_server_closes():
    assert WithdrawApproval("call_9") in asked_session().handle(SocketClosed(1000))
