"""A stage for turn-taking: a clock, timers, a loudspeaker, a server and a user, all virtual and exact."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeVar

import attrs

from convsm.machine import SessionOptions
from convsm.machine import effects as machine
from convsm.machine.base import Event
from convsm.machine.effects import Effect
from convsm.machine.events import (
    AgentAudio,
    AudioStarted,
    Played,
    ResponseEnded,
    ResponseStarted,
    SessionReady,
    SocketOpened,
    Start,
    TimerFired,
    UserTranscript,
)
from convsm.turns import TurnHandling
from convsm.turns.detection import OverlapClassifier
from convsm.turns.effects import CompleteTurn, Report, ResolveCommit
from convsm.turns.events import SpeechEnded, SpeechPaused, SpeechStarted, TurnReleased
from convsm.turns.reports import AgentStateChanged, Fact, UserStateChanged
from convsm.turns.server import TurnServer
from convsm.turns.taking import TurnTaking

__all__ = [
    "AFTER_COMMIT",
    "COMMIT",
    "FLOOR",
    "REPLY",
    "SERVER",
    "SERVER_OWNED",
    "TOLERANCE",
    "Stage",
    "answers",
    "base",
    "handling",
    "manual",
    "near",
]

T = TypeVar("T")

TOLERANCE = 0.02
RATE = 32_000
COMMIT, CLEAR, REPLY = "commit", "clear", "reply"
# Another message that asks for a reply.
FLOOR = "reply: you have said a lot"
SERVER = TurnServer(commit=COMMIT, clear=CLEAR, reply=REPLY, needs_continuous_audio=False)
SERVER_OWNED = TurnServer()
# Words come behind the commit only.
AFTER_COMMIT = attrs.evolve(SERVER, transcribes_open_turns=False)


def handling(**settings: Any) -> TurnHandling:
    """Return the settings of the reference's own scenarios, with changes."""
    base = {
        "turn_detection": "vad",
        "endpointing": {"min_delay": 0.5, "max_delay": 6.0},
        "aec_warmup_duration": None,
    }
    return TurnHandling.of({**base, **settings})


def near(*times: float) -> list[Any]:
    """Return times to compare with, each within the tolerance."""
    import pytest

    return [pytest.approx(time, abs=TOLERANCE) for time in times]


@attrs.define
class Loudspeaker:
    """Plays what it is given, to the sample, and can pause."""

    pieces: list[tuple[int, float]] = attrs.field(factory=list)
    is_paused: bool = False
    position: float = 0.0

    def next_end(self, now: float) -> float | None:
        return now + self.pieces[0][1] if self.pieces and not self.is_paused else None

    def advance(self, seconds: float) -> list[int]:
        """Play on and return the numbers of the pieces that ended."""
        ended = []
        while self.pieces and not self.is_paused:
            number, left = self.pieces[0]
            step = min(left, seconds)
            self.position += step
            seconds -= step
            if left - step > 1e-9:
                self.pieces[0] = (number, left - step)
                break
            self.pieces.pop(0)
            ended.append(number)
        return ended


