"""Defects 11 to 23 of the reference client: client tools, through whole conversations."""

from __future__ import annotations

import asyncio
import gc
import json
import threading

import pytest

from convsm import ClientTools, Conversation
from convsm.testing import CallTool, LoopbackAgent, Ping, UserSaid
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    Log,
    assert_over,
    conversation,
    join,
    nothing_is_left,
    provoke,
    run,
    threads,
)

pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


def tools_of(**handlers):
    tools = ClientTools()
    for name, handler in handlers.items():
        tools.register(name, handler)
    return tools


def result_of(agent, handler, **call_options):
    """What the agent gets for a call of a tool; all of the message."""
    with conversation(agent, client_tools=tools_of(t=handler)) as call:
        connection = call.start()
        connection.send(CallTool("t", "call_1", **call_options))
        return connection.wait_for("client_tool_result")


def as_async(value):
    async def handler(_):
        return value

    return handler


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(("value", "text"), [(0, "0"), (False, "false"), ("", ""), ([], "[]"), ({}, "{}")])
def test_d11_a_falsy_result_is_sent_as_it_is(agent, value, text, is_async):
    # The reference sends `result or "… called successfully."`.
    result = result_of(agent, as_async(value) if is_async else lambda _: value)
    assert (result["result"], result["is_error"]) == (text, False)


def test_d11_nothing_is_a_success_in_words(agent):
    assert result_of(agent, lambda _: None)["result"] == "Client tool: t called successfully."


@pytest.mark.parametrize("value", [{"a": [1, None]}, 1.5, 7, ["x"], True])
def test_d12_a_result_that_is_no_string_goes_as_json_in_a_string(agent, value):
    # The reference sends the object itself, which the server answers by closing with 1008.
    result = result_of(agent, lambda _: value)
    assert isinstance(result["result"], str)
    assert json.loads(result["result"]) == value


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}])
def test_d13_a_result_that_json_cannot_hold_is_an_error_that_is_sent(agent, value):
    # In the reference it fails inside the tool loop and the agent waits for its own timeout.
    result = result_of(agent, lambda _: value)
    assert result["is_error"] is True
    assert type(value).__name__ in result["result"]


@pytest.mark.parametrize("error", [KeyError(), ValueError(), AssertionError()])
def test_d14_an_exception_without_a_text_is_told_by_its_name(agent, error):
    # In the reference the text is str(error): nothing.
    def fail(_):
        raise error

    result = result_of(agent, fail)
    assert (result["result"], result["is_error"]) == (type(error).__name__, True)


def test_d15_a_parameter_named_like_the_id_does_not_change_it(agent):
    # In the reference the parameters are spread behind the id.
    seen = []
    parameters = {"tool_call_id": "made up", "x": 1}

    def look(given):
        seen.append(given)

    result = result_of(agent, look, parameters=parameters)
    assert result["tool_call_id"] == "call_1"
    assert seen == [{"tool_call_id": "call_1", "x": 1}]
    assert parameters == {"tool_call_id": "made up", "x": 1}


def test_d16_a_call_that_expects_no_response_gets_none(agent):
    # The reference sends the result all the same.
    called = threading.Event()
    with conversation(agent, client_tools=tools_of(t=lambda _: called.set())) as call:
        connection = call.start()
        connection.send(CallTool("t", "call_1", expects_response=False))
        assert called.wait(PATIENCE)
        connection.send(CallTool("t", "call_2", expects_response=True))
        connection.wait_for("client_tool_result")
        assert [result["tool_call_id"] for result in connection.tool_results] == ["call_2"]
        call.wait_for_state("tool_running")


def test_d16_a_server_that_does_not_say_is_answered(agent):
    assert result_of(agent, lambda _: "done", expects_response=None)["result"] == "done"


@pytest.mark.parametrize("is_async", [False, True])
def test_d17_tools_serve_one_conversation_after_another(agent, is_async):
    # The reference shuts their thread pool down for good.
    tools = tools_of(t=as_async("done") if is_async else lambda _: "done")
    for number in range(3):
        with conversation(agent, client_tools=tools) as call:
            connection = call.start(number)
            connection.send(CallTool("t"))
            assert connection.wait_for("client_tool_result")["result"] == "done"


