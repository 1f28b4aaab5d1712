"""Tool calls: in each state, one answer a call, none at closing."""

from __future__ import annotations

import pytest

from convsm.machine.effects import (
    CancelTool,
    CloseSocket,
    Diagnose,
    Flush,
    Reject,
    ReleaseTool,
    RunTool,
    SetTimer,
    StopAudio,
    ToolResult,
    Transmit,
)
from convsm.machine.events import (
    AgentAudio,
    AnswerCall,
    End,
    Interrupted,
    Pinged,
    Played,
    SocketClosed,
    ToolCalled,
    ToolCompleted,
)
from tests.helpers import (
    AUDIO,
    assert_effects,
    assert_refused,
    assert_step,
    connecting_session,
    drive,
    interrupted_session,
    moved,
    ready_session,
    speaking_session,
    tool_session,
)

CALL = ToolCalled("call_1", "weather", {"city": "Oslo"})
RUN = RunTool("call_1", "weather", {"city": "Oslo"}, True)
ANSWER = Transmit(ToolResult("call_1", "rain"))

STAYING = {"connecting": connecting_session, "agent_speaking": speaking_session}
MOVING = {"listening": ready_session, "interrupted": interrupted_session}
ALL = {**STAYING, **MOVING, "tool_running": lambda: answered_session()}


def answered_session():
    """Return a session in tool_running that waits for ``other``."""
    session = ready_session()
    drive(session, ToolCalled("other", "weather"))
    return session


def test_a_call_takes_the_floor_when_the_user_has_it():
    assert_step(
        ready_session(),
        CALL,
        moved("listening", "tool_running", "ToolCalled"),
        RUN,
        state="tool_running",
        calls={"call_1": True},
        seen_calls={"call_1"},
    )


@pytest.mark.parametrize("state", STAYING)
def test_a_call_starts_at_once_and_waits_for_the_floor_where_it_is_taken(state):
    assert_step(STAYING[state](), CALL, RUN, calls={"call_1": True}, seen_calls={"call_1"})


def test_a_second_call_runs_beside_the_first_and_the_last_answer_gives_the_floor_back():
    session = tool_session()
    assert_step(
        session,
        ToolCalled("call_2", "time"),
        RunTool("call_2", "time", {}, True),
        calls={"call_1": True, "call_2": True},
        seen_calls={"call_1", "call_2"},
    )
    assert_step(
        session,
        ToolCompleted("call_2", "noon"),
        Transmit(ToolResult("call_2", "noon")),
        calls={"call_1": True},
    )
    assert_step(
        session,
        ToolCompleted("call_1", "rain"),
        moved("tool_running", "listening", "ToolCompleted"),
        ANSWER,
        state="listening",
        calls={},
    )


def test_a_result_goes_out_as_it_came():
    session = tool_session()
    drive(session, AgentAudio(AUDIO, 1))
    assert_step(
        session,
        ToolCompleted("call_1", "no such city", is_error=True, error_type="not_found"),
        Transmit(ToolResult("call_1", "no such city", True, "not_found")),
        calls={},
    )


@pytest.mark.parametrize("state", ALL)
def test_a_call_that_expects_no_response_holds_no_floor_and_gets_none(state):
    session = ALL[state]()
    calls, seen = dict(session.calls), set(session.seen_calls)
    assert_step(
        session,
        ToolCalled("call_9", "log", expects_response=False),
        RunTool("call_9", "log", {}, False),
        calls={**calls, "call_9": False},
        seen_calls={*seen, "call_9"},
    )
    assert_step(session, ToolCompleted("call_9", "done"), calls=calls)
    assert session.state == state


@pytest.mark.parametrize("state", ALL)
@pytest.mark.parametrize("is_answered", [True, False])
def test_a_repeated_id_is_diagnosed_and_not_run_again(state, is_answered):
    session = ALL[state]()
    drive(session, ToolCalled("call_9", "log", expects_response=False))
    if is_answered:
        drive(session, ToolCompleted("call_9", "done"))
    text = "tool 'again' was called under an id that was used before; ignored"
    assert_step(session, ToolCalled("call_9", "again"), Diagnose(text))


