"""What the tests of the transport share: a recorder of events, a bare peer, a TLS proxy, a leak check."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import ssl
import sys
import threading
import time
from functools import cache, partial
from typing import Any

import pytest
import trustme
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from convsm.machine.events import ConnectionFailed, Event, Informed, SocketClosed, SocketOpened
from convsm.testing import LoopbackAgent
from convsm.testing.frames import encode_frame
from convsm.transport.frames import Connection
from convsm.transport.options import TransportOptions
from convsm.transport.secure import SecureSocket
from convsm.transport.threaded import ThreadedTransport
from convsm.transport.uplink import UplinkDropped
from tests.transport.looped import LoopedTransport, running_loop

# Nothing here takes long; a test that waits so long has failed.
PATIENCE = 10.0


def wait_until(is_met, timeout=PATIENCE):
    """Look again and again; for what nothing announces, such as a peer's kernel buffers being full."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not is_met():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.002)


def in_thread(target, *arguments):
    """Start a daemon thread that the test joins."""
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


# Leaks


def _descriptors():
    if not os.path.isdir("/proc/self/fd"):
        return set()
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith("socket:"):
                found.add(target)
    return found


def _threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("convsm-")]


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No thread of convsm's and no socket survives a test."""
    before = _descriptors()
    yield
    assert _threads() == []
    if _descriptors() - before:
        # What hangs in a cycle is found, and warned of, by the collector.
        gc.collect()
    assert _descriptors() - before == set()


# The transport and what it posts


class Inbox:
    """Collects what a transport posts, and holds it to its contract."""

    def __init__(self):
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self.on_event: Any = None

    def post(self, event):
        # Before it is noted: what others post meanwhile has overtaken it.
        if self.on_event is not None:
            self.on_event(event)
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    @property
    def events(self):
        with self._changed:
            return list(self._events)

    def of(self, *kinds):
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def messages(self):
        return [event.message for event in self.of(Informed)]

    def wait_for(self, *kinds, count=1):
        """Wait for the count-th event of these kinds and return it."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.of(*kinds)) >= count, PATIENCE), self._events
            return self.of(*kinds)[count - 1]

    def wait_for_end(self):
        return self.wait_for(SocketClosed, ConnectionFailed)

    def check_contract(self):
        """Each open is answered once: ConnectionFailed, or SocketOpened, messages, SocketClosed."""
        answers = [type(event) for event in self.of(SocketOpened, ConnectionFailed, SocketClosed)]
        assert answers in ([ConnectionFailed], [SocketOpened, SocketClosed]), self.events
        if answers[0] is SocketOpened:
            # What is queued too early is dropped by the transport itself.
            dropped = {id(event) for event in self.of(Informed) if type(event.message) is UplinkDropped}
            first = next(event for event in self.events if id(event) not in dropped)
            assert isinstance(first, SocketOpened)


# How the running test makes its transports.
_makers: list[Any] = [ThreadedTransport]


@pytest.fixture(autouse=True, params=["threaded", "asyncio"])
def each_transport(request, nothing_is_left):
    """Runs a module's tests once with each transport; they are to keep the same contract."""
    if request.param == "threaded":
        yield
        return
    with running_loop() as loop:
        _makers.append(partial(LoopedTransport, loop))
        try:
            yield
        finally:
            _makers.pop()


def make_transport(url, inbox=None, decode=lambda message: (Informed(message),), **options):
    """Make a transport whose received messages come back as Informed; the URL may be a function."""
    inbox = inbox or Inbox()
    transport = _makers[-1](
        inbox.post,
        decode,
        url if callable(url) else lambda: url,
        TransportOptions(**options),
    )
    return transport, inbox


@contextlib.contextmanager
def transport_to(url, inbox=None, **options):
    """An opening transport; at the end it is dropped, ended, and has kept its contract."""
    transport, inbox = make_transport(url, inbox, **options)
    transport.open()
    try:
        yield transport, inbox
    finally:
        transport.drop()
        assert transport.join(PATIENCE)
    inbox.wait_for_end()
    inbox.check_contract()


@contextlib.contextmanager
def careless_agent(script, **options):
    """A scripted agent that does not mind what the client sends, or that it leaves early."""
    agent = LoopbackAgent(script, opening=False, **options)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


# A peer that does what the test says, over a socket pair


