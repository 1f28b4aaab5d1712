"""The transcript: an ordered, reconciled list of what was said, as a reducer over a session's steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convsm.errors import ConfigurationError
from convsm.machine.effects import StartAudio, Transmit
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    AudioFailed,
    AudioStopped,
    ConnectionFailed,
    End,
    Event,
    Informed,
    Interrupt,
    Interrupted,
    InterruptionDismissed,
    InterruptionSuspected,
    Played,
    ResponseStarted,
    Send,
    SessionReady,
    SocketClosed,
    TextPart,
    TimerFired,
    UserTranscript,
)
from convsm.observation.entries import Speaker, TranscriptChanged, TranscriptEntry
from convsm.observation.voice import Asked, Voice, higher, is_told
from convsm.protocols.messages import (
    AgentResponseCorrection,
    MultimodalMessage,
    TentativeTranscript,
    UserMessage,
)

__all__ = ["Speaker", "Transcript", "TranscriptChanged", "TranscriptEntry"]


class Transcript(Voice):
    """What was said in one session.

    Feed it every step, in order, from one thread at a time; read it from any thread. It keeps every
    entry, for it is the conversation's record: as long as what was said, and no longer.

    The user's guesses replace one another, and the final text of the turn replaces them; a guess of
    a turn that is final already is late and dropped. The agent's streamed parts build an entry, its
    full text replaces that, and parts that come later are dropped. What has a turn's number is
    matched and ordered by it; what has none, by the order in which it came.
    """

    def __init__(self, *, limit: int | None = None) -> None:
        """Begin an empty transcript.

        Args:
            limit: Keep the last so many entries, at least 1; None keeps all.

        Raises:
            ConfigurationError: The limit is less than 1.
        """
        if limit is not None and limit < 1:
            raise ConfigurationError(f"a transcript cannot keep {limit} entries; keep at least 1, or None")
        super().__init__(limit)
        self._has_audio = False
        self._guess: int | None = None  # the user's entry that is not final
        self._last_final: int | None = None  # the user's highest turn with a final text

    @property
    def entries(self) -> tuple[TranscriptEntry, ...]:
        """The entries as they are now, in order; a copy, to be had from any thread."""
        return self._entries.snapshot()

    def observe(self, event: Event, asked: Asked) -> tuple[TranscriptChanged, ...]:
        """Take one step of the session.

        Args:
            event: What the machine took.
            asked: What it asked for.

        Returns:
            What changed, in order; mostly nothing.
        """
        take = _TAKE.get(type(event))
        if take is None:
            return ()
        take(self, event, asked)
        changes = self._entries.changes
        if not changes:
            return ()
        self._entries.changes = []
        return tuple(changes)

    # The user

    def _take_transcript(self, event: UserTranscript, asked: Asked) -> None:
        if not is_told(asked):
            return
        turn = event.turn
        guess = self._entries.numbered(self._guess)
        entry = self._entries.of_turn("user", turn)
        if entry is None and guess is not None:
            if turn is None or guess.turn is None:
                entry = guess
            elif guess.turn < turn:
                self._entries.remove(guess)
                self._guess = None
        if entry is None:
            entry = self._entries.add(
                "user", event.text, turn, is_final=True, began_at=event.at, ended_at=event.at
            )
        else:
            ended_at = event.at if entry.ended_at is None else entry.ended_at
            entry = self._entries.change(
                entry, text=event.text, turn=_known(entry, turn), is_final=True, ended_at=ended_at
            )
        if entry.number == self._guess:
            self._guess = None
        self._last_final = higher(self._last_final, entry.turn)

    def _take_guess(self, message: TentativeTranscript, at: float) -> None:
        turn = message.turn
        if turn is not None and self._last_final is not None and turn <= self._last_final:
            return
        guess = self._entries.numbered(self._guess)
        if guess is not None and turn is not None and guess.turn is not None and turn != guess.turn:
            if turn < guess.turn:
                return
            self._entries.remove(guess)
            guess = None
        if guess is None:
            self._guess = self._entries.add("user", message.text, turn, began_at=at).number
        else:
            self._entries.change(guess, text=message.text, turn=_known(guess, turn))

    def _take_messages(self, event: Event, asked: Asked) -> None:
        self._take_cut(event, asked)
        # By what goes out: a message that was held until the server accepted counts from then on.
        for effect in asked:
            kind = type(effect)
            if kind is StartAudio:
                self._has_audio = True
            elif kind is Transmit:
                message = effect.message  # type: ignore[attr-defined]
                if type(message) is UserMessage:
                    self._write(message.text, (), event.at)
                elif type(message) is MultimodalMessage:
                    self._write(message.text or "", message.file_ids, event.at)

    def _write(self, text: str, file_ids: tuple[str, ...], at: float) -> None:
        self._entries.add(
            "user", text, is_final=True, is_written=True, file_ids=file_ids, began_at=at, ended_at=at
        )

    # The agent's text

    def _take_response(self, event: AgentResponse, asked: Asked) -> None:
        if not is_told(asked):
            return
        entry = self._response(event.turn)
        if entry is None:
            self._answer(event.text, event.turn, event.at, is_final=True)
            return
        if entry.number == self._streamed:
            self._streamed = None
        self._complete(entry, event.at, text=event.text, turn=_known(entry, event.turn))

    def _take_part(self, event: TextPart, asked: Asked) -> None:
        if not is_told(asked):
            return
        if not self._has_audio:
            self._latest_turn = higher(self._latest_turn, event.turn)
        entry = self._entries.of_turn("agent", event.turn)
        if entry is not None:
            if entry.is_final:
                return
        else:
            entry = self._response(event.turn)
            if entry is not None and (entry.is_final or (event.kind == "start" and entry.text)):
                entry = None
            if entry is None and event.kind == "stop":
                return
        if entry is None:
            entry = self._answer(event.text, event.turn, event.at)
        else:
            entry = self._entries.change(entry, text=entry.text + event.text, turn=_known(entry, event.turn))
        self._streamed = entry.number
        if event.kind == "stop":
            # A server may be set to send no full text; if it does, that still replaces this.
            self._complete(entry, event.at)

    def _take_correction(self, message: AgentResponseCorrection, at: float) -> None:
        turn, original = message.turn, message.original
        entry = self._entries.uncorrected(original) if turn is None else self._response(turn)
        if entry is None:
            entry = self._answer(original, turn, at, is_final=True)
            if turn is None:
                self._streamed = entry.number
        text = entry.text if entry.is_final or not original else original
        self._complete(
            entry,
            at,
            text=text,
            turn=_known(entry, turn),
            correction=message.corrected,
            is_interrupted=True,
        )

    def _response(self, turn: int | None) -> TranscriptEntry | None:
        """Find the entry that a text of the agent's belongs to."""
        entry = self._entries.of_turn("agent", turn)
        if entry is None:
            entry = self._entries.numbered(self._streamed)
            if entry is not None and turn is not None and entry.turn is not None:
                return None
        return entry

    def _answer(self, text: str, turn: int | None, at: float, is_final: bool = False) -> TranscriptEntry:
        """Add an entry of the agent's, with what its audio told if that came first."""
        speech = self._playout.without_text(turn)
        if speech is None:
            began_at, ended_at, is_cut = at, at if is_final else None, self._is_void(turn)
        else:
            began_at, ended_at, is_cut = speech.began_at, speech.ended_at, speech.is_cut
        entry = self._entries.add(
            "agent",
            text,
            turn,
            is_final=is_final,
            is_interrupted=is_cut,
            began_at=began_at,
            ended_at=ended_at,
        )
        if speech is not None:
            speech.entry = entry.number
        elif self._has_audio:
            self._unspoken.append(entry.number)
        return entry

    def _complete(self, entry: TranscriptEntry, at: float, **fields: Any) -> None:
        is_spoken = any(speech.entry == entry.number for speech in self._playout.waiting)
        ended_at = at if entry.ended_at is None and not is_spoken else entry.ended_at
        self._entries.change(entry, is_final=True, ended_at=ended_at, **fields)

    def _is_void(self, turn: int | None) -> bool:
        """Whether a turn whose text comes only now was cut before."""
        if turn is None or self._fresh_from is None or turn >= self._fresh_from:
            return False
        return self._playout.heard_turn is None or turn > self._playout.heard_turn

    # Reports

    def _take_message(self, event: Informed, asked: Asked) -> None:
        message = event.message
        if type(message) is TentativeTranscript:
            if is_told(asked):
                self._take_guess(message, event.at)
        elif type(message) is AgentResponseCorrection and is_told(asked):
            self._take_correction(message, event.at)


def _known(entry: TranscriptEntry, turn: int | None) -> int | None:
    return turn if entry.turn is None else entry.turn


# Kept off the instances: of bound methods, each would hold a cycle.
_TAKE: dict[type[Event], Callable[[Transcript, Any, Asked], None]] = {
    AgentAudio: Transcript._take_audio,
    AgentResponse: Transcript._take_response,
    AudioFailed: Transcript._take_silence,
    AudioStopped: Transcript._take_silence,
    ConnectionFailed: Transcript._take_silence,
    End: Transcript._take_silence,
    Informed: Transcript._take_message,
    Interrupt: Transcript._take_cut,
    Interrupted: Transcript._take_interruption,
    InterruptionDismissed: Transcript._take_resumption,
    InterruptionSuspected: Transcript._take_pause,
    Played: Transcript._take_report,
    ResponseStarted: Transcript._take_generation,
    Send: Transcript._take_messages,
    SessionReady: Transcript._take_messages,
    SocketClosed: Transcript._take_silence,
    TextPart: Transcript._take_part,
    TimerFired: Transcript._take_silence,
    UserTranscript: Transcript._take_transcript,
}