class Stage:
    """One conversation from its acceptance on; times are seconds from there."""

    def __init__(
        self,
        turn_handling: TurnHandling | None = None,
        server: TurnServer = SERVER,
        classifier: OverlapClassifier | None = None,
        reply: float | None = 2.0,
        reply_after: float = 0.5,
        hook_delay: float | None = 0.0,
        **options: Any,
    ) -> None:
        self.taking = TurnTaking.of(
            SessionOptions(**options), turn_handling or handling(), server, classifier
        )
        self.now = 0.0
        self.reply, self.reply_after, self.hook_delay = reply, reply_after, hook_delay
        self.speaker = Loudspeaker()
        self.timers: dict[str, tuple[float, int]] = {}
        self.told: list[tuple[float, Effect]] = []
        self._order = count()
        self._planned: list[tuple[float, int, Event | Callable[[], object]]] = []
        self._turns = count(1)
        for event in (Start(), SocketOpened(), SessionReady("conversation_1"), AudioStarted()):
            self.post(event)

    # The user, the server and the program

    def at(self, time: float, *events: Event | Callable[[], object]) -> Stage:
        """Plan events, or calls, for a time."""
        for event in events:
            heapq.heappush(self._planned, (time, next(self._order), event))
        return self

    def user(
        self, start: float, end: float, text: str = "", stt_delay: float = 0.2, silence: float = 0.5
    ) -> Stage:
        """Plan what a user says, as detector and server tell it; without text it is a noise."""
        self.at(start + 0.05, SpeechStarted(start))
        self.at(end, SpeechPaused(end))
        if text:
            self.at(end + stt_delay, UserTranscript(text))
        return self.at(end + silence, SpeechEnded(end))

    def agent(self, time: float, seconds: float, turn: int | None = None) -> Stage:
        """Plan speech of the agent."""
        number = next(self._turns) if turn is None else turn
        return self.at(time, AgentAudio(bytes(round(seconds * RATE / 2) * 2), number))

    # The course of time

    def run(self, until: float) -> Stage:
        """Let time pass."""
        while True:
            ends = self.speaker.next_end(self.now)
            timer = min(self.timers.values(), default=None)
            planned = self._planned[0][0] if self._planned else None
            times = [time for time in (ends, timer and timer[0], planned) if time is not None]
            due = min(times, default=until + 1)
            if due > until:
                self._advance(until)
                return self
            self._advance(due)
            if planned is not None and planned <= due:
                _, _, event = heapq.heappop(self._planned)
                if callable(event):
                    event()
                else:
                    self.post(event)
            elif timer is not None and timer[0] <= due:
                name = next(name for name, armed in self.timers.items() if armed == timer)
                del self.timers[name]
                self.post(TimerFired(name, timer[1]))

    def _advance(self, time: float) -> None:
        seconds, self.now = time - self.now, time
        for number in self.speaker.advance(seconds):
            self.post(Played(number))

    def post(self, event: Event) -> tuple[Effect, ...]:
        """Let an event happen now."""
        effects = self.taking.handle(attrs.evolve(event, at=self.now))
        for effect in effects:
            self.told.append((self.now, effect))
            self._perform(effect)
        return effects

    def _perform(self, effect: Effect) -> None:
        speaker = self.speaker
        if isinstance(effect, machine.SetTimer):
            self.timers[effect.name] = (self.now + effect.seconds, effect.token)
        elif isinstance(effect, machine.CancelTimer):
            self.timers.pop(effect.name, None)
        elif isinstance(effect, machine.Play):
            speaker.pieces.append((effect.number, len(effect.audio) / RATE))
        elif isinstance(effect, machine.Flush):
            speaker.pieces.clear()
        elif isinstance(effect, machine.PauseAudio):
            speaker.is_paused = True
        elif isinstance(effect, machine.ResumeAudio):
            speaker.is_paused = False
        elif isinstance(effect, CompleteTurn) and self.hook_delay is not None:
            self.at(self.now + self.hook_delay, TurnReleased(effect.turn))
        elif isinstance(effect, machine.Transmit) and effect.message in (REPLY, FLOOR) and self.reply:
            self._answer(self.reply)

    def _answer(self, seconds: float) -> None:
        """Plan what the server does when it is asked for a reply."""
        if not self.taking.session.options.asks_replies:
            self.agent(self.now + self.reply_after, seconds)
            return
        # Generated sooner than it is heard: at once, in a fifth of the time to its first sound.
        turn, began = next(self._turns), self.now + self.reply_after
        self.at(self.now + self.reply_after / 5, ResponseStarted(turn))
        self.agent(began, seconds, turn).at(began, ResponseEnded(turn))

    # What came of it

    def when(self, kind: type[Effect], **fields: Any) -> list[float]:
        """Return when effects of a class came, those only that have these fields."""
        return [
            time
            for time, effect in self.told
            if isinstance(effect, kind)
            and all(getattr(effect, name) == value for name, value in fields.items())
        ]

    def sent(self, message: object) -> list[float]:
        """Return when a message went out."""
        return self.when(machine.Transmit, message=message)

    def facts(self, kind: type[T]) -> list[T]:
        """Return the reports of a class."""
        return [
            effect.fact
            for _, effect in self.told
            if isinstance(effect, Report) and isinstance(effect.fact, kind)
        ]

    def path(self, kind: type[Fact]) -> list[tuple[str, float]]:
        """Return states and when each was entered."""
        assert kind in (AgentStateChanged, UserStateChanged)
        return [(fact.new_state, fact.known_at) for fact in self.facts(kind)]  # type: ignore[attr-defined]

    def agent_path(self) -> Iterator[tuple[str, float]]:
        """Return the agent's states after its first."""
        return iter(self.path(AgentStateChanged)[1:])


def base(reply: float = 2.0, server_owned: bool = False, **settings: Any) -> Stage:
    """Return a stage on which the user speaks from 0.5 to 2.5; the agent replies from 3.5 on."""
    own = {"can_pause", "classifier", "needs_audio", "hook_delay"} & set(settings)
    options = {name: settings.pop(name) for name in own}
    if server_owned:
        stage = Stage(handling(turn_detection="server", **settings), SERVER_OWNED, **options)
        return stage.user(0.5, 2.5, "Hello there").agent(3.5, reply)
    return Stage(handling(**settings), reply=reply, **options).user(0.5, 2.5, "Hello there")


def manual(server: TurnServer = SERVER_OWNED, **options: Any) -> Stage:
    """Return a stage on which turns are ended by hand, and nobody replies."""
    return Stage(handling(turn_detection="manual"), server, reply=None, **options)


def answers(stage: Stage) -> list[tuple[int, str]]:
    """Return the numbers of the commits that were answered, and with which words."""
    return [(one.commit_id, one.transcript) for _, one in stage.told if isinstance(one, ResolveCommit)]
