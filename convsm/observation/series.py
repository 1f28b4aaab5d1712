"""Measured values, one after another: counted whole, the last of them kept."""

from __future__ import annotations

from statistics import median

import attrs

__all__ = ["Series", "SeriesCollector"]

# Values that are kept; a longer session keeps its last ones, and count and total of all.
_KEPT = 1000


@attrs.frozen
class Series:
    """What was measured so far of one thing, in the unit that the field's name says.

    Attributes:
        count: How many values there were.
        total: Their sum.
        longest: The greatest of them; None while there is none.
        values: The last 1,000 of them, in order.
    """

    count: int = 0
    total: float = 0.0
    longest: float | None = None
    values: tuple[float, ...] = ()

    @property
    def last(self) -> float | None:
        """The newest value; None while there is none."""
        return self.values[-1] if self.values else None

    @property
    def mean(self) -> float | None:
        """The mean of all values; None while there is none."""
        return self.total / self.count if self.count else None

    @property
    def median(self) -> float | None:
        """The median of the values that are kept; None while there is none."""
        return median(self.values) if self.values else None

    def as_dict(self) -> dict[str, object]:
        """Return everything as data that JSON can say."""
        return {
            "count": self.count,
            "total": self.total,
            "last": self.last,
            "mean": self.mean,
            "median": self.median,
            "longest": self.longest,
            "values": list(self.values),
        }


class SeriesCollector:
    """Gathers one series. One thread at a time may add, any may take a snapshot."""

    __slots__ = ("_count", "_longest", "_total", "_values")

    def __init__(self) -> None:
        self._count = 0
        self._total = 0.0
        self._longest: float | None = None
        self._values: list[float] = []

    def add(self, value: float) -> None:
        """Add one value."""
        self._count += 1
        self._total += value
        if self._longest is None or value > self._longest:
            self._longest = value
        self._values.append(value)
        if len(self._values) >= 2 * _KEPT:
            del self._values[:-_KEPT]

    def snapshot(self) -> Series:
        """Return the series as it is now."""
        return Series(self._count, self._total, self._longest, tuple(self._values[-_KEPT:]))
