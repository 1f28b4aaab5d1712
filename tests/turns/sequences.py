"""Random sequences of turn-taking: a world that keeps its contracts, on both sides, and what must hold."""

from __future__ import annotations

from random import Random
from typing import Any, cast

import attrs

from convsm.machine import GROUPS, RefusedCommand, Row, Session, SessionOptions
from convsm.machine.base import Event
from convsm.machine.effects import Effect, Flush, PauseAudio, Reject, RequestReply
from convsm.machine.events import (
    AgentAudio,
    InterruptionDismissed,
    InterruptionSuspected,
    ResponseStarted,
    Send,
    TimerFired,
    UserTranscript,
)
from convsm.testing.invariants import HOSTILE, InvariantChecker
from convsm.testing.noise import hostile_event
from convsm.testing.observation import snapshot
from convsm.testing.world import World
from convsm.turns import TurnHandling, WordListClassifier
from convsm.turns.effects import (
    CancelCommit,
    CompleteTurn,
    Post,
    PredictTurn,
    ResolveCommit,
)
from convsm.turns.events import (
    COMMANDS,
    CancelUserTurn,
    ClearUserTurn,
    CommitUserTurn,
    HearingLost,
    InterimTranscript,
    InterruptAgent,
    MicrophoneMuted,
    MicrophoneUnmuted,
    OverlapJudged,
    RequestAgentReply,
    SpeechEnded,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    StartUserTurn,
    TakeFloor,
    TurnHandlingChanged,
    TurnPredicted,
    TurnReleased,
)
from convsm.turns.server import TurnServer
from convsm.turns.session import UserTurn
from convsm.turns.table import ROWS, STATES
from convsm.turns.taking import TurnTaking
from tests.machine.oracle import interpret
from tests.turns.named_words import WordsOracle
from tests.turns.protected_replies import ProtectionOracle, is_gentle

__all__ = ["LENGTH", "Play", "handlings", "servers", "walk"]

LENGTH = 60
ON_LEAVE = {state.name: state.on_leave for state in STATES}


class Detector:
    unlikely_threshold = 0.5

    def __init__(self, is_streaming: bool) -> None:
        self.is_streaming = is_streaming

    async def probability(self, transcript: str, audio: bytes) -> float:
        return 1.0


READER, LISTENER = Detector(False), Detector(True)
SERVERS = (
    TurnServer(),
    TurnServer(reply=RequestReply(), speech_events=True),
    TurnServer(user_transcripts=False),
    TurnServer(
        commit="commit", clear="clear", reply=RequestReply(), needs_continuous_audio=False, speech_events=True
    ),
    TurnServer(commit="commit", reply=RequestReply(), transcribes_open_turns=False, speech_events=True),
)
TAKEN: set[Row] = set()


@attrs.define
class DoubleTurn(UserTurn):
    """A turn whose every step the reference interpreter does too."""

    def handle(self, event: Event) -> tuple[Effect, ...]:
        before, twin = snapshot(self), snapshot(self)
        effects = UserTurn.handle(self, event)
        assert effects == interpret(twin, event, ROWS, ON_LEAVE, COMMANDS)
        assert self == twin
        TAKEN.update(row_of(before, event))
        return effects


def row_of(turn: UserTurn, event: Event) -> list[Row]:
    for row in ROWS:
        is_here = row.trigger == type(event).__name__ and turn.state in row.sources
        if is_here and all(getattr(turn, guard)(event) for guard in row.when):
            return [row]
    return []


def handlings(random: Random, server: TurnServer) -> TurnHandling:
    """Return random settings that a server can do."""
    choices: list[Any] = ["server", "manual"]
    if server.commit is not None or server.reply is not None:
        choices += ["vad", "stt", LISTENER]
        choices += [READER] if server.transcribes_open_turns else []
    some = {
        "enabled": random.random() < 0.8,
        "min_words": random.choice((0, 0, 2)) if server.user_transcripts else 0,
        "resume_false_interruption": random.random() < 0.8,
        "false_interruption_timeout": random.choice((2.0, 0.0, 0.0, None)),
    }
    limit = {"max_duration": random.choice((None, 1.0))}
    if server.user_transcripts:
        limit["max_words"] = random.choice((None, 2))
    return TurnHandling.of(
        {
            "turn_detection": random.choice(choices),
            "interruption": some,
            "user_turn_limit": limit,
            "aec_warmup_duration": random.choice((None, 3.0)),
            "user_away_timeout": random.choice((None, 15.0)),
            "transcription_timeout": random.choice((None, 2.0)),
        }
    )


