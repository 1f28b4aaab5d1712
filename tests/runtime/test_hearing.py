from __future__ import annotations

from typing import Any

import pytest

from convsm.audio.formats import audio_format
from convsm.machine.effects import Play
from convsm.runtime import hearing as hearing_module
from convsm.runtime.hearing import Hearing
from convsm.runtime.reckoning import PlayoutReckoning
from convsm.testing.clock import ManualTimers


class Reporting:
    position: Any = 0


def hearing_of(interface: Any) -> Hearing:
    reckoning = PlayoutReckoning(audio_format("pcm_24000"), ManualTimers(), lambda _: None)
    return Hearing(interface, reckoning)


def test_nothing_is_known_before_anything_was_handed_over():
    assert hearing_of(Reporting()).heard is None


def test_a_position_is_a_piece_and_a_place_in_the_next():
    interface = Reporting()
    hearing = hearing_of(interface)
    hearing.hand_over(Play(1, bytes(4800), 1))
    hearing.hand_over(Play(2, bytes(4800), 1))
    assert hearing.heard == (0, 0)
    interface.position = 3000
    assert hearing.heard == (1, 1200)
    hearing.flush()
    assert hearing.heard == (2, 0)
    hearing.hand_over(Play(5, bytes(4800), 2))
    interface.position = 3100
    assert hearing.heard == (4, 200)


def test_an_interface_that_does_not_know_is_not_guessed_for():
    interface = Reporting()
    interface.position = None
    hearing = hearing_of(interface)
    hearing.hand_over(Play(1, bytes(4800), 1))
    assert hearing.heard is None
    hearing.flush()
    assert hearing.heard is None


@pytest.mark.parametrize("position", [float("nan"), "much", object()])
def test_nonsense_is_no_position_and_is_logged(position, caplog):
    interface = Reporting()
    interface.position = position
    hearing = hearing_of(interface)
    hearing.hand_over(Play(1, bytes(4800), 1))
    assert hearing.heard is None
    hearing.flush()
    assert "Reporting.position" in caplog.text


def test_half_a_sample_is_none():
    interface = Reporting()
    interface.position = 100.9
    hearing = hearing_of(interface)
    hearing.hand_over(Play(1, bytes(4800), 1))
    assert hearing.heard == (0, 200)


def test_a_position_that_falls_breaks_nothing():
    interface = Reporting()
    hearing = hearing_of(interface)
    hearing.hand_over(Play(1, bytes(4800), 1))
    hearing.hand_over(Play(2, bytes(4800), 1))
    interface.position = 3000
    assert hearing.heard == (1, 1200)
    interface.position = 10
    assert hearing.heard == (1, 0)


def test_a_session_that_never_asks_keeps_no_more_than_it_needs(monkeypatch):
    monkeypatch.setattr(hearing_module, "WAITING_PIECES", 10)
    timers = ManualTimers()
    reckoned = PlayoutReckoning(audio_format("pcm_16000"), timers, lambda event: None)
    hearing = Hearing(None, reckoned)
    for number in range(1, 1001):
        hearing.hand_over(Play(number, bytes(3200), 1))
        reckoned.hand_over(Play(number, bytes(3200), 1))
        timers.advance(0.1)
        assert hearing._ledger is not None
        assert hearing._ledger.waiting <= 11
    assert hearing.heard == (1000, 0)
