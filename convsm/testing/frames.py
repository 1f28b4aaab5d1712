"""WebSocket frames as a server sends them, without the checks that keep others from sending broken ones."""

from __future__ import annotations

import struct

from websockets.frames import Opcode

__all__ = ["encode_close", "encode_frame"]

# RFC 6455: a control frame holds at most 125 bytes, two of which are the code.
MAX_REASON_BYTES = 123


def encode_frame(
    payload: bytes, opcode: int = Opcode.TEXT, *, fin: bool = True, rsv: int = 0, length: int | None = None
) -> bytes:
    """Frame a payload as a server does, without any check.

    Args:
        payload: The bytes behind the header.
        opcode: 0 to 15.
        fin: Whether the message ends here.
        rsv: The three reserved bits, 0 to 7.
        length: Length to announce, if it shall not be that of the payload.
    """
    length = len(payload) if length is None else length
    first = (fin << 7) | (rsv << 4) | opcode
    if length < 126:
        return struct.pack("!BB", first, length) + payload
    if length < 65536:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def encode_close(code: int | None, reason: str = "") -> bytes:
    """Frame a close, with any code at all; a reason is cut to what a close frame holds."""
    if code is None:
        return encode_frame(b"", Opcode.CLOSE)
    text = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    return encode_frame(struct.pack("!H", code) + text.encode(), Opcode.CLOSE)
