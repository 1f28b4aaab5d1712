"""Guards are predicates: they answer yes or no and change nothing, whatever they are asked about."""

from __future__ import annotations

import pytest

from convsm.machine import ROWS, Session
from convsm.machine.effects import Effect
from convsm.machine.events import Event, Start, TimerFired
from convsm.machine.guards import Guards
from convsm.testing.observation import snapshot
from tests.helpers import ready_session
from tests.machine.sequences import walk

GUARDS = sorted({(row.trigger, guard) for row in ROWS for guard in row.when})


def test_every_guard_has_a_sentence_for_the_documents():
    for _, name in GUARDS:
        sentence = getattr(Guards, name).__doc__
        assert sentence
        assert sentence.rstrip().endswith(".")


@pytest.mark.usefixtures("untraced")
def test_guards_answer_yes_or_no_and_change_nothing():
    answers: dict[str, set[bool]] = {guard: set() for _, guard in GUARDS}

    def ask(session: Session, event: Event) -> tuple[Effect, ...]:
        before = snapshot(session)
        for trigger, guard in GUARDS:
            if trigger == type(event).__name__:
                answers[guard].add(getattr(session, guard)(event))
        assert session == before
        return session.handle(event)

    both = {guard: {True, False} for _, guard in GUARDS}
    for seed in range(20_000):
        walk(seed, ask, noise=0.3)
        if answers == both:
            break
    assert answers == both


@pytest.mark.parametrize("name", ["ready", "settle", "hang_up", "drain", "close"])
def test_a_timer_is_due_under_its_own_name_and_token_only(name):
    session = ready_session()
    session.timers[name] = 7
    is_due = getattr(session, f"is_{name}_due")
    assert is_due(TimerFired(name, 7))
    assert not is_due(TimerFired(name, 6))
    assert not is_due(TimerFired("other", 7))
    del session.timers[name]
    assert not is_due(TimerFired(name, 7))


def test_a_session_is_unused_until_it_starts():
    session = Session()
    assert session.is_unused(Start())
    session.handle(Start())
    assert not session.is_unused(Start())
