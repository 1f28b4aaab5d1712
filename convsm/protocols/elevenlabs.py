"""The ElevenLabs agents protocol: JSON text frames, audio in base64, one codec for both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import pybase64

from convsm.errors import ConfigurationError, ProtocolError
from convsm.machine.effects import Approval, Interruption, Pong, ToolResult
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    Event,
    Interrupted,
    Pinged,
    SessionReady,
    TextPart,
    ToolCalled,
    UserTranscript,
)
from convsm.protocols.capabilities import Capabilities
from convsm.protocols.elevenlabs_reports import REPORTS, Decoder, alignment, part_text
from convsm.protocols.messages import (
    ContextualUpdate,
    Feedback,
    MultimodalMessage,
    UserActivity,
    UserMessage,
)
from convsm.protocols.reading import decode_frame
from convsm.protocols.wire import (
    Json,
    Wrong,
    dump,
    flag,
    mapping,
    maybe_text,
    needed,
    number,
    part_kind,
    text,
    whole,
)

__all__ = ["CAPABILITIES", "DECODERS", "ENCODERS", "TOOL_ERROR_TYPES", "ElevenLabsCodec"]

CAPABILITIES = Capabilities(
    protocol="ElevenLabs agents",
    server_turn_detection=True,
    interim_transcripts=True,
    user_transcripts=True,
    interruption_event=True,
    needs_continuous_audio=True,
    user_activity=True,
    feedback=True,
    uploaded_files=True,
    mcp_approval=True,
    audio_alignment=True,
    latency_pings=True,
    response_corrections=True,
    agent_reports=True,
)

# What a tool result may call its failure; the server closes on any other.
TOOL_ERROR_TYPES = frozenset(
    {"user_rejected", "external_server", "external_client", "customer_auth", "client_timeout", "unknown"}
)

_DEFAULT_FORMAT = "pcm_16000"


def _turn(body: Json) -> int:
    turn = whole(body.get("event_id"))
    if turn is None:
        raise Wrong("event_id", "missing" if body.get("event_id") is None else "not a whole number")
    return turn


# From the server


def _audio(message: Json) -> tuple[Event, ...]:
    # The hot path, written out: most of what a call receives is audio.
    body = message.get("audio_event")
    if type(body) is not dict:
        body = needed(message, "audio_event")
    turn = body.get("event_id")
    if type(turn) is not int:
        turn = _turn(body)
    encoded = body.get("audio_base_64")
    if type(encoded) is not str:
        encoded = text(body, "audio_base_64")
    try:
        audio = pybase64.b64decode(encoded, validate=True)
    except ValueError:
        raise Wrong("audio_base_64", "not base64") from None
    timing = body.get("alignment")
    return (
        AgentAudio(
            audio,
            turn,
            None if timing is None else alignment(timing),
            body.get("is_final") is True,
        ),
    )


def _metadata(message: Json) -> tuple[Event, ...]:
    body = message
    for key in ("conversation_initiation_metadata_event", "conversation_initiation_metadata"):
        if type(message.get(key)) is dict:
            body = message[key]
            break
    return (
        SessionReady(
            text(body, "conversation_id"),
            maybe_text(body, "agent_output_audio_format") or _DEFAULT_FORMAT,
            maybe_text(body, "user_input_audio_format") or _DEFAULT_FORMAT,
        ),
    )


def _ping(message: Json) -> tuple[Event, ...]:
    body = needed(message, "ping_event")
    # A number goes back as it came, also one with a fraction: an id is to be echoed, not understood.
    ping_id = number(body, "event_id")
    if ping_id is None:
        ping_id = whole(body.get("event_id"))
    if ping_id is None:
        raise Wrong("event_id", "missing" if body.get("event_id") is None else "not a number")
    return (Pinged(ping_id, number(body, "ping_ms")),)


def _agent_response(message: Json) -> tuple[Event, ...]:
    body = needed(message, "agent_response_event")
    return (AgentResponse(text(body, "agent_response").strip(), whole(body.get("event_id"))),)


def _text_part(message: Json) -> tuple[Event, ...]:
    body = needed(message, "text_response_part")
    kind = part_kind(body.get("type"))
    return (TextPart(kind, part_text(body, kind), whole(body.get("event_id"))),)


def _user_transcript(message: Json) -> tuple[Event, ...]:
    body = needed(message, "user_transcription_event")
    return (UserTranscript(text(body, "user_transcript").strip(), whole(body.get("event_id"))),)


def _interruption(message: Json, first_fresh: int) -> tuple[Event, ...]:
    turn = _turn(needed(message, "interruption_event"))
    return (Interrupted(turn, turn + first_fresh),)


def _client_tool_call(message: Json) -> tuple[Event, ...]:
    body = needed(message, "client_tool_call")
    return (
        ToolCalled(
            text(body, "tool_call_id"),
            text(body, "tool_name"),
            mapping(body, "parameters"),
            flag(body, "expects_response", True),
        ),
    )


DECODERS: dict[str, Decoder] = {
    "audio": _audio,
    "conversation_initiation_metadata": _metadata,
    "ping": _ping,
    "agent_response": _agent_response,
    "agent_chat_response_part": _text_part,
    "user_transcript": _user_transcript,
    "interruption": partial(_interruption, first_fresh=0),
    "client_tool_call": _client_tool_call,
    **REPORTS,
}


# To the server


def _say_pong(message: Pong) -> bytes:
    return dump({"type": "pong", "event_id": message.ping_id})


def _say_tool_result(message: ToolResult) -> bytes:
    said: Json = {
        "type": "client_tool_result",
        "tool_call_id": message.call_id,
        "result": message.result,
        "is_error": message.is_error,
    }
    if message.error_type is not None:
        known = message.error_type in TOOL_ERROR_TYPES
        said["error_type"] = message.error_type if known else "unknown"
    return dump(said)


def _user_text(said: str, user_identifier: str | None) -> Json:
    body: Json = {"type": "user_message", "text": said}
    if user_identifier is not None:
        body["user_identifier"] = user_identifier
    return body


def _say_user_message(message: UserMessage) -> bytes:
    said = _user_text(message.text, message.user_identifier)
    if message.rich_content_id is not None:
        said["rich_content_id"] = message.rich_content_id
    return dump(said)


def _say_user_activity(_message: UserActivity | Interruption) -> bytes:
    # For an interruption the protocol has no other word; it keeps the agent quiet for a while.
    return b'{"type":"user_activity"}'


def _say_contextual_update(message: ContextualUpdate) -> bytes:
    said: Json = {"type": "contextual_update", "text": message.text}
    if message.context_id is not None:
        said["context_id"] = message.context_id
    return dump(said)


def _say_multimodal_message(message: MultimodalMessage) -> bytes:
    said: Json = {"type": "multimodal_message"}
    if message.text:
        said["text"] = _user_text(message.text, message.user_identifier)
    files = [{"type": "file_input", "file_id": file_id} for file_id in message.file_ids]
    if files:
        # Servers that do not know the list yet still see the first file.
        said["file"] = files[0]
    if len(files) > 1:
        said["files"] = files
    return dump(said)


def _say_feedback(message: Feedback) -> bytes:
    return dump({"type": "feedback", "event_id": message.event_id, "score": message.score})


def _say_approval(message: Approval) -> bytes:
    return dump(
        {
            "type": "mcp_tool_approval_result",
            "tool_call_id": message.call_id,
            "is_approved": message.is_approved,
        }
    )


ENCODERS: dict[type, Callable[[Any], bytes]] = {
    Pong: _say_pong,
    ToolResult: _say_tool_result,
    Approval: _say_approval,
    Interruption: _say_user_activity,
    UserMessage: _say_user_message,
    UserActivity: _say_user_activity,
    ContextualUpdate: _say_contextual_update,
    MultimodalMessage: _say_multimodal_message,
    Feedback: _say_feedback,
}


class ElevenLabsCodec:
    """Translates between ElevenLabs frames and events and messages. Pure; any thread may use it.

    Args:
        opening: Frames that go before all others: an on-prem setup message, if any, and the initiation.
        equal_id: Whether audio with the id of the last interruption plays. The server gives that id to the
            reply of a message that interrupted (``play``, the default); its documents call it the id of the
            turn that was cut (``drop``).

    Raises:
        ConfigurationError: ``equal_id`` is neither.
    """

    __slots__ = ("_decoders", "_opening")

    def __init__(self, opening: Iterable[bytes] = (), *, equal_id: Literal["play", "drop"] = "play") -> None:
        if equal_id not in ("play", "drop"):
            raise ConfigurationError(f"equal_id is {equal_id!r}; choose 'play' or 'drop'.")
        # Copied, for orjson's own take 4 kB each, and these are kept as long as the session.
        self._opening = tuple(bytes(memoryview(frame)) for frame in opening)
        self._decoders = DECODERS
        if equal_id == "drop":
            self._decoders = DECODERS | {"interruption": partial(_interruption, first_fresh=1)}

    @property
    def capabilities(self) -> Capabilities:
        """What can be done in a session of this protocol."""
        return CAPABILITIES

    def decode(self, frame: str | bytes) -> tuple[Event, ...]:
        """Return the events that a server's frame means, in order.

        It never raises: what cannot be read becomes one Malformed, which holds names of the protocol only.
        """
        return decode_frame(frame, self._decoders)

    def encode(self, message: object) -> bytes:
        """Return the frame that says a message, as UTF-8 for a text frame.

        Raises:
            ProtocolError: This protocol has no such message, or it holds what JSON cannot express.
        """
        encoder = ENCODERS.get(type(message))
        if encoder is None:
            raise ProtocolError(
                f"The ElevenLabs protocol has no message for {type(message).__name__}; "
                "send one of those that convsm.protocols.messages defines."
            )
        return encoder(message)

    def encode_audio(self, audio: bytes) -> bytes:
        """Return the frame that carries a piece of the user's audio, in the session's input format."""
        # base64 needs no escaping, so the JSON is built by hand: this goes out many times a second.
        return b'{"user_audio_chunk":"' + pybase64.b64encode(audio) + b'"}'

    def opening(self) -> tuple[bytes, ...]:
        """Return the frames that go before all others, in order. They may hold secrets: log none."""
        return self._opening
