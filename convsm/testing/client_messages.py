"""How a loopback agent looks at the client's messages: what is wrong with one, and which one is meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pybase64

__all__ = [
    "Matcher",
    "Received",
    "Required",
    "decode_audio",
    "describe",
    "find_fault",
    "is_match",
    "name_kind",
]

# The user's audio in the protocols that loopback agents speak: the message, as its type or its only key,
# and where the audio stands in it.
AUDIO = {"user_audio_chunk": "user_audio_chunk", "input_audio_buffer.append": "audio"}

Matcher = str | Callable[[dict[str, Any]], bool]

Required = Mapping[str, Mapping[str, type | tuple[type, ...]]]

# What the service itself insists on in the client's messages: it closes with 1008 without it.
REQUIRED: Required = {
    "client_tool_result": {"tool_call_id": str, "result": str, "is_error": bool},
    "contextual_update": {"text": str},
    "conversation_initiation_client_data": {},
    "enclave_setup_config": {},
    "feedback": {"event_id": int, "score": (str, type(None))},
    "mcp_tool_approval_result": {"tool_call_id": str, "is_approved": bool},
    "multimodal_message": {},
    "pong": {"event_id": (int, float, str)},
    "user_activity": {},
    "user_message": {},
}


@attrs.frozen
class Received:
    """A message of the client's.

    Attributes:
        message: As parsed from its JSON.
        at: When it arrived, in seconds of ``time.monotonic()``.
    """

    message: dict[str, Any]
    at: float


def find_fault(message: object, required: Required = REQUIRED) -> str | None:
    """Tell what the service would reject in parsed JSON, without its payload; None if nothing.

    Args:
        message: The parsed JSON.
        required: The fields that messages must have, and the types of these, by type of message.
    """
    if not isinstance(message, dict):
        return "it is not a JSON object"
    if "user_audio_chunk" in message:
        return None
    message_type = message.get("type")
    if not isinstance(message_type, str) or message_type not in required:
        return f"the type {message_type!r} is unknown"
    for field, kinds in required[message_type].items():
        if field not in message:
            return f"{message_type} lacks {field}"
        if not isinstance(message[field], kinds):
            return f"{field} of {message_type} is of type {type(message[field]).__name__}"
    return None


def name_kind(message: dict[str, Any]) -> str:
    """Name the type of a message, ``user_audio`` for audio."""
    return "user_audio" if _audio_key(message) else str(message.get("type"))


def _audio_key(message: dict[str, Any]) -> str | None:
    kind = "user_audio_chunk" if "user_audio_chunk" in message else message.get("type")
    return AUDIO.get(kind) if isinstance(kind, str) else None


def decode_audio(message: object, fault: str | None) -> tuple[bytes, str | None]:
    """Return the user's audio in parsed JSON, if any, and the fault, one of its base64 included."""
    key = _audio_key(message) if isinstance(message, dict) else None
    if key is None or key not in message:  # type: ignore[operator]
        return b"", fault
    try:
        return pybase64.b64decode(message[key], validate=True), fault  # type: ignore[index]
    except (TypeError, ValueError):
        return b"", f"{key} is not a base64 string"


def is_match(what: Matcher, message: dict[str, Any]) -> bool:
    """Tell whether a message is of a type (``"user_audio"`` for the user's audio) or meets a predicate."""
    if not isinstance(what, str):
        return what(message)
    return name_kind(message) == what or (what != "user_audio" and message.get("type") == what)


def describe(what: Matcher) -> str:
    """Name what is looked for among the client's messages."""
    return what if isinstance(what, str) else str(getattr(what, "__name__", what))
