"""The live timeline: a line an event, and on a terminal a last line that shows what goes on."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Mapping
from textwrap import wrap
from typing import TextIO

import attrs

from convsm.machine.events import COMMANDS, LOCAL_EVENTS

__all__ = ["COLUMNS", "Timeline", "actor", "bar"]

COLUMNS = 80
# Below this the texts have no room; a narrower terminal wraps.
LEAST_COLUMNS = 60
# Time, state, who and two columns between each.
INDENT = 31

# Foreground colours that are legible on dark and on light.
COLOURS: Mapping[str, str] = {
    "idle": "90",
    "connecting": "33",
    "listening": "32",
    "agent_speaking": "36",
    "interrupted": "31",
    "tool_running": "35",
    "closing": "33",
}

# Who makes an event happen, where its kind does not tell. Of the last ones the agent only reports some, and
# goes on by itself when nobody really cut in.
ACTORS: Mapping[str, str] = {
    "ToolCompleted": "tool",
    "TimerFired": "timer",
    "Interrupt": "user",
    "Interrupted": "user",
    "InterruptionSuspected": "user",
    "InterruptionDismissed": "agent",
    "UserTranscript": "user",
}


def actor(event: str) -> str:
    """Name who makes an event happen: the app, the agent, the user, the sound device, a tool, a timer."""
    if event in ACTORS:
        return ACTORS[event]
    if event in {kind.__name__ for kind in COMMANDS}:
        return "app"
    if event in {kind.__name__ for kind in LOCAL_EVENTS}:
        return "sound"
    return "agent"


def bar(fraction: float, width: int, glyphs: str = "#.") -> str:
    """Draw a bar.

    Args:
        fraction: How full; what is outside 0 to 1 is empty or full.
        width: Columns.
        glyphs: One for full, one for empty.
    """
    full = round(min(max(fraction, 0.0), 1.0) * width)
    return glyphs[0] * full + glyphs[1] * (width - full)


def _legible(text: str) -> str:
    # What a terminal might obey is written as an escape.
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


@attrs.define(eq=False)
class Timeline:
    """Writes lines of at most 80 columns, from any thread.

    Once the stream fails, as when whoever reads has gone, nothing more is written to it.

    Attributes:
        stream: Where to.
        is_coloured: Whether states are coloured.
        is_live: Whether there is a last line that changes; such a stream obeys escape sequences.
        columns: Width of the lines.
        glyphs: Of bars: full, empty.
        fault: What made the stream fail; None while it works.
    """

    stream: TextIO
    is_coloured: bool = attrs.field(default=False, kw_only=True)
    is_live: bool = attrs.field(default=False, kw_only=True)
    columns: int = attrs.field(default=COLUMNS, kw_only=True)
    glyphs: str = attrs.field(default="#.", init=False)
    fault: OSError | None = attrs.field(default=None, init=False)
    _began: float | None = attrs.field(default=None, init=False)
    _latest: float = attrs.field(default=0.0, init=False)
    _state: str = attrs.field(default="idle", init=False)
    _status: str = attrs.field(default="", init=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self._encodable("█░") == "█░":
            self.glyphs = "█░"

    @classmethod
    def on(cls, stream: TextIO) -> Timeline:
        """Make the timeline that suits a stream: live on a terminal, coloured unless NO_COLOR is set."""
        is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        columns = shutil.get_terminal_size().columns if is_terminal else COLUMNS
        return cls(
            stream,
            is_coloured=is_terminal and not os.environ.get("NO_COLOR"),
            is_live=is_terminal,
            columns=max(LEAST_COLUMNS, min(COLUMNS, columns)),
        )

    @property
    def state(self) -> str:
        """The state that was shown last."""
        return self._state

    @property
    def room(self) -> int:
        """How many columns a text on the last line has."""
        # One column stays free: a full line makes some terminals scroll.
        return self.columns - INDENT - 1

    def begin(self, at: float) -> None:
        """Set the zero of the timeline and write the headings.

        Args:
            at: Monotonic seconds.
        """
        self._began = at
        self.text(f"{'time':>6}  {'state':<14}  {'who':<5}  what")

    def add(self, at: float, who: str, what: str, state: str | None = None) -> None:
        """Write a line, or several if it takes them.

        Args:
            at: Monotonic seconds; shown no earlier than the line before.
            who: Who did it, at most five characters.
            what: What happened.
            state: The state that it led to; None if it changed none.
        """
        with self._lock:
            is_change = state is not None
            self._state = state or self._state
            first, *rest = wrap(_legible(what), self.columns - INDENT) or [""]
            # What went on before this line may be over.
            self._status = ""
            head = f"{self._since(at):6.2f}  {self._painted(self._state, is_change)}  {who:<5}  "
            self._write([head + first, *(" " * INDENT + line for line in rest)])

    def text(self, text: str = "") -> None:
        """Write lines as they are, those that are too long wrapped."""
        lines: list[str] = []
        for line in text.split("\n"):
            lines += wrap(_legible(line), self.columns, drop_whitespace=False) or [""]
        with self._lock:
            self._write([line.rstrip() for line in lines])

    def show(self, at: float, who: str, what: str) -> None:
        """Draw the last line anew, if there is one.

        Args:
            at: Monotonic seconds.
            who: Who is at it.
            what: What goes on; cut to the width.
        """
        if not self.is_live:
            return
        with self._lock:
            what = _legible(what)[: self.room]
            self._status = f"{self._since(at):6.2f}  {self._painted(self._state, False)}  {who:<5}  {what}"
            self._write([])

    def finish(self) -> None:
        """Take the last line away."""
        with self._lock:
            self._status = ""
            self._write([])

    def _encodable(self, text: str) -> str:
        encoding = getattr(self.stream, "encoding", None) or "ascii"
        return text.encode(encoding, "replace").decode(encoding)

    def _since(self, at: float) -> float:
        # Lines come from several threads; one that was overtaken takes the time of the one before.
        if self._began is not None:
            self._latest = max(self._latest, at - self._began)
        return self._latest

    def _painted(self, state: str, is_change: bool) -> str:
        text = f"{state:<14}"
        if not self.is_coloured:
            return text
        weight = "1" if is_change else "2"
        return f"\x1b[{weight};{COLOURS.get(state, '39')}m{text}\x1b[0m"

    def _write(self, lines: list[str]) -> None:
        if self.fault is not None:
            return
        output = "".join(f"{line}\n" for line in lines)
        if self.is_live:
            output = f"\r\x1b[K{output}{self._status}"
        if not output:
            return
        try:
            self.stream.write(self._encodable(output))
            self.stream.flush()
        except OSError as error:
            self.fault = error
