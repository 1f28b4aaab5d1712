"""Cleaning what the microphone hears of echo and noise, by WebRTC's audio processing as livekit ships it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from convsm.errors import AudioError

__all__ = ["VoiceProcessing"]

# WebRTC works in frames of 10 ms. It takes others without a word and then does not work.
FRAMES_A_SECOND = 100


class _Framed:
    """Cuts a stream of s16le samples into frames of 10 ms."""

    def __init__(self, module: Any, rate: int) -> None:
        if rate % FRAMES_A_SECOND:
            raise AudioError(
                "Echo cancellation and noise suppression work on whole frames of 10 ms, which "
                f"{rate} Hz does not have; choose a format of another rate or turn them off."
            )
        self._module = module
        self._rate = rate
        self._samples = rate // FRAMES_A_SECOND
        # Bounded by one frame.
        self._waiting = bytearray()

    def frames(self, audio: bytes) -> list[Any]:
        """Return the frames that are complete with these samples."""
        self._waiting += audio
        size = 2 * self._samples
        whole = len(self._waiting) // size * size
        frames = [
            self._module.AudioFrame(bytes(self._waiting[start : start + size]), self._rate, 1, self._samples)
            for start in range(0, whole, size)
        ]
        del self._waiting[:whole]
        return frames


class VoiceProcessing:
    """Removes echo, noise or both from what the microphone hears. For one thread at a time.

    Echo is what the loudspeaker plays; it takes a second or two of the agent's speech to learn the room.
    Noise is what sounds on steadily: a fan, a street, not other people's speech; it takes about a second
    of it. Rumble below speech goes too; no gain is changed.
    """

    def __init__(
        self, output_rate: int, input_rate: int, *, echo_cancellation: bool, noise_suppression: bool
    ) -> None:
        """Make ready for two streams.

        Args:
            output_rate: Samples a second of what the loudspeaker plays; counts for echo only.
            input_rate: Samples a second of what the microphone hears.
            echo_cancellation: Whether to remove echo; ``played`` then has to learn all that is played.
            noise_suppression: Whether to remove noise.

        Raises:
            AudioError: livekit is not installed (the message names the extra), or a rate does not fit.
        """
        try:
            # By name: it is not there when types are checked without the extra.
            rtc: Any = import_module("livekit.rtc")
        except ImportError as error:
            raise AudioError(_missing(echo_cancellation, noise_suppression)) from error
        self._played = _Framed(rtc, output_rate) if echo_cancellation else None
        self._recorded = _Framed(rtc, input_rate)
        self._processing = rtc.AudioProcessingModule(
            echo_cancellation=echo_cancellation,
            noise_suppression=noise_suppression,
            high_pass_filter=True,
            auto_gain_control=False,
        )

    def played(self, audio: bytes) -> None:
        """Learn what the loudspeaker plays, silence too, before its echo is recorded."""
        if self._played is None:
            return
        for frame in self._played.frames(audio):
            self._processing.process_reverse_stream(frame)

    def cleaned(self, audio: bytes) -> bytes:
        """Return what was recorded, cleaned; less than a frame of 10 ms waits for more."""
        parts = []
        for frame in self._recorded.frames(audio):
            self._processing.process_stream(frame)
            parts.append(bytes(frame.data.cast("B")))
        return b"".join(parts)


def _missing(echo_cancellation: bool, noise_suppression: bool) -> str:
    install = "install it with \"pip install 'convsm[aec]'\", or"
    if not noise_suppression:
        return f"Echo cancellation needs livekit; {install} use a headset and turn echo cancellation off."
    if not echo_cancellation:
        return f"Noise suppression needs livekit; {install} turn noise suppression off."
    return f"Echo cancellation and noise suppression need livekit; {install} turn them off."
