"""What a conversation's options mean for its parts; shared by the shells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from convsm.errors import ConfigurationError
from convsm.machine import SessionOptions
from convsm.machine.effects import AnnounceEnd, RunTool
from convsm.machine.events import AgentAudio, AgentResponse, Pinged, TextPart, UserTranscript
from convsm.protocols.elevenlabs import ElevenLabsCodec
from convsm.protocols.elevenlabs_opening import (
    ConversationInitiationData,
    OnPremInitiationData,
    initiation_message,
    setup_message,
)
from convsm.protocols.elevenlabs_urls import check_url, public_url, signed_url
from convsm.protocols.messages import AgentChatResponsePartType, AgentResponseCorrection, MultimodalMessage

__all__ = [
    "Client",
    "DisconnectionDetails",
    "Observer",
    "Opening",
    "multimodal_message",
    "observers",
    "unhandled_tool_observer",
]


class Client(Protocol):
    """The part of the ElevenLabs client that a conversation uses; checked when it is used."""

    @property
    def _client_wrapper(self) -> Any: ...

    @property
    def conversational_ai(self) -> Any:
        """The path to ``conversations.get_signed_url``."""


@attrs.frozen
class DisconnectionDetails:
    """Why a conversation ended.

    Attributes:
        reason: ``user`` if it was ended here, ``agent`` if the agent or its server took leave,
            ``error`` otherwise.
        close_code: Code of the server's close frame, if that ended it; 1006 for a connection lost
            without one, 1009 for a message over the size limit.
        close_reason: Reason of that close frame.
        message: What went wrong, in one sentence; only for ``error``.
    """

    reason: str
    close_code: int | None = None
    close_reason: str | None = None
    message: str | None = None

    @classmethod
    def of(cls, end: AnnounceEnd) -> DisconnectionDetails:
        """Make it of the machine's announcement."""
        return cls(
            end.reason, end.close_code, end.close_reason, end.message if end.reason == "error" else None
        )


@attrs.frozen
class Observer:
    """A user callback.

    Attributes:
        name: Its name for the log.
        call: What to call, with the event, the message or the effect.
    """

    name: str
    call: Callable[[Any], object]


@attrs.frozen
class Opening:
    """Where a conversation is opened and what is said first.

    Attributes:
        client: The ElevenLabs client, or what looks like one.
        agent_id: Id of the agent.
        user_id: Id of the user.
        requires_auth: Whether a signed URL is needed.
        config: Options of the conversation.
        on_prem_config: An on-prem server; wins over ``requires_auth``.
        environment: Name of the server-side environment.
        has_audio: Whether there is an audio interface.
        allow_insecure: Whether ``ws://`` to another machine is accepted.
    """

    client: Client | None
    agent_id: str
    user_id: str | None
    requires_auth: bool
    config: ConversationInitiationData
    on_prem_config: OnPremInitiationData | None
    environment: str | None
    has_audio: bool
    allow_insecure: bool

    @property
    def is_text_only(self) -> bool:
        """Whether the conversation has no audio, by its interface or by its configuration."""
        conversation = self.config.conversation_config_override.get("conversation")
        wanted = isinstance(conversation, dict) and conversation.get("text_only") is True
        return wanted or not self.has_audio

    def session_options(self, options: SessionOptions | None, audio_required: bool) -> SessionOptions:
        """Complete the session's settings."""
        return attrs.evolve(
            options or SessionOptions(), text_only=self.is_text_only, needs_audio=audio_required
        )

    def codec(self, equal_id: Any) -> ElevenLabsCodec:
        """Make the codec with the messages that open the conversation."""
        opening = [initiation_message(self.config, self.user_id, self.is_text_only)]
        if self.on_prem_config is not None:
            opening.insert(0, setup_message(self.on_prem_config))
        return ElevenLabsCodec(opening, equal_id=equal_id)

    def needs_signature(self) -> bool:
        """Tell whether the URL has to be fetched from the API."""
        return self.requires_auth and self.on_prem_config is None

    def url(self, fetched: str | None = None) -> str:
        """Return the URL to connect to.

        Args:
            fetched: The signed URL, when ``needs_signature``.

        Raises:
            ConfigurationError: The URL must not be connected to, or there is no client to ask.
        """
        if self.on_prem_config is not None:
            url = self.on_prem_config.on_prem_conversation_url
        elif fetched is not None:
            url = signed_url(fetched, environment=self.environment)
        else:
            if self.client is None:
                raise ConfigurationError(
                    "A client is needed unless on_prem_config is given; pass an ElevenLabs."
                )
            base_url = str(self.client._client_wrapper.get_base_url())
            url = public_url(base_url, self.agent_id, environment=self.environment)
        check_url(url, self.allow_insecure)
        return url

    def ask_signature(self) -> Any:
        """Ask the client for a signed URL; blocks, or returns an awaitable, as the client does."""
        if self.client is None:
            raise ConfigurationError("A client is needed to fetch a signed URL; pass an ElevenLabs.")
        # Not every client looks where it sends its key.
        base_url = str(self.client._client_wrapper.get_base_url())
        if base_url.startswith("http:"):
            check_url(base_url.replace("http", "ws", 1), has_key=True)
        extra = {"environment": self.environment} if self.environment else {}
        return self.client.conversational_ai.conversations.get_signed_url(agent_id=self.agent_id, **extra)


