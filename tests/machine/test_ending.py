"""Every way a conversation ends: who ended it, what is closed, and what is heard to its end."""

from __future__ import annotations

import pytest

from convsm.machine import Session
from convsm.machine.effects import (
    AnnounceEnd,
    CancelTimer,
    CancelTool,
    CloseSocket,
    Flush,
    SetTimer,
    StopAudio,
)
from convsm.machine.events import (
    AgentAudio,
    AgentHungUp,
    AudioFailed,
    AudioStarted,
    AudioStopped,
    ConnectionFailed,
    End,
    Interrupted,
    Played,
    SocketClosed,
    SocketOpened,
    Start,
    TimerFired,
    ToolCalled,
)
from tests.helpers import (
    AUDIO,
    LIVE,
    OPEN,
    READY,
    assert_effects,
    assert_step,
    connecting_session,
    drive,
    finish,
    moved,
    ready_session,
    session_in,
    speaking_session,
)


def announced(session: Session) -> AnnounceEnd:
    """Return the end that a closing session is going to announce."""
    assert session.ending is not None
    return session.ending


# Who ended it

USER = AnnounceEnd("user", "the user ended the conversation", was_ready=True)
AUDIO_FAULT = AnnounceEnd("error", "audio failed: unplugged", was_ready=True)


def closed(reason: str, code: int, text: str = "the connection was closed") -> AnnounceEnd:
    return AnnounceEnd(reason, f"{text} (close code {code})", code, "why", was_ready=True)


GOODBYE = "the agent ended the conversation"

CAUSES = [
    (End(), USER),
    (SocketClosed(1000, "why"), closed("agent", 1000, GOODBYE)),
    (SocketClosed(1001, "why"), closed("agent", 1001, GOODBYE)),
    *((SocketClosed(code, "why"), closed("error", code)) for code in (1002, 1006, 1008, 1009, 1011, 4000)),
    (AudioFailed("unplugged"), AUDIO_FAULT),
]


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize(("cause", "end"), CAUSES, ids=[repr(cause) for cause, _ in CAUSES])
def test_who_ended_it_in_every_open_state(state, cause, end):
    session = session_in(state)
    drive(session, cause)
    assert (session.state, session.ending) == ("closing", end)
    assert finish(session) == end


EARLY_CAUSES = [
    (End(), AnnounceEnd("user", "the user ended the conversation")),
    (SocketClosed(1000, "x"), AnnounceEnd("error", "the connection was closed (close code 1000)", 1000, "x")),
    (SocketClosed(1008, ""), AnnounceEnd("error", "the connection was closed (close code 1008)", 1008, "")),
    (ConnectionFailed("refused"), AnnounceEnd("error", "refused")),
    (ConnectionFailed("forbidden", 403), AnnounceEnd("error", "forbidden", status=403)),
    (TimerFired("ready", 1), AnnounceEnd("error", "the server did not accept the session within 20 s")),
]


@pytest.mark.parametrize(("cause", "end"), EARLY_CAUSES, ids=[repr(cause) for cause, _ in EARLY_CAUSES])
def test_who_ended_it_before_the_acceptance(cause, end):
    session = connecting_session()
    drive(session, cause)
    assert (session.state, session.ending) == ("closing", end)
    assert finish(session) == end


@pytest.mark.parametrize(("cause", "end"), EARLY_CAUSES, ids=[repr(cause) for cause, _ in EARLY_CAUSES])
def test_a_hang_up_before_the_acceptance_takes_the_blame_from_nobody(cause, end):
    session = connecting_session()
    drive(session, AgentHungUp(), cause)
    assert finish(session) == end


@pytest.mark.parametrize("state", sorted(set(LIVE) - {"connecting"}))
def test_after_its_hang_up_tool_the_agent_ended_it_whatever_came_then(state):
    session = session_in(state)
    drive(session, AgentHungUp(), SocketClosed(1006, "gone"))
    end = finish(session)
    assert (end.reason, end.close_code, end.close_reason) == ("agent", 1006, "gone")


@pytest.mark.parametrize("first", [End(), SocketClosed(1006, "gone"), AudioFailed("unplugged")])
@pytest.mark.parametrize(
    "later", [End(), SocketClosed(1000, "bye"), ConnectionFailed("late"), AudioFailed("late"), AgentHungUp()]
)
def test_the_first_cause_stands(first, later):
    session = speaking_session()
    drive(session, first)
    end = session.ending
    drive(session, later)
    assert session.ending is end
    if session.state != "idle":
        assert finish(session) == end


# End


@pytest.mark.parametrize("state", OPEN)
def test_end_silences_closes_and_limits_the_wait(state):
    session = session_in(state)
    told = session.handle(End())
    expected = [
        moved(state, "closing", "End"),
        Flush(),
        CloseSocket(),
        StopAudio(),
        SetTimer("close", 0.9, session.last_token),
    ]
    assert [effect for effect in told if effect in expected] == expected
    assert (session.socket, session.audio, session.heard) == ("closing", "stopping", session.handed)
    assert session.timers == {"close": session.last_token}


