from __future__ import annotations

import threading

import pytest

from convsm.testing import (
    CallTool,
    Expect,
    ExpectClose,
    ExpectToolResult,
    LoopbackAgent,
    Pause,
    Ping,
    WaitFor,
)
from tests.testing.loopback_clients import (  # noqa: F401 (a fixture)
    client_of,
    conversation,
    failing_conversation,
    no_thread_is_left,
)


def test_the_script_waits_for_what_it_expects():
    script = [
        Expect("user_message"),
        Ping(1),
        Expect("pong", 1),
        CallTool("look", "call_7"),
        ExpectToolResult("call_7", "a cat", False),
        Expect("user_audio", seconds=0.1),
        Expect("user_audio", count=2),
        Expect(lambda message: message.get("text") == "news"),
        {"type": "done"},
        ExpectClose(1000),
    ]
    with conversation(script) as (connection, client):
        client.send(type="user_message", text="hello")
        assert client.receive_types(1) == ["ping"]
        client.send(type="pong", event_id=1)
        assert client.receive_types(1) == ["client_tool_call"]
        client.send(type="client_tool_result", tool_call_id="call_7", result="a cat", is_error=False)
        client.speak(b"\1\0" * 800)
        client.speak(b"\2\0" * 800)
        client.send(type="contextual_update", text="news")
        assert client.receive_types(1) == ["done"]
    assert connection.closed.wait(5)
    assert connection.failures == []
    assert connection.user_audio == b"\1\0" * 800 + b"\2\0" * 800
    assert [result["result"] for result in connection.tool_results] == ["a cat"]
    assert len(connection.messages("user_audio")) == 2


def test_a_message_satisfies_one_expectation_only():
    with conversation([Expect("user_message"), {"type": "one"}, Expect("user_message"), {"type": "two"}]) as (
        _,
        client,
    ):
        client.send(type="user_message", text="a")
        assert client.receive_types(1) == ["one"]
        with pytest.raises(TimeoutError):
            client.connection.recv(timeout=0.05)
        client.send(type="user_message", text="b")
        assert client.receive_types(1) == ["two"]


def test_audio_satisfies_one_expectation_only():
    half = Expect("user_audio", seconds=0.5, timeout=0.05)
    heard = threading.Event()
    with failing_conversation([WaitFor(heard), half, half]) as (connection, client, report):
        client.speak(bytes(24_000))
        connection.wait_for("user_audio")
        heard.set()
        assert client.receive_close()[0] == 1011
    assert "8000 of 16000 bytes of user audio" in report[0]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (Expect("pong", 9, timeout=0.05), "Expect(what='pong', event_id=9"),
        (ExpectToolResult("call_9", timeout=0.05), "ExpectToolResult(call_id='call_9'"),
        (ExpectClose(timeout=0.05), "ExpectClose("),
        (WaitFor(threading.Event(), 0.05), "WaitFor("),
        (lambda connection: 1 / 0, "ZeroDivisionError"),
        (7, "is no step"),
    ],
)
def test_a_script_that_fails_closes_with_1011_and_raises_at_the_end(step, reason):
    with failing_conversation([step]) as (connection, client, report):
        code, text = client.receive_close()
        assert code == 1011
        assert connection.script_done.is_set()
    assert reason in report[0]
    assert text in report[0]


def test_leaving_the_with_block_raises_the_failures():
    agent = LoopbackAgent([Expect("pong", timeout=60)])
    agent.__enter__()
    with client_of(agent) as client:
        client.receive()
    with pytest.raises(AssertionError, match="The loopback agent reports"):
        agent.__exit__(None, None, None)


def test_a_result_with_the_wrong_text_is_a_failure():
    with conversation([ExpectToolResult("call_1", "yes")]) as (connection, client):
        client.send(type="client_tool_result", tool_call_id="call_1", result="no", is_error=False)
        assert client.receive_close()[0] == 1011
        assert "'no', not 'yes'" in connection.failures.pop()


def test_a_close_with_the_wrong_code_is_a_failure():
    with failing_conversation([ExpectClose(1001)]) as (_, client, report):
        client.connection.close()
    assert "closed with 1000, not 1001" in report[0]


def test_a_client_that_leaves_before_an_expectation_is_a_failure():
    with failing_conversation([Pause(60), Expect("user_message")]) as (_, client, report):
        client.connection.close()
    assert "Expect(what='user_message'" in report[0]


def test_a_client_may_leave_while_nothing_is_expected_of_it():
    with LoopbackAgent([Pause(60)]) as agent:
        with client_of(agent, initiate=False):
            agent.wait_for_connection()
        connection = agent.wait_for_connection()
        assert connection.closed.wait(5)
    assert agent.failures == []


def test_what_was_sent_before_the_agent_stops_still_counts():
    agent = LoopbackAgent([Expect("user_message", count=200)])
    agent.start()
    with client_of(agent) as client:
        client.receive()
        for _ in range(200):
            client.send(type="user_message", text="now")
        agent.stop()
    assert agent.failures == []


def test_an_error_in_the_body_is_not_masked_by_failures():
    with pytest.raises(KeyError), conversation([Expect("pong", timeout=60)]):
        raise KeyError


def test_failures_that_a_test_provokes_can_be_forgiven():
    with LoopbackAgent([Expect("pong", timeout=0.01)]) as agent, client_of(agent) as client:
        assert client.receive_close()[0] == 1011
        assert len(agent.forgive()) == 1
        assert agent.failures == []
