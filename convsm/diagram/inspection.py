"""The rows and their reasons as plain text for a terminal."""

from __future__ import annotations

from difflib import get_close_matches
from textwrap import fill

from convsm.diagram.model import CONVERSATION, KINDS, Automaton, Input, inputs
from convsm.errors import ConfigurationError
from convsm.machine.rows import Row, State

__all__ = ["inspect"]

_WIDTH = 80


def inspect(name: str | None = None, automaton: Automaton = CONVERSATION) -> str:
    """Return the rows of a state or an event with their reasons, or of all events.

    Args:
        name: Name of a state or an event in any case; None for everything.
        automaton: The automaton to look into.

    Raises:
        ConfigurationError: Neither a state nor an event has that name.
    """
    states = {state.name: state for state in automaton.states}
    events = {event.name: event for event in inputs(automaton)}
    if name is None:
        parts = [*(_overview(state) for state in states.values()), ""]
        parts += [_event(automaton, event) for event in events.values()]
        return "\n".join(parts).rstrip("\n") + "\n"
    # A state and an event may differ only in case: the exact name goes first, then the state.
    lowered: dict[str, str] = {}
    for known in (*states, *events):
        lowered.setdefault(known.lower(), known)
    found = name if name in states or name in events else lowered.get(name.lower())
    if found is None:
        close = [lowered[match] for match in get_close_matches(name.lower(), lowered)]
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ConfigurationError(
            f"no state or event is called {name!r}; {hint}"
            f"States: {', '.join(states)}. Events: {', '.join(events)}."
        )
    if found in states:
        return _state(automaton, states[found], events)
    return _event(automaton, events[found]).rstrip("\n") + "\n"


def _overview(state: State) -> str:
    lines = [_filled(f"{state.name}: {state.meaning}", "", "    ")]
    if state.on_leave:
        lines.append(_filled(f"on leaving: {', '.join(state.on_leave)}", "    ", "        "))
    return "\n".join(lines)


def _state(automaton: Automaton, state: State, events: dict[str, Input]) -> str:
    lines = [_overview(state), ""]
    entered = dict.fromkeys(row.trigger for row in automaton.rows if row.target == state.name)
    if entered:
        lines += [_filled(f"Entered by: {', '.join(entered)}", "", "    "), ""]
    handled = [row for row in automaton.rows if state.name in row.sources]
    for row in handled:
        lines += _row(row, row.trigger)
    refused = [name for name in events if name not in {row.trigger for row in handled}]
    if refused:
        lines.append(_filled(f"Refused: {', '.join(refused)}", "", "    "))
    return "\n".join(lines).rstrip("\n") + "\n"


def _event(automaton: Automaton, event: Input) -> str:
    lines = [_filled(f"{event.name} - {KINDS[event.kind]}. {event.meaning}".rstrip(), "", "    "), ""]
    handled = [row for row in automaton.rows if row.trigger == event.name]
    for row in handled:
        is_everywhere = len(row.sources) == len(automaton.states)
        lines += _row(row, "any state" if is_everywhere else ", ".join(row.sources))
    taken = {source for row in handled for source in row.sources}
    refused = [state.name for state in automaton.states if state.name not in taken]
    if refused:
        lines += [_filled(f"Refused in: {', '.join(refused)}", "", "    "), ""]
    return "\n".join(lines)


def _row(row: Row, head: str) -> list[str]:
    # Plain ASCII: a Windows console may know no arrows.
    outcome = f" -> {row.target}" if row.target is not None else ": stays" if row.do else ": ignored"
    lines = [_filled(f"{head}{outcome}", "  ", "      ")]
    if row.when:
        lines.append(_filled(f"when {' and '.join(row.when)}", "      ", "           "))
    if row.do:
        lines.append(_filled(f"do   {', '.join(row.do)}", "      ", "           "))
    return [*lines, _filled(f"why  {row.why}", "      ", "           "), ""]


def _filled(text: str, first: str, rest: str) -> str:
    return fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
