from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Opcode

from convsm.testing import LoopbackAgent, SendFragmented
from convsm.testing.frames import encode_frame
from convsm.transport.dial import Dial
from convsm.transport.frame_reader import CloseFrame, Ping, Pong, TooBig, ViolatedProtocol
from convsm.transport.frames import Connection
from tests.transport.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    close_frame,
    connection_pair,
    continuation,
    in_thread,
    nothing_is_left,
    ping,
    received,
    text,
)

properties = settings(max_examples=60, deadline=None)


# Messages

payloads = st.binary(max_size=300)
pings = st.binary(max_size=125).map(lambda payload: ([ping(payload)], [Ping(payload)]))
pongs = st.binary(max_size=125).map(lambda payload: ([encode_frame(payload, Opcode.PONG)], [Pong()]))
controls = st.one_of(pings, pongs)


@st.composite
def messages(draw):
    """A message in one frame or in fragments with control frames in between, and what is received of it."""
    pieces = draw(st.lists(payloads, min_size=1, max_size=5))
    opcode = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY]))
    sent, expected = [], []
    for index, piece in enumerate(pieces):
        if index:
            for frames_between, seen_between in draw(st.lists(controls, max_size=2)):
                sent += frames_between
                expected += seen_between
        sent.append(
            encode_frame(piece, Opcode.CONT if index else opcode, fin=index == len(pieces) - 1),
        )
    return sent, [*expected, b"".join(pieces)]


conversations = st.lists(st.one_of(messages(), controls), min_size=1, max_size=6)


@properties
@given(conversations, st.data())
def test_any_split_of_the_byte_stream_gives_the_same_messages(conversation, data):
    stream = b"".join(frame for sent, _ in conversation for frame in sent)
    expected = [item for _, items in conversation for item in items]
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    packets = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    # A packet socket hands over exactly what was sent at once.
    with connection_pair(kind=socket.SOCK_SEQPACKET) as (connection, peer):
        sending = in_thread(peer.send, *filter(None, packets))
        assert received(connection, len(expected)) == expected
        sending.join(PATIENCE)


def test_a_stream_may_arrive_byte_by_byte():
    stream = text(b"one") + text(b"t", fin=False) + ping(b"!") + continuation(b"wo") + text(bytes(70_000))
    with connection_pair() as (connection, peer):
        sending = in_thread(peer.send, *(bytes([byte]) for byte in stream))
        assert received(connection, 4) == [b"one", Ping(b"!"), b"two", bytes(70_000)]
        sending.join(PATIENCE)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1 << 20])
def test_messages_of_all_lengths_are_received(size):
    payload = bytes(index & 255 for index in range(size))
    with connection_pair() as (connection, peer):
        sending = in_thread(peer.send, text(payload), text(b"next"))
        assert received(connection, 2) == [payload, b"next"]
        sending.join(PATIENCE)


def test_fragments_and_pings_of_a_real_server_are_put_together():
    with LoopbackAgent([SendFragmented("größer" * 100, 7, True)], opening=False) as agent:
        sock = Dial().connect(agent.url, PATIENCE)
        connection = Connection(sock, agent.url, 1 << 20)
        assert received(connection, 7) == [Ping(b"between")] * 6 + ["größer".encode() * 100]
        connection.close(1000)
        assert connection.receive() == CloseFrame(1000, "")
        connection.release()


# Close frames


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", CloseFrame(1005, "")),
        (b"\x03\xe8", CloseFrame(1000, "")),
        (b"\x03\xf0Override not allowed", CloseFrame(1008, "Override not allowed")),
        (b"\x0f\xa0" + "ü".encode() * 61, CloseFrame(4000, "ü" * 61)),
        (b"\x03\xe9\xff\xfe!", CloseFrame(1001, "\ufffd\ufffd!")),
    ],
)
def test_close_frames_tell_code_and_reason(payload, expected):
    with connection_pair() as (connection, peer):
        peer.send(close_frame(payload))
        assert connection.receive() == expected


