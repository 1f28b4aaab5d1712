"""The invariants of what happens while a session is open: speech, tools, approvals and pings."""

from __future__ import annotations

import attrs

from convsm.machine import effects as asked
from convsm.machine import events as came
from convsm.machine.events import Event
from convsm.testing.observation import (
    LIVE,
    OPEN,
    Invariant,
    ObservedStep,
    cut_by,
    is_cut_by_us,
    is_overflowing,
    is_undecided,
)

__all__ = [
    "ApprovalsAreAnsweredOnce",
    "AudioIsHandedOverInOrder",
    "EveryPingIsAnswered",
    "InterruptionIsDecided",
    "SpeakingIsAudible",
    "ToolsAreAnsweredOnce",
]


# A farewell is cut short by the user, or by its limit.
CUTS_FAREWELL = (came.Interrupt, came.End, came.TimerFired)


def highest(turn: int, other: int | None) -> int:
    """Return the higher one of two turns."""
    return turn if other is None else max(turn, other)


@attrs.define
class AudioIsHandedOverInOrder(Invariant):
    """What is fresh is handed over once, under the next number; an interruption flushes it all."""

    number = 5
    sentence = (
        "Fresh audio is handed over once and in order while the session is open; what was cut is not "
        "heard again."
    )
    has_audio: bool = False
    handed: int = 0
    fresh_from: int | None = None
    turn: int | None = None

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        event, source = step.event, step.before.state
        plays = [effect for effect in step.effects if isinstance(effect, asked.Play)]
        flushes = sum(isinstance(effect, asked.Flush) for effect in step.effects)
        begins = sum(isinstance(effect, asked.BeginPlayout) for effect in step.effects)
        if plays != ([] if is_overflowing(step) else self._due(event, source)):
            self.fail(step, "audio was lost, doubled, reordered or revived")
        must = self.has_audio and (
            (cut_by(step) is not None and source in OPEN)
            or is_cut_by_us(step)
            or (isinstance(event, came.End) and source in LIVE)
            or self._gives_up_a_pause(step)
        )
        may = must or (source == "closing" and isinstance(event, CUTS_FAREWELL))
        if not must <= flushes <= may:
            self.fail(step, "playout was flushed without need, or was not")
        must = self.has_audio and isinstance(event, came.AudioStarted) and source in OPEN
        may = must or (isinstance(event, came.AudioStarted) and source == "closing")
        if not must <= begins <= may:
            self.fail(step, "playout was begun without need, or was not")
        self._note(step)

    def _gives_up_a_pause(self, step: ObservedStep) -> bool:
        is_lost = isinstance(step.event, came.AudioFailed)
        return step.before.is_paused and step.after.state not in OPEN and not is_lost

    def _due(self, event: Event, source: str) -> list[asked.Play]:
        if not isinstance(event, came.AgentAudio) or source not in OPEN or not self.has_audio:
            return []
        if not event.audio or (self.fresh_from is not None and event.turn < self.fresh_from):
            return []
        return [asked.Play(self.handed + 1, event.audio, event.turn)]

    def _note(self, step: ObservedStep) -> None:
        cut = cut_by(step)
        if cut is not None:
            self.fresh_from = highest(cut, self.fresh_from)
        elif is_cut_by_us(step) and self.turn is not None:
            self.fresh_from = highest(self.turn + 1, self.fresh_from)
        for effect in step.effects:
            if isinstance(effect, asked.Play):
                self.handed, self.turn = effect.number, highest(effect.turn, self.turn)
            elif isinstance(effect, asked.StartAudio | asked.StopAudio):
                self.has_audio = isinstance(effect, asked.StartAudio)


