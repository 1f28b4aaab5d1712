"""The values a layout is made of, and how wide a text is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import attrs

from convsm.diagram.model import Arrow

__all__ = [
    "LEADING",
    "NAME_SIZE",
    "SMALL_SIZE",
    "TEXT_SIZE",
    "Box",
    "Label",
    "Layout",
    "Line",
    "Point",
    "text_width",
    "wrap",
]

# Points, as all lengths here. Nine is the smallest size that is read without effort at full size.
TEXT_SIZE = 9.0
SMALL_SIZE = 8.0
NAME_SIZE = 12.0
LEADING = 10.5

Point = tuple[float, float]


@attrs.frozen
class Box:
    """A rectangle by its centre and size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        """Left edge."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """Right edge."""
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        """Upper edge."""
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.y + self.height / 2


@attrs.frozen
class Label:
    """The box of an arrow.

    Attributes:
        arrow: The arrow.
        head: Lines with event and guards.
        tail: Lines with effects.
        box: Its place.
    """

    arrow: Arrow
    head: tuple[str, ...]
    tail: tuple[str, ...]
    box: Box


@attrs.frozen
class Line:
    """A curve between the box of an arrow and one of the states or frames that it joins.

    Attributes:
        arrow: The arrow.
        end: Name of the state or frame.
        is_target: Whether it leads to the arrow's target.
        points: From the label outwards: the control points of a piecewise Bézier curve.
        tip: Where it meets the state or frame.
    """

    arrow: Arrow
    end: str
    is_target: bool
    points: tuple[Point, ...]
    tip: Point


@attrs.frozen
class Layout:
    """The whole picture.

    Attributes:
        states: Places of the states.
        frames: Places of the frames.
        labels: Boxes of the arrows.
        lines: All curves.
        width: Width of the picture.
        height: Height of the picture.
    """

    states: Mapping[str, Box]
    frames: Mapping[str, Box]
    labels: tuple[Label, ...]
    lines: tuple[Line, ...]
    width: float
    height: float


def text_width(text: str, size: float, is_bold: bool = False) -> float:
    """Estimate the width of a text from above, so that it fits whatever font the viewer has."""
    total = 0.0
    for character in text:
        total += _ems(character)
    return total * size * (1.13 if is_bold else 1.0)


# Asked a hundred thousand times a picture, of some sixty characters.
@lru_cache(maxsize=1024)
def _ems(character: str) -> float:
    # Of DejaVu Sans, the widest of the fonts that stand in for Helvetica.
    if character in "ijlIJ' ,.|":
        return 0.32
    if character in "frt/:;-[]()":
        return 0.39
    if character in "mMW@%":
        return 1.0
    if character.isupper() or character == "w" or not character.isascii():
        return 0.8
    return 0.63


def wrap(
    pieces: Iterable[str], width: float, size: float = TEXT_SIZE, is_bold: bool = False
) -> tuple[str, ...]:
    """Put pieces into lines of at most ``width``; a piece that is longer has its own line."""
    lines: list[str] = []
    for piece in pieces:
        if lines and text_width(f"{lines[-1]} {piece}", size, is_bold) <= width:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return tuple(lines)
