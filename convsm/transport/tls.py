"""TLS between a connection of the event loop and the protocol above it.

The loop's own TLS keeps a buffer of 256 KiB a connection: an idle one takes 295 kB, with this one
37 kB. Besides, nothing waits here to be sent, so that back-pressure is the system's.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

from convsm.transport.rest_of import rest_of

__all__ = ["Tls"]

# What is decrypted at once; OpenSSL keeps as much memory as it was ever given.
PIECE = 32768


class Tls(asyncio.Protocol, asyncio.Transport):
    """A protocol to what is below it, and a transport to the one above.

    Attributes:
        secured: Done when keys are agreed on and the server's certificate is trusted, or not.
    """

    def __init__(
        self, above: asyncio.Protocol, context: ssl.SSLContext, host: str, sock: socket.socket
    ) -> None:
        """Prepare the client's part of a connection.

        Args:
            above: Who talks over TLS; told of the connection once it is secured.
            context: How to trust the server.
            host: Name or address that the server's certificate has to be for.
            sock: The socket beneath.
        """
        super().__init__()
        self._above = above
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._below: asyncio.Transport | None = None
        self.secured: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def _is_secured(self) -> bool:
        secured = self.secured
        return secured.done() and not secured.cancelled() and secured.exception() is None

    # Called from below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        # Not all loops' transports inherit from asyncio's.
        self._below = cast(asyncio.Transport, transport)
        self._shake_hands()

    def data_received(self, data: bytes) -> None:
        """Decrypt, or go on with the handshake."""
        pieces = memoryview(data)
        while pieces:
            self._incoming.write(pieces[:PIECE])
            pieces = pieces[PIECE:]
            if not self.secured.done():
                self._shake_hands()
            if self._is_secured:
                self._read()

    def eof_received(self) -> None:
        """End the connection, with or without a goodbye of TLS."""
        if self._is_secured:
            self._above.eof_received()
        else:
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Read what stands behind a failed write, and tell."""
        self._below = None
        if not self._is_secured:
            self._fail(error or ConnectionResetError("the connection was lost"))
            return
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
            with suppress(ssl.SSLError):
                self.data_received(rest_of(self._sock))
        self._above.connection_lost(error)

    def pause_writing(self) -> None:
        """Pass it on: what is encrypted already waits below."""
        if self._is_secured:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self._is_secured:
            self._above.resume_writing()

    # Called from above

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Pass it on."""
        if self._below is not None:
            self._below.set_write_buffer_limits(high, low)

    def is_closing(self) -> bool:
        """Tell whether nothing is sent any more."""
        return self._below is None or self._below.is_closing()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypt and send."""
        left = memoryview(data)
        try:
            while left:  # a record at a time
                left = left[self._tls.write(left) :]
        except ssl.SSLError:
            # Nothing can be said any more, so nothing may go on as if it could.
            self.abort()
        else:
            self._flush()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Encrypt and send."""
        self.write(b"".join(list_of_data))

    def abort(self) -> None:
        """End the connection at once; TLS says no goodbye here, the close frame did."""
        if self._below is not None:
            self._below.abort()

    # The middle

    def _flush(self) -> None:
        if self._outgoing.pending and self._below is not None and not self._below.is_closing():
            self._below.write(self._outgoing.read())

    def _fail(self, error: Exception) -> None:
        if not self.secured.done():
            self.secured.set_exception(error)
            # Nobody may be waiting any more.
            self.secured.exception()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except (OSError, ValueError) as error:
            self._flush()  # the alert that tells the server
            self._fail(error)
            self.abort()
        else:
            self._flush()
            self.secured.set_result(None)
            self._above.connection_made(self)

    def _read(self) -> None:
        try:
            while data := self._tls.read(PIECE):
                self._above.data_received(data)
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLZeroReturnError:
            self._above.eof_received()
        except ssl.SSLError:
            # A record that is not the server's; the connection is lost.
            self._flush()
            self.abort()
