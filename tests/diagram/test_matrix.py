from __future__ import annotations

import attrs

from convsm.diagram import matrix
from convsm.diagram.model import CONVERSATION
from convsm.machine.events import EVENTS
from convsm.machine.session import MACHINE
from tests.diagram.helpers import DOOR


def grid(text: str) -> dict[str, dict[str, str]]:
    """Read the first table: event → state → cell."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    head = [cell.strip() for cell in lines[0].split("|")[2:-1]]
    found = {}
    for line in lines[2 : lines.index("| state | meaning | on leaving |")]:
        name, *cells = [cell.strip() for cell in line.split("|")[1:-1]]
        found[name.split("`")[1]] = dict(zip(head, cells, strict=True))
    return found


def test_every_cell_says_what_may_come_of_it():
    assert grid(matrix(DOOR)) == {
        "Push": {
            "shut": "→&nbsp;open<br>stays",
            "open": "refused",
            "ajar": "→&nbsp;open<br>stays",
            "gone": "refused",
        },
        "Wind": {"shut": "ignored", "open": "→&nbsp;ajar", "ajar": "refused", "gone": "ignored"},
        "Fire": {"shut": "→&nbsp;gone", "open": "→&nbsp;gone", "ajar": "→&nbsp;gone", "gone": "refused"},
    }


def test_the_conversation_refuses_exactly_what_its_interpreter_has_no_row_for():
    cells = grid(matrix())

    assert list(cells) == list(EVENTS)
    for event, row in cells.items():
        known = {state for state, cell in row.items() if cell != "refused"}
        assert known == set(MACHINE.events[event].transitions)


def test_every_row_stands_in_its_events_section_with_its_reason():
    text = matrix()

    for number, row in enumerate(CONVERSATION.rows, 1):
        section = text.partition(f"\n## {row.trigger}\n")[2].partition("\n## ")[0]
        line = next(line for line in section.splitlines() if line.startswith(f"| {number} |"))
        assert line.endswith(f" | {row.why} |")
        assert all(f"`{name}`" in line for name in (*row.when, *row.do))


def test_every_guard_and_emitter_is_explained():
    text = matrix().partition("\n## Guards and effects\n")[2]

    named = {name for row in CONVERSATION.rows for name in (*row.when, *row.do)}
    assert [name for name in sorted(named) if f"| `{name}` | " not in text] == []


def test_only_what_is_used_is_explained():
    text = matrix(DOOR)

    assert "| `is_unlocked` | Nobody turned the key. |" in text
    assert "Nowhere." not in text


def test_sections_name_kind_meaning_and_groups():
    text = matrix(DOOR)

    assert "\n## Push\n\nCommand (API call). Somebody pushes.\n" in text
    assert "\n## Fire\n\nServer event.\n" in text
    assert "- *inside* is `open`, `ajar`.\n" in text
    assert "| 5 | inside, shut |" in text


def test_a_bar_in_a_reason_breaks_no_table():
    assert "| locked \\| barred |" in matrix(DOOR)


def test_an_automaton_needs_neither_groups_nor_glossary():
    text = matrix(attrs.evolve(DOOR, groups={}, glossary={}))

    assert "inside" not in text
    assert "Guards and effects" not in text


def test_it_says_how_it_was_made():
    assert "Generated from the table by `python -m convsm.diagram`" in matrix().splitlines()[2]
