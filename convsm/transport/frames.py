"""An open WebSocket on a socket that blocks: one thread reads while another writes.

websocket-client does the handshake and the masking. As a reader it knows no size limit, validates UTF-8
in pure Python (1.9 ms for 8 kB of audio, against 23 µs for reading it whole with orjson, which
validates too) and answers control frames from the reading thread; so FrameReader reads.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from convsm.transport.answers import HANDSHAKE_BYTES
from convsm.transport.frame_reader import FrameReader, Received

if TYPE_CHECKING:
    from convsm.transport.secure import SecureSocket

__all__ = ["Connection"]

# One system call fetches several frames; 64 KiB is what a loopback socket delivers at most.
READ_SIZE = 65536

_NO_HEADERS: Mapping[str, str] = {}
_JAR = re.compile(rb"\r\nCookie: [^\r\n]*\r\n")


class _Handshake:
    """What websocket-client sees of the socket; it would read headers and error pages of any length."""

    def __init__(self, sock: socket.socket | SecureSocket) -> None:
        self._sock = sock
        self._left = HANDSHAKE_BYTES
        self.gettimeout = sock.gettimeout

    def close(self) -> None:
        """Leave that to the socket's owner, who knows whether another thread is about to use it."""

    def send(self, request: bytes) -> int:
        # websocket-client has one cookie jar for the whole process; headers of ours are in lower case.
        left = memoryview(_JAR.sub(b"\r\n", request))
        while left:
            left = left[self._sock.send(left) :]
        return len(request)

    def recv(self, size: int) -> bytes:
        data = self._sock.recv(min(size, self._left))
        self._left -= len(data)
        return data


class Connection:
    """An open WebSocket: frames in and out, no thread of its own.

    One thread may read while another writes; shutting the socket down wakes both.
    """

    def __init__(
        self,
        sock: socket.socket | SecureSocket,
        url: str,
        max_bytes: int,
        idle_seconds: float | None = None,
        on_idle: Callable[[int], None] = lambda count: None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> None:
        """Do the opening handshake on a connected socket.

        Args:
            sock: The connected socket, TLS included. It stays open when the handshake fails.
            url: The WebSocket URL.
            max_bytes: Size limit of a message, its fragments summed.
            idle_seconds: How long not a byte may arrive before ``on_idle`` is called; None for ever.
            on_idle: Called by the reading thread with how often in succession; an OSError that it
                raises ends the reading.
            headers: Further headers of the handshake.

        Raises:
            websocket.WebSocketException: The server refused or does not speak WebSocket.
            OSError: The socket broke or timed out.
        """
        # Imported on use: diagrams and tests of the core need no WebSocket client.
        from websocket import ABNF, WebSocket, WebSocketBadStatusException, WebSocketException

        self._abnf = ABNF
        self._sock = sock
        self._on_idle = on_idle
        self._reader = FrameReader(max_bytes)
        self._received: Iterator[Received] = iter(())
        client = WebSocket(enable_multithread=False)
        try:
            # Redirects could lead from wss to ws, or to another host than the one that was checked.
            client.connect(  # type: ignore[no-untyped-call]
                url,
                socket=_Handshake(sock),
                suppress_origin=True,
                redirect_limit=0,
                header=[f"{name.lower()}: {value}" for name, value in headers.items()],
            )
        except WebSocketException:
            answer = client.handshake_response
            if answer is None:
                raise
            raise WebSocketBadStatusException("redirected", answer.status) from None
        # The writer has no use for a limit and goes on after it; see _send.
        sock.settimeout(idle_seconds)

    def receive(self) -> Received:
        """Wait for the next message or control frame.

        Raises:
            TooBig: A message exceeds the size limit; its payload was not waited for.
            ViolatedProtocol: The peer broke the WebSocket protocol.
            OSError: The connection was lost.
        """
        while True:
            for message in self._received:
                return message
            self._received = self._reader.feed(self._read())

    def _read(self) -> bytes:
        silences = 0
        while True:
            try:
                data = self._sock.recv(READ_SIZE)
            except TimeoutError:
                silences += 1
                self._on_idle(silences)
                continue
            if not data:
                raise ConnectionResetError("the connection was lost without a close frame")
            return data

    def _send(self, payload: bytes, opcode: int) -> None:
        frame = memoryview(self._abnf.create_frame(payload, opcode).format())
        while frame:
            # The socket's time limit is how the reader notices silence; writing just goes on.
            with suppress(TimeoutError):
                frame = frame[self._sock.send(frame) :]

    def send(self, message: bytes) -> None:
        """Send one text message; blocks while the peer does not read."""
        self._send(message, self._abnf.OPCODE_TEXT)

    def ping(self) -> None:
        """Send a ping frame."""
        self._send(b"", self._abnf.OPCODE_PING)

    def pong(self, payload: bytes) -> None:
        """Answer a ping frame."""
        self._send(payload, self._abnf.OPCODE_PONG)

    def close(self, code: int) -> None:
        """Send the close frame."""
        self._send(struct.pack("!H", code), self._abnf.OPCODE_CLOSE)

    def release(self) -> None:
        """Close the file descriptor; nobody may read or write any more."""
        self._sock.close()
