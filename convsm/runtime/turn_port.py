"""Between the effects of turn handling and the user's hooks, detectors and waiting calls."""

from __future__ import annotations

import inspect
import itertools
import logging
import numbers
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import attrs

from convsm.audio.formats import AudioFormat
from convsm.errors import ConfigurationError, StopResponse
from convsm.machine import Session
from convsm.machine.effects import Effect
from convsm.machine.events import Event, Informed
from convsm.protocols.messages import TentativeTranscript
from convsm.protocols.realtime_reports import UserSpeech
from convsm.runtime.listening import Listening
from convsm.runtime.tool_outcome import Outcome, runs_on_loop
from convsm.runtime.tool_runner import Call
from convsm.runtime.wiring import TurnSetup
from convsm.turns import TurnHandling, TurnServer, TurnTaking, UserTurn
from convsm.turns.effects import (
    CancelCommit,
    CompleteTurn,
    PredictTurn,
    Report,
    ResolveCommit,
    TurnStateChanged,
)
from convsm.turns.ending import PREDICTION_SECONDS
from convsm.turns.events import (
    COMMANDS,
    CommitUserTurn,
    InterimTranscript,
    InterruptAgent,
    SpeechEnded,
    SpeechStarted,
    TurnPredicted,
    TurnReleased,
)
from convsm.turns.reports import UserTurnExceeded

__all__ = ["Commit", "CompletedTurn", "TurnPort"]

logger = logging.getLogger("convsm.session")


@attrs.frozen
class CompletedTurn:
    """A turn of the user's that is over and not yet replied to; what ``on_user_turn_completed`` gets.

    Attributes:
        number: Its number, from 1; ``LateTranscript`` refers to it.
        transcript: What was said. Empty if the server has not told it (yet).
        skips_reply: Whether no reply will be asked for, whatever the hook does.
    """

    number: int
    transcript: str
    skips_reply: bool = False


class Commit(Protocol):
    """The future of a ``commit_user_turn``; that of threads and that of an event loop satisfy it."""

    def done(self) -> bool:
        """Whether it is settled."""

    def cancel(self) -> bool:
        """Settle it without an answer."""

    def set_result(self, result: str) -> None:
        """Settle it with the transcript."""

    def set_exception(self, exception: BaseException) -> None:
        """Settle it with an error."""


