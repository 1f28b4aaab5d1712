from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import ssl
import threading

import pytest

from convsm.transport.secure import SecureSocket
from tests.transport.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    client_context,
    in_thread,
    listener,
    make_transport,
    nothing_is_left,
    secure,
    server_context,
    tls_in_front_of,
    transport_to,
)


@contextlib.contextmanager
def secure_pair():
    """Two secure sockets over a real pair."""
    mine, theirs = socket.socketpair()
    with mine, theirs:
        ends: list[SecureSocket] = []
        shaking = in_thread(lambda: ends.append(secure(theirs, server_context())))
        wrapped = client_context().wrap_socket(
            mine, server_hostname="127.0.0.1", do_handshake_on_connect=False
        )
        sock = SecureSocket(wrapped)
        sock.settimeout(PATIENCE)
        sock.do_handshake()
        shaking.join(PATIENCE)
        with contextlib.closing(sock), contextlib.closing(ends[0]):
            ends[0].settimeout(PATIENCE)
            yield sock, ends[0]


@pytest.fixture(params=["poll", "select"])
def waits_both_ways(request, monkeypatch):
    """Windows has no poll."""
    if request.param == "select":
        monkeypatch.delattr(select, "poll", raising=False)


def send_all(sock, data):
    view = memoryview(data)
    while view:
        view = view[sock.send(view) :]


def receive_all(sock, size):
    pieces = []
    while size > 0:
        pieces.append(sock.recv(65536))
        assert pieces[-1]
        size -= len(pieces[-1])
    return b"".join(pieces)


# The socket


def test_what_is_written_is_read():
    with secure_pair() as (mine, theirs):
        assert mine.send(b"question") == 8
        assert theirs.recv(100) == b"question"
        assert theirs.send(memoryview(b"answer")) == 6
        assert mine.recv(3) + mine.recv(100) == b"answer"


def test_a_time_limit_holds_for_reading_and_for_writing(waits_both_ways):
    with secure_pair() as (mine, _):
        mine.settimeout(0.01)
        assert mine.gettimeout() == 0.01
        with pytest.raises(TimeoutError):
            mine.recv(1)
        with pytest.raises(TimeoutError):
            send_all(mine, bytes(16 << 20))


def test_reading_and_writing_wait_for_the_peer(waits_both_ways):
    payload = bytes(range(256)) * 8192
    with secure_pair() as (mine, theirs):
        writing = in_thread(send_all, mine, payload)
        # The writer fills the buffers, then waits for a reader.
        writing.join(0.05)
        assert writing.is_alive()
        assert receive_all(theirs, len(payload)) == payload
        writing.join(PATIENCE)
        answering = threading.Timer(0.02, theirs.send, [b"late"])
        answering.start()
        assert mine.recv(100) == b"late"
        answering.join(PATIENCE)


def test_both_directions_at_once_lose_and_mix_nothing():
    size = 12 << 20
    streams = [hashlib.shake_128(bytes([number])).digest(size) for number in (1, 2)]
    with secure_pair() as (mine, theirs):
        arrived = {}

        def read(sock):
            arrived[sock] = receive_all(sock, size)

        threads = [
            in_thread(send_all, mine, streams[0]),
            in_thread(send_all, theirs, streams[1]),
            in_thread(read, mine),
            in_thread(read, theirs),
        ]
        for thread in threads:
            thread.join(PATIENCE * 3)
        assert arrived == {theirs: streams[0], mine: streams[1]}


@pytest.mark.parametrize("is_polite", [True, False])
def test_the_peers_end_reads_as_the_end_with_or_without_a_goodbye(is_polite):
    with secure_pair() as (mine, theirs):
        theirs.send(b"last")
        if is_polite:
            with contextlib.suppress(ssl.SSLWantReadError):
                theirs._sock.unwrap()
        theirs.shutdown(socket.SHUT_RDWR)
        assert (mine.recv(100), mine.recv(100)) == (b"last", b"")


def test_a_shutdown_wakes_reader_and_writer():
    with secure_pair() as (mine, _):
        mine.settimeout(None)
        seen = []

        def read():
            seen.append(mine.recv(1))

        def write():
            with pytest.raises(OSError, match=r"(?i)pipe|EOF|reset"):
                send_all(mine, bytes(16 << 20))
            seen.append(b"")

        threads = [in_thread(read), in_thread(write)]
        threads[1].join(0.05)
        mine.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(PATIENCE)
        assert seen == [b"", b""]


def test_what_came_before_a_shutdown_is_never_read_undecrypted():
    with secure_pair() as (mine, theirs):
        theirs.send(b"unread")
        mine.shutdown(socket.SHUT_RDWR)
        assert mine.recv(100) in (b"unread", b"")