def test_end_while_the_socket_opens_gives_the_attempt_up():
    session = Session()
    drive(session, Start())
    assert_step(
        session,
        End(),
        moved("connecting", "closing", "End"),
        CloseSocket(),
        SetTimer("close", 0.9, 2),
        CancelTimer("ready"),
        state="closing",
        socket="closing",
        ending=AnnounceEnd("user", "the user ended the conversation"),
        timers={"close": 2},
        last_token=2,
    )
    assert_step(session, SocketOpened())
    drive(session, SocketClosed(1006))
    assert session.state == "idle"


def test_the_attempt_that_was_given_up_ends_with_its_failure():
    session = Session()
    drive(session, Start(), End())
    end = announced(session)
    assert_step(
        session,
        ConnectionFailed("cancelled"),
        moved("closing", "idle", "ConnectionFailed"),
        CancelTimer("close"),
        end,
        state="idle",
        socket="closed",
        timers={},
    )


def test_end_in_idle_and_in_closing_changes_nothing():
    session = ready_session()
    drive(session, End())
    assert_step(session, End())
    finish(session)
    assert_step(session, End())
    assert_step(Session(), End())


def test_a_session_that_never_began_speaking_ends_when_both_have_answered_in_either_order():
    for answers in ((AudioStopped(), SocketClosed(1000)), (SocketClosed(1000), AudioStopped())):
        session = ready_session()
        drive(session, End())
        assert_effects(session, answers[0])
        assert_effects(
            session,
            answers[1],
            moved("closing", "idle", type(answers[1]).__name__),
            CancelTimer("close"),
            USER,
        )
        assert (session.state, session.socket, session.audio, session.timers) == (
            "idle",
            "closed",
            "stopped",
            {},
        )


@pytest.mark.parametrize("cause", [SocketClosed(1000), ConnectionFailed("refused")], ids=["closed", "failed"])
def test_an_end_with_nothing_left_to_do_passes_through_closing(cause):
    session = connecting_session()
    drive(session, cause)
    assert (session.state, session.timers) == ("closing", {"close": 2})
    assert_step(
        session,
        TimerFired("close", 2),
        moved("closing", "idle", "TimerFired"),
        announced(session),
        state="idle",
        timers={},
    )


def test_a_timer_of_no_delay_stands_for_nothing_left_to_do():
    session = ready_session(text_only=True)
    assert session.handle(SocketClosed(1000))[-1] == SetTimer("close", 0.0, 2)


# The farewell


def test_the_farewell_is_heard_to_its_end_after_the_server_closed():
    session = speaking_session()
    drive(session, AgentAudio(AUDIO, 1))
    end = closed("agent", 1000, GOODBYE)
    assert_step(
        session,
        SocketClosed(1000, "why"),
        moved("agent_speaking", "closing", "SocketClosed"),
        SetTimer("drain", 10.0, 2),
        state="closing",
        socket="closed",
        ending=end,
        timers={"drain": 2},
        last_token=2,
    )
    assert_step(session, Played(1), heard=1)
    assert_step(
        session,
        Played(2),
        CancelTimer("drain"),
        StopAudio(),
        SetTimer("close", 0.9, 3),
        heard=2,
        audio="stopping",
        timers={"close": 3},
        last_token=3,
    )
    assert_effects(
        session, AudioStopped(), moved("closing", "idle", "AudioStopped"), CancelTimer("close"), end
    )


def draining_session() -> Session:
    session = speaking_session()
    drive(session, SocketClosed(1000))
    return session


@pytest.mark.parametrize(("event", "cancelled"), [(End(), True), (TimerFired("drain", 2), False)])
def test_the_user_or_the_limit_cuts_the_farewell_short(event, cancelled):
    assert_step(
        draining_session(),
        event,
        Flush(),
        *([CancelTimer("drain")] if cancelled else []),
        StopAudio(),
        SetTimer("close", 0.9, 3),
        heard=1,
        audio="stopping",
        timers={"close": 3},
        last_token=3,
    )


def test_a_fault_of_the_device_ends_the_farewell():
    assert_step(
        draining_session(),
        AudioFailed("unplugged"),
        CancelTimer("drain"),
        StopAudio(),
        SetTimer("close", 0.9, 3),
        heard=1,
        audio="stopping",
        timers={"close": 3},
        last_token=3,
    )


def test_a_farewell_that_came_while_the_device_opened_is_played():
    session = connecting_session()
    drive(session, READY, AgentAudio(AUDIO, 1), SocketClosed(1000))
    assert [type(effect).__name__ for effect in session.handle(AudioStarted())] == ["BeginPlayout"]


@pytest.mark.parametrize("number", [-1, 0, 2])
def test_a_report_of_something_else_does_not_end_the_farewell(number):
    assert_step(draining_session(), Played(number))


def test_an_audio_interface_that_stops_unasked_does_not_end_the_farewell():
    assert_step(draining_session(), AudioStopped())


def test_a_call_open_at_the_farewell_is_cancelled():
    session = speaking_session()
    drive(session, ToolCalled("call_1", "weather"))
    assert CancelTool("call_1") in session.handle(SocketClosed(1000))
    assert session.calls == {}


def test_a_farewell_is_not_interrupted():
    assert_step(draining_session(), Interrupted(9, fresh_from=9))
