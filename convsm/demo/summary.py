"""The table that closes the demo: time in each state, how fast silence came, what went over the wire."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from textwrap import wrap

import attrs

from convsm.demo.observing import Traffic
from convsm.demo.timeline import COLUMNS, bar
from convsm.demo.witness import Interruption
from convsm.machine.effects import StateChanged
from convsm.machine.table import INITIAL, STATES

__all__ = ["Summary", "seconds_in_states"]

LABEL_COLUMNS = 16
BAR_COLUMNS = 30


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
        interruption: How quickly the agent fell silent; None if it was not interrupted.
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
            from_agent, from_event = (
                f"{1e3 * seconds:.2f} ms"
                for seconds in (self.interruption.from_agent, self.interruption.from_event)
            )
            lines += [
                *_labelled("interruption", f"silent {from_agent} after the agent began to send the message,"),
                *_labelled("", f"{from_event} after it was taken in (a WAV file falls silent at once;"),
                *_labelled("", "a sound card adds the buffer that it has in hand)"),
            ]
        lines += _labelled("messages", f"{traffic.messages_in:,} in, {traffic.messages_out:,} out")
        lines += _labelled(
            "bytes", f"{traffic.bytes_in:,} in, {traffic.bytes_out:,} out (payload of the messages)"
        )
        for label, path in self.files:
            lines += _labelled(label, path)
        return lines


def _labelled(label: str, text: str) -> list[str]:
    first, *rest = wrap(text, COLUMNS - LABEL_COLUMNS)
    return [f"{label:<{LABEL_COLUMNS}}{first}", *(" " * LABEL_COLUMNS + line for line in rest)]
