from __future__ import annotations

import re

import attrs
from hypothesis import given

from convsm.diagram import Automaton, mermaid
from convsm.diagram.model import CONVERSATION, KINDS, arrows, drawn_frames
from convsm.machine.rows import State
from tests.diagram.helpers import DOOR, automata

NAME = r"[A-Za-z]\w*"
TEXT = r'"[^"\n]*"'
# The part of Mermaid's grammar that is used, one statement a line.
STATEMENTS = {
    "comment": r"%%.*",
    "header": r"stateDiagram-v2",
    "direction": r"direction LR",
    "style": rf"classDef {NAME} [\w:#,\- ]+",
    "state": rf"state {TEXT} as (?P<state>{NAME})",
    "frame": rf"state {TEXT} as (?P<frame>{NAME}) \{{",
    "choice": rf"state (?P<choice>{NAME}) <<choice>>",
    "end": r"\}",
    "edge": rf"(?P<tail>\[\*\]|{NAME}) --> (?P<head>{NAME})",
    "class": rf"class (?P<members>{NAME}(?:,{NAME})*) (?P<class>{NAME})",
}


def parsed(text: str) -> list[tuple[str, re.Match[str]]]:
    statements = []
    for line in text.splitlines():
        matches = {
            kind: re.fullmatch(pattern, line.strip(), re.ASCII) for kind, pattern in STATEMENTS.items()
        }
        found = [(kind, match) for kind, match in matches.items() if match]
        assert len(found) == 1, line
        statements += found
    return statements


def edges(text: str) -> list[tuple[str, str]]:
    return [(match["tail"], match["head"]) for kind, match in parsed(text) if kind == "edge"]


@given(automata())
def test_every_statement_is_valid_and_every_name_is_declared_once(automaton):
    statements = parsed(mermaid(automaton))

    kinds = [kind for kind, _ in statements]
    assert kinds.count("header") == 1
    assert kinds.count("frame") == kinds.count("end") == kinds.count("choice") == len(drawn_frames(automaton))
    declared = [match[kind] for kind, match in statements if kind in ("state", "frame", "choice")]
    assert len(declared) == len(set(declared))
    used = {name for kind, match in statements if kind == "edge" for name in match.group("tail", "head")}
    used |= {name for kind, match in statements if kind == "class" for name in match["members"].split(",")}
    assert used - {"[*]"} <= set(declared)


@given(automata())
def test_every_arrow_goes_from_its_sources_through_its_box_to_its_target(automaton):
    found = edges(mermaid(automaton))

    for arrow in arrows(automaton):
        box = f"row_{arrow.number}"
        assert [edge for edge in found if edge[0] == box] == [(box, arrow.target)]
        assert sum(head == box for _, head in found) == len(arrow.sources)


@given(automata())
def test_a_frame_holds_its_states_and_no_other(automaton):
    inside: dict[str, str] = {}
    frame = ""
    for kind, match in parsed(mermaid(automaton)):
        if kind == "frame":
            frame = match["frame"]
        elif kind == "end":
            frame = ""
        elif kind == "state":
            inside[match["state"]] = frame
        elif kind == "edge":
            # Mermaid puts a state where it is first mentioned.
            assert match["tail"] not in inside or not frame or inside[match["tail"]] == frame

    for index, members in enumerate(drawn_frames(automaton).values()):
        assert len({inside[member] for member in members}) == 1, index
    framed = {member for members in drawn_frames(automaton).values() for member in members}
    assert {state.name for state in automaton.states if inside[state.name]} == framed


def test_the_conversation_starts_in_idle_and_leaves_the_frame_once():
    found = edges(mermaid())

    assert found[0] == ("[*]", "idle")
    assert [edge for edge in found if edge[0] == "open"] == [("open", "from_open")]
    assert (
        "from_open",
        f"row_{next(arrow.number for arrow in arrows(CONVERSATION) if arrow.trigger == 'End')}",
    ) in found


def test_labels_and_states_carry_guards_effects_and_what_happens_on_leaving():
    text = mermaid(DOOR)

    assert 'state "Push [unlocked and has handle]<br/>/ greet" as row_1' in text
    assert 'state "Wind" as row_3' in text
    assert 'state "open<br/>leave / stop fan" as open' in text


def test_the_kinds_differ_in_their_boxes_and_have_a_legend():
    statements = parsed(mermaid(DOOR))
    members = {match["class"]: match["members"].split(",") for kind, match in statements if kind == "class"}

    assert members["command"] == ["legend_command", "row_1"]
    assert members["local"] == ["legend_local", "row_3"]
    assert members["server"] == ["legend_server", "row_5"]
    assert all(f'"{text}"' in mermaid(DOOR) for text in KINDS.values())


def test_the_legend_says_what_is_left_out():
    assert '"left out: emitters note…, which only write the session\'s data" as legend_omission' in mermaid(
        DOOR
    )
    assert "left out" not in mermaid(attrs.evolve(DOOR, bookkeeping=()))


def test_kinds_that_do_not_occur_have_no_legend():
    text = mermaid(attrs.evolve(DOOR, events=()))

    assert "legend_server" in text
    assert "legend_command" not in text


def test_a_state_may_be_called_like_something_of_the_diagram():
    states = (State("row_1", "a state"), State("from_inside", "another"))
    rows = (attrs.evolve(DOOR.rows[0], sources=("row_1",), target="from_inside"),)

    found = edges(mermaid(Automaton(states, rows, "row_1")))

    assert found == [("[*]", "state_0"), ("state_0", "row_1"), ("row_1", "state_1")]


def test_names_may_be_keywords_or_hold_any_character():
    states = (State("end", "a keyword"), State('a "b" <c>; #d\n', "hardly a name"))
    rows = tuple(attrs.evolve(row, sources=("end",), target=states[1].name) for row in DOOR.rows)
    automaton = Automaton(states, rows, "end", groups={"state": ("end",)})

    statements = parsed(mermaid(automaton))

    assert {match["state"] for kind, match in statements if kind == "state"} >= {"state_0", "state_1"}
    assert [match["frame"] for kind, match in statements if kind == "frame"] == ["frame_0"]
    assert 'state "a #quot;b#quot; #lt;c#gt;#59; #35;d " as state_1' in mermaid(automaton)
