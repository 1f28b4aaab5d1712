"""The table that closes a conversation: time in each state, how fast silence came, what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from textwrap import wrap

import attrs

from convsm.live.observing import Traffic
from convsm.live.timeline import COLUMNS, bar
from convsm.machine.effects import StateChanged
from convsm.machine.table import INITIAL, STATES

__all__ = ["Interruption", "Summary", "seconds_in_states"]

LABEL_COLUMNS = 16
BAR_COLUMNS = 30


@attrs.frozen
class Interruption:
    """How quickly the loudspeaker was told to be silent, in seconds.

    Attributes:
        from_event: From the moment at which the conversation took the interruption in.
        from_agent: From the moment before the agent sent it; None if the user interrupted.
    """

    from_event: float
    from_agent: float | None


def seconds_in_states(changes: Sequence[StateChanged]) -> dict[str, float]:
    """Return how long each state lasted, from the first change to the last; in the table's order.

    Args:
        changes: Every change of one session, in order.
    """
    seconds = {state.name: 0.0 for state in STATES}
    for entered, left in pairwise(changes):
        seconds[entered.target] += left.at - entered.at
    return seconds


@attrs.frozen
class Summary:
    """What is told at the end.

    Attributes:
        changes: Every change of state.
        interruption: How quickly the agent was silenced; None if that was not measured.
        traffic: What went over the connection.
        files: What was written where: label and path.
    """

    changes: Sequence[StateChanged]
    interruption: Interruption | None
    traffic: Traffic
    files: Sequence[tuple[str, str]] = ()

    def text(self, glyphs: str = "#.") -> str:
        """Return it as lines.

        Args:
            glyphs: Of bars: full, empty.
        """
        return "\n".join([*self._state_lines(glyphs[0]), "", *self._other_lines()])

    def _state_lines(self, glyph: str) -> list[str]:
        seconds = seconds_in_states(self.changes)
        total = sum(seconds.values())
        longest = max(seconds.values()) or 1.0
        lines = [f"{'state':<{LABEL_COLUMNS}}{'seconds':>8}{'share':>8}"]
        for name, value in seconds.items():
            if name == INITIAL:
                continue  # before and after: it has no length
            share = f"{value / total if total else 0:.0%}"
            gauge = bar(value / longest, BAR_COLUMNS, glyph + " ")
            lines.append(f"{name:<{LABEL_COLUMNS}}{value:>8.2f}{share:>8}  {gauge}".rstrip())
        return [*lines, f"{'in all':<{LABEL_COLUMNS}}{total:>8.2f}"]

    def _other_lines(self) -> list[str]:
        traffic, lines = self.traffic, list[str]()
        if self.interruption is not None:
            lines += _labelled("interruption", _told(self.interruption))
        lines += _labelled("messages", f"{traffic.messages_in:,} in, {traffic.messages_out:,} out")
        lines += _labelled(
            "bytes", f"{traffic.bytes_in:,} in, {traffic.bytes_out:,} out (payload of the messages)"
        )
        for label, path in self.files:
            lines += _labelled(label, path)
        return lines


def _told(interruption: Interruption) -> str:
    taken = f"{1e3 * interruption.from_event:.2f} ms after it was taken in"
    if interruption.from_agent is not None:
        taken = f"{1e3 * interruption.from_agent:.2f} ms after the agent began to send the message, {taken}"
    return f"silenced {taken} (a WAV file is silent at once, a sound card in some 5 ms)"


def _labelled(label: str, text: str) -> list[str]:
    first, *rest = wrap(text, COLUMNS - LABEL_COLUMNS)
    return [f"{label:<{LABEL_COLUMNS}}{first}", *(" " * LABEL_COLUMNS + line for line in rest)]
