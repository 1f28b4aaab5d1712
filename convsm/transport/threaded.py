"""The WebSocket of a threaded session: one thread connects and reads, one writes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import attrs

from convsm.machine.events import ConnectionFailed, Event, Informed, SocketClosed, SocketOpened
from convsm.transport.dial import Dial
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
from convsm.transport.frame_reader import CloseFrame, Ping, TooBig, ViolatedProtocol
from convsm.transport.frames import Connection
from convsm.transport.options import TransportOptions, check_headers
from convsm.transport.proxy import proxy_for
from convsm.transport.uplink import Uplink, UplinkDropped

if TYPE_CHECKING:
    import socket

    from convsm.transport.secure import SecureSocket

__all__ = ["ThreadedTransport"]


class ThreadedTransport:
    """A WebSocket that reports by posting events and is told by method calls.

    Answers each ``open`` with ConnectionFailed, or with SocketOpened and later exactly one
    SocketClosed. No method blocks; all may be called from any thread.
    """

    def __init__(
        self,
        post: Callable[[Event], None],
        decode: Callable[[bytes], tuple[Event, ...]],
        resolve_url: Callable[[], str],
        options: TransportOptions,
    ) -> None:
        """Prepare a connection; nothing is opened yet.

        Args:
            post: Takes events, from this transport's threads and from its callers'.
            decode: Turns a received message into events; never raises.
            resolve_url: Returns the URL to connect to; runs on the connecting thread and may block.
            options: Limits.
        """
        self._post = post
        self._decode = decode
        self._resolve_url = resolve_url
        self._options = options
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._uplink = Uplink()
        # The last few suffice: a pong answers all pings before it (RFC 6455, 5.5.3).
        self._controls: deque[Callable[[Connection], None]] = deque(maxlen=8)
        self._dial = Dial()
        self._connection: Connection | None = None
        self._is_open = False
        self._is_announced = False
        self._is_over = False
        self._early_end: Event | None = None
        self._close_code: int | None = None
        self._dropped_seconds = 0.0
        self.bytes_received = 0
        self.bytes_sent = 0
        self._reader = threading.Thread(target=self._run, name="convsm-reader", daemon=True)
        self._writer = threading.Thread(target=self._write, name="convsm-writer", daemon=True)

    # Called by the driver

    def open(self) -> None:
        """Start connecting."""
        self._reader.start()

    @property
    def has_room(self) -> bool:
        """Whether another message of the user's may be sent."""
        with self._lock:
            return self._uplink.has_room

    def send(self, message: bytes) -> None:
        """Queue a message; once the close frame is asked for, nothing is sent any more."""
        with self._wake:
            if self._is_leaving:
                return
            self._uplink.put(message)
            is_stuck = self._uplink.is_stuck
            self._wake.notify()
        if is_stuck:
            self._finish(NOT_READ)

    def send_audio(self, message: bytes, seconds: float) -> None:
        """Queue a piece of audio; when too much waits, the oldest is dropped and reported."""
        with self._wake:
            if self._is_leaving:
                return
            self._dropped_seconds += self._uplink.put_audio(message, seconds)
            # One report a second of loss, not one a chunk.
            is_worth_telling = self._dropped_seconds >= 1.0
            if is_worth_telling:
                dropped, self._dropped_seconds = self._dropped_seconds, 0.0
            self._wake.notify()
        if is_worth_telling:
            self._post(Informed(UplinkDropped(dropped)))

    def wait_for_audio_room(self, give_up: threading.Event) -> None:
        """Wait until half of the audio limit is free, the connection ends, or the event is set."""
        while True:
            with self._lock:
                if self._is_leaving or self._uplink.waiting_seconds < self._uplink.audio_seconds / 2:
                    return
            # Looked at again after half a chunk; waking the waiter at each sent frame would cost more.
            if give_up.wait(0.01):
                return

    def close(self, code: int) -> None:
        """Send the close frame behind the waiting messages, or give up connecting; the first code stands."""
        with self._wake:
            if self._close_code is None:
                self._close_code = code
            if self._is_open:
                self._uplink.drop_audio()
                self._wake.notify()
                return
        self._finish(GIVEN_UP)

    def drop(self) -> None:
        """End the connection without waiting for the peer."""
        self._finish(UNANSWERED)

    def join(self, timeout: float) -> bool:
        """Wait for the threads to end; return whether they did."""
        deadline = time.monotonic() + timeout
        for thread in (self._reader, self._writer):
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not (self._reader.is_alive() or self._writer.is_alive())

    # The one answer

    @property
    def _is_leaving(self) -> bool:
        return self._is_over or self._close_code is not None

    def _finish(self, event: ConnectionFailed | SocketClosed) -> None:
        with self._wake:
            if self._is_over:
                return
            self._is_over = True
            if not self._is_open and type(event) is SocketClosed:
                event = GIVEN_UP
            event = attrs.evolve(event)  # whoever takes it stamps it, and other sessions end like that too
            self._wake.notify()
            # With the lock held, as is where sockets are closed: a closed descriptor may be another's soon.
            self._dial.give_up()
            if self._is_open and not self._is_announced:
                self._early_end = event
                return
        self._post(event)

    # The reading thread

    def _run(self) -> None:
        try:
            connection = self._connect()
            if connection is not None:
                self._read(connection)
        finally:
            self._finish(LOST)
            if self._writer.ident is not None:
                self._writer.join()
            with self._wake:
                if self._connection is not None:
                    self._connection.release()

    def _resolve(self) -> str | None:
        try:
            return None if self._dial.is_given_up else self._resolve_url()
        except Exception as error:
            self._finish(explain_url(error))
        return None

    def _connect(self) -> Connection | None:
        url = self._resolve()
        if url is None:
            return None
        options = self._options
        sock: socket.socket | SecureSocket | None = None
        try:
            check_headers(url, options.headers)
            proxy = proxy_for(url, options.proxy)
            sock = self._dial.connect(url, options.open_seconds, options.ssl_context, proxy)
            connection = Connection(
                sock, url, options.max_bytes, options.ping_seconds, self._bear_silence, options.headers
            )
        except Exception as error:
            # Any: a garbled answer raises ValueError and the like in older versions of websocket-client.
            if sock is not None:
                with self._wake:
                    sock.close()
            self._finish(explain(error))
            return None
        with self._wake:
            self._connection = connection
            if self._is_leaving:
                return None
            self._writer.start()
            self._is_open = True
        self._post(SocketOpened())
        # Whoever ended it meanwhile left the telling to us, so that it comes second.
        with self._wake:
            self._is_announced = True
        if self._early_end is not None:
            self._post(self._early_end)
        return connection

    def _read(self, connection: Connection) -> None:
        receive, decode, post = connection.receive, self._decode, self._post
        try:
            while True:
                message = receive()
                if type(message) is bytes:
                    self.bytes_received += len(message)
                    for event in decode(message):
                        post(event)
                elif type(message) is Ping:
                    self._control(partial(Connection.pong, payload=message.payload))
                elif type(message) is CloseFrame:
                    # The answer echoes the code; 1005 stands for none and is never sent.
                    code = 1000 if message.code == 1005 else message.code
                    self._take_leave(code, SocketClosed(message.code, message.reason))
                    return
        except TooBig as error:
            self._take_leave(1009, SocketClosed(1009, str(error)))
        except ViolatedProtocol as error:
            self._take_leave(1002, SocketClosed(1002, str(error)))
        except OSError:
            self._finish(CUT_OFF)

    def _control(self, send: Callable[[Connection], None]) -> None:
        with self._wake:
            self._controls.append(send)
            self._wake.notify()

    def _bear_silence(self, count: int) -> None:
        # Asked of the reader, because a writer is never idle while the microphone is on, and may hang
        # for good when the peer does not read.
        if count > 1:
            self._finish(silent_for(count * self._options.ping_seconds))
            raise ConnectionAbortedError
        self._control(Connection.ping)

    def _take_leave(self, code: int, event: SocketClosed) -> None:
        with self._wake:
            if self._close_code is None:
                self._close_code = code
                self._uplink = Uplink()
                self._wake.notify()
        # The writer gets a moment for the close frame; a peer that does not read must not hold us.
        self._writer.join(0.1)
        self._finish(event)

    # The writing thread

    def _write(self) -> None:
        connection = self._connection
        assert connection is not None
        # The reader sees the same end, and reports it with the close frame if one is left to read.
        with suppress(OSError):
            while True:
                with self._wake:
                    while True:
                        if self._is_over:
                            return
                        control = self._controls.popleft() if self._controls else None
                        message = self._uplink.take() if control is None else None
                        if control is not None or message is not None or self._close_code is not None:
                            break
                        self._wake.wait()
                if control is not None:
                    control(connection)
                elif message is not None:
                    connection.send(message)
                    self.bytes_sent += len(message)
                else:
                    assert self._close_code is not None
                    connection.close(self._close_code)
                    return
