"""The head of an HTTP answer, read as it comes in; bodies interest nobody here."""

from __future__ import annotations

__all__ = ["HANDSHAKE_BYTES", "AnswerHead", "NotHttp"]

# What an answer to a handshake may take, with the page that a refusal brings along.
HANDSHAKE_BYTES = 65536


class NotHttp(Exception):
    """The peer answered with something else than HTTP, or not at all."""


class AnswerHead:
    """Collects the bytes of one answer up to the end of its headers.

    Attributes:
        head: Status line and headers, once they are complete.
        rest: What came behind them.
    """

    def __init__(self) -> None:
        self.head = b""
        self.rest = bytearray()

    def feed(self, data: bytes) -> int | None:
        """Take what was received; return the HTTP status, or None until the head is complete.

        Raises:
            NotHttp: This is no answer, or one without an end.
        """
        self.rest += data
        if self.head:
            return None
        head, separator, rest = self.rest.partition(b"\r\n\r\n")
        if len(head) > HANDSHAKE_BYTES:
            raise NotHttp
        if not separator:
            return None
        version, _, status = bytes(head[:12]).partition(b" ")
        if not (version in (b"HTTP/1.1", b"HTTP/1.0") and len(status) == 3 and status.isdigit()):
            raise NotHttp
        self.head, self.rest = bytes(head + separator), rest
        return int(status)
