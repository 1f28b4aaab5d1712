"""Breadth-first search of all that a user's turn can be beside one conversation, with time left out."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator

import attrs

from convsm.machine import GROUPS, Row, SessionOptions
from convsm.machine.base import Event
from convsm.machine.effects import RequestReply
from convsm.machine.events import (
    AgentAudio,
    AudioStarted,
    End,
    Interrupt,
    Interrupted,
    Played,
    ResponseEnded,
    ResponseRefused,
    ResponseStarted,
    SessionReady,
    SocketOpened,
    Start,
    TimerFired,
    UserTranscript,
)
from convsm.testing.observation import snapshot
from convsm.turns import TurnHandling, TurnServer, TurnTaking, UserTurn
from convsm.turns.events import (
    CancelUserTurn,
    ClearUserTurn,
    CommitUserTurn,
    InterimTranscript,
    InterruptAgent,
    MicrophoneMuted,
    MicrophoneUnmuted,
    RequestAgentReply,
    SpeechEnded,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    StartUserTurn,
    TakeFloor,
    TurnPredicted,
    TurnReleased,
    UserAudioRefused,
)
from tests.turns.sequences import row_of

__all__ = ["Node", "Search"]

# Data that only grows, or that only tells times: two nodes that differ in these alone behave alike.
_LEFT_OUT = {
    *("session", "handling", "server", "classifier", "delays", "began", "last_spoke", "voiced_for"),
    *(
        "voiced_since",
        "pre_roll",
        "agent_began",
        "last_token",
        "turn",
        "committed",
        "pieces",
        "speech",
        "prediction_id",
        "limit_words",
    ),
    *("silent_speech", "timers", "words", "commit", "limit_began", "silent_speech_began"),
    *("overlap_from", "skips_reply", "has_exceeded", "prediction", "asides"),
    *("promises", "promised_from", "protected_turn", "protected_through", "protected_before"),
}
PROTECTED = RequestReply("protected")
_KEPT = tuple(field.name for field in attrs.fields(UserTurn) if field.eq and field.name not in _LEFT_OUT)


@attrs.define
class Node:
    """One point of the search."""

    taking: TurnTaking

    def events(self) -> Iterator[Event]:
        """Yield what may come here, from the smallest vocabulary that gets everywhere.

        Where replies are asked for it is another one, about what can be said of those.
        """
        turn, session = self.taking.turn, self.taking.session
        if turn.has_voice:
            yield SpeechEnded(0.0)
        else:
            yield SpeechStarted(0.0)
        yield from self._replies() if session.options.asks_replies else self._details()
        if not turn.words:
            yield UserTranscript("two words")
        fresh = session.fresh_from or 1
        if session.heard == session.handed or session.is_paused:
            yield AgentAudio(b"ab", fresh)
        if session.heard < session.handed:
            yield Played(session.handed)
        yield CommitUserTurn(1)
        yield TurnReleased(turn.committed)
        if turn._unanswered(End()) is not None:
            yield UserAudioRefused()
        for name, token in (*turn.timers.items(), *session.timers.items()):
            yield TimerFired(name, token)
        yield End()

    def _details(self) -> Iterator[Event]:
        turn, session = self.taking.turn, self.taking.session
        if turn.has_voice:
            yield SpeechPaused(0.0) if turn.quiet_since is None else SpeechResumed(0.0)
        fresh = session.fresh_from or 1
        if session.is_paused:
            yield AgentAudio(b"ab", fresh + 1)
        yield Interrupted(fresh + 1, fresh + 1)
        yield Interrupt()
        yield SpeechStarted(0.0, "server")
        yield SpeechEnded(0.0, "server")
        yield TurnPredicted(turn.prediction_id, 0.0)
        yield TurnPredicted(turn.prediction_id, 1.0)
        yield MicrophoneMuted()
        yield MicrophoneUnmuted()
        yield UserTranscript("")
        if not turn.interim and not turn.hears_locally:
            yield InterimTranscript("two")
        yield from (StartUserTurn(), ClearUserTurn(), CancelUserTurn())

    def _replies(self) -> Iterator[Event]:
        turn, session = self.taking.turn, self.taking.session
        yield InterruptAgent()
        yield InterruptAgent(force=True)
        yield TakeFloor(PROTECTED)
        if not turn.promises:
            yield RequestAgentReply(PROTECTED, allow_interruptions=False)
        if session.generation == "running":
            yield ResponseEnded(session.fresh_from or 1)
        else:
            yield ResponseStarted(session.fresh_from or 1)
        if session.asked is not None:
            yield ResponseRefused(is_busy=session.generation == "running")

    def follow(self, event: Event) -> Node:
        """Return where an event leads."""
        former = self.taking
        session, turn = snapshot(former.session), snapshot(former.turn)
        turn.session = session
        taking = TurnTaking(session, turn)
        taking.handle(event)
        return Node(taking)

    def key(self) -> Hashable:
        """Return what tells this node from others."""
        turn, session = self.taking.turn, self.taking.session
        kept = tuple(getattr(turn, name) for name in _KEPT)
        spoken = None if session.spoken_turn is None else session.spoken_turn - (session.fresh_from or 1)
        return (
            session.state,
            session.is_paused,
            min(session.handed - session.heard, 2),
            spoken if session.is_paused else None,
            session.audio,
            frozenset(session.timers),
            kept,
            frozenset(turn.timers),
            min(len(turn.words), 1),
            turn.commit is None,
            turn._owed(End()) is None,
            turn._unanswered(End()) is None,
            turn.is_commit_refused(End()),
            *self._reply(),
        )

    def _reply(self) -> tuple[Hashable, ...]:
        """Return what tells nodes apart as to replies that are asked for."""
        turn, session = self.taking.turn, self.taking.session
        fresh = session.fresh_from or 1
        return (
            len(turn.promises),
            session.generation,
            session.is_stopping,
            session.wanted is PROTECTED,
            session.wanted is None,
            session.asked is PROTECTED,
            session.asked is None,
            turn.protected_turn is not None and min(max(turn.protected_turn - fresh, -1), 1),
            bool(turn.promises) and min(max(turn.promised_from - fresh, 0), 1),
            turn.protected_through > session.heard,
            turn.protected_before > session.heard,
        )


@attrs.define
class Search:
    """Everything that was found."""

    nodes: list[Node] = attrs.field(factory=list)
    rows: set[Row] = attrs.field(factory=set)
    edges: int = 0

    @classmethod
    def of(cls, handling: TurnHandling, server: TurnServer, asks_replies: bool = False) -> Search:
        """Search everything that is reachable from an open conversation on."""
        start = TurnTaking.of(SessionOptions(pause_limit=2, asks_replies=asks_replies), handling, server)
        for opening in (Start(), SocketOpened(), SessionReady("conversation_1"), AudioStarted()):
            start.handle(opening)
        found, first = cls(), Node(start)
        seen, waiting = {first.key()}, deque([first])
        while waiting:
            node = waiting.popleft()
            found.nodes.append(node)
            if node.taking.session.state not in GROUPS["open"]:
                continue
            for event in node.events():
                found.rows.update(row_of(node.taking.turn, event))
                successor = node.follow(event)
                found.edges += 1
                check(successor.taking)
                key = successor.key()
                if key not in seen:
                    seen.add(key)
                    waiting.append(successor)
        return found


def check(taking: TurnTaking) -> None:
    """Assert what holds everywhere."""
    turn, session = taking.turn, taking.session
    is_open = session.state in GROUPS["open"]
    assert (turn.state != "inactive") == is_open
    assert (turn.commit is not None) == (turn.state == "committing")
    assert not turn.has_promise_ended()
    if not is_open:
        assert turn.timers == {}
        return
    if session.is_undecided(End()):
        assert turn.has_voice or turn.holds_turn or {"dismissal", "decision"} & set(turn.timers)
    if turn.state == "endpointing":
        assert {"endpointing", "prediction"} & set(turn.timers)
    if turn.state in ("committed", "committing"):
        assert {"reply", "commit"} & set(turn.timers)
