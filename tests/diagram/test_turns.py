"""The picture of user and turn: every row that changes their state, about as large as a wide screen."""

from __future__ import annotations

from convsm.diagram import inspect, matrix, mermaid
from convsm.diagram.layout import LABEL_LINES, arrange
from convsm.diagram.model import arrows, inputs
from convsm.diagram.turns import TURNS
from convsm.turns.events import EVENTS

PIXEL = 72 / 96


def test_it_is_hardly_larger_than_a_wide_screen():
    layout = arrange(TURNS)
    assert layout.width <= 2060 * PIXEL
    assert max(frame.height for frame in layout.frames.values()) <= 1080 * PIXEL
    for label in layout.labels:
        assert len(label.head) + len(label.tail) <= LABEL_LINES


def test_every_event_is_shown_with_its_kind_and_meaning():
    assert [event.name for event in inputs(TURNS)] == list(EVENTS)
    assert all(event.meaning for event in inputs(TURNS))
    assert {event.name for event in inputs(TURNS) if event.kind == "command"} == {
        "StartUserTurn",
        "CommitUserTurn",
        "ClearUserTurn",
        "CancelUserTurn",
        "InterruptAgent",
        "RequestAgentReply",
        "TakeFloor",
        "TurnHandlingChanged",
    }


def test_documents_explain_all_of_it():
    assert all(TURNS.glossary.values())
    assert len(arrows(TURNS)) == sum(row.target is not None for row in TURNS.rows)
    text = matrix(TURNS)
    assert all(row.why in text for row in TURNS.rows)
    assert "| refused" not in text.partition("## States")[0].partition("| event |")[2]
    assert 'state "endpointing' in mermaid(TURNS)
    assert "endpointing" in inspect("endpointing", TURNS)
