"""The guards about words: which turn they are of, and whether there are any."""

from __future__ import annotations

import attrs

from convsm.machine.base import Event
from convsm.machine.events import Send, UserTranscript
from convsm.turns.detection import count_words
from convsm.turns.events import AgentChanged, InterimTranscript, TranscriptionFailed
from convsm.turns.overlaps import Overlaps

__all__ = ["WordGuards"]


@attrs.define
class WordGuards(Overlaps):
    """What a row can ask about words, and about what the server makes them of."""

    def is_wordless(self, event: UserTranscript) -> bool:
        """The transcript has no word."""
        return count_words(event.text) == 0

    def has_words(self, event: Event) -> bool:
        """Final words of the turn are known."""
        return bool(self.words)

    def has_no_words(self, event: Event) -> bool:
        """No final words of the turn are known."""
        return not self.words

    def is_of_past_turn(self, event: UserTranscript | InterimTranscript) -> bool:
        """The server's id says that they are of a turn that is over, or was forgotten."""
        turn = self._turn_of(event)
        return turn is not None and turn < self.turn

    def is_late(self, event: UserTranscript) -> bool:
        """The words are owed to a turn that is over, or cannot be of one that is open."""
        is_open_told = self.server.transcribes_open_turns
        is_never_open = not is_open_told and not self.handling.is_servers
        return bool(self.owed_turns) or is_never_open

    def is_last_of_turn(self, event: TranscriptionFailed) -> bool:
        """Nothing else that the server made of the open turn awaits its words."""
        return self._turn_of(event) == self.turn or self.open_items == [event.item]

    def is_answered(self, event: UserTranscript) -> bool:
        """The server decides, and the agent speaks without having been interrupted."""
        is_replying = self.session.state == "agent_speaking" and not self._began_in_overlap()
        return self.handling.is_servers and is_replying

    def has_words_aside(self, event: AgentChanged) -> bool:
        """The agent fell silent just after words that were taken for a backchannel."""
        return event.source == "agent_speaking" != event.target and bool(self._late_asides(event))

    def is_nothing_left(self, event: Event) -> bool:
        """Nothing was said since the turn was over, and no words of it are awaited."""
        would_know = self.handling.is_manual or self.hears_locally
        return would_know and not (self.words or self.interim or self.owed_turns)

    # Commits and what the server answers

    def is_commit_message(self, event: Send) -> bool:
        """The program itself tells the server that the user's turn is over."""
        return self.server.commit is not None and event.message == self.server.commit

    def is_commit_refused(self, event: Event) -> bool:
        """It is the open turn that the server has no audio of."""
        return self.unanswered[:1] == [self.turn]

    def _turn_of(self, event: UserTranscript | InterimTranscript | TranscriptionFailed) -> int | None:
        """Return the number of the turn that the server's id names, if it is known."""
        return None if event.item is None else self.items.get(event.item)
