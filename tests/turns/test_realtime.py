"""A server that ends turns and interrupts by itself: what is told of it, and what stays here."""

from __future__ import annotations

from convsm.machine.effects import Flush, PauseAudio
from convsm.machine.events import Interrupted
from convsm.turns.events import InterruptAgent
from convsm.turns.reports import UserInterruptionDetected
from tests.turns.stage import SERVER_OWNED, Stage, handling, near


def owned(**settings: object) -> Stage:
    """Return a stage whose server ends the turns; the agent speaks from 1.0 to 11.0."""
    return Stage(handling(turn_detection="server", **settings), SERVER_OWNED).agent(1.0, 10.0)


def interruptions(stage: Stage) -> list[tuple[bool, float, float]]:
    found = stage.facts(UserInterruptionDetected)
    return [(one.is_tentative, one.occurred_at, one.known_at) for one in found]


# Interruptions that the server declares


def test_an_interruption_that_only_the_server_heard_is_told_when_it_is_declared():
    stage = owned().at(5.0, Interrupted(2, 2)).run(9)
    assert stage.when(Flush) == near(5.0)
    assert interruptions(stage) == [(False, 5.0, 5.0)]


def test_speech_that_was_heard_here_dates_it():
    stage = owned().user(4.8, 6.0).at(5.0, Interrupted(2, 2)).run(9)
    assert interruptions(stage) == [(False, 4.8, 5.0)]


def test_speech_from_before_the_agent_began_does_not():
    stage = owned().user(0.1, 0.6, silence=0.2).at(5.0, Interrupted(2, 2)).run(9)
    assert interruptions(stage) == [(False, 5.0, 5.0)]


def test_what_was_told_as_tentative_is_not_told_again():
    stage = owned().user(4.0, 6.0).at(5.0, Interrupted(2, 2)).run(9)
    assert stage.when(PauseAudio) == near(4.5)
    assert interruptions(stage) == [(True, 4.0, 4.5)]


def test_an_interruption_by_hand_is_not_the_users_and_a_late_one_of_the_servers_cuts_nothing():
    stage = owned().at(5.0, InterruptAgent()).at(5.1, Interrupted(2, 2)).run(9)
    assert interruptions(stage) == []


def test_an_interruption_of_nobody_is_not_told():
    stage = owned().at(0.5, Interrupted(1, 1)).run(0.9)
    assert interruptions(stage) == []
