"""What the machine itself has to say to the server: the payloads of its own Transmit effects."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

__all__ = [
    "Approval",
    "CancelReply",
    "Interruption",
    "ItemHeard",
    "Pong",
    "RequestReply",
    "ToolResult",
]


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


@attrs.frozen
class RequestReply:
    """Message: asks the server for a response, where it does not give one by itself.

    Attributes:
        instructions: What holds for this response in place of the session's instructions.
        options: More settings of this response, as the protocol names them.
    """

    instructions: str | None = None
    options: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen
class CancelReply:
    """Message: tells the server to stop generating its response."""


@attrs.frozen
class ItemHeard:
    """Message: how much of something that was cut was heard; of the rest the agent shall know nothing.

    Attributes:
        item: The server's id of it.
        audio_bytes: How much was heard, in the session's output format; 0 for nothing.
    """

    item: str
    audio_bytes: int
