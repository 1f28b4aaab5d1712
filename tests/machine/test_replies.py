"""Servers that reply only when asked, that are told what was heard, and that end a session by saying so."""

from __future__ import annotations

import pytest

from convsm.machine import Session
from convsm.machine.effects import (
    CancelReply,
    CloseSocket,
    Effect,
    Flush,
    ItemHeard,
    RequestReply,
    SetTimer,
    ToolResult,
    Transmit,
)
from convsm.machine.events import (
    AgentAudio,
    AgentHungUp,
    AudioFailed,
    End,
    Event,
    Interrupted,
    Played,
    ResponseEnded,
    ResponseRefused,
    ResponseStarted,
    Send,
    SessionFailed,
    SessionReady,
    SocketClosed,
    TimerFired,
    ToolCalled,
    ToolCompleted,
)
from tests.helpers import LIVE, OPEN, connecting_session, drive, finish, ready_session, session_in

ASK = RequestReply()


def said(effects: tuple[Effect, ...] | list[Effect]) -> list[object]:
    """Return the messages that effects send."""
    return [effect.message for effect in effects if isinstance(effect, Transmit)]


def told(session: Session, *events: Event) -> list[object]:
    """Return what a session says to events."""
    return said(drive(session, *events))


def asking_session(*events: Event, **options: bool) -> Session:
    """Return a session that listens and has to ask for replies."""
    session = ready_session(asks_replies=True, **options)
    drive(session, *events)
    return session


def piece(number: int, item: str = "item_1", turn: int = 1) -> AgentAudio:
    return AgentAudio(bytes([number]) * 100, turn, item=item)


# Asking


def test_a_message_that_needs_a_reply_is_followed_by_the_request():
    assert told(asking_session(), Send("hello", "turn")) == ["hello", ASK]


def test_other_messages_ask_for_nothing():
    assert told(asking_session(), Send("news")) == ["news"]
    assert told(ready_session(), Send("hello", "turn"), Send(ASK, "request")) == ["hello", ASK]


def test_a_request_waits_for_the_response_that_is_generated():
    session, brief = asking_session(ResponseStarted(1)), RequestReply("Be brief.")
    assert told(session, Send(brief, "request")) == []
    assert told(session, ResponseEnded(1)) == [brief]
    assert told(session, Send(ASK, "request")) == []
    assert told(session, ResponseStarted(2), ResponseEnded(2)) == [ASK]
    assert told(session, ResponseStarted(3), ResponseEnded(3)) == []


def test_the_reply_to_a_tool_waits_for_all_results_and_for_the_response_that_called_it():
    session = asking_session(ResponseStarted(1), ToolCalled("a", "tool"), ToolCalled("b", "tool"))
    assert told(session, ToolCompleted("a", "1")) == [ToolResult("a", "1")]
    assert told(session, ResponseEnded(1)) == []
    assert told(session, ToolCompleted("b", "2")) == [ToolResult("b", "2"), ASK]
    session = asking_session(ResponseStarted(1), ToolCalled("a", "tool"))
    assert told(session, ToolCompleted("a", "1")) == [ToolResult("a", "1")]
    assert told(session, ResponseEnded(1)) == [ASK]


def test_a_call_that_expects_no_response_asks_for_none():
    session = asking_session(ToolCalled("a", "tool", {}, expects_response=False))
    assert told(session, ToolCompleted("a", "1")) == []


def test_a_result_after_an_interruption_goes_out_and_asks_for_nothing():
    session = asking_session(ResponseStarted(1), piece(1), ToolCalled("a", "tool"), Interrupted(1, 2))
    assert session.state == "interrupted"
    assert told(session, ToolCompleted("a", "1")) == [ToolResult("a", "1")]
    assert told(session, ResponseEnded(1, "cancelled")) == []


def test_a_reply_that_waits_is_forgotten_when_the_user_takes_the_floor():
    session = asking_session(ResponseStarted(1), ToolCalled("a", "tool"), ToolCompleted("a", "1"))
    assert told(session, Interrupted(1, 2), ResponseEnded(1, "cancelled")) == []


def test_messages_held_until_the_acceptance_go_first_and_ask_once():
    session = connecting_session(asks_replies=True)
    assert told(session, Send("one", "turn"), Send("two", "turn"), Send(RequestReply("x"), "request")) == []
    assert told(session, SessionReady("conversation_1")) == ["one", "two", RequestReply("x")]


def test_what_was_refused_because_another_response_runs_is_asked_for_behind_it():
    session = asking_session(Send(ASK, "request"), ResponseStarted(1))
    assert told(session, ResponseRefused(is_busy=True)) == []
    assert told(session, ResponseEnded(1)) == [ASK]


@pytest.mark.parametrize("is_busy", [True, False])
def test_what_was_refused_for_good_is_not_asked_for_again(is_busy):
    session = asking_session(Send(ASK, "request"))
    assert told(session, ResponseRefused(is_busy)) == []
    assert told(session, Send(ASK, "request")) == [ASK]


# Interrupting