def servers(random: Random) -> TurnServer:
    """Return a random server."""
    return random.choice(SERVERS)


@attrs.define
class Play:
    """One turn-taking, the world around it, and what was promised so far."""

    taking: TurnTaking
    world: World
    keeps_contract: bool = True
    at: float = 0.0
    is_voiced: bool = False
    is_quiet: bool = False
    commits: list[int] = attrs.field(factory=list)
    open_commits: set[int] = attrs.field(factory=set)
    asked: list[int] = attrs.field(factory=list)
    completed: list[int] = attrs.field(factory=list)
    released: set[int] = attrs.field(factory=set)
    oracle: ProtectionOracle = attrs.field(factory=ProtectionOracle)
    names: WordsOracle = attrs.field(
        default=attrs.Factory(lambda play: WordsOracle(play.taking.turn.server), takes_self=True)
    )
    requests: int = 0

    def offer(self, random: Random) -> list[Event]:
        """Return what detector, program and shells may say now, from a small vocabulary."""
        source: Any = random.choice(("local", "local", "server"))
        voice: list[Event] = [SpeechStarted(self.at - random.random() / 10, source)]
        if self.is_voiced:
            voice = [SpeechEnded(self.at - random.random(), source)]
            voice += [SpeechResumed(self.at)] if self.is_quiet else [SpeechPaused(self.at)]
        # Each request is another message: what counts as one request is told by that.
        self.requests += 1
        request = RequestReply(f"request {self.requests}")
        hands: list[Event] = [
            RequestAgentReply(request, random.random() < 0.3),
            RequestAgentReply(request, allow_interruptions=False),
            TakeFloor(request),
            StartUserTurn(),
            CommitUserTurn(len(self.commits) + 1, skip_reply=random.random() < 0.2),
            ClearUserTurn(),
            CancelUserTurn(),
            InterruptAgent(random.random() < 0.5),
            MicrophoneMuted(),
            MicrophoneUnmuted(),
            MicrophoneUnmuted(),
            TurnHandlingChanged(handlings(random, self.taking.turn.server)),
        ]
        if random.random() < 0.2:
            hands.append(HearingLost())
        if self.taking.turn.server.commit is not None:
            hands.append(Send(self.taking.turn.server.commit))
        words: list[Event] = [
            UserTranscript(random.choice(("", "mhm", "stop", "please stop it"))),
            InterimTranscript(random.choice(("", "sto"))),
            *self.names.offer(random, self.at),
        ]
        answers: list[Event] = [TurnPredicted(one, random.random()) for one in self.asked[-2:]]
        answers += [
            TurnReleased(one, random.random() < 0.8) for one in self.completed if one not in self.released
        ]
        if random.random() < 0.1:
            answers.append(OverlapJudged(random.choice(("interruption", "backchannel", "unknown"))))
        if random.random() < 0.3:
            return hands
        return [*voice, *voice, *(words if self.world.socket == "open" else ()), *answers]

    def step(self, event: Event) -> None:
        """Let an event happen and check what came of it."""
        event = attrs.evolve(event, at=self.at)
        was_protected = self.taking.turn.is_agent_protected(event)
        try:
            effects = self.taking.handle(event)
        except RefusedCommand:
            effects = ()
        self.world.note(event, effects)
        if isinstance(event, SpeechStarted | SpeechEnded):
            self.is_voiced, self.is_quiet = isinstance(event, SpeechStarted), False
        elif isinstance(event, SpeechPaused | SpeechResumed):
            self.is_quiet = isinstance(event, SpeechPaused)
        elif isinstance(event, TurnReleased):
            self.released.add(event.turn)
        elif isinstance(event, CommitUserTurn):
            self.commits.append(event.commit_id)
            if not any(isinstance(effect, Reject) for effect in effects):
                self.open_commits.add(event.commit_id)
        if was_protected and is_gentle(event):
            assert not [one for one in effects if isinstance(one, Flush | PauseAudio)]
        self.oracle.note(event, effects)
        self.names.note(event, effects)
        if self.keeps_contract:
            self._check(effects)

    def _check(self, effects: tuple[Effect, ...]) -> None:
        turn, session = self.taking.turn, self.taking.session
        for effect in effects:
            assert not isinstance(effect, Post)
            if isinstance(effect, ResolveCommit | CancelCommit):
                self.open_commits.remove(effect.commit_id)
            elif isinstance(effect, PredictTurn):
                self.asked.append(effect.prediction_id)
            elif isinstance(effect, CompleteTurn):
                assert not self.completed or effect.turn > self.completed[-1]
                self.completed.append(effect.turn)
        assert not turn.has_promise_ended()
        if session.options.asks_replies:
            self.oracle.check(self.taking)
        elif turn.promises:
            assert "promise" in turn.timers or session.state == "connecting"
        is_open = session.state in GROUPS["open"]
        assert (turn.state != "inactive") == is_open
        assert self.open_commits == ({turn.commit.commit_id} if turn.commit is not None else set())
        assert (turn.commit is not None) == (turn.state == "committing")
        if not is_open:
            assert turn.timers == {}
            assert not turn.words
        assert {(name, token) for name, token in (*turn.timers.items(), *session.timers.items())} == (
            self.world.timers
        )
        assert not turn.has_voice or turn.state == "speaking"
        assert ("away" in turn.timers) <= (turn.state == "silent")
        assert ("endpointing" in turn.timers or "prediction" in turn.timers) >= (turn.state == "endpointing")
        if session.is_undecided(effects):  # type: ignore[arg-type]  # the guard asks no event
            decides = turn.has_voice or turn.holds_turn or {"dismissal", "decision"} & set(turn.timers)
            assert decides, f"nothing decides the interruption in {turn.state}"


