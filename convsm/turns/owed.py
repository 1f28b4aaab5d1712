"""The emitters about words that are still to come: which turn they are owed to, and what they are made of.

A server that is told of the end of turns makes a piece of the user's audio for each, in the order of the
commits, and names it; its words may come in any order, and carry that name. Where nothing is named, the
order of the turns has to do. Turn 0 is none: that of what the program committed behind this table's back.
"""

from __future__ import annotations

from typing import Any

import attrs

from convsm.machine.base import Event
from convsm.machine.events import Send, UserTranscript
from convsm.turns import reports
from convsm.turns.context import Piece
from convsm.turns.effects import Report
from convsm.turns.events import SpeechStarted, TranscriptionFailed, UserAudioTaken
from convsm.turns.protection import Protection

__all__ = ["OwedWords"]

# Turns last seconds, and words take no longer than a minute; there must be an end.
REMEMBERED = 64


@attrs.define
class OwedWords(Protection):
    """What rows ask for when the server takes the user's audio, or words come late or never."""

    def _send_commit(self, event: Event) -> None:
        """Tell a server that can be told that the open turn is over."""
        if self.server.commit is not None:
            self._post(Send(self.server.commit))
            self._add_piece(Piece(self.turn, event.at))

    def _add_piece(self, piece: Piece) -> None:
        self.pieces.append(piece)
        del self.pieces[:-REMEMBERED]

    def _change(self, former: Piece | None, **changes: Any) -> None:
        self.pieces = [attrs.evolve(piece, **changes) if piece is former else piece for piece in self.pieces]

    def _settle(self, piece: Piece | None) -> None:
        """Take the words of a piece for told, and the piece for one of the open turn's, if of none yet."""
        if piece is not None:
            self._change(piece, is_told=True, turn=self.turn if piece.turn is None else piece.turn)

    def note_commit(self, event: Send) -> None:
        """Remember that the program ended a turn itself; its words are of no turn here."""
        self._add_piece(Piece(0, event.at))

    def note_item(self, event: UserAudioTaken) -> None:
        """Remember what the server made of the user's audio, and of which turn that is."""
        if self._named(event) is not None:
            return  # told twice
        piece = self._unanswered(event)
        if piece is not None:
            self._change(piece, item=event.item or "")
        elif event.item:
            # Where this side commits, what nobody committed, or too long ago, is not of the open turn.
            self._add_piece(Piece(None if self.server.commit is None else 0, event.at, event.item))

    def take_refusal(self, event: Event) -> None:
        """Expect no words of a turn that had no sound."""
        refused = self._unanswered(event)
        self.pieces = [piece for piece in self.pieces if piece is not refused]

    def _close_pieces(self, turn: int) -> bool:
        """Let what the server took so far be of one turn, and tell whether there was anything."""
        is_any = any(piece.turn is None for piece in self.pieces)
        if is_any:
            self.pieces = [
                attrs.evolve(piece, turn=turn) if piece.turn is None else piece for piece in self.pieces
            ]
        return is_any

    def _disown_pieces(self) -> None:
        if self._close_pieces(self.turn):
            self.turn += 1

    def owe_words(self, event: Event) -> None:
        """Expect that words may still come, and belong to no turn."""
        is_taken = self._close_pieces(self.turn) or any(piece.turn == self.turn for piece in self.pieces)
        # A server that is told of turns transcribes nothing else.
        if not is_taken and self.server.commit is None and self._owed(event) is None:
            is_taken = self._owe(self.turn, event)
        if is_taken:
            self.turn += 1

    def _owe(self, turn: int, event: Event) -> bool:
        """Expect words of a turn that the server has made nothing of yet."""
        is_owed = self.server.user_transcripts
        if is_owed:
            self._add_piece(Piece(turn, event.at))
        return is_owed

    def _in_turn(self, event: UserTranscript) -> Piece | None:
        untold = (piece for piece in self.pieces if piece.turn == self.turn and not piece.is_told)
        return self._named(event) or next(untold, None)

    def _note_words(self, event: UserTranscript) -> None:
        """Remember that words of the open turn are in."""
        self._settle(self._in_turn(event))

    def void_words(self, event: UserTranscript) -> None:
        """Remember that a piece had no words, and was of no turn."""
        self._change(self._in_turn(event), is_told=True, turn=0)

    def _expect_pieces(self, event: SpeechStarted) -> None:
        """Expect names of new pieces only: whatever a server that hears speech still owed has no sound."""
        if event.source == "server" and self.server.commit is None:
            self.pieces = [piece for piece in self.pieces if piece.item is not None]

    def settle_words(self, event: UserTranscript | TranscriptionFailed) -> None:
        """Expect no more words of what is named, or of the oldest turn that has some coming."""
        self._settle(self._named(event) or self._owed(event))

    def _forgive_words(self) -> None:
        """Expect no more words without a name of a turn that is over."""
        self.pieces = [
            piece if piece.turn in (None, self.turn) else attrs.evolve(piece, is_owed=False)
            for piece in self.pieces
        ]

    def report_late_words(self, event: UserTranscript) -> None:
        """Tell the words of a turn that is over."""
        piece = self._named(event) or self._owed(event)
        turn = self.turn - 1 if piece is None or piece.turn is None else piece.turn
        self._settle(piece)
        late = reports.LateTranscript(turn, event.text, occurred_at=event.at, known_at=event.at)
        self._emit(Report(late))
