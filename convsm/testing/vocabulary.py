"""What the server and the user may say, in a vocabulary small enough to be searched exhaustively."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from convsm.machine.events import (
    AgentAudio,
    AgentHungUp,
    AgentResponse,
    End,
    Event,
    Informed,
    Interrupt,
    Interrupted,
    Malformed,
    Pinged,
    Send,
    SessionReady,
    Start,
    TextPart,
    ToolCalled,
    UserTranscript,
)

__all__ = ["sayings"]

E = TypeVar("E", bound=Event)

# What depends on nothing is made once.
_CONSTANT: dict[type[Event], Sequence[Event]] = {
    type(event): (event,)
    for event in (
        Start(),
        Send("text"),
        Interrupt(),
        End(),
        SessionReady("conversation_1"),
        Pinged(7),
        UserTranscript("text"),
        AgentHungUp(),
        Informed("news"),
        Malformed("audio", "event_id", "missing"),
    )
}


def sayings(kind: type[E], fresh_from: int, call_ids: Sequence[str]) -> Sequence[E]:
    """Return the commands or server messages of one class.

    Args:
        kind: The class; not one of a socket's own, a device's, a tool's or a timer's.
        fresh_from: The turn around which turns are numbered: one below, it, and one above.
        call_ids: Ids of tool calls.

    Returns:
        The events.
    """
    return cast("Sequence[E]", _sayings(kind, fresh_from, call_ids))


def _sayings(kind: type[Event], fresh_from: int, call_ids: Sequence[str]) -> Sequence[Event]:
    if kind in _CONSTANT:
        return _CONSTANT[kind]
    if kind is ToolCalled:
        return [ToolCalled(call_id, "tool", {}, expects) for call_id in call_ids for expects in (True, False)]
    return _NUMBERED[kind]((fresh_from - 1, fresh_from, fresh_from + 1))


def _audio(turns: Sequence[int]) -> Sequence[Event]:
    return [AgentAudio(audio, turn) for turn in turns for audio in (b"ab", b"")]


def _responses(turns: Sequence[int]) -> Sequence[Event]:
    return [AgentResponse("text", turn) for turn in (None, *turns)]


def _parts(turns: Sequence[int]) -> Sequence[Event]:
    starts = [TextPart("start", "", turn) for turn in (None, *turns)]
    deltas = [TextPart("delta", "te", turn) for turn in (None, *turns)]
    return [*starts, *deltas, *(TextPart("stop", "", turn) for turn in (None, *turns))]


def _interruptions(turns: Sequence[int]) -> Sequence[Event]:
    return [Interrupted(turn, turn) for turn in turns]


_NUMBERED: dict[type[Event], Callable[[Sequence[int]], Sequence[Event]]] = {
    AgentAudio: _audio,
    AgentResponse: _responses,
    TextPart: _parts,
    Interrupted: _interruptions,
}