@pytest.mark.parametrize("is_async", [False, True])
def test_d18_tools_serve_two_conversations_at_once_and_outlive_the_end_of_one(agent, is_async):
    # In the reference the end of the first stops the loop under the second.
    tools = tools_of(t=as_async("done") if is_async else lambda _: "done")
    with conversation(agent, client_tools=tools) as first, conversation(agent, client_tools=tools) as second:
        connections = [first.start(0), second.start(1)]
        for connection in connections:
            connection.send(CallTool("t", "before"))
            connection.wait_for("client_tool_result")
        first.conversation.end_session()
        first.conversation.wait_for_session_end()
        connections[1].send(CallTool("t", "after"))
        assert connections[1].wait_for("client_tool_result", count=2)["tool_call_id"] == "after"
        assert second.conversation.state == "listening"


def test_d19_a_conversation_that_is_never_started_starts_no_thread():
    # The reference starts one in the constructor.
    before = {*threading.enumerate()}
    made = [Conversation(None, "agent", requires_auth=False, client_tools=ClientTools()) for _ in range(5)]
    assert {*threading.enumerate()} - before == set()
    del made
    gc.collect()
    assert threads() == []


def test_d20_a_session_is_ended_from_an_asynchronous_tool(agent):
    # The reference joins the thread that it runs on.
    async def end(_):
        call.conversation.end_session()
        return call.conversation.wait_for_session_end()

    with conversation(agent, client_tools=tools_of(end=end)) as call:
        provoke(call.start(), CallTool("end"))
        call.log.wait_for(("end",))
        assert_over(call)


def test_d21_asynchronous_tools_in_flight_are_cancelled_and_clean_up(agent):
    # The reference stops their loop, and neither except nor finally runs.
    log = Log()

    async def work(_):
        log.add("begun")
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            log.add("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            log.add("cleaned up")

    with conversation(agent, client_tools=tools_of(work=work)) as call:
        call.start().send(CallTool("work"))
        log.wait_for("begun")
        call.conversation.end_session()
        log.wait_for("cleaned up")
        assert_over(call)
    assert log.entries == ["begun", "cancelled", "cleaned up"]


def test_d22_the_end_waits_for_no_tool(agent):
    # The reference joins the tools' thread, on the event loop of its asynchronous client even.
    reached, go_on = threading.Event(), threading.Event()

    def work(_):
        reached.set()
        assert go_on.wait(PATIENCE)

    with conversation(agent, client_tools=tools_of(work=work)) as call:
        call.start().send(CallTool("work"))
        assert reached.wait(PATIENCE)
        call.conversation.end_session()
        assert call.conversation.wait_for_session_end() == "conv_0"
        assert call.details.reason == "user"
        go_on.set()


def test_d22_a_busy_tool_delays_neither_pongs_nor_other_tools(agent):
    reached, go_on = threading.Event(), threading.Event()

    def work(_):
        reached.set()
        assert go_on.wait(PATIENCE)

    with conversation(agent, client_tools=tools_of(work=work, quick=lambda _: "done")) as call:
        connection = call.start()
        connection.send(CallTool("work", "call_1"))
        assert reached.wait(PATIENCE)
        connection.send(CallTool("quick", "call_2"))
        connection.send(Ping(1))
        connection.wait_for("pong")
        assert connection.wait_for("client_tool_result")["tool_call_id"] == "call_2"
        assert call.conversation.state == "tool_running"
        go_on.set()


def test_d23_an_idle_loop_of_the_users_is_woken_for_a_tool(agent):
    # The reference calls create_task from another thread, and the loop sleeps on.
    loop = asyncio.new_event_loop()
    runner = run(loop.run_forever)
    ran_on = []

    async def work(_):
        ran_on.append(asyncio.get_running_loop())
        return "done"

    tools = ClientTools(loop=loop)
    tools.register("work", work)
    with conversation(agent, client_tools=tools) as call:
        connection = call.start()
        connection.send(CallTool("work"))
        # Nothing else would wake this loop, ever.
        assert connection.wait_for("client_tool_result")["result"] == "done"
    assert ran_on == [loop]
    assert loop.is_running()
    loop.call_soon_threadsafe(loop.stop)
    join(runner)
    loop.close()


def test_a_tool_that_nobody_registered_is_answered_with_an_error_and_ends_nothing(agent):
    with conversation(agent) as call:
        connection = call.start()
        connection.send(CallTool("unheard of"))
        result = connection.wait_for("client_tool_result")
        assert (result["result"], result["is_error"]) == ("Tool 'unheard of' is not registered", True)
        connection.send(UserSaid("still here"))
        call.log.wait_for(("user", "still here"))
