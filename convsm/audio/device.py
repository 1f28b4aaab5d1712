"""The sound card as an audio interface: the microphone, and a loudspeaker that stops talking at once."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Literal

import attrs

from convsm.audio.card import Card, CardOptions
from convsm.audio.formats import AudioFormat, audio_format
from convsm.audio.interface import PlayoutListener, ReportingAudioInterface
from convsm.audio.level import SILENCE, Level
from convsm.audio.microphone import Microphone
from convsm.audio.playout import DEFAULT_LIMIT
from convsm.audio.speaker import Speaker
from convsm.audio.streams import StreamOptions
from convsm.errors import AudioError, ConfigurationError

__all__ = ["DefaultAudioInterface"]


class _Nobody:
    """Listener of an interface that nobody configured."""

    def played(self, through: int) -> None:
        pass

    def failed(self, message: str) -> None:
        logging.getLogger("convsm.audio").error("%s", message)


@attrs.define(eq=False)
class _Run:
    """One start."""

    card: Card
    speaker: Speaker
    microphone: Microphone


@attrs.define(eq=False)
class DefaultAudioInterface(ReportingAudioInterface):
    """Microphone and loudspeaker of this machine, through PortAudio.

    Nothing is opened and PortAudio is not needed before ``start``. All methods may be called from any
    thread, ``start``, ``stop`` and ``configure`` by one at a time; none but these and ``drain`` blocks.
    Without ``configure`` it is a plain interface for PCM16 at 16 kHz, as the reference client uses it.
    It may be started again after ``stop``.

    All negotiated formats are spoken at whatever rate the device runs. Where a device does not open
    at the session's rate, the extra ``convsm[resample]`` is needed.

    A fault (a device unplugged, a sound server that ended, a stream that stands still) is mended, if the
    devices can be opened again in time: the agent then goes on where it was, and what the device held is
    played again. Otherwise the listener is told, once, and the interface is silent until it is started again.
    Reopening makes PortAudio look for devices anew, unless another stream of this process is open.

    Args:
        input_device: Microphone: index or name, or words of the name; None for the default.
        output_device: Loudspeaker, likewise.
        block_seconds: Duration of what the loudspeaker takes at a time; the microphone brings it in the
            duration of a piece, up to 40 ms. Shorter ones answer faster and cost more CPU.
        chunk_seconds: Duration of the pieces that ``input_callback`` gets. Each wakes four threads from
            here to the network: 20 ms cost a percent of a core more than 30, and 40 half a percent less.
        latency: What the device is asked to hold: seconds, or its own idea of low or high. 60 ms forgive a
            busy machine a pause of 50, which 40 do not: with all cores busy they ran dry twice a minute. An
            interruption is as quick with either. If speech crackles all the same, choose more.
        volume: Loudness of the agent, from 0 to 1, where its samples are played as they are.
        muted: Whether the session gets silence in the place of the user's voice.
        echo_cancellation: Whether to take the agent's voice out of what the microphone hears, for use
            without a headset. Needs the extra ``convsm[aec]``.
        noise_suppression: Whether to take steady noise (a fan, a street) out of what the microphone hears.
            Needs the extra ``convsm[aec]`` too, but no echo cancellation.
        limit: Most bytes of speech that wait to be played; beyond it ``play`` raises.
        watchdog_seconds: How long a stream may stand still before that is a fault.
        reopen_seconds: How long to try to mend a fault; 0 never tries.

    Raises:
        ConfigurationError: A number is out of its range.
    """

    _input_device: int | str | None = attrs.field(default=None, kw_only=True)
    _output_device: int | str | None = attrs.field(default=None, kw_only=True)
    _block_seconds: float = attrs.field(default=0.01, kw_only=True)
    _chunk_seconds: float = attrs.field(default=0.03, kw_only=True)
    _latency: float | Literal["low", "high"] = attrs.field(default=0.06, kw_only=True)
    _volume: float = attrs.field(default=1.0, kw_only=True)
    _muted: bool = attrs.field(default=False, kw_only=True)
    _echo_cancellation: bool = attrs.field(default=False, kw_only=True)
    _noise_suppression: bool = attrs.field(default=False, kw_only=True)
    _limit: int = attrs.field(default=DEFAULT_LIMIT, kw_only=True)
    _watchdog_seconds: float = attrs.field(default=2.0, kw_only=True)
    _reopen_seconds: float = attrs.field(default=5.0, kw_only=True)
    _output_format: AudioFormat = attrs.field(default=audio_format("pcm_16000"), init=False, repr=False)
    _input_format: AudioFormat = attrs.field(default=audio_format("pcm_16000"), init=False, repr=False)
    _listener: PlayoutListener = attrs.field(factory=_Nobody, init=False, repr=False)
    _run: _Run | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check the arguments."""
        # An hour is no duration for any of them; a second is the longest block that PortAudio's APIs open.
        for name, least, most in (
            ("block_seconds", 0.001, 1.0),
            ("chunk_seconds", 0.001, 60.0),
            ("watchdog_seconds", 0.1, 3600.0),
            ("reopen_seconds", 0.0, 3600.0),
        ):
            value = getattr(self, f"_{name}")
            if not (math.isfinite(value) and least <= value <= most):
                raise ConfigurationError(f"{name} is {value}; choose from {least:g} to {most:g} seconds.")
        latency = self._latency
        if latency not in ("low", "high") and not (isinstance(latency, float) and 0.001 <= latency <= 2.0):
            raise ConfigurationError(f"latency is {latency!r}; choose low, high, or from 0.001 to 2 seconds.")
        if self._watchdog_seconds < 4 * self._block_seconds:
            raise ConfigurationError("watchdog_seconds has to be at least four times block_seconds.")
        self._check_volume(self._volume)

    # Life

    def configure(
        self, output_format: AudioFormat, input_format: AudioFormat, listener: PlayoutListener
    ) -> None:
        """Choose formats and listener of the starts to come.

        Raises:
            AudioError: The interface is running. Whether the devices can do it is seen by ``start``.
        """
        self._require_rest()
        self._output_format = output_format
        self._input_format = input_format
        self._listener = listener

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        """Open the devices and begin to record; see AudioInterface.start.

        ``input_callback`` is called from a thread of this interface's own, not from PortAudio's.
        It gives up after ten seconds.

        Raises:
            AudioError: PortAudio or an extra is not installed, there is no such device, it cannot be
                opened, or the interface is running. The message says what to do.
        """
        self._require_rest()
        speaker = Speaker(self._output_format, self._limit, self._volume)
        microphone = Microphone(self._input_format, input_callback, self._chunk_seconds, self._muted)
        options = CardOptions(
            output=StreamOptions(
                self._output_device, self._output_format.rate, self._block_seconds, self._latency
            ),
            recording=StreamOptions(
                self._input_device, self._input_format.rate, self._input_block_seconds(), self._latency
            ),
            echo_cancellation=self._echo_cancellation,
            noise_suppression=self._noise_suppression,
            watchdog_seconds=self._watchdog_seconds,
            reopen_seconds=self._reopen_seconds,
        )
        card = Card(options, speaker, microphone, self._listener)
        card.open()
        self._run = _Run(card, speaker, microphone)

    def _input_block_seconds(self) -> float:
        # A piece is sent when its last block is there, so fewer and larger ones cost the user no time, and
        # save a quarter of the whole CPU. Larger than this, and the device needs a buffer that few have.
        chunk_seconds = self._chunk_seconds
        return max(chunk_seconds, self._block_seconds) if chunk_seconds <= 0.04 else self._block_seconds

    def stop(self) -> None:
        """Close the devices; see AudioInterface.stop. What was not heard is dropped.

        Takes some milliseconds, and at most two seconds if PortAudio or the session's callback does not
        return: then that is left to itself. Nothing happens if the interface is not running.
        """
        if self._run is not None:
            self._run.card.close()

    def _require_rest(self) -> None:
        if self._run is not None and not self._run.card.is_retired:
            raise AudioError("The sound card is still in use; call stop() and wait for its return.")

    # The agent's voice

    def play(self, number: int, audio: bytes) -> None:
        """Queue audio; see ReportingAudioInterface.play. Dropped unless the interface is running."""
        if self._run is not None:
            self._run.speaker.play(number, audio)

    def interrupt(self) -> None:
        """Fall silent, in about 5 ms: what is queued and what the device holds is dropped.

        Ends a pause. What is handed over later is played.
        """
        if self._run is not None:
            self._run.card.interrupt()

    def pause(self) -> None:
        """Fall silent and keep what is queued.

        What the device holds already is heard to its end, which takes 65 ms on an ordinary one: nobody can
        tell to the sample how much of it was heard, and so none is lost and none comes twice.
        """
        if self._run is not None:
            self._run.speaker.pause()

    def resume(self) -> None:
        """Go on with the sample after the last that was heard."""
        if self._run is not None:
            self._run.speaker.resume()

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until all that was handed over was heard or interrupted.

        Not to be called from a callback of the interface or the session.

        Args:
            timeout: Seconds; None waits as long as it takes, for ever during a pause.

        Returns:
            Whether nothing is left to be heard.
        """
        return self._run is None or self._run.speaker.wait_until_quiet(timeout)

    @property
    def is_paused(self) -> bool:
        """Whether ``pause`` was called and neither ``resume`` nor ``interrupt`` since."""
        return self._run is not None and self._run.speaker.is_paused

    @property
    def position(self) -> int:
        """How many samples of the output format were heard since ``start``, without silence between them."""
        return 0 if self._run is None else self._run.speaker.position

    @property
    def output_level(self) -> Level:
        """How loud the agent is, over 50 ms."""
        return SILENCE if self._run is None else self._run.speaker.level

    @property
    def underflows(self) -> int:
        """How often since ``start`` the device said that it had run dry: the machine was too busy."""
        return 0 if self._run is None else self._run.speaker.underflows

    @property
    def volume(self) -> float:
        """Loudness of the agent, from 0 to 1; may be set at any time, and is heard after 65 ms.

        Raises:
            ConfigurationError: It is set to something else.
        """
        return self._volume

    @volume.setter
    def volume(self, volume: float) -> None:
        self._check_volume(volume)
        self._volume = volume
        if self._run is not None:
            self._run.speaker.volume = volume

    @staticmethod
    def _check_volume(volume: float) -> None:
        if not 0 <= volume <= 1:
            raise ConfigurationError(f"volume is {volume}; choose from 0 (silence) to 1 (as it comes).")

    # The user's voice

    @property
    def muted(self) -> bool:
        """Whether the session gets silence in the place of the user's voice; may be set at any time."""
        return self._muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._muted = muted
        if self._run is not None:
            self._run.microphone.muted = muted

    @property
    def overflows(self) -> int:
        """How often since ``start`` some of the user's audio was lost: the machine was too busy."""
        return 0 if self._run is None else self._run.card.overflows

    @property
    def input_level(self) -> Level:
        """How loud the user is, over 50 ms; also while muted, so that a meter can say so."""
        return SILENCE if self._run is None else self._run.microphone.level
