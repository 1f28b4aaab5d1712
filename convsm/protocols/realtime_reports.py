"""What servers of the realtime kind tell beyond what moves a session: payloads of ``Informed(message)``.

Such a server keeps the conversation as items and lets the client own the turn, so it tells what becomes of
both. A field that the server left out is None or empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

__all__ = [
    "ArgumentsPart",
    "ContentPart",
    "ConversationOpened",
    "DtmfReceived",
    "ItemChanged",
    "McpToolsListed",
    "RateLimit",
    "RateLimits",
    "ServerPlayout",
    "SessionSettings",
    "TokenUsage",
    "TranscriptSegment",
    "TranscriptionFailed",
    "UserAudioCleared",
    "UserAudioCommitted",
    "UserAudioRefused",
    "UserIdle",
    "UserSpeech",
]


@attrs.frozen
class SessionSettings:
    """The settings of the session, as the server holds them.

    Attributes:
        settings: All of them, in the protocol's own form.
        is_update: Whether they changed; else they are those that the session began with.
    """

    settings: Mapping[str, Any] = attrs.field(repr=False)
    is_update: bool = False


@attrs.frozen
class ConversationOpened:
    """The server made the conversation that items belong to.

    Attributes:
        conversation_id: Its id.
    """

    conversation_id: str | None = None


@attrs.frozen
class ItemChanged:
    """Something happened to an item of the conversation.

    Attributes:
        change: ``created``, ``added``, ``done``, ``retrieved``, ``truncated`` or ``deleted``.
        item_id: Id of the item.
        item: The item, in the protocol's own form; empty where only its id was told.
        previous_item_id: The item before it.
        turn: Number of the turn that brought it.
        heard_ms: Milliseconds that are left of its audio, where it was truncated.
    """

    change: str
    item_id: str | None = None
    item: Mapping[str, Any] = attrs.field(factory=dict)
    previous_item_id: str | None = None
    turn: int | None = None
    heard_ms: float | None = None


@attrs.frozen
class ContentPart:
    """A part of an item of the agent's begins or is complete.

    Attributes:
        change: ``added`` or ``done``.
        item_id: Id of the item.
        part: The part, in the protocol's own form.
        turn: Number of the turn.
    """

    change: Literal["added", "done"]
    item_id: str | None = None
    part: Mapping[str, Any] = attrs.field(factory=dict)
    turn: int | None = None


@attrs.frozen
class TranscriptSegment:
    """A piece of what was said, with who said it.

    Attributes:
        text: The words.
        speaker: The speaker, as the server tells them apart.
        start_seconds: Where it begins, in seconds of the item's audio.
        end_seconds: Where it ends.
        item_id: Id of the item.
    """

    text: str
    speaker: str | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    item_id: str | None = None


@attrs.frozen
class TranscriptionFailed:
    """What the user said in a piece of audio will not be told.

    Attributes:
        item_id: Id of its item.
    """

    item_id: str | None = None


@attrs.frozen
class UserSpeech:
    """The server heard the user begin to speak, or end.

    Attributes:
        is_speaking: Whether they speak now.
        at_ms: Where in all of the session's user audio, in milliseconds.
        item_id: Id of the item that the speech becomes.
    """

    is_speaking: bool
    at_ms: float | None = None
    item_id: str | None = None


@attrs.frozen
class UserAudioCommitted:
    """The user's audio so far became a turn of theirs.

    Attributes:
        item_id: Id of its item.
    """

    item_id: str | None = None


@attrs.frozen
class UserAudioRefused:
    """There was no audio to make a turn of, or too little."""


@attrs.frozen
class UserAudioCleared:
    """The user's audio that was no turn yet was thrown away."""


@attrs.frozen
class UserIdle:
    """The user said nothing for so long that the agent speaks up.

    Attributes:
        start_ms: Where the silence begins in the session's user audio, in milliseconds.
        end_ms: Where it ends.
        item_id: Id of the item that the silence becomes.
    """

    start_ms: float | None = None
    end_ms: float | None = None
    item_id: str | None = None


@attrs.frozen
class DtmfReceived:
    """Somebody pressed a key of a telephone.

    Attributes:
        key: The key.
        at: When, in seconds since the epoch.
    """

    key: str
    at: float | None = None


@attrs.frozen
class ServerPlayout:
    """The server plays its audio itself, to a telephone say, and tells how that goes.

    Attributes:
        change: ``started``, ``stopped`` or ``cleared``.
        turn: Number of the turn.
    """

    change: str
    turn: int | None = None


@attrs.frozen
class ArgumentsPart:
    """The arguments of a tool call while they are written. What is to be run comes as ``ToolCalled``.

    Attributes:
        call_id: Id of the call.
        kind: ``delta`` for a piece, ``stop`` for all of them at the end.
        text: JSON, or a piece of it.
        turn: Number of the turn.
    """

    call_id: str
    kind: Literal["delta", "stop"]
    text: str
    turn: int | None = None


@attrs.frozen
class McpToolsListed:
    """The server asks an MCP server for its tools.

    Attributes:
        item_id: Id of the item that lists them.
        state: ``in_progress``, ``completed`` or ``failed``.
    """

    item_id: str | None
    state: str


@attrs.frozen
class RateLimit:
    """One limit on what may be asked.

    Attributes:
        name: What is counted, such as ``requests`` or ``tokens``.
        limit: The most of it.
        remaining: What is left.
        reset_seconds: When it begins anew.
    """

    name: str | None = None
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


@attrs.frozen
class RateLimits:
    """The limits on what may be asked, as they are now.

    Attributes:
        limits: All of them.
    """

    limits: tuple[RateLimit, ...] = ()


@attrs.frozen
class TokenUsage:
    """What a response, or a transcript, cost.

    Attributes:
        usage: Counts in the protocol's own form.
        turn: Number of the turn; None for a transcript.
    """

    usage: Mapping[str, Any]
    turn: int | None = None
