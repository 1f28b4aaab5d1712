"""A TLS socket that one thread reads while another writes."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["SecureSocket"]

Result = TypeVar("Result")


# What one TLS record holds at most; longer writes would be cut into records anyway.
WRITE_SIZE = 16384


class SecureSocket:
    """The part of a socket's face that a connection needs, over TLS.

    OpenSSL allows one call at a time on a connection, and a blocking read would keep every writer
    out. So the socket does not block: a lock guards the short calls, and waiting is done outside.
    """

    def __init__(self, sock: ssl.SSLSocket) -> None:
        """Take over a TLS socket; ``do_handshake`` comes first unless it is done already."""
        self._sock = sock
        self._lock = threading.Lock()
        self._timeout = sock.gettimeout()
        sock.setblocking(False)

    def settimeout(self, timeout: float | None) -> None:
        """Limit each wait; None waits for ever."""
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        """Return the limit of each wait."""
        return self._timeout

    def _wait(self, *, to_read: bool) -> None:
        if hasattr(select, "poll"):
            poller = select.poll()
            poller.register(self._sock, select.POLLIN if to_read else select.POLLOUT)
            ready = bool(poller.poll(None if self._timeout is None else self._timeout * 1000))
        else:  # Windows
            reading, writing = ([self._sock], []) if to_read else ([], [self._sock])
            ready = any(select.select(reading, writing, [], self._timeout))
        if not ready:
            raise TimeoutError("timed out")

    def _complete(self, call: Callable[..., Result], *arguments: object) -> Result:
        while True:
            try:
                with self._lock:
                    return call(*arguments)
            except ssl.SSLWantReadError:
                self._wait(to_read=True)
            except ssl.SSLWantWriteError:
                self._wait(to_read=False)

    def do_handshake(self) -> None:
        """Agree on keys, and verify the peer's certificate."""
        self._complete(self._sock.do_handshake)

    def recv(self, size: int) -> bytes:
        """Read up to size bytes; empty when the peer closed, be it without a word of TLS."""
        return self._complete(self._sock.recv, size)

    def send(self, data: bytes | memoryview) -> int:
        """Write some of the data; return how much."""
        return self._complete(self._sock.send, data[:WRITE_SIZE])

    def shutdown(self, how: int) -> None:
        """Shut the connection beneath down; TLS says no goodbye here, the close frame did."""
        socket.socket.shutdown(self._sock, how)

    def close(self) -> None:
        """Close the file descriptor."""
        self._sock.close()
