"""Session.handle: taken, ignored, refused; the same events always give the same effects."""

from __future__ import annotations

import attrs
import pytest

from convsm.machine import ConvsmError, RefusedCommand, Session, SessionOptions
from convsm.machine.effects import SetTimer, StateChanged, Unexpected
from convsm.machine.events import (
    AgentAudio,
    AgentHungUp,
    End,
    Event,
    Interrupted,
    Played,
    Send,
    SocketOpened,
    Start,
    TextPart,
)
from tests.helpers import AUDIO, READY, assert_refused, assert_step, drive, ready_session


def test_a_new_session_is_idle_and_holds_nothing():
    session = Session()
    assert attrs.asdict(session, filter=lambda field, _: field.eq and field.name != "options") == {
        "state": "idle",
        "conversation_id": None,
        "output_format": "pcm_16000",
        "input_format": "pcm_16000",
        "socket": "none",
        "audio": "none",
        "fresh_from": None,
        "spoken_turn": None,
        "handed": 0,
        "heard": 0,
        "is_paused": False,
        "paused_bytes": 0,
        "beyond": 0,
        "unheard": [],
        "heard_bytes": {},
        "latest_item": None,
        "generated_turn": None,
        "generation": "none",
        "is_stopping": False,
        "asked": None,
        "wanted": None,
        "response_open": False,
        "response_turn": None,
        "calls": {},
        "seen_calls": set(),
        "approvals": set(),
        "seen_approvals": set(),
        "held": [],
        "timers": {},
        "last_token": 0,
        "has_hung_up": False,
        "failure": None,
        "ending": None,
    }


def test_the_defaults_are_those_that_users_are_told():
    assert attrs.asdict(SessionOptions()) == {
        "text_only": False,
        "needs_audio": True,
        "can_pause": True,
        "asks_replies": False,
        "ready_seconds": 20.0,
        "settle_seconds": 2.0,
        "hang_up_seconds": 5.0,
        "close_seconds": 0.9,
        "drain_seconds": 10.0,
        "hold_limit": 64,
        "approval_limit": 64,
        "pause_limit": 16 * 1024 * 1024,
    }


def test_sessions_share_nothing():
    one, other = Session(), Session()
    drive(one, Start(), Send("held"))
    assert other == Session()


def test_a_change_of_state_is_told_first_with_the_events_name_and_time():
    session = ready_session()
    assert session.handle(AgentAudio(AUDIO, 1, at=3.25))[0] == StateChanged(
        "listening", "agent_speaking", "AgentAudio", 3.25
    )


def test_an_event_without_a_row_is_unexpected_and_changes_nothing():
    assert_step(ready_session(), SocketOpened(), Unexpected("SocketOpened", "listening"))


def test_a_command_without_a_row_raises_and_changes_nothing():
    assert_refused(Session(), Send("text"))


def test_a_refusal_tells_command_state_and_what_is_accepted():
    with pytest.raises(RefusedCommand) as refusal:
        Session().handle(Send("text"))
    error = refusal.value
    assert (error.command, error.state, error.accepts) == ("Send", "idle", ("Start", "End"))
    assert str(error) == "Send is not possible in state 'idle' (accepted here: Start, End)"
    assert isinstance(error, RuntimeError)
    assert isinstance(error, ConvsmError)


def test_a_refusal_can_give_another_reason_and_accept_nothing():
    assert str(RefusedCommand("Send", "idle", reason="no")) == "no (accepted here: nothing)"


@pytest.mark.parametrize(
    ("events", "accepts"),
    [
        ((), ("Start", "End")),
        ((Start(),), ("Send", "Interrupt", "AnswerCall", "DecideApproval", "End")),
        ((Start(), End()), ("Interrupt", "End")),
    ],
)
def test_a_session_says_which_commands_it_accepts(events, accepts):
    session = Session()
    drive(session, *events)
    assert session.accepts() == accepts


class Surprise(Event):
    """An event that is not of the alphabet."""


@pytest.mark.parametrize("event", [Event(), Surprise()])
def test_what_is_not_of_the_alphabet_is_a_mistake_of_the_caller(event):
    session = Session()
    with pytest.raises(TypeError, match=f"{type(event).__name__} is not an event of the session"):
        session.handle(event)
    assert session == Session()


def test_the_same_events_give_the_same_effects():
    events = (Start(), SocketOpened(), READY, AgentAudio(AUDIO, 1), Played(1), End())
    assert drive(Session(), *events) == drive(Session(), *events)


def test_the_options_are_the_sessions_times():
    session = Session(
        SessionOptions(True, ready_seconds=1, settle_seconds=2, hang_up_seconds=3, close_seconds=4)
    )
    told = drive(
        session, Start(), SocketOpened(), READY, TextPart("start"), Interrupted(1, 1), AgentHungUp(), End()
    )
    assert [(effect.name, effect.seconds) for effect in told if isinstance(effect, SetTimer)] == [
        ("ready", 1),
        ("settle", 2),
        ("hang_up", 3),
        ("close", 4),
    ]
