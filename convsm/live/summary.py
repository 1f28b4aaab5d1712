"""The table that closes a conversation: time in each state, how fast silence came, what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import attrs

from convsm.live.timeline import COLUMNS, bar
from convsm.machine.table import INITIAL, STATES
from convsm.observation.session_metrics import SessionMetrics

__all__ = ["Interruption", "Summary"]

LABEL_COLUMNS = 16
BAR_COLUMNS = 30


@attrs.frozen
class Interruption:
    """How quickly the loudspeaker was told to be silent, in seconds.

    Attributes:
        from_event: From the moment at which the conversation took the interruption in, or suspected it.
        from_agent: From the moment before the agent sent it; negative if the user was heard on this machine
            and the agent silent before that; None if the user interrupted.
    """

    from_event: float
    from_agent: float | None


@attrs.frozen
class Summary:
    """What is told at the end.

    Attributes:
        metrics: What was measured of the session.
        interruption: How quickly the agent was silenced; None if that was not measured.
        files: What was written where: label and path.
    """

    metrics: SessionMetrics
    interruption: Interruption | None
    files: Sequence[tuple[str, str]] = ()

    def text(self, glyphs: str = "#.") -> str:
        """Return it as lines.

        Args:
            glyphs: Of bars: full, empty.
        """
        return "\n".join([*self._state_lines(glyphs[0]), "", *self._other_lines()])

    def _state_lines(self, glyph: str) -> list[str]:
        # Before and after it is idle, which has no length.
        names = [state.name for state in STATES if state.name != INITIAL]
        seconds = {name: self.metrics.seconds_in.get(name, 0.0) for name in names}
        total = sum(seconds.values())
        longest = max(seconds.values()) or 1.0
        lines = [f"{'state':<{LABEL_COLUMNS}}{'seconds':>8}{'share':>8}"]
        for name, value in seconds.items():
            share = f"{value / total if total else 0:.0%}"
            gauge = bar(value / longest, BAR_COLUMNS, glyph + " ")
            lines.append(f"{name:<{LABEL_COLUMNS}}{value:>8.2f}{share:>8}  {gauge}".rstrip())
        return [*lines, f"{'in all':<{LABEL_COLUMNS}}{total:>8.2f}"]

    def _other_lines(self) -> list[str]:
        metrics, lines = self.metrics, list[str]()
        if self.interruption is not None:
            lines += _labelled("silenced", _told(self.interruption))
        if metrics.false_interruptions:
            told = f"{metrics.interruptions} in all, and {metrics.false_interruptions} that only paused"
            lines += _labelled("interruptions", told)
        lines += _labelled("messages", f"{metrics.messages_received:,} in, {metrics.messages_sent:,} out")
        lines += _labelled(
            "bytes",
            f"{metrics.bytes_received:,} in, {metrics.bytes_sent:,} out (payload of the messages)",
        )
        for label, path in self.files:
            lines += _labelled(label, path)
        return lines


def _told(interruption: Interruption) -> str:
    milliseconds, from_agent = f"{1e3 * interruption.from_event:.2f} ms", interruption.from_agent
    card = "5 ms"
    if from_agent is None:
        told = f"{milliseconds} after it was taken in"
    elif from_agent < 0:
        told = f"{milliseconds} after it was suspected, {-from_agent:.2f} s before the agent said so"
        card = "65 ms"
    else:
        told = (
            f"{1e3 * from_agent:.2f} ms after the agent began to send the message, {milliseconds} after it "
            "was taken in"
        )
    return f"{told} (a WAV file is silent at once, a sound card in some {card})"


def _labelled(label: str, text: str) -> list[str]:
    first, *rest = wrap(text, COLUMNS - LABEL_COLUMNS)
    return [f"{label:<{LABEL_COLUMNS}}{first}", *(" " * LABEL_COLUMNS + line for line in rest)]
