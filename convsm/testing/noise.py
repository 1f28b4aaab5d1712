"""Events that no contract limits: any class, at any time, with absurd numbers, used ids and stale tokens."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from convsm.machine.effects import RequestReply
from convsm.machine.events import (
    EVENTS,
    AgentAudio,
    AgentHungUp,
    AgentResponse,
    AnswerCall,
    ApprovalAsked,
    ApprovalDecided,
    ApprovalWithdrawn,
    AudioFailed,
    AudioStarted,
    AudioStopped,
    ConnectionFailed,
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
    Played,
    ResponseEnded,
    ResponseRefused,
    ResponseStarted,
    Send,
    SessionFailed,
    SessionReady,
    SocketClosed,
    SocketOpened,
    Start,
    TextPart,
    TimerFired,
    ToolCalled,
    ToolCompleted,
    UserAudio,
    UserTranscript,
)

__all__ = ["CALL_IDS", "CLOSE_CODES", "NUMBERS", "TIMER_NAMES", "hostile_event"]

# Small ones collide with what a session really uses; the others are what a hostile peer would try.
NUMBERS = (*range(-2, 13), -(2**63) - 1, 2**31, 2**63, 10**30)
CALL_IDS = ("call_1", "call_2", "call_3", "", "\N{SNOWMAN}")
CLOSE_CODES = (1000, 1001, 1002, 1006, 1008, 1009, 1011, 0, -1, 65536)
TIMER_NAMES = ("ready", "settle", "hang_up", "drain", "close", "approval call_1", "approval ", "", "nonsense")


def hostile_event(random: Random) -> Event:
    """Return an event that may have no business in this session.

    Args:
        random: The source of randomness; the same seed gives the same events.

    Returns:
        An event of any class.
    """
    return _MAKERS[random.choice(_KINDS)](random)


_TURNS: tuple[int | None, ...] = (None, *NUMBERS)

_MAKERS: dict[type[Event], Callable[[Random], Event]] = {
    Start: lambda random: Start(),
    Send: lambda random: random.choice(
        (Send("text"), Send(None), Send(7, "turn"), Send(RequestReply(), "request"))
    ),
    Interrupt: lambda random: Interrupt(),
    End: lambda random: End(),
    AnswerCall: lambda random: AnswerCall(random.choice(CALL_IDS), "", random.choice((True, False))),
    DecideApproval: lambda random: DecideApproval(random.choice(CALL_IDS), random.choice((True, False))),
    SocketOpened: lambda random: SocketOpened(),
    ConnectionFailed: lambda random: ConnectionFailed("refused", random.choice((None, 403, -1))),
    SocketClosed: lambda random: SocketClosed(random.choice(CLOSE_CODES), random.choice(("", "reason"))),
    SessionReady: lambda random: SessionReady(random.choice(("conversation_1", "")), "nonsense", "pcm_-1"),
    Pinged: lambda random: Pinged(random.choice(NUMBERS), random.choice((None, -1.0))),
    SessionFailed: lambda random: SessionFailed(random.choice(("", "expired"))),
    AgentAudio: lambda random: AgentAudio(
        random.choice((b"", b"a", b"ab")), random.choice(NUMBERS), item=random.choice((None, "", "item_1"))
    ),
    AgentResponse: lambda random: AgentResponse(random.choice(("", "text")), random.choice(_TURNS)),
    TextPart: lambda random: TextPart(random.choice(("start", "delta", "stop")), "te", random.choice(_TURNS)),
    UserTranscript: lambda random: UserTranscript(
        "", random.choice(_TURNS), random.choice((None, "", "item_1"))
    ),
    Interrupted: lambda random: Interrupted(
        random.choice(NUMBERS), random.choice(NUMBERS), random.choice((True, False))
    ),
    ResponseStarted: lambda random: ResponseStarted(random.choice(NUMBERS)),
    ResponseEnded: lambda random: ResponseEnded(random.choice(NUMBERS), random.choice(("completed", ""))),
    ResponseRefused: lambda random: ResponseRefused(random.choice((True, False))),
    ToolCalled: lambda random: ToolCalled(
        random.choice(CALL_IDS), random.choice(("", "tool")), {}, random.choice((True, False))
    ),
    ApprovalAsked: lambda random: ApprovalAsked(random.choice(CALL_IDS), None, random.choice(NUMBERS)),
    ApprovalWithdrawn: lambda random: ApprovalWithdrawn(random.choice(CALL_IDS)),
    AgentHungUp: lambda random: AgentHungUp(),
    Informed: lambda random: Informed(None),
    Malformed: lambda random: Malformed("", random.choice(("", "event_id")), ""),
    AudioStarted: lambda random: AudioStarted(),
    AudioStopped: lambda random: AudioStopped(),
    AudioFailed: lambda random: AudioFailed(""),
    InterruptionSuspected: lambda random: InterruptionSuspected(),
    InterruptionDismissed: lambda random: InterruptionDismissed(),
    Played: lambda random: Played(random.choice(NUMBERS), random.choice(NUMBERS)),
    UserAudio: lambda random: UserAudio(random.choice((b"", b"a"))),
    ToolCompleted: lambda random: ToolCompleted(random.choice(CALL_IDS), "", random.choice((True, False))),
    ApprovalDecided: lambda random: ApprovalDecided(random.choice(CALL_IDS), random.choice((True, False))),
    TimerFired: lambda random: TimerFired(random.choice(TIMER_NAMES), random.choice(NUMBERS)),
}

_KINDS = tuple(EVENTS.values())
