"""Interruptions: in each state, and what ends them."""

from __future__ import annotations

import pytest

from convsm.machine.effects import (
    CancelTimer,
    Diagnose,
    Flush,
    Interruption,
    Notify,
    Play,
    RunTool,
    SetTimer,
    StopAudio,
    ToolResult,
    Transmit,
)
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    AudioFailed,
    Interrupt,
    Interrupted,
    Played,
    SocketClosed,
    TextPart,
    TimerFired,
    ToolCalled,
    ToolCompleted,
    UserTranscript,
)
from tests.helpers import (
    AUDIO,
    assert_step,
    connecting_session,
    drive,
    finish,
    interrupted_session,
    moved,
    ready_session,
    speaking_session,
    tool_session,
)

CUT = Interrupted(2, fresh_from=2)


def test_an_interruption_while_speaking_silences_and_waits_for_what_follows():
    assert_step(
        speaking_session(),
        CUT,
        moved("agent_speaking", "interrupted", "Interrupted"),
        Flush(),
        SetTimer("settle", 2.0, 2),
        Notify(CUT),
        state="interrupted",
        fresh_from=2,
        heard=1,
        timers={"settle": 2},
        last_token=2,
    )


def test_an_interruption_while_nothing_is_audible_moves_nothing_and_flushes_all_the_same():
    for session in (ready_session(), tool_session()):
        assert_step(session, CUT, Flush(), Notify(CUT), fresh_from=2)


def test_a_further_interruption_starts_the_wait_anew():
    session, again = interrupted_session(), Interrupted(3, fresh_from=3)
    assert_step(
        session,
        again,
        Flush(),
        SetTimer("settle", 2.0, 3),
        Notify(again),
        fresh_from=3,
        timers={"settle": 3},
        last_token=3,
    )
    assert_step(session, TimerFired("settle", 2))
    assert session.state == "interrupted"


def test_a_streamed_response_is_cut_without_a_flush():
    assert_step(
        speaking_session(text_only=True),
        CUT,
        moved("agent_speaking", "interrupted", "Interrupted"),
        SetTimer("settle", 2.0, 2),
        Notify(CUT),
        state="interrupted",
        fresh_from=2,
        response_open=False,
        timers={"settle": 2},
        last_token=2,
    )


def test_fresh_audio_ends_the_interruption():
    audio = AgentAudio(AUDIO, 2)
    assert_step(
        interrupted_session(),
        audio,
        moved("interrupted", "agent_speaking", "AgentAudio"),
        Play(2, AUDIO, 2),
        Notify(audio),
        CancelTimer("settle"),
        state="agent_speaking",
        spoken_turn=2,
        handed=2,
        timers={},
    )


def test_a_tool_call_that_expects_a_response_ends_the_interruption():
    assert_step(
        interrupted_session(),
        ToolCalled("call_1", "weather"),
        moved("interrupted", "tool_running", "ToolCalled"),
        RunTool("call_1", "weather", {}, True),
        CancelTimer("settle"),
        state="tool_running",
        calls={"call_1": True},
        seen_calls={"call_1"},
        timers={},
    )


def test_a_tool_call_that_expects_none_runs_and_ends_nothing():
    assert_step(
        interrupted_session(),
        ToolCalled("call_1", "log", expects_response=False),
        RunTool("call_1", "log", {}, False),
        calls={"call_1": False},
        seen_calls={"call_1"},
    )


@pytest.mark.parametrize("target", ["listening", "tool_running"])
def test_the_users_transcript_ends_the_interruption(target):
    session, transcript = speaking_session(), UserTranscript("stop")
    if target == "tool_running":
        drive(session, ToolCalled("call_1", "weather"))
    drive(session, CUT)
    assert_step(
        session,
        transcript,
        moved("interrupted", target, "UserTranscript"),
        Notify(transcript),
        CancelTimer("settle"),
        state=target,
        timers={},
    )


@pytest.mark.parametrize("target", ["listening", "tool_running"])
def test_the_settle_timer_ends_the_interruption(target):
    session = speaking_session()
    if target == "tool_running":
        drive(session, ToolCalled("call_1", "weather"))
    drive(session, CUT)
    assert_step(
        session,
        TimerFired("settle", 2),
        moved("interrupted", target, "TimerFired"),
        state=target,
        timers={},
    )


def test_a_tool_goes_on_through_an_interruption_and_is_answered():
    session = tool_session()
    drive(session, AgentAudio(AUDIO, 1), CUT)
    assert session.state == "interrupted"
    assert_step(session, ToolCompleted("call_1", "rain"), Transmit(ToolResult("call_1", "rain")), calls={})
    drive(session, TimerFired("settle", session.timers["settle"]))
    assert session.state == "listening"


