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
from convsm.machine.local_events import (
    AudioFailed,
    AudioStarted,
    AudioStopped,
    End,
    Interrupt,
    InterruptionDismissed,
    InterruptionSuspected,
    Played,
    Send,
    Start,
    TimerFired,
    UserAudio,
)

__all__ = [
    "COMMANDS",
    "CUTTING",
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
    "ResponseEnded",
    "ResponseRefused",
    "ResponseStarted",
    "Send",
    "SessionFailed",
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
class SessionFailed(Event):
    """The server said that the session cannot begin or cannot go on; it is about to close.

    Attributes:
        message: What it said, in one sentence, without secrets.
    """

    message: str


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
        item: The server's id of what this is a piece of, where it wants to be told how much of that was
            heard when it is cut.
    """

    audio: bytes
    turn: int
    alignment: object = None
    is_final: bool = False
    item: str | None = None


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
        item: The server's id of the piece of the user's audio that it is of, if sent.
    """

    text: str
    turn: int | None = None
    item: str | None = None


@attrs.frozen
class Interrupted(Event):
    """The user took the floor; what the agent was saying is void.

    Attributes:
        turn: The number that the server named.
        fresh_from: Lowest turn whose audio may still play. The codec turns its vendor's
            policy into this number.
        is_cancelled: Whether the server stops generating by itself; else it is told to.
    """

    turn: int
    fresh_from: int
    is_cancelled: bool = True


@attrs.frozen
class ResponseStarted(Event):
    """The server generates a response. Only servers that reply when asked have to say so.

    Attributes:
        turn: Number of its turn.
    """

    turn: int


@attrs.frozen
class ResponseEnded(Event):
    """The response is generated, or its generation was given up; it may still be audible.

    Attributes:
        turn: Number of its turn.
        status: ``completed``, ``cancelled``, ``failed`` or ``incomplete``, as far as the server tells.
        reason: Why it is not complete, in the server's words.
    """

    turn: int
    status: str = "completed"
    reason: str | None = None


@attrs.frozen
class ResponseRefused(Event):
    """The server does not generate the response that it was asked for.

    Attributes:
        is_busy: Whether only because it generates another one.
    """

    is_busy: bool = False


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


COMMANDS: tuple[type[Event], ...] = (Start, Send, Interrupt, AnswerCall, DecideApproval, End)

SERVER_EVENTS: tuple[type[Event], ...] = (
    SocketOpened,
    ConnectionFailed,
    SocketClosed,
    SessionReady,
    SessionFailed,
    Pinged,
    AgentAudio,
    AgentResponse,
    TextPart,
    UserTranscript,
    Interrupted,
    ResponseStarted,
    ResponseEnded,
    ResponseRefused,
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

# Before one of these is handled, a driver that knows how far the loudspeaker is says so by a Played: they
# may cut the agent off, and the server is told how much was heard, then or with the next interruption.
CUTTING: tuple[type[Event], ...] = (Interrupted, Interrupt, InterruptionSuspected, Send, AudioFailed)

EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in (*COMMANDS, *SERVER_EVENTS, *LOCAL_EVENTS)}
