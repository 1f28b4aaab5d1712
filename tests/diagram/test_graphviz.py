from __future__ import annotations

import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import attrs
import pytest
from hypothesis import given

from convsm.diagram import dot, svg
from convsm.diagram.graphviz import fingerprint
from convsm.diagram.model import CONVERSATION, KINDS, arrows
from convsm.errors import ConfigurationError
from convsm.machine.rows import State
from tests.diagram.helpers import DOOR, automata, needs_graphviz

EDGE = re.compile(r'^  "(?P<tail>[^"]+)" -> "(?P<head>[^"]+)" \[style=(?P<style>\w+)', re.MULTILINE)
STYLES = {"server": "solid", "command": "dashed", "local": "dotted"}


@given(automata())
def test_every_arrow_is_drawn_in_the_style_of_its_kind(automaton):
    drawn = [match.groups() for match in EDGE.finditer(dot(automaton))]

    expected = [(f"row {arrow.number}", arrow.target, STYLES[arrow.kind]) for arrow in arrows(automaton)]
    assert [edge for edge in drawn if edge[0].startswith("row ")] == expected


def test_a_line_from_a_frame_starts_at_a_dot_on_its_edge():
    source = dot(DOOR)

    assert '"inside 5" -> "row 5"' in source
    assert '"open" -> "row 5"' not in source


def test_two_rows_between_the_same_states_are_two_arrows():
    targets = [
        (match["tail"], match["head"]) for match in EDGE.finditer(dot()) if match["tail"].startswith("row ")
    ]

    assert len(targets) == len(set(targets)) == len(arrows(CONVERSATION))


def test_the_states_show_their_meaning_and_what_happens_on_leaving():
    source = dot(DOOR)

    assert "cats pass" in source
    assert "leave / stop fan" in source
    assert "● shut" in source


def test_the_legend_shows_only_kinds_that_occur():
    assert KINDS["server"] in dot(DOOR)
    assert KINDS["server"] not in dot(attrs.evolve(DOOR, rows=DOOR.rows[:4]))


def test_the_legend_says_what_is_left_out():
    assert "emitters note…, which" in dot(DOOR)
    assert "left out" not in dot(attrs.evolve(DOOR, bookkeeping=()))


@needs_graphviz
def test_graphviz_draws_the_conversation_and_every_text_fits_its_box():
    done = subprocess.run(["dot", "-Tsvg"], input=dot().encode(), capture_output=True, check=True)

    assert done.stderr == b""


@needs_graphviz
def test_the_svg_says_which_source_it_was_made_of():
    picture = svg(DOOR)

    root = ElementTree.fromstring(picture)
    description = root.find("{http://www.w3.org/2000/svg}desc")
    assert description is not None
    assert fingerprint(dot(DOOR)) in (description.text or "")
    assert fingerprint(dot(DOOR)) != fingerprint(dot())


@needs_graphviz
def test_the_svg_shows_every_label_and_its_reason():
    picture = svg(DOOR)

    for text in ("Push [unlocked", "and has handle]", "/ greet", "/ scream, run away", "wood burns"):
        assert text in picture


@needs_graphviz
def test_names_may_hold_any_character():
    rows = tuple(attrs.evolve(row, sources=("<a&b>",), target='"\\') for row in DOOR.rows)
    states = (State("<a&b>", 'x < "y"'), State('"\\', "]]>"))

    picture = svg(attrs.evolve(DOOR, states=states, rows=rows, groups={}, initial="<a&b>"))

    assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_without_graphviz_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)

    with pytest.raises(ConfigurationError) as caught:
        svg()

    for command in ("apt install graphviz", "brew install graphviz", "dnf install graphviz"):
        assert command in str(caught.value)


def test_a_failure_of_graphviz_is_reported_with_its_words(monkeypatch):
    # Any program that refuses -Tsvg will do.
    monkeypatch.setattr(shutil, "which", lambda program: sys.executable)

    with pytest.raises(ConfigurationError, match="-T"):
        svg()
