"""A server that makes pieces of the user's audio and names their words; and whose words may be whose."""

from __future__ import annotations

from random import Random

import attrs

from convsm.machine.base import Event
from convsm.machine.effects import Effect, Transmit
from convsm.machine.events import Send, UserTranscript
from convsm.turns.effects import CompleteTurn, ResolveCommit
from convsm.turns.events import (
    ClearUserTurn,
    InterimTranscript,
    TranscriptionFailed,
    UserAudioRefused,
    UserAudioTaken,
)
from convsm.turns.server import TurnServer
from convsm.turns.words import ANSWER_SECONDS

__all__ = ["WordsOracle"]


@attrs.define
class WordsOracle:
    """What was committed, what the server made of it, and whose words are not to be heard of again.

    Attributes:
        server: What it can do.
        answered: How many commits it has answered, or never will; it does so in order.
        untold: Pieces whose words it has not told.
    """

    server: TurnServer
    committed: list[tuple[bool, float]] = attrs.field(factory=list)  # whether by this side's table, and when
    answered: int = 0
    untold: list[str] = attrs.field(factory=list)
    own: int = 0
    void: set[str] = attrs.field(factory=set)

    def offer(self, random: Random, now: float) -> list[Event]:
        """Return what the server may say now about the user's audio and words, in any order of the pieces."""
        said: list[Event] = []
        # It answers a commit in time or never.
        while self.answered < len(self.committed) and now - self.committed[self.answered][1] > ANSWER_SECONDS:
            self.answered += 1
        if self.answered < len(self.committed):
            said += [UserAudioTaken(f"item_{self.answered}"), UserAudioRefused()]
        elif self.server.commit is None and self.server.user_transcripts:
            said.append(UserAudioTaken(f"own_{self.own}"))
        for item in self.untold[-3:]:
            said += [
                UserTranscript(random.choice(("", item, f"please stop {item}")), item=item),
                InterimTranscript(f"sto {item}", item),
                TranscriptionFailed(item),
            ]
        return said

    def note(self, event: Event, effects: tuple[Effect, ...]) -> None:
        """Take note of a step, and check the words of what it ended."""
        if isinstance(event, UserAudioTaken | UserAudioRefused) and self.answered < len(self.committed):
            self.answered += 1
        if isinstance(event, UserAudioTaken) and event.item is not None:
            self.untold.append(event.item)
            self.own += event.item.startswith("own")
        elif isinstance(event, UserTranscript | TranscriptionFailed) and event.item in self.untold:
            self.untold.remove(event.item)
        elif isinstance(event, ClearUserTurn):
            self.void |= {item for item in self.untold if item.startswith("own")}
        for effect in effects:
            if isinstance(effect, Transmit) and effect.message == self.server.commit is not None:
                self.committed.append((not isinstance(event, Send), event.at))
            elif isinstance(effect, CompleteTurn | ResolveCommit):
                self._check(effect.transcript)

    def _check(self, transcript: str) -> None:
        names = {word for word in transcript.split() if word.startswith(("item", "own"))}
        # Turns are committed one after another, so words that were asked for by an earlier commit are late.
        latest = max((number for number, (is_ours, _) in enumerate(self.committed) if is_ours), default=-1)
        assert {name for name in names if name.startswith("item")} <= {f"item_{latest}"}
        assert not names & self.void
