"""Measuring parts of the demo's conversation: a codec that counts, WAV audio that tells what it is doing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import attrs

from convsm.audio.formats import AudioFormat
from convsm.audio.interface import PlayoutListener
from convsm.audio.wav import WavAudioInterface
from convsm.machine.events import Event
from convsm.protocols.capabilities import Capabilities
from convsm.protocols.codec import Codec
from convsm.protocols.messages import TentativeTranscript
from convsm.runtime.conversation import Conversation
from convsm.runtime.driver import Wiring
from convsm.runtime.wiring import Observer

__all__ = ["CountingCodec", "ObservedAudio", "ObservedConversation", "Playout", "Traffic"]

# What is left of the microphone's level after a piece of 20 ms: a tenth after half a second.
LEVEL_DECAY = 0.91


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

    @property
    def capabilities(self) -> Capabilities:
        """What the codec can do."""
        return self.codec.capabilities

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
    """A conversation whose traffic is counted and whose tentative transcripts are told.

    Attributes:
        callback_tentative_transcript: Called with each; to be set before the start.
        traffic: The counts of the latest session.
    """

    callback_tentative_transcript: Callable[[str], object]
    traffic = Traffic()

    def _wiring(self) -> Wiring:
        wiring = super()._wiring()
        self.traffic = Traffic()
        tentative = Observer(
            "callback_tentative_transcript",
            lambda message: self.callback_tentative_transcript(message.text),
        )
        return attrs.evolve(
            wiring,
            codec=CountingCodec(wiring.codec, self.traffic),
            observers={**wiring.observers, TentativeTranscript: tentative},
        )


@attrs.frozen
class Playout:
    """How far the loudspeaker is, in seconds.

    Attributes:
        heard: Since the agent began to be audible.
        queued: Still to be heard.
    """

    heard: float
    queued: float


@attrs.define(eq=False)
class ObservedAudio(WavAudioInterface):
    """WAV files as sound card, with a look at what sounds.

    Attributes:
        level: Loudness of the microphone's latest pieces, from 0 to 1.
        silenced: Set once an interruption had silenced something.
        silenced_at: When it had, in monotonic seconds.
        cut_seconds: How much queued speech that took away.
    """

    level: float = attrs.field(default=0.0, init=False)
    silenced: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)
    silenced_at: float = attrs.field(default=0.0, init=False)
    cut_seconds: float = attrs.field(default=0.0, init=False)
    _speech_format: AudioFormat | None = attrs.field(default=None, init=False)
    _began: float = attrs.field(default=0.0, init=False)
    _dry_at: float = attrs.field(default=0.0, init=False)

    def configure(
        self, output_format: AudioFormat, input_format: AudioFormat, listener: PlayoutListener
    ) -> None:
        """Keep the format that tells how long a piece sounds."""
        self._speech_format = output_format
        super().configure(output_format, input_format, listener)

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        """Listen in on the microphone."""

        def hear(audio: bytes) -> None:
            # The high bytes of the samples tell enough for a meter; it falls slowly enough to be seen.
            peak = max((min(byte, 255 - byte) for byte in audio[1::2]), default=0) / 127
            self.level = max(peak, LEVEL_DECAY * self.level)
            input_callback(audio)

        super().start(hear)

    def play(self, number: int, audio: bytes) -> None:
        """Reckon how long the agent will be audible."""
        super().play(number, audio)
        assert self._speech_format is not None
        now = time.monotonic()
        if self._dry_at <= now:
            self._began = self._dry_at = now
        self._dry_at += self._speech_format.seconds_of(len(audio))

    def interrupt(self) -> None:
        """Note when silence was reached: of what is in the files' hands, nothing is heard any more."""
        super().interrupt()
        now = time.monotonic()
        if self._dry_at > now:
            self.silenced_at, self.cut_seconds = now, self._dry_at - now
            self._dry_at = now
            self.silenced.set()

    def playout(self, now: float) -> Playout | None:
        """Return how far the loudspeaker is; None when it is silent. For any thread.

        Args:
            now: Monotonic seconds.
        """
        queued = self._dry_at - now
        return Playout(now - self._began, queued) if queued > 0 else None
