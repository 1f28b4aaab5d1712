"""Every state and context that can be reached with few plays and calls, and every event there."""

from __future__ import annotations

import functools
from random import Random

import pytest

from convsm.machine import ROWS, SessionOptions
from convsm.machine.effects import EFFECTS, Unexpected
from convsm.machine.events import End
from convsm.testing.invariants import HOSTILE, INVARIANTS, EndReachesIdle, IdleHoldsNothing, InvariantChecker
from convsm.testing.noise import hostile_event
from convsm.testing.observation import perform, row_for, snapshot
from convsm.testing.world import World
from tests.machine.search import Search
from tests.machine.sequences import walk

# After End: SocketOpened, SocketClosed, AudioStarted, AudioStopped, each at most once, and the close timer.
ANSWERS_AFTER_END = 5

# Text-only, needs audio, adapters answer in time, call ids, plays unheard. Approvals are searched apart, and
# so is a server that replies only when asked.
CONFIGURATIONS = {
    "audio needed": (False, True, True, 2, 2),
    "audio not needed": (False, False, True, 2, 2),
    "text-only": (True, True, True, 2, 0),
    "audio needed, late adapters": (False, True, False, 1, 1),
    "audio not needed, late adapters": (False, False, False, 1, 1),
    "text-only, late adapters": (True, True, False, 1, 0),
    "replies are asked for": (False, False, True, 1, 1),
    "approvals": (False, True, True, 1, 1),
    "text-only approvals, late adapters": (True, True, False, 1, 0),
}
in_every_configuration = pytest.mark.parametrize("name", CONFIGURATIONS)


@functools.cache
def search(name: str) -> Search:
    """Search a configuration once; every invariant is checked on every edge."""
    text_only, needs_audio, is_prompt, calls, plays = CONFIGURATIONS[name]
    asks_replies = name == "replies are asked for"
    return Search.of(
        SessionOptions(
            text_only=text_only,
            needs_audio=needs_audio,
            can_pause="approvals" not in name,
            asks_replies=asks_replies,
            hold_limit=1,
            approval_limit=1,
            pause_limit=2,
        ),
        World(
            is_prompt=is_prompt,
            asks_replies=asks_replies,
            call_ids=("call_1", "call_2")[:calls],
            approval_ids=("call_8", "call_9") if "approvals" in name else (),
            close_codes=(1000, 1006),
        ),
        InvariantChecker.of(kind for kind in INVARIANTS if is_prompt or kind is not IdleHoldsNothing),
        plays,
    )


@in_every_configuration
def test_every_invariant_holds_on_every_edge(name):
    assert search(name).edges > 5_000


@in_every_configuration
def test_every_state_is_reached(name):
    assert len({node.session.state for node in search(name).nodes}) == 7


def test_every_row_is_taken_but_those_that_only_a_broken_contract_takes():
    taken = set().union(*(search(name).rows for name in CONFIGURATIONS))
    missing = {(row.trigger, row.sources, row.when) for row in ROWS if row not in taken}
    # A socket that opened and reports that it never did: noted, so that the session still ends.
    assert missing == {("ConnectionFailed", ("closing",), ())}
    hostile = set()

    def collect(session, event):
        hostile.add(row_for(session, event))
        return session.handle(event)

    for seed in range(500):
        walk(seed, collect, noise=0.3)
    assert {row for row in ROWS if row not in taken} <= hostile


def test_every_effect_is_asked_for_and_adapters_in_time_meet_nothing_unexpected():
    assert set().union(*(search(name).effects for name in CONFIGURATIONS)) == set(EFFECTS.values())
    for name, (_, _, is_prompt, _, _) in CONFIGURATIONS.items():
        assert not is_prompt or Unexpected not in search(name).effects


@in_every_configuration
def test_from_everywhere_end_and_the_timers_alone_reach_idle(name):
    firings = 0
    for node in search(name).nodes:
        session = snapshot(node.session)
        session.handle(End())
        firings = max(firings, EndReachesIdle().firings(session) if session.state == "closing" else 0)
    assert firings == EndReachesIdle.firings_after_end


@in_every_configuration
def test_from_everywhere_end_and_the_answers_that_are_owed_reach_idle(name):
    steps = 0
    for node in search(name).nodes:
        if node.session.state != "idle":
            session, world = snapshot(node.session), snapshot(node.world)
            steps = max(steps, len(world.settle(session, ANSWERS_AFTER_END)))
            assert session.timers == {}
    assert 2 <= steps <= ANSWERS_AFTER_END


@in_every_configuration
def test_closing_is_left_by_timers_alone_and_always_has_one_armed(name):
    closing = [node.session for node in search(name).nodes if node.session.state == "closing"]
    assert all(session.timers for session in closing)
    firings = max(EndReachesIdle().firings(session) for session in closing)
    # The farewell of an agent that hung up on a server that does not close needs the most; text has none,
    # and where replies are asked for nobody hangs up.
    has_farewell = name.startswith("audio") or name == "approvals"
    assert firings == (EndReachesIdle.firings_at_most if has_farewell else EndReachesIdle.firings_after_end)


def test_the_search_meets_sessions_that_differ_in_each_part():
    nodes = search("audio not needed").nodes
    assert {node.session.handed - node.session.heard for node in nodes} == {0, 1, 2}
    assert {len(node.session.calls) for node in nodes} == {0, 1, 2}
    assert {node.session.audio for node in nodes} == {"none", "on", "stopping", "stopped"}
    assert {node.session.socket for node in nodes} == {
        "none",
        "opening",
        "open",
        "closing",
        "dropped",
        "closed",
    }
    assert {timer for node in nodes for timer in node.session.timers} == {
        "ready",
        "settle",
        "hang_up",
        "drain",
        "close",
    }


def test_a_hostile_event_anywhere_breaks_nothing_that_holds_whatever_comes():
    random = Random(0)
    for node in search("audio needed").nodes:
        for event in (hostile_event(random) for _ in range(20)):
            session = snapshot(node.session)
            node.checker.copy(HOSTILE).step(node.session, event, perform(session, event), session)
