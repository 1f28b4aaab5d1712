"""The output alphabet of turn handling, beside the timers and rejections of the machine."""

from __future__ import annotations

import attrs

from convsm.machine.base import Event
from convsm.machine.effects import Effect
from convsm.turns.detection import Overlap
from convsm.turns.reports import Fact

__all__ = [
    "EFFECTS",
    "CancelCommit",
    "CompleteTurn",
    "JudgeSound",
    "ListenAnew",
    "Post",
    "PredictTurn",
    "Report",
    "ResolveCommit",
    "StopListening",
    "TurnStateChanged",
]


@attrs.frozen
class Post(Effect):
    """Let an event happen in this same step; never leaves ``TurnTaking``.

    Attributes:
        event: An event of the conversation, or of this table.
    """

    event: Event


@attrs.frozen
class Report(Effect):
    """Tell the user's callbacks about a fact of turn handling.

    Attributes:
        fact: The fact.
    """

    fact: Fact


@attrs.frozen
class JudgeSound(Effect):
    """Ask a classifier that listens about what the user says. Answered by OverlapJudged, or not at all.

    Attributes:
        speech: Number of the speech, to be carried by the answer.
        overlap: What is known of it.
    """

    speech: int
    overlap: Overlap


@attrs.frozen
class ListenAnew(Effect):
    """Have the detector of this side forget what it heard: speech that goes on begins for it now."""


@attrs.frozen
class StopListening(Effect):
    """Have the detector of this side hear nothing until ListenAnew, and keep nothing of what it heard."""


@attrs.frozen
class PredictTurn(Effect):
    """Ask the turn detector. Answered by TurnPredicted, or not at all.

    Attributes:
        prediction_id: To be carried by the answer.
        transcript: What the user said in this turn.
    """

    prediction_id: int
    transcript: str


@attrs.frozen
class CompleteTurn(Effect):
    """The turn is committed: ask whoever wants to be asked. Answered by one TurnReleased.

    Attributes:
        turn: Number of the turn.
        transcript: What the user said in it.
        skip_reply: Whether no reply will be asked for, whatever the answer.
    """

    turn: int
    transcript: str
    skip_reply: bool = False


@attrs.frozen
class ResolveCommit(Effect):
    """A commit is done.

    Attributes:
        commit_id: Number of the call.
        transcript: What the user said; empty if nothing.
    """

    commit_id: int
    transcript: str


@attrs.frozen
class CancelCommit(Effect):
    """A commit was given up for another one.

    Attributes:
        commit_id: Number of the call.
    """

    commit_id: int


@attrs.frozen
class TurnStateChanged(Effect):
    """User or turn changed their state.

    Attributes:
        source: State before.
        target: State after.
        event: Name of the event that did it.
        at: The event's time.
    """

    source: str
    target: str
    event: str
    at: float


EFFECTS: dict[str, type[Effect]] = {
    kind.__name__: kind
    for kind in (
        Post,
        Report,
        JudgeSound,
        ListenAnew,
        StopListening,
        PredictTurn,
        CompleteTurn,
        ResolveCommit,
        CancelCommit,
        TurnStateChanged,
    )
}
