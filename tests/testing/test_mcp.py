from __future__ import annotations

import json

import pytest

from convsm.protocols.elevenlabs import ElevenLabsCodec
from convsm.testing import CallMcp, ExpectApproval, ReportMcpServers
from tests.testing.loopback_clients import (  # noqa: F401 (a fixture)
    conversation,
    failing_conversation,
    no_thread_is_left,
)


def body_of(step):
    [message] = step._messages()
    return message[message["type"]]


def test_a_call_says_what_belongs_to_its_state():
    common = {
        "service_id": "mcp_server_1",
        "tool_call_id": "c9",
        "tool_name": "book",
        "parameters": {"seats": 2},
        "timestamp": "2025-01-01T00:00:00Z",
    }
    call = ("book", "c9", {"seats": 2})
    assert body_of(CallMcp(*call)) == {**common, "state": "awaiting_approval", "approval_timeout_secs": 300}
    assert body_of(CallMcp(*call, approval_timeout=None)) == {**common, "state": "awaiting_approval"}
    assert body_of(CallMcp(*call, "loading", description="Books.")) == {
        **common,
        "state": "loading",
        "tool_description": "Books.",
    }
    block = {"type": "text", "text": "Booked"}
    assert body_of(CallMcp(*call, "success", result=[block])) == {
        **common,
        "state": "success",
        "result": [block],
    }
    assert body_of(CallMcp(*call, "failure", error_message="Full")) == {
        **common,
        "state": "failure",
        "error_message": "Full",
    }


def test_servers_are_reported_connected_or_not():
    assert body_of(ReportMcpServers({"a": 3, "b": None})) == {
        "integrations": [
            {
                "integration_id": "a",
                "integration_type": "mcp_server",
                "is_connected": True,
                "tool_count": 3,
            },
            {
                "integration_id": "b",
                "integration_type": "mcp_server",
                "is_connected": False,
                "tool_count": 0,
            },
        ]
    }


@pytest.mark.parametrize("step", [CallMcp("book"), ReportMcpServers({"a": None})])
def test_the_codec_understands_what_is_scripted(step):
    [message] = step._messages()
    kinds = {type(event).__name__ for event in ElevenLabsCodec().decode(json.dumps(message))}
    assert kinds <= {"Informed", "ApprovalAsked"}


def test_an_approval_is_waited_for_by_its_call():
    script = [CallMcp("book", "c9"), ExpectApproval("c9", True), ExpectApproval("c8"), {"type": "done"}]
    with conversation(script) as (connection, client):
        assert client.receive_types(1) == ["mcp_tool_call"]
        for call_id, is_approved in (("c8", False), ("c9", True)):
            client.send(type="mcp_tool_approval_result", tool_call_id=call_id, is_approved=is_approved)
        assert client.receive_types(1) == ["done"]
    assert connection.failures == []


@pytest.mark.parametrize(
    ("is_approved", "wanted", "problem"),
    [(False, True, "is False, not True"), (1, True, "is 1, not True"), ("yes", None, "is 'yes', not a bool")],
)
def test_a_decision_that_is_wrong_fails_the_script(is_approved, wanted, problem):
    with failing_conversation([ExpectApproval("c9", wanted)]) as (_, client, report):
        client.send(type="mcp_tool_approval_result", tool_call_id="c9", is_approved=is_approved)
        assert client.receive_close()[0] == 1011
    assert f"is_approved {problem}" in report[0]
