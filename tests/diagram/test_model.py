from __future__ import annotations

import inspect

from hypothesis import given

from convsm.diagram.model import CONVERSATION, KINDS, Arrow, arrows, drawn_frames, inputs, readable, sources
from convsm.machine.events import EVENTS
from convsm.machine.session import Session
from tests.diagram.helpers import DOOR, automata


def expanded(arrow: Arrow, frames: dict[str, tuple[str, ...]]) -> set[str]:
    return {member for source in arrow.sources for member in frames.get(source, (source,))}


@given(automata())
def test_the_arrows_are_exactly_the_rows_that_have_a_target(automaton):
    frames = drawn_frames(automaton)

    drawn = [
        (arrow.number, arrow.trigger, expanded(arrow, frames), arrow.target) for arrow in arrows(automaton)
    ]

    changing = [(number, row) for number, row in enumerate(automaton.rows, 1) if row.target is not None]
    assert drawn == [(number, row.trigger, set(row.sources), row.target) for number, row in changing]


@given(automata())
def test_frames_share_neither_a_state_nor_its_name(automaton):
    assert set(drawn_frames(automaton)).isdisjoint(state.name for state in automaton.states)
    members = [member for frame in drawn_frames(automaton).values() for member in frame]

    assert len(members) == len(set(members))


def test_a_row_that_holds_in_a_whole_group_is_drawn_once_from_its_frame():
    fire = next(arrow for arrow in arrows(DOOR) if arrow.trigger == "Fire")

    assert fire.sources == ("inside", "shut")


def test_a_group_that_no_arrow_leaves_as_a_whole_has_no_frame():
    assert set(drawn_frames(DOOR)) == {"inside"}
    assert drawn_frames(CONVERSATION).keys() == {"open"}


def test_a_label_reads_event_guards_effects_without_bookkeeping():
    push = arrows(DOOR)[0]

    assert push == Arrow(
        1, "Push", "command", ("shut", "ajar"), "open", ("unlocked", "has handle"), ("greet",), "a guest"
    )
    assert " ".join(push.head()) == "Push [unlocked and has handle]"
    assert push.tail() == ("/ greet",)


def test_an_arrow_may_have_neither_guards_nor_effects():
    wind = arrows(DOOR)[1]

    assert (wind.head(), wind.tail()) == (("Wind",), ())


def test_an_unguarded_row_behind_guarded_ones_says_else():
    ready = [arrow for arrow in arrows(CONVERSATION) if arrow.trigger == "SessionReady"]

    assert [arrow.guards for arrow in ready] == [("has open calls",), ("else",)]


def test_a_guard_names_the_timer_in_words():
    assert readable("is_settle_due") == "settle due"
    assert readable("has_open_calls") == "has open calls"


def test_every_event_of_the_machine_is_shown_with_its_kind_and_meaning():
    shown = inputs(CONVERSATION)

    assert [event.name for event in shown] == list(EVENTS)
    assert {event.kind for event in shown} == set(KINDS)
    assert all(event.meaning for event in shown)


def test_a_trigger_that_is_not_declared_counts_as_a_server_event():
    assert [(event.name, event.kind) for event in inputs(DOOR)] == [
        ("Push", "command"),
        ("Wind", "local"),
        ("Fire", "server"),
    ]


def test_documents_name_whole_groups_and_all_states():
    assert [sources(DOOR, row) for row in DOOR.rows] == [
        "shut, ajar",
        "shut, ajar",
        "open",
        "shut, gone",
        "inside, shut",
    ]
    assert sources(CONVERSATION, CONVERSATION.rows[-1]) == "any state"


def test_what_the_pictures_leave_out_emits_nothing():
    named = {name for row in CONVERSATION.rows for name in row.do}
    left_out = {name for name in named if name.startswith(CONVERSATION.bookkeeping)}

    assert left_out
    for name in left_out:
        code = inspect.getsource(getattr(Session, name))
        assert not any(call in code for call in ("_emit(", "_arm(", "_cancel(")), name


def test_every_bookkeeping_prefix_is_in_use():
    named = {name for row in CONVERSATION.rows for name in row.do}

    assert [
        prefix for prefix in CONVERSATION.bookkeeping if not any(name.startswith(prefix) for name in named)
    ] == []


def test_the_picture_stays_near_thirty_arrows():
    assert len(arrows(CONVERSATION)) <= 38


def test_every_guard_and_emitter_has_a_meaning():
    assert all(CONVERSATION.glossary.values())
