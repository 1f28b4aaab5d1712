"""What turn handling tells the user's program: when each fact happened, and when it was known."""

from __future__ import annotations

from typing import Literal

import attrs

from convsm.turns.detection import Verdict

__all__ = [
    "AgentFalseInterruption",
    "AgentState",
    "AgentStateChanged",
    "Fact",
    "LateTranscript",
    "OverlappingSpeech",
    "UserInterruptionDetected",
    "UserState",
    "UserStateChanged",
    "UserTranscriptionTimeout",
    "UserTurnCommitted",
    "UserTurnExceeded",
]

UserState = Literal["listening", "speaking", "away"]
AgentState = Literal["initializing", "idle", "listening", "thinking", "speaking"]


@attrs.frozen
class Fact:
    """Base of all reports.

    Attributes:
        occurred_at: When it happened, in seconds of the driver's monotonic clock.
        known_at: When it was known; not earlier.
    """

    occurred_at: float = attrs.field(kw_only=True)
    known_at: float = attrs.field(kw_only=True)


@attrs.frozen
class UserStateChanged(Fact):
    """The user began or ended to speak, went away or came back.

    Attributes:
        old_state: ``listening``, ``speaking`` or ``away``.
        new_state: The same.
    """

    old_state: UserState
    new_state: UserState


@attrs.frozen
class AgentStateChanged(Fact):
    """What the agent does has changed.

    Attributes:
        old_state: ``initializing``, ``idle``, ``listening``, ``thinking`` or ``speaking``.
        new_state: The same.
    """

    old_state: AgentState
    new_state: AgentState


@attrs.frozen
class UserInterruptionDetected(Fact):
    """The user cuts in; the agent is paused, or cut off.

    Attributes:
        is_tentative: Whether the agent is only paused until it is confirmed.
    """

    is_tentative: bool


@attrs.frozen
class AgentFalseInterruption(Fact):
    """An interruption came to nothing.

    Attributes:
        resumed: Whether the agent goes on.
    """

    resumed: bool


@attrs.frozen
class OverlappingSpeech(Fact):
    """What the user said while the agent spoke was judged.

    Attributes:
        verdict: The verdict.
        text: The words it rests on.
    """

    verdict: Verdict
    text: str


@attrs.frozen
class UserTurnCommitted(Fact):
    """The user's turn is over.

    Attributes:
        turn: Its number, from 1.
        transcript: What was said; empty if it is not known (yet).
    """

    turn: int
    transcript: str


@attrs.frozen
class LateTranscript(Fact):
    """Words of a turn that is over already; no later turn contains them.

    Attributes:
        turn: Number of the turn that they belong to; 0 if the program committed their audio itself.
        text: The words.
    """

    turn: int
    text: str


@attrs.frozen
class UserTurnExceeded(Fact):
    """The user has said more than the limit allows before the agent spoke.

    Attributes:
        transcript: The turn that is not committed.
        accumulated_transcript: All since the agent last spoke.
        accumulated_word_count: Its words.
        duration: Seconds since the user began.
    """

    transcript: str
    accumulated_transcript: str
    accumulated_word_count: int
    duration: float


@attrs.frozen
class UserTranscriptionTimeout(Fact):
    """The user spoke and no words came of it in time.

    Attributes:
        speech_duration: Seconds spoken without words.
        speech_started_at: When that began.
    """

    speech_duration: float
    speech_started_at: float
