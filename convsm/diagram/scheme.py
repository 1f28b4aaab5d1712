"""Which column a state stands in, which gap between columns an arrow's box, and in what order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import groupby

from convsm.diagram.model import Arrow, Automaton, arrows, drawn_frames
from convsm.errors import ConfigurationError

__all__ = ["Scheme", "ends_of"]


class Scheme:
    """The places of everything relative to each other, without any measure.

    Attributes:
        arrows: The arrows.
        frames: The framed groups.
        columns: The states of each column, top to bottom.
        column: Index of each state's column.
        span: Indices of the first and the last column of each frame.
        rank: Rough height of each state as a fraction of the picture.
        gap: The gap in which each arrow's box stands; gap 0 is behind column 0, gap -1 before it.
    """

    def __init__(self, automaton: Automaton) -> None:
        self.arrows = arrows(automaton)
        self.frames = drawn_frames(automaton)
        self.columns = _columns(automaton, self.frames, self.arrows)
        self.column = {name: index for index, names in enumerate(self.columns) for name in names}
        self.span = {
            name: (min(map(self.column.__getitem__, members)), max(map(self.column.__getitem__, members)))
            for name, members in self.frames.items()
        }
        self.rank = {
            name: (row + 0.5) / len(names) for names in self.columns for row, name in enumerate(names)
        }
        self.gap = {arrow: self._gap(arrow) for arrow in self.arrows}

    def is_east(self, arrow: Arrow, end: str) -> bool:
        """Whether a state or frame lies to the right of the arrow's box."""
        first = self.span[end][0] if end in self.frames else self.column[end]
        return first > self.gap[arrow]

    def ordered(self, gap: int) -> list[Arrow]:
        """Return the arrows of a gap, top to bottom, so that few of their lines cross."""
        here = [arrow for arrow in self.arrows if self.gap[arrow] == gap]
        rank = {**self.rank, **dict.fromkeys(self.frames, 0.5)}
        mean = {arrow: sum(rank[end] for end in ends_of(arrow)) / len(ends_of(arrow)) for arrow in here}
        # Lines to a frame end beside their box and cross nothing.
        ends = {
            arrow: [(self.is_east(arrow, end), self.rank[end]) for end in ends_of(arrow) if end in self.rank]
            for arrow in here
        }
        order = sorted(here, key=lambda arrow: (mean[arrow], arrow.number))
        # Sifting: each arrow in turn goes where it crosses least, until none wants to move.
        fewest = _crossings(order, ends)
        is_moving = True
        while is_moving:
            is_moving = False
            for arrow in here:
                rest = [other for other in order if other is not arrow]
                for place in range(len(here)):
                    tried = [*rest[:place], arrow, *rest[place:]]
                    crossings = _crossings(tried, ends)
                    if crossings < fewest:
                        order, fewest, is_moving = tried, crossings, True
        return order

    def _gap(self, arrow: Arrow) -> int:
        target = self.column[arrow.target]
        for source in arrow.sources:
            if source in self.frames:
                first, last = self.span[source]
                return last if target > last else first - 1
        around = [target, *(self.column[source] for source in arrow.sources)]
        first, last = min(around), max(around)
        if first < last:
            return last - 1 if target == last else first
        # A loop goes where both columns belong to the same frame, else to the right.
        sides = [gap for gap in (first, first - 1) if 0 <= gap < len(self.columns) - 1]
        homely = [gap for gap in sides if self._frame_at(gap) == self._frame_at(gap + 1)]
        return (*homely, *sides, first)[0]

    def _frame_at(self, column: int) -> str | None:
        return next((name for name, (first, last) in self.span.items() if first <= column <= last), None)


def ends_of(arrow: Arrow) -> tuple[str, ...]:
    """Return all states and frames that an arrow joins."""
    return (*arrow.sources, arrow.target)


def _crossings(order: Sequence[Arrow], ends: Mapping[Arrow, Sequence[tuple[bool, float]]]) -> int:
    """Count the pairs of lines that cross on their way to the states of one side."""
    crossings = 0
    # The ranks so far, sorted: the next line crosses those that end below it.
    above: tuple[list[float], list[float]] = ([], [])
    for arrow in order:
        for side, rank in ends[arrow]:
            ranks = above[side]
            place = bisect_right(ranks, rank)
            crossings += len(ranks) - place
            ranks.insert(place, rank)
    return crossings


def _columns(
    automaton: Automaton, frames: Mapping[str, tuple[str, ...]], drawn: Sequence[Arrow]
) -> tuple[tuple[str, ...], ...]:
    names = [state.name for state in automaton.states]
    if automaton.columns:
        _require_columns(automaton.columns, names, frames)
        return automaton.columns
    depth = {automaton.initial: 0}
    frontier = [automaton.initial]
    for name in frontier:
        for arrow in drawn:
            members = {member for source in arrow.sources for member in frames.get(source, (source,))}
            if name in members and arrow.target not in depth:
                depth[arrow.target] = depth[name] + 1
                frontier.append(arrow.target)
    # A frame keeps its columns together, so that nobody else stands in it.
    last = max(depth.values()) + 1
    level = {name: depth.get(name, last) for name in names}
    begin = {frame: min(level[member] for member in members) for frame, members in frames.items()}
    frame_of = {member: frame for frame, members in frames.items() for member in members}

    def key(name: str) -> tuple[int, str, int]:
        frame = frame_of.get(name, "")
        return (begin.get(frame, level[name]), frame, level[name])

    return tuple(tuple(column) for _, column in groupby(sorted(names, key=key), key))


def _require_columns(
    columns: tuple[tuple[str, ...], ...], names: Sequence[str], frames: Mapping[str, tuple[str, ...]]
) -> None:
    if sorted(names) != sorted(name for column in columns for name in column):
        raise ConfigurationError("the columns of a picture must hold every state of the automaton once")
    for frame, members in frames.items():
        own = [index for index, column in enumerate(columns) if not set(column).isdisjoint(members)]
        inside = [name for column in columns[own[0] : own[-1] + 1] for name in column]
        if sorted(inside) != sorted(members):
            raise ConfigurationError(
                f"the states of the group {frame!r} need columns of their own, side by side"
            )
