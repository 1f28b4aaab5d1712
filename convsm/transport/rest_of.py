"""What a socket still holds when it breaks."""

from __future__ import annotations

import socket
from contextlib import suppress

__all__ = ["rest_of"]

# What it may hold is the system's limit; this is ours.
REST_BYTES = 1 << 20


def rest_of(sock: socket.socket) -> bytes:
    """Read what a broken socket still holds.

    A failed write makes the loop forget what was received before, be it a close frame.
    """
    rest = bytearray()
    with suppress(OSError, ValueError):
        while len(rest) < REST_BYTES and (data := sock.recv(65536)):
            rest += data
    return bytes(rest)
