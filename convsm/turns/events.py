"""The input alphabet of the user and the turn, beside the events of the conversation that it hears too."""

from __future__ import annotations

from typing import Literal

import attrs

from convsm.machine.base import Event
from convsm.machine.events import (
    AgentAudio,
    ResponseRefused,
    ResponseStarted,
    Send,
    TimerFired,
    UserAudio,
    UserTranscript,
)
from convsm.turns.detection import Verdict
from convsm.turns.options import TurnHandling

__all__ = [
    "COMMANDS",
    "EVENTS",
    "FACTS",
    "HEARD",
    "AgentChanged",
    "CancelUserTurn",
    "ClearUserTurn",
    "CommitUserTurn",
    "HearingLost",
    "InterimTranscript",
    "InterruptAgent",
    "MicrophoneMuted",
    "MicrophoneUnmuted",
    "OverlapJudged",
    "ProtectedReplyEnded",
    "RequestAgentReply",
    "SpeechEnded",
    "SpeechPaused",
    "SpeechResumed",
    "SpeechStarted",
    "StartUserTurn",
    "TakeFloor",
    "TranscriptionFailed",
    "TurnHandlingChanged",
    "TurnPredicted",
    "TurnReleased",
    "UserAudioRefused",
    "UserAudioTaken",
]

Source = Literal["local", "server"]


# Commands: API calls


@attrs.frozen
class StartUserTurn(Event):
    """Begin a turn by hand: silence the agent, forget what was said, and let the server hear the user."""


@attrs.frozen
class CommitUserTurn(Event):
    """End a turn by hand. Answered by one ResolveCommit, or by CancelCommit if another commit follows.

    Attributes:
        commit_id: Number of this call, chosen by the caller; to be carried by the answer.
        transcript_timeout: How long to wait for the final transcript, in seconds, at least 0.
        stt_flush_duration: Silence to send behind the user's audio to a server that ends turns itself,
            in seconds, at least 0.
        skip_reply: Whether the agent is not to reply.
    """

    commit_id: int
    transcript_timeout: float = 2.0
    stt_flush_duration: float = 2.0
    skip_reply: bool = False


@attrs.frozen
class ClearUserTurn(Event):
    """Forget what the user said and did not commit."""


@attrs.frozen
class CancelUserTurn(Event):
    """Give up a turn that was begun by hand, and let the server hear nothing more."""


@attrs.frozen
class InterruptAgent(Event):
    """Silence the agent.

    Attributes:
        force: Whether to do so though it is protected, by the settings or for one reply.
    """

    force: bool = False


@attrs.frozen
class RequestAgentReply(Event):
    """Ask the agent for a reply, behind what it says and does already.

    Attributes:
        message: Message that asks for it, for the protocol's codec to encode.
        allow_interruptions: Whether the user may interrupt that reply. False: only force does, and
            ``Interruption.discard_audio_if_uninterruptible`` holds for it.
    """

    message: object
    allow_interruptions: bool = True


@attrs.frozen
class TakeFloor(Event):
    """Let the agent speak to a user who does not stop, if it can be asked to and is silent.

    The answer to UserTurnExceeded that is usual. Possible in every state, and refused in none.

    Attributes:
        message: Message that asks for what the agent says then, which may not be interrupted.
    """

    message: object


@attrs.frozen
class TurnHandlingChanged(Event):
    """Other settings hold from now on.

    Attributes:
        handling: The settings.
    """

    handling: TurnHandling


# Facts


@attrs.frozen
class SpeechStarted(Event):
    """Somebody began to speak at the microphone.

    Attributes:
        began: When, on the clock of ``at``; earlier than ``at``, for a detector needs time to be sure.
        source: Whose detector says so.
    """

    began: float
    source: Source = "local"


@attrs.frozen
class SpeechPaused(Event):
    """No voice in a piece of sound, though speech has not ended yet.

    Attributes:
        began: When the pause began.
    """

    began: float


@attrs.frozen
class SpeechResumed(Event):
    """Voice again, after a pause in which speech had not ended.

    Attributes:
        began: When it came back.
    """

    began: float


