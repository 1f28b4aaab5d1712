"""One step of a session as an observer sees it, and what an invariant over such steps is."""

from __future__ import annotations

import functools
import reprlib
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, TypeVar

import attrs

from convsm.machine import GROUPS, ROWS, Row, Session
from convsm.machine.effects import Effect
from convsm.machine.errors import RefusedCommand
from convsm.machine.events import AgentAudio, Event, Interrupt, Interrupted, Send

__all__ = [
    "LIVE",
    "OPEN",
    "Invariant",
    "ObservedStep",
    "cut_by",
    "is_cut_by_us",
    "is_overflowing",
    "is_superseding",
    "is_undecided",
    "perform",
    "row_for",
    "snapshot",
]

# Where a conversation can go on: with the server's acceptance, and from the start.
OPEN = frozenset(GROUPS["open"])
LIVE = OPEN | {"connecting"}

T = TypeVar("T", bound=attrs.AttrsInstance)

_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 200

_CONTAINERS = frozenset((dict, list, set))

_ROWS: dict[tuple[str, str], list[Row]] = {}
for _row in ROWS:
    for _source in _row.sources:
        _ROWS.setdefault((_row.trigger, _source), []).append(_row)


def snapshot(original: T) -> T:
    """Return an independent twin of a session, a world or an invariant.

    Args:
        original: The instance; nobody else may use it meanwhile. Events and messages that it holds
            are shared with the twin, for they are values.

    Returns:
        An instance that is equal now and goes its own way from here.
    """
    twin: T = _copying(type(original))(original)
    return twin


@functools.cache
def _copying(kind: type[attrs.AttrsInstance]) -> Callable[[Any], Any]:
    # Written out field by field, as attrs writes its methods: a loop over them takes three times as long,
    # and a search copies a million instances.
    lines = ["def copy(original):", "    twin = new(kind)"]
    for field in attrs.fields(kind):
        lines.append(f"    value = original.{field.name}")
        lines.append(f"    twin.{field.name} = value.copy() if type(value) in containers else value")
    names: dict[str, Any] = {"new": kind.__new__, "kind": kind, "containers": _CONTAINERS}
    exec("\n".join([*lines, "    return twin"]), names)  # noqa: S102, nothing but names of fields
    copying: Callable[[Any], Any] = names["copy"]
    return copying


def row_for(session: Session, event: Event) -> Row | None:
    """Return the row that an event would take now.

    Args:
        session: The session; it is not changed.
        event: The event.

    Returns:
        The first row of the event's class and the session's state whose guards hold; None if the
        event would be refused.
    """
    for row in _ROWS.get((type(event).__name__, session.state), ()):
        if all(getattr(session, guard)(event) for guard in row.when):
            return row
    return None


def perform(session: Session, event: Event) -> tuple[Effect, ...]:
    """Let a session handle an event and take a refused command for what it is: no effects.

    Args:
        session: The session; nobody else may use it meanwhile.
        event: The event.

    Returns:
        The effects; none for a command that was refused.
    """
    try:
        return session.handle(event)
    except RefusedCommand:
        return ()


@attrs.frozen
class ObservedStep:
    """One event and what the session made of it.

    Attributes:
        before: A snapshot of the session from before.
        event: The event.
        effects: What ``handle`` returned; empty if it raised RefusedCommand.
        after: The session afterwards.
        row: The row that the event had to take; None if it had to be refused.
    """

    before: Session
    event: Event
    effects: tuple[Effect, ...]
    after: Session
    row: Row | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "row", row_for(self.before, self.event))


def is_undecided(session: Session) -> bool:
    """Tell whether something waits, unheard, for an interruption to be confirmed or dismissed.

    Args:
        session: The session; it is not changed.
    """
    return session.is_paused and session.heard < session.handed


def is_superseding(step: ObservedStep) -> bool:
    """Tell whether audio of a later turn came while a turn was paused.

    Args:
        step: The step.
    """
    event, session = step.event, step.before
    return (
        isinstance(event, AgentAudio)
        and is_undecided(session)
        and session.spoken_turn is not None
        and event.turn > session.spoken_turn
        and bool(event.audio)
        and not session.is_stale(event)
    )


def is_overflowing(step: ObservedStep) -> bool:
    """Tell whether more audio of a paused turn came than may wait.

    Args:
        step: The step.
    """
    event, session = step.event, step.before
    return (
        isinstance(event, AgentAudio)
        and is_undecided(session)
        and not is_superseding(step)
        and bool(event.audio)
        and not session.is_stale(event)
        and session.paused_bytes + len(event.audio) > session.options.pause_limit
    )


def is_cut_by_us(step: ObservedStep) -> bool:
    """Tell whether the agent was silenced on this side: by the user, or for want of room.

    Args:
        step: The step.
    """
    before = step.before
    if isinstance(step.event, Interrupt):
        return before.state == "agent_speaking" or (is_undecided(before) and before.state in OPEN)
    return is_overflowing(step)


def cut_by(step: ObservedStep) -> int | None:
    """Return the lowest turn that may be heard after a step that cuts the agent off; None if it does not.

    Args:
        step: The step.
    """
    event, before = step.event, step.before
    if isinstance(event, Interrupted) and before.state in LIVE:
        return event.fresh_from
    if isinstance(event, AgentAudio) and is_superseding(step):
        return event.turn
    is_turn = isinstance(event, Send) and event.kind == "turn" and before.state in OPEN
    if before.options.asks_replies and (is_turn or is_cut_by_us(step)):
        return before.latest_turn + 1
    return None


@attrs.define
class Invariant:
    """One invariant: fed every step of one session from its start, it fails at the first that breaks it.

    It keeps what it has to remember in immutable values, so ``snapshot`` gives an independent twin.

    Attributes:
        number: Its number among the invariants.
        sentence: What it holds.
    """

    number: ClassVar[int]
    sentence: ClassVar[str]

    def check(self, step: ObservedStep) -> None:
        """Check one step and remember what later ones are judged by.

        Args:
            step: The step.

        Raises:
            AssertionError: The invariant does not hold; names its number and sentence.
        """
        raise NotImplementedError

    def fail(self, step: ObservedStep, detail: str) -> NoReturn:
        """Fail with number, sentence, what is wrong with this step, and the step."""
        raise AssertionError(
            f"invariant {self.number} is broken: {self.sentence} But {detail}: "
            f"{_SHORT.repr(step.event)} led from {step.before.state!r} to {step.after.state!r} "
            f"with {', '.join(map(_SHORT.repr, step.effects)) or 'no effects'}"
        )
