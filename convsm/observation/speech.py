"""Which turns of the agent are being spoken: handed to the loudspeaker, heard, or cut."""

from __future__ import annotations

import attrs

__all__ = ["Playout", "Speech"]

# Turns that may wait to be heard. A server that numbers each piece of audio as a turn of its own
# gets no further; only times would be missing.
_LIMIT = 64


@attrs.define
class Speech:
    """The audio of one turn.

    Attributes:
        turn: Number of the turn.
        began_at: When its first piece was handed over, or what a pause held back was released, in seconds
            of the events' clock.
        last_play: Number of its last Play.
        ended_at: When all of it that had come was heard, or it was cut; None while it is spoken.
        is_cut: Whether any of it was flushed or lost before it was heard.
        entry: Number of the transcript's entry that says its text, once there is one.
        held_from: Until when it was heard, while a pause holds back all the rest of it: when it had run
            dry, or its beginning. None for what was being heard as playout paused.
    """

    turn: int
    began_at: float
    last_play: int
    ended_at: float | None = None
    is_cut: bool = False
    entry: int | None = None
    held_from: float | None = None


@attrs.define
class Playout:
    """The turns that wait to be heard, and the one that was over last.

    Attributes:
        waiting: Turns that are not over, in the order of their first pieces.
        past: The turn that was over last.
        heard_turn: Highest turn that was heard to its end.
        paused_at: Since when playout is paused; None while it plays.
    """

    waiting: list[Speech] = attrs.field(factory=list)
    past: Speech | None = None
    heard_turn: int | None = None
    paused_at: float | None = None

    def begin(self, turn: int, play: int, at: float) -> Speech:
        """Take the first piece of a turn, or the first after the turn ran dry or was cut."""
        past = self.past
        if past is not None and past.turn == turn:
            heard_until, past.ended_at, past.last_play = past.ended_at, None, play
            self.past = None
            speech = past
        else:
            heard_until, speech = at, Speech(turn, at, play)
        if self.paused_at is not None:
            speech.held_from = heard_until
        self.waiting.append(speech)
        del self.waiting[:-_LIMIT]
        return speech

    def heard(self, through: int, at: float) -> list[Speech]:
        """Return the turns that are over because everything up to this Play was heard."""
        if not self.waiting or through > self.waiting[-1].last_play:
            return []  # a report of nothing that is waiting
        over = [speech for speech in self.waiting if speech.last_play <= through]
        for speech in over:
            self._end(speech, at)
            if not speech.is_cut and (self.heard_turn is None or speech.turn > self.heard_turn):
                self.heard_turn = speech.turn
        return over

    def pause(self, at: float) -> None:
        """Take that playout pauses."""
        self.paused_at = at

    def resume(self) -> list[Speech]:
        """Take that playout goes on; return the turns that begin to be heard only now."""
        self.paused_at = None
        held = [speech for speech in self.waiting if speech.held_from == speech.began_at]
        for speech in self.waiting:
            speech.held_from = None
        return held

    def cut(self, at: float) -> list[Speech]:
        """Return the turns that are over because nothing of them will be heard any more; ends a pause."""
        silent_from = at if self.paused_at is None else self.paused_at
        over = self.waiting.copy()
        for speech in over:
            speech.is_cut = True
            self._end(speech, silent_from if speech.held_from is None else speech.held_from)
        self.resume()
        return over

    def _end(self, speech: Speech, at: float) -> None:
        speech.ended_at, speech.held_from = at, None
        self.waiting.remove(speech)
        self.past = speech

    def without_text(self, turn: int | None) -> Speech | None:
        """Return a turn's audio that no entry says the text of; for None, the newest such."""
        known = self.waiting if self.past is None else [self.past, *self.waiting]
        for speech in reversed(known):
            if speech.entry is None and (turn is None or speech.turn == turn):
                return speech
        return None
