"""The emitters about words that are still to come: which turn they are owed to, and what they are made of.

A server that is told of the end of turns makes a piece of the user's audio for each, in the order of the
commits, and names it; its words may come in any order, and carry that name. Where nothing is named, the
order of the turns has to do.
"""

from __future__ import annotations

import attrs

from convsm.machine.base import Event
from convsm.machine.events import Send, UserTranscript
from convsm.turns import reports
from convsm.turns.effects import Report
from convsm.turns.events import TranscriptionFailed, UserAudioTaken
from convsm.turns.protection import Protection

__all__ = ["OwedWords"]

# What a commit still owes comes within seconds, or is taken for words of another turn.
OWED_SECONDS = 10.0
# Commits and pieces that are remembered: turns last seconds, and words take no longer than a minute.
REMEMBERED = 64


@attrs.define
class OwedWords(Protection):
    """What rows ask for when the server takes the user's audio, or words come late or never."""

    def _send_commit(self) -> None:
        """Tell a server that can be told that the open turn is over."""
        if self.server.commit is not None:
            self._post(Send(self.server.commit))
            self._await_answer(self.turn)

    def _await_answer(self, turn: int) -> None:
        self.unanswered.append(turn)
        del self.unanswered[:-REMEMBERED]

    def note_commit(self, event: Send) -> None:
        """Remember that the program ended a turn behind this table's back; its words are of no turn here."""
        self._await_answer(self.turn - 1)

    def note_item(self, event: UserAudioTaken) -> None:
        """Remember which turn a piece of the user's audio is of."""
        if self.unanswered:
            self._assign(event.item, self.unanswered.pop(0))
        elif event.item is not None:
            self.open_items.append(event.item)
            del self.open_items[:-REMEMBERED]

    def _assign(self, item: str | None, turn: int) -> None:
        if item is not None:
            self.items[item] = turn
            for oldest in tuple(self.items)[:-REMEMBERED]:
                del self.items[oldest]

    def _disown_items(self) -> None:
        """Let the words of what the server took so far belong to no later turn."""
        for item in self.open_items:
            self._assign(item, self.turn)
        if self.open_items:
            self.open_items.clear()
            self.turn += 1

    def _forget_items(self) -> None:
        self.unanswered.clear()
        self.items.clear()
        self.open_items.clear()

    def take_refusal(self, event: Event) -> None:
        """Expect no words of a turn that had no sound."""
        refused = self.unanswered[:1]
        del self.unanswered[:1]
        self._keep_owed([turn for turn in self.owed_turns if turn not in refused])

    def owe_words(self, event: Event) -> None:
        """Expect that words may still come, and belong to no turn."""
        if self.turn - 1 in self.items.values():
            return  # just disowned, by name
        # What was never committed to a server that waits for that is never transcribed.
        is_told = self.turn in self.unanswered or self.turn in self.items.values()
        is_owed = is_told if self.server.commit is not None else not self.owed_turns
        if self.server.user_transcripts and is_owed:
            self._owe(self.turn)
            self.turn += 1

    def _owe(self, turn: int) -> None:
        self.owed_turns.append(turn)
        self._arm("owed_words", OWED_SECONDS)

    def settle_words(self, event: UserTranscript | TranscriptionFailed) -> None:
        """Expect no more words of what is named, or of the oldest turn that has some coming."""
        turn = self._turn_of(event)
        self.note_words(event)
        if turn is None:
            self._keep_owed(self.owed_turns[1:])
        else:
            self._keep_owed([owed for owed in self.owed_turns if owed != turn])

    def note_words(self, event: UserTranscript | TranscriptionFailed) -> None:
        """Remember that the words of a piece of the user's audio are in, or never will be."""
        if event.item in self.open_items:
            self.open_items.remove(event.item)
        if event.item is not None and self._turn_of(event) == self.turn:
            del self.items[event.item]

    def forgive_words(self, event: Event) -> None:
        """Expect no more words of a turn that is over."""
        self._keep_owed([])

    def _keep_owed(self, turns: list[int]) -> None:
        self.owed_turns = turns
        if not turns:
            self._cancel("owed_words")

    def report_late_words(self, event: UserTranscript) -> None:
        """Tell the words of a turn that is over."""
        turn = self._turn_of(event) or (self.owed_turns[0] if self.owed_turns else self.turn - 1)
        self.settle_words(event)
        late = reports.LateTranscript(turn, event.text, occurred_at=event.at, known_at=event.at)
        self._emit(Report(late))
