"""Turn-taking: the user's turns and the conversation as one function from events to effects."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from convsm.machine import Session, SessionOptions
from convsm.machine.base import Event
from convsm.machine.effects import Effect, StateChanged
from convsm.machine.events import EVENTS as CONVERSATION
from convsm.machine.events import UserAudio
from convsm.turns import reports
from convsm.turns.detection import OverlapClassifier
from convsm.turns.effects import Post, Report, TurnStateChanged
from convsm.turns.events import (
    EVENTS,
    FACTS,
    AgentChanged,
    ProtectedReplyEnded,
    RequestAgentReply,
    SpeechEnded,
    SpeechStarted,
)
from convsm.turns.options import TurnHandling
from convsm.turns.reports import AgentState, UserState
from convsm.turns.server import TurnServer
from convsm.turns.session import UserTurn

__all__ = ["TurnTaking", "agent_state", "user_state"]

Drive = Callable[[Session, Event], "tuple[Effect, ...]"]


def user_state(turn: UserTurn) -> UserState:
    """Return what the user does: ``listening``, ``speaking`` or ``away``."""
    return _user_state_of(turn.state)


def _user_state_of(state: str) -> UserState:
    if state == "speaking":
        return "speaking"
    return "away" if state == "away" else "listening"


def agent_state(session: Session, turn: UserTurn) -> AgentState:
    """Return what the agent does: ``initializing``, ``listening``, ``thinking``, ``speaking`` or ``idle``."""
    if session.state == "closing" or session.ending is not None:
        return "idle"
    if session.state in ("idle", "connecting"):
        return "initializing"
    if session.state == "agent_speaking":
        return "speaking"
    is_generating = session.generation != "none" and not session.is_stopping
    is_requested = session.state == "listening" and (session.wanted is not None or is_generating)
    # A noise does not keep it from its reply.
    is_replying = turn.state == "committed" or (turn.is_awaiting and not turn.is_serious)
    is_awaited = session.state == "tool_running" or is_replying or is_requested
    return "thinking" if is_awaited else "listening"


@attrs.define
class TurnTaking:
    """One conversation with turn handling: no thread, no clock, no I/O, nothing random.

    Used in the place of a ``Session``: feed it the events of both alphabets and perform the effects
    of both. The table of user and turn sees each event first; what it decides happens to the
    conversation before the event itself does, in the same step. It is not thread-safe.

    Attributes:
        session: The conversation.
        turn: The user and their turn.
        drive: How the conversation is given an event; ``Session.handle``, or what records it too.
    """

    session: Session
    turn: UserTurn
    drive: Drive = Session.handle
    _agent: AgentState = attrs.field(default="initializing", init=False)
    _told: list[Effect] = attrs.field(factory=list, init=False, repr=False, eq=False)

    @classmethod
    def of(
        cls,
        options: SessionOptions | None = None,
        handling: TurnHandling | None = None,
        server: TurnServer | None = None,
        classifier: OverlapClassifier | None = None,
        drive: Drive = Session.handle,
    ) -> TurnTaking:
        """Make one for a new conversation.

        Args:
            options: The settings of the conversation.
            handling: The settings of turn handling.
            server: What the server can do.
            classifier: Tells backchannels from interruptions.
            drive: As the attribute.

        Raises:
            ConfigurationError: The settings need what the server cannot do.
        """
        handling, server = handling or TurnHandling(), server or TurnServer()
        server.check(handling, classifier is not None)
        session = Session(options or SessionOptions())
        return cls(session, UserTurn(session, handling, server, classifier), drive)

    @property
    def state(self) -> str:
        """State of the conversation."""
        return self.session.state

    def handle(self, event: Event) -> tuple[Effect, ...]:
        """Take one event and return what is to be done about it.

        Args:
            event: An event of the conversation, or of ``convsm.turns.events``.

        Returns:
            The effects of both tables, in the order in which they are to be performed.

        Raises:
            RefusedCommand: A command came in a state that has no row for it. Nothing was changed.
            TypeError: The event is of neither alphabet.
        """
        told: list[Effect] = []
        self._told = told
        self._take(event)
        return tuple(told)

    def _take(self, event: Event) -> None:
        kind = type(event)
        is_known = EVENTS.get(kind.__name__) is kind
        if is_known:
            effects = self.turn.handle(event)
            for effect in effects:
                self._tell(effect, event)
            # Behind all effects of the row, so that what they lead to cannot cancel a timer before it is set.
            for effect in effects:
                if isinstance(effect, Post):
                    self._happen(attrs.evolve(effect.event, at=event.at))
        # The user's sound reaches the conversation only as far as a row of the turn lets it.
        if not is_known or (kind.__name__ in CONVERSATION and kind is not UserAudio):
            self._give(event)
        self._report_agent(event)

    def _happen(self, posted: Event) -> None:
        if isinstance(posted, (*FACTS, RequestAgentReply)):
            self._take(posted)
        else:
            self._give(posted)

    def _tell(self, effect: Effect, event: Event) -> None:
        if isinstance(effect, StateChanged):
            self._told.append(TurnStateChanged(effect.source, effect.target, effect.event, effect.at))
            self._report_user(effect, event)
            self._report_agent(event)
        elif not isinstance(effect, Post):
            self._told.append(effect)

    def _give(self, event: Event) -> None:
        session = self.session
        before = (session.state, bool(session.calls), session.is_undecided(event))
        self._told += self.drive(session, event)
        after = (session.state, bool(session.calls), session.is_undecided(event))
        self._report_agent(event)
        if before != after:
            (source, was_busy, was_undecided), (target, is_busy, is_undecided) = before, after
            cause = type(event).__name__
            self._take(
                AgentChanged(
                    source, target, was_busy, is_busy, was_undecided, is_undecided, cause, at=event.at
                )
            )
        if self.turn.has_promise_ended():
            self._take(ProtectedReplyEnded(at=event.at))

    def _report_user(self, change: StateChanged, event: Event) -> None:
        if "inactive" in (change.source, change.target):
            return
        former, now = _user_state_of(change.source), user_state(self.turn)
        if former != now:
            occurred_at = event.at
            if isinstance(event, SpeechStarted):
                occurred_at = event.began
            elif isinstance(event, SpeechEnded):
                occurred_at = event.ended
            fact = reports.UserStateChanged(
                former,
                now,
                occurred_at=min(occurred_at, event.at),
                known_at=event.at,
            )
            self._told.append(Report(fact))

    def _report_agent(self, event: Event) -> None:
        former, self._agent = self._agent, agent_state(self.session, self.turn)
        if former != self._agent:
            fact = reports.AgentStateChanged(former, self._agent, occurred_at=event.at, known_at=event.at)
            self._told.append(Report(fact))
