"""The guards about words: which turn they are of, and whether there are any."""

from __future__ import annotations

import attrs

from convsm.machine.base import Event
from convsm.machine.events import Send, UserTranscript
from convsm.turns.context import Piece
from convsm.turns.detection import count_words
from convsm.turns.events import AgentChanged, InterimTranscript, TranscriptionFailed, UserAudioTaken
from convsm.turns.overlaps import Overlaps

__all__ = ["WordGuards"]

# What is owed comes within seconds; without a name, later words are of another turn.
OWED_SECONDS = 10.0
# A server answers commits in order and at once, but for a network that stalls; after that, never.
ANSWER_SECONDS = 15.0

Words = UserTranscript | InterimTranscript | TranscriptionFailed


@attrs.define
class WordGuards(Overlaps):
    """What a row can ask about words, and about what the server makes of the user's audio."""

    def is_wordless(self, event: UserTranscript) -> bool:
        """The transcript has no word."""
        return count_words(event.text) == 0

    def has_words(self, event: Event) -> bool:
        """Final words of the turn are known."""
        return bool(self.words)

    def has_no_words(self, event: Event) -> bool:
        """No final words of the turn are known."""
        return not self.words

    def has_nothing_else(self, event: UserTranscript) -> bool:
        """No final words of the turn are known, and the server has made nothing else of it."""
        return not self.words and not self.has_more_coming(event)

    def is_told_already(self, event: Words) -> bool:
        """The final words of what the server names are in."""
        piece = self._named(event)
        return piece is not None and piece.is_told

    def is_of_past_turn(self, event: Words) -> bool:
        """The server's name says that they are of a turn that is over, or was forgotten."""
        piece = self._named(event)
        return piece is not None and piece.turn not in (None, self.turn)

    def is_late(self, event: UserTranscript) -> bool:
        """The words are owed to a turn that is over, or cannot be of one that is open."""
        is_open_told = self.server.transcribes_open_turns
        is_never_open = not is_open_told and not self.handling.is_servers
        return is_never_open or (self._named(event) is None and self._owed(event) is not None)

    def is_last_of_turn(self, event: TranscriptionFailed) -> bool:
        """Nothing else that the server made of the open turn awaits its words."""
        piece = self._named(event)
        is_open = piece is not None and piece.turn in (None, self.turn) and not piece.is_told
        return is_open and not self.has_more_coming(event)

    def has_more_coming(self, event: UserTranscript | TranscriptionFailed) -> bool:
        """The server has made more of the open turn, and not told its words."""
        named = self._named(event)
        return any(piece.turn is None for piece in self.pieces if piece is not named)

    def is_answered(self, event: UserTranscript) -> bool:
        """The server decides, and the agent speaks without having been interrupted."""
        is_replying = self.session.state == "agent_speaking" and not self._began_in_overlap()
        return self.handling.is_servers and is_replying

    def has_words_aside(self, event: AgentChanged) -> bool:
        """The agent fell silent just after words that were taken for a backchannel."""
        return event.source == "agent_speaking" != event.target and bool(self._late_asides(event))

    # Commits and what the server answers

    def is_commit_message(self, event: Send) -> bool:
        """The program itself tells the server that the user's turn is over."""
        return self.server.commit is not None and event.message == self.server.commit

    def is_commit_refused(self, event: Event) -> bool:
        """It is the open turn that the server has no audio of."""
        piece = self._unanswered(event)
        return piece is not None and piece.turn == self.turn

    def is_nothing_left(self, event: Event) -> bool:
        """The server was told of the turn, and nothing was said since."""
        would_know = self.handling.is_manual or self.hears_locally
        return self.server.commit is not None and would_know and not (self.words or self.interim)

    # Pieces of the user's audio

    def _named(self, event: Words | UserAudioTaken) -> Piece | None:
        """Return what the server's name stands for, if it is known."""
        return next((piece for piece in self.pieces if piece.item and piece.item == event.item), None)

    def _unanswered(self, event: Event) -> Piece | None:
        """Return what the server will name next, if anything."""
        is_told = self.server.commit is not None
        limit = ANSWER_SECONDS if is_told else OWED_SECONDS
        nameless = (piece for piece in self.pieces if piece.item is None and event.at - piece.at <= limit)
        return next((piece for piece in nameless if is_told or (piece.is_owed and not piece.is_told)), None)

    def _owed(self, event: Event) -> Piece | None:
        """Return the oldest piece of a turn that is over and that words without a known name may be of."""
        return next((piece for piece in self.pieces if self._is_owed(piece, event)), None)

    def _is_owed(self, piece: Piece, event: Event) -> bool:
        is_past = piece.turn not in (None, self.turn)
        # A name that was never heard of is that of nothing which has another one.
        may_be = not piece.item or not getattr(event, "item", None)
        is_open = piece.is_owed and not piece.is_told and event.at - piece.at <= OWED_SECONDS
        return is_past and may_be and is_open
