"""The steps of a loopback agent's script that wait: for time, for the test, for what the client must do."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from convsm.testing.client_messages import Matcher, is_match
from convsm.testing.script import Step

if TYPE_CHECKING:
    from convsm.testing.connection import LoopbackConnection, StepLike

__all__ = [
    "TIMEOUT_SECONDS",
    "Expect",
    "ExpectClose",
    "ExpectToolResult",
    "Pause",
    "Repeat",
    "ScriptFailure",
    "WaitFor",
    "WaitForInitiation",
]

# Longer than any step of a working client takes, shorter than the patience of whoever runs the tests.
TIMEOUT_SECONDS = 5.0


class ScriptFailure(AssertionError):
    """The client did not do what the script or the test expects of it."""


@attrs.frozen
class Pause(Step):
    """Do nothing for so many seconds; pings and the close frame are answered meanwhile."""

    seconds: float

    def perform(self, connection: LoopbackConnection) -> None:
        """Wait."""
        connection.pause(self.seconds)


@attrs.frozen
class Repeat(Step):
    """Perform steps over and over.

    Attributes:
        steps: One step, or a list of steps.
        count: How often, at least 0.
    """

    steps: StepLike | Sequence[StepLike]
    count: int

    @property
    def _steps(self) -> Sequence[Any]:
        return self.steps if isinstance(self.steps, list | tuple) else [self.steps]

    @property
    def expects(self) -> bool:
        """Whether one of the steps does."""
        return any(isinstance(step, Step) and step.expects for step in self._steps)

    def perform(self, connection: LoopbackConnection) -> None:
        """Perform them in order, each time anew."""
        for _ in range(self.count):
            for step in self._steps:
                connection.perform(step)


@attrs.frozen
class WaitFor(Step):
    """Wait for an event that the test sets.

    Attributes:
        event: The event.
        timeout: Seconds after which the script fails.
    """

    event: threading.Event
    timeout: float = TIMEOUT_SECONDS

    def perform(self, connection: LoopbackConnection) -> None:
        """Wait."""
        if not connection.wait_for_event(self.event, self.timeout):
            raise ScriptFailure(f"The test did not set the event within {self.timeout:g} s.")


@attrs.frozen
class WaitForInitiation(Step):
    """Wait for the client's initiation message; unlike with Expect, the client may leave without it.

    Attributes:
        timeout: Seconds after which the script fails.
    """

    timeout: float = TIMEOUT_SECONDS

    def perform(self, connection: LoopbackConnection) -> None:
        """Wait."""
        connection.take("conversation_initiation_client_data", 1, self.timeout)


@attrs.frozen
class Expect(Step):
    """Expect messages of the client's; without them the script fails.

    What came before this step counts too, but each message satisfies one expectation only.

    Attributes:
        what: A message type, ``"user_audio"``, or a predicate on the message.
        event_id: The event id it carries; None for any.
        count: How many such messages.
        seconds: With ``"user_audio"``: how much audio, instead of how many messages.
        timeout: Seconds after which the script fails.
    """

    what: Matcher
    event_id: object = None
    count: int = attrs.field(default=1, kw_only=True)
    seconds: float | None = attrs.field(default=None, kw_only=True)
    timeout: float = attrs.field(default=TIMEOUT_SECONDS, kw_only=True)

    @property
    def expects(self) -> bool:
        """Always."""
        return True

    def perform(self, connection: LoopbackConnection) -> None:
        """Wait for them."""
        if self.seconds is not None:
            connection.take_audio(self.seconds, self.timeout)
        elif self.event_id is None:
            connection.take(self.what, self.count, self.timeout)
        else:
            connection.take(self._carries_id, self.count, self.timeout)

    def _carries_id(self, message: dict[str, Any]) -> bool:
        return message.get("event_id") == self.event_id and is_match(self.what, message)


@attrs.frozen
class ExpectToolResult(Step):
    """Expect the result of a tool call.

    Attributes:
        call_id: Id of the call.
        result: The text it must have; None for any.
        is_error: Whether it must report an error; None for either.
        error_type: The class of the failure that it must name; None for any.
        timeout: Seconds after which the script fails.
    """

    call_id: str = "call_1"
    result: str | None = None
    is_error: bool | None = None
    error_type: str | None = attrs.field(default=None, kw_only=True)
    timeout: float = attrs.field(default=TIMEOUT_SECONDS, kw_only=True)

    @property
    def expects(self) -> bool:
        """Always."""
        return True

    def perform(self, connection: LoopbackConnection) -> None:
        """Wait for it."""
        message = connection.take(self._answers_call, 1, self.timeout)
        for field in ("result", "is_error", "error_type"):
            wanted = getattr(self, field)
            if wanted is not None and message.get(field) != wanted:
                raise ScriptFailure(f"The client's {field} is {message.get(field)!r}, not {wanted!r}.")

    def _answers_call(self, message: dict[str, Any]) -> bool:
        return is_match("client_tool_result", message) and message.get("tool_call_id") == self.call_id


@attrs.frozen
class ExpectClose(Step):
    """Expect the client's close frame.

    Attributes:
        code: The code it must have, 1005 for a frame without one; None for any.
        timeout: Seconds after which the script fails.
    """

    code: int | None = None
    timeout: float = attrs.field(default=TIMEOUT_SECONDS, kw_only=True)

    @property
    def expects(self) -> bool:
        """Always."""
        return True

    def perform(self, connection: LoopbackConnection) -> None:
        """Wait for it."""
        code = connection.wait_for_close(self.timeout)
        if self.code is not None and code != self.code:
            raise ScriptFailure(f"The client closed with {code}, not {self.code}.")
