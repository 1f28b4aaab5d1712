"""Where everything in the SVG stands: states in columns, and between them one box for each arrow.

Graphviz would lay the picture out itself, but it takes no hint about order inside a frame, and a
change of one row moves half of the picture. Here a place follows from the table alone, whatever
the version and the fonts of Graphviz, which only draws. Points are printer's points, y downwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from convsm.diagram.geometry import (
    LEADING,
    NAME_SIZE,
    SMALL_SIZE,
    TEXT_SIZE,
    Box,
    Label,
    Layout,
    Line,
    Point,
    text_width,
    wrap,
)
from convsm.diagram.model import Arrow, Automaton, readable
from convsm.diagram.scheme import Scheme, ends_of
from convsm.machine.rows import State

__all__ = ["arrange", "small_print"]

STATE_WIDTH = 124.0
# Lines bend between a state and the boxes; with less room they get too steep to be told apart.
GAP = 60.0
# Lines to a frame's edge, and lines that enter it, stay straight that far.
STUB = 16.0
MARGIN = 14.0
SPACING = 3.0
# Between lines that meet a state.
PITCH = 11.0
ARROWHEAD = 6.0
# Three lines are read at a glance. The narrowest width at which all texts of a gap fit is taken, and its
# boxes fit on a screen above each other.
LABEL_LINES = 3
LABEL_WIDTHS = range(110, 300, 5)
STACK_HEIGHT = 660.0
PADDING = 12.0

Texts = tuple[tuple[str, ...], tuple[str, ...]]


def arrange(automaton: Automaton) -> Layout:
    """Lay out an automaton.

    Raises:
        ConfigurationError: The columns do not hold every state once, or would put a stranger into a frame.
    """
    return _Arrangement(automaton).layout()


@attrs.frozen
class _Slot:
    """One of the places at a side of a state where a line meets it."""

    height: float
    arrow: Arrow
    is_target: bool


class _Arrangement:
    def __init__(self, automaton: Automaton) -> None:
        self.automaton = automaton
        self.scheme = Scheme(automaton)
        self.height = 0.0
        self.labels = self._stacked_labels()
        self.slots = self._slots()
        self.states: dict[str, Box] = {}
        self.frames: dict[str, Box] = {}
        self.width = self._place()
        self.box = {label.arrow: label.box for label in self.labels}

    def layout(self) -> Layout:
        lines = [self._line(arrow, end, False) for arrow in self.scheme.arrows for end in arrow.sources]
        lines += [self._line(arrow, arrow.target, True) for arrow in self.scheme.arrows]
        return Layout(self.states, self.frames, tuple(self.labels), tuple(lines), self.width, self.height)

    # Heights

    def _stacked_labels(self) -> list[Label]:
        """Wrap the texts and stack the boxes of each gap around the middle; they get their x later."""
        stacks = []
        for gap in sorted(set(self.scheme.gap.values())):
            order = self.scheme.ordered(gap)
            width, texts = _wrapped(order)
            heights = [_height(texts[arrow]) for arrow in order]
            stacks.append(
                [
                    Label(arrow, *texts[arrow], Box(0, 0, width, height))
                    for arrow, height in zip(order, heights, strict=True)
                ]
            )
        tall = [sum(label.box.height + SPACING for label in stack) - SPACING for stack in stacks]
        self.height = max(tall, default=0.0)
        labels = []
        for stack, total in zip(stacks, tall, strict=True):
            y = (self.height - total) / 2
            for label in stack:
                labels.append(attrs.evolve(label, box=attrs.evolve(label.box, y=y + label.box.height / 2)))
                y += label.box.height + SPACING
        return labels

    def _slots(self) -> dict[tuple[str, bool], list[_Slot]]:
        """Collect what meets each side of a state, in the order of the boxes that it comes from."""
        slots: dict[tuple[str, bool], list[_Slot]] = {}
        for label in self.labels:
            arrow = label.arrow
            for index, end in enumerate(ends_of(arrow)):
                if end in self.scheme.column:
                    side = slots.setdefault((end, self.scheme.is_east(arrow, end)), [])
                    side.append(_Slot(label.box.y, arrow, index == len(arrow.sources)))
        for side in slots.values():
            side.sort(key=lambda slot: (slot.height, slot.arrow.number, slot.is_target))
        return slots

    # Places from left to right

    def _place(self) -> float:
        widths = {self.scheme.gap[label.arrow]: label.box.width for label in self.labels}
        spans = self.scheme.span.values()
        stubs = {first - 1 for first, _ in spans}, {last for _, last in spans}
        middle: dict[int, float] = {}
        edges: list[dict[int, float]] = [{}, {}]
        x = 0.0
        count = len(self.scheme.columns)
        for gap in range(-1, count):
            room = GAP if gap in widths else 0.0
            if gap >= 0:
                self._stack_states(gap, x + STATE_WIDTH / 2)
                x += STATE_WIDTH
                edges[1][gap] = x + (room or MARGIN)
                x += room + (STUB if gap in stubs[1] else 0.0)
            middle[gap] = x + widths.get(gap, 0.0) / 2
            x += widths.get(gap, GAP if 0 <= gap < count - 1 else 0.0)
            if gap < count - 1:
                x += room + (STUB if gap in stubs[0] else 0.0)
                edges[0][gap + 1] = x - (room or MARGIN)
        self.labels = [
            attrs.evolve(label, box=attrs.evolve(label.box, x=middle[self.scheme.gap[label.arrow]]))
            for label in self.labels
        ]
        self.height = max(self.height, *(box.bottom for box in self.states.values()))
        for name, (first, last) in self.scheme.span.items():
            left, right = edges[0][first], edges[1][last]
            # Twice the margin above, for the frame's title.
            top, bottom = -2 * MARGIN, self.height + MARGIN
            self.frames[name] = Box((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
        return x

    def _stack_states(self, column: int, x: float) -> None:
        """Put the states of a column near their boxes, in order and without overlap."""
        names = self.scheme.columns[column]
        boxes: list[Box] = []
        for name in names:
            sides = [self.slots.get((name, is_east), []) for is_east in (False, True)]
            tall = max(self._text_height(name), PITCH * max(map(len, sides)) + 8)
            near = [slot.height for side in sides for slot in side] or [self.height * self.scheme.rank[name]]
            above = boxes[-1].bottom + MARGIN if boxes else 0.0
            boxes.append(Box(x, max(sum(near) / len(near), above + tall / 2), STATE_WIDTH, tall))
        # What was pushed out below pushes back.
        below = max(self.height, sum(box.height + MARGIN for box in boxes) - MARGIN)
        for index in reversed(range(len(boxes))):
            box = boxes[index]
            boxes[index] = attrs.evolve(box, y=min(box.y, below - box.height / 2))
            below = boxes[index].top - MARGIN
        self.states.update(zip(names, boxes, strict=True))

    def _text_height(self, name: str) -> float:
        state = next(state for state in self.automaton.states if state.name == name)
        return NAME_SIZE + 1.2 * SMALL_SIZE * sum(map(len, small_print(state))) + 18

    # Lines

    def _line(self, arrow: Arrow, end: str, is_target: bool) -> Line:
        box = self.box[arrow]
        is_east = self.scheme.is_east(arrow, end)
        x = box.right if is_east else box.left
        if end in self.frames:
            frame = self.frames[end]
            tip = (frame.left if is_east else frame.right, box.y)
            return Line(arrow, end, is_target, ((x, box.y), tip, tip, tip), tip)
        state = self.states[end]
        side = [(slot.arrow, slot.is_target) for slot in self.slots[end, is_east]]
        pitch = min(PITCH, (state.height - 8) / len(side))
        tip = (
            state.left if is_east else state.right,
            state.y + _offset(side.index((arrow, is_target)), len(side)) * pitch,
        )
        # The lines of one side of a box leave it in the order of the states that they go to.
        ports = [
            (self.states[source].y, False)
            for source in arrow.sources
            if self._is_beside(arrow, source, is_east)
        ]
        ports += (
            [(self.states[arrow.target].y, True)] if self._is_beside(arrow, arrow.target, is_east) else []
        )
        place = sorted(ports).index((state.y, is_target))
        port = (x, box.y + _offset(place, len(ports)) * min(SPACING, box.height / len(ports)))
        return Line(arrow, end, is_target, _curve(port, tip, is_target), tip)

    def _is_beside(self, arrow: Arrow, end: str, is_east: bool) -> bool:
        return end in self.states and self.scheme.is_east(arrow, end) == is_east


def _offset(place: int, count: int) -> float:
    return place - (count - 1) / 2


def _curve(port: Point, tip: Point, is_target: bool) -> tuple[Point, ...]:
    """Go straight from a box and bend only next to the state, where no other box is in the way."""
    sign = 1.0 if tip[0] > port[0] else -1.0
    end = (tip[0] - sign * (ARROWHEAD if is_target else 0.0), tip[1])
    start = (tip[0] - sign * GAP, port[1])
    reach = (end[0] - start[0]) * 0.55
    return (port, start, start, start, (start[0] + reach, start[1]), (end[0] - reach, end[1]), end)


def small_print(state: State) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the lines under a state's name: what it means, and what is done when it is left."""
    room = STATE_WIDTH - MARGIN
    leaving = [line for name in state.on_leave for line in wrap(_leaving(name), room, SMALL_SIZE)]
    return wrap(state.meaning.split(), room, SMALL_SIZE), tuple(leaving)


