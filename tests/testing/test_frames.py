from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from convsm.testing.frames import encode_close, encode_frame


def parse(data):
    reader = StreamReader()
    reader.feed_data(data)
    parser = Frame.parse(reader.read_exact, mask=False)
    try:
        next(parser)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("The frame is incomplete.")


@given(st.integers(0, 70_000), st.sampled_from([Opcode.CONT, Opcode.TEXT, Opcode.BINARY]), st.booleans())
@example(125, Opcode.TEXT, True)
@example(126, Opcode.TEXT, True)
@example(65_535, Opcode.TEXT, True)
@example(65_536, Opcode.TEXT, True)
def test_a_frame_is_what_a_client_reads(length, opcode, fin):
    frame = parse(encode_frame(b"x" * length, opcode, fin=fin))
    assert (frame.opcode, len(frame.data), frame.fin) == (opcode, length, fin)


@given(st.sampled_from([1000, 1008, 3000, 4999]), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_close_reason_is_cut_between_characters(code, reason):
    close = Close.parse(bytes(parse(encode_close(code, reason)).data))
    assert close.code == code
    assert reason.startswith(close.reason)
    assert close.reason == reason or len(close.reason.encode()) > 119


def test_a_close_frame_may_be_empty():
    assert encode_close(None) == b"\x88\x00"


@given(st.integers(0, 15), st.integers(0, 7))
def test_reserved_bits_and_opcodes_are_sent_as_asked(opcode, rsv):
    assert encode_frame(b"", opcode, rsv=rsv) == bytes([0x80 | rsv << 4 | opcode, 0])