def multimodal_message(
    text: str | None, file_id: str | None, file_ids: list[str] | None
) -> MultimodalMessage:
    """Make a multimodal message of the reference method's arguments.

    Raises:
        ValueError: Neither text nor file was given.
    """
    files = tuple(file_ids or ()) or ((file_id,) if file_id else ())
    if not text and not files:
        raise ValueError("At least one of text, file_id, or file_ids must be provided.")
    return MultimodalMessage(text or None, files)


def unhandled_tool_observer(callback: Callable[[str, str, dict[str, Any]], object] | None) -> Observer | None:
    """Return what to call for a call of a tool that nobody registered."""
    if callback is None:
        return None

    def call_unhandled(call: RunTool) -> object:
        return callback(call.name, call.call_id, dict(call.parameters))

    return Observer("callback_unhandled_tool", call_unhandled)


def observers(callbacks: dict[str, Callable[..., object] | None]) -> dict[type, Observer]:
    """Return what to call for which event or message.

    Args:
        callbacks: The reference constructor's callbacks by argument name; None for those not given.
    """
    return {
        kind: Observer(name, _adapt(callback, arguments))
        for name, (kind, arguments) in _ARGUMENTS.items()
        if (callback := callbacks.get(name)) is not None
    }


def _adapt(
    callback: Callable[..., object], arguments: Callable[[Any], tuple[object, ...]]
) -> Callable[[Any], object]:
    def call(subject: Any) -> object:
        values = arguments(subject)
        return callback(*values) if values else None

    return call


def _alignment(event: AgentAudio) -> tuple[object, ...]:
    return () if event.alignment is None else (event.alignment,)


def _latency(event: Pinged) -> tuple[object, ...]:
    # Zero and null mean that the server has not measured yet.
    return (int(event.latency_ms),) if event.latency_ms else ()


def _part(event: TextPart) -> tuple[object, ...]:
    return (event.text, AgentChatResponsePartType(event.kind))


def _correction(message: AgentResponseCorrection) -> tuple[object, ...]:
    return (message.original, message.corrected)


def _text(event: AgentResponse | UserTranscript) -> tuple[object, ...]:
    return (event.text,)


# The callbacks of the reference constructor: what each is called for, and with which arguments.
_ARGUMENTS: dict[str, tuple[type, Callable[[Any], tuple[object, ...]]]] = {
    "callback_agent_response": (AgentResponse, _text),
    "callback_agent_response_correction": (AgentResponseCorrection, _correction),
    "callback_agent_chat_response_part": (TextPart, _part),
    "callback_user_transcript": (UserTranscript, _text),
    "callback_latency_measurement": (Pinged, _latency),
    "callback_audio_alignment": (AgentAudio, _alignment),
}
