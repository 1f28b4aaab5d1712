"""What the rest of convsm asks of a protocol; every vendor's codec satisfies it."""

from __future__ import annotations

from typing import Protocol

from convsm.machine.events import Event
from convsm.protocols.capabilities import Capabilities

__all__ = ["Codec"]


class Codec(Protocol):
    """Translates between the frames of one vendor's protocol and events and messages.

    A codec belongs to one session. ``decode`` is called by one thread at a time, in the order of the
    frames; it may remember what later frames refer to, and nothing else may. All others only read: they
    are called from any thread, more than once for one message too.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What can be done in a session of this protocol, with the options it was given."""

    def decode(self, frame: str | bytes) -> tuple[Event, ...]:
        """Return the events that a server's frame means, in order.

        It never raises: what cannot be read becomes one Malformed.
        """

    def encode(self, message: object) -> bytes:
        """Return the frame that says a message, as UTF-8 for a text frame.

        Raises:
            ProtocolError: This protocol cannot say it.
        """

    def encode_audio(self, audio: bytes) -> bytes:
        """Return the frame that carries a piece of the user's audio, in the session's input format."""

    def opening(self) -> tuple[bytes, ...]:
        """Return the frames that go before all others, in order. They may hold secrets: log none."""