class TurnPort:
    """Performs the effects of turn handling and makes facts of the turn out of what a server reports.

    For whoever owns the session, one at a time.

    Attributes:
        taking: The conversation with the user's turns.
        commands: Events whose callers have to be answered in every state.
        performers: Who performs each effect.
    """

    def __init__(
        self,
        setup: TurnSetup,
        session: Session,
        *,
        happen: Callable[[Event], tuple[Effect, ...]],
        clock: Callable[[], float],
        post: Callable[[Event], None],
        post_from_thread: Callable[[Event], None],
        publish: Callable[[object], None],
        consult: Callable[[Call], None],
    ) -> None:
        """Prepare; nothing is called and no thread starts yet.

        Args:
            setup: The user's hooks and settings.
            session: The conversation.
            happen: Lets an event happen to the conversation.
            clock: Monotonic seconds.
            post: Takes answers of the session's own thread, in order.
            post_from_thread: Takes what a thread of ours hears.
            publish: Tells callbacks and readers.
            consult: Calls a function of the user's, off the session.
        """
        turn = UserTurn(session, setup.handling, setup.server, setup.classifier)
        self.taking = TurnTaking(session, turn, lambda _, event: happen(event))
        self.commands: frozenset[type] = frozenset(COMMANDS)
        self._setup = setup
        self._post = post
        self._publish = publish
        self._consult = consult
        self._listening: Listening | None = None
        if setup.make_detector is not None:
            self._listening = Listening(setup.make_detector, post_from_thread, clock, self._needs_ears)
        # Bounded by their callers: each is settled by the machine, at the latest when the session ends.
        self._commits: dict[int, Commit] = {}
        self._numbers = itertools.count(1)
        self._has_warned = False
        self.performers: dict[type, Callable[[Any], None]] = {
            PredictTurn: self._predict,
            CompleteTurn: self._complete,
            ResolveCommit: self._resolve,
            CancelCommit: self._cancel,
            Report: self._report,
            TurnStateChanged: publish,
        }

    def interruption(self, force: bool) -> Event:
        """Return the command that silences the agent."""
        return InterruptAgent(force)

    def check(self, handling: TurnHandling) -> None:
        """Check settings that are to hold from now on.

        Raises:
            ConfigurationError: The server, or this side, cannot do what they need.
        """
        turn = self.taking.turn
        turn.server.check(handling, turn.classifier is not None)
        if handling.is_servers and turn.server.commit is not None:
            raise ConfigurationError(
                "turn_detection: the session was opened so that this side ends turns; start another one with "
                "'server' to leave that to the server"
            )
        has_ears = self._listening is not None and not self._listening.has_failed
        needs_ears = _needs_ears(handling, turn.server) and not self.taking.session.options.text_only
        if needs_ears and not has_ears:
            raise ConfigurationError(
                f"turn_detection is {handling.turn_detection!r}, and nothing hears speech on this side; "
                "start another session with a voice_detector"
            )

    def _needs_ears(self) -> bool:
        turn = self.taking.turn
        return _needs_ears(turn.handling, turn.server)

    # The microphone

    def listen(self, input_format: AudioFormat) -> None:
        """Begin to hear whether the user speaks, if this side does."""
        if self._listening is not None:
            self._listening.start(input_format)

    def hear(self, audio: bytes) -> None:
        """Take a piece of the microphone's sound; from any thread, never waits."""
        if self._listening is not None:
            self._listening.feed(audio)

    def listen_no_more(self) -> None:
        """Hear nothing from now on."""
        if self._listening is not None:
            self._listening.close()

    def join(self, timeout: float) -> None:
        """Wait until nobody listens any more, for so many seconds at most."""
        if self._listening is not None:
            self._listening.join(timeout)

    def handle(self, event: Event) -> tuple[Any, ...]:
        """Take an event; what a server reports about the user's speech is a fact of the turn first."""
        fact = _fact(event)
        if fact is None:
            return self.taking.handle(event)
        return self.taking.handle(fact) + self.taking.handle(event)

    # Commits

    def commit(self, future: Commit, transcript_timeout: float, flush: float, skip_reply: bool) -> Event:
        """Return the command that ends the turn and settles the future."""
        number = next(self._numbers)
        self._commits[number] = future
        return CommitUserTurn(number, transcript_timeout, flush, skip_reply)

    def refused(self, event: Event, error: Exception) -> None:
        """Settle the future of a commit that was refused."""
        if isinstance(event, CommitUserTurn):
            self._settle(event.commit_id, lambda future: future.set_exception(error))

    def close(self) -> None:
        """Leave nobody waiting, and nobody listening."""
        self.listen_no_more()
        for number in tuple(self._commits):
            self._settle(number, lambda future: future.cancel())

    def _resolve(self, effect: ResolveCommit) -> None:
        self._settle(effect.commit_id, lambda future: future.set_result(effect.transcript))

    def _cancel(self, effect: CancelCommit) -> None:
        self._settle(effect.commit_id, lambda future: future.cancel())

    def _settle(self, number: int, settle: Callable[[Commit], object]) -> None:
        future = self._commits.pop(number, None)
        # Whoever waits may have cancelled it, at this very moment too.
        if future is not None and not future.done():
            with suppress(Exception):
                settle(future)

    # Hooks

    def _predict(self, effect: PredictTurn) -> None:
        detector = self.taking.turn.handling.detector
        assert detector is not None
        listening = self._listening if detector.is_streaming else None
        sound = b"" if listening is None else listening.latest()

        async def ask(transcript: str) -> float:
            return await detector.probability(transcript, sound)

        key = ("prediction", str(effect.prediction_id))
        answer = partial(_predicted, effect.prediction_id)
        name = type(detector).__name__
        self._consult(Call(key, name, ask, effect.transcript, _probability, answer, PREDICTION_SECONDS))

    def _complete(self, effect: CompleteTurn) -> None:
        hook = self._setup.on_user_turn_completed
        if hook is None:
            self._post(TurnReleased(effect.turn))
            return
        key = ("turn", str(effect.turn))
        argument = CompletedTurn(effect.turn, effect.transcript, effect.skip_reply)
        answer = partial(self._released, effect.turn)
        self._consult(Call(key, "on_user_turn_completed", _stoppable(hook), argument, _wish, answer))

    def _released(self, turn: int, outcome: Outcome) -> Event:
        if outcome.is_error:
            logger.error("on_user_turn_completed failed, so no reply is asked for: %s", outcome.text)
        server = self.taking.turn.server
        if outcome != _WANTED and server.reply is None and not self._has_warned:
            self._has_warned = True
            logger.warning("%s replies by itself; on_user_turn_completed cannot stop it", server.protocol)
        return TurnReleased(turn, outcome == _WANTED)

    def _report(self, effect: Report) -> None:
        fact = effect.fact
        self._publish(fact)
        if type(fact) is not UserTurnExceeded:
            return
        hook = self._setup.on_user_turn_exceeded
        if hook is not None:
            key = ("exceeded", str(next(self._numbers)))
            self._consult(Call(key, "on_user_turn_exceeded", hook, fact, _nothing, _ignored))
            return
        turn = self.taking.turn
        if turn.server.reply is not None and not turn.handling.is_manual and turn.commit is None:
            # Nobody waits for this commit.
            self._post(CommitUserTurn(next(self._numbers)))


