"""A WebSocket server over plain sockets that can also do what well-behaved servers refuse to do.

The sans-I/O ``ServerProtocol`` reads the handshake and the client's frames; what is sent bypasses it,
so that broken frames, unanswered close frames and dropped connections are possible.
"""

from __future__ import annotations

import contextlib
import http
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from websockets.datastructures import Headers
from websockets.frames import Opcode
from websockets.http11 import Request, Response
from websockets.protocol import SEND_EOF
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from convsm.testing.frames import encode_close
from convsm.testing.http_requests import HttpMessage, read_request

__all__ = ["ConnectionEnded", "WebSocketServer", "WebSocketStream"]

# What the official clients accept from the server, and so a fair limit for what they may send.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
RECEIVE_BYTES = 64 * 1024
# A user's threading.Event and a socket cannot be waited for together; 20 ms keeps stop() well below 0.2 s.
POLL_SECONDS = 0.02
# After the closing handshake; real servers wait ten seconds, tests do not want to.
LINGER_SECONDS = 0.5
# What stop() allows for taking in what came, where shutting down the receiving side wakes nobody (Windows).
FINISH_SECONDS = 0.1
# A thread that outlives this is stuck in a user's callable, which nobody can end from outside.
JOIN_SECONDS = 1.0
CLOSE_FRAME_START = 0x88

Until = float | threading.Event | None


class ConnectionEnded(ConnectionError):
    """The client is gone, or the connection was dropped: nothing can be sent any more."""


