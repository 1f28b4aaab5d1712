"""The WebSocket of a session on an event loop: no thread, one task."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable

import attrs

from convsm.machine.events import ConnectionFailed, Event, Informed, SocketClosed, SocketOpened
from convsm.transport.failures import (
    CUT_OFF,
    GIVEN_UP,
    LOST,
    NOT_READ,
    UNANSWERED,
    explain,
    explain_url,
    silent_for,
)
from convsm.transport.frame_reader import CloseFrame, Ping, Pong, TooBig, ViolatedProtocol
from convsm.transport.link import CLOSE, PING, PONG, Link
from convsm.transport.options import TransportOptions, check_headers
from convsm.transport.reach import reach, within
from convsm.transport.uplink import Uplink, UplinkDropped

__all__ = ["AsyncTransport"]

# What a close frame is granted to get away when the peer has taken leave, or is to be left.
FAREWELL_SECONDS = 0.1


class AsyncTransport:
    """A WebSocket that reports by posting events and is told by method calls.

    Answers each ``open`` with ConnectionFailed, or with SocketOpened and later exactly one
    SocketClosed, behind which nothing comes. No method blocks; all are called on the event loop
    unless they say otherwise. Whoever opened it calls ``drop`` and awaits ``join`` in the end; the
    task that keeps the connection ends it when it is cancelled, as ``asyncio.run`` does.
    """

    def __init__(
        self,
        post: Callable[[Event], None],
        decode: Callable[[bytes], tuple[Event, ...]],
        resolve_url: Callable[[], Awaitable[str]],
        options: TransportOptions,
    ) -> None:
        """Prepare a connection; nothing is opened yet, and no event loop is needed.

        Args:
            post: Takes events, on the event loop.
            decode: Turns a received message into events; never raises.
            resolve_url: Returns the URL to connect to; awaited in the connecting task.
            options: Limits.
        """
        self._post = post
        self._decode = decode
        self._resolve_url = resolve_url
        self._options = options
        self._uplink = Uplink()
        # The last few suffice: a pong answers all pings before it (RFC 6455, 5.5.3).
        self._controls: deque[tuple[bytes, int]] = deque(maxlen=8)
        self._task: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._is_open = False
        self._is_announced = False
        self._is_over = False
        self._early_end: Event | None = None
        self._close_code: int | None = None
        self._is_close_sent = False
        self._farewell: SocketClosed | None = None
        self._silences = 0
        self._heard_at = -1.0
        self._dropped_seconds = 0.0
        self.bytes_received = 0
        self.bytes_sent = 0

    # Called by the driver

    def open(self) -> None:
        """Start connecting."""
        if not self._is_over:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="convsm-transport")

    @property
    def has_room(self) -> bool:
        """Whether another message of the user's may be sent; may be read from any thread."""
        return self._uplink.has_room

    def send(self, message: bytes) -> None:
        """Queue a message; once the close frame is asked for, nothing is sent any more."""
        if self._is_leaving:
            return
        self._uplink.put(message)
        self._pump()
        if self._uplink.is_stuck:
            self._finish(NOT_READ)

    def send_audio(self, message: bytes, seconds: float) -> None:
        """Queue a piece of audio; when too much waits, the oldest is dropped and reported."""
        if self._is_leaving:
            return
        self._dropped_seconds += self._uplink.put_audio(message, seconds)
        self._pump()
        if not self.has_audio_room:
            self._room.clear()
        # One report a second of loss, not one a chunk.
        if self._dropped_seconds >= 1.0:
            dropped, self._dropped_seconds = self._dropped_seconds, 0.0
            self._post(Informed(UplinkDropped(dropped)))

    @property
    def waiting_seconds(self) -> float:
        """How much audio waits to be sent; may be read from any thread."""
        return self._uplink.waiting_seconds

    @property
    def has_audio_room(self) -> bool:
        """Whether half of the audio limit is free, or the connection ends; may be read from any thread."""
        return self._is_leaving or self._uplink.waiting_seconds < self._uplink.audio_seconds / 2

    async def audio_room(self) -> None:
        """Wait until half of the audio limit is free, or the connection ends."""
        await self._room.wait()

    def close(self, code: int) -> None:
        """Send the close frame behind the waiting messages, or give up connecting; the first code stands."""
        if self._close_code is None:
            self._close_code = code
        if not self._is_open:
            self._finish(GIVEN_UP)
            return
        self._uplink.drop_audio()
        self._room.set()
        self._pump()

    def drop(self) -> None:
        """End the connection without waiting for the peer."""
        self._finish(UNANSWERED)

    async def join(self, timeout: float) -> bool:
        """Wait for the task and its socket to end; return whether they did."""
        task = self._task
        if task is None:
            return True
        if task is asyncio.current_task():
            return False
        await asyncio.wait((task,), timeout=timeout)
        return task.done()

    # The one answer

    @property
    def _is_leaving(self) -> bool:
        return self._is_over or self._close_code is not None

    def _finish(self, event: ConnectionFailed | SocketClosed) -> None:
        if self._is_over:
            return
        self._is_over = True
        if not self._is_open and type(event) is SocketClosed:
            event = GIVEN_UP
        event = attrs.evolve(event)  # whoever takes it stamps it, and other sessions end like that too
        self._room.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._is_open:
            assert self._link is not None
            self._link.abort()
        elif self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        if self._is_open and not self._is_announced:
            self._early_end = event
        else:
            self._post(event)

    # The task

    async def _run(self) -> None:
        try:
            if await self._connect():
                assert self._link is not None
                await asyncio.shield(self._link.ended)
        finally:
            self._finish(LOST)
            link = self._link
            if link is not None and link.is_made:
                link.abort()
                # The next turn of the loop closes the socket. A loop that does not say so must not hold us.
                await asyncio.wait((link.ended,), timeout=FAREWELL_SECONDS)

    async def _connect(self) -> bool:
        try:
            url = await self._resolve_url()
        except Exception as error:
            self._finish(explain_url(error))
            return False
        if self._is_over:  # and whoever resolved the URL did not mind being cancelled
            return False
        try:
            link = await self._reach(url)
        except Exception as error:
            # Any: a URL that cannot be used, a garbled answer, and what else is no OSError.
            self._finish(explain(error))
            return False
        if self._is_leaving:
            return False
        self._is_open = True
        self._watch()
        self._post(SocketOpened())
        # Who ended it meanwhile left the telling to us, so that it comes second.
        self._is_announced = True
        if self._early_end is not None:
            self._post(self._early_end)
            return False
        link.start_receiving()
        self._pump()
        return True

    async def _reach(self, url: str) -> Link:
        options = self._options
        check_headers(url, options.headers)

        def make_link(sock: socket.socket | None) -> Link:
            self._link = Link(
                sock, url, options.max_bytes, options.headers, self._receive, self._break, self._pump
            )
            return self._link

        link = await reach(url, options, make_link)
        await within(options.open_seconds, link.shake_hands())
        return link

    # What comes

    def _receive(self, message: bytes | CloseFrame | Ping | Pong) -> None:
        if type(message) is bytes:
            self.bytes_received += len(message)
            for event in self._decode(message):
                if self._is_over:
                    return
                self._post(event)
        elif type(message) is Ping:
            self._control(message.payload, PONG)
        elif type(message) is CloseFrame:
            # The answer echoes the code; 1005 stands for none and is never sent.
            code = 1000 if message.code == 1005 else message.code
            self._take_leave(code, SocketClosed(message.code, message.reason))

    def _break(self, error: Exception | None) -> None:
        if type(error) is TooBig:
            self._take_leave(1009, SocketClosed(1009, str(error)))
        elif type(error) is ViolatedProtocol:
            self._take_leave(1002, SocketClosed(1002, str(error)))
        elif error is None:
            self._finish(self._farewell or CUT_OFF)
        else:
            self._finish(LOST)
            raise error

    def _take_leave(self, code: int, event: SocketClosed) -> None:
        assert self._link is not None
        if self._is_over:
            return
        self._link.stop_receiving()
        self._farewell = event
        if self._close_code is None:
            self._close_code = code
            self._uplink = Uplink()
            self._room.set()
        self._pump()
        # The close frame gets a moment; a peer that does not read must not hold us.
        if not self._is_over:
            self._set_timer(FAREWELL_SECONDS, self._finish, event)

    def _set_timer(self, seconds: float, call: Callable[..., None], *arguments: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, call, *arguments)

    def _watch(self) -> None:
        # Looks when it could be time, instead of setting a timer anew for all that is received.
        assert self._link is not None
        period = self._options.ping_seconds
        if self._link.received_at != self._heard_at:
            self._heard_at, self._silences = self._link.received_at, 0
            left = self._heard_at + period - asyncio.get_running_loop().time()
            if left > 0:
                self._set_timer(left, self._watch)
                return
        self._silences += 1
        if self._silences > 1:
            self._finish(silent_for(self._silences * period))
            return
        self._control(b"", PING)
        self._set_timer(period, self._watch)

    # What goes

    def _control(self, payload: bytes, opcode: int) -> None:
        self._controls.append((payload, opcode))
        self._pump()

    def _pump(self) -> None:
        """Send what waits, as far as the system takes it."""
        link = self._link
        if link is None or not self._is_open or self._is_over:
            return
        while link.has_room and not self._is_close_sent:
            if self._controls:
                link.send(*self._controls.popleft())
            elif (message := self._uplink.take()) is not None:
                link.send(message)
                self.bytes_sent += len(message)
            elif self._close_code is not None:
                self._is_close_sent = True
                link.send(struct.pack("!H", self._close_code), CLOSE)
            else:
                break
        if self.has_audio_room:
            self._room.set()
        if self._farewell is not None and self._is_close_sent and link.has_room:
            self._finish(self._farewell)
