"""Which of the agent's speech is protected, told from events and effects alone: an oracle for sequences."""

from __future__ import annotations

import attrs

from convsm.machine import GROUPS
from convsm.machine.base import Event
from convsm.machine.effects import CancelReply, Effect, Flush, Reject, RequestReply, Transmit
from convsm.machine.effects import Play as Handed
from convsm.machine.events import (
    AgentAudio,
    AudioFailed,
    Interrupted,
    Played,
    ResponseEnded,
    ResponseRefused,
    ResponseStarted,
    TimerFired,
    UserTranscript,
)
from convsm.turns.events import InterruptAgent, RequestAgentReply, TakeFloor
from convsm.turns.taking import TurnTaking

__all__ = ["ProtectionOracle", "is_gentle"]

# Timers of the turn that end in an interruption where nothing is protected.
TIMERS = ("interruption", "endpointing", "dismissal", "decision", "commit")


def is_gentle(event: Event) -> bool:
    """Return whether an event is the user's or the program's, and uses no force."""
    if isinstance(event, InterruptAgent):
        return not event.force
    is_turns = type(event).__module__ == "convsm.turns.events" or isinstance(event, UserTranscript)
    return is_turns or (isinstance(event, TimerFired) and event.name in TIMERS)


@attrs.define
class ProtectionOracle:
    """Follows one conversation with a server that generates one response at a time, when asked.

    Attributes:
        protected: The requests whose replies may not be interrupted.
        asked: The request that the server was sent and did not react to.
        turn: Number of the response that began last, if it is a protected reply.
        is_running: Whether it is being generated and not given up.
        unheard: Numbers of what was handed over of protected replies and not heard.
        latest: Numbers of what was handed over of that response.
    """

    protected: list[object] = attrs.field(factory=list)
    asked: object = None
    turn: int | None = None
    is_running: bool = False
    unheard: set[int] = attrs.field(factory=set)
    latest: set[int] = attrs.field(factory=set)

    @property
    def is_protected(self) -> bool:
        return self.is_running or bool(self.unheard)

    def note(self, event: Event, effects: tuple[Effect, ...]) -> None:
        """Take in an event and what came of it."""
        is_request = isinstance(event, TakeFloor) or (
            isinstance(event, RequestAgentReply) and not event.allow_interruptions
        )
        if is_request and not any(isinstance(one, Reject) for one in effects):
            self.protected.append(event.message)  # type: ignore[attr-defined]
        self._take(event)
        for effect in effects:
            self._perform(effect, event)

    def _take(self, event: Event) -> None:
        if isinstance(event, ResponseStarted):
            is_ours = any(self.asked is one for one in self.protected)
            self.turn, self.is_running = (event.turn if is_ours else None), is_ours
            self.asked = None
            self.latest.clear()
        elif isinstance(event, ResponseEnded):
            self.is_running = False
        elif isinstance(event, ResponseRefused):
            # What runs is not what was asked for.
            if self.is_running:
                self.turn, self.is_running = None, False
                self.unheard -= self.latest
            self.asked = None
        elif isinstance(event, Interrupted):
            self.is_running, self.asked = False, None
        elif isinstance(event, AudioFailed):
            self.unheard.clear()
        elif isinstance(event, Played):
            self.unheard = {number for number in self.unheard if number > event.through}
        elif isinstance(event, InterruptAgent) and event.force:
            self.unheard.clear()
            self.protected.clear()
            self.turn, self.is_running = None, False

    def _perform(self, effect: Effect, event: Event) -> None:
        if isinstance(effect, Transmit) and isinstance(effect.message, RequestReply):
            self.asked = effect.message
        elif isinstance(effect, Transmit) and isinstance(effect.message, CancelReply):
            self.is_running, self.asked = False, None
        elif isinstance(effect, Flush):
            self.unheard.clear()
        elif isinstance(effect, Handed) and isinstance(event, AgentAudio) and effect.turn == self.turn:
            self.unheard.add(effect.number)
            self.latest.add(effect.number)

    def check(self, taking: TurnTaking) -> None:
        """Assert that the turn protects that, and nothing else."""
        if taking.state not in GROUPS["open"]:
            return
        turn, interruption = taking.turn, taking.turn.handling.interruption
        is_audible = taking.state == "agent_speaking"
        is_forbidden = is_audible and not interruption.enabled
        found = turn.is_agent_protected(InterruptAgent())
        assert found == (is_forbidden or (is_audible and self.is_protected))
        is_discarded = interruption.discard_audio_if_uninterruptible and (is_forbidden or self.is_protected)
        is_settling = is_audible and "aec_warmup" in turn.timers
        assert turn.is_shielded(InterruptAgent()) == (is_discarded or is_settling)
