"""`transitions` and a reference interpreter of 25 lines do the same with the same rows."""

from __future__ import annotations

from hypothesis import given

from convsm.machine import RefusedCommand, Session
from convsm.machine.effects import Effect
from convsm.machine.events import Event
from convsm.testing.observation import snapshot
from convsm.testing.strategies import Scenario, hostile_sequences, scenarios
from tests.machine.oracle import interpret
from tests.machine.sequences import Handle, walk


def attempt(
    handle: Handle, session: Session, event: Event
) -> tuple[tuple[Effect, ...], RefusedCommand | None]:
    """Return the effects of an event, and the refusal if it was refused."""
    try:
        return handle(session, event), None
    except RefusedCommand as refusal:
        return (), refusal


def handle_twice(session: Session, event: Event) -> tuple[Effect, ...]:
    """Let both interpreters handle an event, each on its own session, and compare all that came of it."""
    twin = snapshot(session)
    effects, refusal = attempt(Session.handle, session, event)
    other_effects, other_refusal = attempt(interpret, twin, event)
    assert (effects, str(refusal)) == (other_effects, str(other_refusal))
    assert session == twin
    if refusal is not None:
        raise refusal
    return effects


def check(scenario: Scenario) -> None:
    session = Session(scenario.options)
    for event in scenario.events:
        try:
            handle_twice(session, event)
        except RefusedCommand:
            continue


@given(scenarios())
def test_both_interpreters_agree_on_sequences_that_keep_the_contract(scenario: Scenario):
    check(scenario)


@given(hostile_sequences())
def test_both_interpreters_agree_on_hostile_sequences(scenario: Scenario):
    check(scenario)


def test_both_interpreters_agree_on_a_volume_that_keeps_the_contract(volume, first_seed):
    for seed in range(first_seed, first_seed + volume // 10):
        walk(seed, handle_twice)


def test_both_interpreters_agree_on_a_hostile_volume(volume, first_seed):
    for seed in range(first_seed, first_seed + volume // 10):
        walk(seed, handle_twice, noise=0.5)