def _leaving(name: str) -> tuple[str, ...]:
    return ("leave /", *readable(name).split())


def _wrapped(here: Sequence[Arrow]) -> tuple[float, Mapping[Arrow, Texts]]:
    """Wrap the texts of a gap at the narrowest width at which none needs more than three lines.

    A gap with many boxes gets wider ones if that saves lines enough for the screen.
    """
    narrowest: tuple[float, Mapping[Arrow, Texts]] | None = None
    for width in LABEL_WIDTHS:
        room = width - PADDING
        texts = {arrow: (wrap(arrow.head(), room, is_bold=True), wrap(arrow.tail(), room)) for arrow in here}
        if all(_fits(text, room) for text in texts.values()):
            narrowest = narrowest or (float(width), texts)
            if sum(_height(text) + SPACING for text in texts.values()) - SPACING <= STACK_HEIGHT:
                return float(width), texts
    return narrowest or (float(width), texts)


def _height(text: Texts) -> float:
    return LEADING * sum(map(len, text)) + 7.5


def _fits(text: Texts, room: float) -> bool:
    head, tail = text
    widths: Iterable[float] = (
        *(text_width(line, TEXT_SIZE, is_bold=True) for line in head),
        *(text_width(line, TEXT_SIZE) for line in tail),
    )
    return max(widths) <= room and len(head) + len(tail) <= LABEL_LINES
