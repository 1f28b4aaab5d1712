"""Breadth-first search of all that a user's turn can be beside one conversation, with time left out."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator

import attrs

from convsm.machine import GROUPS, Row, SessionOptions
from convsm.machine.base import Event
from convsm.machine.events import (
    AgentAudio,
    AudioStarted,
    End,
    Interrupt,
    Interrupted,
    Played,
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
    MicrophoneMuted,
    MicrophoneUnmuted,
    SpeechEnded,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    StartUserTurn,
    TurnPredicted,
    TurnReleased,
)
from tests.turns.sequences import row_of

__all__ = ["Node", "Search"]

# Data that only grows, or that only tells times: two nodes that differ in these alone behave alike.
_LEFT_OUT = {
    *("session", "handling", "server", "classifier", "delays", "began", "last_spoke", "voiced_for"),
    *("voiced_since", "pre_roll", "agent_began", "last_token", "turn", "prediction_id", "limit_words"),
    *("silent_speech", "timers", "words", "commit", "owed_turn", "limit_began", "silent_speech_began"),
    *("overlap_from", "skips_reply", "has_exceeded", "prediction", "asides"),
}
_KEPT = tuple(field.name for field in attrs.fields(UserTurn) if field.eq and field.name not in _LEFT_OUT)


@attrs.define
class Node:
    """One point of the search."""

    taking: TurnTaking

    def events(self) -> Iterator[Event]:
        """Yield what may come here, from the smallest vocabulary that gets everywhere."""
        turn, session = self.taking.turn, self.taking.session
        if turn.has_voice:
            yield SpeechEnded(0.0)
            yield SpeechPaused(0.0) if turn.quiet_since is None else SpeechResumed(0.0)
        else:
            yield SpeechStarted(0.0)
        yield SpeechStarted(0.0, "server")
        yield SpeechEnded(0.0, "server")
        yield TurnPredicted(turn.prediction_id, 0.0)
        yield TurnPredicted(turn.prediction_id, 1.0)
        yield MicrophoneMuted()
        yield MicrophoneUnmuted()
        if not turn.words:
            yield UserTranscript("two words")
        yield UserTranscript("")
        if not turn.interim and not turn.hears_locally:
            yield InterimTranscript("two")
        fresh = session.fresh_from or 1
        if session.heard == session.handed or session.is_paused:
            yield AgentAudio(b"ab", fresh)
        if session.is_paused:
            yield AgentAudio(b"ab", fresh + 1)
        if session.heard < session.handed:
            yield Played(session.handed)
        yield Interrupted(fresh + 1, fresh + 1)
        yield from (Interrupt(), StartUserTurn(), CommitUserTurn(1), ClearUserTurn(), CancelUserTurn())
        yield TurnReleased(turn.turn - 1)
        for name, token in (*turn.timers.items(), *session.timers.items()):
            yield TimerFired(name, token)
        yield End()

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
            turn.owed_turn is None,
        )


@attrs.define
class Search:
    """Everything that was found."""

    nodes: list[Node] = attrs.field(factory=list)
    rows: set[Row] = attrs.field(factory=set)
    edges: int = 0

    @classmethod
    def of(cls, handling: TurnHandling, server: TurnServer) -> Search:
        """Search everything that is reachable from an open conversation on."""
        start = TurnTaking.of(SessionOptions(pause_limit=2), handling, server)
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
    if not is_open:
        assert turn.timers == {}
        return
    if session.is_undecided(End()):
        assert turn.has_voice or turn.holds_turn or {"dismissal", "decision"} & set(turn.timers)
    if turn.state == "endpointing":
        assert {"endpointing", "prediction"} & set(turn.timers)
    if turn.state in ("committed", "committing"):
        assert {"reply", "commit"} & set(turn.timers)