def _needs_ears(handling: TurnHandling, server: TurnServer) -> bool:
    """Whether no turn would end if nothing heard speech on this side."""
    return not (handling.is_servers or handling.is_manual or server.speech_events)


def _fact(event: Event) -> Event | None:
    """Return what a server's report says about the user's speech; None if it says nothing."""
    if type(event) is not Informed:
        return None
    message = event.message
    if type(message) is TentativeTranscript:
        return InterimTranscript(message.text, at=event.at)
    if type(message) is UserSpeech:
        # The server's clock is another one; what it says is known from now on.
        if message.is_speaking:
            return SpeechStarted(event.at, "server", at=event.at)
        return SpeechEnded(event.at, "server", at=event.at)
    return None


# What came of asking

_WANTED, _UNWANTED = Outcome("reply", False), Outcome("no reply", False)


def _stoppable(hook: Callable[[CompletedTurn], Any]) -> Callable[[CompletedTurn], Any]:
    """Return a hook whose StopResponse is an answer."""

    async def finish(started: Awaitable[Any]) -> bool:
        try:
            await started
        except StopResponse:
            return False
        return True

    def call(turn: CompletedTurn) -> bool | Awaitable[bool]:
        try:
            started = hook(turn)
        except StopResponse:
            return False
        return finish(started) if inspect.isawaitable(started) else True

    async def await_call(turn: CompletedTurn) -> bool:
        return await finish(hook(turn))

    return await_call if runs_on_loop(hook, False) else call


def _wish(name: str, value: object) -> Outcome:
    return _WANTED if value else _UNWANTED


def _probability(name: str, value: object) -> Outcome:
    # NumPy's numbers too, which models return.
    if isinstance(value, numbers.Real) and 0 <= float(value) <= 1:
        return Outcome(repr(float(value)), False)
    return Outcome(f"it returned {value!r}, not a probability from 0 to 1", True)


def _predicted(prediction_id: int, outcome: Outcome) -> Event | None:
    if outcome.is_error:
        # The turn ends without it, after the short delay.
        logger.warning("the turn detector failed: %s", outcome.text)
        return None
    return TurnPredicted(prediction_id, float(outcome.text))


def _nothing(name: str, value: object) -> Outcome:
    return Outcome("", False)


def _ignored(outcome: Outcome) -> Event | None:
    if outcome.is_error:
        logger.error("on_user_turn_exceeded failed: %s", outcome.text)
    return None
