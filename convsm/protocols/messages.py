"""Typed messages that protocols share, beyond what moves a session.

What the user says goes out in ``Send(message)`` and is defined here; what the server tells comes in
``Informed(message)`` and is only named here. ``Pong``, ``ToolResult`` and ``Approval`` are the machine's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Literal

import attrs

from convsm.protocols.reports import (
    AgentResponseCorrection,
    AgentTyping,
    AsrMetadata,
    AudioAlignment,
    AudioEventAlignment,
    ContextualUpdateReceived,
    ContextUsage,
    DtmfRequest,
    ExternalAgentConnected,
    ExternalAgentDisconnected,
    GuardrailTriggered,
    ReasoningPart,
    ResponseComplete,
    ResponseMetadata,
    RichContent,
    ServerError,
    TentativeAgentResponse,
    TentativeTranscript,
    TurnProbability,
    UnknownMessage,
    VadScore,
)
from convsm.protocols.tool_reports import (
    AgentToolRequest,
    AgentToolResponse,
    McpConnectionStatus,
    McpIntegration,
    McpToolCall,
)

__all__ = [
    "AgentChatResponsePartType",
    "AgentResponseCorrection",
    "AgentToolRequest",
    "AgentToolResponse",
    "AgentTyping",
    "AsrMetadata",
    "AudioAlignment",
    "AudioEventAlignment",
    "ContextUsage",
    "ContextualUpdate",
    "ContextualUpdateReceived",
    "DtmfRequest",
    "ExternalAgentConnected",
    "ExternalAgentDisconnected",
    "Feedback",
    "GuardrailTriggered",
    "McpConnectionStatus",
    "McpIntegration",
    "McpToolCall",
    "MultimodalMessage",
    "ReasoningPart",
    "ResponseComplete",
    "ResponseMetadata",
    "RichContent",
    "ServerError",
    "TentativeAgentResponse",
    "TentativeTranscript",
    "TurnProbability",
    "UnknownMessage",
    "UserActivity",
    "UserMessage",
    "VadScore",
]


class AgentChatResponsePartType(str, Enum):
    """The kind of a streamed part of the agent's text. A kind nobody has heard of is a DELTA."""

    START = "start"
    DELTA = "delta"
    STOP = "stop"

    @classmethod
    def _missing_(cls, value: object) -> AgentChatResponsePartType:
        return cls.DELTA


@attrs.frozen
class UserMessage:
    """Say something in text; it counts as a turn of the user's and interrupts.

    Attributes:
        text: What to say.
        user_identifier: Who says it, where several do.
        rich_content_id: The RichContent that it answers.
    """

    text: str
    user_identifier: str | None = None
    rich_content_id: str | None = None


@attrs.frozen
class UserActivity:
    """The user is busy, typing say: the agent is to wait."""


@attrs.frozen
class ContextualUpdate:
    """Tell the agent something that is no turn and interrupts nothing.

    Attributes:
        text: What to tell.
        context_id: A newer update of the same id supersedes this one.
    """

    text: str
    context_id: str | None = None


def _tuple(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(ids)


@attrs.frozen
class MultimodalMessage:
    """Say something in text, or show files that were uploaded, or both, as one turn of the user's.

    Attributes:
        text: What to say.
        file_ids: Ids of the files.
        user_identifier: Who says it, where several do; it travels with the text.
    """

    text: str | None = None
    file_ids: tuple[str, ...] = attrs.field(default=(), converter=_tuple)
    user_identifier: str | None = None


@attrs.frozen
class Feedback:
    """Rate a response of the agent's.

    Attributes:
        event_id: Number of its turn.
        score: ``like``, ``dislike``, or None to take a rating back. Anything else raises ValueError.
    """

    event_id: int
    score: Literal["like", "dislike"] | None = attrs.field(
        validator=attrs.validators.in_(("like", "dislike", None))
    )
