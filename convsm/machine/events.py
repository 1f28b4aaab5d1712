"""The input alphabet: everything that can happen to a conversation.

An event is a past fact (``AgentAudio``, ``TimerFired``) or a command (``Start``, ``Send``, ``End``).
The name of its class is the trigger in the table. Events are frozen values and know no vendor;
what a vendor's message carries beyond them travels in ``Informed``.
"""

from __future__ import annotations

from typing import Literal

import attrs

from convsm.machine.base import Event, stamp
from convsm.machine.calls import (
    AnswerCall,
    ApprovalAsked,
    ApprovalDecided,
    ApprovalWithdrawn,
    DecideApproval,
    ToolCalled,
    ToolCompleted,
)

__all__ = [
    "COMMANDS",
    "EVENTS",
    "LOCAL_EVENTS",
    "SERVER_EVENTS",
    "AgentAudio",
    "AgentHungUp",
    "AgentResponse",
    "AnswerCall",
    "ApprovalAsked",
    "ApprovalDecided",
    "ApprovalWithdrawn",
    "AudioFailed",
    "AudioStarted",
    "AudioStopped",
    "ConnectionFailed",
    "DecideApproval",
    "End",
    "Event",
    "Informed",
    "Interrupt",
    "Interrupted",
    "InterruptionDismissed",
    "InterruptionSuspected",
    "Malformed",
    "Pinged",
    "Played",
    "Send",
    "SessionReady",
    "SocketClosed",
    "SocketOpened",
    "Start",
    "TextPart",
    "TimerFired",
    "ToolCalled",
    "ToolCompleted",
    "UserAudio",
    "UserTranscript",
    "stamp",
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
    """

    message: object


@attrs.frozen
class Interrupt(Event):
    """Silence the agent: the user's own wish, by a key or a button, not the server's news."""


@attrs.frozen
class End(Event):
    """End the conversation now; accepted in every state."""


# Socket


@attrs.frozen
class SocketOpened(Event):
    """The WebSocket handshake succeeded."""


@attrs.frozen
class ConnectionFailed(Event):
    """The socket never opened; the answer to OpenSocket when SocketOpened is not.

    Attributes:
        message: What failed, in one sentence, without secrets.
        status: HTTP status of a refused handshake, if there was an answer.
    """

    message: str
    status: int | None = None


@attrs.frozen
class SocketClosed(Event):
    """The open socket is gone, whoever closed it. Comes exactly once after SocketOpened.

    Attributes:
        code: Close code; 1006 when there was no close frame.
        reason: The reason in the close frame, or what broke.
    """

    code: int = 1006
    reason: str = ""


# Server messages


@attrs.frozen
class SessionReady(Event):
    """The server accepted the conversation and told its parameters.

    Attributes:
        conversation_id: The server's id of the conversation.
        output_format: Format of the agent's audio, such as ``pcm_16000``.
        input_format: Format of the user's audio.
    """

    conversation_id: str
    output_format: str = "pcm_16000"
    input_format: str = "pcm_16000"


@attrs.frozen
class Pinged(Event):
    """The server asks for a pong.

    Attributes:
        ping_id: To be echoed unchanged.
        latency_ms: The server's measure of the last round trip in milliseconds, once it has one.
    """

    ping_id: float
    latency_ms: float | None = None


@attrs.frozen
class AgentAudio(Event):
    """A piece of the agent's speech.

    Attributes:
        audio: Samples in the session's output format; may be empty.
        turn: Number of the agent's turn; never decreases, may repeat.
        alignment: The protocol's character timing, if sent.
        is_final: Whether the server marked it as the response's last piece.
    """

    audio: bytes
    turn: int
    alignment: object = None
    is_final: bool = False


@attrs.frozen
class AgentResponse(Event):
    """The full text of the agent's turn, usually before it is spoken.

    Attributes:
        text: The text.
        turn: Number of the turn, if sent.
    """

    text: str
    turn: int | None = None


@attrs.frozen
class TextPart(Event):
    """A streamed piece of the agent's text.

    Attributes:
        kind: ``start`` and ``stop`` frame the ``delta`` parts.
        text: The piece; empty for start and stop.
        turn: Number of the turn, if sent.
    """

    kind: Literal["start", "delta", "stop"]
    text: str = ""
    turn: int | None = None


@attrs.frozen
class UserTranscript(Event):
    """The final transcript of what the user said.

    Attributes:
        text: The transcript.
        turn: Number of the turn, if sent.
    """

    text: str
    turn: int | None = None


@attrs.frozen
class Interrupted(Event):
    """The user took the floor; what the agent was saying is void.

    Attributes:
        turn: The number that the server named.
        fresh_from: Lowest turn whose audio may still play. The codec turns its vendor's
            policy into this number.
    """

    turn: int
    fresh_from: int


@attrs.frozen
class AgentHungUp(Event):
    """The agent used its own hang-up tool; the server is about to close."""


@attrs.frozen
class Informed(Event):
    """A message that informs and never moves the session.

    Attributes:
        message: Typed payload of the protocol, or of an adapter.
    """

    message: object


@attrs.frozen
class Malformed(Event):
    """A frame that could not be read. It carries no payload, hence no secret.

    Attributes:
        kind: The message type as far as it was readable.
        field: The field that was missing or wrong; empty when the whole frame was.
        problem: What was wrong, in a few words.
    """

    kind: str
    field: str
    problem: str


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
    """The loudspeaker has played everything up to a Play effect.

    Attributes:
        through: Number of that Play.
    """

    through: int


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


COMMANDS: tuple[type[Event], ...] = (Start, Send, Interrupt, AnswerCall, DecideApproval, End)

SERVER_EVENTS: tuple[type[Event], ...] = (
    SocketOpened,
    ConnectionFailed,
    SocketClosed,
    SessionReady,
    Pinged,
    AgentAudio,
    AgentResponse,
    TextPart,
    UserTranscript,
    Interrupted,
    ToolCalled,
    ApprovalAsked,
    ApprovalWithdrawn,
    AgentHungUp,
    Informed,
    Malformed,
)

LOCAL_EVENTS: tuple[type[Event], ...] = (
    AudioStarted,
    AudioStopped,
    AudioFailed,
    Played,
    InterruptionSuspected,
    InterruptionDismissed,
    UserAudio,
    ToolCompleted,
    ApprovalDecided,
    TimerFired,
)

EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in (*COMMANDS, *SERVER_EVENTS, *LOCAL_EVENTS)}
