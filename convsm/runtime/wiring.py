"""What the parts of a conversation tell each other; shared by the shells and the vendors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from convsm.machine import SessionOptions
from convsm.machine.effects import AnnounceEnd
from convsm.protocols.codec import Codec
from convsm.protocols.messages import MultimodalMessage
from convsm.runtime.tools import ClientTools
from convsm.transport.options import TransportOptions

if TYPE_CHECKING:
    from convsm.audio.vad import VoiceDetector
    from convsm.recording import Recorder
    from convsm.turns import OverlapClassifier, TurnHandling, TurnServer

__all__ = [
    "DisconnectionDetails",
    "Observer",
    "Opening",
    "Service",
    "Stream",
    "TurnSetup",
    "Wiring",
    "multimodal_message",
]


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


class Opening(Protocol):
    """Where a conversation is opened and what is spoken there: all that is a vendor's."""

    @property
    def protocol(self) -> str:
        """Name of the protocol, for recordings."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the handshake; they may hold secrets."""

    def session_options(self, options: SessionOptions | None, audio_required: bool) -> SessionOptions:
        """Complete the session's settings."""

    def with_turns(self, handling: TurnHandling) -> Opening:
        """Return the opening of a session in which this side takes the part in turns that it wants."""

    def turn_server(self) -> TurnServer:
        """Return what the server can do about turns."""

    def codec(self) -> Codec:
        """Make the codec of one session."""

    def needs_signature(self) -> bool:
        """Tell whether the URL has to be fetched."""

    @property
    def asks_asynchronously(self) -> bool:
        """Whether asking gives an awaitable at once, instead of blocking."""

    def ask_signature(self) -> Any:
        """Fetch what has a ``signed_url``; blocks, or returns an awaitable."""

    def url(self, fetched: str | None = None) -> str:
        """Return the URL to connect to.

        Args:
            fetched: The URL that was fetched, when ``needs_signature``.

        Raises:
            ConfigurationError: The URL must not be connected to.
        """


class Service(Protocol):
    """A server of another vendor's, as the first argument of a conversation."""

    def opening(self, has_audio: bool, allow_insecure: bool) -> Opening:
        """Return how a session is opened.

        Args:
            has_audio: Whether there is an audio interface.
            allow_insecure: Whether ``ws://`` to another machine is accepted.

        Raises:
            ConfigurationError: The options and the audio interface contradict each other.
        """


class Stream(Protocol):
    """A reader of everything that happens."""

    @property
    def is_closed(self) -> bool:
        """Whether it reads no more."""

    @property
    def wants_frames(self) -> bool:
        """Whether raw frames are wanted."""

    def put(self, event: object) -> None:
        """Add an event; never blocks."""

    def close(self, last: object | None = None) -> None:
        """Add no more but a last event, which is never dropped; a second close does nothing."""


@attrs.frozen
class TurnSetup:
    """Turn handling and the user's part in it.

    Attributes:
        handling: The settings.
        server: What the server can do.
        classifier: Tells backchannels from interruptions.
        make_detector: Makes what hears speech on this side; None if nothing does.
        on_user_turn_completed: The user's hook, asked about each turn that is over.
        on_user_turn_exceeded: The user's hook, told of a turn that has become too long.
    """

    handling: TurnHandling
    server: TurnServer
    classifier: OverlapClassifier | None = None
    make_detector: Callable[[], VoiceDetector] | None = None
    on_user_turn_completed: Callable[[Any], Any] | None = None
    on_user_turn_exceeded: Callable[[Any], Any] | None = None


@attrs.frozen
class Wiring:
    """Everything a driver needs beside the session.

    Attributes:
        options: The session's settings.
        codec: The protocol.
        resolve_url: Returns the URL to connect to. Threaded: may block, runs on the connecting thread.
            Asyncio: a coroutine function.
        transport: Limits of the connection.
        audio: The user's audio interface; None in a text-only session.
        tools: The client tools.
        observers: User callbacks by the type of what they are told.
        streams: Readers of everything, from the start on.
        on_end: User callbacks for the end.
        open_recorder: Opens the recording of the session, if one is wanted.
        approve: The user's approval handler.
        turns: Turn handling; None leaves all of it to the server.
    """

    options: SessionOptions
    codec: Codec
    resolve_url: Callable[[], Any]
    transport: TransportOptions
    audio: Any
    tools: ClientTools
    observers: Mapping[type, tuple[Observer, ...]]
    streams: tuple[Stream, ...]
    on_end: tuple[Observer, ...]
    open_recorder: Callable[[SessionOptions], Recorder] | None
    approve: Callable[[Any], Any] | None = None
    turns: TurnSetup | None = None


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
