"""The part of the input alphabet that happens here: commands, devices, tools and timers."""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = [
    "AudioFailed",
    "AudioStarted",
    "AudioStopped",
    "End",
    "Event",
    "Played",
    "Send",
    "Start",
    "TimerFired",
    "ToolCompleted",
    "UserAudio",
    "stamp",
]


@attrs.frozen
class Event:
    """Base of all events.

    Attributes:
        at: When the driver took the event in, in seconds of its monotonic clock.
    """

    at: float = attrs.field(default=0.0, kw_only=True)


def stamp(event: Event, at: float) -> None:
    """Set the time of an event that nobody else has seen yet (only the driver does this)."""
    object.__setattr__(event, "at", at)


# Commands: API calls. Without a row they raise RefusedCommand to the caller.


@attrs.frozen
class Start(Event):
    """Open the conversation. A Session is started once; each start makes a new one."""


@attrs.frozen
class Send(Event):
    """Send a message of the user's.

    Attributes:
        message: A typed outgoing message that the protocol's codec can encode.
        kind: ``turn`` for a turn of the user's, which the agent replies to; ``request`` for a message that
            asks for a reply, ``message`` for any other.
    """

    message: object
    kind: Literal["message", "turn", "request"] = "message"


@attrs.frozen
class End(Event):
    """End the conversation now; accepted in every state."""


# Devices


@attrs.frozen
class AudioStarted(Event):
    """The audio interface is open and takes output."""


@attrs.frozen
class AudioStopped(Event):
    """The audio interface is closed; the answer to StopAudio."""


@attrs.frozen
class AudioFailed(Event):
    """The audio interface raised or reported a fault.

    Attributes:
        message: What failed and what to do, in one sentence.
    """

    message: str


@attrs.frozen
class Played(Event):
    """The loudspeaker has played everything up to a Play effect, and perhaps some of the next.

    Attributes:
        through: Number of that Play.
        beyond: Bytes of the next Play that were heard too, as far as known.
    """

    through: int
    beyond: int = 0


@attrs.frozen
class UserAudio(Event):
    """A piece of the microphone's signal.

    Attributes:
        audio: Samples in the session's input format.
    """

    audio: bytes


# Tools and timers


@attrs.frozen
class ToolCompleted(Event):
    """A tool handler returned, raised or timed out.

    Attributes:
        call_id: Id of the call.
        result: The answer as the one string that the wire allows.
        is_error: Whether the handler failed.
        error_type: The protocol's class of the failure, if any.
    """

    call_id: str
    result: str
    is_error: bool = False
    error_type: str | None = None


@attrs.frozen
class TimerFired(Event):
    """A timer that was set ran out.

    Attributes:
        name: Name of the timer.
        token: Token of the SetTimer; tells a late firing from a due one.
    """

    name: str
    token: int
