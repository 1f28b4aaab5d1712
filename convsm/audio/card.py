"""One start of a sound card: two streams, the thread that owns them and the thread that watches them."""

from __future__ import annotations

import atexit
import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Literal

import attrs

from convsm.audio.interface import PlayoutListener
from convsm.audio.microphone import Microphone
from convsm.audio.portaudio import Stream, abandon, load, refresh
from convsm.audio.processing import VoiceProcessing
from convsm.audio.resampling import Resampler
from convsm.audio.speaker import Speaker
from convsm.audio.streams import StreamOptions, Streams
from convsm.errors import AudioError

__all__ = ["Card", "CardOptions"]

logger = logging.getLogger("convsm.audio")

# Blocks that may wait while the session does not take them: 30 s of the microphone.
WAITING_BLOCKS = 1000
# How often the watch looks, seconds. The microphone wakes it more often; without one this is the pace.
WATCH_PERIOD = 0.1
# Between two attempts to reopen, seconds: a sound server that restarts takes about that long.
REOPEN_PERIOD = 0.25
# How long PortAudio may take to open both devices before the session is told, seconds. Bluetooth takes some.
OPEN_LIMIT = 10.0
# How long closing, and then the session's callback, may take before they are left to themselves, seconds.
# Usually it is 10 ms.
CLOSE_LIMIT = 1.0

ADVICE = "check that it is connected and that the sound server runs"
Command = Literal["silence", "reopen", "close"]


@attrs.frozen
class CardOptions:
    """How a card is opened and watched; see DefaultAudioInterface."""

    output: StreamOptions
    recording: StreamOptions
    echo_cancellation: bool
    noise_suppression: bool
    watchdog_seconds: float
    reopen_seconds: float


def _look() -> None:
    """Make the watch look."""


