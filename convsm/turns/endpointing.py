"""How long to wait for the user to go on: constants, or learned from the pauses that they make.

Pure values: each event gives a new ``DelayEstimate``. Times are seconds of one clock, any.
"""

from __future__ import annotations

import attrs

from convsm.turns.options import Endpointing

__all__ = ["DelayEstimate"]

# An agent counts as speaking a little before it is heard, so what begins this soon is no backchannel.
GRACE = 0.25
# An utterance whose end was not reported ended just before the agent began.
_INSTANT = 0.001


@attrs.frozen
class DelayEstimate:
    """The delays in force, and what they are learned from.

    Attributes:
        options: The settings.
        learned: Moving average of the user's pauses within a turn; starts at ``min_delay``.
        user_start: When the user last began to speak; None if that does not count any more.
        user_end: When the user last ended.
        agent_start: When the agent last began, since the user last ended.
        agent_end: When it ended; None while it speaks.
        is_overlapping: Whether the user began while the agent spoke.
    """

    options: Endpointing
    learned: float = attrs.field(
        default=attrs.Factory(lambda self: self.options.min_delay, takes_self=True), kw_only=True
    )
    user_start: float | None = attrs.field(default=None, kw_only=True)
    user_end: float | None = attrs.field(default=None, kw_only=True)
    agent_start: float | None = attrs.field(default=None, kw_only=True)
    agent_end: float | None = attrs.field(default=None, kw_only=True)
    is_overlapping: bool = attrs.field(default=False, kw_only=True)

    @property
    def min_delay(self) -> float:
        """The wait before a turn is committed, in seconds."""
        if self.options.mode == "fixed":
            return self.options.min_delay
        return min(self.learned, self.options.max_delay)

    @property
    def max_delay(self) -> float:
        """The wait when the end of the turn is unlikely, in seconds; never learned."""
        return self.options.max_delay

    @property
    def _is_agent_speaking(self) -> bool:
        return self.agent_start is not None and self.agent_end is None

    def updated(self, options: Endpointing) -> DelayEstimate:
        """Take other settings; what was learned stays, unless ``min_delay`` changes.

        Args:
            options: The settings.
        """
        keeps = options.min_delay == self.options.min_delay
        return attrs.evolve(self, options=options, learned=self.learned if keeps else options.min_delay)

    def user_started(self, at: float, is_overlapping: bool = False) -> DelayEstimate:
        """The user began to speak.

        Args:
            at: When.
            is_overlapping: Whether the agent was speaking.
        """
        if self.is_overlapping:
            return self
        end = self.user_end
        is_stale = end is not None and self.user_start is not None and end < self.user_start
        if is_overlapping and is_stale and self.agent_start is not None:
            end = self.agent_start - _INSTANT
        return attrs.evolve(self, user_start=at, user_end=end, is_overlapping=is_overlapping)

    def agent_started(self, at: float) -> DelayEstimate:
        """The agent became audible.

        Args:
            at: When.
        """
        return attrs.evolve(self, agent_start=at, agent_end=None, is_overlapping=False)

    def agent_ended(self, at: float) -> DelayEstimate:
        """The agent fell silent, for whatever reason.

        Args:
            at: When; a second end of one speech changes nothing.
        """
        if not self._is_agent_speaking:
            return attrs.evolve(self, is_overlapping=False)
        return attrs.evolve(self, agent_end=at, is_overlapping=False)

    def user_ended(self, at: float, is_backchannel: bool = False) -> DelayEstimate:
        """The user fell silent, and the pause before that utterance is learned if it was one in a turn.

        Args:
            at: When.
            is_backchannel: Whether the agent is still speaking and the user did not mean to interrupt.
        """
        if is_backchannel and self.is_overlapping and not self._is_in_grace():
            return attrs.evolve(self, user_start=None, user_end=None, is_overlapping=False)
        # What the agent says until its playout ends is no pause of the user's.
        start = self.agent_start if self._is_agent_speaking else None
        return attrs.evolve(
            self,
            learned=self._learned(),
            user_end=at,
            agent_start=start,
            agent_end=None,
            is_overlapping=False,
        )

    def _is_in_grace(self) -> bool:
        if self.user_start is None or self.agent_start is None:
            return True
        return abs(self.user_start - self.agent_start) < GRACE

    def _learned(self) -> float:
        pause = self._since_user(self.user_start)
        if self.options.mode == "fixed" or pause <= 0:
            return self.learned
        if self.is_overlapping or self._is_agent_speaking:
            # The user cut in at once: it was the end of the turn that was wrong.
            wait = self._since_user(self.agent_start)
            if not 0 < abs(pause - wait) <= self.min_delay or not 0 < wait <= self.max_delay:
                return self.learned
        elif self.agent_start is not None or self.agent_end is not None:
            return self.learned
        options = self.options
        average = options.alpha * self.learned + (1 - options.alpha) * pause
        return min(max(average, options.min_delay), options.max_delay)

    def _since_user(self, at: float | None) -> float:
        if at is None or self.user_end is None:
            return 0.0
        return max(0.0, at - self.user_end)
