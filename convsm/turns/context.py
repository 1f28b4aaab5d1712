"""What is known about the user and their turn beside the state: data for guards and emitters."""

from __future__ import annotations

import attrs

from convsm.machine import Session
from convsm.machine.effects import Effect
from convsm.turns.detection import OverlapClassifier
from convsm.turns.endpointing import DelayEstimate
from convsm.turns.events import CommitUserTurn
from convsm.turns.options import TurnHandling
from convsm.turns.server import TurnServer
from convsm.turns.table import INITIAL

__all__ = ["Piece", "TurnContext"]


@attrs.frozen
class Piece:
    """A piece of the user's audio that the server transcribes, or will.

    Attributes:
        turn: The turn that it is of; None while that is open and the server parts it; 0 for none.
        at: When it was committed, taken or owed.
        item: The server's id; None until it is told, empty if it is told without one.
        is_told: Whether its final words are in, or will never be.
        is_owed: Whether words without an id may be of it.
    """

    turn: int | None
    at: float
    item: str | None = None
    is_told: bool = False
    is_owed: bool = True


@attrs.define
class TurnContext:
    """The data of one user's turns. Times are those of the events' clock.

    Attributes:
        session: The conversation; read, never written or driven.
        handling: The settings.
        server: What the server can do.
        classifier: Tells backchannels from interruptions; None takes every word for an interruption.
        state: Name of the current state; only the table's interpreter writes it.
        delays: The delays in force.
        turn: Number of the turn that is open, or will be; from 1.
        committed: Number of the turn that was committed last; 0 if none was.
        words: Final transcripts of the open turn.
        asides: When the user said what was taken for a backchannel, and what, since the agent began.
        interim: What follows them and is not final.
        overlap_from: How many final transcripts there were when the present overlap began.
        speech: Number of the present speech, or of the last; from 1.
        began: When it began.
        last_spoke: When the user was last heard; the anchor of every delay of the turn.
        has_voice: Whether speech has begun and not ended.
        quiet_since: When the present pause in it began; None while there is voice.
        voiced_for: Seconds of voice in it before its last pause.
        voiced_since: When its voice began after that.
        is_serious: Whether it is long enough to be meant as an interruption.
        hears_locally: Whether a detector on this side was ever heard of.
        server_hears: Whether the server heard speech begin and not end.
        holds_turn: Whether the turn is held by hand.
        has_muted: Whether the user does not want to be heard.
        pre_roll: The latest sound of the microphone while its gate is closed.
        prediction_id: Number of the last question to the detector.
        prediction: Its answer; None if it is open, or void.
        is_pending: Whether an interruption waits for a decision about the turn to be dismissed.
        has_told: Whether the interruption that is undecided was told.
        agent_began: When the agent was last heard to begin.
        has_warmed_up: Whether the one warm-up of the session has begun.
        commit: The commit by hand that is not answered.
        skips_reply: Whether no reply is wanted for the turn committed last.
        is_awaiting: Whether the present speech began while the agent was about to reply.
        has_release: Whether the reply to the turn before it was released meanwhile, and not asked for.
        pieces: Pieces of the user's audio that words may come of, or came of, in order; the latest 64.
        silent_speech: Seconds of speech in the open turn that no words came of.
        silent_speech_began: When that began.
        limit_began: When the user began, since the agent was last heard.
        limit_words: All final words since then.
        has_exceeded: Whether that was reported.
        promises: Messages of requests whose replies may not be interrupted and are not over. Three at
            most, where a server is asked for one response at a time; elsewhere one a request, until
            their replies come or do not come in time.
        promised_from: Lowest turn of the agent's that the reply to the first of them can be.
        protected_turn: The agent's turn that may not be interrupted; None if none may not.
        protected_through: Number of the last Play of it; 0 if none of it is to be heard.
        protected_before: What that was when the turn began.
        timers: Armed timers: name and token.
        last_token: Token of the timer armed last.
    """

    session: Session
    handling: TurnHandling = attrs.field(factory=TurnHandling)
    server: TurnServer = attrs.field(factory=TurnServer)
    classifier: OverlapClassifier | None = None
    state: str = INITIAL
    delays: DelayEstimate = attrs.field(
        default=attrs.Factory(lambda self: DelayEstimate(self.handling.endpointing), takes_self=True)
    )
    turn: int = 1
    committed: int = 0
    words: list[str] = attrs.field(factory=list)
    asides: list[tuple[float, str]] = attrs.field(factory=list)
    interim: str = ""
    overlap_from: int = 0
    speech: int = 0
    began: float | None = None
    last_spoke: float | None = None
    has_voice: bool = False
    quiet_since: float | None = None
    voiced_for: float = 0.0
    voiced_since: float = 0.0
    is_serious: bool = False
    hears_locally: bool = False
    server_hears: bool = False
    holds_turn: bool = False
    has_muted: bool = False
    pre_roll: bytes = b""
    prediction_id: int = 0
    prediction: float | None = None
    is_pending: bool = False
    has_told: bool = False
    agent_began: float | None = None
    has_warmed_up: bool = False
    commit: CommitUserTurn | None = None
    skips_reply: bool = False
    is_awaiting: bool = False
    has_release: bool = False
    pieces: list[Piece] = attrs.field(factory=list)
    silent_speech: float = 0.0
    silent_speech_began: float | None = None
    limit_began: float | None = None
    limit_words: list[str] = attrs.field(factory=list)
    has_exceeded: bool = False
    promises: list[object] = attrs.field(factory=list)
    promised_from: int = 1
    protected_turn: int | None = None
    protected_through: int = 0
    protected_before: int = 0
    timers: dict[str, int] = attrs.field(factory=dict)
    last_token: int = 0
    _effects: list[Effect] = attrs.field(factory=list, init=False, repr=False, eq=False)

    def transcript(self) -> str:
        """Return the final words of the open turn."""
        return " ".join(self.words)
