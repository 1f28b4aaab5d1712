"""Tools beside turns: who waits for whom, and what becomes of results, on a virtual clock."""

from __future__ import annotations

import pytest

from convsm.machine.effects import CancelTool, Flush, RequestReply, ResumeAudio, ToolResult
from convsm.machine.events import (
    ResponseEnded,
    ResponseStarted,
    ToolCalled,
    ToolCompleted,
)
from convsm.turns.reports import (
    AgentFalseInterruption,
    UserStateChanged,
)
from tests.turns.stage import REPLY, Stage, base, handling, near


def test_s2_a_tool_call_behind_a_preamble():
    stage = base().at(3.6, ToolCalled("call_1", "weather")).at(6.0, ToolCompleted("call_1", "rain"))
    stage.agent(6.2, 3.0).run(12)
    assert [name for name, _ in stage.agent_path()] == [
        "thinking",
        "speaking",
        "thinking",
        "listening",
        "speaking",
        "listening",
    ]
    assert [time for _, time in stage.agent_path()] == near(3.0, 3.5, 5.5, 6.0, 6.2, 9.2)


@pytest.mark.parametrize("expects", [True, False])
def test_s3_s5_nobody_is_away_while_a_tool_runs(expects):
    stage = base(user_away_timeout=3.0).at(4.0, ToolCalled("call_1", "slow", {}, expects))
    stage.at(20.0, ToolCompleted("call_1", "done")).run(30)
    away = [one.known_at for one in stage.facts(UserStateChanged) if one.new_state == "away"]
    assert away == near(23.0)


def test_s26_what_was_held_back_in_a_tools_silence_is_spoken_afterwards():
    stage = Stage(handling(interruption={"false_interruption_timeout": 0.2}), reply=None)
    stage.at(0.5, ToolCalled("call_1", "weather")).user(0.85, 2.0).at(1.2, ToolCompleted("call_1", "rain"))
    stage.agent(1.5, 1.0).run(6)
    assert [name for name, _ in stage.agent_path()] == ["thinking", "listening", "speaking", "listening"]
    assert stage.when(ResumeAudio) == near(2.0 + 0.5 + 0.2)
    assert [fact.resumed for fact in stage.facts(AgentFalseInterruption)] == [True]
    assert [stage.speaker.position] == near(1.0)


def test_s4_a_tool_that_leads_to_nothing_leaves_the_agent_listening():
    stage = base().at(3.6, ToolCalled("call_1", "slow")).at(11.6, ToolCompleted("call_1", "")).run(15)
    assert list(stage.agent_path())[-3:] == [
        ("speaking", *near(3.5)),
        ("thinking", *near(5.5)),
        ("listening", *near(11.6)),
    ]


def test_s6_being_away_is_counted_from_the_end_of_a_tool_that_nobody_waits_for():
    stage = base(user_away_timeout=3.0).at(4.0, ToolCalled("call_1", "slow", {}, expects_response=False))
    stage.at(24.0, ToolCompleted("call_1", "")).run(40)
    assert [one.known_at for one in stage.facts(UserStateChanged) if one.new_state == "away"] == near(27.0)
    assert list(stage.agent_path())[-1] == ("listening", *near(5.5))


@pytest.mark.parametrize("done", [3.4, 5.2, 7.4])
def test_a_result_is_sent_once_whenever_the_user_interrupts(done):
    # Before the interruption, while it is undecided, and behind it.
    stage = base(10.0).at(3.1, ToolCalled("call_1", "book", {}, True))
    stage.user(4.8, 6.0, "Wait").at(done, ToolCompleted("call_1", "booked")).run(9)
    assert stage.sent(ToolResult("call_1", "booked")) == near(done)
    assert stage.when(CancelTool) == []
    assert stage.when(Flush) == near(6.2)


def test_a_reply_to_a_tool_that_is_interrupted_is_not_asked_for_behind_the_user():
    stage = Stage(handling(), reply=None, asks_replies=True).at(0.1, ResponseStarted(1))
    stage.agent(0.5, 9.0, turn=1).at(0.6, ToolCalled("call_1", "book")).user(1.0, 2.0, "Wait")
    stage.at(5.0, ToolCompleted("call_1", "booked")).at(5.1, ResponseEnded(1, "cancelled")).run(9)
    assert stage.sent(ToolResult("call_1", "booked")) == near(5.0)
    # One reply, to the user's turn, which will know the result.
    assert stage.sent(REPLY) == near(5.1)
    assert stage.sent(RequestReply()) == []


def test_the_reply_to_a_tool_is_thought_about_until_it_is_heard():
    stage = Stage(handling(), reply=None, asks_replies=True).at(0.5, ToolCalled("call_1", "weather"))
    stage.at(2.0, ToolCompleted("call_1", "rain")).at(2.2, ResponseStarted(1)).agent(3.0, 1.0, turn=1)
    stage.at(3.5, ResponseEnded(1)).run(9)
    assert list(stage.agent_path()) == [
        ("thinking", *near(0.5)),
        ("speaking", *near(3.0)),
        ("listening", *near(4.0)),
    ]
