"""Holding a conversation with an ElevenLabs agent: its client, its opening, its uploads."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import attrs

from convsm.errors import ConfigurationError
from convsm.machine import SessionOptions
from convsm.protocols.elevenlabs import ElevenLabsCodec
from convsm.protocols.elevenlabs_opening import (
    ConversationInitiationData,
    OnPremInitiationData,
    initiation_message,
    setup_message,
)
from convsm.protocols.elevenlabs_urls import public_url, signed_url
from convsm.protocols.urls import check_url
from convsm.transport.multipart import Upload, UploadSource

if TYPE_CHECKING:
    from convsm.turns import TurnHandling, TurnServer

__all__ = ["Client", "ElevenLabsOpening", "upload_file"]

logger = logging.getLogger("convsm.session")


class Client(Protocol):
    """The part of the ElevenLabs client that a conversation uses; checked when it is used."""

    @property
    def _client_wrapper(self) -> Any: ...

    @property
    def conversational_ai(self) -> Any:
        """The path to ``conversations.get_signed_url``."""


@attrs.frozen
class ElevenLabsOpening:
    """Where a conversation with an ElevenLabs agent is opened, and what is said first; see Opening.

    Attributes:
        client: The ElevenLabs client, or what looks like one.
        agent_id: Id of the agent.
        user_id: Id of the user.
        requires_auth: Whether a signed URL is needed.
        config: Options of the conversation.
        on_prem_config: An on-prem server; wins over ``requires_auth``.
        environment: Name of the server-side environment; comes before the one in ``config``.
        has_audio: Whether there is an audio interface.
        allow_insecure: Whether ``ws://`` to another machine is accepted.
        equal_id: Whether audio whose id equals the last interruption's is played.
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
    equal_id: Literal["play", "drop"] = "play"

    protocol = "elevenlabs"

    @property
    def is_text_only(self) -> bool:
        """Whether the conversation has no audio, by its interface or by its configuration."""
        return self._text_only_by_configuration() is True or not self.has_audio

    def _text_only_by_configuration(self) -> object:
        conversation = self.config.conversation_config_override.get("conversation")
        return conversation.get("text_only") if isinstance(conversation, dict) else None

    @property
    def server_environment(self) -> str | None:
        """Name of the server-side environment, by the conversation's argument or by its configuration."""
        return self.environment or self.config.environment

    def session_options(self, options: SessionOptions | None, audio_required: bool) -> SessionOptions:
        """Complete the session's settings."""
        return attrs.evolve(
            options or SessionOptions(), text_only=self.is_text_only, needs_audio=audio_required
        )

    def with_turns(self, handling: TurnHandling) -> ElevenLabsOpening:
        """Return this: the server's part in turns is its own, whatever this side wants."""
        return self

    def turn_server(self) -> TurnServer:
        """Return what the server can do about turns: it ends them, replies, and cannot be told anything."""
        from convsm.turns import TurnServer

        return TurnServer(protocol="ElevenLabs")

    def codec(self) -> ElevenLabsCodec:
        """Make the codec with the messages that open the conversation.

        Warns of a configuration that asks for audio which nobody would hear.
        """
        if not self.has_audio and self._text_only_by_configuration() is False:
            logger.warning(
                "the configuration says text_only=False, but there is no audio interface to play what the "
                "agent says; pass one, or leave text_only out"
            )
        opening = [
            initiation_message(
                self.config, self.user_id, self.is_text_only, environment=self.server_environment
            )
        ]
        if self.on_prem_config is not None:
            opening.insert(0, setup_message(self.on_prem_config))
        return ElevenLabsCodec(opening, equal_id=self.equal_id)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the handshake: none, for the URL says it all."""
        return {}

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
            url = signed_url(fetched, environment=self.server_environment)
        else:
            if self.client is None:
                raise ConfigurationError(
                    "A client is needed unless on_prem_config is given; pass an ElevenLabs."
                )
            base_url = str(self.client._client_wrapper.get_base_url())
            url = public_url(base_url, self.agent_id, environment=self.server_environment)
        check_url(url, self.allow_insecure)
        return url

    @property
    def asks_asynchronously(self) -> bool:
        """Whether asking the client gives an awaitable at once, instead of blocking."""
        client = self.client
        return client is not None and inspect.iscoroutinefunction(
            client.conversational_ai.conversations.get_signed_url
        )

    def ask_signature(self) -> Any:
        """Ask the client for a signed URL; blocks, or returns an awaitable, as the client does."""
        if self.client is None:
            raise ConfigurationError("A client is needed to fetch a signed URL; pass an ElevenLabs.")
        _check_where_the_key_goes(self.client)
        wanted = {"environment": self.server_environment, "branch_id": self.config.branch_id}
        extra = {name: value for name, value in wanted.items() if value}
        return self.client.conversational_ai.conversations.get_signed_url(agent_id=self.agent_id, **extra)


def upload_file(
    client: Any,
    conversation_id: str | None,
    file: UploadSource,
    name: str | None = None,
    content_type: str | None = None,
) -> Any:
    """Upload a file that a multimodal message of a conversation can then name.

    Args:
        client: The conversation's client, an ElevenLabs: convsm's own or the vendor's, blocking or async.
        conversation_id: Id of the conversation; None while the server has not accepted it.
        file: Bytes, a path, or a binary file object, which is read to its end and left open.
        name: Name for the server; None takes the path's or the file object's.
        content_type: Such as ``image/png``; None guesses by the name.

    Returns:
        The file's id, or an awaitable of it, as the client does.

    Raises:
        ConfigurationError: There is no client, no id yet, the client cannot upload, the file is too big, or
            the key would go unencrypted to another machine.
        ConnectionFailed: The API did not answer, or refused (convsm's client; the vendor's raises its own).
        OSError: The file cannot be read.
    """
    if not hasattr(client, "conversational_ai"):
        raise ConfigurationError("Only an ElevenLabs client takes files; pass one.")
    if conversation_id is None:
        raise ConfigurationError("There is no conversation to upload to yet; call wait_until_ready() first.")
    _check_where_the_key_goes(client)
    conversations = client.conversational_ai.conversations
    if hasattr(conversations, "upload_file"):
        answer = conversations.upload_file(conversation_id, file, name=name, content_type=content_type)
    elif hasattr(conversations, "files"):
        with Upload.of(file, name, content_type) as upload:
            # The vendor's client wants it whole, and sends it after the file is closed if it is async.
            whole = (upload.name, upload.read(), upload.content_type)
        answer = conversations.files.create(conversation_id, file=whole)
    else:
        raise ConfigurationError("The client cannot upload files; pass a convsm.ElevenLabs.")
    return _file_id_later(answer) if inspect.isawaitable(answer) else str(answer.file_id)


async def _file_id_later(answer: Awaitable[Any]) -> str:
    return str((await answer).file_id)


def _check_where_the_key_goes(client: Client) -> None:
    # Not every client looks.
    base_url = str(client._client_wrapper.get_base_url())
    if base_url.startswith("http:"):
        check_url(base_url.replace("http", "ws", 1), has_key=True)
