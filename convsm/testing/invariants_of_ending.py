"""The invariants of a session's end: it comes, it holds nothing back, and it is told once."""

from __future__ import annotations

from typing import ClassVar

import attrs

from convsm.machine import Session
from convsm.machine import effects as asked
from convsm.machine import events as came
from convsm.machine.effects import Effect
from convsm.machine.events import Event
from convsm.testing.observation import LIVE, OPEN, Invariant, ObservedStep, snapshot

__all__ = [
    "EndIsAnnouncedOnce",
    "EndReachesIdle",
    "IdleHoldsNothing",
    "SendsOnlyWhileOpen",
]


@attrs.define
class EndReachesIdle(Invariant):
    """End leads to idle soon, though no adapter answers and whatever else arrives.

    ``firings`` ranks a session; in closing no event raises the rank and each timer lowers it.
    """

    number = 2
    sentence = "After End idle is near: whatever else arrives, a few firings of the armed timers lead there."
    # End arms the close timer; it drops the socket, is armed again, and gives up.
    firings_after_end: ClassVar[int] = 2
    # With a farewell over a socket that stays: close (drop), close (the farewell goes on), drain, close.
    firings_at_most: ClassVar[int] = 4

    # Firings from the last step's state, once it is closing.
    rank: int | None = None

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        source, state = step.before.state, step.after.state
        if state == "closing":
            if source != "closing" or step.before != step.after:
                self._check_rank(step)
        elif state in LIVE and state != source:
            twin = snapshot(step.after)
            twin.handle(came.End())
            if self.firings(twin) > self.firings_after_end:
                self.fail(step, f"after End more than {self.firings_after_end} timers would have to fire")

    def _check_rank(self, step: ObservedStep) -> None:
        former, self.rank = self.rank, self.firings(step.after)
        if self.rank > self.firings_at_most:
            self.fail(step, f"no timer, or more than {self.firings_at_most}, would end the session")
        if former is not None and self.rank > former:
            self.fail(step, "the end moved away")
        if former == self.rank and _is_due(step.before, step.event):
            self.fail(step, "a timer fired and the end is no nearer")

    def firings(self, session: Session) -> int:
        """Return how many timers have to fire, at most, until a session in closing is idle.

        Args:
            session: The session; it is not changed.

        Returns:
            The number, in the worst order of firing; one above ``firings_at_most`` if it takes more.
        """
        return self._firings(session, self.firings_at_most)

    def _firings(self, session: Session, left: int) -> int:
        if session.state == "idle":
            return 0
        if left == 0 or not session.timers:
            return self.firings_at_most + 1
        most = 0
        for name, token in session.timers.items():
            twin = snapshot(session)
            twin.handle(came.TimerFired(name, token))
            most = max(most, 1 + self._firings(twin, left - 1))
        return most


@attrs.define
class IdleHoldsNothing(Invariant):
    """Whatever was opened, started, armed or run came to its end before idle."""

    number = 3
    sentence = "Idle holds nothing: no socket, no audio interface, no timer, no tool, no question."
    has_socket: bool = False
    has_audio: bool = False
    timers: frozenset[tuple[str, int]] = frozenset()
    tools: frozenset[str] = frozenset()
    questions: frozenset[str] = frozenset()

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        self._take(step.event)
        for effect in step.effects:
            self._follow(effect)
        holds = self.has_socket or self.has_audio or self.timers or self.tools or self.questions
        if holds and step.after.state == "idle":
            self.fail(step, f"it still has {self}")

    def _take(self, event: Event) -> None:
        if isinstance(event, came.SocketClosed | came.ConnectionFailed):
            self.has_socket = False
        elif isinstance(event, came.AudioStopped):
            self.has_audio = False
        elif isinstance(event, came.TimerFired):
            self.timers -= {(event.name, event.token)}
        elif isinstance(event, came.ToolCompleted):
            self.tools -= {event.call_id}
        elif isinstance(event, came.ApprovalDecided):
            self.questions -= {event.call_id}

    def _follow(self, effect: Effect) -> None:
        if isinstance(effect, asked.OpenSocket):
            self.has_socket = True
        elif isinstance(effect, asked.StartAudio):
            self.has_audio = True
        elif isinstance(effect, asked.SetTimer):
            self._disarm(effect.name)
            self.timers |= {(effect.name, effect.token)}
        elif isinstance(effect, asked.CancelTimer):
            self._disarm(effect.name)
        elif isinstance(effect, asked.RunTool):
            self.tools |= {effect.call_id}
        elif isinstance(effect, asked.CancelTool):
            self.tools -= {effect.call_id}
        elif isinstance(effect, asked.AskApproval):
            self.questions |= {effect.call_id}
        elif isinstance(effect, asked.WithdrawApproval):
            self.questions -= {effect.call_id}

    def _disarm(self, name: str) -> None:
        self.timers = frozenset(timer for timer in self.timers if timer[0] != name)


