from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from convsm.audio.heard import HeardLedger
from convsm.audio.playout import PlayoutBuffer


def test_a_position_is_a_piece_and_a_place_in_the_next():
    ledger = HeardLedger()
    assert ledger.locate(0) == (0, 0)
    ledger.hand_over(1, 100)
    ledger.hand_over(2, 60)
    assert ledger.locate(0) == (0, 0)
    assert ledger.locate(20) == (0, 40)
    assert ledger.locate(50) == (1, 0)
    assert ledger.locate(65) == (1, 30)
    assert ledger.locate(80) == (2, 0)


def test_what_was_flushed_does_not_count():
    ledger = HeardLedger(1)
    ledger.hand_over(1, 100)
    ledger.flush(30)
    assert ledger.locate(30) == (1, 0)
    ledger.hand_over(2, 50)
    assert ledger.locate(35) == (1, 5)
    assert ledger.locate(80) == (2, 0)


def test_what_was_forgotten_before_it_was_handed_over_is_done_with():
    ledger = HeardLedger(1)
    ledger.hand_over(1, 100)
    ledger.flush(30)
    ledger.hand_over(4, 50)  # 2 and 3 waited for the interface when the user cut in
    assert ledger.locate(30) == (3, 0)
    assert ledger.locate(40) == (3, 10)


def test_a_piece_without_samples_is_heard_with_the_one_before():
    ledger = HeardLedger()
    ledger.hand_over(1, 4)
    ledger.hand_over(2, 0)
    assert ledger.locate(1) == (0, 2)
    assert ledger.locate(2) == (2, 0)


@given(st.lists(st.tuples(st.sampled_from(["play", "read", "flush"]), st.integers(0, 12)), max_size=40))
def test_it_agrees_with_the_buffer_that_is_read(calls):
    buffer, ledger, number = PlayoutBuffer(), HeardLedger(), 0
    for name, size in calls:
        if name == "play":
            number += 1
            buffer.append(number, bytes(2 * size))
            ledger.hand_over(number, 2 * size)
        elif name == "read":
            buffer.read(2 * size)
        else:
            buffer.flush()
            ledger.flush(buffer.position // 2)
        through, beyond = ledger.locate(buffer.position // 2)
        # The buffer's number stays where a flush came; here all that was flushed is done with.
        assert through >= buffer.through
        if not buffer.is_drained:
            assert beyond >= 0
        assert (through == number) == buffer.is_drained
