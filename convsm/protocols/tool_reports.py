"""What servers tell about tools that they run or have run: payloads that ``Informed(message)`` carries.

A field that the server left out is None, False or empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = [
    "AgentToolRequest",
    "AgentToolResponse",
    "McpConnectionStatus",
    "McpIntegration",
    "McpToolCall",
]


@attrs.frozen
class AgentToolRequest:
    """The agent uses a tool, whoever runs it. The client runs only what ``ToolCalled`` asks for.

    Attributes:
        call_id: Id of the call.
        name: Name of the tool.
        tool_type: Who runs it, such as ``client``, ``webhook``, ``mcp`` or ``system``.
        turn: Number of the turn.
        expects_response: Whether the agent waits for the result.
        disable_interruptions: Whether the user cannot interrupt meanwhile.
        response_timeout_seconds: How long the agent waits.
        execution_mode: When it runs, such as ``immediate``, ``post_tool_speech`` or ``async``.
    """

    call_id: str
    name: str
    tool_type: str | None = None
    turn: int | None = None
    expects_response: bool | None = None
    disable_interruptions: bool | None = None
    response_timeout_seconds: float | None = None
    execution_mode: str | None = None


@attrs.frozen
class AgentToolResponse:
    """A tool that the agent used is done.

    Attributes:
        call_id: Id of the call.
        name: Name of the tool.
        tool_type: Who ran it, such as ``client``, ``webhook``, ``mcp`` or ``system``.
        is_error: Whether it failed.
        is_called: Whether it ran at all.
        is_blocked: Whether something forbade the call.
        turn: Number of the turn.
        full_result: The result, where the agent is set to send it.
        is_truncated: Whether that result was too long to be sent whole.
    """

    call_id: str
    name: str
    tool_type: str | None = None
    is_error: bool = False
    is_called: bool = True
    is_blocked: bool = False
    turn: int | None = None
    full_result: str | None = None
    is_truncated: bool = False


@attrs.frozen
class McpToolCall:
    """A call of a tool on an MCP server changed its state.

    Attributes:
        call_id: Id of the call; the decision about it names it.
        name: Name of the tool.
        state: ``loading``, ``awaiting_approval``, ``success`` or ``failure``.
        service_id: Id of the MCP server.
        description: What the tool does.
        parameters: Arguments of the call.
        timestamp: When the call was made, as the server wrote it.
        approval_timeout_seconds: How long the server waits for an approval.
        result: Content blocks, on success.
        error_message: What failed, on failure.
    """

    call_id: str
    name: str
    state: str | None = None
    service_id: str | None = None
    description: str | None = None
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    timestamp: str | None = None
    approval_timeout_seconds: float | None = None
    result: tuple[Any, ...] = ()
    error_message: str | None = None


@attrs.frozen
class McpIntegration:
    """One MCP server of the agent.

    Attributes:
        integration_id: Its id.
        integration_type: ``mcp_server`` or ``mcp_integration``.
        is_connected: Whether it is connected.
        tool_count: How many tools it offers.
    """

    integration_id: str | None = None
    integration_type: str | None = None
    is_connected: bool = False
    tool_count: int = 0


@attrs.frozen
class McpConnectionStatus:
    """The agent's MCP servers, after one connected or was lost.

    Attributes:
        integrations: All of them.
    """

    integrations: tuple[McpIntegration, ...] = ()
