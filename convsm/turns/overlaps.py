"""What is known about speech of the user's while the agent speaks, or is about to."""

from __future__ import annotations

import attrs

from convsm.machine.base import Event
from convsm.turns.detection import count_words
from convsm.turns.events import AgentChanged
from convsm.turns.promises import Promises

__all__ = ["Overlaps"]


@attrs.define
class Overlaps(Promises):
    """Questions that guards ask about interruptions."""

    def _may_interrupt(self) -> bool:
        # While echo cancellation settles, what is heard may be the agent itself.
        return self._is_interruptible() and not self.handling.is_manual and "aec_warmup" not in self.timers

    def _can_pause(self) -> bool:
        interruption = self.handling.interruption
        return (
            interruption.resume_false_interruption
            and interruption.false_interruption_timeout is not None
            and self.session.audio == "on"
            and self.session.options.can_pause
        )

    def _began_in_overlap(self) -> bool:
        return self.began is not None and self.agent_began is not None and self.began > self.agent_began

    def _overlapping_text(self) -> str:
        return " ".join(word for word in (*self.words[self.overlap_from :], self.interim) if word)

    def _word_count(self) -> int:
        return count_words(self._overlapping_text())

    def _judges_sound(self) -> bool:
        can_listen = callable(getattr(self.classifier, "classify_sound", None))
        return can_listen and self.handling.interruption.mode != "vad"

    def _is_quiet(self, event: Event) -> bool:
        return self.quiet_since is not None and event.at - self.quiet_since > self.delays.min_delay / 2

    def _late_asides(self, event: AgentChanged) -> list[str]:
        boundary = self.handling.interruption.backchannel_boundary
        end = boundary[1] if boundary is not None else 0.0
        return [text for at, text in self.asides if event.at - at <= end]
