"""Hypothesis strategies: single events, sequences that keep the adapter contract, hostile sequences.

Needs the package ``hypothesis``, which convsm itself does not; nothing else imports this module.
"""

from __future__ import annotations

import attrs

from convsm.machine import Session, SessionOptions
from convsm.machine.events import EVENTS, Event
from convsm.testing.noise import CALL_IDS, CLOSE_CODES, NUMBERS, TIMER_NAMES
from convsm.testing.observation import perform
from convsm.testing.world import World

try:
    from hypothesis import strategies
except ImportError as error:  # pragma: no cover - the tests of convsm need it themselves
    raise ImportError(
        "convsm.testing.strategies needs Hypothesis; install it: pip install hypothesis"
    ) from error

__all__ = ["Scenario", "events", "hostile_sequences", "scenarios", "session_options", "steps_of"]


@attrs.frozen
class Scenario:
    """A sequence of events and the session that they are meant for.

    Attributes:
        options: The session's options.
        events: The events, from the first on.
    """

    options: SessionOptions
    events: tuple[Event, ...]


def session_options(text_only: bool | None = None) -> strategies.SearchStrategy[SessionOptions]:
    """Return options of a session: text or speech, with or without need of audio, few messages to hold.

    Args:
        text_only: Fix this choice; None draws it.
    """
    return strategies.builds(
        SessionOptions,
        text_only=strategies.booleans() if text_only is None else strategies.just(text_only),
        needs_audio=strategies.booleans(),
        asks_replies=strategies.booleans(),
        hold_limit=strategies.integers(0, 3),
        approval_limit=strategies.integers(0, 3),
        can_pause=strategies.booleans(),
        pause_limit=strategies.integers(0, 4),
    )


def events(kind: type[Event] | None = None) -> strategies.SearchStrategy[Event]:
    """Return any event of one class, or of all; numbers, ids and tokens are absurd or collide.

    Args:
        kind: A class of the input alphabet; None for all of them.
    """
    if kind is not None:
        return strategies.builds(kind, at=_times, **_FIELDS[kind.__name__])
    return strategies.sampled_from(sorted(EVENTS)).flatmap(lambda name: events(EVENTS[name]))


def hostile_sequences(max_size: int = 40) -> strategies.SearchStrategy[Scenario]:
    """Return sequences of any events at any time.

    Args:
        max_size: The most events.
    """
    return strategies.builds(
        Scenario, session_options(), strategies.lists(events(), max_size=max_size).map(tuple)
    )


@strategies.composite
def scenarios(
    draw: strategies.DrawFn,
    text_only: bool | None = None,
    is_prompt: bool = True,
    max_size: int = 40,
) -> Scenario:
    """Return sequences that keep the adapter contract.

    Args:
        draw: Hypothesis's own.
        text_only: Fix whether the session is text-only; None draws it.
        is_prompt: Whether adapters answer before the close timer gives them up.
        max_size: The most events.
    """
    options = draw(session_options(text_only))
    session, world = Session(options), World(is_prompt=is_prompt, asks_replies=options.asks_replies)
    came: list[Event] = []
    # So far all goes well, as it mostly does: by chance alone few sequences would get to speak.
    well = draw(strategies.integers(0, 4))
    for number in range(draw(strategies.integers(0, max_size))):
        owed = world.owed() if number < well else []
        event = owed[0] if owed else draw(steps_of(world))
        world.note(event, perform(session, event))
        came.append(event)
    return Scenario(options, tuple(came))


def steps_of(world: World) -> strategies.SearchStrategy[Event]:
    """Return any event that a world may send now; what it owes comes more often.

    Args:
        world: The world, as it is now; draw before it changes.
    """
    offers = [offer for kind in EVENTS.values() if (offer := world.offer(kind))]
    offers += [(event,) for event in world.owed()]
    return strategies.sampled_from(offers).flatmap(strategies.sampled_from)


_times = strategies.floats(min_value=0, max_value=1e9)
_numbers = strategies.one_of(strategies.sampled_from(NUMBERS), strategies.integers())
_turns = strategies.none() | _numbers
_texts = strategies.text(max_size=5)
_audio = strategies.binary(max_size=4)
_call_ids = strategies.sampled_from(CALL_IDS) | _texts

# Fields that an event class must be given; a new class without an entry fails the tests.
_FIELDS: dict[str, dict[str, strategies.SearchStrategy[object]]] = {
    "Start": {},
    "Interrupt": {},
    "End": {},
    "SocketOpened": {},
    "AgentHungUp": {},
    "AudioStarted": {},
    "AudioStopped": {},
    "InterruptionSuspected": {},
    "InterruptionDismissed": {},
    "Send": {"message": strategies.none() | _texts, "kind": strategies.sampled_from(("message", "turn"))},
    "AnswerCall": {"call_id": _call_ids, "result": _texts, "is_error": strategies.booleans()},
    "DecideApproval": {"call_id": _call_ids, "is_approved": strategies.booleans()},
    "ConnectionFailed": {"message": _texts, "status": _turns},
    "SocketClosed": {"code": strategies.sampled_from(CLOSE_CODES) | _numbers, "reason": _texts},
    "SessionReady": {"conversation_id": _texts, "output_format": _texts, "input_format": _texts},
    "Pinged": {"ping_id": _numbers, "latency_ms": strategies.none() | strategies.floats()},
    "SessionFailed": {"message": _texts},
    "AgentAudio": {
        "audio": _audio,
        "turn": _numbers,
        "is_final": strategies.booleans(),
        "item": strategies.none() | _texts,
    },
    "AgentResponse": {"text": _texts, "turn": _turns},
    "TextPart": {"kind": strategies.sampled_from(("start", "delta", "stop")), "text": _texts, "turn": _turns},
    "UserTranscript": {"text": _texts, "turn": _turns, "item": strategies.none() | _texts},
    "Interrupted": {"turn": _numbers, "fresh_from": _numbers, "is_cancelled": strategies.booleans()},
    "ResponseStarted": {"turn": _numbers},
    "ResponseEnded": {"turn": _numbers, "status": _texts},
    "ResponseRefused": {"is_busy": strategies.booleans()},
    "ToolCalled": {"call_id": _call_ids, "name": _texts, "expects_response": strategies.booleans()},
    "ApprovalAsked": {"call_id": _call_ids, "request": strategies.none() | _texts, "seconds": _numbers},
    "ApprovalWithdrawn": {"call_id": _call_ids},
    "Informed": {"message": strategies.none() | _texts},
    "Malformed": {"kind": _texts, "field": _texts, "problem": _texts},
    "AudioFailed": {"message": _texts},
    "Played": {"through": _numbers, "beyond": _numbers},
    "UserAudio": {"audio": _audio},
    "ToolCompleted": {"call_id": _call_ids, "result": _texts, "is_error": strategies.booleans()},
    "ApprovalDecided": {"call_id": _call_ids, "is_approved": strategies.booleans()},
    "TimerFired": {"name": strategies.sampled_from(TIMER_NAMES), "token": _numbers},
}
