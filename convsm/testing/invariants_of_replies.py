"""The invariants of servers that reply only when asked and want to know what was heard."""

from __future__ import annotations

import attrs

from convsm.machine import effects as asked
from convsm.machine import events as came
from convsm.machine.effects import RequestReply
from convsm.testing.observation import (
    LIVE,
    OPEN,
    Invariant,
    ObservedStep,
    cut_by,
    is_cut_by_us,
    is_overflowing,
    is_superseding,
    is_undecided,
)

__all__ = ["CutSpeechIsReported", "RepliesAreAskedForOnce"]


@attrs.define
class RepliesAreAskedForOnce(Invariant):
    """A server that generates one response at a time is asked for one at a time."""

    number = 13
    sentence = (
        "Where replies have to be asked for, no reply is asked for while one is generated or was asked "
        "for, while the agent waits for a tool's result, or while an interruption is undecided."
    )
    is_running: bool = False
    is_asked: bool = False

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        if step.before.state in LIVE:
            self._follow(step.event)
        if not step.before.options.asks_replies:
            return
        for effect in step.effects:
            if isinstance(effect, asked.Transmit) and isinstance(effect.message, RequestReply):
                if self.is_running or self.is_asked:
                    self.fail(step, "another one was not over")
                if any(step.after.calls.values()):
                    self.fail(step, "a tool's result was awaited")
                if is_undecided(step.after):
                    self.fail(step, "it would end a turn that may be resumed")
                self.is_asked = True

    def _follow(self, event: came.Event) -> None:
        if isinstance(event, came.ResponseStarted):
            self.is_running, self.is_asked = True, False
        elif isinstance(event, came.ResponseEnded):
            self.is_running = self.is_asked = False
        elif isinstance(event, came.ResponseRefused):
            self.is_asked = False


@attrs.define
class CutSpeechIsReported(Invariant):
    """Whoever keeps the conversation on the server learns what the user did not hear of it."""

    number = 14
    sentence = (
        "Of every item that is cut the server is told once how much was heard, and of one that comes "
        "too late that nothing was; nothing else is told."
    )
    # Number, item and bytes of all that was handed over since the last cut.
    plays: tuple[tuple[int, str | None, int], ...] = ()
    latest: str | None = None
    handed: int = 0
    is_lost: bool = False
    heard: int = 0
    beyond: int = 0
    fresh_from: int | None = None
    is_running: bool = False
    is_asked: bool = False

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        event, before = step.event, step.before
        if before.state in LIVE:
            self._follow(event)
        due: list[tuple[str, int]] = []
        cut = cut_by(step)
        if cut is not None or is_cut_by_us(step):
            if isinstance(event, came.AgentAudio) and is_overflowing(step):
                self._take(event, self.handed + 1)
            due = self._cut(is_complete=is_superseding(step))
            self.plays, self.heard, self.beyond = (), self.handed, 0
            if cut is not None:
                self.fresh_from = cut if self.fresh_from is None else max(cut, self.fresh_from)
        elif isinstance(event, came.AgentAudio) and before.state in OPEN:
            is_stale = self.fresh_from is not None and event.turn < self.fresh_from
            if is_stale and event.item is not None and event.item != self.latest:
                self.latest, due = event.item, [(event.item, 0)]
        messages = [effect.message for effect in step.effects if isinstance(effect, asked.Transmit)]
        told = [(one.item, one.audio_bytes) for one in messages if isinstance(one, asked.ItemHeard)]
        if sorted(told) != sorted(due):
            self.fail(step, f"{due} was to be told")
        for effect in step.effects:
            if isinstance(effect, asked.Play) and isinstance(event, came.AgentAudio):
                self._take(event, effect.number)
                self.handed = effect.number
        is_request = any(isinstance(one, asked.RequestReply) for one in messages)
        self.is_asked = self.is_asked or (is_request and before.options.asks_replies)

    def _follow(self, event: came.Event) -> None:
        if isinstance(event, came.Played):
            if self.heard < event.through <= self.handed and not self.is_lost:
                is_all = event.through == self.handed
                self.heard, self.beyond = event.through, 0 if is_all else event.beyond
            elif event.through == self.heard < self.handed and not self.is_lost:
                self.beyond = max(self.beyond, event.beyond)
        elif isinstance(event, came.ResponseStarted):
            self.is_running, self.is_asked = True, False
        elif isinstance(event, came.ResponseEnded):
            self.is_running = self.is_asked = False
        elif isinstance(event, came.ResponseRefused):
            self.is_asked = False
        elif isinstance(event, came.AudioFailed):
            self.is_lost = True

    def _take(self, event: came.AgentAudio, number: int) -> None:
        self.plays = (*self.plays, (number, event.item, len(event.audio)))
        self.latest = self.latest if event.item is None else event.item

    def _cut(self, is_complete: bool) -> list[tuple[str, int]]:
        """Return what is cut now, in the order in which it came, with the bytes that were heard."""
        items = dict.fromkeys(item for number, item, _ in self.plays if item is not None)
        unheard = {item for number, item, _ in self.plays if number > self.heard}
        following = next((play for play in self.plays if play[0] > self.heard), None)
        due = []
        for item in items:
            heard = sum(size for number, other, size in self.plays if other == item and number <= self.heard)
            if following is not None and following[1] == item and following[0] == self.heard + 1:
                heard += min(max(self.beyond, 0), following[2])
            is_generated = item == self.latest and (self.is_running or self.is_asked) and not is_complete
            if item in unheard or is_generated:
                due.append((item, heard))
        return due
