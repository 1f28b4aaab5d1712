"""Every contradiction that a table can hold is found at import."""

from __future__ import annotations

from typing import Any

import pytest

from convsm.machine import GROUPS, INITIAL, ROWS, STATES, Row, State, TableError
from convsm.machine.emitters import Emitters
from convsm.machine.events import EVENTS
from convsm.machine.guards import Guards
from convsm.machine.rows import row
from convsm.machine.validation import validate


class Answers:
    def is_polite(self, event: object) -> bool:
        return True

    def _is_private(self, event: object) -> bool:
        return True


class Deeds(Answers):
    def greet(self, event: object) -> None:
        """Say hello."""

    def rest(self, event: object) -> None:
        """Sit down."""


DOOR = (State("shut", "nobody in"), State("open", "somebody in", on_leave=("rest",)))
KNOCK = row("Knocked", "shut", "open", when=("is_polite",), do=("greet",), why="come in")
NOISE = row("Knocked", "shut", None, why="too rude")
GO = row("Gone", ("open",), "shut", why="good bye")


def check(
    states: tuple[State, ...] = DOOR, rows: tuple[Row, ...] = (KNOCK, NOISE, GO), **changes: Any
) -> None:
    settings: dict[str, Any] = {
        "initial": "shut",
        "triggers": ("Knocked", "Gone"),
        "groups": {},
        "guards": (Answers,),
        "emitters": Deeds,
    }
    validate(states, rows, **{**settings, **changes})


def test_a_table_without_contradiction_passes():
    check()
    check(groups={"all": ("shut", "open")})
    validate(STATES, ROWS, INITIAL, EVENTS, GROUPS, (Guards,), Emitters)


def test_rows_and_states_may_be_any_iterable():
    validate(iter(DOOR), iter((KNOCK, NOISE, GO)), "shut", {"Knocked", "Gone"}, {}, (Answers,), Deeds)


SHADOWED = "a row Knocked from shut stands behind one that asks no more"

CONTRADICTIONS = [
    ({"states": (*DOOR, DOOR[0])}, "a state is declared twice"),
    ({"initial": "ajar"}, "initial state names ajar, which does not exist"),
    ({"groups": {"all": ("shut", "ajar")}}, "group 'all' names ajar, which does not exist"),
    (
        {"states": (DOOR[0], State("open", "", on_leave=("is_polite",)))},
        "state 'open' names is_polite, which does not exist",
    ),
    ({"triggers": ("Gone",)}, "row Knocked from shut names Knocked, which does not exist"),
    ({"triggers": ("Knocked", "Gone", "Rang")}, "no row uses Rang"),
    (
        {"rows": (KNOCK, NOISE, row("Gone", ("open", "ajar"), "shut", why="w"))},
        "row Gone from open, ajar names ajar, which does not exist",
    ),
    (
        {"rows": (KNOCK, NOISE, row("Gone", ("open", "open"), "shut", why="w"))},
        "row Gone from open, open names no source, or one twice",
    ),
    (
        {"rows": (KNOCK, NOISE, GO, row("Gone", (), "shut", why="w"))},
        "row Gone from  names no source, or one twice",
    ),
    (
        {"rows": (KNOCK, NOISE, row("Gone", "open", "ajar", why="w"))},
        "row Gone from open names ajar, which does not exist",
    ),
    (
        {"rows": (KNOCK, NOISE, row("Gone", "open", "", why="w"))},
        "row Gone from open names , which does not exist",
    ),
    (
        {"rows": (KNOCK, NOISE, row("Gone", "open", "shut", do=("sing",), why="w"))},
        "row Gone from open names sing, which does not exist",
    ),
    (
        {"rows": (KNOCK, NOISE, row("Gone", "open", "shut", do=("is_polite",), why="w"))},
        "row Gone from open names is_polite, which does not exist",
    ),
    (
        {"rows": (row("Knocked", "shut", "open", when=("greet",), why="w"), NOISE, GO)},
        "row Knocked from shut names greet, which does not exist",
    ),
    (
        {"rows": (row("Knocked", "shut", "open", when=("_is_private",), why="w"), NOISE, GO)},
        "row Knocked from shut names _is_private, which does not exist",
    ),
    ({"rows": (KNOCK, NOISE, row("Gone", "open", "shut", why=""))}, "row Gone from open gives no reason"),
    ({"rows": (NOISE, KNOCK, GO)}, SHADOWED),
    ({"rows": (KNOCK, NOISE, NOISE, GO)}, SHADOWED),
    ({"rows": (KNOCK, KNOCK, NOISE, GO)}, SHADOWED),
    ({"rows": (KNOCK, GO)}, "the rows Knocked from shut do not end with one without guards"),
    (
        {"rows": (row("Knocked", "shut", "open", do=("greet",), why="w"), GO)},
        "no row uses is_polite",
    ),
    (
        {"rows": (row("Knocked", "shut", "open", when=("is_polite",), why="w"), NOISE, GO)},
        "no row uses greet",
    ),
    ({"states": (DOOR[0], State("open", "somebody in"))}, "no row uses rest"),
    ({"states": (*DOOR, State("ajar", "a gap"))}, "no row leads to ajar"),
]


@pytest.mark.parametrize(("changes", "sentence"), CONTRADICTIONS, ids=[text for _, text in CONTRADICTIONS])
def test_a_contradiction_is_named(changes, sentence):
    with pytest.raises(TableError) as found:
        check(**changes)
    assert str(found.value) == sentence
