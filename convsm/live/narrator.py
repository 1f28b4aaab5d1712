"""The narrator: writes a conversation's timeline from its callbacks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from convsm.live.timeline import Timeline, actor
from convsm.machine.effects import StateChanged
from convsm.machine.table import ROWS
from convsm.observation.session_metrics import Measured
from convsm.runtime.wiring import DisconnectionDetails
from convsm.turns.reports import UserStateChanged

__all__ = ["Narrator", "Notes", "notes_on", "reason_of"]


def reason_of(change: StateChanged) -> str:
    """Return why the table has a change of state, in the words of its row."""
    return next(
        (
            row.why
            for row in ROWS
            if row.trigger == change.event and change.source in row.sources and row.target == change.target
        ),
        "",
    )


@attrs.define(eq=False)
class Narrator:
    """Takes a conversation's callbacks, on the callbacks' thread, and shows them.

    Attributes:
        changes: Every change of state.
        ending: How the conversation ended; None before.
        is_over: Set once it has ended.
    """

    _timeline: Timeline
    changes: list[StateChanged] = attrs.field(factory=list, init=False)
    ending: DisconnectionDetails | None = attrs.field(default=None, init=False)
    is_over: threading.Event = attrs.field(factory=threading.Event, init=False)
    _is_undecided: bool = attrs.field(default=False, init=False)

    def tell(self, who: str, what: str) -> None:
        """Show that something happened now; any thread.

        Args:
            who: Who did it, at most five characters.
            what: What happened.
        """
        self._timeline.add(time.monotonic(), who, what)

    def state_change(self, change: StateChanged) -> None:
        """Note and show a change of state with its event and reason."""
        if not self.changes:
            self._timeline.begin(change.at)
        self.changes.append(change)
        self._is_undecided = change.event == "InterruptionSuspected"
        what = f"{change.event}: {reason_of(change)}"
        self._timeline.add(change.at, actor(change.event), what, change.target)

    def measured(self, found: Measured) -> None:
        """Show that a tentative interruption is confirmed: that moves no state."""
        if self._is_undecided and found.measure == "interruption_seconds":
            self._is_undecided = False
            self.tell("user", "interrupts indeed: what was paused is never heard")

    def agent_response(self, text: str) -> None:
        """Show what the agent says."""
        self.tell("agent", f'says "{text}"')

    def correction(self, original: str, corrected: str) -> None:
        """Show what the agent really said."""
        self.tell("agent", f'was heard as far as "{corrected}"')

    def user_transcript(self, text: str) -> None:
        """Show what the user said."""
        self.tell("user", f'said "{text}"')

    def user_state(self, change: UserStateChanged) -> None:
        """Show that the user is away or back; that they speak is for the last line."""
        if "away" in (change.old_state, change.new_state):
            is_away = change.new_state == "away"
            self.tell("user", "is away: nobody has said anything for long" if is_away else "is back")

    def disconnect(self, details: DisconnectionDetails) -> None:
        """Note and show the end."""
        self.ending = details
        code = "" if details.close_code is None else f", close code {details.close_code}"
        message = f": {details.message}" if details.message else ""
        self.tell(details.reason, f"ended the conversation{code}{message}")
        self.is_over.set()


class Notes(logging.Handler):
    """Shows convsm's own warnings as lines of the timeline, instead of strewing them over it."""

    def __init__(self, timeline: Timeline) -> None:
        """Show warnings and worse."""
        super().__init__(logging.WARNING)
        self._timeline = timeline

    def emit(self, record: logging.LogRecord) -> None:
        """Show one."""
        self._timeline.add(time.monotonic(), "note", record.getMessage())


@contextmanager
def notes_on(timeline: Timeline) -> Iterator[None]:
    """Put convsm's warnings on the timeline for a while, and nowhere else."""
    logger, notes = logging.getLogger("convsm"), Notes(timeline)
    propagates = logger.propagate
    logger.addHandler(notes)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = propagates
        logger.removeHandler(notes)
