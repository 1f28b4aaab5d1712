"""What a user answers by hand: tool calls and approvals; shared by the shells."""

from __future__ import annotations

from typing import Protocol

from convsm.machine.events import AnswerCall, DecideApproval, Event
from convsm.protocols.elevenlabs import TOOL_ERROR_TYPES
from convsm.runtime.tool_outcome import result_text

__all__ = ["Answers", "Decider", "answer_by_hand"]


class Decider(Protocol):
    """The part of a driver that takes answers."""

    def command(self, event: Event) -> None:
        """Take an answer, or raise RefusedCommand."""


class Answers:
    """The methods of a conversation that answer by hand; its shell says which driver is meant."""

    def _started(self, call: str) -> Decider:
        raise NotImplementedError

    def send_tool_result(
        self, tool_call_id: str, result: object, is_error: bool = False, error_type: str | None = None
    ) -> None:
        """Answer an open tool call by hand; what its handler still returns is ignored.

        Args:
            tool_call_id: Id of the call.
            result: Whatever a handler may return; what JSON cannot hold is sent as an error.
            is_error: Whether the tool failed.
            error_type: Class of the failure, as in ToolError; makes it one.

        Raises:
            RuntimeError: There is no session, it is ending, or no result is awaited under that id: it is
                unknown, answered, or expects none.
            ValueError: There is no such class of failures.
        """
        driver = self._started("send_tool_result")
        driver.command(answer_by_hand(tool_call_id, result, is_error, error_type))

    def send_mcp_approval(self, tool_call_id: str, is_approved: bool) -> None:
        """Decide by hand whether a tool of an MCP server may run; a handler's decision is ignored then.

        Raises:
            RuntimeError: There is no session, it is ending, or that call does not await approval.
        """
        self._started("send_mcp_approval").command(DecideApproval(tool_call_id, is_approved is True))


def answer_by_hand(call_id: str, result: object, is_error: bool, error_type: str | None) -> AnswerCall:
    """Make the command that answers a tool call of the arguments of ``send_tool_result``.

    Raises:
        ValueError: The type of the failure is none of the protocol's.
    """
    if error_type is not None and error_type not in TOOL_ERROR_TYPES:
        known = ", ".join(sorted(TOOL_ERROR_TYPES))
        raise ValueError(f"error_type is {error_type!r}; choose one of {known}")
    outcome = result_text(call_id, result)
    failed = is_error or outcome.is_error or error_type is not None
    return AnswerCall(call_id, outcome.text, failed, error_type or outcome.error_type)
