"""Checks that a table does not contradict itself; run at import, on literal data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from convsm.machine.errors import TableError
from convsm.machine.table import Row, State

__all__ = ["validate"]


def validate(
    states: Iterable[State],
    rows: Iterable[Row],
    initial: str,
    triggers: Collection[str],
    groups: Mapping[str, tuple[str, ...]],
    model: type,
) -> None:
    """Check states and rows against the events and the model whose methods they name.

    Args:
        states: The states.
        rows: The rows, in order.
        initial: Name of the first state.
        triggers: Names of all event classes.
        groups: Named groups of states.
        model: The class whose methods are guards and emitters.

    Raises:
        TableError: Something is unknown, unused, doubled or shadowed.
    """
    states, rows = tuple(states), tuple(rows)
    names = [state.name for state in states]
    if len(set(names)) != len(names):
        raise TableError("a state is declared twice")
    known = set(names)
    _require(known, {initial}, "initial state")
    for name, members in groups.items():
        _require(known, members, f"group {name!r}")
    for state in states:
        _require_methods(model, state.on_leave, f"state {state.name!r}")
    for row in rows:
        where = f"row {row.trigger} from {', '.join(row.sources)}"
        _require(set(triggers), {row.trigger}, where)
        _require(known, row.sources, where)
        if len(set(row.sources)) != len(row.sources):
            raise TableError(f"{where} names a source twice")
        if row.target is not None:
            _require(known, {row.target}, where)
        _require_methods(model, (*row.when, *row.do), where)
        if not row.why:
            raise TableError(f"{where} gives no reason")
    _require_order(rows)
    unused = set(triggers) - {row.trigger for row in rows}
    if unused:
        raise TableError(f"no row uses {', '.join(sorted(unused))}")
    unreachable = known - {initial} - {row.target for row in rows}
    if unreachable:
        raise TableError(f"no row leads to {', '.join(sorted(unreachable))}")


def _require(known: Collection[str], names: Iterable[str], where: str) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise TableError(f"{where} names {', '.join(unknown)}, which does not exist")


def _require_methods(model: type, names: Iterable[str], where: str) -> None:
    missing = sorted({name for name in names if not callable(getattr(model, name, None))})
    if missing:
        raise TableError(f"{where} names {', '.join(missing)}, which {model.__name__} does not have")


def _require_order(rows: tuple[Row, ...]) -> None:
    # `transitions` takes the first row whose guards hold, so a row behind an unguarded one is dead,
    # and a group without an unguarded row could decline an event in silence.
    closed: dict[tuple[str, str], bool] = {}
    for row in rows:
        for source in row.sources:
            key = (row.trigger, source)
            if closed.get(key):
                raise TableError(f"a row {row.trigger} from {source} stands behind one without guards")
            closed[key] = not row.when
    for (trigger, source), is_closed in closed.items():
        if not is_closed:
            raise TableError(f"the rows {trigger} from {source} do not end with one without guards")
