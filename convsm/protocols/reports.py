"""What servers tell beyond what moves a session: the payloads that ``Informed(message)`` carries.

A field that the server left out is None, False or empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

__all__ = [
    "AgentResponseCorrection",
    "AgentTyping",
    "AsrMetadata",
    "AudioAlignment",
    "AudioEventAlignment",
    "ContextUsage",
    "ContextualUpdateReceived",
    "DtmfRequest",
    "ExternalAgentConnected",
    "ExternalAgentDisconnected",
    "GuardrailTriggered",
    "ReasoningPart",
    "ResponseComplete",
    "ResponseMetadata",
    "RichContent",
    "ServerError",
    "TentativeAgentResponse",
    "TentativeTranscript",
    "TurnProbability",
    "UnknownMessage",
    "VadScore",
]


def _texts(value: list[str] | None) -> list[str]:
    return [] if value is None else value


def _times(value: list[float] | None) -> list[float]:
    return [] if value is None else value


@attrs.frozen
class AudioEventAlignment:
    """When each character of a piece of speech is spoken. Lists are as the server sent them.

    Attributes:
        chars: The characters.
        char_start_times_ms: Start of each, in milliseconds from the start of the piece.
        char_durations_ms: Duration of each, in milliseconds.
    """

    chars: list[str] = attrs.field(factory=list, converter=_texts)
    char_start_times_ms: list[float] = attrs.field(factory=list, converter=_times)
    char_durations_ms: list[float] = attrs.field(factory=list, converter=_times)


@attrs.frozen
class TentativeTranscript:
    """What the user seems to be saying; the final transcript may differ.

    Attributes:
        text: The transcript so far.
        turn: Number of the turn.
        item_id: Id of the piece of the user's audio that it is of.
    """

    text: str
    turn: int | None = None
    item_id: str | None = None


@attrs.frozen
class AgentResponseCorrection:
    """What the agent really said before it was cut.

    Attributes:
        original: The text that was to be spoken.
        corrected: The text that was spoken.
        turn: Number of the turn that was cut.
    """

    original: str
    corrected: str
    turn: int | None = None


@attrs.frozen
class ResponseMetadata:
    """What a custom language model attached to its response.

    Attributes:
        metadata: Free form.
        turn: Number of the turn.
    """

    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    turn: int | None = None


@attrs.frozen
class ResponseComplete:
    """The agent's response is generated; it may still be spoken.

    Attributes:
        turn: Number of the turn.
    """

    turn: int | None = None


@attrs.frozen
class ReasoningPart:
    """A streamed piece of the agent's reasoning.

    Attributes:
        kind: ``start`` and ``stop`` frame the ``delta`` parts.
        text: The piece; empty for start and stop.
        event_id: The server's id, which is no number here.
    """

    kind: Literal["start", "delta", "stop"]
    text: str = ""
    event_id: str | None = None


@attrs.frozen
class VadScore:
    """How sure the server is that the user is speaking. Sent often, where the agent is set to.

    Attributes:
        score: From 0 to 1.
    """

    score: float | None = None


@attrs.frozen
class ContextUsage:
    """How full the language model's context is.

    Attributes:
        model: Name of the model.
        tokens: Tokens in use.
        limit: Tokens that fit.
        turn: Number of the turn.
    """

    model: str | None = None
    tokens: int | None = None
    limit: int | None = None
    turn: int | None = None


@attrs.frozen
class GuardrailTriggered:
    """A guardrail stopped the agent.

    Attributes:
        name: Name of the guardrail.
    """

    name: str | None = None


@attrs.frozen
class ServerError:
    """The server reports an error, usually right before it closes.

    Attributes:
        kind: The message's type: ``error``, or ``client_error`` when the server blames the client.
        message: What happened.
        code: The close code to come, or a code of the server's own.
        name: Name of the error.
        error_type: Class of the error, such as ``llm_timeout``.
        reason: The reason without details.
        debug_message: Details, for those whom the server trusts with them.
        details: More, in free form.
    """

    kind: str
    message: str | None = None
    code: int | str | None = None
    name: str | None = None
    error_type: str | None = None
    reason: str | None = None
    debug_message: str | None = None
    details: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class AsrMetadata:
    """How the server's speech recognition was set up.

    Attributes:
        metadata: Free form.
    """

    metadata: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class TurnProbability:
    """How sure the server is that the user's turn is over. Internal to the vendor.

    Attributes:
        probability: From 0 to 1.
    """

    probability: float | None = None


@attrs.frozen
class TentativeAgentResponse:
    """What the agent would say if the user's turn were over. Internal to the vendor.

    Attributes:
        text: The text.
    """

    text: str


@attrs.frozen
class RichContent:
    """Something to show beside the conversation.

    Attributes:
        content_id: Its id; a UserMessage that answers it names it.
        component: What to show.
        props: What to show it with.
        turn: Number of the turn.
    """

    content_id: str | None = None
    component: str | None = None
    props: Mapping[str, Any] = attrs.field(factory=dict)
    turn: int | None = None


@attrs.frozen
class AgentTyping:
    """A human who took over is typing, or stopped.

    Attributes:
        is_typing: Whether they type.
        duration_ms: For how long to show it, in milliseconds.
    """

    is_typing: bool = True
    duration_ms: float | None = None


@attrs.frozen
class ExternalAgentConnected:
    """A human took the conversation over from the agent."""


@attrs.frozen
class ExternalAgentDisconnected:
    """The human who took over left."""


@attrs.frozen
class DtmfRequest:
    """The agent asks for keys of a telephone. Its shape is not published.

    Attributes:
        body: The message as it came.
    """

    body: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class ContextualUpdateReceived:
    """The server passes a contextual update on.

    Attributes:
        text: The update.
    """

    text: str


@attrs.frozen
class AudioAlignment:
    """Character timing that comes apart from its audio.

    Attributes:
        alignment: The timing.
        turn: Number of the turn.
    """

    alignment: AudioEventAlignment = attrs.field(factory=AudioEventAlignment)
    turn: int | None = None


@attrs.frozen
class UnknownMessage:
    """A message of a type that this version does not know.

    Attributes:
        kind: The type, as it came.
        body: The message, as it came.
    """

    kind: str
    body: Mapping[str, Any]
