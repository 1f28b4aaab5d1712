from __future__ import annotations

import struct
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from convsm.testing.frames import encode_close, encode_frame
from convsm.transport.frame_reader import CloseFrame, FrameReader, Ping, Pong, TooBig, ViolatedProtocol

LIMIT = 1000


def read(*chunks, max_bytes=LIMIT):
    """What a reader makes of chunks: messages, and the error's type at the end if there is one."""
    reader = FrameReader(max_bytes)
    found: list[object] = []
    try:
        for chunk in chunks:
            found += reader.feed(chunk)
    except (TooBig, ViolatedProtocol) as error:
        found.append(type(error))
    return found


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_messages_of_all_lengths_are_read(size, opcode):
    frame = encode_frame(bytes(size), opcode)
    assert read(frame + frame, max_bytes=200_000) == [bytes(size)] * 2


def test_one_byte_at_a_time_is_read_too():
    data = encode_frame(b"a" * 300) + encode_frame(b"b", Opcode.PING) + encode_close(1001, "bye")
    chunks = [bytes([byte]) for byte in data]
    assert read(*chunks) == [b"a" * 300, Ping(b"b"), CloseFrame(1001, "bye")]


def test_fragments_are_joined_and_control_frames_come_between():
    data = (
        encode_frame(b"a", fin=False)
        + encode_frame(b"!", Opcode.PING)
        + encode_frame(b"", Opcode.CONT, fin=False)
        + encode_frame(b"", Opcode.PONG)
        + encode_frame(b"b", Opcode.CONT)
        + encode_frame(b"c")
    )
    assert read(data) == [Ping(b"!"), Pong(), b"ab", b"c"]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", CloseFrame(1005, "")),
        (struct.pack("!H", 1000), CloseFrame(1000, "")),
        (struct.pack("!H", 4999) + "für".encode(), CloseFrame(4999, "für")),
        (struct.pack("!H", 1008) + b"\xff", CloseFrame(1008, "\ufffd")),
        (b"x", ViolatedProtocol),
        *((struct.pack("!H", code), ViolatedProtocol) for code in (0, 999, 1005, 1006, 1015, 2999, 5000)),
    ],
)
def test_close_frames_are_read_or_refused(payload, expected):
    assert read(encode_frame(payload, Opcode.CLOSE)) == [expected]


@pytest.mark.parametrize(
    "data",
    [
        encode_frame(b"", rsv=1),
        encode_frame(b"", 3),
        encode_frame(b"", 15),
        encode_frame(b"", Opcode.CONT),
        encode_frame(b"", fin=False) + encode_frame(b""),
        encode_frame(b"", Opcode.PING, fin=False),
        encode_frame(bytes(126), Opcode.PING),
        Frame(Opcode.TEXT, b"masked").serialize(mask=True),
        Frame(Opcode.TEXT, bytes(200)).serialize(mask=True),
    ],
)
def test_what_breaks_a_rule_is_refused(data):
    assert read(encode_frame(b"before") + data) == [b"before", ViolatedProtocol]


@pytest.mark.parametrize("length", [LIMIT + 1, 65536, 2**32, 2**63, 2**64 - 1])
def test_what_is_too_big_is_refused_by_its_header_alone(length):
    header = encode_frame(b"", length=length)
    assert read(header) == [TooBig]


def test_the_sum_of_fragments_is_limited_too():
    first, last = encode_frame(bytes(LIMIT - 1), fin=False), Opcode.CONT
    assert read(first + encode_frame(b"1", last)) == [bytes(LIMIT - 1) + b"1"]
    assert read(first + encode_frame(b"12", last)) == [TooBig]


frames = st.builds(
    encode_frame,
    st.binary(max_size=300) | st.just(struct.pack("!H", 1000)),
    st.sampled_from([0, 0, 1, 1, 1, 2, 8, 9, 10, 3]),
    fin=st.sampled_from([True, True, True, False]),
    rsv=st.sampled_from([0] * 9 + [4]),
)


@given(st.lists(frames | st.binary(max_size=20), max_size=8), st.lists(st.integers(0, 5000), max_size=10))
def test_any_bytes_in_any_chunks_are_read_as_another_library_reads_them(pieces, places):
    data = b"".join(pieces)
    found = read(*cut(data, places))
    other = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=LIMIT)
    other.receive_data(data)
    theirs: list[object] = []
    message, is_ended = b"", other.parser_exc is not None
    for frame in other.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode is Opcode.PING:
            theirs.append(Ping(bytes(frame.data)))
        elif frame.opcode is Opcode.PONG:
            theirs.append(Pong())
        elif frame.opcode is Opcode.CLOSE:
            is_ended = True
        else:
            message += frame.data
            if frame.fin:
                theirs.append(message)
                message = b""
    # After a close frame or an error the other reads nothing more.
    ends = [index for index, one in enumerate(found) if isinstance(one, CloseFrame | type)]
    assert found[: ends[0] if ends else None] == theirs
    # Ours sees in the header what the other sees behind the payload.
    assert ends or not is_ended


def test_a_big_message_in_small_pieces_takes_little_more_than_itself():
    frame, reader = encode_frame(bytes(1 << 20)), FrameReader(1 << 20)
    tracemalloc.start()
    try:
        for start in range(0, len(frame) - 1400, 1400):
            assert list(reader.feed(frame[start : start + 1400])) == []
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 1.3 * (1 << 20)
