"""What tests of every layer say about sessions: drive them, bring them somewhere, compare effects."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from convsm.machine import RefusedCommand, Session, SessionOptions
from convsm.machine.effects import AnnounceEnd, Effect, StateChanged
from convsm.machine.events import (
    AgentAudio,
    AudioStarted,
    AudioStopped,
    Event,
    Interrupted,
    Played,
    SessionReady,
    SocketClosed,
    SocketOpened,
    Start,
    TextPart,
    TimerFired,
    ToolCalled,
)
from convsm.testing.observation import snapshot

__all__ = [
    "AUDIO",
    "LIVE",
    "OPEN",
    "READY",
    "assert_effects",
    "assert_refused",
    "assert_step",
    "connecting_session",
    "drive",
    "finish",
    "interrupted_session",
    "moved",
    "ready_session",
    "session_in",
    "speaking_session",
    "tool_session",
]

AUDIO = b"\x01\x00\x02\x00"
READY = SessionReady("conversation_1")


def drive(session: Session, *events: Event) -> tuple[Effect, ...]:
    """Let a session handle events in order and return all its effects as one tuple."""
    return tuple(effect for event in events for effect in session.handle(event))


def connecting_session(**options: Any) -> Session:
    """Return a session whose socket is open and which waits for the server's acceptance."""
    session = Session(SessionOptions(**options))
    drive(session, Start(), SocketOpened())
    return session


def ready_session(text_only: bool = False, **options: Any) -> Session:
    """Return a session in listening: accepted by the server, the audio interface open."""
    session = connecting_session(text_only=text_only, **options)
    drive(session, READY)
    if not text_only:
        drive(session, AudioStarted())
    return session


def speaking_session(text_only: bool = False, **options: Any) -> Session:
    """Return a session in agent_speaking: one piece of turn 1 handed over (text-only: a response open)."""
    session = ready_session(text_only, **options)
    drive(session, TextPart("start", turn=1) if text_only else AgentAudio(AUDIO, 1))
    return session


def interrupted_session(text_only: bool = False, **options: Any) -> Session:
    """Return a session in interrupted: turn 1 was cut, what is fresh starts with turn 2."""
    session = speaking_session(text_only, **options)
    drive(session, Interrupted(2, fresh_from=2))
    return session


def tool_session(text_only: bool = False, **options: Any) -> Session:
    """Return a session in tool_running: the agent waits for ``call_1``."""
    session = ready_session(text_only, **options)
    drive(session, ToolCalled("call_1", "weather"))
    return session


LIVE = ("connecting", "listening", "agent_speaking", "interrupted", "tool_running")
OPEN = LIVE[1:]


def session_in(state: str, text_only: bool = False, **options: Any) -> Session:
    """Return a session in one of the states of LIVE."""
    makers = (connecting_session, ready_session, speaking_session, interrupted_session, tool_session)
    session = dict(zip(LIVE, makers, strict=True))[state](text_only=text_only, **options)
    assert session.state == state
    return session


def finish(session: Session) -> AnnounceEnd:
    """Answer all that a closing session waits for, a late close too, and return the end it announces."""
    told: list[Effect] = []
    while session.state == "closing":
        if session.heard < session.handed:
            event: Event = Played(session.handed)
        elif session.audio == "stopping":
            event = AudioStopped()
        elif session.socket != "closed":
            event = SocketClosed(1000, "late")
        else:
            event = TimerFired("close", session.timers["close"])
        told += session.handle(event)
    [end] = [effect for effect in told if isinstance(effect, AnnounceEnd)]
    assert told[-1] is end
    return end


def moved(source: str, target: str, event: str) -> StateChanged:
    """Return the effect that tells a change of state by an event without a time."""
    return StateChanged(source, target, event, 0.0)


def assert_effects(session: Session, event: Event, *effects: Effect) -> None:
    """Assert that a session answers an event with exactly these effects, in this order."""
    assert session.handle(event) == effects


def assert_step(session: Session, event: Event, *effects: Effect, **changes: Any) -> None:
    """Assert what an event does to the whole session.

    Its effects are exactly these, and of state and data exactly these fields change, to these values.
    """
    before = snapshot(session)
    assert session.handle(event) == effects
    names = [field.name for field in attrs.fields(Session) if field.eq]
    found = {name: getattr(session, name) for name in names}
    assert {name: value for name, value in found.items() if value != getattr(before, name)} == changes


def assert_refused(session: Session, command: Event) -> None:
    """Assert that a command raises RefusedCommand with its name and state, and changes nothing."""
    before = snapshot(session)
    with pytest.raises(RefusedCommand) as refusal:
        session.handle(command)
    assert (refusal.value.command, refusal.value.state) == (type(command).__name__, session.state)
    assert session == before
