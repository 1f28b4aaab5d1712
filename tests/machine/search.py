"""Breadth-first search of all that a session can be in a world that keeps the adapter contract."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterator
from typing import Any

import attrs

from convsm.machine import Row, Session, SessionOptions
from convsm.machine.effects import Effect
from convsm.machine.events import (
    EVENTS,
    AgentAudio,
    AgentHungUp,
    AgentResponse,
    Event,
    Interrupted,
    InterruptionSuspected,
    SessionFailed,
    TextPart,
    TimerFired,
    ToolCalled,
    ToolCompleted,
)
from convsm.testing.invariants import (
    ApprovalsAreAnsweredOnce,
    AudioIsHandedOverInOrder,
    CutSpeechIsReported,
    EndIsAnnouncedOnce,
    IdleHoldsNothing,
    Invariant,
    InvariantChecker,
    RepliesAreAskedForOnce,
    SendsOnlyWhileOpen,
    SpeakingIsAudible,
    ToolsAreAnsweredOnce,
)
from convsm.testing.observation import ObservedStep, perform, snapshot
from convsm.testing.world import World

TIMERS = ("ready", "settle", "hang_up", "drain", "close", "approval call_8")


@attrs.define
class Node:
    """One point of the search: a session, the world around it, and what the invariants remember."""

    session: Session
    world: World
    checker: InvariantChecker

    def events(self, plays: int) -> Iterator[Event]:
        """Yield every event that may come here, with at most so many plays unheard."""
        session = self.session
        for kind in EVENTS.values():
            for event in self.world.offer(kind):
                # A turn more would only make the search of what is asked for many times larger.
                if self.world.asks_replies and self._is_too_much(event):
                    continue
                if isinstance(event, AgentAudio):
                    may_grow = not session.is_paused or session.is_queueable(event)
                    if event.audio and session.handed - session.heard >= plays and may_grow:
                        continue
                elif isinstance(event, TextPart):
                    if event.turn is not None and not session.options.text_only:
                        continue
                elif isinstance(event, ToolCompleted) and event.is_error:
                    continue
                yield event
        for name in dict.fromkeys((*TIMERS, *map(_timer_of, self.world.approval_ids))):
            yield TimerFired(name, 0)  # tokens start at 1: a firing that nobody waits for

    def _is_too_much(self, event: Event) -> bool:
        if isinstance(event, AgentAudio):
            return event.turn > self.world.fresh_from
        if isinstance(event, Interrupted):
            return event.is_cancelled
        if isinstance(event, ToolCalled):
            return not event.expects_response
        if isinstance(event, InterruptionSuspected):
            return self.session.state != "agent_speaking"
        return isinstance(event, AgentResponse | TextPart | AgentHungUp | SessionFailed)

    def follow(self, event: Event) -> tuple[Node, ObservedStep]:
        """Return where an event leads, and the step that it is; checks the invariants of this step."""
        node = Node(snapshot(self.session), snapshot(self.world), self.checker.copy())
        effects = perform(node.session, event)
        step = node.checker.step(self.session, event, effects, node.session)
        node.world.note(event, effects)
        node._forget()
        return node, step

    def _forget(self) -> None:
        # The server numbers its turns around the cut that the session knows, and of the reports
        # that a flush overtook the last stands for all: both would make the search endless.
        self.world.reported = self.session.heard
        if self.session.fresh_from is not None:
            self.world.fresh_from = self.session.fresh_from

    def key(self) -> Hashable:
        """Return what tells this node from others: numbers, turns, ids and tokens only relative to others.

        What invariants remember is part of it, for two ways to one session may differ in that. Ids may
        change places, for nobody treats one unlike another.
        """
        session, world = self.session, self.world
        key = (
            session.state,
            session.conversation_id,
            session.socket,
            session.audio,
            (session.handed > 0, session.handed - session.heard),
            self._pause(),
            len(session.held),
            _names(session.timers),
            session.ending and session.ending.reason,
            world.socket,
            world.is_dropped,
            world.owes_start,
            world.owes_stop,
            _names([name for name, _ in world.timers]),
            *self._memories(),
        )
        if session.state in ("idle", "closing"):
            return (*key, bool(world.tools), bool(world.asked), world.is_generating, world.was_asked)
        return (
            *key,
            session.has_hung_up,
            session.failure is None,
            session.fresh_from is None,
            self._response(),
            self._calls(),
            self._asked(),
            self._asking(),
        )

    def _pause(self) -> Hashable:
        session, world = self.session, self.world
        if not session.is_paused:
            return world.paused_at
        spoken = None if session.spoken_turn is None else session.spoken_turn - world.fresh_from
        paused_at = world.paused_at and max(world.paused_at - session.heard, -1)
        return (session.paused_bytes, spoken, paused_at)

    def _asking(self) -> Hashable:
        session, world = self.session, self.world
        if not world.asks_replies:
            return None
        return (
            session.generation,
            session.is_stopping,
            session.wanted is None,
            world.is_generating,
            world.was_asked,
            session.beyond,
            [self._place(item) for _, item, _ in session.unheard].__repr__(),
            self._place(session.latest_item),
            session.latest_item in session.heard_bytes,
            max(session.latest_turn - world.fresh_from, -1),
        )

    def _place(self, item: str | None) -> int | None:
        # An item that is far behind differs from all that may come, and that is all that counts.
        return None if item is None else max(int(item.removeprefix("item_")) - self.world.fresh_from, -2)

    def _response(self) -> Hashable:
        session = self.session
        if not session.response_open or session.response_turn is None:
            return session.response_open
        return session.response_turn - self.world.fresh_from

    def _calls(self) -> Hashable:
        session, world = self.session, self.world
        calls = (
            (call in session.seen_calls, session.calls.get(call, call in world.tools))
            for call in world.call_ids
        )
        return tuple(sorted(calls))

    def _asked(self) -> Hashable:
        session, world = self.session, self.world
        if not world.approval_ids:
            return None
        armed = {name for name, _ in world.timers}
        kept = next(one for one in self.checker.invariants if isinstance(one, ApprovalsAreAnsweredOnce))
        undecided = {call_id for call_id, _ in kept.undecided}
        asked = (
            (
                *(call_id in ids for ids in (session.seen_approvals, session.approvals, world.asked)),
                *(_timer_of(call_id) in timers for timers in (session.timers, armed)),
                *(call_id in ids for ids in (kept.seen, undecided)),
            )
            for call_id in world.approval_ids
        )
        return tuple(sorted(asked))

    def _memories(self) -> Iterator[Hashable]:
        """Yield what each invariant remembers that may tell two nodes apart."""
        is_over = self.session.state in ("idle", "closing")
        memories = _MEMORIES_AT_THE_END if is_over else _MEMORIES
        for invariant in self.checker.invariants:
            remember = memories.get(type(invariant))
            if remember is not None:
                yield remember(self, invariant)

    def _of_idle(self, invariant: IdleHoldsNothing) -> Hashable:
        open_calls = (len(invariant.tools), len(invariant.questions))
        return (
            invariant.has_socket,
            invariant.has_audio,
            _names([name for name, _ in invariant.timers]),
            open_calls,
        )

    def _of_end(self, invariant: EndIsAnnouncedOnce) -> Hashable:
        return (invariant.is_ready, invariant.has_announced, invariant.cause and invariant.cause[0])

    def _of_order(self, invariant: AudioIsHandedOverInOrder) -> Hashable:
        is_cut = invariant.fresh_from == self.session.fresh_from
        return (invariant.has_audio, invariant.handed - self.session.handed, is_cut)

    def _of_order_at_the_end(self, invariant: AudioIsHandedOverInOrder) -> Hashable:
        return (invariant.has_audio, invariant.handed - self.session.handed)

    def _of_tools(self, invariant: ToolsAreAnsweredOnce) -> Hashable:
        return (len(invariant.seen), len(invariant.running), len(invariant.running & invariant.awaited))

    def _of_speaking(self, invariant: SpeakingIsAudible) -> Hashable:
        session = self.session
        is_same = (invariant.fresh_from, invariant.turn) == (session.fresh_from, session.response_turn)
        unheard = invariant.handed - invariant.heard
        return (unheard, invariant.is_streaming, is_same or not invariant.is_streaming)

    def _of_replies(self, invariant: RepliesAreAskedForOnce) -> Hashable:
        return self.world.asks_replies and (invariant.is_running, invariant.is_asked)

    def _of_reports(self, invariant: CutSpeechIsReported) -> Hashable:
        is_latest = invariant.latest == self.session.latest_item
        return self.world.asks_replies and (invariant.is_running, invariant.is_asked, is_latest)

    def _of_sending(self, invariant: SendsOnlyWhileOpen) -> Hashable:
        return (
            invariant.has_opened,
            invariant.is_open,
            invariant.has_greeted,
            invariant.has_closed,
            invariant.has_dropped,
        )


def _timer_of(call_id: str) -> str:
    return f"approval {call_id}"


def _names(timers: Collection[str]) -> Hashable:
    """Return the names of timers, and of those of approvals how many: whose they are, _asked tells."""
    others = [name for name in timers if not name.startswith("approval ")]
    return (frozenset(others), len(timers) - len(others))


# Of the invariant that approvals are answered once, _asked tells.
_MEMORIES_AT_THE_END: dict[type[Invariant], Callable[[Node, Any], Hashable]] = {
    IdleHoldsNothing: Node._of_idle,
    EndIsAnnouncedOnce: Node._of_end,
    AudioIsHandedOverInOrder: Node._of_order_at_the_end,
    SendsOnlyWhileOpen: Node._of_sending,
}
_MEMORIES: dict[type[Invariant], Callable[[Node, Any], Hashable]] = {
    **_MEMORIES_AT_THE_END,
    AudioIsHandedOverInOrder: Node._of_order,
    ToolsAreAnsweredOnce: Node._of_tools,
    SpeakingIsAudible: Node._of_speaking,
    RepliesAreAskedForOnce: Node._of_replies,
    CutSpeechIsReported: Node._of_reports,
}


@attrs.define
class Search:
    """Everything that was found.

    Attributes:
        nodes: All nodes.
        rows: All rows that were taken.
        effects: Classes of all effects that were asked for.
        edges: How many events were followed.
    """

    nodes: list[Node] = attrs.field(factory=list)
    rows: set[Row] = attrs.field(factory=set)
    effects: set[type[Effect]] = attrs.field(factory=set)
    edges: int = 0

    @classmethod
    def of(cls, options: SessionOptions, world: World, checker: InvariantChecker, plays: int) -> Search:
        """Search everything that is reachable from a new session."""
        found = cls()
        start = Node(Session(options), world, checker)
        seen, waiting = {start.key()}, deque([start])
        while waiting:
            node = waiting.popleft()
            found.nodes.append(node)
            for event in node.events(plays):
                successor, step = node.follow(event)
                if step.row is not None:
                    found.rows.add(step.row)
                found.edges += 1
                found.effects.update(map(type, step.effects))
                key = successor.key()
                if key not in seen:
                    seen.add(key)
                    waiting.append(successor)
        return found
