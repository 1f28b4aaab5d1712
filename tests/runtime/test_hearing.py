from __future__ import annotations

from types import SimpleNamespace

from convsm.audio.formats import audio_format
from convsm.machine.effects import Play
from convsm.runtime import hearing as hearing_module
from convsm.runtime.hearing import Hearing
from convsm.runtime.reckoning import PlayoutReckoning
from convsm.testing.clock import ManualTimers

PIECE = bytes(3200)  # 100 ms


def reckoning(timers: ManualTimers) -> PlayoutReckoning:
    return PlayoutReckoning(audio_format("pcm_16000"), timers, lambda event: None)


def test_an_interface_that_reports_nothing_is_heard_by_the_clock():
    timers = ManualTimers()
    reckoned = reckoning(timers)
    hearing = Hearing(None, reckoned)
    assert hearing.heard is None
    for number in (1, 2, 3):
        hearing.hand_over(Play(number, PIECE, 1))
        reckoned.hand_over(Play(number, PIECE, 1))
    timers.advance(0.15)
    assert hearing.heard == (1, 1600)
    reckoned.flush()
    hearing.flush()
    hearing.hand_over(Play(4, PIECE, 2))
    reckoned.hand_over(Play(4, PIECE, 2))
    timers.advance(0.05)
    assert hearing.heard == (3, 1600)


def test_one_that_reports_is_believed_and_one_that_does_not_know_is_not_asked_twice():
    interface = SimpleNamespace(position=800)
    hearing = Hearing(interface, reckoning(ManualTimers()))
    hearing.hand_over(Play(1, PIECE, 1))
    assert hearing.heard == (0, 1600)
    interface.position = None
    assert hearing.heard is None
    hearing.flush()


def test_a_session_that_never_asks_keeps_no_more_than_it_needs(monkeypatch):
    monkeypatch.setattr(hearing_module, "WAITING_PIECES", 10)
    timers = ManualTimers()
    reckoned = reckoning(timers)
    hearing = Hearing(None, reckoned)
    for number in range(1, 1001):
        hearing.hand_over(Play(number, PIECE, 1))
        reckoned.hand_over(Play(number, PIECE, 1))
        timers.advance(0.1)
        assert hearing._ledger is not None
        assert hearing._ledger.waiting <= 11
    assert hearing.heard == (1000, 0)
