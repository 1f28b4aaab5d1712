"""Each invariant finds what it is there to find: a good step passes, the same step spoilt fails by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from convsm.machine import RefusedCommand, Session, effects, events
from convsm.testing.invariants import (
    HOSTILE,
    INVARIANTS,
    ChangesOnlyByARow,
    EndIsAnnouncedOnce,
    EveryPingIsAnswered,
    Invariant,
    InvariantChecker,
    RefusalsChangeNothing,
)
from convsm.testing.observation import ObservedStep, snapshot
from tests.helpers import drive
from tests.testing.recorded_steps import CALL, SPEAK, START, fails, spoil, steps, with_


def test_the_invariants_are_numbered_from_one_and_each_says_its_sentence():
    assert [kind.number for kind in INVARIANTS] == list(range(1, 15))
    assert len({kind.sentence for kind in INVARIANTS}) == 14
    assert all(kind.sentence.endswith(".") and kind.__doc__ for kind in INVARIANTS)
    assert [kind.number for kind in HOSTILE] == [1, 2, 4, 5, 6, 7, 9, 11, 12, 13]


# 1


def test_a_state_beyond_the_table_is_found():
    taken = steps(*START, events.Pinged(1))
    fails(
        ChangesOnlyByARow,
        taken,
        spoil(taken[-1], *taken[-1].effects, state="asleep"),
        "there is no such state",
    )


def test_a_change_that_no_row_makes_is_found():
    taken = steps(*SPEAK)
    step = spoil(taken[-1], *taken[-1].effects, state="interrupted")
    fails(ChangesOnlyByARow, taken, step, "its row leads to 'agent_speaking'")
    taken = steps(*START, events.SocketOpened())
    fails(ChangesOnlyByARow, taken, spoil(taken[-1], state="idle"), "its row leads to 'listening'")


def test_a_change_told_late_or_wrongly_or_not_at_all_is_found():
    taken = steps(*SPEAK)
    first, *rest = taken[-1].effects
    fails(ChangesOnlyByARow, taken, spoil(taken[-1], *rest), "the change was told wrongly")
    fails(ChangesOnlyByARow, taken, spoil(taken[-1], *rest, first), "the change was not told first")
    wrong = effects.StateChanged("listening", "idle", "AgentAudio", 0.0)
    fails(ChangesOnlyByARow, taken, spoil(taken[-1], wrong, *rest), "the change was told wrongly")
    taken = steps(*START, events.Pinged(1))
    fails(ChangesOnlyByARow, taken, with_(taken[-1], wrong), "a change was told that did not happen")


# 9


def test_a_refusal_that_leaves_a_trace_is_found():
    taken = steps(*START, events.SocketOpened())
    changed = spoil(taken[-1], *taken[-1].effects, handed=1)
    fails(RefusalsChangeNothing, taken, changed, "the session's data changed")
    fails(RefusalsChangeNothing, taken, spoil(taken[-1]), "it was refused with other effects")
    wrong = effects.Unexpected("SocketOpened", "idle")
    fails(RefusalsChangeNothing, taken, spoil(taken[-1], wrong), "it was refused with other effects")
    taken = steps(*START, events.Start())
    refused = effects.Unexpected("Start", "listening")
    fails(RefusalsChangeNothing, taken, spoil(taken[-1], refused), "it was refused with other effects")


def test_an_ignored_event_that_leaves_a_trace_is_found():
    taken = steps(*START, events.Played(9))
    fails(RefusalsChangeNothing, taken, spoil(taken[-1], heard=9), "the session's data changed")
    fails(
        RefusalsChangeNothing,
        taken,
        spoil(taken[-1], effects.Flush()),
        "it was ignored with effects",
    )


def test_an_event_with_a_row_that_is_called_unexpected_is_found():
    taken = steps(*START, events.Pinged(1))
    step = with_(taken[-1], effects.Unexpected("Pinged", "listening"))
    fails(RefusalsChangeNothing, taken, step, "it was called unexpected although it has a row")


# The checker


def test_a_checker_follows_a_session_and_hands_its_effects_on():
    session, checker = Session(), InvariantChecker()
    assert checker.handle(session, events.Start()) == drive(Session(), events.Start())
    with pytest.raises(RefusedCommand):
        checker.handle(session, events.Start())
    assert session.state == "connecting"


def test_a_checker_fails_at_the_step_that_breaks_an_invariant():
    session, checker = Session(), InvariantChecker()
    before = snapshot(session)
    asked = session.handle(events.Start())
    with pytest.raises(AssertionError, match="invariant 1 is broken"):
        checker.step(before, events.Start(), asked[1:], session)


def test_a_copied_checker_remembers_on_its_own():
    session, checker = Session(), InvariantChecker()
    for event in START:
        checker.handle(session, event)
    twin = checker.copy()
    assert twin == checker
    twin.handle(snapshot(session), CALL)
    assert twin != checker
    checker.handle(session, CALL)
    assert twin == checker
    assert [type(invariant) for invariant in checker.copy([EndIsAnnouncedOnce]).invariants] == [
        EndIsAnnouncedOnce
    ]


def test_a_checker_of_some_checks_only_those():
    checker = InvariantChecker.of([EveryPingIsAnswered])
    assert [type(invariant) for invariant in checker.invariants] == [EveryPingIsAnswered]
    checker.step(Session(), events.Start(), (), Session(state="asleep"))


def test_an_invariant_without_a_check_is_a_mistake():
    with pytest.raises(NotImplementedError):
        Invariant().check(steps(events.Start())[0])


def test_a_failure_shortens_what_is_long():
    class Broken(Invariant):
        number, sentence = 0, "Nothing is long."

        def check(self, step: ObservedStep) -> None:
            self.fail(step, "it is")

    [*_, step] = steps(*START, events.AgentAudio(bytes(10_000), 1), events.Played(1))
    for taken in (step, steps(*START, events.AgentAudio(bytes(10_000), 1))[-1]):
        with pytest.raises(AssertionError) as failure:
            Broken().check(taken)
        assert len(str(failure.value)) < 2_000


def test_the_invariants_need_no_hypothesis():
    code = (
        "import sys, convsm.testing.invariants, convsm.testing.world, convsm.testing.noise\n"
        "assert 'hypothesis' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
