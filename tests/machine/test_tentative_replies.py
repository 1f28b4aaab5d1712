"""Tentative interruptions where replies have to be asked for, and the server is told what was heard."""

from __future__ import annotations

import pytest

from convsm.machine import Session
from convsm.machine.effects import (
    CancelReply,
    Effect,
    Flush,
    ItemHeard,
    RequestReply,
    ResumeAudio,
    SetTimer,
    ToolResult,
    Transmit,
)
from convsm.machine.events import (
    AgentAudio,
    AnswerCall,
    AudioFailed,
    Event,
    Interrupt,
    Interrupted,
    InterruptionDismissed,
    InterruptionSuspected,
    Played,
    ResponseEnded,
    ResponseStarted,
    Send,
    ToolCalled,
    ToolCompleted,
)
from tests.helpers import drive, ready_session

ASK = RequestReply()


def piece(turn: int = 1, item: str = "item_1", size: int = 100) -> AgentAudio:
    return AgentAudio(bytes(size), turn, item=item)


def said(effects: tuple[Effect, ...] | list[Effect]) -> list[object]:
    return [effect.message for effect in effects if isinstance(effect, Transmit)]


def paused_session(*events: Event, **options: object) -> Session:
    """Return a session in interrupted, tentatively: a piece of response 1 is paused, which goes on."""
    session = ready_session(asks_replies=True, **options)  # type: ignore[arg-type]
    drive(session, ResponseStarted(1), piece(), InterruptionSuspected(), *events)
    assert session.state == "interrupted"
    return session


def settles(effects: tuple[Effect, ...]) -> bool:
    return any(isinstance(effect, SetTimer) and effect.name == "settle" for effect in effects)


def test_how_far_a_piece_was_heard_is_believed_during_a_pause_and_told():
    session = paused_session(Played(0, 40))
    assert session.beyond == 40
    assert said(session.handle(Interrupt())) == [CancelReply(), ItemHeard("item_1", 40)]


@pytest.mark.parametrize("event", [Interrupt(), Send("hello", "turn")])
def test_the_user_confirms_and_the_interruption_settles(event):
    session = paused_session()
    effects = session.handle(event)
    assert effects[:2] == (Flush(), ResumeAudio())
    assert session.state == "interrupted"
    assert settles(effects)


def test_a_turn_of_the_users_cuts_what_is_held_back():
    session = ready_session(asks_replies=True)
    drive(session, InterruptionSuspected(), ResponseStarted(1), piece())
    effects = session.handle(Send("hello", "turn"))
    assert effects[:2] == (Flush(), ResumeAudio())
    assert said(effects) == [CancelReply(), ItemHeard("item_1", 0), "hello"]
    assert (session.state, settles(effects)) == ("listening", False)


def test_a_later_turn_ends_the_paused_one_and_the_server_is_told_but_not_stopped():
    session = paused_session(Played(0, 40), ResponseEnded(1), ResponseStarted(2))
    effects = session.handle(piece(2, "item_2"))
    assert said(effects) == [ItemHeard("item_1", 40)]
    assert session.state == "agent_speaking"
    # What is cut next is the later one.
    assert said(session.handle(Interrupted(3, 3))) == [ItemHeard("item_2", 0)]


def test_a_paused_item_that_was_heard_to_its_end_is_not_told():
    session = ready_session(asks_replies=True)
    drive(session, ResponseStarted(1), piece(), piece(item="item_2"), InterruptionSuspected(), Played(1))
    drive(session, ResponseEnded(1), ResponseStarted(2))
    assert said(session.handle(piece(2, "item_3"))) == [ItemHeard("item_2", 0)]


def test_of_what_found_no_room_the_server_hears_too():
    session = paused_session(pause_limit=50)
    effects = session.handle(piece(item="item_2"))
    assert said(effects) == [CancelReply(), ItemHeard("item_1", 0), ItemHeard("item_2", 0)]
    assert settles(effects)
    assert said(session.handle(piece(item="item_2"))) == []


@pytest.mark.parametrize("answer", [ToolCompleted("call_1", "42"), AnswerCall("call_1", "42")])
def test_a_result_goes_out_at_once_and_its_reply_is_asked_for_once_the_agent_goes_on(answer):
    session = paused_session(ToolCalled("call_1", "look", {}, True), ResponseEnded(1))
    assert said(session.handle(answer)) == [ToolResult("call_1", "42", False, None)]
    assert said(session.handle(InterruptionDismissed())) == [ASK]


@pytest.mark.parametrize("end", [Played(1), AudioFailed("unplugged"), InterruptionDismissed()])
@pytest.mark.parametrize("first", [(), (InterruptionSuspected(),)])
def test_nothing_is_asked_for_until_it_is_decided(first, end):
    session = ready_session(asks_replies=True, needs_audio=False)
    drive(session, *first, ResponseStarted(1), piece(), InterruptionSuspected(), ResponseEnded(1))
    assert said(session.handle(Send(ASK, "request"))) == []
    assert said(session.handle(end)) == [ASK]


def test_a_confirmed_interruption_makes_the_reply_unwanted():
    session = paused_session(ResponseEnded(1), Send(ASK, "request"))
    assert said(session.handle(Interrupted(2, 2))) == [ItemHeard("item_1", 0)]
    assert session.wanted is None


def test_a_reply_that_is_wanted_outlives_a_later_turn():
    session = paused_session(ToolCalled("call_1", "look", {}, True), ResponseEnded(1), ResponseStarted(2))
    drive(session, ToolCompleted("call_1", "42"), piece(2, "item_2"))
    assert said(session.handle(ResponseEnded(2))) == [ASK]