@attrs.define
class EndIsAnnouncedOnce(Invariant):
    """The first cause is what is announced, by the row into idle."""

    number = 4
    sentence = "The end is announced once a session, by the row into idle, and with its first cause."
    is_ready: bool = False
    has_hung_up: bool = False
    has_failed: bool = False
    has_announced: bool = False
    # Who, close code, close reason, HTTP status.
    cause: tuple[str, int | None, str | None, int | None] | None = None

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        event, source, state = step.event, step.before.state, step.after.state
        if source == "connecting" and isinstance(event, came.SessionReady):
            self.is_ready = True
        elif source in LIVE and isinstance(event, came.AgentHungUp):
            self.has_hung_up = True
        elif source in OPEN and isinstance(event, came.SessionFailed):
            self.has_failed = self.has_failed or not self.has_hung_up
        if source in LIVE and state not in LIVE:
            self.cause = self._cause(event)
        told = [effect for effect in step.effects if isinstance(effect, asked.AnnounceEnd)]
        if source == "idle" or state != "idle":
            if told:
                self.fail(step, "it was announced by another row than the one into idle")
            return
        if len(told) != 1 or self.has_announced:
            self.fail(step, "it was not announced, or not once")
        self.has_announced = True
        end = told[0]
        if (end.reason, end.close_code, end.close_reason, end.status) != self.cause:
            self.fail(step, f"the first cause was {self.cause}")
        if end.was_ready != self.is_ready or not end.message:
            self.fail(step, "it tells wrongly what the server had accepted, or gives no message")

    def _cause(self, event: Event) -> tuple[str, int | None, str | None, int | None]:
        who, code, reason, status = "error", None, None, None
        if isinstance(event, came.End):
            who = "user"
        elif isinstance(event, came.SocketClosed):
            code, reason = event.code, event.reason
            if self.is_ready and code in (1000, 1001):
                who = "agent"
        elif isinstance(event, came.ConnectionFailed):
            status = event.status
        if self.has_failed:
            return ("error", code, reason, status)
        # Before the acceptance a hang-up ends the session only by its own timer.
        is_due = isinstance(event, came.TimerFired) and event.name == "hang_up"
        return ("agent" if self.has_hung_up and (self.is_ready or is_due) else who, code, reason, status)


@attrs.define
class SendsOnlyWhileOpen(Invariant):
    """The opening goes first, the close frame last, and nothing else outside an open socket."""

    number = 10
    sentence = (
        "The opening goes first, over an open socket; once the session closes, only the close frame goes out."
    )
    has_opened: bool = False
    is_open: bool = False
    has_greeted: bool = False
    has_closed: bool = False
    has_dropped: bool = False

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        if isinstance(step.event, came.SocketOpened):
            self.is_open = True
        elif isinstance(step.event, came.SocketClosed | came.ConnectionFailed):
            self.is_open = False
        for effect in step.effects:
            if isinstance(effect, asked.OpenSocket):
                if self.has_opened:
                    self.fail(step, "a second socket was opened")
                self.has_opened = True
            elif isinstance(effect, asked.CloseSocket):
                if self.has_closed or step.before.state not in LIVE or step.after.state != "closing":
                    self.fail(step, "the close frame goes once, on entering closing")
                self.has_closed = True
            elif isinstance(effect, asked.DropSocket):
                if self.has_dropped or step.before.state != "closing":
                    self.fail(step, "the socket is dropped once, in closing")
                self.has_dropped = True
            elif isinstance(effect, asked.SendOpening | asked.Transmit | asked.TransmitAudio):
                self._check_send(step, effect)

    def _check_send(self, step: ObservedStep, effect: Effect) -> None:
        if not self.is_open or step.before.state not in LIVE or step.after.state not in LIVE:
            self.fail(step, "something was sent outside")
        if isinstance(effect, asked.SendOpening) == self.has_greeted:
            self.fail(step, "the opening goes once, and first")
        self.has_greeted = True


def _is_due(session: Session, event: Event) -> bool:
    return isinstance(event, came.TimerFired) and session.timers.get(event.name) == event.token
