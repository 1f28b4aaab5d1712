"""The WebSocket of a threaded session: one thread connects and reads, one writes."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from convsm.errors import ConvsmError
from convsm.machine.events import ConnectionFailed, Event, Informed, SocketClosed, SocketOpened
from convsm.transport.dial import Dial
from convsm.transport.frames import CloseFrame, Connection, Ping, TooBig, ViolatedProtocol
from convsm.transport.uplink import Uplink, UplinkDropped

if TYPE_CHECKING:
    import ssl

    from websocket import WebSocketException

    from convsm.transport.secure import SecureSocket

__all__ = ["ThreadedTransport", "TransportOptions"]

logger = logging.getLogger("convsm.transport")


@attrs.frozen
class TransportOptions:
    """Limits of a connection; times in seconds.

    Attributes:
        open_seconds: For TCP, TLS and the WebSocket handshake, each. 10: what other clients grant.
        max_bytes: Size limit of a received message. 16 MiB: what the reference client allows.
        ping_seconds: After so long without anything received a ping frame is sent; twice that
            without anything received is a lost connection. 20: what other clients do.
        ssl_context: How to trust a ``wss`` server; None trusts what the system does.
    """

    open_seconds: float = 10.0
    max_bytes: int = 16 * 1024 * 1024
    ping_seconds: float = 20.0
    ssl_context: ssl.SSLContext | None = None


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
        self._controls: deque[bytes] = deque()
        self._dial = Dial()
        self._connection: Connection | None = None
        self._is_open = False
        self._is_over = False
        self._close_code: int | None = None
        self._dropped_seconds = 0.0
        self._last_received = 0.0
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
        """Queue a message."""
        with self._wake:
            self._uplink.put(message)
            is_stuck = self._uplink.is_stuck
            self._wake.notify()
        if is_stuck:
            self._finish(SocketClosed(1006, "the server does not read what is sent"))

    def send_audio(self, message: bytes, seconds: float) -> None:
        """Queue a piece of audio; when too much waits, the oldest is dropped and reported."""
        with self._wake:
            self._dropped_seconds += self._uplink.put_audio(message, seconds)
            # One report a second of loss, not one a chunk.
            is_worth_telling = self._dropped_seconds >= 1.0
            if is_worth_telling:
                dropped, self._dropped_seconds = self._dropped_seconds, 0.0
            self._wake.notify()
        if is_worth_telling:
            self._post(Informed(UplinkDropped(dropped)))

    def close(self, code: int) -> None:
        """Send the close frame behind the waiting messages, or give up connecting."""
        with self._wake:
            if self._is_open:
                self._close_code = code
                self._uplink.drop_audio()
                self._wake.notify()
                return
        self._finish(ConnectionFailed("the attempt to connect was given up"))

    def drop(self) -> None:
        """End the connection without waiting for the peer."""
        self._finish(SocketClosed(1006, "the server did not answer the close frame"))

    def join(self, timeout: float) -> bool:
        """Wait for the threads to end; return whether they did."""
        deadline = time.monotonic() + timeout
        for thread in (self._reader, self._writer):
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not (self._reader.is_alive() or self._writer.is_alive())

    # The one answer

    def _finish(self, event: ConnectionFailed | SocketClosed) -> None:
        with self._wake:
            if self._is_over:
                return
            self._is_over = True
            connection = self._connection
            if not self._is_open:
                text = event.reason if isinstance(event, SocketClosed) else event.message
                status = None if isinstance(event, SocketClosed) else event.status
                event = ConnectionFailed(text, status)
            self._wake.notify()
        self._dial.give_up()
        if connection is not None:
            connection.drop()
        self._post(event)

    # The reading thread

    def _run(self) -> None:
        connection = None
        try:
            connection = self._connect()
            if connection is not None:
                self._read(connection)
        finally:
            if connection is not None:
                self._finish(SocketClosed(1006, "the connection was lost"))
                if self._writer.ident is not None:
                    self._writer.join()
                connection.release()

    def _connect(self) -> Connection | None:
        from websocket import WebSocketException

        sock: socket.socket | SecureSocket | None = None
        try:
            url = self._resolve_url()
            if self._dial.is_given_up:
                return None
            sock = self._dial.connect(url, self._options.open_seconds, self._options.ssl_context)
            connection = Connection(sock, url, self._options.max_bytes)
        except (OSError, WebSocketException) as error:
            if sock is not None:
                sock.close()
            self._finish(_explain(error))
            return None
        except ConvsmError as error:
            self._finish(ConnectionFailed(str(error), getattr(error, "status", None)))
            return None
        except Exception as error:
            # A client object's own error while it fetched the signed URL; its text may carry secrets.
            status = getattr(error, "status_code", None)
            detail = f"HTTP {status}" if isinstance(status, int) else type(error).__name__
            logger.debug("the URL could not be resolved", exc_info=True)
            self._finish(
                ConnectionFailed(
                    f"the URL of the conversation could not be had ({detail}); check API key and agent id",
                    status if isinstance(status, int) else None,
                )
            )
            return None
        with self._wake:
            if self._is_over:
                connection.drop()
                connection.release()
                return None
            self._connection, self._is_open = connection, True
            self._last_received = time.monotonic()
            self._writer.start()
        self._post(SocketOpened())
        return connection

    def _read(self, connection: Connection) -> None:
        receive, decode, post, clock = connection.receive, self._decode, self._post, time.monotonic
        try:
            while True:
                message = receive()
                self._last_received = clock()
                if type(message) is bytes:
                    self.bytes_received += len(message)
                    for event in decode(message):
                        post(event)
                elif type(message) is Ping:
                    with self._wake:
                        # The last few suffice: a pong answers all pings before it (RFC 6455, 5.5.3).
                        self._controls.append(message.payload)
                        if len(self._controls) > 8:
                            self._controls.popleft()
                        self._wake.notify()
                elif type(message) is CloseFrame:
                    self._take_leave(1000, SocketClosed(message.code, message.reason))
                    return
        except TooBig as error:
            self._take_leave(1009, SocketClosed(1009, str(error)))
        except ViolatedProtocol as error:
            self._take_leave(1002, SocketClosed(1002, str(error)))
        except OSError:
            self._finish(SocketClosed(1006, "the connection was lost without a close frame"))

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
        try:
            while True:
                with self._wake:
                    while True:
                        if self._is_over:
                            return
                        pong = self._controls.popleft() if self._controls else None
                        message = self._uplink.take() if pong is None else None
                        if pong is not None or message is not None or self._close_code is not None:
                            break
                        if not self._wake.wait(self._options.ping_seconds):
                            break
                if pong is not None:
                    connection.pong(pong)
                elif message is not None:
                    connection.send(message)
                    self.bytes_sent += len(message)
                elif self._close_code is not None:
                    connection.close(self._close_code)
                    return
                elif not self._is_alive(connection):
                    return
        except OSError:
            # The reader sees the same end, and reports it with the close frame if one is left to read.
            pass

    def _is_alive(self, connection: Connection) -> bool:
        silence = time.monotonic() - self._last_received
        if silence >= 2 * self._options.ping_seconds:
            self._finish(SocketClosed(1006, f"nothing was received for {silence:.0f} s"))
            return False
        if silence >= self._options.ping_seconds:
            connection.ping()
        return True


def _explain(error: OSError | WebSocketException) -> ConnectionFailed:
    """Say what failed without quoting the URL, whose query may hold a signature."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return ConnectionFailed(f"the server refused the connection with HTTP status {status}", status)
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return ConnectionFailed("the server did not answer in time")
    if isinstance(error, socket.gaierror):
        return ConnectionFailed(f"the server's host name could not be resolved ({error.strerror})")
    if isinstance(error, OSError):
        text = error.strerror or type(error).__name__
        reason = getattr(error, "verify_message", "") or text
        return ConnectionFailed(f"the server could not be reached ({reason})")
    return ConnectionFailed(f"the server did not complete the WebSocket handshake ({type(error).__name__})")
