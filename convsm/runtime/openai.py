"""Holding a conversation with an OpenAI Realtime server: where it is, and what opens the session."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from convsm.errors import ConfigurationError
from convsm.machine import SessionOptions
from convsm.machine.effects import RequestReply
from convsm.protocols.openai_options import RealtimeOptions, ServerVad
from convsm.protocols.openai_realtime import OpenAIRealtimeCodec
from convsm.protocols.openai_urls import BASE_URL, request_headers, session_url
from convsm.protocols.turn_messages import ClearAudio, CommitAudio
from convsm.protocols.urls import check_url, redact_url

if TYPE_CHECKING:
    from convsm.turns import TurnHandling, TurnServer

__all__ = ["OpenAIOpening", "OpenAIRealtime"]

logger = logging.getLogger("convsm.session")

# What is asked for where nothing was said and nothing can be played.
TEXT_ONLY = RealtimeOptions(output_modality="text", transcription=None)


@attrs.frozen
class OpenAIRealtime:
    """An OpenAI Realtime server and what a session there is to be; the first argument of a conversation.

    The key goes into a header, never into a URL, a log or a recording. Many servers speak this protocol;
    name yours by ``base_url``.

    Args:
        options: The session: instructions, voice, tools, turn detection and more; None leaves all to the
            server, but without an audio interface asks it for text.
        model: The model; None where the server knows it.
        api_key: The key, or a short-lived client secret; None takes the environment's OPENAI_API_KEY, if
            there is one.
        base_url: Where the API is, such as ``http://127.0.0.1:8000/v1``.
        organization: Id of the organization to bill.
        project: Id of the project to bill.
        query: Further parameters of the URL. They are no place for secrets.
    """

    options: RealtimeOptions | None = None
    model: str | None = attrs.field(default="gpt-realtime", kw_only=True)
    api_key: str | None = attrs.field(default=None, kw_only=True, repr=False)
    base_url: str = attrs.field(default=BASE_URL, kw_only=True, repr=redact_url)
    organization: str | None = attrs.field(default=None, kw_only=True)
    project: str | None = attrs.field(default=None, kw_only=True)
    query: Mapping[str, str] = attrs.field(factory=dict, kw_only=True, repr=False)

    def opening(self, has_audio: bool, allow_insecure: bool) -> OpenAIOpening:
        """Return how a session is opened; see Opening.

        Raises:
            ConfigurationError: The options and the audio interface contradict each other.
        """
        if self.options is None and not has_audio:
            return OpenAIOpening(attrs.evolve(self, options=TEXT_ONLY), False, allow_insecure)
        speaks = self.options is None or self.options.output_modality == "audio"
        if speaks and not has_audio:
            raise ConfigurationError(
                "The agent is to speak, but there is no audio interface to play it; pass one, or set "
                "output_modality='text'."
            )
        return OpenAIOpening(self, has_audio, allow_insecure)


@attrs.frozen
class OpenAIOpening:
    """How one session is opened; see Opening.

    Attributes:
        service: The server and the session's options.
        has_audio: Whether there is an audio interface.
        allow_insecure: Whether ``ws://`` to another machine is accepted.
    """

    service: OpenAIRealtime
    has_audio: bool
    allow_insecure: bool

    protocol = "openai_realtime"
    asks_asynchronously = False

    @property
    def is_text_only(self) -> bool:
        """Whether the conversation has no audio, by its interface or by its options."""
        options = self.service.options
        return not self.has_audio or (options is not None and options.output_modality == "text")

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the handshake, with the key."""
        service = self.service
        key = service.api_key or os.environ.get("OPENAI_API_KEY") or None
        return request_headers(key, service.organization, service.project)

    def session_options(self, options: SessionOptions | None, audio_required: bool) -> SessionOptions:
        """Complete the session's settings."""
        return attrs.evolve(
            options or SessionOptions(),
            text_only=self.is_text_only,
            needs_audio=audio_required,
            asks_replies=True,
        )

    def with_turns(self, handling: TurnHandling) -> OpenAIOpening:
        """Return an opening in which exactly one side ends the user's turns: the one that the settings name.

        Raises:
            ConfigurationError: Neither would.
        """
        options = self.service.options
        is_off = options is not None and options.turn_detection is None
        if is_off and handling.is_servers:
            raise ConfigurationError(
                "The server's turn detection is off, and turn_handling leaves turns to the server; set its "
                "turn_detection to 'vad', 'manual' or a detector, or RealtimeOptions.turn_detection."
            )
        if handling.is_servers:
            return self
        options = options or RealtimeOptions()
        detection = None
        reads = handling.detector is not None and not handling.is_streaming
        if reads or handling.turn_detection == "stt":
            # It hears speech end and tells the words of each piece; whether the turn is over is decided here.
            detection = attrs.evolve(options.turn_detection or ServerVad(), create_response=False)
        options = attrs.evolve(options, turn_detection=detection)
        return attrs.evolve(self, service=attrs.evolve(self.service, options=options))

    def turn_server(self) -> TurnServer:
        """Return what the server can do about turns."""
        from convsm.turns import TurnServer

        options = self.service.options
        detection = ServerVad() if options is None else options.turn_detection
        has_transcripts = options is None or options.transcription is not None
        if detection is None:
            return TurnServer(
                protocol="OpenAI Realtime",
                user_transcripts=has_transcripts,
                transcribes_open_turns=False,
                needs_continuous_audio=False,
                commit=CommitAudio(),
                clear=ClearAudio(),
                reply=RequestReply(),
            )
        return TurnServer(
            protocol="OpenAI Realtime",
            user_transcripts=has_transcripts,
            speech_events=True,
            clear=ClearAudio(),
            reply=None if detection.create_response else RequestReply(),
        )

    def codec(self) -> OpenAIRealtimeCodec:
        """Make the codec of one session; warns of an audio interface that nobody uses."""
        if self.has_audio and self.is_text_only:
            logger.warning(
                "output_modality is 'text', so the audio interface is not used; leave it out, or choose audio"
            )
        return OpenAIRealtimeCodec(self.service.options)

    def needs_signature(self) -> bool:
        """The URL is known."""
        return False

    def ask_signature(self) -> Any:
        """There is nothing to be fetched."""
        raise NotImplementedError

    def url(self, fetched: str | None = None) -> str:
        """Return the URL to connect to.

        Raises:
            ConfigurationError: It must not be connected to.
        """
        service = self.service
        url = session_url(service.model, service.base_url, service.query)
        has_key = any(name.lower() == "authorization" for name in self.headers)
        check_url(url, self.allow_insecure, has_key=has_key)
        return url
