"""The entries of a transcript, in order, and how the list of them changes."""

from __future__ import annotations

from typing import Any, Literal

import attrs

__all__ = ["Entries", "Speaker", "TranscriptChanged", "TranscriptEntry"]

Speaker = Literal["user", "agent"]


@attrs.frozen(kw_only=True)
class TranscriptEntry:
    """One thing that was said, as far as it is known.

    Times are in seconds of the events' clock.

    Attributes:
        number: Its own number, from 1; stays the same whatever else changes.
        who: Who said it.
        text: What was said. The agent's, as it was generated; it may never have been spoken whole.
        correction: What the agent really spoke before it was cut, once the server tells.
        turn: Number of the turn, if the server told. A user's and an agent's entry may share one.
        is_final: Whether the text is the whole text and not a guess or a part. A server may still
            repeat it in other words.
        is_interrupted: Whether the agent was cut before it had said all.
        is_written: Whether the user wrote it.
        file_ids: Ids of the files that the user showed with it.
        began_at: User: when the first guess came, or else the final text. Agent: when its first audio
            was handed to the loudspeaker, or was let through by a pause that held it back; before that,
            and without audio, when its first text came.
        ended_at: User: when the final text came. Agent: when the loudspeaker had played it or fell
            silent, be it by a pause that was not lifted; without audio, when the text was final. None
            until then.
    """

    number: int
    who: Speaker
    text: str
    correction: str | None = None
    turn: int | None = None
    is_final: bool = False
    is_interrupted: bool = False
    is_written: bool = False
    file_ids: tuple[str, ...] = ()
    began_at: float = 0.0
    ended_at: float | None = None

    @property
    def spoken(self) -> str:
        """What was really said: the correction, and as long as there is none, the text."""
        return self.text if self.correction is None else self.correction


@attrs.frozen
class TranscriptChanged:
    """One change of the list of entries; applied in order, they keep a copy of it up to date.

    Attributes:
        change: ``added`` (insert at the position), ``changed`` (replace there) or ``removed`` (delete
            there: a guess that another superseded, or an entry beyond the limit).
        position: Where in the list, from 0.
        entry: The entry, as it is now; the removed one, as it was.
    """

    change: Literal["added", "changed", "removed"]
    position: int
    entry: TranscriptEntry


class Entries:
    """An ordered list of entries that notes its own changes.

    Numbered entries are kept in the order of their turns, the user's before the agent's; those
    without a number stay where they came. One thread at a time may change it, any may read.
    """

    __slots__ = ("_count", "_entries", "_limit", "_numbers", "changes")

    def __init__(self, limit: int | None) -> None:
        """Make an empty list that keeps at most so many entries."""
        self.changes: list[TranscriptChanged] = []
        self._limit = limit
        self._count = 0
        self._entries: list[TranscriptEntry] = []
        self._numbers: dict[tuple[Speaker, int], int] = {}

    def snapshot(self) -> tuple[TranscriptEntry, ...]:
        """Return the entries as they are now."""
        return tuple(self._entries)

    def of_turn(self, who: Speaker, turn: int | None) -> TranscriptEntry | None:
        """Return the entry of a numbered turn."""
        return None if turn is None else self.numbered(self._numbers.get((who, turn)))

    def numbered(self, number: int | None) -> TranscriptEntry | None:
        """Return the entry with a number of its own; None if there is none any more."""
        if number is None:
            return None
        position = self._position(number)
        return None if position is None else self._entries[position]

    def newest(self, who: Speaker) -> TranscriptEntry | None:
        """Return the last entry of one speaker."""
        return next((entry for entry in reversed(self._entries) if entry.who == who), None)

    def uncorrected(self, original: str) -> TranscriptEntry | None:
        """Return the last of the agent's that a correction without a turn may mean."""
        for entry in reversed(self._entries):
            is_candidate = entry.who == "agent" and entry.correction is None
            if is_candidate and (entry.is_interrupted or entry.text == original):
                return entry
        return None

    def add(self, who: Speaker, text: str, turn: int | None = None, **fields: Any) -> TranscriptEntry:
        """Add an entry where its turn belongs."""
        self._count += 1
        entry = TranscriptEntry(number=self._count, who=who, text=text, turn=turn, **fields)
        position = len(self._entries) if turn is None else self._place(who, turn)
        self._entries.insert(position, entry)
        if turn is not None:
            self._numbers[who, turn] = entry.number
        self.changes.append(TranscriptChanged("added", position, entry))
        if self._limit is not None and len(self._entries) > self._limit:
            self.remove(self._entries[0])
        return entry

    def change(self, entry: TranscriptEntry, **fields: Any) -> TranscriptEntry:
        """Change an entry; a turn that is told late leaves it where it is."""
        changed = attrs.evolve(entry, **fields)
        position = self._position(entry.number)
        if changed == entry or position is None:
            return entry
        self._entries[position] = changed
        if changed.turn is not None and entry.turn is None:
            self._numbers[changed.who, changed.turn] = changed.number
        self.changes.append(TranscriptChanged("changed", position, changed))
        return changed

    def remove(self, entry: TranscriptEntry) -> None:
        """Remove an entry."""
        position = self._position(entry.number)
        assert position is not None
        del self._entries[position]
        if entry.turn is not None:
            self._numbers.pop((entry.who, entry.turn), None)
        self.changes.append(TranscriptChanged("removed", position, entry))

    def _position(self, number: int) -> int | None:
        # What changes is nearly always at the end.
        for position in range(len(self._entries) - 1, -1, -1):
            if self._entries[position].number == number:
                return position
        return None

    def _place(self, who: Speaker, turn: int) -> int:
        key = (turn, who == "agent")
        place = len(self._entries)
        for position in range(place - 1, -1, -1):
            other = self._entries[position]
            if other.turn is not None:
                if (other.turn, other.who == "agent") <= key:
                    break
                place = position
        return place
