"""What is known about a reply that may not be interrupted: read from the conversation, kept nowhere twice.

So protection ends with what it protects, whatever ends that.
"""

from __future__ import annotations

import attrs

from convsm.machine import GROUPS
from convsm.machine.events import AgentAudio
from convsm.turns.context import TurnContext

__all__ = ["Promises"]


@attrs.define
class Promises(TurnContext):
    """Questions that guards ask about protected replies."""

    def has_promise_ended(self) -> bool:
        """Return whether something is kept about a protected reply that is over, or never comes."""
        if not self.promises and not self.protected_through:
            return False
        if not self._is_live():
            return True
        is_over = self.protected_through > 0 or not all(map(self._is_awaited, self.promises))
        return is_over and not self._is_reply_protected()

    def _is_open(self) -> bool:
        return self.session.state in GROUPS["open"]

    def _is_live(self) -> bool:
        return self._is_open() or self.session.state == "connecting"

    def _is_awaited(self, message: object) -> bool:
        """Return whether the conversation still wants a reply to a message, or gets one."""
        session = self.session
        if not session.options.asks_replies:
            return True
        is_asked = session.asked is message and session.generation != "none" and not session.is_stopping
        return session.wanted is message or is_asked

    def _is_promised(self, message: object) -> bool:
        """Return whether the reply to a message may not be interrupted."""
        return any(one is message for one in self.promises)

    def _is_reply_protected(self) -> bool:
        """Return whether something is generated, or is to be heard, that may not be interrupted.

        What plays before it is protected with it, for a cut would void both.
        """
        session = self.session
        # Any other response that begins takes the turn's place, so what runs is the reply.
        is_running = session.generation == "running" and not session.is_stopping
        is_generated = self.protected_turn is not None and is_running
        return session.heard < self.protected_through or is_generated

    def _is_interruptible(self) -> bool:
        return self.handling.interruption.enabled and not self._is_reply_protected()

    def _plays(self, event: AgentAudio) -> bool:
        """Return whether the conversation hands the audio over."""
        return self.session.is_playable(event) and not self.session.is_overflowing(event)