class Peer:
    """The server's end of a connection: bytes out as they are, frames in as a strict server reads them."""

    def __init__(self, sock):
        self.socket = sock
        sock.settimeout(PATIENCE)
        self._protocol = ServerProtocol(max_size=None)
        self._frames: list[Any] = []

    def shake_hands(self):
        while not self._frames:
            self._protocol.receive_data(self.socket.recv(65536))
            self._frames += self._protocol.events_received()
        request = self._frames.pop()
        assert isinstance(request, Request)
        self._protocol.send_response(self._protocol.accept(request))
        # One byte at a time, for a packet socket keeps packets apart.
        for byte in b"".join(self._protocol.data_to_send()):
            self.socket.send(bytes([byte]))

    def send(self, *frames):
        for frame in frames:
            self.socket.sendall(frame)

    def receive(self):
        """Return the client's next frame; unmasked ones are refused."""
        while not self._frames:
            data = self.socket.recv(1 << 20)
            if not data:
                raise ConnectionResetError("the client is gone")
            self._protocol.receive_data(data)
            assert self._protocol.parser_exc is None, self._protocol.parser_exc
            self._frames += self._protocol.events_received()
            self._protocol.data_to_send()
        frame = self._frames.pop(0)
        assert isinstance(frame, Frame)
        return frame


@contextlib.contextmanager
def connection_pair(max_bytes=1 << 20, kind=socket.SOCK_STREAM, **options):
    """A connection over a real socket pair, and its peer."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with mine, theirs:
        mine.settimeout(PATIENCE)
        peer = Peer(theirs)
        shaking = in_thread(peer.shake_hands)
        options.setdefault("idle_seconds", PATIENCE)
        connection = Connection(mine, "ws://localhost/", max_bytes, **options)
        shaking.join(PATIENCE)
        yield connection, peer


def received(connection, count):
    return [connection.receive() for _ in range(count)]


def text(payload=b"", *, fin=True):
    return encode_frame(payload, Opcode.TEXT, fin=fin)


def continuation(payload=b"", *, fin=True):
    return encode_frame(payload, Opcode.CONT, fin=fin)


def ping(payload=b""):
    return encode_frame(payload, Opcode.PING)


def close_frame(payload=b""):
    return encode_frame(payload, Opcode.CLOSE)


# Listeners


@contextlib.contextmanager
def listener(serve=None):
    """A TCP port of 127.0.0.1; ``serve(socket)`` runs in a thread for its first connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)

        def run():
            with contextlib.suppress(OSError):
                sock = server.accept()[0]
                sock.settimeout(PATIENCE)
                with sock:
                    serve(sock)

        thread = in_thread(run) if serve is not None else None
        yield server.getsockname()[1]
        if thread is not None:
            # Wakes an accept() that nobody needed.
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            assert not thread.is_alive()


def free_port():
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def port_that_does_not_answer():
    """A TCP port whose queue is full, so that the kernel leaves further connection attempts unanswered."""
    if sys.platform != "linux":
        pytest.skip("other kernels refuse instead")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@contextlib.contextmanager
def peer_listening(serve):
    """A WebSocket URL at which ``serve(peer)`` runs after the handshake."""

    def run(sock):
        peer = Peer(sock)
        peer.shake_hands()
        serve(peer)

    with listener(run) as port:
        yield f"ws://127.0.0.1:{port}/?conversation_signature=secret"


# Proxies


@contextlib.contextmanager
def connect_proxy(answer=b"HTTP/1.1 200 Connection established\r\n\r\n", has_tunnel=True):
    """An HTTP proxy for one connection; yields its port and the requests it was sent."""
    requests: list[bytes] = []

    def serve(sock):
        request = b""
        while b"\r\n\r\n" not in request:
            request += sock.recv(65536)
        requests.append(request)
        sock.sendall(answer)
        if not has_tunnel:
            return
        sock.settimeout(None)
        host, _, port = request.split()[1].decode().rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as inside:
            upward = in_thread(_pump, sock, inside)
            _pump(inside, sock)
            upward.join(PATIENCE)

    with listener(serve) as port:
        yield port, requests


# TLS


@cache
def _authority():
    return trustme.CA()


def client_context():
    """A context that trusts the test's authority."""
    context = ssl.create_default_context()
    _authority().configure_trust(context)
    return context


def server_context(name="127.0.0.1"):
    """A server's context with a certificate for a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert(name).configure_cert(context)
    return context


def secure(sock, context):
    """Take the server's part in a TLS handshake."""
    return SecureSocket(context.wrap_socket(sock, server_side=True))


def _pump(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            view = memoryview(data)
            while view:
                view = view[target.send(view) :]
    for sock in (source, target):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def tls_in_front_of(agent, context=None):
    """A TLS-terminating proxy for one connection to a LoopbackAgent; yields its wss URL."""
    context = context or server_context()

    def serve(sock):
        with contextlib.closing(secure(sock, context)) as outside:
            outside.settimeout(None)
            with socket.create_connection(("127.0.0.1", agent.port)) as inside:
                upward = in_thread(_pump, outside, inside)
                _pump(inside, outside)
                upward.join(PATIENCE)

    with listener(serve) as port:
        yield agent.url.replace("ws://", "wss://").replace(str(agent.port), str(port))
