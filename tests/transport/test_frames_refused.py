"""What a connection must refuse: messages over the limit, broken frames, answers that are no handshake."""

from __future__ import annotations

import struct
import tracemalloc
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websocket import WebSocketBadStatusException, WebSocketException
from websockets.frames import Opcode

from convsm.testing import LoopbackAgent, RefuseHandshake, SendBytes, SendFrame, SendOversized, SpoilHandshake
from convsm.testing.frames import encode_frame
from convsm.transport import frames
from convsm.transport.answers import HANDSHAKE_BYTES
from convsm.transport.dial import Dial
from convsm.transport.frame_reader import Ping, TooBig, ViolatedProtocol
from convsm.transport.frames import Connection
from tests.transport.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    close_frame,
    connection_pair,
    continuation,
    in_thread,
    listener,
    nothing_is_left,
    ping,
    received,
    text,
)

properties = settings(max_examples=60, deadline=None)

# The size limit


@pytest.mark.parametrize("length", [1001, 65536, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_the_limit_is_checked_before_the_payload_is_read(length):
    with connection_pair(max_bytes=1000) as (connection, peer):
        # Nothing follows the header: whoever wants the payload waits in vain.
        peer.send(text(bytes(1000)), encode_frame(b"", Opcode.TEXT, length=length))
        assert connection.receive() == bytes(1000)
        with pytest.raises(TooBig, match="the limit of 1000 bytes"):
            connection.receive()


@properties
@given(st.lists(st.integers(0, 400), min_size=2, max_size=8), st.integers(500, 1000))
def test_fragments_are_summed(sizes, limit):
    with connection_pair(max_bytes=limit) as (connection, peer):
        for index, size in enumerate(sizes):
            header = Opcode.CONT if index else Opcode.TEXT
            peer.send(encode_frame(bytes(size), header, fin=index == len(sizes) - 1))
        if sum(sizes) <= limit:
            assert connection.receive() == bytes(sum(sizes))
        else:
            with pytest.raises(TooBig):
                connection.receive()


def test_a_fragment_that_is_only_announced_counts_already():
    with connection_pair(max_bytes=1000) as (connection, peer):
        peer.send(text(bytes(600), fin=False), encode_frame(b"", Opcode.CONT, length=401))
        with pytest.raises(TooBig):
            connection.receive()


def test_the_sum_starts_anew_with_each_message():
    with connection_pair(max_bytes=10) as (connection, peer):
        for _ in range(3):
            peer.send(text(bytes(5), fin=False), continuation(bytes(5)))
        assert received(connection, 3) == [bytes(10)] * 3


def test_control_frames_do_not_count_as_part_of_a_message():
    with connection_pair(max_bytes=100) as (connection, peer):
        peer.send(text(bytes(99), fin=False), ping(bytes(125)), continuation(b"."))
        assert received(connection, 2) == [Ping(bytes(125)), bytes(99) + b"."]


def test_empty_fragments_neither_count_nor_take_memory():
    with connection_pair(max_bytes=1000) as (connection, peer):
        peer.send(text(bytes(1000), fin=False))
        sending = in_thread(peer.send, continuation(fin=False) * 10_000 + continuation())
        tracemalloc.start()
        try:
            assert connection.receive() == bytes(1000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        # Two buffers of what one read may bring, and their pieces.
        assert peak < 4 * frames.READ_SIZE
        sending.join(PATIENCE)


def test_tiny_fragments_take_no_more_memory_than_the_limit_says():
    fragments = text(b"..", fin=False) + continuation(b"..", fin=False) * 50_000
    with connection_pair(max_bytes=1 << 20) as (connection, peer):
        sending = in_thread(peer.send, fragments, continuation(b"!"))
        tracemalloc.start()
        try:
            assert len(connection.receive()) == 100_003
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        # A list of 50,000 pieces would take two megabytes.
        assert peak < 1_000_000
        sending.join(PATIENCE)


def test_an_oversized_message_of_a_real_server_is_refused_by_its_header():
    with LoopbackAgent([SendOversized(announced_only=True)], opening=False) as agent:
        connection = Connection(Dial().connect(agent.url, PATIENCE), agent.url, 16 << 20)
        with pytest.raises(TooBig):
            connection.receive()
        connection.release()


# Violations

MASKED = b"\x81\x81\x00\x00\x00\x00x"

VIOLATIONS = {
    "RSV1": [encode_frame(b"x", rsv=4)],
    "RSV2": [encode_frame(b"x", rsv=2)],
    "RSV3": [encode_frame(b"x", rsv=1)],
    "data opcode 3": [encode_frame(b"x", 3)],
    "data opcode 7": [encode_frame(b"x", 7)],
    "control opcode 11": [encode_frame(b"x", 11)],
    "control opcode 15": [encode_frame(b"x", 15)],
    "masked": [MASKED],
    "masked, only announced": [b"\x81\xff" + struct.pack("!Q", 1000)],
    "continuation of nothing": [continuation(b"x")],
    "empty continuation of nothing": [continuation()],
    "continuation after the end": [text(b"x", fin=False), continuation(b"x"), continuation(b"x")],
    "a message inside another": [text(b"x", fin=False), text(b"y")],
    "a message inside an empty beginning": [text(fin=False), text(b"y")],
    "long ping": [ping(bytes(126))],
    "long ping, only announced": [encode_frame(b"", Opcode.PING, length=2**63)],
    "long pong": [encode_frame(bytes(126), Opcode.PONG)],
    "long close": [close_frame(struct.pack("!H", 1000) + bytes(124))],
    "fragmented ping": [encode_frame(b"x", Opcode.PING, fin=False)],
    "fragmented pong": [encode_frame(b"x", Opcode.PONG, fin=False)],
    "fragmented close": [encode_frame(struct.pack("!H", 1000), Opcode.CLOSE, fin=False)],
    "close of one byte": [close_frame(b"\x03")],
    **{
        f"close code {code}": [close_frame(struct.pack("!H", code))]
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535)
    },
}


@pytest.mark.parametrize("sent", VIOLATIONS.values(), ids=VIOLATIONS)
def test_violations_of_the_protocol_are_named(sent):
    with connection_pair() as (connection, peer):
        peer.send(*sent)
        with pytest.raises(ViolatedProtocol, match=r"\w"):
            received(connection, 2)


@pytest.mark.parametrize("step", [SendFrame("x", rsv=4), SendFrame("x", opcode=5), SendBytes(MASKED)])
def test_violations_of_a_real_server_are_noticed(step):
    with LoopbackAgent([step], opening=False) as agent:
        connection = Connection(Dial().connect(agent.url, PATIENCE), agent.url, 1000)
        with pytest.raises(ViolatedProtocol):
            connection.receive()
        connection.release()


# Handshake


WRONG_KEY = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
)


def connect(url):
    with closing(Dial().connect(url, PATIENCE)) as sock:
        Connection(sock, url, 1000)


@pytest.mark.parametrize("status", [200, 301, 302, 307, 308, 401, 403, 503])
def test_refusals_and_redirects_raise_with_their_status(status):
    with LoopbackAgent([RefuseHandshake(status, "<p>No.</p>", {"Location": "ws://127.0.0.1:1/"})]) as agent:
        with pytest.raises(WebSocketBadStatusException) as raised:
            connect(agent.url)
        assert raised.value.status_code == status


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 101\r\n\r\n",
        WRONG_KEY,
        b"HTTP/1.1 302 Found\r\n\r\n",
        b"HTTP/1.1 \xff\xff\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_raises(answer):
    with LoopbackAgent([SpoilHandshake(answer)]) as agent, pytest.raises(WebSocketException):
        connect(agent.url)


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 101 ", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000000000\r\n\r\n"]
)
def test_an_answer_without_end_is_not_read_to_it(start):
    sent = 0

    def flood(sock):
        nonlocal sent
        sent += sock.send(start)
        while True:
            sent += sock.send(b"." * 1000)

    with listener(flood) as port, pytest.raises(WebSocketException):
        connect(f"ws://127.0.0.1:{port}/")
    assert sent > HANDSHAKE_BYTES
