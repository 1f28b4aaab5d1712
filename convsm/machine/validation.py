"""Checks that a table does not contradict itself; run at import, on literal data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from convsm.machine.errors import TableError
from convsm.machine.rows import Row, State

__all__ = ["validate"]


def validate(
    states: Iterable[State],
    rows: Iterable[Row],
    initial: str,
    triggers: Collection[str],
    groups: Mapping[str, tuple[str, ...]],
    guards: Sequence[type],
    emitters: type,
) -> None:
    """Check states and rows against the events and against the methods that they name.

    Args:
        states: The states.
        rows: The rows, in order.
        initial: Name of the first state.
        triggers: Names of all event classes.
        groups: Named groups of states.
        guards: The classes whose own public methods are the guards; the first has all of them.
        emitters: The class whose public methods are the emitters, those that it has from the guards left out.

    Raises:
        TableError: Something is unknown, unused, doubled or shadowed.
    """
    states, rows = tuple(states), tuple(rows)
    names = [state.name for state in states]
    if len(set(names)) != len(names):
        raise TableError("a state is declared twice")
    known = set(names)
    known_guards, known_emitters = _methods(guards), _methods(_above(emitters, guards[0]))
    _require(known, {initial}, "initial state")
    for name, members in groups.items():
        _require(known, members, f"group {name!r}")
    for state in states:
        _require(known_emitters, state.on_leave, f"state {state.name!r}")
    for row in rows:
        where = f"row {row.trigger} from {', '.join(row.sources)}"
        _require(triggers, {row.trigger}, where)
        _require(known, row.sources, where)
        if not row.sources or len(set(row.sources)) != len(row.sources):
            raise TableError(f"{where} names no source, or one twice")
        if row.target is not None:
            _require(known, {row.target}, where)
        _require(known_guards, row.when, where)
        _require(known_emitters, row.do, where)
        if not row.why:
            raise TableError(f"{where} gives no reason")
    _require_order(rows)
    used = {name for row in rows for name in (row.trigger, *row.when, *row.do)}
    used.update(name for state in states for name in state.on_leave)
    unused = {*triggers, *known_guards, *known_emitters} - used
    if unused:
        raise TableError(f"no row uses {', '.join(sorted(unused))}")
    unreachable = known - {initial} - {row.target for row in rows}
    if unreachable:
        raise TableError(f"no row leads to {', '.join(sorted(unreachable))}")


def _require(known: Collection[str], names: Iterable[str], where: str) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise TableError(f"{where} names {', '.join(unknown)}, which does not exist")


def _above(kind: type, base: type) -> list[type]:
    """Return a class and those it is made of, without a base and what that is made of."""
    return [each for each in kind.__mro__ if each not in base.__mro__]


def _methods(kinds: Iterable[type]) -> set[str]:
    return {
        name
        for kind in kinds
        for name, value in vars(kind).items()
        if callable(value) and not name.startswith("_")
    }


def _require_order(rows: tuple[Row, ...]) -> None:
    # `transitions` takes the first row whose guards hold, so a row behind one that asks no more is
    # dead, and a group without an unguarded row could decline an event in silence.
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for source in row.sources:
            earlier = groups.setdefault((row.trigger, source), [])
            if any(set(other.when) <= set(row.when) for other in earlier):
                raise TableError(f"a row {row.trigger} from {source} stands behind one that asks no more")
            earlier.append(row)
    for (trigger, source), group in groups.items():
        if group[-1].when:
            raise TableError(f"the rows {trigger} from {source} do not end with one without guards")
