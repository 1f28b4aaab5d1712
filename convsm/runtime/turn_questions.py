"""What the user's program is asked about turns: its hooks, its turn detector, its classifier of sound."""

from __future__ import annotations

import inspect
import itertools
import logging
import numbers
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, get_args

import attrs

from convsm.errors import StopResponse
from convsm.machine.events import Event
from convsm.runtime.tool_outcome import Outcome, runs_on_loop
from convsm.runtime.tool_runner import Call
from convsm.runtime.wiring import TurnSetup
from convsm.turns import Overlap, UserTurn, Verdict
from convsm.turns.effects import CompleteTurn, JudgeSound, PredictTurn
from convsm.turns.ending import PREDICTION_SECONDS
from convsm.turns.events import OverlapJudged, TurnPredicted, TurnReleased
from convsm.turns.reports import UserTurnExceeded
from convsm.turns.sound import bytes_per_second

__all__ = ["CompletedTurn", "TurnQuestions"]

logger = logging.getLogger("convsm.session")

# How long a classifier has, how much sound it gets, and how much of that is from before the speech.
VERDICT_SECONDS = 0.7
MOST_SECONDS = 3.0
BEFORE_SECONDS = 1.0


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


class TurnQuestions:
    """Asks, off the session, and makes events of the answers. For whoever owns the session, one at a time.

    Attributes:
        performers: Who performs each effect.
    """

    def __init__(
        self,
        setup: TurnSetup,
        turn: UserTurn,
        post: Callable[[Event], None],
        consult: Callable[[Call], None],
        latest_sound: Callable[[], bytes],
    ) -> None:
        """Prepare; nothing is called yet.

        Args:
            setup: The user's hooks.
            turn: The user's turn.
            post: Takes what needs no asking, in order.
            consult: Calls a function of the user's.
            latest_sound: Returns what the microphone heard last.
        """
        self._setup = setup
        self._turn = turn
        self._post = post
        self._consult = consult
        self._latest_sound = latest_sound
        self._numbers = itertools.count(1)
        self._has_warned = False
        self.performers: dict[type, Callable[[Any], None]] = {
            PredictTurn: self._predict,
            CompleteTurn: self._complete,
            JudgeSound: self._judge,
        }

    def tell_exceeded(self, fact: UserTurnExceeded) -> bool:
        """Tell the hook, if there is one, that a turn is too long; return whether there is."""
        hook = self._setup.on_user_turn_exceeded
        if hook is not None:
            key = ("exceeded", str(next(self._numbers)))
            self._consult(Call(key, "on_user_turn_exceeded", hook, fact, _nothing, _ignored))
        return hook is not None

    def _predict(self, effect: PredictTurn) -> None:
        detector = self._turn.handling.detector
        assert detector is not None
        sound = self._latest_sound() if detector.is_streaming else b""

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
        server = self._turn.server
        if outcome != _WANTED and server.reply is None and not self._has_warned:
            self._has_warned = True
            logger.warning("%s replies by itself; on_user_turn_completed cannot stop it", server.protocol)
        return TurnReleased(turn, outcome == _WANTED)

    def _judge(self, effect: JudgeSound) -> None:
        classifier: Any = self._turn.classifier
        seconds = min(MOST_SECONDS, effect.overlap.duration + BEFORE_SECONDS)
        size = int(seconds * bytes_per_second(self._turn.session.input_format)) // 2 * 2
        sound = self._latest_sound()[-size:]

        async def ask(overlap: Overlap) -> Verdict:
            verdict: Verdict = await classifier.classify_sound(overlap, sound)
            return verdict

        # While one question about a speech is open, there is no other.
        key = ("overlap", str(effect.speech))
        answer = partial(_judged, effect.speech)
        name = type(classifier).__name__
        self._consult(Call(key, name, ask, effect.overlap, _verdict, answer, VERDICT_SECONDS))


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


def _verdict(name: str, value: object) -> Outcome:
    if value in get_args(Verdict):
        return Outcome(str(value), False)
    return Outcome(f"it returned {value!r}, which is no verdict", True)


def _judged(speech: int, outcome: Outcome) -> Event | None:
    if outcome.is_error:
        # The words decide, or silence.
        logger.warning("the overlap classifier failed: %s", outcome.text)
        return None
    verdict: Any = outcome.text
    return OverlapJudged(verdict, speech=speech)