@attrs.define
class ToolsAreAnsweredOnce(Invariant):
    """One call id is one call: run once, answered at most once, cancelled when the session ends."""

    number = 6
    sentence = (
        "A call id is run once and answered at most once, by its handler or by hand: exactly once if a "
        "response is expected and the session is still going on when its handler ends; closing cancels "
        "what runs."
    )
    seen: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()
    awaited: frozenset[str] = frozenset()

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        event, effects = step.event, step.effects
        runs: list[asked.RunTool] = []
        answers: list[asked.ToolResult] = []
        if isinstance(event, came.ToolCalled) and step.before.state in LIVE:
            if event.call_id not in self.seen:
                runs = [asked.RunTool(event.call_id, event.name, event.parameters, event.expects_response)]
            elif [type(effect) for effect in effects] != [asked.Diagnose]:
                self.fail(step, "a repeated id gave more or less than a diagnostic")
        elif isinstance(event, came.ToolCompleted | came.AnswerCall) and event.call_id in self.running:
            if event.call_id in self.awaited:
                answers = [asked.ToolResult(event.call_id, event.result, event.is_error, event.error_type)]
                self.awaited -= {event.call_id}
            if isinstance(event, came.ToolCompleted):
                self.running -= {event.call_id}
        if runs != [effect for effect in effects if isinstance(effect, asked.RunTool)]:
            self.fail(step, "a call was not run, or run again")
        sent = [effect.message for effect in effects if isinstance(effect, asked.Transmit)]
        if answers != [message for message in sent if isinstance(message, asked.ToolResult)]:
            self.fail(step, "a result was lost, doubled or changed")
        by_hand = answers if isinstance(event, came.AnswerCall) else []
        released = [effect.call_id for effect in effects if isinstance(effect, asked.ReleaseTool)]
        if released != [answer.call_id for answer in by_hand]:
            self.fail(step, "a handler was released without an answer by hand, or was not")
        self._cancel(step)
        for run in runs:
            self.seen |= {run.call_id}
            self.running |= {run.call_id}
            if run.expects_response:
                self.awaited |= {run.call_id}

    def _cancel(self, step: ObservedStep) -> None:
        ends = step.before.state in LIVE and step.after.state not in LIVE
        cancelled = [effect.call_id for effect in step.effects if isinstance(effect, asked.CancelTool)]
        if sorted(cancelled) != (sorted(self.running) if ends else []):
            self.fail(step, "an open call was not cancelled, or another was")
        if ends:
            self.running = frozenset()


@attrs.define
class ApprovalsAreAnsweredOnce(Invariant):
    """One call id is asked about once; its first decision goes out, unless it came too late."""

    number = 12
    sentence = (
        "A call that awaits approval is asked about once and answered at most once, with its first "
        "decision; never after it was withdrawn, its time was over, or the session closed."
    )
    seen: frozenset[str] = frozenset()
    # Undecided ones, and the tokens of their timers.
    undecided: frozenset[tuple[str, int]] = frozenset()

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        event, source = step.event, step.before.state
        questions = [effect for effect in step.effects if isinstance(effect, asked.AskApproval)]
        if isinstance(event, came.ApprovalAsked) and source in LIVE:
            limit = step.before.options.approval_limit
            is_due = event.call_id not in self.seen and len(self.undecided) < limit
            if questions != [asked.AskApproval(event.call_id, event.request)] * is_due:
                self.fail(step, "an approval was not asked for, or asked for again")
        elif questions:
            self.fail(step, "an approval was asked for that the server did not want")
        undecided = {call_id for call_id, _ in self.undecided}
        answers: list[asked.Approval] = []
        if isinstance(event, came.ApprovalDecided | came.DecideApproval) and event.call_id in undecided:
            answers = [asked.Approval(event.call_id, event.is_approved)]
        sent = [effect.message for effect in step.effects if isinstance(effect, asked.Transmit)]
        if answers != [message for message in sent if isinstance(message, asked.Approval)]:
            self.fail(step, "a decision was lost, doubled, late or changed")
        withdrawn = [effect.call_id for effect in step.effects if isinstance(effect, asked.WithdrawApproval)]
        if withdrawn != sorted(self._moot(step)):
            self.fail(step, "a handler was left with a question that is none, or lost its own")
        closed = {*withdrawn, *(answer.call_id for answer in answers)}
        self.undecided = frozenset(one for one in self.undecided if one[0] not in closed)
        tokens = [effect.token for effect in step.effects if isinstance(effect, asked.SetTimer)]
        for question in questions:
            self.seen |= {question.call_id}
            self.undecided |= {(question.call_id, tokens[0])}

    def _moot(self, step: ObservedStep) -> set[str]:
        event, undecided = step.event, {call_id for call_id, _ in self.undecided}
        if step.before.state in LIVE and step.after.state not in LIVE:
            return undecided
        if isinstance(event, came.ApprovalWithdrawn | came.DecideApproval):
            return undecided & {event.call_id}
        if isinstance(event, came.TimerFired):
            return {
                call_id
                for call_id, token in self.undecided
                if (event.name, event.token) == (f"approval {call_id}", token)
            }
        return set()


@attrs.define
class EveryPingIsAnswered(Invariant):
    """The pong waits for nobody."""

    number = 7
    sentence = "Until closing, every ping is answered by its pong before anything else is done."

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        if isinstance(step.event, came.Pinged) and step.before.state in LIVE:
            pong = asked.Transmit(asked.Pong(step.event.ping_id))
            if step.effects[:1] != (pong,) or pong in step.effects[1:]:
                self.fail(step, "the pong is not first, or not alone")


