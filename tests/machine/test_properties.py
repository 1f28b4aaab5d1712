"""The invariants, over random sequences: a state machine that shrinks what it finds, and sheer volume."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from convsm.machine import RefusedCommand, Session, SessionOptions
from convsm.machine.events import COMMANDS, EVENTS, LOCAL_EVENTS, SERVER_EVENTS, Event
from convsm.testing.invariants import (
    HOSTILE,
    INVARIANTS,
    IdleHoldsNothing,
    InvariantChecker,
)
from convsm.testing.observation import perform
from convsm.testing.strategies import (
    Scenario,
    events,
    hostile_sequences,
    scenarios,
    session_options,
    steps_of,
)
from convsm.testing.world import World
from tests.machine.sequences import LENGTH, walk

# All but the one that adapters which answer too late cannot keep for the session.
WITHOUT_ANSWERS = [kind for kind in INVARIANTS if kind is not IdleHoldsNothing]


class Conversation(RuleBasedStateMachine):
    """One session in a world that keeps the contract; every step is checked."""

    @initialize(options=session_options(), well=st.integers(0, 4))
    def begin(self, options: SessionOptions, well: int) -> None:
        self.session, self.world, self.checker = Session(options), World(), InvariantChecker()
        for _ in range(well):
            for event in self.world.owed()[:1]:
                self.step(event)

    def step(self, event: Event) -> None:
        try:
            effects = self.checker.handle(self.session, event)
        except RefusedCommand:
            effects = ()
        self.world.note(event, effects)

    def choose(self, data: st.DataObject, kinds: tuple[type[Event], ...]) -> Event:
        offers = [offer for kind in kinds if (offer := self.world.offer(kind))]
        return data.draw(st.sampled_from(offers).flatmap(st.sampled_from))

    @rule(data=st.data())
    def command(self, data: st.DataObject) -> None:
        self.step(self.choose(data, COMMANDS))

    @precondition(lambda self: self.world.owed())
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self.step(data.draw(st.sampled_from(self.world.owed())))

    @precondition(lambda self: self.world.socket in ("opening", "open"))
    @rule(data=st.data())
    def hear_from_the_socket(self, data: st.DataObject) -> None:
        self.step(self.choose(data, SERVER_EVENTS))

    @precondition(lambda self: any(self.world.offer(kind) for kind in LOCAL_EVENTS))
    @rule(data=st.data())
    def hear_from_an_adapter(self, data: st.DataObject) -> None:
        self.step(self.choose(data, LOCAL_EVENTS))

    def teardown(self) -> None:
        if hasattr(self, "session") and self.session.state != "idle":
            self.world.settle(self.session)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=150, stateful_step_count=50)


def check(session: Session, events: Iterable[Event], checker: InvariantChecker) -> None:
    for event in events:
        try:
            checker.handle(session, event)
        except RefusedCommand:
            assert type(event) in COMMANDS


@given(scenarios())
def test_every_invariant_holds_over_sequences_that_keep_the_contract(scenario: Scenario):
    check(Session(scenario.options), scenario.events, InvariantChecker())


@given(scenarios(is_prompt=False))
def test_only_idles_emptiness_depends_on_answers_in_time(scenario: Scenario):
    check(Session(scenario.options), scenario.events, InvariantChecker.of(WITHOUT_ANSWERS))


@given(hostile_sequences())
def test_whatever_comes_nothing_but_a_refused_command_is_raised(scenario: Scenario):
    check(Session(scenario.options), scenario.events, InvariantChecker.of(HOSTILE))


@given(scenarios(), st.lists(events(), max_size=5))
def test_hostile_events_in_the_middle_break_nothing_that_holds_whatever_comes(
    scenario: Scenario, hostile: list[Event]
):
    session, checker = Session(scenario.options), InvariantChecker()
    check(session, scenario.events, checker)
    check(session, hostile, checker.copy(HOSTILE))


@given(scenarios())
def test_the_same_events_give_the_same_effects(scenario: Scenario):
    def run() -> tuple[Any, Session]:
        session = Session(scenario.options)
        return [perform(session, event) for event in scenario.events], session

    assert run() == run()


@given(scenarios())
def test_what_a_world_offers_next_is_always_of_the_alphabet(scenario: Scenario):
    session, world = Session(scenario.options), World()
    for event in scenario.events:
        world.note(event, perform(session, event))
    assert {type(event) for kind in EVENTS.values() for event in world.offer(kind)} <= set(EVENTS.values())
    steps_of(world).validate()


# Volume: seeds count up from --seed; --long runs twenty times as many.


def test_every_invariant_holds_over_a_volume_of_sequences_that_keep_the_contract(volume, first_seed):
    for seed in range(first_seed, first_seed + volume * 6 // 10):
        session, world = walk(seed, InvariantChecker().handle)
        if session.state != "idle":
            world.settle(session)


def test_late_adapters_break_nothing_over_a_volume_of_sequences(volume, first_seed):
    for seed in range(first_seed, first_seed + volume // 10):
        walk(seed, InvariantChecker.of(WITHOUT_ANSWERS).handle, is_prompt=False)


def test_hostile_sequences_break_nothing_that_holds_whatever_comes_over_a_volume(volume, first_seed):
    for seed in range(first_seed, first_seed + volume // 10):
        walk(seed, InvariantChecker.of(HOSTILE).handle, noise=0.5)


def test_a_volume_is_as_long_as_promised():
    taken: list[Event] = []

    def count(session: Session, event: Event) -> tuple[Any, ...]:
        taken.append(event)
        return session.handle(event)

    walk(0, count)
    assert len(taken) == LENGTH
