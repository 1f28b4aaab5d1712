"""An open WebSocket on an event loop: opening handshake, frames in and out; knows no events.

What it is made of was measured: CPU a received 8,000-byte audio message (a text frame of 10.7 kB,
decoding of 6 µs included), one a wake-up and as a flood, and memory of an idle connection without
TLS; websockets 17.4, aiohttp 3.14 and picows 2.3 on one of two cores, CPython 3.11:

====================================  ========  =======  =======
client                                one each  flood    idle
====================================  ========  =======  =======
websockets' asyncio client            60 µs     19 µs    12.5 kB
aiohttp                               35 µs     15 µs    12.2 kB
picows                                28 µs     9 µs     30.4 kB
websockets' protocol without I/O      47 µs     15 µs    6.0 kB
its handshake, frames read here       28 µs     13 µs    2.3 kB
the same as a whole AsyncTransport    35 µs     11 µs    8.2 kB
====================================  ========  =======  =======

So websockets, which the plain install has anyway, does the handshake and masks what is sent; frames
are read by ``FrameReader``. picows is as fast where it counts, one message a wake-up, but takes the
most memory, limits frames and no messages, joins no fragments and brings three packages along;
aiohttp brings eight. Since these figures were taken, smaller reads (``RECEIVE_BYTES``) take another
13 µs off each wake-up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from convsm.transport.answers import AnswerHead, NotHttp
from convsm.transport.frame_reader import CLOSE, PING, PONG, TEXT, CloseFrame, FrameReader, Ping, Pong
from convsm.transport.rest_of import rest_of

if TYPE_CHECKING:
    import socket

    from websockets.client import ClientProtocol

__all__ = ["CLOSE", "PING", "PONG", "TEXT", "Link", "Refused"]

# websockets logs requests and answers at DEBUG, with headers and the signature in the URL.
_silent = logging.getLogger("convsm.transport.silent")
_silent.disabled = True

# What is received at once, at most: below the 128 KiB from which on malloc maps memory.
RECEIVE_BYTES = 64 * 1024


class Refused(Exception):
    """The peer answered with another status than 101.

    Attributes:
        status_code: Its HTTP status.
    """

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code
        super().__init__(f"HTTP status {status_code}")


class Link(asyncio.Protocol):
    """One connection, of which the loop calls the lower half and its owner the upper half.

    Attributes:
        is_made: Whether there is a connection to be aborted, and ``ended`` to be waited for.
        ended: Done when the socket is closed.
        received_at: Time of the loop when something was received last, a byte or more.
    """

    def __init__(
        self,
        sock: socket.socket | None,
        url: str,
        max_bytes: int,
        headers: Mapping[str, str],
        on_message: Callable[[bytes | CloseFrame | Ping | Pong], None],
        on_error: Callable[[Exception | None], None],
        on_room: Callable[[], None],
    ) -> None:
        """Prepare a connection on a running event loop.

        Args:
            sock: The connected socket right beneath; None with TLS between.
            url: The WebSocket URL.
            max_bytes: Size limit of a message, its fragments summed.
            headers: Further headers of the handshake.
            on_message: Called with what is received.
            on_error: Called with what on_message or the reading of frames raised; with None when
                the connection is lost. Not before the handshake is over.
            on_room: Called when more may be sent.

        Raises:
            Exception: The URL cannot be used.
        """
        # Imported on use: diagrams and tests of the core need no WebSocket client.
        from websockets.client import ClientProtocol
        from websockets.frames import Frame, Opcode
        from websockets.uri import parse_uri

        self._frame: Callable[[Any, bytes], Frame] = Frame
        self._opcode = Opcode
        self._handshake = ClientProtocol(parse_uri(url), logger=_silent)
        self._answer = AnswerHead()
        self._sock = sock
        self._headers = headers
        # None when nothing is wanted any more.
        self._reader: FrameReader | None = FrameReader(max_bytes)
        self._on_message = on_message
        self._on_error = on_error
        self._on_room = on_room
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self._is_receiving = False
        self._loop = loop = asyncio.get_running_loop()
        self.received_at = loop.time()
        self._answered: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()

    # Called by the owner

    @property
    def is_made(self) -> bool:
        """Whether there is a connection."""
        return self._transport is not None

    async def shake_hands(self) -> None:
        """Do the opening handshake.

        Raises:
            Refused: The server did not want to.
            Exception: It does not speak WebSocket.
            OSError: The connection was lost.
        """
        assert self._transport is not None
        request = self._handshake.connect()
        for name, value in self._headers.items():
            # Not a second one beside that of the URL's user and password.
            if name in request.headers:
                del request.headers[name]
            request.headers[name] = value
        self._handshake.send_request(request)
        self._transport.writelines(self._handshake.data_to_send())
        await self._answered

    def start_receiving(self) -> None:
        """Hand out what is received, beginning with what came right behind the handshake."""
        self._is_receiving = True
        early, self._answer = bytes(self._answer.rest), AnswerHead()
        if early:
            self.data_received(early)
        if self.ended.done():
            self._on_error(None)

    @property
    def has_room(self) -> bool:
        """Whether a frame would be taken by the system; a frame at most waits in part."""
        return not self._is_paused and self._transport is not None and not self._transport.is_closing()

    def send(self, payload: bytes, opcode: int = TEXT) -> None:
        """Send one frame."""
        assert self._transport is not None
        self._transport.write(self._frame(self._opcode(opcode), payload).serialize(mask=True))

    def stop_receiving(self) -> None:
        """Throw away what comes from now on."""
        self._reader = None

    def abort(self) -> None:
        """End the connection at once; what was not taken by the system is lost."""
        self._reader = None
        if self._transport is not None:
            self._transport.abort()

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        # Not all loops' transports inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        # asyncio makes room for 256 KiB at each wake-up, which malloc maps and unmaps each time: 15 µs
        # where this takes 2 µs. Other loops' transports know no such limit.
        if hasattr(transport, "max_size"):
            transport.max_size = RECEIVE_BYTES
        # Nothing is to wait here, behind the back of the queue that drops what is too much.
        self._transport.set_write_buffer_limits(high=1, low=0)

    def data_received(self, data: bytes) -> None:
        """Read the answer to the handshake, then frames."""
        self.received_at = self._loop.time()
        if not self._is_receiving:
            if self._answered.done():
                self._answer.rest += data
            else:
                self._read_answer(self._handshake, data)
            return
        reader = self._reader
        if reader is None:
            return
        try:
            for message in reader.feed(data):
                self._on_message(message)
                if self._reader is not reader:
                    return
        except Exception as error:
            self._reader = None
            self._on_error(error)

    def _read_answer(self, handshake: ClientProtocol, data: bytes) -> None:
        try:
            status = self._answer.feed(data)
        except NotHttp as error:
            self._answered.set_exception(error)
            return
        if status is None:
            return
        if status != 101:
            # Redirects, too: they could lead to another host than the one that was checked.
            self._answered.set_exception(Refused(status))
            return
        handshake.receive_data(self._answer.head)
        handshake.data_to_send()
        if handshake.handshake_exc is not None:
            self._answered.set_exception(handshake.handshake_exc)
        else:
            self._answered.set_result(None)

    def eof_received(self) -> None:
        """End the connection: nobody is left who would answer."""
        # Closed by the loop it would wait until all is written, which may be never.
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Read what stands behind a failed write, and tell."""
        if isinstance(error, OSError) and self._is_receiving and self._sock is not None:
            self.data_received(rest_of(self._sock))
        if not self._answered.done():
            self._answered.set_exception(error or NotHttp())
            # Nobody may be waiting any more.
            self._answered.exception()
        if not self.ended.done():
            self.ended.set_result(None)
        self._transport = None
        if self._is_receiving:
            self._on_error(None)

    def pause_writing(self) -> None:
        """Note that the system takes no more."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Note that the system takes more."""
        self._is_paused = False
        self._on_room()
