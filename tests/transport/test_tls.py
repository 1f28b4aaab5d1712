"""Whole conversations over TLS, with both transports."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import orjson
from websockets.sync.server import serve

from convsm.machine.events import ConnectionFailed, Informed, SocketClosed, SocketOpened
from convsm.testing import Drop, Expect, LoopbackAgent, Repeat, SendRaw
from convsm.transport.uplink import UplinkDropped
from tests.transport.helpers import (  # noqa: F401 (fixtures)
    PATIENCE,
    Peer,
    client_context,
    close_frame,
    each_transport,
    in_thread,
    listener,
    make_transport,
    nothing_is_left,
    secure,
    server_context,
    text,
    tls_in_front_of,
    transport_to,
)


def message(index, size=40_000):
    return orjson.dumps({"type": "user_message", "text": f"{index}:" + "x" * size})


def test_a_conversation_over_tls_has_both_directions_busy_at_once():
    count = 150
    script = [Repeat(SendRaw(message(0)), count), Expect("user_message", count=count, timeout=30)]
    with (
        LoopbackAgent(script, opening=False) as agent,
        tls_in_front_of(agent) as url,
        transport_to(url, ssl_context=client_context()) as (transport, inbox),
    ):
        inbox.wait_for(SocketOpened)
        for index in range(count):
            transport.send(message(index))
        inbox.wait_for(Informed, count=count)
        connection = agent.wait_for_connection()
        assert connection.script_done.wait(30)
        assert connection.messages("user_message") == [orjson.loads(message(index)) for index in range(count)]
        assert inbox.messages == [message(0)] * count
        transport.close(1000)
        assert inbox.wait_for_end() == SocketClosed(1000, "")
        assert transport.bytes_received == len(message(0)) * count
        assert transport.bytes_sent == sum(len(message(index)) for index in range(count))


def test_another_librarys_tls_server_echoes_messages_of_all_sizes():
    sizes = [0, 1, 125, 126, 16_383, 16_384, 16_385, 65_535, 65_536, 300_000, 1_000_000]

    def echo(connection):
        for received in connection:
            connection.send(received)

    with serve(echo, "127.0.0.1", 0, ssl=server_context(), max_size=None) as server:
        serving = in_thread(server.serve_forever)
        url = f"wss://127.0.0.1:{server.socket.getsockname()[1]}/"
        with transport_to(url, ssl_context=client_context()) as (transport, inbox):
            inbox.wait_for(SocketOpened)
            for size in sizes:
                transport.send(b"." * size)
            inbox.wait_for(Informed, count=len(sizes))
            transport.close(1000)
            assert inbox.wait_for_end().code == 1000
        server.shutdown()
        serving.join(PATIENCE)
    assert [len(text) for text in inbox.messages] == sizes


def failure(url, **options):
    with transport_to(url, **options) as (_, inbox):
        end = inbox.wait_for_end()
    assert isinstance(end, ConnectionFailed)
    return end.message


def test_an_untrusted_certificate_is_named_and_what_to_do():
    with LoopbackAgent(opening=False) as agent, tls_in_front_of(agent) as url:
        text = failure(url + "?conversation_signature=secret")
    assert "the server's certificate is not trusted (" in text
    assert "ssl_context" in text
    assert "secret" not in text


def test_a_certificate_for_another_host_is_named():
    with LoopbackAgent(opening=False) as agent, tls_in_front_of(agent, server_context("a.test")) as url:
        text = failure(url, ssl_context=client_context())
    assert "not trusted" in text
    assert "not valid for '127.0.0.1'" in text


def test_a_server_that_speaks_no_tls_is_a_failed_connection():
    def refuse(sock):
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listener(refuse) as port:
        assert "could not be reached" in failure(f"wss://127.0.0.1:{port}/")


def test_the_end_of_tls_without_a_goodbye_is_a_lost_connection():
    with LoopbackAgent([SendRaw("{}"), Drop()], opening=False) as agent, tls_in_front_of(agent) as url:
        with transport_to(url, ssl_context=client_context()) as (_, inbox):
            assert inbox.wait_for_end() == SocketClosed(1006, "the connection was lost without a close frame")
        assert inbox.messages == [b"{}"]


@contextlib.contextmanager
def secure_peer_listening(serve):
    """A wss URL at which ``serve(peer, sock)`` runs after both handshakes, the socket being the naked one."""

    def run(sock):
        with contextlib.closing(secure(sock, server_context())) as secured:
            secured.settimeout(PATIENCE)
            peer = Peer(secured)
            peer.shake_hands()
            serve(peer, secured)

    with listener(run) as port:
        yield f"wss://127.0.0.1:{port}/"


def test_a_record_that_is_no_tls_is_a_lost_connection():
    def serve(peer, secured):
        secured.send(text(b"{}"))
        socket.socket.send(secured._sock, b"this was never encrypted")
        with contextlib.suppress(OSError):
            secured.recv(65536)

    with (
        secure_peer_listening(serve) as url,
        transport_to(url, ssl_context=client_context()) as (_, inbox),
    ):
        assert inbox.wait_for_end() == SocketClosed(1006, "the connection was lost without a close frame")
        assert inbox.messages == [b"{}"]


def test_a_close_frame_behind_a_failed_write_is_still_read_over_tls():
    def serve(peer, secured):
        secured.send(text(b"{}") + close_frame(struct.pack("!H", 1008) + b"no"))

    with (
        secure_peer_listening(serve) as url,
        transport_to(url, ssl_context=client_context()) as (transport, inbox),
    ):
        inbox.wait_for(Informed)
        for _ in range(100):
            transport.send(b"the peer is gone")
        assert inbox.wait_for_end() == SocketClosed(1008, "no")


def test_a_goodbye_of_tls_without_a_close_frame_is_a_lost_connection():
    def serve(peer, secured):
        with contextlib.suppress(OSError):
            secured._sock.unwrap()

    with (
        secure_peer_listening(serve) as url,
        transport_to(url, ssl_context=client_context()) as (_, inbox),
    ):
        assert inbox.wait_for_end() == SocketClosed(1006, "the connection was lost without a close frame")


def test_over_tls_too_audio_waits_where_it_can_be_dropped():
    over = threading.Event()
    with (
        secure_peer_listening(lambda *_: over.wait(PATIENCE)) as url,
        transport_to(url, ssl_context=client_context()) as (transport, inbox),
    ):
        inbox.wait_for(SocketOpened)
        transport.send(bytes(16 << 20))
        for _ in range(100):
            transport.send_audio(b"a quarter of a second", 0.25)
        assert inbox.messages == [UplinkDropped(1.0)] * 15
        over.set()


def test_dropping_ends_a_read_that_waits():
    with (
        LoopbackAgent([SendRaw("{}")], opening=False) as agent,
        tls_in_front_of(agent) as url,
        transport_to(url, ssl_context=client_context()) as (transport, inbox),
    ):
        inbox.wait_for(Informed)
        transport.drop()
        assert inbox.wait_for_end().code == 1006
        assert transport.join(PATIENCE)


def test_dropping_ends_a_handshake_that_waits():
    reached = threading.Event()

    def listen_only(sock):
        reached.set()
        while sock.recv(65536):
            pass

    with listener(listen_only) as port:
        transport, inbox = make_transport(f"wss://127.0.0.1:{port}/", open_seconds=60.0)
        transport.open()
        assert reached.wait(PATIENCE)
        transport.drop()
        assert transport.join(PATIENCE)
        inbox.check_contract()


def test_silence_over_tls_is_noticed_too():
    with (
        LoopbackAgent(opening=False) as agent,
        tls_in_front_of(agent) as url,
        transport_to(url, ssl_context=client_context(), ping_seconds=0.3) as (_, inbox),
    ):
        connection = agent.wait_for_connection()
        inbox.wait_for(SocketOpened)
        connection.stream.stop_reading()
        assert "nothing was received" in inbox.wait_for_end().reason