def walk(seed: int, *, noise: float = 0.0, length: int = LENGTH) -> Play:
    """Lead one turn-taking through a random sequence.

    Raises:
        AssertionError: Something does not hold; names the seed.
    """
    random = Random(seed)
    server = servers(random)
    handling = handlings(random, server)
    options = SessionOptions(
        text_only=random.random() < 0.1,
        needs_audio=random.random() < 0.5,
        asks_replies=server.reply is not None and random.random() < 0.5,
        can_pause=random.random() < 0.8,
        pause_limit=random.randrange(6),
    )
    checker = InvariantChecker.of(HOSTILE) if noise else InvariantChecker()
    session = Session(options)
    classifier = WordListClassifier() if random.random() < 0.5 else None
    turn = DoubleTurn(session, handling, server, classifier)
    world = World(asks_replies=options.asks_replies)
    play = Play(TurnTaking(session, turn, checker.handle), world, not noise)
    try:
        begin(play, random)
        for _ in range(length):
            play.at += random.choice((0.0, 0.1, 1.0))
            if random.random() < noise:
                play.step(hostile_event(random))
            elif random.random() < 0.2 and (due := play.world.offer(TimerFired)):
                play.step(random.choice(due))
            elif random.random() < 0.5:
                play.step(random.choice(play.offer(random)))
            else:
                play.step(picked(play.world, random))
        if session.state != "idle" and not noise:
            play.world.settle(cast("Any", play.taking))
            assert play.taking.turn.state == "inactive"
    except Exception as error:
        raise AssertionError(f"sequence with seed {seed} (noise {noise}): {error!r}") from error
    return play


def begin(play: Play, random: Random) -> None:
    """Open the conversation, mostly, and often have the user cut in: by chance alone few would get there."""
    for _ in range(random.choice((0, 2, 4, 4, 4, 4))):
        for event in play.world.owed()[:1]:
            play.step(event)
    if play.world.asks_replies and play.taking.session.audio == "on" and random.random() < 0.5:
        play.step(RequestAgentReply(RequestReply("first request"), allow_interruptions=random.random() < 0.2))
        play.step(ResponseStarted(1))
    if play.taking.session.audio == "on" and random.random() < 0.6:
        play.step(AgentAudio(b"ab", 1, item="item_1" if play.world.asks_replies else None))
        play.at += 3.0
        play.step(SpeechStarted(play.at))
        for name, token in sorted(play.world.timers):
            if name in ("aec_warmup", "interruption"):
                play.step(TimerFired(name, token))
        if random.random() < 0.6:
            play.step(SpeechEnded(play.at))


def picked(world: World, random: Random) -> Event:
    """Return what a world picks but the evidence of interruptions, which is the turn's own to give."""
    while True:
        owed = world.owed()
        event = random.choice(owed) if owed and random.random() < 0.5 else world.pick(random)
        if not isinstance(event, InterruptionSuspected | InterruptionDismissed):
            return event
