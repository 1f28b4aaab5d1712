"""A TLS socket that one thread reads while another writes."""

from __future__ import annotations

import select
import socket
import ssl
import threading

__all__ = ["SecureSocket"]

# What one TLS record holds at most; longer writes would be cut into records anyway.
WRITE_SIZE = 16384


class SecureSocket:
    """The part of a socket's face that a connection needs, over TLS.

    OpenSSL allows one call at a time on a connection, and a blocking read would keep every writer
    out. So the socket does not block: a lock guards the short calls, and waiting is done outside.
    """

    def __init__(self, sock: ssl.SSLSocket) -> None:
        """Take over a TLS socket whose handshake is done."""
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

    def _wait(self, event: int) -> None:
        poller = select.poll() if hasattr(select, "poll") else None
        if poller is None:  # Windows
            reading = [self._sock] if event == 1 else []
            writing = [] if reading else [self._sock]
            ready = any(select.select(reading, writing, [], self._timeout))
        else:
            poller.register(self._sock, select.POLLIN if event == 1 else select.POLLOUT)
            ready = bool(poller.poll(None if self._timeout is None else self._timeout * 1000))
        if not ready:
            raise TimeoutError("timed out")

    def recv(self, size: int) -> bytes:
        """Read up to size bytes; empty when the peer closed."""
        while True:
            try:
                with self._lock:
                    return self._sock.recv(size)
            except ssl.SSLWantReadError:
                self._wait(1)
            except ssl.SSLWantWriteError:
                self._wait(2)
            except ssl.SSLEOFError:
                return b""

    def send(self, data: bytes) -> int:
        """Write some of the data; return how much."""
        while True:
            try:
                with self._lock:
                    return self._sock.send(data[:WRITE_SIZE])
            except ssl.SSLWantWriteError:
                self._wait(2)
            except ssl.SSLWantReadError:
                self._wait(1)

    def sendall(self, data: bytes) -> None:
        """Write all of the data."""
        view = memoryview(data)
        while view:
            view = view[self.send(view) :]  # type: ignore[arg-type]  # any buffer will do

    def shutdown(self, how: int) -> None:
        """Shut the connection beneath down; TLS says no goodbye here, the close frame did."""
        socket.socket.shutdown(self._sock, how)

    def close(self) -> None:
        """Close the file descriptor."""
        self._sock.close()

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._sock.fileno()
