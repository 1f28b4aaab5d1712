"""The emitters about what is too much and what is missing: long turns, and words that do not come."""

from __future__ import annotations

import attrs

from convsm.machine.base import Event
from convsm.turns import reports
from convsm.turns.detection import count_words
from convsm.turns.effects import Report
from convsm.turns.ending import TurnEnding
from convsm.turns.events import AgentChanged, SpeechEnded, SpeechStarted

__all__ = ["TurnLimits"]


@attrs.define
class TurnLimits(TurnEnding):
    """What rows ask for about limits."""

    def _tell(self, fact: reports.Fact) -> None:
        self._emit(Report(fact))

    def reset_turn_limit(self, event: AgentChanged) -> None:
        """Count what the user says anew, once the agent is heard."""
        if self.is_agent_starting(event):
            self.clear_turn_limit(event)

    def clear_turn_limit(self, event: Event) -> None:
        """Count what the user says anew."""
        self._clear_limit()

    def open_turn_limit(self, event: SpeechStarted) -> None:
        """Count from here how long the user speaks, if nothing is counted yet."""
        seconds = self.handling.user_turn_limit.max_duration
        if self.limit_began is None:
            self.limit_began = event.began
        if seconds is not None and "turn_limit" not in self.timers:
            self._arm("turn_limit", max(0.0, self.limit_began + seconds - event.at))

    def drop_noise(self, event: SpeechEnded) -> None:
        """Count anew, if nothing was said yet."""
        if not self.limit_words:
            self._clear_limit()

    def report_many_words(self, event: Event) -> None:
        """Tell once that the user has said too many words."""
        limit = self.handling.user_turn_limit.max_words
        if limit is not None and count_words(" ".join(self.limit_words)) >= limit:
            self.report_long_turn(event)

    def report_long_turn(self, event: Event) -> None:
        """Tell once that the user's turn has become too long."""
        if self.has_exceeded:
            return
        self.has_exceeded = True
        said = " ".join(self.limit_words)
        since = self.limit_began if self.limit_began is not None else event.at
        self._tell(
            reports.UserTurnExceeded(
                self.transcript(),
                said,
                count_words(said),
                event.at - since,
                occurred_at=event.at,
                known_at=event.at,
            )
        )

    def arm_transcription_timer(self, event: SpeechEnded) -> None:
        """Wait for words, if that is wanted."""
        timeout = self.handling.transcription_timeout
        if timeout is not None and self.server.user_transcripts and self.silent_speech_began is not None:
            self._arm("transcription", max(0.0, event.ended + timeout - event.at))

    def report_untranscribed(self, event: Event) -> None:
        """Tell that no words came of speech."""
        since = self.silent_speech_began if self.silent_speech_began is not None else event.at
        fact = reports.UserTranscriptionTimeout(
            self.silent_speech, since, occurred_at=event.at, known_at=event.at
        )
        self._tell(fact)
