from __future__ import annotations

import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.audio.playout import DEFAULT_LIMIT, MESSAGE_COST, PlayoutBuffer
from convsm.errors import AudioError
from tests.audio.sounds import samples


class PlainBuffer:
    """The same promises, kept in the most obvious way: one string and a list of where messages end."""

    def __init__(self, bytes_per_sample: int) -> None:
        self.bytes_per_sample = bytes_per_sample
        self.unread = b""
        self.position = 0
        self.through = 0
        self.ends: list[tuple[int, int]] = []

    def whole(self, size: int) -> int:
        return size // self.bytes_per_sample * self.bytes_per_sample

    @property
    def pending(self) -> int:
        return self.whole(len(self.unread))

    def advance(self) -> None:
        for number, end in self.ends:
            if end <= self.position:
                self.through = number

    def append(self, number: int, audio: bytes) -> None:
        self.unread += audio
        self.ends.append((number, self.position + self.pending))
        self.advance()

    def read(self, size: int) -> bytes:
        size = self.whole(min(size, len(self.unread)))
        taken, self.unread = self.unread[:size], self.unread[size:]
        self.position += size
        self.advance()
        return taken

    def flush(self) -> int:
        dropped = len(self.unread)
        self.unread = b""
        self.ends.clear()
        return dropped


appends = st.tuples(st.just("append"), st.binary(max_size=9))
reads = st.tuples(st.just("read"), st.integers(0, 12))
flushes = st.tuples(st.just("flush"), st.none())


@given(st.sampled_from([1, 2]), st.lists(appends | appends | reads | reads | flushes, max_size=40))
def test_every_sequence_of_calls_gives_what_one_long_string_would(bytes_per_sample, calls):
    buffer, plain = PlayoutBuffer(bytes_per_sample), PlainBuffer(bytes_per_sample)
    number = 0
    for name, argument in calls:
        arguments = [] if argument is None else [argument]
        if name == "append":
            number += 1
            arguments.insert(0, number)
        assert getattr(buffer, name)(*arguments) == getattr(plain, name)(*arguments)
        assert (buffer.pending, buffer.position, buffer.through, buffer.is_drained) == (
            plain.pending,
            plain.position,
            plain.through,
            plain.pending == 0,
        )


def test_a_number_is_through_only_when_its_last_sample_was_read():
    buffer = PlayoutBuffer()
    buffer.append(7, samples(0, 3))
    buffer.append(8, samples(3, 1))
    assert (buffer.read(4), buffer.through) == (samples(0, 2), 0)
    assert (buffer.read(2), buffer.through) == (samples(2, 1), 7)
    assert (buffer.read(100), buffer.through) == (samples(3, 1), 8)
    assert buffer.is_drained
    assert buffer.position == 8


def test_a_sample_that_straddles_two_messages_is_put_together():
    buffer = PlayoutBuffer()
    sound = samples(1000, 3)
    buffer.append(1, sound[:3])
    assert (buffer.read(100), buffer.through) == (sound[:2], 1)
    buffer.append(2, sound[3:])
    assert (buffer.read(100), buffer.through) == (sound[2:], 2)


def test_half_a_sample_alone_does_not_hold_its_message_back():
    buffer = PlayoutBuffer()
    buffer.append(1, b"\x01")
    assert (buffer.through, buffer.pending, buffer.is_drained) == (1, 0, True)


def test_a_flush_drops_the_half_sample_so_that_what_follows_is_not_shifted():
    buffer = PlayoutBuffer()
    buffer.append(1, b"\x01\x02\x03")
    assert buffer.flush() == 3
    buffer.append(2, samples(5, 2))
    assert buffer.read(100) == samples(5, 2)
    assert (buffer.position, buffer.through) == (4, 2)


def test_what_was_flushed_is_never_through():
    buffer = PlayoutBuffer()
    buffer.append(1, samples(0, 2))
    buffer.append(2, samples(2, 2))
    buffer.read(2)
    buffer.flush()
    assert buffer.read(100) == b""
    assert buffer.through == 0
    buffer.append(3, samples(4, 1))
    buffer.read(100)
    assert buffer.through == 3


def test_what_the_caller_does_to_its_bytes_afterwards_is_not_heard():
    buffer = PlayoutBuffer()
    message = bytearray(samples(1, 2))
    buffer.append(1, message)  # type: ignore[arg-type]
    message[:] = bytes(4)
    assert buffer.read(100) == samples(1, 2)


def test_a_negative_size_reads_nothing():
    buffer = PlayoutBuffer()
    buffer.append(1, samples(1, 2))
    assert buffer.read(-2) == b""
    assert (buffer.pending, buffer.position) == (4, 0)


@pytest.mark.parametrize("number", [4, 5])
def test_numbers_have_to_rise(number):
    buffer = PlayoutBuffer()
    buffer.append(5, samples(0, 1))
    with pytest.raises(ValueError, match=f"{number} came after 5"):
        buffer.append(number, samples(1, 1))
    assert buffer.read(100) == samples(0, 1)


def test_what_passes_the_limit_is_refused_before_anything_is_stored():
    buffer = PlayoutBuffer(limit=2 * MESSAGE_COST + 8)
    buffer.append(1, samples(0, 2))
    with pytest.raises(AudioError, match="limit of 1032 bytes"):
        buffer.append(2, samples(2, 3))
    assert buffer.pending == 4
    buffer.append(2, samples(2, 2))
    assert (buffer.read(100), buffer.through) == (samples(0, 4), 2)


def test_reading_and_flushing_make_room_again():
    buffer = PlayoutBuffer(limit=MESSAGE_COST + 4)
    for number in range(1, 10, 2):
        buffer.append(number, samples(number, 2))
        assert buffer.read(4) == samples(number, 2)
        buffer.append(number + 1, samples(number, 2))
        buffer.flush()
    assert buffer.position == 5 * 4


def test_the_default_limit_takes_half_an_hour_of_speech():
    assert DEFAULT_LIMIT >= 30 * 60 * 32_000 + 30 * 60 * MESSAGE_COST
    assert PlayoutBuffer().limit == DEFAULT_LIMIT


def test_many_tiny_messages_cannot_take_more_memory_than_the_limit():
    buffer = PlayoutBuffer(limit=1_000_000)
    tracemalloc.start()
    try:
        number = 0
        with suppress(AudioError):
            while number < 100_000:
                number += 1
                buffer.append(number, bytes(bytearray(2)))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 1000 < number < 100_000
    assert taken <= buffer.limit


def test_empty_messages_take_no_memory_and_are_through_with_what_is_before_them():
    buffer = PlayoutBuffer(limit=2 * MESSAGE_COST + 100)
    buffer.append(1, samples(0, 2))
    for number in range(2, 10_000):
        buffer.append(number, b"")
    buffer.read(2)
    assert buffer.through == 0
    buffer.read(2)
    assert buffer.through == 9_999
