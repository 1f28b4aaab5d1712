"""Bytes in, messages out: the frames of a server (RFC 6455), read without a socket.

Sizes are checked in the header, before the payload is waited for; UTF-8 is left to whoever parses
the message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import attrs

__all__ = ["CloseFrame", "FrameReader", "Ping", "Pong", "Received", "TooBig", "ViolatedProtocol"]

# RFC 6455, 5.5: what a control frame holds at most.
CONTROL_BYTES = 125

FIN, RESERVED, OPCODE, MASKED = 0x80, 0x70, 0x0F, 0x80
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class TooBig(Exception):
    """A message exceeds the size limit."""


class ViolatedProtocol(Exception):
    """The peer broke a rule of RFC 6455."""


@attrs.frozen
class CloseFrame:
    """The peer's close frame.

    Attributes:
        code: Close code; 1005 when the frame carried none.
        reason: Its text.
    """

    code: int
    reason: str


@attrs.frozen
class Ping:
    """A ping frame of the peer.

    Attributes:
        payload: To be echoed.
    """

    payload: bytes


@attrs.frozen
class Pong:
    """A pong frame of the peer."""


# A whole message, or a control frame.
Received = bytes | CloseFrame | Ping | Pong


class FrameReader:
    """Assembles messages; used for one connection."""

    def __init__(self, max_bytes: int) -> None:
        """Begin behind the opening handshake.

        Args:
            max_bytes: Size limit of a message, its fragments summed.
        """
        self._max_bytes = max_bytes
        # The beginning of a frame, and that of a fragmented message; growing buffers, for lists of
        # tiny pieces take many times their size.
        self._buffer = bytearray()
        self._message: bytearray | None = None

    def feed(self, data: bytes) -> Iterator[Received]:
        """Take what was received and yield what it completes; to be used up before the next call.

        Raises:
            TooBig: A message exceeds the size limit; its payload was not waited for.
            ViolatedProtocol: The peer broke the WebSocket protocol.
        """
        source: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            source = self._buffer
        position, end = 0, len(source)
        while end - position >= 2:
            first, length = source[position], source[position + 1]
            start = position + 2
            if length == 126:
                start += 2
                if end < start:
                    break
                length = source[start - 2] << 8 | source[start - 1]
            elif length >= 127:
                if length & MASKED:
                    raise ViolatedProtocol("a frame of the server's was masked")
                start += 8
                if end < start:
                    break
                length = int.from_bytes(source[start - 8 : start], "big")
            self._check(first, length)
            if end - start < length:
                break
            position = start + length
            payload = bytes(source[start:position])
            if first == FIN | TEXT and self._message is None:
                yield payload
            elif (complete := self._complete(first, payload)) is not None:
                yield complete
        if source is self._buffer:
            del self._buffer[:position]
        else:
            self._buffer += source[position:]

    def _check(self, first: int, length: int) -> None:
        if first & RESERVED:
            raise ViolatedProtocol("a frame had a reserved bit set")
        opcode = first & OPCODE
        if opcode > BINARY:
            if opcode not in (CLOSE, PING, PONG):
                raise ViolatedProtocol(f"a frame had the unknown opcode {opcode}")
            if length > CONTROL_BYTES or not first & FIN:
                raise ViolatedProtocol("a control frame was too long or fragmented")
        elif length + len(self._message or b"") > self._max_bytes:
            raise TooBig(f"a message exceeds the limit of {self._max_bytes} bytes")

    def _complete(self, first: int, payload: bytes) -> Received | None:
        opcode = first & OPCODE
        if opcode == PING:
            return Ping(payload)
        if opcode == PONG:
            return Pong()
        if opcode == CLOSE:
            return _close_frame(payload)
        if opcode == CONTINUATION:
            if self._message is None:
                raise ViolatedProtocol("a continuation came without a beginning")
            self._message += payload
        elif self._message is not None:
            raise ViolatedProtocol("a new message began inside a fragmented one")
        elif first & FIN:
            return payload
        else:
            self._message = bytearray(payload)
        if not first & FIN:
            return None
        message, self._message = bytes(self._message), None
        return message


def _close_frame(payload: bytes) -> CloseFrame:
    if not payload:
        return CloseFrame(1005, "")
    if len(payload) == 1:
        raise ViolatedProtocol("a close frame was too short")
    (code,) = struct.unpack("!H", payload[:2])
    # RFC 6455, 7.4: what may stand in a frame; 3000 to 4999 are for libraries and applications.
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise ViolatedProtocol(f"a close frame had the code {code}")
    return CloseFrame(code, payload[2:].decode("utf-8", "replace"))
