"""What the machine itself has to say to the server: the payloads of its own Transmit effects."""

from __future__ import annotations

import attrs

__all__ = ["Approval", "Interruption", "Pong", "ToolResult"]


@attrs.frozen
class Pong:
    """Message: the answer to a ping.

    Attributes:
        ping_id: The ping's id, unchanged.
    """

    ping_id: float


@attrs.frozen
class ToolResult:
    """Message: the one answer to a tool call.

    Attributes:
        call_id: Id of the call.
        result: The result, always a string.
        is_error: Whether the tool failed.
        error_type: The protocol's class of the failure, if any.
    """

    call_id: str
    result: str
    is_error: bool = False
    error_type: str | None = None


@attrs.frozen
class Approval:
    """Message: the one answer to what the server wanted approved.

    Attributes:
        call_id: Id of the call that awaits approval.
        is_approved: Whether it may run.
    """

    call_id: str
    is_approved: bool


@attrs.frozen
class Interruption:
    """Message: the user silenced the agent here, so it should stop.

    Attributes:
        turn: The latest turn of which something was handed over; None if it had no number.
    """

    turn: int | None