@pytest.mark.parametrize("state", ALL)
def test_a_result_that_nobody_waits_for_is_ignored(state):
    session = ALL[state]()
    drive(session, ToolCalled("call_9", "log"))
    drive(session, ToolCompleted("call_9", "done"))
    assert_step(session, ToolCompleted("call_9", "done"))
    assert_step(session, ToolCompleted("call_8", "never called"))


def test_speech_over_an_open_call_returns_to_it():
    session = tool_session()
    path = []
    for event in (AgentAudio(AUDIO, 1), Pinged(1), Played(1), ToolCompleted("call_1", "rain")):
        session.handle(event)
        path.append(session.state)
    assert path == ["agent_speaking", "agent_speaking", "tool_running", "listening"]


def test_an_interruption_does_not_touch_an_open_call():
    session = tool_session()
    drive(session, Interrupted(2, fresh_from=2))
    assert session.state == "tool_running"
    assert_effects(
        session, ToolCompleted("call_1", "rain"), moved("tool_running", "listening", "ToolCompleted"), ANSWER
    )


def test_open_calls_are_cancelled_at_closing_and_not_answered():
    session = tool_session()
    drive(session, ToolCalled("call_2", "log", expects_response=False))
    assert_effects(
        session,
        End(),
        moved("tool_running", "closing", "End"),
        Flush(),
        CancelTool("call_1"),
        CancelTool("call_2"),
        CloseSocket(),
        StopAudio(),
        SetTimer("close", 0.9, 2),
    )
    assert_step(session, ToolCompleted("call_1", "rain"))
    assert_step(session, ToolCompleted("call_2", "done"))
    assert_step(session, ToolCalled("call_3", "late"))


def test_open_calls_are_cancelled_when_the_server_closes():
    assert CancelTool("call_1") in tool_session().handle(SocketClosed(1000))


# Answers by hand


@pytest.mark.parametrize("state", ALL)
def test_an_answer_by_hand_goes_out_at_once_and_the_handlers_own_is_ignored(state):
    session = ALL[state]()
    drive(session, ToolCalled("call_9", "weather"))
    was_running = session.state == "tool_running"
    effects = session.handle(AnswerCall("call_9", "no", is_error=True, error_type="user_rejected"))
    answer = (Transmit(ToolResult("call_9", "no", True, "user_rejected")), ReleaseTool("call_9"))
    assert effects[-2:] == answer
    if was_running and state != "tool_running":
        assert effects == (moved("tool_running", "listening", "AnswerCall"), *answer)
    else:
        assert effects == answer
    assert session.calls["call_9"] is False
    assert session.handle(ToolCompleted("call_9", "rain")) == ()
    assert "call_9" not in session.calls


def test_one_of_two_awaited_answers_by_hand_leaves_the_floor_with_the_other():
    session = tool_session()
    drive(session, ToolCalled("call_2", "time"), AnswerCall("call_2", "noon"))
    assert session.state == "tool_running"
    drive(session, ToolCompleted("call_1", "rain"))
    assert session.state == "listening"
    assert session.calls == {"call_2": False}


@pytest.mark.parametrize("call_id", ["unknown", "answered", "by hand", "silent"])
@pytest.mark.parametrize("state", ALL)
def test_an_answer_that_nobody_waits_for_is_rejected(state, call_id):
    session = ALL[state]()
    drive(session, ToolCalled("answered", "log"), ToolCompleted("answered", "done"))
    drive(session, ToolCalled("by hand", "log"), AnswerCall("by hand", "done"))
    drive(session, ToolCalled("silent", "log", expects_response=False))
    reason = f"no result is awaited for the tool call {call_id!r}"
    assert_step(session, AnswerCall(call_id, "again"), Reject(reason))


def test_a_handler_that_still_runs_after_an_answer_by_hand_is_cancelled_at_closing():
    session = tool_session()
    drive(session, AnswerCall("call_1", "rain"))
    assert CancelTool("call_1") in session.handle(End())
    assert_refused(session, AnswerCall("call_1", "rain"))
