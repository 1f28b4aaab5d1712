"""The invariants of the core, each with its number and its sentence, checked step by step.

They know nothing but events, effects and two looks at the session, so they hold for every runtime
that embeds it. Over sequences that keep the adapter contract all of them hold; whatever comes at
any time, those of ``HOSTILE``. This module needs nothing beyond convsm.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from convsm.machine import STATES, Session
from convsm.machine import effects as asked
from convsm.machine.effects import Effect
from convsm.machine.errors import RefusedCommand
from convsm.machine.events import COMMANDS, Event
from convsm.testing.invariants_of_ending import (
    EndIsAnnouncedOnce,
    EndReachesIdle,
    IdleHoldsNothing,
    SendsOnlyWhileOpen,
)
from convsm.testing.invariants_of_replies import CutSpeechIsReported, RepliesAreAskedForOnce
from convsm.testing.invariants_of_speaking import (
    ApprovalsAreAnsweredOnce,
    AudioIsHandedOverInOrder,
    EveryPingIsAnswered,
    InterruptionIsDecided,
    SpeakingIsAudible,
    ToolsAreAnsweredOnce,
)
from convsm.testing.observation import Invariant, ObservedStep, snapshot

__all__ = [
    "HOSTILE",
    "INVARIANTS",
    "ApprovalsAreAnsweredOnce",
    "AudioIsHandedOverInOrder",
    "ChangesOnlyByARow",
    "CutSpeechIsReported",
    "EndIsAnnouncedOnce",
    "EndReachesIdle",
    "EveryPingIsAnswered",
    "IdleHoldsNothing",
    "InterruptionIsDecided",
    "Invariant",
    "InvariantChecker",
    "RefusalsChangeNothing",
    "RepliesAreAskedForOnce",
    "SendsOnlyWhileOpen",
    "SpeakingIsAudible",
    "ToolsAreAnsweredOnce",
    "check_all",
]


_NAMES = frozenset(state.name for state in STATES)


@attrs.define
class ChangesOnlyByARow(Invariant):
    """The state changes as the table says, and says so."""

    number = 1
    sentence = "The state is one of the seven declared ones, and only a row moves it."

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        source, state = step.before.state, step.after.state
        target = source if step.row is None or step.row.target is None else step.row.target
        if state not in _NAMES:
            self.fail(step, "there is no such state")
        if state != target:
            self.fail(step, f"its row leads to {target!r}")
        told = [effect for effect in step.effects if type(effect) is asked.StateChanged]
        if state == source:
            if told:
                self.fail(step, "a change was told that did not happen")
        elif told != [asked.StateChanged(source, state, type(step.event).__name__, step.event.at)]:
            self.fail(step, "the change was told wrongly")
        elif step.effects[0] is not told[0]:
            self.fail(step, "the change was not told first")


@attrs.define
class RefusalsChangeNothing(Invariant):
    """What is refused or ignored leaves no trace."""

    number = 9
    sentence = (
        "What is refused or ignored changes neither state nor data; a refusal says Unexpected and "
        "nothing else."
    )

    def check(self, step: ObservedStep) -> None:
        """Check one step."""
        name, row = type(step.event).__name__, step.row
        if row is None:
            is_command = type(step.event) in COMMANDS
            if step.effects != (() if is_command else (asked.Unexpected(name, step.before.state),)):
                self.fail(step, "it was refused with other effects")
        elif any(isinstance(effect, asked.Unexpected) for effect in step.effects):
            self.fail(step, "it was called unexpected although it has a row")
        elif row.target is not None or row.do:
            return
        elif step.effects:
            self.fail(step, "it was ignored with effects")
        if step.before != step.after:
            self.fail(step, "the session's data changed")


INVARIANTS: tuple[type[Invariant], ...] = (
    ChangesOnlyByARow,
    EndReachesIdle,
    IdleHoldsNothing,
    EndIsAnnouncedOnce,
    AudioIsHandedOverInOrder,
    ToolsAreAnsweredOnce,
    EveryPingIsAnswered,
    SpeakingIsAudible,
    RefusalsChangeNothing,
    SendsOnlyWhileOpen,
    InterruptionIsDecided,
    ApprovalsAreAnsweredOnce,
    RepliesAreAskedForOnce,
    CutSpeechIsReported,
)

# Those that hold whatever comes at any time: no server and no adapter, however hostile, keeps a session
# from ending or makes it end in silence. The others need sockets and devices that tell the truth.
HOSTILE: tuple[type[Invariant], ...] = (
    ChangesOnlyByARow,
    EndReachesIdle,
    EndIsAnnouncedOnce,
    AudioIsHandedOverInOrder,
    ToolsAreAnsweredOnce,
    EveryPingIsAnswered,
    RefusalsChangeNothing,
    InterruptionIsDecided,
    ApprovalsAreAnsweredOnce,
    RepliesAreAskedForOnce,
)


@attrs.define
class InvariantChecker:
    """Checks invariants over the steps of one session, from its first event on.

    Make one a session. It is not thread-safe: use it where the session is used.

    Attributes:
        invariants: The invariants, with what they remember.
    """

    invariants: tuple[Invariant, ...] = attrs.field(
        factory=lambda: tuple(invariant() for invariant in INVARIANTS)
    )

    @classmethod
    def of(cls, invariants: Iterable[type[Invariant]]) -> InvariantChecker:
        """Make a checker of some of the invariants."""
        return cls(tuple(invariant() for invariant in invariants))

    def copy(self, invariants: Iterable[type[Invariant]] = INVARIANTS) -> InvariantChecker:
        """Return a checker that remembers the same and goes its own way from here.

        Args:
            invariants: Which invariants it goes on with.
        """
        kept = frozenset(invariants)
        return InvariantChecker(tuple([snapshot(one) for one in self.invariants if type(one) in kept]))

    def step(
        self, before: Session, event: Event, effects: tuple[Effect, ...], after: Session
    ) -> ObservedStep:
        """Check one step and return it.

        Args:
            before: A ``snapshot`` of the session from before the event.
            event: The event.
            effects: What ``handle`` returned; empty if it raised RefusedCommand.
            after: The session afterwards.

        Raises:
            AssertionError: An invariant does not hold; names its number and sentence.
        """
        step = ObservedStep(before, event, effects, after)
        for invariant in self.invariants:
            invariant.check(step)
        return step

    def handle(self, session: Session, event: Event) -> tuple[Effect, ...]:
        """Let a session handle an event, check the step, and return its effects.

        Args:
            session: The session.
            event: The event.

        Returns:
            The effects.

        Raises:
            RefusedCommand: As ``Session.handle`` does; the step was checked.
            AssertionError: An invariant does not hold; names its number and sentence.
        """
        before = snapshot(session)
        try:
            effects = session.handle(event)
        except RefusedCommand:
            self.step(before, event, (), session)
            raise
        self.step(before, event, effects, session)
        return effects


def check_all(steps: Iterable[ObservedStep], invariants: Iterable[type[Invariant]] = INVARIANTS) -> None:
    """Check invariants over the recorded steps of one session.

    Args:
        steps: The steps, from the first on.
        invariants: Which ones.

    Raises:
        AssertionError: An invariant does not hold; names its number and sentence.
    """
    checking = tuple(invariant() for invariant in invariants)
    for step in steps:
        for invariant in checking:
            invariant.check(step)
