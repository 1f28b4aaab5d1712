"""The automaton as Markdown: what every event does in every state, and every row with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from convsm.diagram.model import CONVERSATION, KINDS, Automaton, Input, inputs, sources
from convsm.machine.rows import Row

__all__ = ["matrix", "outcome"]


def matrix(automaton: Automaton = CONVERSATION) -> str:
    """Return what each event does in each state, then each event's rows, as Markdown."""
    events = inputs(automaton)
    lines = [
        "# States and events",
        "",
        "Generated from the table by `python -m convsm.diagram`; do not edit.",
        "",
        "Each cell tells what may come of an event in a state.",
        "Rows are tried from top to bottom and the first whose guards all hold is taken.",
        "",
        "- **→ state**: the state changes.",
        "- **stays**: something is done, the state stays.",
        "- **ignored**: a row says that nothing is to be done.",
        "- **refused**: there is no row. A command raises, any other event is reported as unexpected.",
        "",
    ]
    names = [state.name for state in automaton.states]
    lines += _table(["event", *names], [_outcomes(automaton, event, names) for event in events])
    lines += ["", "## States", ""]
    lines += _table(
        ["state", "meaning", "on leaving"],
        [[f"`{state.name}`", _cell(state.meaning), _code(state.on_leave)] for state in automaton.states],
    )
    if automaton.groups:
        lines.append("")
        lines += [f"- *{name}* is {_code(members)}." for name, members in automaton.groups.items()]
    for event in events:
        lines += _section(automaton, event)
    if automaton.glossary:
        lines += ["", "## Guards and effects", ""]
        used = _used(automaton)
        lines += _table(
            ["name", "meaning"],
            [[f"`{name}`", _cell(meaning)] for name, meaning in automaton.glossary.items() if name in used],
        )
    return "\n".join(lines) + "\n"


def outcome(row: Row) -> str:
    """Return in a word or two what becomes of the state when the row is taken."""
    if row.target is not None:
        return f"→ {row.target}"
    return "stays" if row.do else "ignored"


def _outcomes(automaton: Automaton, event: Input, names: Sequence[str]) -> list[str]:
    cells = [f"[`{event.name}`](#{event.name.lower()})"]
    for name in names:
        rows = [row for row in automaton.rows if row.trigger == event.name and name in row.sources]
        # Two rows may lead to one state for different reasons; the section below tells them apart.
        found = dict.fromkeys(outcome(row) for row in rows)
        cells.append("<br>".join(text.replace(" ", "&nbsp;") for text in found) or "refused")
    return cells


def _section(automaton: Automaton, event: Input) -> list[str]:
    rows = [(number, row) for number, row in enumerate(automaton.rows, 1) if row.trigger == event.name]
    cells = [
        [
            str(number),
            _cell(sources(automaton, row)),
            _code(row.when),
            outcome(row).replace(" ", "&nbsp;"),
            _code(row.do),
            _cell(row.why),
        ]
        for number, row in rows
    ]
    kind = KINDS[event.kind]
    about = f"{kind[0].upper()}{kind[1:]}. {event.meaning}".strip()
    return [
        "",
        f"## {event.name}",
        "",
        about,
        "",
        *_table(["row", "in", "guards", "outcome", "effects", "why"], cells),
    ]


def _used(automaton: Automaton) -> set[str]:
    names = {name for row in automaton.rows for name in (*row.when, *row.do)}
    return names | {name for state in automaton.states for name in state.on_leave}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
