"""What a failed connection is told as: one sentence, and never a URL, whose query may hold a signature."""

from __future__ import annotations

import socket

from convsm.errors import ConvsmError
from convsm.machine.events import ConnectionFailed, SocketClosed

__all__ = [
    "CUT_OFF",
    "GIVEN_UP",
    "LOST",
    "NOT_READ",
    "UNANSWERED",
    "Explained",
    "explain",
    "explain_url",
    "silent_for",
]

GIVEN_UP = ConnectionFailed("the attempt to connect was given up")
LOST = SocketClosed(1006, "the connection was lost")
CUT_OFF = SocketClosed(1006, "the connection was lost without a close frame")
NOT_READ = SocketClosed(1006, "the server does not read what is sent")
UNANSWERED = SocketClosed(1006, "the server did not answer the close frame")


def silent_for(seconds: float) -> SocketClosed:
    """Tell of a peer that sent nothing, nor answered a ping."""
    return SocketClosed(1006, f"nothing was received for {seconds:g} s")


class Explained(Exception):
    """A failure that comes with what it is to be told as.

    Attributes:
        failure: The sentence and the HTTP status.
    """

    def __init__(self, failure: ConnectionFailed) -> None:
        self.failure = failure
        super().__init__(failure.message)


def explain(error: Exception, peer: str = "server") -> ConnectionFailed:
    """Say why a peer could not be connected to."""
    if isinstance(error, Explained):
        return error.failure
    if isinstance(error, ConvsmError):
        return ConnectionFailed(str(error), getattr(error, "status", None))
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return ConnectionFailed(f"the {peer} refused the connection with HTTP status {status}", status)
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return ConnectionFailed(f"the {peer} did not answer in time")
    if isinstance(error, socket.gaierror):
        return ConnectionFailed(f"the {peer}'s host name could not be resolved ({error.strerror})")
    if problem := getattr(error, "verify_message", None):
        return ConnectionFailed(
            f"the server's certificate is not trusted ({problem}); check the host, or give an ssl_context"
        )
    if isinstance(error, OSError):
        return ConnectionFailed(f"the {peer} could not be reached ({error.strerror or type(error).__name__})")
    return ConnectionFailed(f"the server did not complete the WebSocket handshake ({type(error).__name__})")


def explain_url(error: Exception) -> ConnectionFailed:
    """Say why there is no URL to connect to."""
    if isinstance(error, OSError | ConvsmError):
        return explain(error)
    # A client object's own error while it fetched the signed URL. Its text may carry secrets,
    # so it is not even logged.
    status = getattr(error, "status_code", None)
    detail = f"HTTP {status}" if isinstance(status, int) else type(error).__name__
    return ConnectionFailed(
        f"the URL of the conversation could not be had ({detail}); check API key and agent id",
        status if isinstance(status, int) else None,
    )