def test_the_server_is_told_to_stop_unless_it_does():
    session = asking_session(ResponseStarted(1), piece(1))
    effects = drive(session, Interrupted(1, 2, is_cancelled=False))
    assert [type(effect) for effect in effects][:2] == [type(effects[0]), Flush]
    assert said(effects) == [CancelReply(), ItemHeard("item_1", 0)]
    assert told(session, Interrupted(1, 2, is_cancelled=False)) == []
    session = asking_session(ResponseStarted(1), piece(1))
    assert told(session, Interrupted(1, 2)) == [ItemHeard("item_1", 0)]


def test_of_what_was_cut_the_server_hears_to_the_byte_how_much_was_heard():
    session = asking_session(ResponseStarted(1), piece(1), piece(2), piece(3), Played(1), Played(1, 40))
    assert told(session, Interrupted(1, 2)) == [ItemHeard("item_1", 140)]
    assert told(session, piece(4), Interrupted(1, 2)) == []


def test_what_was_heard_to_its_end_is_not_reported_and_what_waits_behind_is():
    session = asking_session(ResponseStarted(1), piece(1), ResponseEnded(1))
    drive(session, ResponseStarted(2), piece(2, "item_2", 2), ResponseEnded(2), Played(1))
    assert told(session, Interrupted(2, 3)) == [ItemHeard("item_2", 0)]
    session = asking_session(ResponseStarted(1), piece(1), ResponseEnded(1), Played(1))
    assert told(session, Interrupted(1, 2)) == []


def test_of_an_item_that_begins_after_the_cut_nothing_is_heard():
    session = asking_session(ResponseStarted(1), Interrupted(1, 2))
    assert told(session, piece(1), piece(2)) == [ItemHeard("item_1", 0)]
    assert session.state == "listening"


def test_audio_without_an_item_is_never_reported():
    session = ready_session()
    assert told(session, AgentAudio(b"ab", 1), Interrupted(1, 2), AgentAudio(b"ab", 1)) == []


def test_a_message_of_the_users_cuts_the_agent_off_where_the_server_does_not():
    session = asking_session(ResponseStarted(1), piece(1), piece(2), Played(0, 30))
    effects = drive(session, Send("wait!", "turn"))
    assert said(effects) == [CancelReply(), ItemHeard("item_1", 30), "wait!"]
    assert (session.state, session.fresh_from) == ("interrupted", 2)
    assert told(session, ResponseEnded(1, "cancelled")) == [ASK]
    drive(session, ResponseStarted(2), piece(3, "item_2", 2))
    assert session.state == "agent_speaking"


def test_a_message_voids_a_reply_that_is_not_audible_yet():
    session = asking_session(ResponseStarted(1))
    assert told(session, Send("wait!", "turn")) == [CancelReply(), "wait!"]
    assert told(session, piece(1)) == [ItemHeard("item_1", 0)]


def test_speech_that_the_device_lost_is_reported_as_not_heard():
    session = asking_session(ResponseStarted(1), piece(1), piece(2), Played(1), needs_audio=False)
    assert told(session, AudioFailed("gone"), Interrupted(1, 2)) == [ItemHeard("item_1", 100)]


def test_a_finer_report_is_noted_once_and_only_for_what_plays():
    session = asking_session(piece(1), piece(2), Played(1, 10))
    assert session.beyond == 10
    drive(session, Played(1, 60), Played(1, 30))
    assert (session.state, session.heard, session.beyond) == ("agent_speaking", 1, 60)
    drive(session, Played(2, 5))
    assert (session.state, session.beyond) == ("listening", 0)
    drive(session, Played(2, 50))
    assert session.beyond == 0


# The server ends the session


def test_a_session_that_the_server_refuses_ends_with_what_it_said():
    session = connecting_session()
    effects = drive(session, SessionFailed("no such model"))
    assert CloseSocket() in effects
    end = finish(session)
    assert (end.reason, end.was_ready) == ("error", False)
    assert end.message == "the server refused the session: no such model"


@pytest.mark.parametrize("state", OPEN)
def test_the_server_says_that_it_is_about_to_close_and_does(state):
    session = session_in(state)
    assert SetTimer("hang_up", 5.0, session.last_token + 1) in session.handle(SessionFailed("expired"))
    assert session.state == state
    session.handle(SocketClosed(1001, "going away"))
    end = finish(session)
    assert (end.reason, end.close_code, end.message) == (
        "error",
        1001,
        "the server ended the session: expired",
    )


def test_a_server_that_forgets_to_close_is_left_after_a_while():
    session = asking_session(SessionFailed("expired"), SessionFailed("expired again"))
    session.handle(TimerFired("hang_up", session.timers["hang_up"]))
    assert session.state == "closing"
    assert finish(session).message == "the server ended the session: expired"


def test_what_ended_the_session_first_stands():
    session = asking_session(AgentHungUp(), SessionFailed("expired"), SocketClosed(1000))
    assert finish(session).reason == "agent"
    session = asking_session(SessionFailed("expired"), AgentHungUp(), End())
    assert finish(session).reason == "error"
    again = (SessionFailed("expired"), AgentHungUp(), SessionFailed("expired again"), SocketClosed(1000))
    assert finish(asking_session(*again)).reason == "error"


@pytest.mark.parametrize("state", LIVE)
@pytest.mark.parametrize(
    "event",
    [ResponseStarted(1), ResponseEnded(1), ResponseRefused(), ResponseRefused(is_busy=True)],
)
def test_responses_move_no_state(state, event):
    session = session_in(state)
    session.handle(event)
    assert session.state == state
