"""What a driver is made of: the face that each part shows to it, be it built of threads or of tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from convsm.machine.effects import AskApproval, Play, RunTool, StartAudio
from convsm.machine.events import Event

if TYPE_CHECKING:
    from convsm.runtime.tool_runner import Call

__all__ = ["AudioPlayer", "Callback", "Flag", "Inbox", "Notifying", "ToolCalls", "Transport"]

# Its name for the log, what to call, and with what.
Callback = tuple[str, Callable[..., object], tuple[Any, ...]]


class Flag(Protocol):
    """Something that comes about once and can be waited for."""

    def set(self) -> None:
        """Say that it has come about."""

    def is_set(self) -> bool:
        """Whether it has."""


class Inbox(Protocol):
    """The one ordered stream of events."""

    def post(self, event: Event) -> None:
        """Put an event into the stream."""

    def post_at_once(self, event: Event) -> None:
        """Put an event into the stream and never wait, whatever the caller holds."""

    def call(self, event: Event) -> None:
        """Put a command into the stream and wait until it is taken, unless called from inside an effect.

        Raises:
            Exception: What taking it raised.
        """

    def close(self) -> None:
        """Take note, inside ``take``, that the session is over."""


class Transport(Protocol):
    """The WebSocket. It answers by posting events."""

    @property
    def has_room(self) -> bool:
        """Whether another message of the user's may be sent."""

    def open(self) -> None:
        """Start connecting."""

    def send(self, message: bytes) -> None:
        """Queue a message."""

    def send_audio(self, message: bytes, seconds: float) -> None:
        """Queue a piece of audio of so many seconds; when too much waits, the oldest is dropped."""

    def close(self, code: int) -> None:
        """Send the close frame behind the waiting messages, or give up connecting."""

    def drop(self) -> None:
        """End the connection without waiting for the peer."""


class AudioPlayer(Protocol):
    """The user's audio interface, as the session's effects use it."""

    def start(self, effect: StartAudio) -> None:
        """Open the interface."""

    def begin(self) -> None:
        """Hand over what came while the interface opened."""

    def play(self, effect: Play) -> None:
        """Hand a piece of speech over."""

    def pause(self) -> None:
        """Have the interface fall silent and keep what it has."""

    def resume(self) -> None:
        """Have the interface go on where it paused."""

    def flush(self) -> None:
        """Silence the interface."""

    def stop(self) -> None:
        """Close the interface."""

    @property
    def heard(self) -> tuple[int, int] | None:
        """Number of the last Play that was heard whole, and bytes of the next; None if that is not known."""


class ToolCalls(Protocol):
    """The client tools of one session."""

    def run(self, call: RunTool) -> None:
        """Start a call."""

    def cancel(self, call_id: str) -> None:
        """Give up a call."""

    def release(self, call_id: str) -> None:
        """Take note that a call was answered by hand."""

    def ask(self, request: AskApproval) -> None:
        """Ask the user whether a server's tool may run."""

    def withdraw(self, call_id: str) -> None:
        """Give up a question."""

    def consult(self, call: Call) -> None:
        """Call a function of the user's that is no tool."""

    def close(self) -> None:
        """Give up all calls and take no more."""


class Notifying(Protocol):
    """The ordered worker on which user callbacks run."""

    def notify(self, name: str, callback: Callable[..., object], *arguments: Any) -> None:
        """Have a callback called; never blocks."""

    def close(self, last: Iterable[Callback] = ()) -> None:
        """Take no more behind these last ones, which are never dropped."""
