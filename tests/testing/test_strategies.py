"""The strategies reach every class of the alphabet, and keep the contract when they say so."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import Phase, find, given, settings

from convsm.machine import Session, SessionOptions
from convsm.machine.events import COMMANDS, EVENTS, SERVER_EVENTS, AgentAudio, Event
from convsm.testing import noise
from convsm.testing.observation import perform
from convsm.testing.strategies import (
    Scenario,
    events,
    hostile_sequences,
    scenarios,
    session_options,
    steps_of,
)
from convsm.testing.vocabulary import sayings
from convsm.testing.world import World


@pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)
def test_every_class_of_events_can_be_drawn(kind: type[Event]):
    assert type(find(events(kind), lambda event: True)) is kind


@given(events())
def test_any_event_is_of_the_alphabet_and_can_be_handled(event: Event):
    assert type(event) in EVENTS.values()
    assert len(perform(Session(), event)) <= 3


@given(session_options(text_only=True))
def test_options_can_be_fixed(options: SessionOptions):
    assert options.text_only


@given(hostile_sequences(max_size=5))
def test_hostile_sequences_are_short_enough(scenario: Scenario):
    assert len(scenario.events) <= 5


@given(scenarios(text_only=False, max_size=15))
def test_a_scenario_keeps_the_contract(scenario: Scenario):
    session, world = Session(scenario.options), World(asks_replies=scenario.options.asks_replies)
    for event in scenario.events:
        assert event in world.offer(type(event))
        world.note(event, perform(session, event))


@pytest.mark.parametrize("state", ["listening", "agent_speaking", "interrupted", "tool_running", "closing"])
def test_scenarios_get_everywhere(state: str):
    def passes_there(scenario: Scenario) -> bool:
        session, path = Session(scenario.options), set()
        for event in scenario.events:
            perform(session, event)
            path.add(session.state)
        return state in path

    quickly = settings(max_examples=5_000, database=None, phases=[Phase.generate])
    find(scenarios(), passes_there, settings=quickly)


@given(steps_of(World()))
def test_the_steps_of_a_new_world_are_commands(event: Event):
    assert type(event) in COMMANDS


def test_a_hostile_event_can_be_any_and_comes_again_with_its_seed():
    random = Random(1)
    kinds = {type(noise.hostile_event(random)) for _ in range(2_000)}
    assert kinds == set(EVENTS.values())
    assert noise.hostile_event(Random(5)) == noise.hostile_event(Random(5))


def test_the_vocabulary_says_something_of_every_class_that_comes_over_a_socket():
    silent = {"SocketOpened", "ConnectionFailed", "SocketClosed"}
    for kind in SERVER_EVENTS:
        if kind.__name__ not in silent:
            said = sayings(kind, 5, ("call_1",), ("call_8",))
            assert said
            assert {type(event) for event in said} == {kind}
    assert {event.turn for event in sayings(AgentAudio, 5, ())} == {4, 5, 6}
