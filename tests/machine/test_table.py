"""The table as literal data: complete, without contradiction, and run as it stands."""

from __future__ import annotations

import ast
import inspect
from copy import deepcopy

import pytest

from convsm.machine import GROUPS, INITIAL, ROWS, STATES, Row, session, table
from convsm.machine.emitters import Emitters
from convsm.machine.emitting import Emitting
from convsm.machine.ending import Ending
from convsm.machine.events import COMMANDS, EVENTS, LOCAL_EVENTS, SERVER_EVENTS, SocketOpened
from convsm.machine.guards import Guards
from convsm.machine.replies import Replies
from convsm.machine.session import MACHINE

NAMES = [state.name for state in STATES]
OPEN = GROUPS["open"]
LIVE = ("connecting", *OPEN)


def methods(kind: type) -> set[str]:
    return {name for name, value in vars(kind).items() if callable(value) and not name.startswith("_")}


def rows_of(trigger: str, source: str) -> list[Row]:
    return [row for row in ROWS if row.trigger == trigger and source in row.sources]


def test_the_states_are_the_seven():
    assert NAMES == [
        "idle",
        "connecting",
        "listening",
        "agent_speaking",
        "interrupted",
        "tool_running",
        "closing",
    ]
    assert INITIAL == "idle"
    assert all(state.meaning for state in STATES)


def test_triggers_are_the_event_classes():
    assert {row.trigger for row in ROWS} == set(EVENTS)


def test_every_guard_is_named_by_a_row_and_every_row_names_guards():
    assert {name for row in ROWS for name in row.when} == methods(Guards)


def test_every_emitter_is_named_by_a_row_or_a_state_and_they_name_emitters():
    named = {name for row in ROWS for name in row.do}
    emitters = methods(Emitters) | methods(Ending) | methods(Emitting) | methods(Replies)
    assert named | {name for state in STATES for name in state.on_leave} == emitters


def test_rows_are_literals():
    names = {"OPEN", "SILENT", "LIVE", "EVERYWHERE"}
    tree = ast.parse(inspect.getsource(table))
    [rows] = [
        statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "ROWS"
    ]
    for node in ast.walk(rows):
        assert isinstance(
            node,
            ast.Tuple | ast.Call | ast.Constant | ast.Name | ast.keyword | ast.Load | ast.Starred,
        ), ast.unparse(node)
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) == "row"
        elif isinstance(node, ast.Name):
            assert node.id in names | {"row"}


def test_every_group_of_rows_ends_with_one_without_guards_and_has_no_other():
    for trigger in EVENTS:
        for source in NAMES:
            group = rows_of(trigger, source)
            assert [bool(row.when) for row in group] == [True] * (len(group) - 1) + [False] * bool(group)


def test_no_row_leads_to_where_it_starts():
    # It would leave and enter without a StateChanged.
    assert [row for row in ROWS if row.target in row.sources] == []


