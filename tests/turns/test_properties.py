"""Random sequences with turn handling on: every invariant of the conversation, and those of the turn."""

from __future__ import annotations

from convsm.turns.table import ROWS
from tests.turns.sequences import TAKEN, walk

# What takes many steps in one order is left to the scenarios.
RARE_ROWS = {("TurnPredicted", ("speaking",)), ("TimerFired", ("endpointing", "committing"))}
RARE = {
    "has_words_aside",
    "is_decision_due",
    "is_mere_backchannel",
    "is_end_unlikely",
    "changes_hands",
    "is_reply_held",
}


def test_every_invariant_holds_with_turn_handling_on_and_both_interpreters_agree(volume, first_seed):
    for seed in range(first_seed, first_seed + volume // 20):
        walk(seed)


def test_whatever_comes_breaks_nothing_that_holds_whatever_comes(volume, first_seed):
    for seed in range(first_seed, first_seed + volume // 40):
        walk(seed, noise=0.3)


def test_nearly_every_row_is_taken_by_chance():
    for seed in range(1500):
        walk(seed)
    missing = [row for row in ROWS if row not in TAKEN]
    common = [row for row in missing if not RARE & set(row.when)]
    assert {(row.trigger, row.sources) for row in common} <= RARE_ROWS
