"""Opening a TCP or TLS socket in a way that another thread can give up at any time."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from convsm.transport.frames import drop_socket

if TYPE_CHECKING:
    import ssl

    from convsm.transport.secure import SecureSocket

__all__ = ["Dial"]


class Dial:
    """One attempt to connect.

    ``connect`` blocks in one thread; ``give_up`` wakes it from any other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sock: socket.socket | SecureSocket | None = None
        self._is_given_up = False

    @property
    def is_given_up(self) -> bool:
        """Whether nobody wants the connection any more."""
        return self._is_given_up

    def give_up(self) -> None:
        """Abandon the attempt; the socket that is being connected, if any, is shut down."""
        with self._lock:
            self._is_given_up = True
            if self._sock is not None:
                drop_socket(self._sock)

    def _hold(self, sock: socket.socket | SecureSocket) -> None:
        with self._lock:
            self._sock = sock
            if self._is_given_up:
                raise ConnectionAbortedError("the attempt was given up")

    def connect(
        self, url: str, timeout: float, ssl_context: ssl.SSLContext | None = None
    ) -> socket.socket | SecureSocket:
        """Connect to the host of a URL, with TLS for ``wss``.

        Args:
            url: The WebSocket URL.
            timeout: Seconds for each address; it stays set on the socket.
            ssl_context: How to trust the server; None trusts what the system does.

        Raises:
            OSError: No address could be reached, TLS failed, or the attempt was given up.
        """
        parts = urlsplit(url)
        is_secure = parts.scheme == "wss"
        host = parts.hostname or ""
        failure: OSError = OSError(f"no address for {host}")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, parts.port or (443 if is_secure else 80), type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(timeout)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._hold(sock)
                sock.connect(address)
                if is_secure:
                    secured = _secure(sock, host, ssl_context)
                    self._hold(secured)
                    return secured
                return sock
            except OSError as error:
                sock.close()
                failure = error
                if self._is_given_up:
                    break
        raise failure


def _secure(sock: socket.socket, host: str, context: ssl.SSLContext | None) -> SecureSocket:
    # Imported here: 15 ms that a loopback session does not need.
    import ssl

    from convsm.transport.secure import SecureSocket

    context = context or ssl.create_default_context()
    return SecureSocket(context.wrap_socket(sock, server_hostname=host))
