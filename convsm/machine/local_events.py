"""The part of the input alphabet that happens here: commands, devices and timers."""

from __future__ import annotations

from typing import Literal

import attrs

from convsm.machine.base import Event

__all__ = [
    "AudioFailed",
    "AudioStarted",
    "AudioStopped",
    "End",
    "Interrupt",
    "InterruptionDismissed",
    "InterruptionSuspected",
    "Played",
    "Send",
    "Start",
    "TimerFired",
    "UserAudio",
]


# Commands: API calls. Without a row they raise RefusedCommand to the caller. Two more are with the calls.


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
class Interrupt(Event):
    """Silence the agent: the user's own wish, by a key or a button, not the server's news."""


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
class InterruptionSuspected(Event):
    """Local evidence says that the user cuts in; nothing confirms it yet, so playout is only to pause."""


@attrs.frozen
class InterruptionDismissed(Event):
    """The local evidence came to nothing; playout is to go on from where it paused."""


@attrs.frozen
class UserAudio(Event):
    """A piece of the microphone's signal.

    Attributes:
        audio: Samples in the session's input format.
    """

    audio: bytes


# Timers


@attrs.frozen
class TimerFired(Event):
    """A timer that was set ran out.

    Attributes:
        name: Name of the timer.
        token: Token of the SetTimer; tells a late firing from a due one.
    """

    name: str
    token: int
