"""What the narrator shows, without a conversation."""

from __future__ import annotations

import io
import logging
from types import SimpleNamespace

import pytest

from convsm.live.narrator import Narrator, Notes, notes_on, reason_of
from convsm.live.timeline import Timeline
from convsm.machine.effects import StateChanged
from convsm.machine.table import ROWS
from convsm.runtime.wiring import DisconnectionDetails


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
