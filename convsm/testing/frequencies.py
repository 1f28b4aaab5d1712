"""How often which event comes in random sequences."""

from __future__ import annotations

from itertools import accumulate
from random import Random

from convsm.machine.events import (
    EVENTS,
    AgentAudio,
    AgentHungUp,
    AnswerCall,
    ApprovalAsked,
    AudioFailed,
    ConnectionFailed,
    DecideApproval,
    End,
    Event,
    Interrupted,
    Played,
    SessionFailed,
    SocketClosed,
    Start,
    TextPart,
    TimerFired,
    ToolCalled,
    ToolCompleted,
)

__all__ = ["random_kind"]

_KINDS = tuple(EVENTS.values())
# What ends a session is rare, what makes it eventful is frequent.
_WEIGHTS = {
    **dict.fromkeys((Start, End, SocketClosed, ConnectionFailed, AudioFailed), 1),
    **dict.fromkeys((AgentHungUp, SessionFailed, TimerFired), 1),
    **dict.fromkeys((AgentAudio, Played, TextPart, Interrupted, ToolCalled, ToolCompleted), 10),
    **dict.fromkeys((AnswerCall, ApprovalAsked, DecideApproval), 2),
}
_CUMULATED = tuple(accumulate(_WEIGHTS.get(kind, 4) for kind in _KINDS))


def random_kind(random: Random) -> type[Event]:
    """Return a class of the alphabet, those that make a session eventful more often than others."""
    return random.choices(_KINDS, cum_weights=_CUMULATED)[0]
