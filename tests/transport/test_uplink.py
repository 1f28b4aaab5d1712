from __future__ import annotations

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from convsm.transport.uplink import MESSAGE_LIMIT, STUCK_LIMIT, Uplink

# Sixty-fourths of a second add up exactly, so that the model may compare with ==.
exact_seconds = st.integers(min_value=1, max_value=256).map(lambda number: number / 64)


class UplinkMachine(RuleBasedStateMachine):
    """An Uplink beside a plain list."""

    def __init__(self):
        super().__init__()
        self.uplink = Uplink()
        # What waits: payload, seconds, whether it is audio.
        self.waiting: list[tuple[bytes, float, bool]] = []
        self.count = 0

    def _next(self):
        self.count += 1
        return b"%d" % self.count

    def _audio(self):
        return [entry for entry in self.waiting if entry[2]]

    @rule()
    def put(self):
        data = self._next()
        self.uplink.put(data)
        self.waiting.append((data, 0.0, False))

    @rule(seconds=exact_seconds)
    def put_audio(self, seconds):
        data = self._next()
        dropped = self.uplink.put_audio(data, seconds)
        self.waiting.append((data, seconds, True))
        expected = 0.0
        while sum(entry[1] for entry in self._audio()[1:]) >= 10.0:
            oldest = self._audio()[0]
            self.waiting.remove(oldest)
            expected += oldest[1]
        assert dropped == expected

    @rule()
    def put_silent_audio(self):
        assert self.uplink.put_audio(b"nothing to be heard", 0.0) == 0.0

    @rule()
    def take(self):
        expected = self.waiting.pop(0)[0] if self.waiting else None
        assert self.uplink.take() == expected

    @rule()
    def drop_audio(self):
        self.uplink.drop_audio()
        self.waiting = [entry for entry in self.waiting if not entry[2]]

    @rule(number=st.integers(min_value=1, max_value=MESSAGE_LIMIT))
    def put_many(self, number):
        for _ in range(number):
            self.put()

    @invariant()
    def bounds_count_messages_only(self):
        messages = len(self.waiting) - len(self._audio())
        assert self.uplink.has_room is (messages < MESSAGE_LIMIT)
        assert self.uplink.is_stuck is (messages >= STUCK_LIMIT)

    @invariant()
    def waiting_audio_is_bounded(self):
        audio = self._audio()
        assert sum(entry[1] for entry in audio[1:]) < 10.0

    def teardown(self):
        for data, _, _ in self.waiting:
            assert self.uplink.take() == data
        assert self.uplink.take() is None


UplinkMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestUplinkBesideAPlainList = UplinkMachine.TestCase


@given(st.lists(st.floats(min_value=0.001, max_value=0.5), min_size=1, max_size=400))
def test_ten_seconds_survive_and_every_second_is_accounted_for(pieces):
    uplink = Uplink()
    dropped = sum(uplink.put_audio(b"%d" % index, seconds) for index, seconds in enumerate(pieces))
    kept = 0.0
    indices = []
    while (data := uplink.take()) is not None:
        indices.append(int(data))
        kept += pieces[int(data)]
    assert indices == list(range(len(pieces) - len(indices), len(pieces)))
    assert abs(dropped + kept - sum(pieces)) < 1e-9
    assert kept >= min(10.0, sum(pieces)) - 1e-9


def test_one_piece_over_the_limit_is_kept_until_a_newer_one_comes():
    uplink = Uplink(audio_seconds=1.0)
    assert uplink.put_audio(b"a long piece", 60.0) == 0.0
    assert uplink.put_audio(b"the next", 1.0) == 60.0
    assert uplink.take() == b"the next"


def test_a_limit_of_nothing_keeps_the_newest_piece():
    uplink = Uplink(audio_seconds=0.0)
    assert uplink.put_audio(b"one", 0.5) == 0.0
    assert uplink.put_audio(b"two", 0.5) == 0.5
    assert uplink.take() == b"two"


def test_an_hour_of_twenty_milliseconds_drifts_by_less_than_a_piece():
    uplink = Uplink()
    dropped = 0.0
    for _ in range(180_000):
        dropped += uplink.put_audio(b"", 0.02)
    left = 0
    while uplink.take() is not None:
        left += 1
    assert 500 <= left <= 501
    assert abs(dropped + left * 0.02 - 3600) < 1e-6


class Piece(bytes):
    """Audio that knows how many of its kind are alive."""

    alive = 0

    def __new__(cls, *arguments):
        cls.alive += 1
        return super().__new__(cls, *arguments)

    def __del__(self):
        type(self).alive -= 1


def test_dropped_audio_is_released_though_a_message_waits_before_it():
    uplink = Uplink()
    uplink.put(b"the peer does not read")
    for _ in range(10_000):
        uplink.put_audio(Piece(b"audio"), 0.1)
    assert Piece.alive <= 101
    uplink.drop_audio()
    assert Piece.alive == 0
    assert uplink.take() == b"the peer does not read"


def test_audio_that_is_dropped_between_messages_leaves_nothing_behind():
    uplink = Uplink()
    for _ in range(MESSAGE_LIMIT):
        uplink.put(b"message")
        for _ in range(5):
            uplink.put_audio(b"audio", 0.1)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            uplink.put_audio(b"audio", 0.1)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 20,000 entries that were only marked as dropped would take a megabyte.
    assert grown < 100_000
