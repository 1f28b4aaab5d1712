"""Small automata, and random ones, for the tests of pictures."""

from __future__ import annotations

import shutil

import pytest
from hypothesis import strategies as st

from convsm.diagram import Automaton, Input
from convsm.machine.rows import State, row

needs_graphviz = pytest.mark.skipif(
    shutil.which("dot") is None, reason="Graphviz is not installed (apt install graphviz)"
)

# Two states share a frame; one row leaves the frame, one loops, one stays and one only takes notes.
DOOR = Automaton(
    states=(
        State("shut", "nobody passes"),
        State("open", "everybody passes", on_leave=("stop_fan",)),
        State("ajar", "cats pass"),
        State("gone", "there is no door"),
    ),
    rows=(
        row(
            "Push",
            ("shut", "ajar"),
            "open",
            when=("is_unlocked", "has_handle"),
            do=("greet", "note_push"),
            why="a guest",
        ),
        row("Push", ("shut", "ajar"), None, do=("ring",), why="locked | barred"),
        row("Wind", "open", "ajar", do=("note_wind",), why="a draught"),
        row("Wind", ("shut", "gone"), None, why="nothing moves"),
        row("Fire", ("open", "ajar", "shut"), "gone", do=("scream", "run_away"), why="wood burns"),
    ),
    initial="shut",
    groups={"inside": ("open", "ajar")},
    events=(Input("Push", "command", "Somebody pushes."), Input("Wind", "local")),
    bookkeeping=("note_",),
    glossary={"is_unlocked": "Nobody turned the key.", "unused": "Nowhere."},
)


@st.composite
def automata(draw: st.DrawFn) -> Automaton:
    """Any automaton that a picture can be asked for, valid for a machine or not."""
    names = [f"s{index}" for index in range(draw(st.integers(1, 6)))]
    some = st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)
    groups = draw(st.dictionaries(st.sampled_from(["left", "right", "s0"]), some, max_size=3))
    sources = st.one_of(some, st.sampled_from(list(groups.values()))) if groups else some
    rows = draw(
        st.lists(
            st.builds(
                row,
                st.sampled_from(["Ping", "Pong", "ALongNameOfAnEvent"]),
                sources,
                st.none() | st.sampled_from(names),
                when=st.lists(st.sampled_from(["is_red", "has_a_rather_long_name"]), max_size=2).map(tuple),
                do=st.lists(st.sampled_from(["jump", "note_jump", "sing_a_very_long_song"]), max_size=9).map(
                    tuple
                ),
                why=st.just("because"),
            ),
            max_size=12,
        )
    )
    return Automaton(
        states=tuple(State(name, "some meaning or other " * draw(st.integers(0, 4))) for name in names),
        rows=tuple(rows),
        initial="s0",
        groups=groups,
        bookkeeping=("note_",),
    )
