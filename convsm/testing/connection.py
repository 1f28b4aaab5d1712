"""One conversation of a loopback agent: plays its script, records what the client sends, judges both."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import attrs
import orjson
from websockets.http11 import Request

from convsm.testing.client_messages import (
    REQUIRED,
    Matcher,
    Received,
    Required,
    decode_audio,
    describe,
    find_fault,
    is_match,
    name_kind,
)
from convsm.testing.expectations import TIMEOUT_SECONDS, ScriptFailure
from convsm.testing.frames import encode_frame
from convsm.testing.hostile import HandshakeStep
from convsm.testing.script import Message, Step, bytes_per_second
from convsm.testing.websocket_server import (
    JOIN_SECONDS,
    POLL_SECONDS,
    ConnectionEnded,
    WebSocketStream,
)

__all__ = ["LoopbackConnection", "StepLike"]

StepLike = Step | Message | Callable[["LoopbackConnection"], object]

# More would tell nothing new.
MAX_FAILURES = 100


@attrs.define(eq=False)
class LoopbackConnection:
    """One conversation with one client; its attributes may be read from any thread.

    Attributes:
        number: Its place among the agent's conversations, from 0.
        request_path: Path and query of the upgrade request, as they came.
        request_headers: Headers of the upgrade request, case-insensitive.
        stream: The WebSocket beneath, for steps that misbehave.
        output_format: Format of the agent's audio, as the metadata has it.
        input_format: Format of the user's audio, likewise.
        record_limit: Messages recorded; the first beyond is a failure and none is recorded further.
        failures: What went wrong, in order; a test that provokes failures may clear the list.
        script_done: Set when the script has ended, in whatever way.
        closed: Set when the TCP connection and the script have ended.
    """

    required: ClassVar[Required] = REQUIRED

    number: int
    request_path: str = attrs.field(repr=False)
    request_headers: Mapping[str, str] = attrs.field(repr=False)
    stream: WebSocketStream = attrs.field(repr=False)
    output_format: str = attrs.field(kw_only=True, repr=False)
    input_format: str = attrs.field(kw_only=True, repr=False)
    record_limit: int = attrs.field(kw_only=True, repr=False)
    failures: list[str] = attrs.field(factory=list, init=False)
    script_done: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)
    closed: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)
    # Bounded by record_limit, as is the audio decoded from it.
    _received: list[Received] = attrs.field(factory=list, init=False, repr=False)
    _user_audio: bytearray = attrs.field(factory=bytearray, init=False, repr=False)
    _is_full: bool = attrs.field(default=False, init=False, repr=False)
    # Indices of what satisfied an expectation of the script, and bytes of audio that did.
    _taken: set[int] = attrs.field(factory=set, init=False, repr=False)
    _audio_taken: int = attrs.field(default=0, init=False, repr=False)
    _arrived: threading.Condition = attrs.field(factory=threading.Condition, init=False, repr=False)
    _ready: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)
    _over: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)

    # What the client sent

    @property
    def received(self) -> list[Received]:
        """Every message, in order."""
        with self._arrived:
            return list(self._received)

    def messages(self, what: Matcher) -> list[dict[str, Any]]:
        """Return the messages of a type (``"user_audio"`` for audio) or that meet a predicate, in order."""
        return [entry.message for entry in self.received if is_match(what, entry.message)]

    @property
    def user_audio(self) -> bytes:
        """All audio of the user, decoded, in the input format."""
        with self._arrived:
            return bytes(self._user_audio)

    @property
    def initiation(self) -> dict[str, Any] | None:
        """The client's initiation message, if it came."""
        return next(iter(self.messages("conversation_initiation_client_data")), None)

    @property
    def tool_results(self) -> list[dict[str, Any]]:
        """The results of tool calls, in order."""
        return self.messages("client_tool_result")

    @property
    def pongs(self) -> list[Any]:
        """The event ids of the pongs, in order."""
        return [message.get("event_id") for message in self.messages("pong")]

    @property
    def close_code(self) -> int | None:
        """Code of the client's close frame: 1005 without a code, 1006 if it left without one, None before."""
        code = self.stream.close_code
        return 1006 if code is None and self._over.is_set() else code

    @property
    def close_reason(self) -> str:
        """Reason in the client's close frame; empty without one."""
        return self.stream.close_reason

    def wait_for(self, what: Matcher, timeout: float = TIMEOUT_SECONDS, *, count: int = 1) -> dict[str, Any]:
        """Wait until a message has come, before this call or after; return it.

        Args:
            what: A message type, ``"user_audio"``, or a predicate on the message.
            timeout: Seconds.
            count: Wait for this many, and return the last of them.

        Raises:
            ScriptFailure: They did not come in time, or the connection ended before.
        """
        try:
            return self._find(what, count, timeout, set())
        except ConnectionEnded as error:
            raise ScriptFailure(str(error)) from None

    # What the agent does

    def send(self, step: StepLike, timeout: float = TIMEOUT_SECONDS) -> None:
        """Perform a step, from the test's own thread, once the opening is over; the script goes on meanwhile.

        Args:
            step: A Step; a mapping, which is sent as a message; or a function of this connection.
            timeout: Seconds to wait for the opening.

        Raises:
            ConnectionEnded: The client is gone.
            ScriptFailure: The step expects something that did not happen, or the opening is not over.
        """
        if not self.wait_for_event(self._ready, timeout):
            raise ScriptFailure(
                f"The opening was not over within {timeout:g} s; give opening=False to do without."
            )
        self.perform(step)

    def perform(self, step: StepLike) -> None:
        """Perform a step at once (for steps made of steps).

        Raises:
            ConnectionEnded: The client is gone.
            ScriptFailure: The step expects something that did not happen.
        """
        if isinstance(step, Step):
            step.perform(self)
        elif isinstance(step, Mapping):
            self.transmit(step)
        elif callable(step):
            step(self)
        else:
            raise TypeError(f"{step!r} is no step; give a Step, a mapping or a function.")

    def transmit(self, message: Message) -> None:
        """Send a message as JSON at once (for steps).

        Raises:
            ConnectionEnded: The client is gone.
        """
        self.stream.send(encode_frame(orjson.dumps(message)))

    def pause(self, seconds: float) -> None:
        """Wait (for steps).

        Raises:
            ConnectionEnded: The client is gone.
        """
        if self._over.wait(max(0.0, seconds)):
            raise ConnectionEnded("The connection ended during a pause.")

    def wait_for_event(self, event: threading.Event, timeout: float) -> bool:
        """Wait for an event of the test's (for steps); False if it was not set in time.

        Raises:
            ConnectionEnded: The client is gone.
        """
        deadline = time.monotonic() + timeout
        while not event.wait(min(POLL_SECONDS, max(0.0, deadline - time.monotonic()))):
            self.pause(0)
            if time.monotonic() >= deadline:
                return False
        return True

    def wait_for_close(self, timeout: float) -> int:
        """Wait for the client's close frame (for steps); return its code.

        Raises:
            ConnectionEnded: The client left without one.
            ScriptFailure: It did not come in time.
        """
        self._wait(lambda: self.stream.close_code is not None, timeout, lambda: "no close frame")
        code = self.stream.close_code
        assert code is not None
        return code

    def take(self, what: Matcher, count: int, timeout: float) -> dict[str, Any]:
        """Wait for messages that no expectation has taken yet, take them, and return the last (for steps).

        Raises:
            ConnectionEnded: The client left before.
            ScriptFailure: They did not come in time.
        """
        return self._find(what, count, timeout, self._taken)

    def take_audio(self, seconds: float, timeout: float) -> None:
        """Wait for audio of the user's beyond what was taken so, and take it (for steps).

        Raises:
            ConnectionEnded: The client left before.
            ScriptFailure: It did not come in time.
        """
        needed = round(seconds * bytes_per_second(self.input_format))

        def describe_lack() -> str:
            return f"{len(self._user_audio) - self._audio_taken} of {needed} bytes of user audio"

        self._wait(lambda: len(self._user_audio) - self._audio_taken >= needed, timeout, describe_lack)
        self._audio_taken += needed

    def fail(self, failure: str) -> None:
        """Record a failure; a client that does nothing right is not recorded for ever."""
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(failure)

    def _find(self, what: Matcher, count: int, timeout: float, taken: set[int]) -> dict[str, Any]:
        position, found = 0, list[int]()

        def is_found() -> bool:
            nonlocal position
            while position < len(self._received) and len(found) < count:
                if position not in taken and is_match(what, self._received[position].message):
                    taken.add(position)
                    found.append(position)
                position += 1
            return len(found) >= count

        self._wait(is_found, timeout, lambda: f"{len(found)} of {count} {describe(what)!r}")
        return self._received[found[-1]].message

    def _wait(self, is_met: Callable[[], bool], timeout: float, describe_lack: Callable[[], str]) -> None:
        with self._arrived:
            self._arrived.wait_for(lambda: is_met() or self._over.is_set(), timeout)
            if is_met():
                return
            kinds = Counter(name_kind(entry.message) for entry in self._received)
            sent = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "nothing"
            problem = f"The client sent {describe_lack()}; all it sent: {sent}."
        if self._over.is_set():
            raise ConnectionEnded(f"{problem} Then the connection ended.")
        raise ScriptFailure(f"{problem} The wait was {timeout:g} s.")

    # Serving: the agent's business

    def serve(self, request: Request, opening: Sequence[Step], steps: Sequence[StepLike]) -> None:
        """Answer the upgrade, then play the script and record until the connection ends (for the agent)."""
        player: threading.Thread | None = None
        answer = steps[0] if steps and isinstance(steps[0], HandshakeStep) else None
        if answer is not None:
            steps = steps[1:]
        try:
            if (answer is None or answer.is_upgraded(self)) and self.stream.accept(request):
                player = threading.Thread(
                    target=self._play,
                    args=([*opening, LoopbackConnection._begin, *steps],),
                    name=f"convsm-loopback-script-{self.number}",
                    daemon=True,
                )
                player.start()
            else:
                self.script_done.set()
            for entry in self.stream.messages():
                self._take_in(entry)
        finally:
            if self.stream.violation is not None:
                self.fail(f"the client broke the WebSocket protocol: {self.stream.violation}")
            with self._arrived:
                self._over.set()
                self._arrived.notify_all()
            # It may be sending to a client that does not read.
            self.stream.drop()
            if player is not None:
                player.join(JOIN_SECONDS)
            self.closed.set()

    def _begin(self) -> None:
        self._ready.set()

    def _play(self, steps: Sequence[StepLike]) -> None:
        reached = 0
        try:
            for reached, step in enumerate(steps):  # noqa: B007 (used after the loop)
                self.perform(step)
        except ConnectionEnded as error:
            # A client may leave at any time, unless the rest of the script expects something of it.
            unmet = next((step for step in steps[reached:] if isinstance(step, Step) and step.expects), None)
            if unmet is not None:
                self.fail(f"{unmet!r}: {error}")
        except Exception as error:
            text = f"{steps[reached]!r}: {error if isinstance(error, ScriptFailure) else repr(error)}"
            self.fail(text)
            # First, for a client that does not read keeps the close frame from going out.
            self.script_done.set()
            with contextlib.suppress(ConnectionEnded):
                self.stream.send_close(1011, text)
        finally:
            self.script_done.set()

    def _take_in(self, entry: tuple[bool, bytes] | None) -> None:
        at = time.monotonic()
        message, fault, audio = None, None, b""
        if entry is not None:
            is_text, payload = entry
            try:
                message = orjson.loads(payload)
                audio, fault = decode_audio(message, find_fault(message, self.required))
            except orjson.JSONDecodeError:
                fault = "it is not JSON"
            fault = fault if is_text else "it is in a binary frame"
        with self._arrived:
            if isinstance(message, dict):
                if len(self._received) < self.record_limit:
                    self._received.append(Received(message, at))
                    self._user_audio += audio
                elif not self._is_full:
                    self._is_full = True
                    fault = f"it is one more than the record_limit of {self.record_limit}"
            if fault is not None:
                self.fail(f"a message of the client's is wrong: {fault}")
            self._arrived.notify_all()
