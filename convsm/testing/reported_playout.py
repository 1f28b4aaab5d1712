"""The part of the world's contract about what the loudspeaker reports, and what a pause leaves to report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from convsm.machine.events import Event, Played

if TYPE_CHECKING:
    from convsm.testing.world import World

__all__ = ["may_report"]

# How far behind the last Play a report is still offered: enough for every order of two late reports.
_REPORTS_BEHIND = 3


def may_report(world: World) -> Sequence[Event]:
    """Return what the loudspeaker may report now; behind a pause, the piece that it held is the last."""
    # A report may repeat the former one: nothing new was heard meanwhile.
    first = max(world.reported, world.handed - _REPORTS_BEHIND, 1)
    last = world.handed if world.paused_at is None else min(world.handed, world.paused_at + 1)
    whole = [Played(number) for number in range(first, last + 1)]
    if not world.asks_replies or world.reported >= last:
        return whole
    return [*whole, Played(world.reported, 1)]
