"""The lines of the timeline, on pipes and on terminals."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.live.timeline import Timeline, actor, bar
from convsm.machine.events import EVENTS
from convsm.machine.table import STATES
from tests.live.streams import FailingStream, Stream


def timeline(**options):
    stream = Stream()
    made = Timeline(stream, **options)
    made.begin(100.0)
    return made, stream


@pytest.fixture
def environment(monkeypatch):
    for name in ("NO_COLOR", "TERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_line_tells_time_state_who_and_what():
    lines, stream = timeline()
    lines.add(101.5, "agent", "AgentAudio: first audio", "agent_speaking")
    lines.add(102.25, "user", "said yes")
    assert stream.getvalue().splitlines() == [
        "  time  state           who    what",
        "  1.50  agent_speaking  agent  AgentAudio: first audio",
        "  2.25  agent_speaking  user   said yes",
    ]
    assert lines.state == "agent_speaking"


def test_time_never_runs_backwards_when_threads_overtake_each_other():
    lines, stream = timeline()
    lines.add(101.5, "agent", "later")
    lines.add(101.4, "agent", "earlier")
    assert [line[:6] for line in stream.getvalue().splitlines()[1:]] == ["  1.50", "  1.50"]


def test_what_comes_before_the_beginning_is_at_zero():
    stream = Stream()
    Timeline(stream).add(7.0, "note", "early")
    assert stream.getvalue() == "  0.00  idle            note   early\n"


@given(
    what=st.text(),
    state=st.none() | st.sampled_from([state.name for state in STATES]),
    at=st.floats(0, 99),
    columns=st.integers(60, 80),
)
def test_no_line_is_wider_than_the_columns_nor_has_control_characters(what, state, at, columns):
    lines, stream = timeline(columns=columns)
    lines.add(100 + at, "agent", what, state)
    lines.text(what)
    assert all(len(line) <= columns for line in stream.getvalue().split("\n"))
    assert stream.getvalue().replace("\n", "").isprintable()


@given(what=st.text(), columns=st.integers(60, 80))
def test_the_last_line_leaves_a_column_free(what, columns):
    lines, stream = timeline(columns=columns, is_live=True)
    lines.show(101.0, "agent", what)
    shown = stream.getvalue().rpartition("\r\x1b[K")[2]
    assert len(shown) < columns
    assert shown.isprintable()


def test_on_a_terminal_a_new_line_takes_the_place_of_the_last_one():
    lines, stream = timeline(is_live=True)
    lines.show(101.0, "agent", "speaks")
    stream.truncate(0)
    stream.seek(0)
    lines.add(102.0, "user", "said no")
    assert stream.getvalue() == "\r\x1b[K  2.00  idle            user   said no\n"
    lines.show(103.0, "agent", "speaks")
    lines.finish()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_pipe_gets_no_last_line():
    lines, stream = timeline()
    before = stream.getvalue()
    lines.show(101.0, "agent", "speaks")
    lines.finish()
    assert stream.getvalue() == before


def test_states_are_bold_when_they_begin_and_every_state_has_its_colour():
    lines, stream = timeline(is_coloured=True)
    for state in STATES:
        lines.add(101.0, "agent", "comes", state.name)
        lines.add(101.0, "agent", "goes on")
    colours = re.findall(r"\x1b\[([12]);(\d+)m(\w+) *\x1b\[0m", stream.getvalue())
    assert [(weight, name) for weight, _, name in colours] == [
        (weight, state.name) for state in STATES for weight in "12"
    ]
    assert "39" not in {colour for _, colour, _ in colours}


def test_a_terminal_is_live_and_coloured_and_a_pipe_is_neither(environment):
    environment.setenv("COLUMNS", "200")
    made = Timeline.on(Stream(is_terminal=True))
    assert (made.is_live, made.is_coloured, made.columns) == (True, True, 80)
    made = Timeline.on(Stream())
    assert (made.is_live, made.is_coloured, made.columns) == (False, False, 80)


def test_a_narrow_terminal_gets_narrow_lines(environment):
    environment.setenv("COLUMNS", "70")
    assert Timeline.on(Stream(is_terminal=True)).columns == 70
    environment.setenv("COLUMNS", "20")
    assert Timeline.on(Stream(is_terminal=True)).columns == 60


def test_no_color_and_a_dumb_terminal_are_respected(environment):
    environment.setenv("NO_COLOR", "1")
    made = Timeline.on(Stream(is_terminal=True))
    assert made.is_live
    assert not made.is_coloured
    environment.delenv("NO_COLOR")
    environment.setenv("TERM", "dumb")
    made = Timeline.on(Stream(is_terminal=True))
    assert not made.is_live
    assert not made.is_coloured


def test_a_stream_that_cannot_write_something_gets_a_question_mark():
    stream = Stream("cp1252")
    lines = Timeline(stream)
    lines.text("nëin, 語")
    assert stream.getvalue() == "nëin, ?\n"
    assert lines.glyphs == "#."
    assert Timeline(Stream("utf-8")).glyphs == "█░"


def test_a_failing_stream_is_noted_once_and_left_alone():
    lines = Timeline(FailingStream())
    lines.text("one")
    fault = lines.fault
    lines.text("two")
    assert isinstance(fault, BrokenPipeError)
    assert lines.fault is fault


@given(fraction=st.floats(-1, 2), width=st.integers(0, 40))
def test_a_bar_has_its_width_and_is_as_full_as_asked(fraction, width):
    drawn = bar(fraction, width)
    assert len(drawn) == width
    assert drawn == "#" * drawn.count("#") + "." * drawn.count(".")
    assert abs(drawn.count("#") - min(max(fraction, 0), 1) * width) <= 0.5


def test_every_event_has_somebody_who_makes_it_happen_and_fits_the_column():
    actors = {name: actor(name) for name in EVENTS}
    assert set(actors.values()) == {"app", "agent", "user", "sound", "tool", "timer"}
    assert max(map(len, actors.values())) <= 5
    assert actors["Start"] == "app"
    assert actors["Interrupt"] == "user"
    assert actors["InterruptionSuspected"] == "user"
    assert actors["InterruptionDismissed"] == "agent"
    assert actors["Played"] == "sound"
    assert actors["SocketClosed"] == "agent"
