from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest
from hypothesis import given

from convsm.diagram.geometry import TEXT_SIZE, Box, Layout, Line, text_width, wrap
from convsm.diagram.layout import LABEL_LINES, arrange
from convsm.diagram.model import CONVERSATION, drawn_frames
from convsm.errors import ConfigurationError
from tests.diagram.helpers import DOOR, automata

PIXEL = 72 / 96


def all_boxes(layout: Layout) -> list[Box]:
    return [*layout.states.values(), *(label.box for label in layout.labels)]


def overlap(one: Box, other: Box) -> bool:
    return (
        one.left < other.right
        and other.left < one.right
        and one.top < other.bottom
        and other.top < one.bottom
    )


def encloses(outer: Box, inner: Box) -> bool:
    return (
        outer.left <= inner.left
        and inner.right <= outer.right
        and outer.top <= inner.top
        and inner.bottom <= outer.bottom
    )


def along(line: Line) -> Iterator[tuple[float, float]]:
    """Walk a piecewise cubic Bézier curve."""
    for start in range(0, len(line.points) - 1, 3):
        corners = line.points[start : start + 4]
        for step in range(41):
            t = step / 40
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            x, y = (
                sum(weight * corner[axis] for weight, corner in zip(weights, corners, strict=True))
                for axis in (0, 1)
            )
            yield x, y


@given(automata())
def test_no_box_covers_another(automaton):
    boxes = all_boxes(arrange(automaton))

    assert [
        (one, other) for index, one in enumerate(boxes) for other in boxes[index + 1 :] if overlap(one, other)
    ] == []


@given(automata())
def test_every_row_has_one_arrow_and_a_line_from_each_source(automaton):
    layout = arrange(automaton)

    for label in layout.labels:
        lines = [line for line in layout.lines if line.arrow is label.arrow]
        assert [line.end for line in lines if line.is_target] == [label.arrow.target]
        assert [line.end for line in lines if not line.is_target] == list(label.arrow.sources)


@given(automata())
def test_every_line_runs_from_the_edge_of_its_box_to_the_edge_of_its_state(automaton):
    layout = arrange(automaton)
    box_of = {label.arrow: label.box for label in layout.labels}

    for line in layout.lines:
        box = box_of[line.arrow]
        end = layout.frames.get(line.end) or layout.states[line.end]
        x, y = line.points[0]
        assert x in (box.left, box.right)
        assert box.top <= y <= box.bottom
        assert line.tip[0] in (pytest.approx(end.left), pytest.approx(end.right))
        assert end.top <= line.tip[1] <= end.bottom


@given(automata())
def test_no_two_lines_meet_a_state_at_one_place(automaton):
    layout = arrange(automaton)
    tips = [line.tip for line in layout.lines if line.end in layout.states]

    assert len(tips) == len(set(tips))


@given(automata())
def test_a_frame_encloses_its_states_and_no_other(automaton):
    layout = arrange(automaton)

    for name, members in drawn_frames(automaton).items():
        frame = layout.frames[name]
        assert {state for state, box in layout.states.items() if encloses(frame, box)} == set(members)
        assert {state for state, box in layout.states.items() if overlap(frame, box)} == set(members)


@given(automata())
def test_the_same_table_gives_the_same_picture(automaton):
    assert arrange(automaton) == arrange(attrs.evolve(automaton))


def test_the_conversation_fits_one_screen():
    layout = arrange(CONVERSATION)

    # 1600 by 1000 pixels, less what the legend takes.
    assert layout.width <= 1600 * PIXEL
    assert max(frame.height for frame in layout.frames.values()) <= 940 * PIXEL


def test_no_label_of_the_conversation_needs_more_than_three_lines():
    for label in arrange(CONVERSATION).labels:
        assert len(label.head) + len(label.tail) <= LABEL_LINES


def test_no_line_of_the_conversation_runs_through_a_box():
    layout = arrange(CONVERSATION)
    boxes = [
        (box, attrs.evolve(box, width=box.width - 2, height=box.height - 2)) for box in all_boxes(layout)
    ]

    hidden = [
        (line.arrow.trigger, line.end)
        for line in layout.lines
        for _, inner in boxes
        if any(inner.left < x < inner.right and inner.top < y < inner.bottom for x, y in along(line))
    ]

    assert hidden == []


def test_columns_must_hold_every_state_once():
    with pytest.raises(ConfigurationError, match="every state"):
        arrange(attrs.evolve(DOOR, columns=(("shut", "open"), ("ajar",))))


@pytest.mark.parametrize(
    "columns",
    [
        (("shut", "open"), ("ajar",), ("gone",)),
        (("open",), ("shut",), ("ajar",), ("gone",)),
    ],
)
def test_columns_must_not_put_a_stranger_into_a_frame(columns):
    with pytest.raises(ConfigurationError, match="'inside'"):
        arrange(attrs.evolve(DOOR, columns=columns))


def test_columns_are_taken_as_they_are_given():
    layout = arrange(attrs.evolve(DOOR, columns=(("gone",), ("ajar", "open"), ("shut",))))

    states = layout.states
    assert states["gone"].x < states["ajar"].x == states["open"].x < states["shut"].x
    assert states["ajar"].y < states["open"].y


def test_a_text_that_fits_nowhere_still_gets_a_box():
    rows = (attrs.evolve(DOOR.rows[0], do=tuple(f"sing_song_number_{number}" for number in range(40))),)

    layout = arrange(attrs.evolve(DOOR, rows=rows))

    assert len(layout.labels[0].tail) > LABEL_LINES


def test_pieces_are_wrapped_but_never_broken():
    pieces = ("one", "two", "a piece that is longer than a line", "three")

    assert wrap(pieces, text_width("one two", TEXT_SIZE)) == ("one two", pieces[2], "three")


def test_bold_text_and_wide_letters_need_more_room():
    assert text_width("ill", 9) < text_width("all", 9) < text_width("ALL", 9) < text_width("MMM", 9)
    assert text_width("all", 9) < text_width("all", 9, is_bold=True)
    assert text_width("all", 18) == pytest.approx(2 * text_width("all", 9))
