"""Between the effects of turn handling and whoever waits for them: calls, callbacks, the microphone."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from convsm.audio.formats import AudioFormat
from convsm.errors import ConfigurationError
from convsm.machine import Session
from convsm.machine.effects import Effect
from convsm.machine.events import Event, Informed
from convsm.protocols.messages import TentativeTranscript
from convsm.protocols.realtime_reports import (
    TranscriptionFailed,
    UserAudioCommitted,
    UserAudioRefused,
    UserSpeech,
)
from convsm.runtime.listening import Listening
from convsm.runtime.tool_runner import Call
from convsm.runtime.turn_questions import TurnQuestions
from convsm.runtime.wiring import TurnSetup
from convsm.turns import TurnHandling, TurnTaking, UserTurn
from convsm.turns import events as turn_events
from convsm.turns.effects import (
    CancelCommit,
    ListenAnew,
    Report,
    ResolveCommit,
    StopListening,
    TurnStateChanged,
)
from convsm.turns.events import (
    COMMANDS,
    CommitUserTurn,
    InterimTranscript,
    InterruptAgent,
    SpeechEnded,
    SpeechStarted,
    TakeFloor,
)
from convsm.turns.reports import UserTurnExceeded

__all__ = ["Commit", "TurnPort"]

logger = logging.getLogger("convsm.session")


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
        self._listening: Listening | None = None
        if setup.make_detector is not None:
            self._listening = Listening(setup.make_detector, post_from_thread, clock, self._needs_ears)
        # Bounded by their callers: each is settled by the machine, at the latest when the session ends.
        self._commits: dict[int, Commit] = {}
        self._numbers = itertools.count(1)
        self._questions = TurnQuestions(setup, turn, post, consult, self._latest_sound)
        self.performers: dict[type, Callable[[Any], None]] = {
            **self._questions.performers,
            ListenAnew: lambda _: self._listen_anew(is_muted=False),
            StopListening: lambda _: self._listen_anew(is_muted=True),
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
        needs_ears = turn.server.needs_local_hearing(handling) and not self.taking.session.options.text_only
        if needs_ears and not has_ears:
            raise ConfigurationError(
                f"turn_detection is {handling.turn_detection!r}, and nothing hears speech on this side; "
                "start another session with a voice_detector"
            )

    def _needs_ears(self) -> bool:
        turn = self.taking.turn
        return turn.server.needs_local_hearing(turn.handling)

    # The microphone

    def listen(self, input_format: AudioFormat) -> None:
        """Begin to hear whether the user speaks, if this side does."""
        if self._listening is not None:
            self._listening.start(input_format)

    def hear(self, audio: bytes) -> None:
        """Take a piece of the microphone's sound; from any thread, never waits."""
        if self._listening is not None:
            self._listening.feed(audio)

    def _latest_sound(self) -> bytes:
        return b"" if self._listening is None else self._listening.latest()

    def _listen_anew(self, is_muted: bool) -> None:
        if self._listening is not None:
            self._listening.begin_anew(is_muted)

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

    # What the user's program is told

    def _report(self, effect: Report) -> None:
        self._publish(effect.fact)
        if type(effect.fact) is UserTurnExceeded and not self._questions.tell_exceeded(effect.fact):
            self._post(TakeFloor(self.taking.turn.server.reply))


def _fact(event: Event) -> Event | None:
    """Return what a server's report says about the user's speech and its words; None if it says nothing."""
    if type(event) is not Informed:
        return None
    message = event.message
    if type(message) is TentativeTranscript:
        return InterimTranscript(message.text, message.item_id, at=event.at)
    if type(message) is UserSpeech:
        # The server's clock is another one; what it says is known from now on.
        if message.is_speaking:
            return SpeechStarted(event.at, "server", at=event.at)
        return SpeechEnded(event.at, "server", at=event.at)
    if type(message) is UserAudioCommitted:
        return turn_events.UserAudioTaken(message.item_id, at=event.at)
    if type(message) is UserAudioRefused:
        return turn_events.UserAudioRefused(at=event.at)
    if type(message) is TranscriptionFailed:
        return turn_events.TranscriptionFailed(message.item_id, at=event.at)
    return None
