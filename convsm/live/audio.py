"""Sound cards and WAV files that can be watched while they play and record."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

import attrs

from convsm.audio.companding import to_pcm
from convsm.audio.device import DefaultAudioInterface
from convsm.audio.formats import AudioFormat, audio_format
from convsm.audio.interface import PlayoutListener, ReportingAudioInterface
from convsm.audio.level import SILENCE, Level, level_of
from convsm.audio.wav import WavAudioInterface

__all__ = [
    "Cut",
    "ObservedAudio",
    "ObservedCard",
    "Playout",
    "PlayoutClock",
    "SpokenFile",
    "WatchedAudio",
    "try_out",
]


@attrs.frozen
class Playout:
    """How far the loudspeaker is, in seconds.

    Attributes:
        heard: Since the agent began to be audible; pauses do not count.
        queued: Still to be heard.
        is_paused: Whether it is silent until it is to go on.
    """

    heard: float
    queued: float
    is_paused: bool = False


@attrs.frozen
class Cut:
    """An interruption that silenced something.

    Attributes:
        at: When the loudspeaker was told, in monotonic seconds; after a pause it was silent before.
        seconds: How much queued speech that took away.
    """

    at: float
    seconds: float


class PlayoutClock:
    """Reckons how long the agent is audible, from the durations of what is handed over.

    During a pause its time stands still. All methods may be called from any thread.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Make a clock of silence.

        Args:
            now: Returns monotonic seconds.
        """
        self._now = now
        self._format = audio_format("pcm_16000")
        self._began = 0.0
        self._dry_at = 0.0
        self._paused_at: float | None = None
        self._latest: Cut | None = None
        # Guards all of these.
        self._changed = threading.Condition()

    def begin(self, speech_format: AudioFormat) -> None:
        """Keep the format that tells how long a piece sounds."""
        self._format = speech_format

    def handed(self, size: int) -> None:
        """Take note of so many bytes of speech."""
        with self._changed:
            now = self._stopped(self._now())
            if self._dry_at <= now:
                self._began = self._dry_at = now
            self._dry_at += self._format.seconds_of(size)

    def pause(self) -> None:
        """Take note that the loudspeaker is silent and keeps what it has; a second time changes nothing."""
        with self._changed:
            self._paused_at = self._stopped(self._now())

    def resume(self) -> None:
        """Take note that it goes on, if it was paused."""
        with self._changed:
            if self._paused_at is not None:
                passed = self._now() - self._paused_at
                self._began, self._dry_at, self._paused_at = self._began + passed, self._dry_at + passed, None

    def cut(self) -> None:
        """Take note of an interruption; it ends a pause."""
        with self._changed:
            now = self._now()
            seconds = self._forget(now)
            if seconds > 0:
                self._latest = Cut(now, seconds)
                self._changed.notify_all()

    def end(self) -> None:
        """Take note that the loudspeaker is closed, with whatever it had."""
        with self._changed:
            self._forget(self._now())

    def _forget(self, now: float) -> float:
        seconds = self._dry_at - self._stopped(now)
        self._dry_at, self._paused_at = min(self._dry_at, now), None
        return seconds

    def _stopped(self, now: float) -> float:
        return now if self._paused_at is None else self._paused_at

    def wait_for_cut(self, since: float, timeout: float) -> Cut | None:
        """Wait for an interruption that silenced something; None if none came.

        Args:
            since: Monotonic seconds; what was cut before does not count.
            timeout: Seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._latest is not None and self._latest.at >= since, timeout)
            return self._latest if self._latest is not None and self._latest.at >= since else None

    def playout(self, now: float) -> Playout | None:
        """Return how far the loudspeaker is; None when it is silent.

        Args:
            now: Monotonic seconds.
        """
        with self._changed:
            now = self._stopped(now)
            queued = self._dry_at - now
            is_paused = self._paused_at is not None
            return Playout(now - self._began, queued, is_paused) if queued > 0 else None


class WatchedAudio(Protocol):
    """What a live view looks at."""

    @property
    def clock(self) -> PlayoutClock:
        """How far the loudspeaker is."""

    @property
    def muted(self) -> bool:
        """Whether the session gets silence in the place of the user's voice."""

    @muted.setter
    def muted(self, muted: bool) -> None: ...

    @property
    def input_level(self) -> Level:
        """How loud the user is, also while muted."""

    @property
    def output_level(self) -> Level | None:
        """How loud the agent is; None where nobody hears it."""


@attrs.define(eq=False)
class ObservedCard(DefaultAudioInterface):
    """The sound card.

    Attributes:
        clock: How far the loudspeaker is.
    """

    clock: PlayoutClock = attrs.field(factory=PlayoutClock, init=False, repr=False)

    def configure(
        self, output_format: AudioFormat, input_format: AudioFormat, listener: PlayoutListener
    ) -> None:
        """Keep the format that tells how long a piece sounds."""
        self.clock.begin(output_format)
        super().configure(output_format, input_format, listener)

    def play(self, number: int, audio: bytes) -> None:
        """Reckon how long the agent will be audible."""
        super().play(number, audio)
        self.clock.handed(len(audio))

    def pause(self) -> None:
        """Take note that the agent is held up."""
        super().pause()
        self.clock.pause()

    def resume(self) -> None:
        """Take note that the agent goes on."""
        super().resume()
        self.clock.resume()

    def interrupt(self) -> None:
        """Take note of when silence was asked for."""
        super().interrupt()
        self.clock.cut()

    def stop(self) -> None:
        """Take note that nothing is heard any more."""
        super().stop()
        self.clock.end()


