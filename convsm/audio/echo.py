"""Taking the loudspeaker's sound out of the microphone's, by WebRTC's echo canceller as livekit ships it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from convsm.errors import AudioError

__all__ = ["EchoCanceller"]

# The canceller works in frames of 10 ms. It takes others without a word and then does not work.
FRAMES_A_SECOND = 100


class _Framed:
    """Cuts a stream of s16le samples into frames of 10 ms."""

    def __init__(self, module: Any, rate: int) -> None:
        if rate % FRAMES_A_SECOND:
            raise AudioError(
                f"Echo cancellation works on whole frames of 10 ms, which {rate} Hz does not have; "
                "choose a format of another rate or turn echo cancellation off."
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


class EchoCanceller:
    """Removes from what the microphone hears what the loudspeaker plays. For one thread at a time.

    Removes rumble below speech too, but no noise and no gain is changed. It needs a second or two of
    the agent's speech to learn the room.
    """

    def __init__(self, output_rate: int, input_rate: int) -> None:
        """Make a canceller for two streams.

        Args:
            output_rate: Samples a second of what the loudspeaker plays.
            input_rate: Samples a second of what the microphone hears.

        Raises:
            AudioError: livekit is not installed (the message names the extra), or a rate does not fit.
        """
        try:
            # By name: it is not there when types are checked without the extra.
            rtc: Any = import_module("livekit.rtc")
        except ImportError as error:
            raise AudioError(
                "Echo cancellation needs livekit; install it with \"pip install 'convsm[aec]'\", "
                "or use a headset and turn echo cancellation off."
            ) from error
        self._played = _Framed(rtc, output_rate)
        self._recorded = _Framed(rtc, input_rate)
        self._processing = rtc.AudioProcessingModule(
            echo_cancellation=True, noise_suppression=False, high_pass_filter=True, auto_gain_control=False
        )

    def played(self, audio: bytes) -> None:
        """Learn what the loudspeaker plays, silence too, before its echo is recorded."""
        for frame in self._played.frames(audio):
            self._processing.process_reverse_stream(frame)

    def cleaned(self, audio: bytes) -> bytes:
        """Return what was recorded without the echo; less than a frame of 10 ms waits for more."""
        parts = []
        for frame in self._recorded.frames(audio):
            self._processing.process_stream(frame)
            parts.append(bytes(frame.data.cast("B")))
        return b"".join(parts)