def test_nothing_else_ends_an_interruption():
    session = speaking_session()
    drive(session, ToolCalled("call_1", "weather"), CUT)
    for event in (Played(1), AgentResponse("OK", 2), AgentAudio(AUDIO, 1), TimerFired("settle", 1)):
        session.handle(event)
        assert session.state == "interrupted"


def test_a_fault_of_the_device_leaves_an_interruption_as_it_is():
    session = interrupted_session(needs_audio=False)
    told = drive(session, AudioFailed("unplugged"))
    assert Diagnose("audio failed: unplugged; the session goes on without audio") in told
    assert (session.state, session.audio) == ("interrupted", "stopping")


def test_a_cut_turn_is_followed_by_its_transcript_and_the_next_turn():
    session = ready_session()
    drive(session, AgentAudio(AUDIO, 2), Interrupted(3, fresh_from=3))
    path = []
    for event in (
        AgentAudio(AUDIO, 2),
        UserTranscript("stop", 3),
        AgentResponse("OK", 3),
        AgentAudio(AUDIO, 3),
        Played(2),
    ):
        session.handle(event)
        path.append(session.state)
    assert path == ["interrupted", "listening", "listening", "agent_speaking", "listening"]


def test_a_message_of_the_users_cuts_the_turn_and_its_reply_carries_the_same_number():
    session = ready_session()
    drive(session, AgentAudio(AUDIO, 6), Interrupted(7, fresh_from=7), AgentResponse("Yes?", 7))
    assert Play(2, AUDIO, 7) in drive(session, AgentAudio(AUDIO, 7))


# The user's own


def test_the_users_own_interruption_silences_voids_the_turn_and_tells_the_server():
    assert_step(
        speaking_session(),
        Interrupt(),
        moved("agent_speaking", "interrupted", "Interrupt"),
        Flush(),
        Transmit(Interruption(1)),
        SetTimer("settle", 2.0, 2),
        state="interrupted",
        fresh_from=2,
        heard=1,
        timers={"settle": 2},
        last_token=2,
    )


def test_the_users_own_interruption_voids_every_turn_that_was_heard_of():
    session = ready_session()
    drive(session, AgentAudio(AUDIO, 5), AgentAudio(AUDIO, 4))
    assert Transmit(Interruption(5)) in session.handle(Interrupt())
    assert_step(session, AgentAudio(AUDIO, 5))
    drive(session, AgentAudio(AUDIO, 6))
    assert session.state == "agent_speaking"


def test_the_users_own_interruption_never_goes_back_behind_one_of_the_servers():
    session = ready_session()
    drive(session, Interrupted(9, fresh_from=3), AgentAudio(AUDIO, 3), Interrupted(9, fresh_from=9))
    drive(session, AgentAudio(AUDIO, 9), Interrupt())
    assert session.fresh_from == 10


@pytest.mark.parametrize(("turn", "fresh_from"), [(1, 2), (None, None)])
def test_the_users_own_interruption_of_streamed_text_needs_no_flush(turn, fresh_from):
    session = ready_session(text_only=True)
    drive(session, TextPart("start", turn=turn))
    told = drive(session, Interrupt())
    assert told[1:] == (Transmit(Interruption(turn)), SetTimer("settle", 2.0, 2))
    assert (session.state, session.fresh_from, session.response_open) == ("interrupted", fresh_from, False)


def test_the_users_own_interruption_is_of_no_effect_while_nothing_is_audible():
    for session in (connecting_session(), ready_session(), tool_session(), interrupted_session()):
        assert_step(session, Interrupt())


def test_the_server_may_confirm_the_users_own_interruption():
    session = speaking_session()
    drive(session, Interrupt(), CUT)
    assert (session.state, session.fresh_from) == ("interrupted", 2)
    assert session.timers == {"settle": 3}


def test_a_late_report_of_what_the_user_cut_moves_nothing():
    session = speaking_session()
    drive(session, Interrupt())
    assert_step(session, Played(1))


def test_the_user_may_cut_a_farewell_short():
    session = speaking_session()
    drive(session, SocketClosed(1000))
    told = session.handle(Interrupt())
    assert told[0] == Flush()
    assert StopAudio() in told
    assert not any(isinstance(effect, Transmit) for effect in told)
    assert_step(session, Interrupt())
    assert finish(session).reason == "agent"
