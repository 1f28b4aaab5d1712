"""The steps of a loopback agent's script about MCP: calls that need approval, and connected servers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from convsm.testing.client_messages import is_match
from convsm.testing.expectations import TIMEOUT_SECONDS, ScriptFailure
from convsm.testing.script import Message, MessageStep, Step

if TYPE_CHECKING:
    from convsm.testing.connection import LoopbackConnection

__all__ = ["CallMcp", "ExpectApproval", "ReportMcpServers"]


@attrs.frozen
class CallMcp(MessageStep):
    """Report the state of a call of an MCP tool; the client answers ``awaiting_approval``.

    Attributes:
        name: Name of the tool.
        call_id: Id of the call, which the approval repeats.
        parameters: Its arguments.
        state: ``awaiting_approval``, ``loading``, ``success`` or ``failure``.
        approval_timeout: Seconds that the server says to wait for an approval; None leaves the key out.
        result: Content blocks, sent on success.
        error_message: What failed, sent on failure.
        service_id: Id of the MCP server.
        description: What the tool does; None leaves the key out.
        timestamp: When the call was made.
    """

    name: str
    call_id: str = "mcp_call_1"
    parameters: Message = attrs.field(factory=dict)
    state: str = "awaiting_approval"
    approval_timeout: float | None = attrs.field(default=300, kw_only=True)
    result: Sequence[Message] = attrs.field(default=(), kw_only=True)
    error_message: str = attrs.field(default="The tool failed.", kw_only=True)
    service_id: str = attrs.field(default="mcp_server_1", kw_only=True)
    description: str | None = attrs.field(default=None, kw_only=True)
    timestamp: str = attrs.field(default="2025-01-01T00:00:00Z", kw_only=True)

    def _messages(self) -> Iterable[Message]:
        call: dict[str, Any] = {
            "service_id": self.service_id,
            "tool_call_id": self.call_id,
            "tool_name": self.name,
            "parameters": dict(self.parameters),
            "timestamp": self.timestamp,
            "state": self.state,
        }
        if self.description is not None:
            call["tool_description"] = self.description
        if self.state == "awaiting_approval" and self.approval_timeout is not None:
            call["approval_timeout_secs"] = self.approval_timeout
        elif self.state == "success":
            call["result"] = [dict(block) for block in self.result]
        elif self.state == "failure":
            call["error_message"] = self.error_message
        return [{"type": "mcp_tool_call", "mcp_tool_call": call}]


@attrs.frozen
class ReportMcpServers(MessageStep):
    """Report the agent's MCP servers, as after one connected or was lost.

    Attributes:
        tool_counts: Id of each server and how many tools it offers; None if it is not connected.
    """

    tool_counts: Mapping[str, int | None]

    def _messages(self) -> Iterable[Message]:
        integrations = [
            {
                "integration_id": server,
                "integration_type": "mcp_server",
                "is_connected": count is not None,
                "tool_count": count or 0,
            }
            for server, count in self.tool_counts.items()
        ]
        return [{"type": "mcp_connection_status", "mcp_connection_status": {"integrations": integrations}}]


@attrs.frozen
class ExpectApproval(Step):
    """Expect the client's decision about a call of an MCP tool.

    Attributes:
        call_id: Id of the call.
        is_approved: What it must be; None for either.
        timeout: Seconds after which the script fails.
    """

    call_id: str = "mcp_call_1"
    is_approved: bool | None = None
    timeout: float = attrs.field(default=TIMEOUT_SECONDS, kw_only=True)

    @property
    def expects(self) -> bool:
        """Always."""
        return True

    def perform(self, connection: LoopbackConnection) -> None:
        """Wait for it."""
        message = connection.take(self._decides, 1, self.timeout)
        decision = message.get("is_approved")
        if type(decision) is not bool or self.is_approved not in (None, decision):
            wanted = "a bool" if self.is_approved is None else repr(self.is_approved)
            raise ScriptFailure(f"The client's is_approved is {decision!r}, not {wanted}.")

    def _decides(self, message: dict[str, Any]) -> bool:
        return is_match("mcp_tool_approval_result", message) and message.get("tool_call_id") == self.call_id
