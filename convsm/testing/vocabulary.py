"""What the server and the user may say, in a vocabulary small enough to be searched exhaustively."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import attrs

from convsm.machine.effects import RequestReply
from convsm.machine.events import (
    AgentAudio,
    AgentHungUp,
    AgentResponse,
    AnswerCall,
    ApprovalAsked,
    ApprovalWithdrawn,
    DecideApproval,
    End,
    Event,
    Informed,
    Interrupt,
    Interrupted,
    InterruptionDismissed,
    InterruptionSuspected,
    Malformed,
    Pinged,
    ResponseEnded,
    ResponseRefused,
    ResponseStarted,
    Send,
    SessionFailed,
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
        InterruptionSuspected(),
        InterruptionDismissed(),
        End(),
        SessionReady("conversation_1"),
        SessionFailed("expired"),
        Pinged(7),
        UserTranscript("text"),
        AgentHungUp(),
        Informed("news"),
        Malformed("audio", "event_id", "missing"),
    )
}


def sayings(
    kind: type[E],
    fresh_from: int,
    call_ids: Sequence[str],
    approval_ids: Sequence[str] = (),
    asks_replies: bool = False,
) -> Sequence[E]:
    """Return the commands, server messages or local evidence of one class.

    Args:
        kind: The class; not one of a socket's own, a device's, a tool's or a timer's.
        fresh_from: The turn around which turns are numbered: one below, it, and one above.
        call_ids: Ids of tool calls.
        approval_ids: Ids of calls that the server wants approved; without any the commands about calls
            name one that nobody knows.
        asks_replies: Whether the server replies only when asked; it then names the items of its audio.

    Returns:
        The events.
    """
    said = _sayings(kind, fresh_from, call_ids, approval_ids)
    if asks_replies and kind in _ASKING:
        said = _ASKING[kind](said)
    return cast("Sequence[E]", said)


def _sayings(
    kind: type[Event], fresh_from: int, call_ids: Sequence[str], approval_ids: Sequence[str]
) -> Sequence[Event]:
    if kind in _CONSTANT:
        return _CONSTANT[kind]
    if kind in _RESPONSES:
        return _RESPONSES[kind](fresh_from)
    if kind is ToolCalled:
        return [ToolCalled(call_id, "tool", {}, expects) for call_id in call_ids for expects in (True, False)]
    if kind is AnswerCall:
        return [AnswerCall(call_id, "by hand") for call_id in call_ids or ("nonsense",)]
    if kind is DecideApproval:
        ids = approval_ids or ("nonsense",)
        return [DecideApproval(call_id, is_approved) for call_id in ids for is_approved in (True, False)]
    if kind is ApprovalAsked:
        return [ApprovalAsked(call_id, "request") for call_id in approval_ids]
    if kind is ApprovalWithdrawn:
        return [ApprovalWithdrawn(call_id) for call_id in approval_ids]
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


def _with_items(said: Sequence[Any]) -> Sequence[Event]:
    return [attrs.evolve(audio, item=f"item_{audio.turn}") for audio in said if audio.audio]


def _with_uncancelled(said: Sequence[Any]) -> Sequence[Event]:
    return [*said, attrs.evolve(said[-1], is_cancelled=False)]


def _with_turns(said: Sequence[Any]) -> Sequence[Event]:
    return [*said, Send("text", "turn"), Send(RequestReply(), "request")]


_RESPONSES: dict[type[Event], Callable[[int], Sequence[Event]]] = {
    ResponseStarted: lambda turn: (ResponseStarted(turn),),
    ResponseEnded: lambda turn: (ResponseEnded(turn),),
    ResponseRefused: lambda turn: (ResponseRefused(), ResponseRefused(is_busy=True)),
}

_ASKING: dict[type[Event], Callable[[Sequence[Any]], Sequence[Event]]] = {
    AgentAudio: _with_items,
    Interrupted: _with_uncancelled,
    Send: _with_turns,
}

_NUMBERED: dict[type[Event], Callable[[Sequence[int]], Sequence[Event]]] = {
    AgentAudio: _audio,
    AgentResponse: _responses,
    TextPart: _parts,
    Interrupted: _interruptions,
}
