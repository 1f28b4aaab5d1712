"""The one small family of errors that convsm raises."""

from __future__ import annotations

from convsm.machine.errors import ConvsmError, RefusedCommand, TableError

__all__ = [
    "AudioError",
    "ConfigurationError",
    "ConnectionFailed",
    "ConvsmError",
    "ProtocolError",
    "RefusedCommand",
    "StopResponse",
    "TableError",
    "ToolError",
]


class ConnectionFailed(ConvsmError):
    """The conversation could not be opened.

    Attributes:
        status: HTTP status of a refused handshake, if there was one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class ProtocolError(ConvsmError):
    """A message cannot be said in the protocol of this session."""


class AudioError(ConvsmError):
    """An audio device, file or format cannot be used."""


class ConfigurationError(ConvsmError, ValueError):
    """Arguments contradict each other or ask for what is refused."""


class ToolError(ConvsmError):
    """Raise it in a tool to say what kind of failure the agent is told of.

    Attributes:
        error_type: ``external_client`` (the tool failed), ``external_server`` (what it asked failed),
            ``user_rejected`` (the user said no), ``customer_auth``, ``client_timeout`` or ``unknown``.
    """

    def __init__(self, message: str, error_type: str = "external_client") -> None:
        self.error_type = error_type
        super().__init__(message)


class StopResponse(Exception):
    """Raise it in ``on_user_turn_completed`` so that the agent is not asked to reply.

    No failure, hence none of the family.
    """