@attrs.frozen
class SpeechEnded(Event):
    """Speech at the microphone has ended.

    Attributes:
        ended: When, on the clock of ``at``.
        source: Whose detector says so.
    """

    ended: float
    source: Source = "local"


@attrs.frozen
class HearingLost(Event):
    """Nothing on this side hears the user any more: the detector has failed."""


@attrs.frozen
class MicrophoneMuted(Event):
    """The user does not want to be heard."""


@attrs.frozen
class MicrophoneUnmuted(Event):
    """The user may be heard again."""


@attrs.frozen
class InterimTranscript(Event):
    """What the user has said so far, not final.

    Attributes:
        text: All of it since the last final transcript.
        item: The server's id of the piece of the user's audio that it is of, if sent.
    """

    text: str
    item: str | None = None


@attrs.frozen
class UserAudioTaken(Event):
    """The server made a piece of the user's audio so far; final words of it may follow.

    Attributes:
        item: Its id, which those words carry, if sent.
    """

    item: str | None = None


@attrs.frozen
class UserAudioRefused(Event):
    """The server was told that the turn is over, and has no audio of it."""


@attrs.frozen
class TranscriptionFailed(Event):
    """No words will be told of a piece of the user's audio.

    Attributes:
        item: Its id, if sent.
    """

    item: str | None = None


@attrs.frozen
class OverlapJudged(Event):
    """What the user says while the agent speaks was judged.

    Attributes:
        verdict: ``interruption``, ``backchannel`` or ``unknown``.
        text: The words it rests on; empty if it rests on sound.
        speech: Number of the speech whose sound was judged; 0 if words were.
    """

    verdict: Verdict
    text: str = ""
    speech: int = 0


@attrs.frozen
class TurnPredicted(Event):
    """A turn detector answered.

    Attributes:
        prediction_id: Number of the question.
        probability: How likely the turn is over, 0 to 1.
    """

    prediction_id: int
    probability: float


@attrs.frozen
class TurnReleased(Event):
    """Whoever was asked about a committed turn is done with it; the answer to CompleteTurn.

    Attributes:
        turn: Number of the turn.
        wants_reply: Whether the agent is to reply.
    """

    turn: int
    wants_reply: bool = True


@attrs.frozen
class AgentChanged(Event):
    """The conversation changed in this step: its state, whether tools run, or what is undecided.

    Attributes:
        source: Its state before.
        target: Its state now.
        was_busy: Whether tools ran before.
        is_busy: Whether tools run now.
        was_undecided: Whether an interruption was undecided before.
        is_undecided: Whether one is now.
        cause: Name of the class of the conversation's event that did it.
    """

    source: str
    target: str
    was_busy: bool = False
    is_busy: bool = False
    was_undecided: bool = False
    is_undecided: bool = False
    cause: str = ""


@attrs.frozen
class ProtectedReplyEnded(Event):
    """A reply that was not to be interrupted was heard, was cut all the same, or will never be heard."""


COMMANDS: tuple[type[Event], ...] = (
    StartUserTurn,
    CommitUserTurn,
    ClearUserTurn,
    CancelUserTurn,
    InterruptAgent,
    RequestAgentReply,
    TakeFloor,
    TurnHandlingChanged,
)

FACTS: tuple[type[Event], ...] = (
    SpeechStarted,
    SpeechPaused,
    SpeechResumed,
    SpeechEnded,
    HearingLost,
    MicrophoneMuted,
    MicrophoneUnmuted,
    InterimTranscript,
    UserAudioTaken,
    UserAudioRefused,
    TranscriptionFailed,
    OverlapJudged,
    TurnPredicted,
    TurnReleased,
    AgentChanged,
    ProtectedReplyEnded,
)

# Events of the conversation that this table hears before the conversation does.
HEARD: tuple[type[Event], ...] = (
    UserTranscript,
    AgentAudio,
    ResponseStarted,
    ResponseRefused,
    Send,
    UserAudio,
    TimerFired,
)

EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in (*COMMANDS, *FACTS, *HEARD)}
