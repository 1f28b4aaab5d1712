"""Tentative interruptions: playout pauses on local evidence, and is resumed, confirmed or heard out."""

from __future__ import annotations

import pytest

from convsm.machine import Session
from convsm.machine.effects import (
    CloseSocket,
    Diagnose,
    Flush,
    Interruption,
    Notify,
    PauseAudio,
    Play,
    ResumeAudio,
    RunTool,
    SetTimer,
    StopAudio,
    ToolResult,
    Transmit,
)
from convsm.machine.events import (
    AgentAudio,
    AgentHungUp,
    AudioFailed,
    End,
    Interrupt,
    Interrupted,
    InterruptionDismissed,
    InterruptionSuspected,
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


def paused_session(**options: object) -> Session:
    """Return a session in interrupted, tentatively: a piece of turn 1 is paused."""
    session = speaking_session(**options)  # type: ignore[arg-type]
    drive(session, InterruptionSuspected())
    return session


def holding_session(**options: object) -> Session:
    """Return a session in listening that holds a piece of turn 1 back."""
    session = ready_session(**options)  # type: ignore[arg-type]
    drive(session, InterruptionSuspected(), AgentAudio(AUDIO, 1))
    return session


def test_local_evidence_pauses_and_forgets_nothing():
    assert_step(
        speaking_session(),
        InterruptionSuspected(),
        moved("agent_speaking", "interrupted", "InterruptionSuspected"),
        PauseAudio(),
        state="interrupted",
        is_paused=True,
    )


def test_a_false_interruption_resumes():
    assert_step(
        paused_session(),
        InterruptionDismissed(),
        moved("interrupted", "agent_speaking", "InterruptionDismissed"),
        ResumeAudio(),
        state="agent_speaking",
        is_paused=False,
    )


def test_audio_of_the_paused_turn_queues_behind_it():
    audio = AgentAudio(AUDIO, 1)
    assert_step(paused_session(), audio, Play(2, AUDIO, 1), Notify(audio), handed=2, paused_bytes=len(AUDIO))


def test_audio_of_a_later_turn_confirms_and_plays():
    audio = AgentAudio(AUDIO, 2)
    assert_step(
        paused_session(),
        audio,
        moved("interrupted", "agent_speaking", "AgentAudio"),
        Flush(),
        ResumeAudio(),
        Play(2, AUDIO, 2),
        Notify(audio),
        state="agent_speaking",
        is_paused=False,
        fresh_from=2,
        spoken_turn=2,
        heard=1,
        handed=2,
    )


def test_more_audio_than_may_wait_confirms():
    session = paused_session(pause_limit=2 * len(AUDIO))
    drive(session, AgentAudio(AUDIO, 1), AgentAudio(AUDIO, 1))
    told = session.handle(AgentAudio(AUDIO, 1))
    assert told[:3] == (Flush(), ResumeAudio(), Transmit(Interruption(1)))
    assert isinstance(told[3], SetTimer)
    assert (session.state, session.heard, session.handed, session.fresh_from) == ("interrupted", 3, 3, 2)


@pytest.mark.parametrize("event", [Interrupted(2, 2), Interrupt()])
def test_server_and_user_confirm(event):
    session = paused_session()
    told = session.handle(event)
    assert told[:2] == (Flush(), ResumeAudio())
    assert (Transmit(Interruption(1)) in told) == isinstance(event, Interrupt)
    assert (session.state, session.is_paused, session.fresh_from) == ("interrupted", False, 2)
    assert "settle" in session.timers


def test_words_and_tools_alone_do_not_leave_it():
    session = paused_session()
    words = UserTranscript("mhm")
    assert_step(session, words, Notify(words))
    assert session.handle(ToolCalled("call_1", "weather")) == (RunTool("call_1", "weather", {}, True),)
    assert session.handle(ToolCompleted("call_1", "rain")) == (Transmit(ToolResult("call_1", "rain")),)
    assert session.state == "interrupted"


def test_a_turn_that_is_heard_out_before_the_pause_takes_hold_settles():
    session = paused_session()
    assert_step(
        session,
        Played(1),
        ResumeAudio(),
        SetTimer("settle", 2.0, 2),
        heard=1,
        is_paused=False,
        timers={"settle": 2},
        last_token=2,
    )
    drive(session, TimerFired("settle", 2))
    assert session.state == "listening"


def test_a_report_of_what_sounded_before_the_pause_is_believed():
    session = paused_session()
    drive(session, AgentAudio(AUDIO, 1))
    assert_step(session, Played(1), heard=1)
    assert session.is_paused


def test_speech_is_held_back_while_the_user_speaks_first():
    session = ready_session()
    assert session.handle(InterruptionSuspected()) == (PauseAudio(),)
    audio = AgentAudio(AUDIO, 1)
    assert session.handle(audio) == (Play(1, AUDIO, 1), Notify(audio))
    assert session.state == "listening"
    told = session.handle(InterruptionDismissed())
    assert told == (moved("listening", "agent_speaking", "InterruptionDismissed"), ResumeAudio())


def test_speech_that_is_held_back_and_cut_is_never_heard():
    session = holding_session()
    assert session.handle(Interrupt()) == (Flush(), ResumeAudio(), Transmit(Interruption(1)))
    assert (session.state, session.fresh_from) == ("listening", 2)


def test_speech_that_is_held_back_and_grows_too_long_is_given_up():
    session = holding_session(pause_limit=len(AUDIO))
    assert session.handle(AgentAudio(AUDIO, 1)) == (Flush(), ResumeAudio(), Transmit(Interruption(1)))
    assert session.state == "listening"


def test_a_tool_call_takes_the_floor_over_speech_that_is_held_back():
    session = holding_session()
    drive(session, ToolCalled("call_1", "weather"))
    assert session.state == "tool_running"
    drive(session, InterruptionDismissed())
    assert session.state == "agent_speaking"


def test_a_pause_that_nothing_came_of_is_lifted():
    session = ready_session()
    drive(session, InterruptionSuspected())
    assert_step(session, InterruptionDismissed(), ResumeAudio(), is_paused=False)
    assert_step(session, InterruptionDismissed())


def test_the_next_turn_is_held_back_after_a_confirmed_interruption_too():
    session = interrupted_session()
    drive(session, InterruptionSuspected(), AgentAudio(AUDIO, 2))
    assert (session.state, session.timers) == ("interrupted", {})
    drive(session, InterruptionDismissed())
    assert session.state == "agent_speaking"


def test_suspicion_comes_to_nothing_where_nothing_can_pause():
    text = ready_session(text_only=True)
    drive(text, TextPart("start"))
    for session in (Session(), connecting_session(), text, speaking_session(can_pause=False)):
        assert_step(session, InterruptionSuspected())


def test_a_second_suspicion_changes_nothing():
    assert_step(paused_session(), InterruptionSuspected())


def test_the_end_flushes_what_is_paused():
    told = drive(paused_session(), End())
    assert told[1:3] == (Flush(), ResumeAudio())
    for end in (SocketClosed(1000), SocketClosed(1006)):
        session = paused_session()
        told = session.handle(end)
        assert [type(effect) for effect in told[1:4]] == [Flush, ResumeAudio, StopAudio]
        finish(session)


def test_a_hang_up_flushes_what_is_paused():
    session = paused_session()
    drive(session, AgentHungUp())
    told = session.handle(TimerFired("hang_up", session.timers["hang_up"]))
    assert told[1:5] == (Flush(), ResumeAudio(), CloseSocket(), StopAudio())


def test_a_fault_of_the_device_ends_a_pause_without_a_word_to_the_device():
    session = paused_session(needs_audio=False)
    told = session.handle(AudioFailed("unplugged"))
    assert told[:2] == (
        StopAudio(),
        Diagnose("audio failed: unplugged; the session goes on without audio"),
    )
    assert isinstance(told[2], SetTimer)
    assert (session.state, session.is_paused) == ("interrupted", False)


def test_a_tool_that_runs_goes_on_through_a_tentative_interruption():
    session = tool_session()
    drive(session, AgentAudio(AUDIO, 1), InterruptionSuspected(), InterruptionDismissed(), Played(1))
    assert session.state == "tool_running"