def try_out(card: ObservedCard) -> None:
    """Open and close a sound card, so that a fault is told before the conversation begins.

    Raises:
        AudioError: It does not open; the message says what to do.
    """
    try:
        card.start(lambda audio: None)
    finally:
        card.stop()


@attrs.define(eq=False)
class ObservedAudio(WavAudioInterface):
    """WAV files as sound card.

    Attributes:
        clock: How far the loudspeaker is.
        muted: Whether the session gets silence in the place of the file; may be set at any time.
        input_level: Loudness of the microphone's latest piece.
        output_level: None: nobody hears a file.
    """

    clock: PlayoutClock = attrs.field(factory=PlayoutClock, init=False, repr=False)
    muted: bool = attrs.field(default=False, init=False)
    input_level: Level = attrs.field(default=SILENCE, init=False)
    output_level: Level | None = attrs.field(default=None, init=False)
    _voice_format: AudioFormat = attrs.field(default=audio_format("pcm_16000"), init=False, repr=False)

    def configure(
        self, output_format: AudioFormat, input_format: AudioFormat, listener: PlayoutListener
    ) -> None:
        """Keep the formats that tell how long and how loud a piece sounds."""
        self.clock.begin(output_format)
        self._voice_format = input_format
        super().configure(output_format, input_format, listener)

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        """Listen in on the microphone."""
        voice_format = self._voice_format

        def hear(audio: bytes) -> None:
            self.input_level = level_of(to_pcm(audio, voice_format))
            input_callback(voice_format.silence_byte * len(audio) if self.muted else audio)

        super().start(hear)

    def play(self, number: int, audio: bytes) -> None:
        """Reckon how long the agent will be audible."""
        super().play(number, audio)
        self.clock.handed(len(audio))

    def pause(self) -> None:
        """Take note that the agent is held up."""
        super().pause()
        self.clock.pause()

    def resume(self) -> None:
        """Take note that the agent goes on."""
        super().resume()
        self.clock.resume()

    def interrupt(self) -> None:
        """Take note of silence: of what is in the files' hands, nothing is heard any more."""
        super().interrupt()
        self.clock.cut()

    def stop(self) -> None:
        """Take note that nothing is heard any more."""
        super().stop()
        self.clock.end()


@attrs.frozen
class _FaultsOnly:
    """Listener of a file whose loudspeaker is not used."""

    listener: PlayoutListener

    def played(self, through: int) -> None:
        pass

    def failed(self, message: str) -> None:
        self.listener.failed(message)


class SpokenFile(ReportingAudioInterface):
    """A WAV file in the place of the microphone, the sound card as loudspeaker.

    The card's own microphone is opened, as always, and what it hears is thrown away.

    Attributes:
        file: The microphone.
        card: The loudspeaker.
    """

    def __init__(self, path: str, card: ObservedCard) -> None:
        """Put both together.

        Args:
            path: A WAV file; silence follows after its end.
            card: The sound card; nobody else may use it.
        """
        self.file = ObservedAudio(path)
        self.card = card

    @property
    def clock(self) -> PlayoutClock:
        """How far the loudspeaker is."""
        return self.card.clock

    @property
    def position(self) -> int:
        """How many samples were heard since ``start``."""
        return self.card.position

    @property
    def muted(self) -> bool:
        """Whether the session gets silence in the place of the file; may be set at any time."""
        return self.file.muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self.file.muted = muted

    @property
    def input_level(self) -> Level:
        """How loud the file is."""
        return self.file.input_level

    @property
    def output_level(self) -> Level:
        """How loud the agent is."""
        return self.card.output_level

    def configure(
        self, output_format: AudioFormat, input_format: AudioFormat, listener: PlayoutListener
    ) -> None:
        """See ReportingAudioInterface.configure."""
        self.file.configure(output_format, input_format, _FaultsOnly(listener))
        self.card.configure(output_format, input_format, listener)

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        """Open both; see AudioInterface.start.

        Raises:
            AudioError: The card cannot be opened or the file does not fit; nothing is left open.
        """
        self.card.start(lambda audio: None)
        try:
            self.file.start(input_callback)
        except BaseException:
            self.card.stop()
            raise

    def stop(self) -> None:
        """Close both; see AudioInterface.stop."""
        try:
            self.file.stop()
        finally:
            self.card.stop()

    def play(self, number: int, audio: bytes) -> None:
        """Queue audio on the card; see ReportingAudioInterface.play."""
        self.card.play(number, audio)

    def pause(self) -> None:
        """Have the card fall silent and keep what is queued; what it holds already is heard to its end."""
        self.card.pause()

    def resume(self) -> None:
        """Have the card go on with the sample after the last that was heard."""
        self.card.resume()

    def interrupt(self) -> None:
        """Silence the card; see AudioInterface.interrupt. Ends a pause."""
        self.card.interrupt()