def test_no_two_rows_say_the_same():
    assert len({(row.trigger, row.sources, row.when) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ("state", "commands"),
    [
        ("idle", {"Start", "End"}),
        ("closing", {"Interrupt", "End"}),
        *((state, {"Send", "Interrupt", "AnswerCall", "DecideApproval", "End"}) for state in LIVE),
    ],
)
def test_each_state_accepts_these_commands(state, commands):
    assert {kind.__name__ for kind in COMMANDS if rows_of(kind.__name__, state)} == commands


def test_whatever_an_open_socket_may_bring_has_a_row_until_idle():
    for kind in SERVER_EVENTS:
        states = {"connecting", "closing"} if kind.__name__ in ("SocketOpened", "ConnectionFailed") else LIVE
        for state in (*states, "closing"):
            assert rows_of(kind.__name__, state), (kind, state)


def test_whatever_an_adapter_may_bring_late_has_a_row_from_the_acceptance_on():
    for kind in LOCAL_EVENTS:
        for state in (*OPEN, "closing", "idle"):
            assert rows_of(kind.__name__, state), (kind, state)


# What holds for families of rows


def test_every_row_into_closing_says_who_and_winds_down_and_limits_the_wait():
    into = [row for row in ROWS if row.target == "closing"]
    assert {source for row in into for source in row.sources} == set(LIVE)
    for row in into:
        assert sum(name.startswith("blame_") for name in row.do) == 1, row
        assert "wind_down" in row.do, row
        assert {"arm_close_timer", "arm_drain_timer"} & set(row.do), row
        assert {"close_socket", "note_socket_closed"} & set(row.do), row
        # Audio is stopped, unless a farewell is heard first or no audio was ever started.
        assert ("stop_audio" in row.do) != ("arm_drain_timer" in row.do or row.sources == ("connecting",)), (
            row
        )


def test_only_rows_into_closing_say_who():
    for row in ROWS:
        if row.target != "closing":
            assert not any(name.startswith("blame_") for name in row.do), row


def test_the_end_is_announced_by_the_rows_into_idle_and_last():
    for row in ROWS:
        if row.target == "idle":
            assert row.do[-1] == "announce_end"
            assert "cancel_closing_timers" in row.do
        else:
            assert "announce_end" not in row.do


def test_nothing_is_sent_in_closing():
    sending = {"transmit", "transmit_audio", "answer_ping", "answer_call", "release_held", "send_opening"}
    for row in ROWS:
        if "closing" in row.sources:
            assert not sending & set(row.do), row


def test_a_timer_that_is_replaced_in_closing_is_replaced_with_all_the_others():
    for row in ROWS:
        if row.sources == ("closing",) and "stop_audio" in row.do:
            assert row.do[-3:] == ("cancel_closing_timers", "stop_audio", "arm_close_timer")


def test_a_pong_comes_first():
    assert {row.do[0] for row in ROWS if row.trigger == "Pinged" and row.sources == LIVE} == {"answer_ping"}


# How `transitions` runs it


def test_the_interpreter_knows_no_model_and_no_transition_beyond_the_table():
    assert MACHINE.models == []
    assert not MACHINE.has_queue
    assert not MACHINE.send_event
    assert not MACHINE.auto_transitions
    assert not MACHINE.ignore_invalid_triggers
    assert set(MACHINE.events) == set(EVENTS)
    assert set(MACHINE.states) == set(NAMES)


def test_the_interpreter_holds_the_rows_in_their_order():
    for trigger, event in MACHINE.events.items():
        for source in NAMES:
            found = [
                (
                    transition.dest,
                    tuple(condition.func for condition in transition.conditions),
                    tuple(transition.before),
                )
                for transition in event.transitions.get(source, ())
            ]
            assert found == [(row.target, row.when, row.do) for row in rows_of(trigger, source)]


def test_the_table_is_not_written_to_by_its_interpreter():
    source = inspect.getsource(table)
    fresh: dict[str, object] = {"__name__": "fresh"}
    exec(compile(source, "table.py", "exec"), fresh)
    assert repr(fresh["ROWS"]) == repr(ROWS)
    assert repr(fresh["STATES"]) == repr(STATES)
    assert all(isinstance(part, tuple) for row in ROWS for part in (row.sources, row.when, row.do))


def test_sessions_are_not_decorated():
    made = session.Session()
    assert not hasattr(made, "__dict__")
    assert not any(hasattr(made, name) for name in ("trigger", "is_idle", "may_Start", "Start", "to_closing"))
    made.handle(EVENTS["Start"]())
    made.handle(SocketOpened())
    assert MACHINE.models == []


def test_only_the_interpreter_writes_the_state():
    for module in (session, *map(inspect.getmodule, (Emitters, Ending, Guards))):
        assert module is not None
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            targets = node.targets if isinstance(node, ast.Assign) else []
            assert "self.state" not in [ast.unparse(target) for target in targets]


def test_rows_can_be_copied_compared_and_hashed():
    assert deepcopy(ROWS) == ROWS
    assert len(set(ROWS)) == len(ROWS)
