"""What is heard of the agent: the part of the transcript that follows its voice."""

from __future__ import annotations

from collections import deque

from convsm.machine.effects import (
    AnnounceEnd,
    CancelReply,
    Effect,
    Flush,
    Interruption,
    Notify,
    PauseAudio,
    Play,
    ResumeAudio,
    Transmit,
)
from convsm.machine.events import AgentAudio, AudioFailed, Event, Interrupted, Played, ResponseStarted
from convsm.observation.entries import Entries
from convsm.observation.speech import Playout, Speech

__all__ = ["Asked", "Voice", "asks", "higher", "is_told"]

Asked = tuple[Effect, ...]


def is_told(asked: Asked) -> bool:
    """Tell whether a step told the user's callbacks, so that the machine took it for news."""
    return asks(asked, Notify)


def asks(asked: Asked, kind: type[Effect]) -> bool:
    """Tell whether a step asked for an effect of a class."""
    return any(type(effect) is kind for effect in asked)


def higher(one: int | None, other: int | None) -> int | None:
    """Return the higher one of two turns, as far as known."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


class Voice:
    """Knows which entries of the agent's are heard, since when and until when, and which are cut."""

    def __init__(self, limit: int | None) -> None:
        """Begin with silence, and with no entries.

        Args:
            limit: How many entries are kept; None keeps all.
        """
        self._entries = Entries(limit)
        self._playout = Playout()
        self._speaking: Speech | None = None  # the turn of the last Play, while it waits to be heard
        self._streamed: int | None = None  # the agent's entry made of parts, until the full text comes
        # The agent's entries whose audio did not come yet; bounded, for in some sessions it never does.
        self._unspoken: deque[int] = deque(maxlen=64)
        self._fresh_from: int | None = None
        self._latest_turn: int | None = None  # the agent's highest that is cut if this side cuts

    def _take_audio(self, event: AgentAudio, asked: Asked) -> None:
        # Speech that goes on is nearly all that ever comes.
        speaking = self._speaking
        if asked and speaking is not None and speaking.turn == event.turn:
            play = asked[0]
            if type(play) is Play:
                speaking.last_play = play.number
                return
        for effect in asked:
            if type(effect) is Play:
                if asks(asked, Flush):
                    # The server went on to another turn by itself; its text may have come before.
                    self._silence(event.at)
                    self._fresh_from = higher(self._fresh_from, event.turn)
                self._begin(effect, event.at)
                return
        self._take_cut(event, asked)

    def _begin(self, play: Play, at: float) -> None:
        speech = self._playout.begin(play.turn, play.number, at)
        self._speaking = speech
        self._latest_turn = higher(self._latest_turn, play.turn)
        entry = self._entries.of_turn("agent", play.turn) or self._entries.numbered(speech.entry)
        if entry is None:
            # A text without a number is spoken by the next turn that has none.
            newest = self._entries.newest("agent")
            if newest is not None and newest.turn is None and newest.number in self._unspoken:
                entry = newest
        if entry is None:
            return
        speech.entry = entry.number
        began_at = entry.began_at
        if entry.number in self._unspoken:
            self._unspoken.remove(entry.number)
            began_at = at
        self._entries.change(entry, began_at=began_at, ended_at=None)

    def _take_report(self, event: Played, asked: Asked) -> None:
        self._end(self._playout.heard(event.through, event.at))
        self._take_resumption(event, asked)

    def _take_pause(self, event: Event, asked: Asked) -> None:
        if asks(asked, PauseAudio):
            self._playout.pause(event.at)

    def _take_resumption(self, event: Event, asked: Asked) -> None:
        if not asks(asked, ResumeAudio):
            return
        for speech in self._playout.resume():
            entry = self._entries.numbered(speech.entry)
            if entry is not None and entry.began_at == speech.began_at:
                self._entries.change(entry, began_at=event.at)
            speech.began_at = event.at

    def _take_generation(self, event: ResponseStarted, asked: Asked) -> None:
        if is_told(asked):
            self._latest_turn = higher(self._latest_turn, event.turn)

    def _take_interruption(self, event: Interrupted, asked: Asked) -> None:
        if is_told(asked):
            self._cut(event.at, event.fresh_from)

    def _take_cut(self, event: Event, asked: Asked) -> None:
        """Take what is cut from this side, if anything is."""
        told = {type(effect.message) for effect in asked if type(effect) is Transmit}
        if told & {Interruption, CancelReply} or (self._playout.waiting and asks(asked, Flush)):
            turn = self._latest_turn
            self._cut(event.at, None if turn is None else turn + 1)
        else:
            self._take_silence(event, asked)

    def _cut(self, at: float, fresh_from: int | None) -> None:
        self._silence(at)
        newest = self._entries.newest("agent")
        if newest is not None and (newest.turn is None or fresh_from is None or newest.turn < fresh_from):
            is_open = newest.number in self._unspoken or not newest.is_final
            if is_open and not newest.is_interrupted:
                self._entries.change(newest, is_interrupted=True, ended_at=at)
            if newest.number == self._streamed:
                self._streamed = None
        self._unspoken.clear()
        self._fresh_from = higher(self._fresh_from, fresh_from)

    def _take_silence(self, event: Event, asked: Asked) -> None:
        # The end, however it comes, and a fault of the loudspeaker: what is not heard now never will be.
        is_lost = type(event) is AudioFailed and bool(asked)
        if is_lost or asks(asked, Flush) or asks(asked, AnnounceEnd):
            self._silence(event.at)

    def _silence(self, at: float) -> None:
        self._end(self._playout.cut(at))

    def _end(self, over: list[Speech]) -> None:
        for speech in over:
            if speech is self._speaking:
                self._speaking = None
            entry = self._entries.numbered(speech.entry)
            if entry is not None and speech.ended_at is not None:
                # Its text may be newer than the last that was heard of it.
                ended_at = max(speech.ended_at, entry.began_at)
                is_interrupted = entry.is_interrupted or speech.is_cut
                self._entries.change(entry, ended_at=ended_at, is_interrupted=is_interrupted)
