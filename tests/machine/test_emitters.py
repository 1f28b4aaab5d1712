"""Emitters append effects and update data; they name what they do, and cannot fail."""

from __future__ import annotations

from convsm.machine import ROWS, STATES, Session
from convsm.machine.emitters import Emitters
from convsm.machine.events import AudioStarted, End, Interrupted, TextPart
from tests.helpers import ready_session

NAMES = sorted(
    {name for row in ROWS for name in row.do} | {name for state in STATES for name in state.on_leave}
)


def test_every_emitter_has_a_sentence_for_the_documents():
    for name in NAMES:
        sentence = getattr(Emitters, name).__doc__
        assert sentence
        assert sentence.rstrip().endswith(".")


def test_an_emitter_that_finds_nothing_to_do_does_nothing():
    untouched = Session()
    session = Session()
    for name in (
        "announce_end",
        "begin_playout",
        "cancel_closing_timers",
        "cancel_ready_timer",
        "cancel_settle_timer",
        "flush",
        "release_held",
        "stop_audio",
        "wind_down",
    ):
        getattr(session, name)(End())
        assert session._effects == [], name
    assert session == untouched


def test_a_step_starts_with_no_effects_of_the_former_one():
    session = ready_session()
    first = session.handle(AudioStarted())
    second = session.handle(AudioStarted())
    assert first == second
    assert len(first) == 1


def test_the_cut_only_rises():
    session = Session()
    for fresh_from, expected in ((3, 3), (2, 3), (-1, 3), (4, 4)):
        session.void_turn(Interrupted(0, fresh_from))
        assert session.fresh_from == expected


def test_a_response_keeps_its_highest_turn():
    session = Session()
    for turn, expected in ((None, None), (2, 2), (1, 2), (None, 2), (5, 5)):
        session.open_response(TextPart("delta", "", turn))
        assert session.response_turn == expected