def _select_convai(_protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    # The browser client offers it, the others offer nothing; the service takes both.
    return Subprotocol("convai") if "convai" in offered else None


class WebSocketStream:
    """One accepted TCP connection.

    The thread that serves it reads (``read_request``, ``messages``); any thread may send.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._protocol = ServerProtocol(select_subprotocol=_select_convai, max_size=MAX_MESSAGE_BYTES)
        # At DEBUG the library logs request headers, hence API keys and signatures.
        self._protocol.debug = False
        self._sending = threading.Lock()
        # Not bounded: a sender adds one item and waits for it to go; the rest answers the client's frames.
        self._outgoing: deque[bytes] = deque()
        self._reading = threading.Event()
        self._reading.set()
        self._answers_close = True
        self._close_sent = False
        self._is_finished = False
        self._resets = False
        self._ended = False

    # Reading: the serving thread only

    def read_request(self) -> Request | HttpMessage | None:
        """Wait for the HTTP request; None if the client sent none that can be read.

        Returns:
            An HttpMessage for methods other than GET, which the WebSocket library does not read.
        """
        data = self._receive()
        if not b"GET ".startswith(data[:4]):
            return read_request(data, self._receive)
        while data:
            self._protocol.receive_data(data)
            for event in self._protocol.events_received():
                assert isinstance(event, Request)
                return event
            if self._protocol.handshake_exc is not None:
                self._queue_answers()
                return None
            data = self._receive()
        return None

    def accept(self, request: Request) -> bool:
        """Answer the upgrade; False if it was no proper upgrade request and so refused."""
        response = self._protocol.accept(request)
        self._protocol.send_response(response)
        self._queue_answers()
        return response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS

    def respond(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Answer with plain HTTP instead of an upgrade, and end the stream."""
        known = status in http.HTTPStatus._value2member_map_
        phrase = http.HTTPStatus(status).phrase if known else "Unknown"
        answer = Headers({"Connection": "close", "Content-Length": str(len(body)), **(headers or {})})
        self._protocol.send_response(Response(status, phrase, answer, body))
        self._queue_answers()

    def hold(self, until: Until) -> bool:
        """Leave the upgrade unanswered for so many seconds, until the event, or (None) for good.

        Returns:
            False if the client gave up first.
        """
        deadline = time.monotonic() + until if isinstance(until, int | float) else None
        self._socket.settimeout(POLL_SECONDS)
        while not (deadline is not None and time.monotonic() >= deadline):
            if isinstance(until, threading.Event) and until.is_set():
                break
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except TimeoutError:
                continue
            except OSError:
                return False
            if not data:
                return False
            self._protocol.receive_data(data)
        self._socket.settimeout(None)
        return True

    def messages(self) -> Iterator[tuple[bool, bytes] | None]:
        """Yield what the client sends until the TCP connection ends; pings and close frames are answered.

        Yields:
            Whether it is text and the payload; None for a control frame.
        """
        parts: list[bytes] = []
        is_text = True
        while data := self._receive():
            self._protocol.receive_data(data)
            self._queue_answers()
            for frame in self._protocol.events_received():
                assert not isinstance(frame, Request | Response)
                if frame.opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
                    yield None
                    continue
                if frame.opcode is not Opcode.CONT:
                    is_text = frame.opcode is Opcode.TEXT
                parts.append(bytes(frame.data))
                if frame.fin:
                    yield is_text, b"".join(parts)
                    parts.clear()

    def drain(self) -> None:
        """Read on until the TCP connection ends, and forget what comes."""
        for _ in self.messages():
            continue

    def _receive(self) -> bytes:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except OSError:
            return b""
        # What arrived while reading was being stopped stays unseen until it is resumed.
        self._reading.wait()
        return data

    # What is known of the client; any thread

    @property
    def close_code(self) -> int | None:
        """Code of the client's close frame, 1005 for one without a code; None if there was none."""
        close = self._protocol.close_rcvd
        return None if close is None else int(close.code)

    @property
    def close_reason(self) -> str:
        """Reason in the client's close frame; empty if there was none."""
        close = self._protocol.close_rcvd
        return "" if close is None else close.reason

    @property
    def violation(self) -> str | None:
        """How the client broke the WebSocket protocol, if it did."""
        error = self._protocol.parser_exc
        return None if error is None else str(error)

    # Sending and misbehaving; any thread

    def send(self, data: bytes) -> None:
        """Put bytes, framed or not, on the TCP stream; blocks while the client does not read.

        Raises:
            ConnectionEnded: The client is gone.
        """
        self._outgoing.append(data)
        self._flush(wait=True)

    def send_close(self, code: int | None, reason: str = "") -> None:
        """Send a close frame; the connection ends when the client has answered it."""
        self._close_sent = True
        self.send(encode_close(code, reason))

    def ignore_close(self) -> None:
        """Neither answer the client's close frame nor end the connection after it."""
        self._answers_close = False

    def stop_reading(self) -> None:
        """Read no more, so that the client's sending blocks once the kernel's buffers are full."""
        self._reading.clear()
        if self._ended:
            # Dropped meanwhile by another thread, whose set() came before the clear().
            self._reading.set()

    def resume_reading(self) -> None:
        """Read again."""
        self._reading.set()

    def finish(self) -> None:
        """Take in what the client has sent so far, send no more, and end."""
        self._ended = True
        with contextlib.suppress(OSError):
            # A FIN now might be answered with an RST, which loses what has come but is not read yet.
            self._socket.shutdown(socket.SHUT_RD)
        self._reading.set()

    def drop(self, *, reset: bool = False) -> None:
        """End the TCP connection without a close frame: with RST if ``reset``, else with FIN."""
        self._ended = True
        # A blocked sender holds the socket open, so that only a FIN can reach the client then.
        if reset and self._sending.acquire(blocking=False):
            self._resets = True
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._sending.release()
        with contextlib.suppress(OSError):
            # The serving thread wakes up and closes; shutting down the sending side as well would send a FIN.
            self._socket.shutdown(socket.SHUT_RD if self._resets else socket.SHUT_RDWR)
        self._reading.set()

    def close(self) -> None:
        """Free the socket; the serving thread calls this at its end."""
        self._ended = True
        if not self._resets:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        with self._sending:
            self._socket.close()

    def _queue_answers(self) -> None:
        for data in self._protocol.data_to_send():
            is_close = bool(data) and data[0] == CLOSE_FRAME_START
            if is_close and self._close_sent:
                continue
            if (is_close or data == SEND_EOF) and not self._answers_close:
                continue
            self._close_sent = self._close_sent or is_close
            self._outgoing.append(data)
        with contextlib.suppress(ConnectionEnded):
            # The reader never waits for a blocked sender, else a client that only writes would block both.
            self._flush(wait=False)
        if self._is_finished:
            # Nothing is left to say; a client that keeps the TCP connection is not waited for long.
            self._socket.settimeout(LINGER_SECONDS)

    def _flush(self, *, wait: bool) -> None:
        # Looking again after the release sees what another thread queued while it found the lock taken.
        while self._outgoing:
            if not self._sending.acquire(blocking=wait):
                return
            try:
                while self._outgoing:
                    self._put(self._outgoing.popleft())
            finally:
                self._sending.release()

    def _put(self, data: bytes) -> None:
        if self._ended:
            raise ConnectionEnded("The connection has ended; send while the client is connected.")
        try:
            if data == SEND_EOF:
                self._is_finished = True
                self._socket.shutdown(socket.SHUT_WR)
            else:
                self._socket.sendall(data)
        except OSError as error:
            raise ConnectionEnded("The client is gone; send while it is connected.") from error


class WebSocketServer:
    """Accepts TCP connections on 127.0.0.1 and serves each in a daemon thread of its own.

    Args:
        serve: Called with each stream, in that stream's thread; the stream is closed when it returns.
        port: Port to listen on; 0 takes a free one, which ``start`` after ``stop`` takes again.
        receive_buffer_bytes: Kernel receive buffer of each connection; None leaves the system's choice.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        serve: Callable[[WebSocketStream], None],
        *,
        port: int = 0,
        receive_buffer_bytes: int | None = None,
    ) -> None:
        self.port = port
        self._serve = serve
        self._receive_buffer_bytes = receive_buffer_bytes
        self._lock = threading.Lock()
        self._accepting: threading.Thread | None = None
        self._waker: socket.socket | None = None
        # Not bounded: as many as the test under way keeps open; each leaves when it ends.
        self._streams: dict[WebSocketStream, threading.Thread] = {}

    def start(self) -> None:
        """Listen; does nothing if already listening."""
        with self._lock:
            if self._accepting is not None:
                return
            listener = socket.create_server((self.host, self.port), backlog=128)
            if self._receive_buffer_bytes is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
            self.port = listener.getsockname()[1]
            self._waker, wakes = socket.socketpair()
            self._accepting = threading.Thread(
                target=self._accept, args=(listener, wakes), name="convsm-loopback-accept", daemon=True
            )
            self._accepting.start()

    def stop(self) -> None:
        """Stop listening, drop every connection, join every thread; does nothing if not listening."""
        with self._lock:
            accepting, self._accepting = self._accepting, None
            if accepting is None or self._waker is None:
                return
            self._waker.close()
            accepting.join()
            streams = dict(self._streams)
        for stream in streams:
            stream.finish()
        self._join(streams, FINISH_SECONDS)
        for stream in streams:
            stream.drop()
        self._join(streams, JOIN_SECONDS)

    @staticmethod
    def _join(streams: Mapping[WebSocketStream, threading.Thread], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for thread in streams.values():
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _accept(self, listener: socket.socket, wakes: socket.socket) -> None:
        with listener, wakes, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(wakes, selectors.EVENT_READ)
            # The client may give up between the selector's word and accept(), which must not block then.
            listener.setblocking(False)
            while not any(key.fileobj is wakes for key, _ in selector.select()):
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    self._welcome(listener.accept()[0])

    def _welcome(self, connection: socket.socket) -> None:
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = WebSocketStream(connection)
        thread = threading.Thread(
            target=self._run, args=(stream,), name=f"convsm-loopback-{connection.fileno()}", daemon=True
        )
        self._streams[stream] = thread
        thread.start()

    def _run(self, stream: WebSocketStream) -> None:
        try:
            self._serve(stream)
        finally:
            stream.close()
            self._streams.pop(stream, None)
