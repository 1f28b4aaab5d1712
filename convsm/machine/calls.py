"""The events of calls: of tools that the client runs, and of the server's own that it wants approved."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from convsm.machine.base import Event

__all__ = [
    "AnswerCall",
    "ApprovalAsked",
    "ApprovalDecided",
    "ApprovalWithdrawn",
    "DecideApproval",
    "ToolCalled",
    "ToolCompleted",
]


@attrs.frozen
class ToolCalled(Event):
    """The agent calls a tool of the client.

    Attributes:
        call_id: Id of this call; answered at most once.
        name: Name of the tool.
        parameters: Arguments as the server sent them.
        expects_response: Whether the agent waits for the result.
    """

    call_id: str
    name: str
    parameters: Mapping[str, object] = attrs.field(factory=dict)
    expects_response: bool = True


@attrs.frozen
class ToolCompleted(Event):
    """A tool handler returned, raised or timed out; or what nobody handles was given up.

    Attributes:
        call_id: Id of the call.
        result: The answer as the one string that the wire allows.
        is_error: Whether the handler failed.
        error_type: The protocol's class of the failure, if any.
    """

    call_id: str
    result: str
    is_error: bool = False
    error_type: str | None = None


@attrs.frozen
class AnswerCall(Event):
    """Answer an open tool call by hand, instead of its handler.

    Attributes:
        call_id: Id of the call.
        result: The answer as the one string that the wire allows.
        is_error: Whether the tool failed.
        error_type: The protocol's class of the failure, if any.
    """

    call_id: str
    result: str
    is_error: bool = False
    error_type: str | None = None


@attrs.frozen
class ApprovalAsked(Event):
    """The server wants to run a tool of its own and asks whether it may.

    Attributes:
        call_id: Id of that call; answered at most once.
        request: Typed payload of the protocol: what is to be approved.
        seconds: How long the server waits for the answer.
    """

    call_id: str
    request: object
    seconds: float = 300.0


@attrs.frozen
class ApprovalWithdrawn(Event):
    """A call went on, or ended, and needs no approval any more.

    Attributes:
        call_id: Id of that call.
    """

    call_id: str


@attrs.frozen
class ApprovalDecided(Event):
    """The approval handler decided, or failed, which is a no.

    Attributes:
        call_id: Id of the call that awaits approval.
        is_approved: Whether it may run.
    """

    call_id: str
    is_approved: bool


@attrs.frozen
class DecideApproval(Event):
    """Decide by hand on what the server wants approved, instead of the handler.

    Attributes:
        call_id: Id of the call that awaits approval.
        is_approved: Whether it may run.
    """

    call_id: str
    is_approved: bool