@attrs.define
class SpeakingIsAudible(Invariant):
    """The state says speaking exactly while something can be heard (text-only: is being streamed)."""

    number = 8
    sentence = (
        "The state is agent_speaking exactly while the session is open, something that was handed over "
        "is still to be heard, and playout is not paused (text-only: while a response is streamed)."
    )
    handed: int = 0
    heard: int = 0
    is_paused: bool = False
    fresh_from: int | None = None
    is_streaming: bool = False
    turn: int | None = None

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        event = step.event
        if step.before.state in OPEN and step.before.options.text_only:
            self._follow_text(event)
        cut = cut_by(step)
        if cut is not None:
            self.fresh_from = highest(cut, self.fresh_from)
            self.is_streaming = False
        elif is_cut_by_us(step):
            if self.is_streaming and self.turn is not None:
                self.fresh_from = highest(self.turn + 1, self.fresh_from)
            self.is_streaming = False
        if isinstance(event, came.Played) and event.through <= self.handed:
            self.heard = max(self.heard, event.through)
        elif isinstance(event, came.AudioFailed):
            self.heard, self.is_paused = self.handed, False
        for effect in step.effects:
            if isinstance(effect, asked.Play):
                self.handed = effect.number
            elif isinstance(effect, asked.Flush):
                self.heard = self.handed
            elif isinstance(effect, asked.PauseAudio | asked.ResumeAudio):
                self.is_paused = isinstance(effect, asked.PauseAudio)
        plays = self.heard < self.handed and not self.is_paused
        is_audible = step.after.state in OPEN and (self.is_streaming or plays)
        if is_audible != (step.after.state == "agent_speaking"):
            self.fail(step, "the agent is audible" if is_audible else "nothing is audible")

    def _follow_text(self, event: Event) -> None:
        if isinstance(event, came.TextPart) and event.kind != "stop":
            if event.turn is None or self.fresh_from is None or event.turn >= self.fresh_from:
                turns = [turn for turn in (event.turn, self.turn) if turn is not None]
                self.turn = max(turns, default=None) if self.is_streaming else event.turn
                self.is_streaming = True
        elif isinstance(event, came.TextPart | came.AgentResponse) and (
            event.turn is None or self.turn is None or event.turn >= self.turn
        ):
            self.is_streaming = False


@attrs.define
class InterruptionIsDecided(Invariant):
    """A tentative interruption pauses, and ends in one of three ways; any other is confirmed at once."""

    number = 11
    sentence = (
        "An interruption is resumed, confirmed or heard out, and only one of these; one that pauses "
        "nothing is confirmed as it begins. The server is told of those of this side, and of no other."
    )
    is_paused: bool = False

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        told = [effect.message for effect in step.effects if isinstance(effect, asked.Transmit)]
        if sum(isinstance(message, asked.Interruption) for message in told) != (
            is_cut_by_us(step) and not step.before.options.asks_replies
        ):
            self.fail(step, "the server was told without need, or was not")
        self._follow_pause(step)
        if step.after.state == "interrupted" and step.before.state != "interrupted":
            self._check_entry(step)
        if is_undecided(step.before) and not is_undecided(step.after):
            self._check_decision(step)

    def _follow_pause(self, step: ObservedStep) -> None:
        if isinstance(step.event, came.AudioFailed):
            self.is_paused = False
        for effect in step.effects:
            if isinstance(effect, asked.PauseAudio | asked.ResumeAudio):
                if self.is_paused == isinstance(effect, asked.PauseAudio):
                    self.fail(step, "playout was paused twice, or resumed twice")
                self.is_paused = not self.is_paused
        if self.is_paused and step.after.state not in LIVE:
            self.fail(step, "the session ends and playout is still paused")

    def _check_entry(self, step: ObservedStep) -> None:
        if isinstance(step.event, came.InterruptionSuspected):
            if asked.PauseAudio() not in step.effects or asked.Flush() in step.effects:
                self.fail(step, "what may have to be resumed was flushed, or is not paused")
            return
        if cut_by(step) is None and not is_cut_by_us(step):
            self.fail(step, "nothing interrupted")
        if not step.after.options.text_only and asked.Flush() not in step.effects:
            self.fail(step, "what was handed over was not flushed")

    def _check_decision(self, step: ObservedStep) -> None:
        is_resumed = (
            isinstance(step.event, came.InterruptionDismissed) and step.after.state == "agent_speaking"
        )
        is_heard_out = isinstance(step.event, came.Played) and step.after.heard == step.after.handed
        is_confirmed = asked.Flush() in step.effects or isinstance(step.event, came.AudioFailed)
        if is_resumed + is_heard_out + is_confirmed != 1:
            self.fail(step, "it ended in no way, or in two")
        goes_on = asked.ResumeAudio() in step.effects or isinstance(step.event, came.AudioFailed)
        if not goes_on:
            self.fail(step, "it ended and playout is still paused")
