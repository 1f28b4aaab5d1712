"""A conversation that counts what goes over its connection."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from convsm.machine.events import Event
from convsm.protocols.codec import Codec
from convsm.protocols.messages import TentativeTranscript
from convsm.runtime.conversation import Conversation
from convsm.runtime.driver import Wiring
from convsm.runtime.wiring import Observer

__all__ = ["CountingCodec", "ObservedConversation", "Traffic"]


@attrs.define
class Traffic:
    """What went through a connection, in WebSocket messages and bytes of their payload.

    Attributes:
        messages_in: Received.
        bytes_in: Received.
        messages_out: Handed over to be sent.
        bytes_out: Handed over to be sent.
    """

    messages_in: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    bytes_out: int = 0


@attrs.define(eq=False)
class CountingCodec:
    """A codec that counts what passes. Frames are decoded by one thread, encoded by one at a time."""

    codec: Codec
    traffic: Traffic

    def decode(self, frame: str | bytes) -> tuple[Event, ...]:
        """Count and decode a frame."""
        self.traffic.messages_in += 1
        self.traffic.bytes_in += len(frame)
        return self.codec.decode(frame)

    def encode(self, message: object) -> bytes:
        """Encode and count a message."""
        return self._count(self.codec.encode(message))

    def encode_audio(self, audio: bytes) -> bytes:
        """Encode and count a piece of the user's audio."""
        return self._count(self.codec.encode_audio(audio))

    def opening(self) -> tuple[bytes, ...]:
        """Return the opening messages and count them."""
        return tuple(self._count(frame) for frame in self.codec.opening())

    def _count(self, frame: bytes) -> bytes:
        self.traffic.messages_out += 1
        self.traffic.bytes_out += len(frame)
        return frame


class ObservedConversation(Conversation):
    """A conversation whose traffic is counted and whose tentative transcripts may be told.

    Attributes:
        callback_tentative_transcript: Called with each; to be set before the start, or None.
        traffic: The counts of the latest session.
    """

    callback_tentative_transcript: Callable[[str], object] | None = None
    traffic = Traffic()

    def _wiring(self) -> Wiring:
        wiring = super()._wiring()
        self.traffic = Traffic()
        observers = dict(wiring.observers)
        tell = self.callback_tentative_transcript
        if tell is not None:
            observers[TentativeTranscript] = Observer(
                "callback_tentative_transcript", lambda message: tell(message.text)
            )
        return attrs.evolve(wiring, codec=CountingCodec(wiring.codec, self.traffic), observers=observers)
