"""What a table is made of: states and rows."""

from __future__ import annotations

import attrs

__all__ = ["Row", "State", "row"]


@attrs.frozen
class State:
    """A state of the conversation.

    Attributes:
        name: Its name.
        meaning: Its one meaning.
        on_leave: Emitters that run whenever it is left.
    """

    name: str
    meaning: str
    on_leave: tuple[str, ...] = ()


@attrs.frozen
class Row:
    """One fact of the automaton.

    Attributes:
        trigger: Name of an event class.
        sources: States in which the row applies.
        target: State it leads to; None stays, without leaving or entering anything.
        when: Names of guards that must all hold.
        do: Names of emitters, in order.
        why: The reason, for the documents.
    """

    trigger: str
    sources: tuple[str, ...]
    target: str | None
    when: tuple[str, ...]
    do: tuple[str, ...]
    why: str


def row(
    trigger: str,
    source: str | tuple[str, ...],
    target: str | None,
    *,
    when: tuple[str, ...] = (),
    do: tuple[str, ...] = (),
    why: str,
) -> Row:
    """Write down one row; a single source may stand without its tuple."""
    return Row(trigger, (source,) if isinstance(source, str) else source, target, when, do, why)
