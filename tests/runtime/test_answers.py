"""Whole conversations in which tools and approvals are limited, checked and answered by hand."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from typing import Any

import pytest

from convsm import ClientTools, RefusedCommand, ToolError
from convsm.runtime.answers import answer_by_hand
from convsm.testing import (
    CallMcp,
    CallTool,
    ExpectApproval,
    ExpectToolResult,
    LoopbackAgent,
    Ping,
)
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    BY_USER,
    PATIENCE,
    Log,
    ManualConversation,
    assert_over,
    conversation,
    nothing_is_left,
)

pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


PINGS = itertools.count(1)


def pass_pings(connection):
    """Wait until the client has taken all that was sent."""
    number = next(PINGS)
    connection.send(Ping(number))
    connection.wait_for(lambda message: message.get("type") == "pong" and message["event_id"] == number)


def results(connection):
    return [
        (result["tool_call_id"], result["result"], result["is_error"], result.get("error_type"))
        for result in connection.tool_results
    ]


def approvals(connection):
    return [
        (message["tool_call_id"], message["is_approved"])
        for message in connection.messages("mcp_tool_approval_result")
    ]


# Tools


def test_the_readmes_tools_in_one_conversation():
    tools = ClientTools(default_timeout=20)

    @tools.tool
    def find_parcel(number: str, with_history: bool = False) -> dict[str, Any]:
        return {"number": number, "history": [] if with_history else None}

    @tools.tool(name="cancel_parcel", timeout=2)
    async def cancel(number: str, tool_call_id: str) -> str:
        await asyncio.sleep(0)
        raise ToolError("the customer said no", "user_rejected")

    script = [
        CallTool("find_parcel", "call_1", {"number": 42}),
        ExpectToolResult("call_1", is_error=True, error_type="unknown"),
        CallTool("find_parcel", "call_2", {"number": "42"}),
        ExpectToolResult("call_2", '{"number":"42","history":null}', False),
        CallTool("cancel_parcel", "call_3", {"number": "42"}),
        ExpectToolResult("call_3", "the customer said no", True, error_type="user_rejected"),
        CallMcp("refund", "mcp_1", {"amount": 12}),
        ExpectApproval("mcp_1", False),
        CallMcp("look_up", "mcp_2"),
        ExpectApproval("mcp_2", True),
    ]
    with LoopbackAgent(script) as agent:
        with conversation(
            agent, client_tools=tools, callback_mcp_approval=lambda call: call.name != "refund"
        ) as call:
            connection = call.start()
            assert connection.script_done.wait(PATIENCE)
            call.conversation.end_session()
            assert_over(call)
        agent.raise_failures()


@pytest.mark.threads_only  # On a loop the timeouts of tools are the loop's, not the test's.
def test_a_tool_that_takes_too_long_is_answered_and_the_floor_goes_back(agent):
    may_end = threading.Event()
    tools = ClientTools()
    tools.register("slow", lambda _: may_end.wait(PATIENCE), timeout=7)
    with conversation(agent, client_tools=tools, kind=ManualConversation) as call:
        connection = call.start()
        connection.send(CallTool("slow"))
        call.wait_for_state("tool_running")
        call.advance(7)
        connection.wait_for("client_tool_result")
        may_end.set()
        pass_pings(connection)
        assert results(connection) == [
            ("call_1", "Tool 'slow' did not answer within 7 s", True, "client_timeout")
        ]
        assert call.conversation.state == "listening"


def test_an_unhandled_call_holds_the_floor_until_it_is_answered_by_hand(agent):
    unhandled = Log()
    with conversation(agent, callback_unhandled_tool=lambda *told: unhandled.add(told)) as call:
        connection = call.start()
        connection.send(CallTool("look_up", "call_7", {"city": "Oslo"}))
        unhandled.wait_for(("look_up", "call_7", {"city": "Oslo"}))
        assert call.conversation.state == "tool_running"
        call.conversation.send_tool_result("call_7", {"degrees": 3})
        connection.wait_for("client_tool_result")
        assert results(connection) == [("call_7", '{"degrees":3}', False, None)]
        assert call.conversation.state == "listening"
        with pytest.raises(RefusedCommand, match="no result is awaited for the tool call 'call_7'"):
            call.conversation.send_tool_result("call_7", "again")
        call.conversation.end_session()
        assert_over(call)
    assert len(results(connection)) == 1


def test_an_unhandled_call_that_is_never_answered_ends_with_the_session(agent):
    unhandled = Log()
    with conversation(agent, callback_unhandled_tool=lambda *told: unhandled.add(told)) as call:
        connection = call.start()
        connection.send(CallTool("look_up"))
        unhandled.wait_for(("look_up", "call_1", {}))
        call.conversation.end_session()
        assert_over(call)
    assert results(connection) == []


def test_an_unhandled_callback_that_raises_leaves_the_call_open(agent):
    def raise_(*told: object) -> None:
        raise RuntimeError("on purpose")

    with conversation(agent, callback_unhandled_tool=raise_) as call:
        connection = call.start()
        connection.send(CallTool("look_up"))
        call.wait_for_state("tool_running")
        call.conversation.send_tool_result("call_1", "done")
        connection.wait_for("client_tool_result")
        assert results(connection) == [("call_1", "done", False, None)]


def test_without_the_callback_an_unhandled_call_is_an_error(agent):
    with conversation(agent) as call:
        connection = call.start()
        connection.send(CallTool("look_up"))
        connection.wait_for("client_tool_result")
        assert results(connection) == [("call_1", "Tool 'look_up' is not registered", True, "unknown")]


def test_a_result_by_hand_overtakes_the_handler_whose_own_is_ignored(agent):
    running, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(parameters: object) -> str:
        running.set()
        assert may_end.wait(PATIENCE)
        ended.set()
        return "late"

    tools = ClientTools()
    tools.register("slow", slow)
    with conversation(agent, client_tools=tools) as call:
        connection = call.start()
        connection.send(CallTool("slow"))
        assert running.wait(PATIENCE)
        call.conversation.send_tool_result("call_1", "no", error_type="user_rejected")
        connection.wait_for("client_tool_result")
        may_end.set()
        assert ended.wait(PATIENCE)
        pass_pings(connection)
        assert results(connection) == [("call_1", "no", True, "user_rejected")]
        assert call.conversation.state == "listening"


def test_a_handler_may_answer_its_own_call_by_hand_and_go_on(agent):
    done = threading.Event()
    tools = ClientTools()

    async def book(parameters: dict[str, Any]) -> None:
        call.conversation.send_tool_result(parameters["tool_call_id"], "started")
        await asyncio.sleep(0.01)
        done.set()

    tools.register("book", book)
    with conversation(agent, client_tools=tools) as call:
        connection = call.start()
        connection.send(CallTool("book"))
        assert done.wait(PATIENCE)
        pass_pings(connection)
        assert results(connection) == [("call_1", "started", False, None)]


def test_a_call_that_expects_no_response_takes_none_by_hand(agent):
    unhandled = Log()
    with conversation(agent, callback_unhandled_tool=lambda *told: unhandled.add(told)) as call:
        connection = call.start()
        connection.send(CallTool("note", expects_response=False))
        unhandled.wait_for(("note", "call_1", {}))
        with pytest.raises(RefusedCommand, match="no result is awaited"):
            call.conversation.send_tool_result("call_1", "unwanted")
        pass_pings(connection)
    assert results(connection) == []


def test_answers_by_hand_outside_a_session_are_refused(agent):
    with conversation(agent) as call:
        talk = call.conversation
        for answer in (
            lambda: talk.send_tool_result("call_1", "done"),
            lambda: talk.send_mcp_approval("call_1", True),
        ):
            with pytest.raises(RefusedCommand, match="Session not started"):
                answer()
        call.start()
        for answer, text in (
            (lambda: talk.send_tool_result("nonsense", "done"), "no result is awaited"),
            (lambda: talk.send_mcp_approval("nonsense", True), "does not await approval"),
        ):
            with pytest.raises(RefusedCommand, match=text):
                answer()
        talk.end_session()
        assert_over(call)
        for answer, text in (
            (lambda: talk.send_tool_result("call_1", "done"), "AnswerCall is not possible in state 'idle'"),
            (
                lambda: talk.send_mcp_approval("call_1", True),
                "DecideApproval is not possible in state 'idle'",
            ),
        ):
            with pytest.raises(RefusedCommand, match=text):
                answer()


def test_what_is_answered_by_hand_becomes_text_as_a_handlers_result_does():
    assert answer_by_hand("c", None, False, None).result == "Client tool: c called successfully."
    assert answer_by_hand("c", math.nan, False, None).result == "null"
    unsendable = answer_by_hand("c", object(), False, None)
    assert (unsendable.is_error, unsendable.error_type) == (True, "external_client")
    assert answer_by_hand("c", "no", False, "user_rejected").is_error
    with pytest.raises(ValueError, match="error_type is 'nonsense'; choose one of client_timeout, "):
        answer_by_hand("c", "no", True, "nonsense")


# Approvals


def test_a_coroutine_approves_on_no_thread_of_the_stream(agent, shell):
    ran_on = []

    async def approve(request: Any) -> bool:
        ran_on.append(threading.current_thread().name)
        await asyncio.sleep(0)
        return bool(request.parameters["amount"] < 20)

    with conversation(agent, callback_mcp_approval=approve) as call:
        connection = call.start()
        connection.send(CallMcp("pay", "c1", {"amount": 12}))
        connection.send(CallMcp("pay", "c2", {"amount": 1200}))
        connection.wait_for("mcp_tool_approval_result", count=2)
        connection.send(CallMcp("pay", "c1", {"amount": 12}))
        pass_pings(connection)
        assert sorted(approvals(connection)) == [("c1", True), ("c2", False)]
    assert ran_on == ["test-loop" if shell == "asyncio" else "convsm-tool-loop"] * 2


def test_a_handler_that_fails_does_not_approve(agent):
    with conversation(agent, callback_mcp_approval=lambda request: 1 / 0) as call:
        connection = call.start()
        connection.send(CallMcp("pay", "c1"))
        connection.wait_for("mcp_tool_approval_result")
        assert approvals(connection) == [("c1", False)]


@pytest.mark.parametrize("state", ["loading", "success", "failure"])
def test_a_decision_after_the_call_went_on_is_not_sent(agent, state):
    asked, may_decide = threading.Event(), threading.Event()

    def approve(request: Any) -> bool:
        asked.set()
        return may_decide.wait(PATIENCE)

    with conversation(agent, callback_mcp_approval=approve) as call:
        connection = call.start()
        connection.send(CallMcp("pay", "c1"))
        assert asked.wait(PATIENCE)
        connection.send(CallMcp("pay", "c1", state=state))
        pass_pings(connection)
        may_decide.set()
        with pytest.raises(RefusedCommand, match="'c1' does not await approval"):
            call.conversation.send_mcp_approval("c1", True)
        call.conversation.end_session()
        assert_over(call)
    assert approvals(connection) == []


def test_a_decision_after_the_servers_time_is_not_sent(agent):
    may_decide = threading.Event()
    with conversation(
        agent, kind=ManualConversation, callback_mcp_approval=lambda request: may_decide.wait(PATIENCE)
    ) as call:
        connection = call.start()
        connection.send(CallMcp("pay", "c1", approval_timeout=30))
        connection.send(CallMcp("pay", "c2", approval_timeout=None))
        pass_pings(connection)
        call.advance(31)
        with pytest.raises(RefusedCommand, match="'c1' does not await approval"):
            call.conversation.send_mcp_approval("c1", True)
        may_decide.set()
        connection.wait_for("mcp_tool_approval_result")
        pass_pings(connection)
        assert approvals(connection) == [("c2", True)]


def test_the_end_withdraws_what_is_undecided(agent):
    cancelled = threading.Event()
    asked = threading.Event()

    async def approve(request: Any) -> bool:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return True

    with conversation(agent, callback_mcp_approval=approve) as call:
        connection = call.start()
        connection.send(CallMcp("pay", "c1"))
        assert asked.wait(PATIENCE)
        call.conversation.end_session()
        assert_over(call, BY_USER)
    assert cancelled.is_set()
    assert approvals(connection) == []


@pytest.mark.parametrize("is_approved", [True, False])
def test_without_a_handler_it_is_decided_by_hand_once(agent, is_approved):
    with conversation(agent) as call:
        connection = call.start()
        connection.send(CallMcp("pay", "c1"))
        pass_pings(connection)
        call.conversation.send_mcp_approval("c1", is_approved)
        with pytest.raises(RefusedCommand, match="'c1' does not await approval"):
            call.conversation.send_mcp_approval("c1", is_approved)
        connection.wait_for("mcp_tool_approval_result")
        pass_pings(connection)
        assert approvals(connection) == [("c1", is_approved)]


def test_a_decision_by_hand_that_is_no_bool_is_a_no(agent):
    with conversation(agent) as call:
        connection = call.start()
        connection.send(CallMcp("pay", "c1"))
        pass_pings(connection)
        yes: Any = "yes"
        call.conversation.send_mcp_approval("c1", yes)
        connection.wait_for("mcp_tool_approval_result")
        assert approvals(connection) == [("c1", False)]


def test_one_set_of_tools_serves_two_conversations_at_once_and_one_after_another(agent):
    tools = ClientTools(default_timeout=30)
    together = threading.Barrier(2)

    @tools.tool
    def meet(name: str) -> str:
        together.wait(PATIENCE)
        return name

    for _ in range(2):
        with conversation(agent, client_tools=tools) as one, conversation(agent, client_tools=tools) as other:
            number = len(agent.connections)
            pair = [(one, one.start(number)), (other, other.start(number + 1))]
            for name, (_, connection) in zip("ab", pair, strict=True):
                connection.send(CallTool("meet", parameters={"name": name}))
            for name, (_, connection) in zip("ab", pair, strict=True):
                connection.wait_for("client_tool_result")
                assert results(connection) == [("call_1", name, False, None)]
