"""What is to be said about a session beside its events: in the log, and in the cause of its end."""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs

from convsm.machine.effects import AnnounceEnd
from convsm.protocols.messages import ServerError
from convsm.transport.uplink import UplinkDropped

__all__ = ["Diagnostics"]

logger = logging.getLogger("convsm.session")

# How many different diagnostics are logged as warnings; a server that goes on is logged at DEBUG.
DIAGNOSTIC_LIMIT = 100
# A server that hangs up over an error says so right before; one of earlier on was no such error.
CAUSE_SECONDS = 5.0


class Diagnostics:
    """Counts and logs. For whoever owns the session.

    Attributes:
        count: How often something was said.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with nothing to say.

        Args:
            clock: Monotonic seconds.
        """
        self.count = 0
        self._clock = clock
        self._said: set[str] = set()
        self._server_error = ""
        self._server_error_at = 0.0

    def say(self, what: str) -> None:
        """Log a diagnostic: a warning the first time, and quietly after that."""
        self.count += 1
        is_new = what not in self._said and len(self._said) < DIAGNOSTIC_LIMIT
        if is_new:
            self._said.add(what)
        logger.log(logging.WARNING if is_new else logging.DEBUG, "%s", what)

    def note(self, message: object) -> None:
        """Look at a message that informs, and say what of it the user should know."""
        if type(message) is ServerError:
            # A close frame holds 123 bytes of reason, so this much says all; a log line is not for more.
            self._server_error = (message.message or message.error_type or "no text")[:500]
            self._server_error_at = self._clock()
            self.say(f"the server reports an error: {self._server_error}")
        elif type(message) is UplinkDropped:
            self.say("the network is slower than the microphone; the oldest audio was dropped")

    def explain(self, ending: AnnounceEnd) -> AnnounceEnd:
        """Add to the cause of an end what the server said right before."""
        is_cause = self._server_error and self._clock() - self._server_error_at <= CAUSE_SECONDS
        if not is_cause or ending.close_code is None or ending.reason != "error":
            return ending
        if self._server_error in ending.message:
            return ending  # the machine took it for the cause already
        return attrs.evolve(ending, message=f"{ending.message}; the server said: {self._server_error}")
