"""The steps of a loopback agent's script that misbehave: bad frames, lost connections, refused handshakes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from convsm.testing.frames import encode_frame
from convsm.testing.script import Step
from convsm.testing.websocket_server import ConnectionEnded, Until

if TYPE_CHECKING:
    from convsm.testing.connection import LoopbackConnection

__all__ = [
    "Close",
    "Drop",
    "HandshakeStep",
    "HoldHandshake",
    "IgnoreClose",
    "RefuseHandshake",
    "ResumeReading",
    "SendBytes",
    "SendFragmented",
    "SendFrame",
    "SendOversized",
    "SendRaw",
    "SpoilHandshake",
    "StopReading",
]

TEXT, CONTINUATION, PING = 0x1, 0x0, 0x9


def _size(payload: str | bytes) -> str:
    return f"<{len(payload)} {'characters' if isinstance(payload, str) else 'bytes'}>"


def _encoded(payload: str | bytes) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload


# Handshake


class HandshakeStep(Step):
    """A step that decides how the upgrade request is answered; only the first one of a script can be that.

    None of these counts as an expectation, and after all but a HoldHandshake the script is over.
    """

    __slots__ = ()

    def perform(self, connection: LoopbackConnection) -> None:
        """Refuse to: the handshake is over.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(f"{type(self).__name__} must be the first step of a script; move it there.")

    def is_upgraded(self, connection: LoopbackConnection) -> bool:
        """Answer in its way; True if the request shall be answered properly then."""
        raise NotImplementedError


@attrs.frozen
class RefuseHandshake(HandshakeStep):
    """Answer the upgrade request with an HTTP error or redirection.

    Attributes:
        status: HTTP status, such as 401, 403, 404, 429, 503, or 302 with a ``Location`` header.
        body: Text of the answer.
        headers: More headers.
    """

    status: int = 403
    body: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def is_upgraded(self, connection: LoopbackConnection) -> bool:
        """Refuse it."""
        connection.stream.respond(self.status, self.body.encode(), self.headers)
        return False


@attrs.frozen
class HoldHandshake(HandshakeStep):
    """Accept the TCP connection but keep the upgrade request waiting.

    Attributes:
        until: Seconds, or an event of the test's; None never answers.
    """

    until: Until = None

    def is_upgraded(self, connection: LoopbackConnection) -> bool:
        """Wait, unless the client gives up first."""
        return connection.stream.hold(self.until)


@attrs.frozen
class SpoilHandshake(HandshakeStep):
    """Answer the upgrade request with bytes of your own, then close the TCP connection.

    Attributes:
        answer: What goes out as it is, such as ``b"SSH-2.0-OpenSSH"`` or half a header.
    """

    answer: bytes = attrs.field(repr=_size)

    def is_upgraded(self, connection: LoopbackConnection) -> bool:
        """Send them."""
        with suppress(ConnectionEnded):  # the client or the agent's stop was quicker
            connection.stream.send(self.answer)
            connection.stream.drop()
        return False


# Frames


@attrs.frozen
class SendRaw(Step):
    """Send one text frame with any payload: no JSON, invalid UTF-8, or JSON that was built beforehand.

    Attributes:
        payload: Text, or bytes that go out as they are.
    """

    payload: str | bytes = attrs.field(repr=_size)

    def perform(self, connection: LoopbackConnection) -> None:
        """Send it."""
        connection.stream.send(encode_frame(_encoded(self.payload)))


@attrs.frozen
class SendFrame(Step):
    """Send one frame of any kind.

    Attributes:
        payload: What it carries.
        opcode: 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong; the others are reserved.
        fin: Whether the message ends here.
        rsv: The three reserved bits, 0 to 7; a client fails the connection if one is set.
    """

    payload: str | bytes = attrs.field(default=b"", repr=_size)
    opcode: int = attrs.field(default=TEXT, kw_only=True)
    fin: bool = attrs.field(default=True, kw_only=True)
    rsv: int = attrs.field(default=0, kw_only=True)

    def perform(self, connection: LoopbackConnection) -> None:
        """Send it."""
        connection.stream.send(encode_frame(_encoded(self.payload), self.opcode, fin=self.fin, rsv=self.rsv))


@attrs.frozen
class SendBytes(Step):
    """Put bytes on the TCP stream without any frame.

    Attributes:
        data: The bytes.
    """

    data: bytes = attrs.field(repr=_size)

    def perform(self, connection: LoopbackConnection) -> None:
        """Send them."""
        connection.stream.send(self.data)


@attrs.frozen
class SendFragmented(Step):
    """Send one text message in several frames, which may cut a character in two.

    Attributes:
        payload: The whole message.
        pieces: In how many frames, at least 1.
        pings: Whether a WebSocket ping goes between each two, as is allowed.
    """

    payload: str | bytes = attrs.field(repr=_size)
    pieces: int = 3
    pings: bool = False

    def perform(self, connection: LoopbackConnection) -> None:
        """Send it."""
        payload = _encoded(self.payload)
        for piece in range(self.pieces):
            start, end = (len(payload) * edge // self.pieces for edge in (piece, piece + 1))
            opcode, fin = CONTINUATION if piece else TEXT, piece == self.pieces - 1
            connection.stream.send(encode_frame(payload[start:end], opcode, fin=fin))
            if self.pings and not fin:
                connection.stream.send(encode_frame(b"between", PING))


@attrs.frozen
class SendOversized(Step):
    """Send a message that is too big; it is valid JSON of an unknown type.

    Attributes:
        size: Bytes of payload; the default is one more than the official client takes.
        announced_only: Whether to send the header with this length and nothing behind it.
    """

    size: int = 16 * 1024 * 1024 + 1
    announced_only: bool = False

    def perform(self, connection: LoopbackConnection) -> None:
        """Send it."""
        if self.announced_only:
            connection.stream.send(encode_frame(b"", length=self.size))
            return
        start, end = b'{"type":"oversized","padding":"', b'"}'
        connection.stream.send(encode_frame(start + b"." * (self.size - len(start) - len(end)) + end))


# The end


@attrs.frozen
class Close(Step):
    """Send a close frame.

    Attributes:
        code: Any code, forbidden ones too; None sends a frame without one.
        reason: Text; cut to the 123 bytes that a close frame holds.
    """

    code: int | None = 1000
    reason: str = ""

    def perform(self, connection: LoopbackConnection) -> None:
        """Send it; the TCP connection ends once the client has answered."""
        connection.stream.send_close(self.code, self.reason)


@attrs.frozen
class IgnoreClose(Step):
    """From here on neither answer the client's close frame nor end the connection after it."""

    def perform(self, connection: LoopbackConnection) -> None:
        """Note it."""
        connection.stream.ignore_close()


@attrs.frozen
class Drop(Step):
    """End the TCP connection without a close frame.

    Attributes:
        reset: Whether with RST, as after a crash, or with FIN. A blocked sender makes it a FIN.
    """

    reset: bool = False

    def perform(self, connection: LoopbackConnection) -> None:
        """Drop it."""
        connection.stream.drop(reset=self.reset)


@attrs.frozen
class StopReading(Step):
    """Read no more: nothing is recorded or answered, and the client's sending blocks once buffers fill."""

    def perform(self, connection: LoopbackConnection) -> None:
        """Stop."""
        connection.stream.stop_reading()


@attrs.frozen
class ResumeReading(Step):
    """Read again after a StopReading."""

    def perform(self, connection: LoopbackConnection) -> None:
        """Resume."""
        connection.stream.resume_reading()
