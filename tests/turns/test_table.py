"""The second table as literal data: complete, without contradiction, and run as it stands."""

from __future__ import annotations

import ast
import inspect

import pytest

from convsm.machine import Row
from convsm.machine.effects import EFFECTS as MACHINE_EFFECTS
from convsm.machine.emitting import Emitting
from convsm.machine.events import EVENTS as CONVERSATION
from convsm.turns import effects, events, session, table
from convsm.turns.effects import EFFECTS
from convsm.turns.emitters import TurnEmitters
from convsm.turns.ending import TurnEnding
from convsm.turns.events import COMMANDS, EVENTS, FACTS, HEARD
from convsm.turns.guards import TurnGuards
from convsm.turns.limits import TurnLimits
from convsm.turns.owed import OwedWords
from convsm.turns.protection import Protection
from convsm.turns.session import INTERPRETER
from convsm.turns.table import GROUPS, INITIAL, ROWS, STATES
from convsm.turns.words import WordGuards
from tests.machine.test_events import documented_fields

NAMES = [state.name for state in STATES]
MACHINE = INTERPRETER.machine


def methods(*kinds: type) -> set[str]:
    return {
        name
        for kind in kinds
        for name, value in vars(kind).items()
        if callable(value) and not name.startswith("_")
    }


def rows_of(trigger: str, source: str) -> list[Row]:
    return [row for row in ROWS if row.trigger == trigger and source in row.sources]


def test_the_states_are_those_of_user_and_turn():
    assert NAMES == ["inactive", "silent", "speaking", "endpointing", "committing", "committed", "away"]
    assert INITIAL == "inactive"
    assert set(GROUPS["active"]) == set(NAMES) - {"inactive"}
    assert all(state.meaning for state in STATES)


def test_triggers_are_the_event_classes():
    assert {row.trigger for row in ROWS} == set(EVENTS)
    assert len(EVENTS) == len(COMMANDS) + len(FACTS) + len(HEARD)
    # What both tables hear is one class; everything else has a name of its own.
    shared = {name for name in EVENTS if name in CONVERSATION}
    assert shared == {kind.__name__ for kind in HEARD}


def test_guards_and_emitters_are_exactly_those_that_are_named():
    assert {name for row in ROWS for name in row.when} == methods(TurnGuards, WordGuards)
    named = {name for row in ROWS for name in row.do}
    named |= {name for state in STATES for name in state.on_leave}
    assert named == methods(TurnEmitters, TurnLimits, TurnEnding, OwedWords, Protection, Emitting)
    for name in named | methods(TurnGuards, WordGuards):
        assert (getattr(session.UserTurn, name).__doc__ or "").rstrip().endswith("."), name


def test_rows_are_literals():
    names = {"QUIET", "ACTIVE", "EVERYWHERE", "VOICELESS", "LISTENING", "DECIDED"}
    [rows] = [
        statement.value
        for statement in ast.parse(inspect.getsource(table)).body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "ROWS"
    ]
    for node in ast.walk(rows):
        assert isinstance(
            node, ast.Tuple | ast.Call | ast.Constant | ast.Name | ast.keyword | ast.Load | ast.Starred
        ), ast.unparse(node)
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) == "row"
        elif isinstance(node, ast.Name):
            assert node.id in names | {"row"}


def test_every_event_has_a_row_in_every_state_and_each_group_ends_without_guards():
    for trigger in EVENTS:
        for source in NAMES:
            group = rows_of(trigger, source)
            assert [bool(row.when) for row in group] == [True] * (len(group) - 1) + [False], (trigger, source)


def test_no_row_leads_to_where_it_starts_and_no_two_say_the_same():
    assert [row for row in ROWS if row.target in row.sources] == []
    assert len({(row.trigger, row.sources, row.when) for row in ROWS}) == len(ROWS)


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


def test_no_timer_of_this_table_is_one_of_the_conversations():
    armed = {
        node.args[0].value
        for module in map(inspect.getmodule, (TurnEnding, TurnEmitters, TurnLimits, OwedWords, Protection))
        if module is not None
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "self._arm"
        and isinstance(node.args[0], ast.Constant)
    }
    assert armed == {
        "interruption",
        "dismissal",
        "decision",
        "endpointing",
        "prediction",
        "inquiry",
        "commit",
        "reply",
        "away",
        "transcription",
        "turn_limit",
        "promise",
        "aec_warmup",
    }
    assert not armed & {"ready", "settle", "hang_up", "drain", "close"}


def test_rows_that_decide_the_end_of_a_turn_limit_the_wait_for_what_follows():
    for row in ROWS:
        if row.target == "committed":
            assert row.do[-1] == "arm_reply_timer", row
        elif row.target == "committing":
            assert row.do[-1] == "arm_commit_timer", row


@pytest.mark.parametrize(
    "kind", [*(EVENTS[name] for name in EVENTS if name not in CONVERSATION), *EFFECTS.values()]
)
def test_events_and_effects_are_frozen_and_documented_to_the_field(kind):
    assert "__slots__" in vars(kind)
    fields = [field for field in kind.__attrs_attrs__ if field.name != "at" or kind in EFFECTS.values()]
    assert documented_fields(kind) == [field.name for field in fields]


def test_the_alphabets_are_complete_and_do_not_overlap():
    assert not set(EFFECTS) & set(MACHINE_EFFECTS)
    assert set(effects.__all__) == {*EFFECTS, "EFFECTS"}
    assert set(events.__all__) >= {name for name in EVENTS if name not in CONVERSATION}
