"""The microphone's side of a sound card: from what the device brings to the pieces that the session sends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from convsm.audio.companding import from_pcm
from convsm.audio.formats import AudioFormat
from convsm.audio.level import SILENCE, Level, level_of
from convsm.audio.processing import VoiceProcessing
from convsm.audio.resampling import Resampler

__all__ = ["Microphone"]

# As for the loudspeaker's meter.
METER_SECONDS = 0.05


@attrs.define(eq=False)
class Microphone:
    """Cuts the user's audio into pieces of the session's format. Knows no PortAudio.

    ``take`` and ``attach`` belong to one thread at a time; the attributes may be used from any.

    Attributes:
        muted: Whether silence is sent in the place of sound, at the same pace.
    """

    format: AudioFormat
    send: Callable[[bytes], None]
    chunk_seconds: float
    muted: bool = False
    _processing: VoiceProcessing | None = attrs.field(default=None, init=False)
    _resampler: Resampler | None = attrs.field(default=None, init=False)
    # Bounded by one piece.
    _waiting: bytearray = attrs.field(factory=bytearray, init=False)
    # What the meter shows; bounded by METER_SECONDS.
    _shown: deque[bytes] = attrs.field(factory=deque, init=False)

    def attach(
        self, resampler: Resampler | None, processing: VoiceProcessing | None, block_seconds: float
    ) -> None:
        """Get ready for the blocks of a stream.

        Args:
            resampler: From the device's rate to the session's, if they differ.
            processing: Takes echo or noise out at the device's rate, if wanted.
            block_seconds: Duration of a block.
        """
        self._resampler = resampler
        self._processing = processing
        self._waiting.clear()
        self._shown = deque(maxlen=max(1, round(METER_SECONDS / block_seconds)))

    def take(self, audio: bytes) -> None:
        """Take a block of samples from the device and send the pieces that are complete."""
        if self._processing is not None:
            audio = self._processing.cleaned(audio)
        self._shown.append(audio)
        if self.muted:
            audio = bytes(len(audio))
        if self._resampler is not None:
            audio = self._resampler.convert(audio)
        self._waiting += audio
        size = 2 * max(1, round(self.chunk_seconds * self.format.rate))
        while len(self._waiting) >= size:
            piece = bytes(self._waiting[:size])
            del self._waiting[:size]
            self.send(from_pcm(piece, self.format))

    @property
    def level(self) -> Level:
        """How loud the user was during the last 50 ms, also while muted: so that a meter can say so."""
        shown = b"".join(list(self._shown))
        return level_of(shown) if shown else SILENCE