class Card:
    """Two streams and two daemon threads; used for one start.

    All calls of PortAudio are made by the thread ``convsm-audio-device``, so that nobody else ever waits
    for one that hangs. PortAudio's callbacks copy bytes and put news into a queue, no more: what they
    would have to call may start threads, log, or wait for a lock. The thread ``convsm-audio-watch`` takes
    the news; it alone calls the session, and it notices what goes wrong.

    Attributes (to be read, not set):
        overflows: How often blocks of the microphone were lost, because the machine or the session was slow.
    """

    def __init__(
        self, options: CardOptions, speaker: Speaker, microphone: Microphone, listener: PlayoutListener
    ) -> None:
        """Put the parts together; nothing is opened before ``open``."""
        self.overflows = 0
        self._options = options
        self._speaker = speaker
        self._microphone = microphone
        self._listener = listener
        self._streams = Streams(options.output, options.recording, self._fill, self._record)
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        # Blocks are bounded by WAITING_BLOCKS, reports by the numbers that are played.
        self._news: queue.SimpleQueue[bytes | Callable[[], None]] = queue.SimpleQueue()
        self._processing: tuple[tuple[int, int], VoiceProcessing] | None = None
        self._error: AudioError | None = None
        self._is_open = threading.Event()
        self._is_closed = threading.Event()
        self._is_retired = threading.Event()
        self._retiring = threading.Lock()
        self._is_reopening = False
        self._troubled_at: float | None = None
        self._trouble = ""
        self._silence_asked_at = 0.0
        self._device_thread = threading.Thread(target=self._own, name="convsm-audio-device", daemon=True)
        self._watch_thread = threading.Thread(target=self._watch, name="convsm-audio-watch", daemon=True)

    # Any thread

    def open(self) -> None:
        """Open and start both streams.

        Raises:
            AudioError: That failed or took too long; nothing is left open.
        """
        try:
            self._device_thread.start()
            if not self._is_open.wait(OPEN_LIMIT):
                raise AudioError(
                    f"The sound card did not open within {OPEN_LIMIT:g} s; check the sound server, "
                    "then start again."
                )
            if self._error is not None:
                raise self._error
            self._watch_thread.start()
        except BaseException:
            # A KeyboardInterrupt too: nobody else knows of the device thread.
            self.close()
            raise

    def close(self) -> None:
        """Silence and close all. Returns after two seconds at the latest, whatever others do."""
        self._retire()
        if not self._is_closed.wait(CLOSE_LIMIT):
            logger.warning("PortAudio does not close the sound card; it is left to itself")
            abandon()
        watch = self._watch_thread
        if watch.ident is not None and watch is not threading.current_thread():
            watch.join(CLOSE_LIMIT)

    def interrupt(self) -> None:
        """Silence the loudspeaker and forget what it has; returns at once."""
        asked_at = monotonic()
        if self._speaker.interrupt():
            self._silence_asked_at = asked_at
            self._commands.put("silence")

    @property
    def is_retired(self) -> bool:
        """Whether it was closed or has failed."""
        return self._is_retired.is_set()

    def _retire(self) -> bool:
        """Silence all for good and have the streams closed; return whether this was the first call."""
        with self._retiring:
            if self._is_retired.is_set():
                return False
            self._is_retired.set()
        self._speaker.retire()
        self._commands.put("close")
        self._news.put(_look)
        return True

    # PortAudio's threads

    def _fill(self, outdata: Any, frames: int, time: Any, status: Any) -> None:
        self._streams.note_output()
        try:
            self._speaker.fill(outdata, frames, time, status)
        except Exception as error:
            # It would end the stream, and nobody would hear of it.
            outdata[:] = bytes(len(outdata))
            self._news.put(partial(self._fail, f"Playing failed on {type(error).__name__}: {error}"))

    def _record(self, indata: Any, frames: int, time: Any, status: Any) -> None:
        self._streams.note_input()
        is_crowded = self._news.qsize() >= WAITING_BLOCKS
        if is_crowded or (status and status.input_overflow):
            self.overflows += 1
        if not is_crowded:
            self._news.put(bytes(indata))

    def _note_heard(self, through: int) -> None:
        self._news.put(partial(self._tell_heard, through))

    def _note_played(self, processing: VoiceProcessing, audio: bytes) -> None:
        if self._news.qsize() < WAITING_BLOCKS:
            self._news.put(partial(processing.played, audio))

    # The device thread

    def _own(self) -> None:
        try:
            load()
            # Later than sounddevice's own, hence called before it: that one waits for a server that hangs.
            atexit.register(self.close)
            try:
                self._open_streams()
            except AudioError:
                # PortAudio's list may be older than the devices.
                if not refresh():
                    raise
                self._open_streams()
        except AudioError as error:
            self._error = error
        except Exception as error:
            self._error = AudioError(f"The sound card does not open: {type(error).__name__}: {error}.")
        self._is_open.set()
        while self._error is None:
            command = self._commands.get()
            if command == "close":
                break
            try:
                self._silence() if command == "silence" else self._reopen()
            except Exception as error:
                self._news.put(
                    partial(self._fail, f"The sound card failed on {type(error).__name__}: {error}.")
                )
        self._streams.close()
        atexit.unregister(self.close)
        self._is_closed.set()

    def _open_streams(self) -> None:
        try:
            self._attach(*self._streams.open())
            self._streams.start()
        except BaseException:
            self._streams.close()
            raise

    def _attach(self, output: Stream, recording: Stream) -> None:
        options = self._options
        microphone, speaker = self._microphone, self._speaker
        wanted = microphone.format.rate
        resampler = Resampler(recording.rate, wanted) if recording.rate != wanted else None
        processing = self._processing_of((output.rate, recording.rate))
        copy = None
        if processing is not None and options.echo_cancellation:
            copy = partial(self._note_played, processing)
        speaker.attach(output.rate, output.latency, options.output.block_seconds, copy, self._note_heard)
        # In the order of the blocks: those of before go to the former ones.
        self._news.put(partial(microphone.attach, resampler, processing, options.recording.block_seconds))

    def _processing_of(self, rates: tuple[int, int]) -> VoiceProcessing | None:
        """Return what cleans the voice, if that is wanted: it knows the room from before."""
        options = self._options
        if not (options.echo_cancellation or options.noise_suppression):
            return None
        if self._processing is None or self._processing[0] != rates:
            processing = VoiceProcessing(
                *rates,
                echo_cancellation=options.echo_cancellation,
                noise_suppression=options.noise_suppression,
            )
            self._processing = (rates, processing)
        return self._processing[1]

    def _silence(self) -> None:
        """Empty the device: what it holds would sound for 65 ms."""
        if self._speaker.is_silenced:
            self._streams.empty()
            self._speaker.silenced()
            self._streams.refill()

    def _reopen(self) -> None:
        """Open the devices again, until that succeeds or is no longer wanted."""
        silent_since = self._streams.silent_since
        self._streams.close()
        self._speaker.lose_device(silent_since)
        while not self.is_retired:
            try:
                refresh()
                self._open_streams()
            except AudioError as error:
                logger.debug("reopening failed: %s", error)
                self._is_retired.wait(REOPEN_PERIOD)
            else:
                self._is_reopening = False
                return

    # The watch

    def _watch(self) -> None:
        has_complained = False
        looked_at = 0.0
        while not self.is_retired:
            news: bytes | Callable[[], None] = _look
            with suppress(queue.Empty):
                news = self._news.get(timeout=WATCH_PERIOD)
            try:
                if isinstance(news, bytes):
                    self._microphone.take(news)
                else:
                    news()
                now = monotonic()
                if now - looked_at > WATCH_PERIOD:
                    looked_at = now
                    self._look_after(now)
            except Exception:
                # Nobody to raise it to, and thirty a second of them would help nobody.
                if not has_complained:
                    logger.exception("whoever takes the sound card's audio and reports raised; it goes on")
                has_complained = True

    def _tell_heard(self, through: int) -> None:
        try:
            if not self.is_retired:
                self._listener.played(through)
        finally:
            self._speaker.note_heard()

    def _fail(self, message: str) -> None:
        if self._retire():
            self._listener.failed(message)

    def _look_after(self, now: float) -> None:
        """Notice what is wrong, have it mended, and give up in time."""
        options = self._options
        if self._is_reopening:
            assert self._troubled_at is not None
            if now - self._troubled_at > options.reopen_seconds:
                self._fail(f"{self._trouble}; {ADVICE}.")
            return
        if self._speaker.is_silenced:
            # The device thread is at work.
            if now - self._silence_asked_at > options.watchdog_seconds:
                self._fail(f"The loudspeaker cannot be silenced, for PortAudio does not answer; {ADVICE}.")
            return
        fault = self._streams.fault(now, options.watchdog_seconds)
        if not fault:
            if self._troubled_at is None:
                return
            if self._streams.is_steady:
                logger.warning("%s; it is back after %.1f s", self._trouble, now - self._troubled_at)
                self._troubled_at = None
                return
        elif self._troubled_at is None:
            self._troubled_at, self._trouble = now, fault
        if now - self._troubled_at >= options.reopen_seconds:
            self._fail(f"{self._trouble}; {ADVICE}.")
        elif fault:
            self._is_reopening = True
            self._commands.put("reopen")