@properties
@given(st.binary(max_size=400), st.booleans())
def test_whatever_arrives_nothing_but_the_named_errors_is_raised(junk, is_framed):
    with connection_pair(max_bytes=300) as (connection, peer):
        peer.send(text(junk) if is_framed else junk)
        peer.socket.close()
        with suppress(TooBig, ViolatedProtocol, ConnectionResetError):
            while not isinstance(connection.receive(), CloseFrame):
                pass


@pytest.mark.parametrize("kept", range(5))
def test_the_end_of_the_stream_in_the_middle_is_a_lost_connection(kept):
    with connection_pair() as (connection, peer):
        peer.send(text(b"whole"), text(b"cut")[:kept])
        peer.socket.close()
        assert connection.receive() == b"whole"
        with pytest.raises(ConnectionResetError, match="without a close frame"):
            connection.receive()


# Sending


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1 << 20])
def test_messages_of_all_lengths_are_sent_masked(size):
    payload = bytes(index & 255 for index in range(size))
    with connection_pair() as (connection, peer):
        sending = in_thread(connection.send, payload)
        frame = peer.receive()
        sending.join(PATIENCE)
        assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.TEXT, True, payload)


def test_control_frames_are_sent():
    with connection_pair() as (connection, peer):
        connection.ping()
        connection.pong(b"echo")
        connection.close(1009)
        sent = [(frame.opcode, bytes(frame.data)) for frame in (peer.receive() for _ in range(3))]
        assert sent == [(Opcode.PING, b""), (Opcode.PONG, b"echo"), (Opcode.CLOSE, struct.pack("!H", 1009))]


def test_a_writer_goes_on_after_the_readers_time_limit():
    with connection_pair(idle_seconds=0.01) as (connection, peer):
        payload = bytes(4 << 20)
        sending = in_thread(connection.send, payload)
        # Nobody reads yet: the socket's buffers are full, and the limit strikes again and again.
        sending.join(0.1)
        assert sending.is_alive()
        assert bytes(peer.receive().data) == payload
        sending.join(PATIENCE)
        assert not sending.is_alive()


# Silence and the end


def test_silence_is_counted_from_the_last_byte_on():
    silences: list[int] = []
    enough = threading.Semaphore(0)

    def note(count):
        silences.append(count)
        if count == 3:
            enough.release()

    with connection_pair(idle_seconds=0.02, on_idle=note) as (connection, peer):

        def send():
            for piece in (b"\x81", b"\x01x"):
                assert enough.acquire(timeout=PATIENCE)
                peer.send(piece)

        sending = in_thread(send)
        assert connection.receive() == b"x"
        sending.join(PATIENCE)
        # A byte of a frame breaks the silence, though no frame is whole.
        assert silences.count(1) >= 2


def test_silence_may_end_the_reading():
    def lose_patience(count):
        raise ConnectionAbortedError

    with (
        connection_pair(idle_seconds=0.01, on_idle=lose_patience) as (connection, _),
        pytest.raises(ConnectionAbortedError),
    ):
        connection.receive()


def test_without_an_observer_silence_means_nothing():
    with connection_pair(idle_seconds=0.01) as (connection, peer):
        timer = threading.Timer(0.05, peer.send, [text(b"late")])
        timer.start()
        assert connection.receive() == b"late"
        timer.join(PATIENCE)


def test_shutting_the_socket_down_wakes_reader_and_writer():
    with connection_pair() as (connection, _):
        ended: list[str] = []

        def until_lost(call):
            try:
                while True:
                    call()
            except OSError:
                ended.append(call.__name__)

        threads = [
            in_thread(until_lost, connection.receive),
            in_thread(until_lost, lambda: connection.send(bytes(1 << 20))),
        ]
        threads[1].join(0.05)
        connection._sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(PATIENCE)
        assert len(ended) == 2
