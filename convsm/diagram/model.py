"""What all pictures are made of: an automaton as data, and its arrows derived from its rows.

No arrow is written down anywhere else. What is declared here besides the table are only layout
hints and the rule which emitters a picture leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import attrs

from convsm.machine.events import COMMANDS, EVENTS, LOCAL_EVENTS
from convsm.machine.rows import Row, State
from convsm.machine.session import Session
from convsm.machine.table import GROUPS, INITIAL, ROWS, STATES

__all__ = [
    "CONVERSATION",
    "KINDS",
    "Arrow",
    "Automaton",
    "Input",
    "Kind",
    "arrows",
    "automaton_of",
    "drawn_frames",
    "inputs",
    "omission",
    "readable",
    "sources",
]

Kind = Literal["server", "command", "local"]

# What a kind of event is called in a legend.
KINDS: dict[Kind, str] = {
    "server": "server event",
    "command": "command (API call)",
    "local": "device, tool or timer event",
}


@attrs.frozen
class Input:
    """An event of the input alphabet, as the documents show it.

    Attributes:
        name: Name of the event; the trigger of its rows.
        kind: Whether the server, the user's program or something local causes it.
        meaning: One sentence about it; may be empty.
    """

    name: str
    kind: Kind = "server"
    meaning: str = ""


@attrs.frozen
class Automaton:
    """Everything that a picture or a document shows.

    Attributes:
        states: The states; their order is the order of documents, the usual course first.
        rows: The rows, in the order in which they are tried.
        initial: Name of the first state.
        groups: Named groups of states. Rows that hold in a whole group are drawn once, from a frame.
        events: The input alphabet. A trigger that is missing here counts as a server event.
        columns: Layout of the SVG: the states of each column, top to bottom. Empty: by distance
            from the initial state.
        bookkeeping: Prefixes of emitters that emit nothing, which pictures leave out.
        glossary: What guards and emitters mean, by name.
    """

    states: tuple[State, ...]
    rows: tuple[Row, ...]
    initial: str
    groups: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    events: tuple[Input, ...] = ()
    columns: tuple[tuple[str, ...], ...] = ()
    bookkeeping: tuple[str, ...] = ()
    glossary: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Arrow:
    """A row that changes the state, as pictures show it.

    Attributes:
        number: Number of the row in the table, from 1.
        trigger: Name of the event.
        kind: Kind of the event.
        sources: States, or frames that stand for all states in them.
        target: The state it leads to.
        guards: Readable guards; ``else`` when an unguarded row stands behind guarded ones.
        effects: Readable emitters, without bookkeeping.
        why: The reason.
    """

    number: int
    trigger: str
    kind: Kind
    sources: tuple[str, ...]
    target: str
    guards: tuple[str, ...]
    effects: tuple[str, ...]
    why: str

    def head(self) -> tuple[str, ...]:
        """Return ``Event [guard and guard]`` in pieces between which a line may be broken."""
        if not self.guards:
            return (self.trigger,)
        pieces = [self.guards[0], *(f"and {guard}" for guard in self.guards[1:])]
        pieces[0] = f"[{pieces[0]}"
        pieces[-1] += "]"
        return (self.trigger, *pieces)

    def tail(self) -> tuple[str, ...]:
        """Return ``/ effect, effect`` in pieces between which a line may be broken; may be empty."""
        if not self.effects:
            return ()
        pieces = [f"{effect}," for effect in self.effects[:-1]] + [self.effects[-1]]
        return (f"/ {pieces[0]}", *pieces[1:])


def readable(name: str) -> str:
    """Turn the name of a guard or an emitter into words: ``is_settle_due`` into ``settle due``."""
    return name.removeprefix("is_").replace("_", " ")


def inputs(automaton: Automaton) -> tuple[Input, ...]:
    """Return the input alphabet: the declared events, then triggers that are not declared."""
    declared = {event.name: event for event in automaton.events}
    for row in automaton.rows:
        declared.setdefault(row.trigger, Input(row.trigger))
    return tuple(declared.values())


def drawn_frames(automaton: Automaton) -> dict[str, tuple[str, ...]]:
    """Return the groups that pictures frame: those that some arrow leaves as a whole.

    A group that shares a state with an earlier one, or its name with a state, is not framed; its
    states have arrows each.
    """
    frames: dict[str, tuple[str, ...]] = {}
    framed: set[str] = set()
    states = {state.name for state in automaton.states}
    changing = [set(row.sources) for row in automaton.rows if row.target is not None]
    for name, members in automaton.groups.items():
        is_free = name not in states and framed.isdisjoint(members)
        if is_free and any(sources.issuperset(members) for sources in changing):
            frames[name] = members
            framed.update(members)
    return frames


def arrows(automaton: Automaton) -> tuple[Arrow, ...]:
    """Return an arrow for each row that has a target, in the order of the rows."""
    frames = drawn_frames(automaton)
    kinds = {event.name: event.kind for event in inputs(automaton)}
    guarded: set[tuple[str, str]] = set()
    result = []
    for number, row in enumerate(automaton.rows, 1):
        keys = {(row.trigger, source) for source in row.sources}
        guards = tuple(readable(guard) for guard in row.when)
        if not guards and keys & guarded:
            guards = ("else",)
        if row.when:
            guarded |= keys
        if row.target is not None:
            effects = (name for name in row.do if not name.startswith(automaton.bookkeeping))
            result.append(
                Arrow(
                    number,
                    row.trigger,
                    kinds[row.trigger],
                    _framed(row.sources, frames),
                    row.target,
                    guards,
                    tuple(map(readable, effects)),
                    row.why,
                )
            )
    return tuple(result)


def omission(automaton: Automaton) -> str:
    """Return what a legend says about emitters that pictures leave out; empty when there are none."""
    if not automaton.bookkeeping:
        return ""
    names = ", ".join(f"{prefix.rstrip('_')}…" for prefix in automaton.bookkeeping)
    return f"left out: emitters {names}, which only write the session's data"


def sources(automaton: Automaton, row: Row) -> str:
    """Return where a row applies, with whole groups by their names."""
    if len(row.sources) == len(automaton.states):
        return "any state"
    return ", ".join(_framed(row.sources, automaton.groups))


def _framed(sources: tuple[str, ...], frames: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    rest = list(sources)
    whole = []
    for name, members in frames.items():
        if set(members) <= set(rest):
            whole.append(name)
            rest = [source for source in rest if source not in members]
    return (*whole, *rest)


def _meaning(thing: object) -> str:
    return (thing.__doc__ or "").partition("\n")[0]


def automaton_of(
    states: tuple[State, ...],
    rows: tuple[Row, ...],
    initial: str,
    groups: Mapping[str, tuple[str, ...]],
    events: Mapping[str, type],
    *,
    commands: Iterable[type],
    local: Iterable[type],
    model: type,
    columns: tuple[tuple[str, ...], ...] = (),
    bookkeeping: tuple[str, ...] = (),
) -> Automaton:
    """Make an automaton of a table and of the classes that it names.

    Args:
        states: The states.
        rows: The rows.
        initial: Name of the first state.
        groups: Named groups of states.
        events: The event classes, by name.
        commands: Those of them that are commands.
        local: Those that something local causes; a command is one all the same.
        model: The class with guards and emitters as methods.
        columns: Layout of the SVG.
        bookkeeping: Prefixes of emitters that pictures leave out.
    """
    kinds: dict[str, Kind] = {kind.__name__: "local" for kind in local}
    kinds.update({kind.__name__: "command" for kind in commands})
    named = {name for row in rows for name in (*row.when, *row.do)}
    named.update(name for state in states for name in state.on_leave)
    return Automaton(
        states=states,
        rows=rows,
        initial=initial,
        groups=groups,
        events=tuple(Input(name, kinds.get(name, "server"), _meaning(kind)) for name, kind in events.items()),
        columns=columns,
        bookkeeping=bookkeeping,
        glossary={name: _meaning(getattr(model, name)) for name in sorted(named)},
    )


CONVERSATION = automaton_of(
    STATES,
    ROWS,
    INITIAL,
    GROUPS,
    EVENTS,
    commands=COMMANDS,
    local=LOCAL_EVENTS,
    model=Session,
    # Two columns of labels between three of states come out as wide as a page shows at full size,
    # and closing between the other two has the shortest lines to both and to the frame.
    columns=(
        ("connecting", "closing", "idle"),
        ("listening", "tool_running"),
        ("agent_speaking", "interrupted"),
    ),
    bookkeeping=("accept_", "blame_", "lose_", "note_", "take_"),
)
