"""Closing when the server hangs up or keeps silent, when adapters fail, and what closing ignores."""

from __future__ import annotations

import pytest

from convsm.machine import Session
from convsm.machine.effects import (
    AnnounceEnd,
    CancelTimer,
    CancelTool,
    CloseSocket,
    Diagnose,
    DropSocket,
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
    Informed,
    Interrupted,
    Malformed,
    Pinged,
    Played,
    SocketClosed,
    SocketOpened,
    TextPart,
    TimerFired,
    ToolCalled,
    UserAudio,
    UserTranscript,
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

USER = AnnounceEnd("user", "the user ended the conversation", was_ready=True)

# The agent's own hang-up


@pytest.mark.parametrize("state", LIVE)
def test_the_agents_hang_up_changes_nothing_but_the_cause_and_limits_the_wait(state):
    session = session_in(state)
    token = session.last_token + 1
    assert_step(
        session,
        AgentHungUp(),
        SetTimer("hang_up", 5.0, token),
        has_hung_up=True,
        timers={**session.timers, "hang_up": token},
        last_token=token,
    )
    assert_step(session, AgentHungUp())


def test_the_hang_up_timer_closes_what_the_server_forgot_to_close():
    session = ready_session()
    drive(session, AgentHungUp())
    end = AnnounceEnd("agent", "the agent hung up", was_ready=True)
    assert_step(
        session,
        TimerFired("hang_up", 2),
        moved("listening", "closing", "TimerFired"),
        CloseSocket(),
        StopAudio(),
        SetTimer("close", 0.9, 3),
        state="closing",
        socket="closing",
        audio="stopping",
        ending=end,
        timers={"close": 3},
        last_token=3,
    )
    assert finish(session) == end


def hung_up_session() -> Session:
    """Return a closing session that hung up on the server while the farewell plays."""
    session = speaking_session()
    drive(session, AgentHungUp())
    assert_effects(
        session,
        TimerFired("hang_up", 2),
        moved("agent_speaking", "closing", "TimerFired"),
        CloseSocket(),
        SetTimer("drain", 10.0, 3),
        SetTimer("close", 0.9, 4),
    )
    return session


def test_the_farewell_is_heard_though_the_server_never_closes():
    session = hung_up_session()
    assert_step(
        session,
        TimerFired("close", 4),
        DropSocket(),
        SetTimer("close", 0.9, 5),
        socket="dropped",
        timers={"drain": 3, "close": 5},
        last_token=5,
    )
    assert_step(session, SocketClosed(1006), socket="closed")
    assert_step(session, TimerFired("close", 5), timers={"drain": 3})
    drive(session, Played(1), AudioStopped())
    assert session.state == "idle"


def test_the_farewell_of_an_agent_that_hung_up_has_its_limit():
    assert_step(
        hung_up_session(),
        TimerFired("drain", 3),
        Flush(),
        CancelTimer("close"),
        StopAudio(),
        SetTimer("close", 0.9, 5),
        heard=1,
        audio="stopping",
        timers={"close": 5},
        last_token=5,
    )


@pytest.mark.parametrize("state", LIVE)
def test_a_timer_that_is_not_due_closes_nothing(state):
    for late in (TimerFired("hang_up", 1), TimerFired("ready", 0), TimerFired("close", 2)):
        assert_step(session_in(state), late)


def test_a_timer_that_is_not_due_changes_nothing_of_a_farewell():
    for late in (TimerFired("close", 3), TimerFired("drain", 4), TimerFired("hang_up", 2)):
        assert_step(hung_up_session(), late)


@pytest.mark.parametrize("state", OPEN)
def test_the_hang_up_timer_cancels_what_only_an_open_session_needs(state):
    session = session_in(state)
    drive(session, AgentHungUp(), ToolCalled("call_9", "weather"))
    told = session.handle(TimerFired("hang_up", session.timers["hang_up"]))
    assert CancelTool("call_9") in told
    assert session.ending == AnnounceEnd("agent", "the agent hung up", was_ready=True)


def test_the_agents_end_cancels_the_wait_for_its_close():
    session = ready_session()
    drive(session, AgentHungUp())
    assert CancelTimer("hang_up") in session.handle(SocketClosed(1000))


# Adapters that do not answer


def test_a_peer_that_does_not_close_is_dropped_and_then_given_up():
    session = ready_session(text_only=True)
    drive(session, End())
    assert_step(
        session,
        TimerFired("close", 2),
        DropSocket(),
        SetTimer("close", 0.9, 3),
        socket="dropped",
        timers={"close": 3},
        last_token=3,
    )
    assert_step(
        session,
        TimerFired("close", 3),
        moved("closing", "idle", "TimerFired"),
        Diagnose("the socket did not close in time; the session ended without it"),
        USER,
        state="idle",
        timers={},
    )


def test_an_audio_interface_that_does_not_stop_is_given_up():
    session = ready_session()
    drive(session, End(), SocketClosed(1000))
    assert_step(
        session,
        TimerFired("close", 2),
        moved("closing", "idle", "TimerFired"),
        Diagnose("the audio interface did not stop in time; the session ended without it"),
        USER,
        state="idle",
        timers={},
    )
    assert_step(session, AudioStopped())


def test_a_dropped_socket_that_reports_its_end_lets_the_session_end():
    session = ready_session()
    drive(session, End(), AudioStopped(), TimerFired("close", 2), SocketClosed(1006))
    assert (session.state, session.timers) == ("idle", {})


# Faults of the device


@pytest.mark.parametrize("state", OPEN)
def test_a_fault_ends_a_session_that_needs_audio(state):
    session = session_in(state)
    told = session.handle(AudioFailed("unplugged"))
    assert told[0] == moved(state, "closing", "AudioFailed")
    expected = [CloseSocket(), StopAudio(), SetTimer("close", 0.9, session.last_token)]
    assert [
        effect for effect in told if isinstance(effect, Flush | CloseSocket | StopAudio | SetTimer)
    ] == expected
    assert (session.heard, session.calls) == (session.handed, {})


@pytest.mark.parametrize("state", ["listening", "tool_running"])
def test_a_session_that_does_not_need_audio_goes_on_silent(state):
    session = ready_session(needs_audio=False)
    drive(session, AgentAudio(AUDIO, 1))
    if state == "tool_running":
        drive(session, ToolCalled("call_1", "weather"))
    text = "audio failed: unplugged; the session goes on without audio"
    assert_step(
        session,
        AudioFailed("unplugged"),
        moved("agent_speaking", state, "AudioFailed"),
        StopAudio(),
        Diagnose(text),
        state=state,
        heard=1,
        audio="stopping",
    )
    assert_step(session, AudioStopped(), audio="stopped")
    assert_step(session, AudioFailed("again"), Diagnose(text.replace("unplugged", "again")))
    told = session.handle(AgentAudio(AUDIO, 1))
    assert told == (Diagnose(f"agent audio came in state {state!r} without an open audio interface"),)
    drive(session, End(), SocketClosed(1000))
    assert session.state == "idle"


def test_a_device_that_fails_to_open_is_stopped_and_its_late_start_is_ignored():
    session = connecting_session(needs_audio=False)
    drive(session, READY, AudioFailed("busy"))
    assert_step(session, AudioStarted())
    assert_step(session, AudioStopped(), audio="stopped")
    assert_step(session, AudioStopped())


def test_a_device_still_stopping_when_the_server_closes_is_waited_for():
    session = ready_session(needs_audio=False)
    drive(session, AudioFailed("unplugged"), SocketClosed(1000))
    assert (session.state, session.timers) == ("closing", {"close": 2})
    drive(session, AudioStopped())
    assert session.state == "idle"


@pytest.mark.parametrize("state", OPEN)
def test_an_audio_interface_that_stops_unasked_is_ignored(state):
    assert_step(session_in(state), AudioStopped())


def test_a_server_that_closes_in_silence_stops_the_audio_interface():
    assert_step(
        ready_session(),
        SocketClosed(1006, "gone"),
        moved("listening", "closing", "SocketClosed"),
        StopAudio(),
        SetTimer("close", 0.9, 2),
        state="closing",
        socket="closed",
        audio="stopping",
        ending=AnnounceEnd("error", "the connection was closed (close code 1006)", 1006, "gone", True),
        timers={"close": 2},
        last_token=2,
    )


# What closing does not do

LATE = (
    SocketOpened(),
    READY,
    Pinged(1),
    AgentAudio(AUDIO, 9),
    TextPart("start", turn=9),
    UserTranscript("late"),
    Interrupted(9, 9),
    ToolCalled("late", "tool"),
    AgentHungUp(),
    Informed("late"),
    Malformed("", "", ""),
    AudioStarted(),
    AudioFailed("late"),
    Played(1),
    UserAudio(AUDIO),
    TimerFired("close", 1),
    TimerFired("settle", 2),
    TimerFired("ready", 1),
    End(),
)


@pytest.mark.parametrize("event", LATE, ids=repr)
def test_closing_ignores_what_is_late(event):
    session = speaking_session()
    drive(session, End())
    assert_step(session, event)


def test_a_second_report_of_the_closed_socket_changes_nothing():
    for report in (SocketClosed(1000), ConnectionFailed("late")):
        session = ready_session()
        drive(session, End(), SocketClosed(1000))
        assert_step(session, report)


def test_a_socket_that_opened_and_says_it_never_did_is_closed_all_the_same():
    session = ready_session()
    drive(session, End())
    assert_step(session, ConnectionFailed("confused"), socket="closed")
    drive(session, AudioStopped())
    assert session.state == "idle"
