"""What the narrator shows, without a conversation."""

from __future__ import annotations

import io
import itertools
import logging
from types import SimpleNamespace

import attrs
import pytest

from convsm.live.narrator import Narrator, Notes, notes_on, reason_of
from convsm.live.timeline import Timeline
from convsm.machine.effects import Flush, PauseAudio, StateChanged
from convsm.machine.events import (
    AgentAudio,
    Interrupt,
    Interrupted,
    InterruptionDismissed,
    InterruptionSuspected,
    stamp,
)
from convsm.machine.table import ROWS
from convsm.observation import Measured, Metrics
from convsm.runtime.wiring import DisconnectionDetails
from convsm.turns.reports import UserState, UserStateChanged
from tests.observation.steps import watch


@pytest.fixture
def stage():
    stream = io.StringIO()
    return SimpleNamespace(stream=stream, narrator=Narrator(Timeline(stream)))


def change(target, event="Event", source="idle", at=100.0):
    return StateChanged(source, target, event, at)


def test_the_timeline_tells_who_did_what(stage):
    narrator = stage.narrator
    narrator.state_change(change("connecting", "Start", at=0.0))
    narrator.disconnect(DisconnectionDetails("error", 1011, message="it broke"))
    lines = stage.stream.getvalue().splitlines()
    assert lines[1] == "  0.00  connecting      app    Start: a conversation begins"
    assert narrator.is_over.is_set()
    assert lines[2].endswith("connecting      error  ended the conversation, close code 1011: it broke")


def test_what_is_said_is_a_line_each(stage):
    narrator = stage.narrator
    narrator.agent_response("Hello!")
    narrator.user_transcript("Hi.")
    narrator.correction("Hello!", "Hel...")
    assert [line.partition("idle")[2].split(maxsplit=1) for line in stage.stream.getvalue().splitlines()] == [
        ["agent", 'says "Hello!"'],
        ["user", 'said "Hi."'],
        ["agent", 'was heard as far as "Hel..."'],
    ]


class Told:
    """A conversation whose changes of state and measures the narrator is told, as a driver does."""

    def __init__(self, narrator):
        self.metrics = Metrics()
        self.watched = watch(self.metrics)
        self.narrator = narrator

    def step(self, at, event):
        event = attrs.evolve(event)
        stamp(event, at)
        asked = self.watched.session.handle(event)
        for found in self.metrics.observe(event, asked):
            self.narrator.measured(found)
        for effect in asked:
            if isinstance(effect, StateChanged):
                self.narrator.state_change(effect)
            elif isinstance(effect, PauseAudio | Flush):
                for found in self.metrics.note_silenced(at):
                    self.narrator.measured(found)


def test_a_false_interruption_reads_well(stage):
    told = Told(stage.narrator)
    told.step(1.0, AgentAudio(b"ab", 1))
    told.step(2.0, InterruptionSuspected())
    told.step(3.0, InterruptionDismissed())
    assert stage.stream.getvalue().splitlines()[1:] == [
        "  0.00  agent_speaking  agent  AgentAudio: first audio takes the floor",
        "  1.00  interrupted     user   InterruptionSuspected: tentative: silent at once,",
        "                               and nothing is lost if it was only a noise",
        "  2.00  agent_speaking  agent  InterruptionDismissed: a false interruption: on",
        "                               from the very sample",
    ]


@pytest.mark.parametrize("event", [Interrupt(), Interrupted(2, 2)])
def test_a_confirmed_interruption_is_told_though_the_state_stays(stage, event):
    told = Told(stage.narrator)
    told.step(1.0, AgentAudio(b"ab", 1))
    told.step(2.0, InterruptionSuspected())
    told.step(3.0, event)
    told.step(4.0, Interrupted(3, 3))
    *_, last = stage.stream.getvalue().splitlines()
    assert last[8:].lstrip() == "interrupted     user   interrupts indeed: what was paused is never heard"
    assert stage.stream.getvalue().count("indeed") == 1


def test_an_audio_of_a_later_turn_confirms_before_it_is_told(stage):
    told = Told(stage.narrator)
    told.step(1.0, AgentAudio(b"ab", 1))
    told.step(2.0, InterruptionSuspected())
    told.step(3.0, AgentAudio(b"ab", 2))
    whole = stage.stream.getvalue()
    assert whole.index("indeed") < whole.rindex("AgentAudio")


def test_what_is_cut_at_once_is_told_by_its_change_of_state_alone(stage):
    told = Told(stage.narrator)
    told.step(1.0, AgentAudio(b"ab", 1))
    told.step(2.0, Interrupted(2, 2))
    stage.narrator.measured(Measured("response_seconds", 1.0))
    assert "indeed" not in stage.stream.getvalue()


def test_that_the_user_is_away_or_back_is_told_and_that_they_speak_is_not(stage):
    states: list[UserState] = ["listening", "speaking", "listening", "away", "speaking", "listening"]
    for former, now in itertools.pairwise(states):
        stage.narrator.user_state(UserStateChanged(former, now, occurred_at=1.0, known_at=1.0))
    told = [line[24:].strip() for line in stage.stream.getvalue().splitlines()]
    assert told == ["user   is away: nobody has said anything for long", "user   is back"]


def test_every_change_of_state_has_the_reason_of_a_row():
    for row in ROWS:
        if row.target is None:
            continue
        for source in row.sources:
            reasons = {
                other.why
                for other in ROWS
                if other.trigger == row.trigger and other.target == row.target and source in other.sources
            }
            assert reason_of(StateChanged(source, row.target, row.trigger, 0.0)) in reasons


def test_a_change_without_a_row_has_no_reason():
    assert reason_of(change("connecting", "Nonsense")) == ""


def test_warnings_become_lines(stage):
    logger = logging.Logger("convsm.test")
    logger.addHandler(Notes(Timeline(stage.stream)))
    logger.warning("the %s is loose", "cable")
    logger.info("nothing happened")
    assert stage.stream.getvalue() == "  0.00  idle            note   the cable is loose\n"


def test_the_warnings_of_the_library_go_to_the_timeline_for_a_while(stage):
    with notes_on(Timeline(stage.stream)):
        logging.getLogger("convsm.session").warning("late")
    assert "note   late" in stage.stream.getvalue()
    assert logging.getLogger("convsm").propagate
    assert not logging.getLogger("convsm").handlers
