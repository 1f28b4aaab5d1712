"""Opening a TCP or TLS socket in a way that another thread can give up at any time."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from convsm.transport.failures import Explained, explain
from convsm.transport.proxy import Proxy, Tunnel

if TYPE_CHECKING:
    import ssl

    from convsm.transport.secure import SecureSocket

__all__ = ["Dial", "default_context"]

Sock = TypeVar("Sock")


@cache
def default_context() -> ssl.SSLContext:
    """Return the context that trusts what the system does; one for all, for it is big and slow to make."""
    import ssl

    return ssl.create_default_context()


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
                # It may never have been connected, or be gone already.
                with suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)

    def connect(
        self,
        url: str,
        timeout: float,
        ssl_context: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
    ) -> socket.socket | SecureSocket:
        """Connect to the host of a URL, with TLS for ``wss``.

        Args:
            url: The WebSocket URL.
            timeout: Seconds for each address; it stays set on the socket.
            ssl_context: How to trust the server; None trusts what the system does.
            proxy: The HTTP proxy to go through, if any.

        Raises:
            OSError: No address could be reached, TLS failed, or the attempt was given up.
            Explained: The proxy failed, or refused.
        """
        parts = urlsplit(url)
        is_secure = parts.scheme == "wss"
        host = parts.hostname or ""
        port = parts.port or (443 if is_secure else 80)

        def finish(sock: socket.socket) -> socket.socket | SecureSocket:
            return self._secure(sock, host, ssl_context) if is_secure else sock

        if proxy is None:
            return self._try_addresses(host, port, timeout, finish)
        tunnel = Tunnel(proxy, host, port)
        try:
            sock = self._try_addresses(
                proxy.host, proxy.port, timeout, lambda sock: self._ask(sock, tunnel, timeout)
            )
        except OSError as error:
            raise Explained(explain(error, "proxy")) from None
        with self._closing_on_failure(sock):
            return finish(sock)

    def _try_addresses(
        self, host: str, port: int, timeout: float, finish: Callable[[socket.socket], Sock]
    ) -> Sock:
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:
            # Labels that are empty or too long never reach the resolver.
            raise socket.gaierror(socket.EAI_NONAME, "it is no host name") from None
        failure: OSError = OSError(f"no address for {host}")
        for family, kind, protocol, _, address in addresses:
            try:
                sock = socket.socket(family, kind, protocol)
                with self._closing_on_failure(sock):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._reach(sock, address, timeout)
                    return finish(sock)
            except OSError as error:
                failure = error
        raise failure

    def _ask(self, sock: socket.socket, tunnel: Tunnel, timeout: float) -> socket.socket:
        deadline = time.monotonic() + timeout
        sock.sendall(tunnel.request)
        while not tunnel.receive(sock.recv(4096)):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            sock.settimeout(left)
        sock.settimeout(timeout)
        return sock

    def _hold(self, sock: socket.socket | SecureSocket) -> None:
        self._sock = sock
        if self._is_given_up:
            raise ConnectionAbortedError("the attempt was given up")

    def _reach(self, sock: socket.socket, address: Any, timeout: float) -> None:
        # Begun under the lock: give_up wakes a socket that connects, but does nothing to a fresh one.
        with self._lock:
            self._hold(sock)
            sock.setblocking(False)
            code = sock.connect_ex(address)
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            with selectors.DefaultSelector() as selector:
                selector.register(sock, selectors.EVENT_WRITE)
                if not selector.select(timeout):
                    raise TimeoutError("timed out")
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        sock.settimeout(timeout)

    def _secure(self, sock: socket.socket, host: str, context: ssl.SSLContext | None) -> SecureSocket:
        # Imported here: 15 ms that a loopback session does not need.
        from convsm.transport.secure import SecureSocket

        context = context or default_context()
        # The new object owns the descriptor from here on, so it is the one to be shut down.
        secured = SecureSocket(context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False))
        with self._closing_on_failure(secured):
            with self._lock:
                self._hold(secured)
            secured.do_handshake()
            return secured

    @contextmanager
    def _closing_on_failure(self, sock: socket.socket | SecureSocket) -> Iterator[None]:
        try:
            yield
        except BaseException:
            # Under the lock: give_up must not shut down a descriptor that has a new owner meanwhile.
            with self._lock:
                sock.close()
            raise
