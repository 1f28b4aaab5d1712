"""What all events have in common."""

from __future__ import annotations

import attrs

__all__ = ["Event", "stamp"]


@attrs.frozen
class Event:
    """Base of all events.

    Attributes:
        at: When the driver took the event in, in seconds of its monotonic clock.
    """

    at: float = attrs.field(default=0.0, kw_only=True)


def stamp(event: Event, at: float) -> None:
    """Set the time of an event that nobody else has seen yet (only the driver does this)."""
    object.__setattr__(event, "at", at)
