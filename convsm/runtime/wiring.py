"""What the parts of a conversation tell each other; shared by the shells and the vendors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from convsm.machine import SessionOptions
from convsm.machine.effects import AnnounceEnd
from convsm.protocols.codec import Codec
from convsm.protocols.messages import MultimodalMessage

__all__ = ["DisconnectionDetails", "Observer", "Opening", "Service", "multimodal_message"]


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
