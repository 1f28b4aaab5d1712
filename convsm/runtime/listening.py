"""Hearing the user speak on this side: a voice detector on a thread of its own, off the audio callback."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from convsm.audio.companding import to_pcm
from convsm.audio.formats import AudioFormat
from convsm.audio.resampling import Resampler
from convsm.audio.sinc_resampling import SincResampler
from convsm.audio.vad import RATE, VoiceDetector
from convsm.errors import AudioError
from convsm.machine.events import AudioFailed, Event
from convsm.turns.events import HearingLost, SpeechEnded, SpeechPaused, SpeechResumed, SpeechStarted

__all__ = ["KEPT_SECONDS", "Listening"]

logger = logging.getLogger("convsm.audio")

# Pieces that may wait for the detector, and how old they may become: one that hears later than that would
# interrupt what the user has long been answered.
LIMIT = 100
LATE_SECONDS = 2.0
# How much sound is kept for those who judge it: what turn detectors that listen look at.
KEPT_SECONDS = 8.0
# How long a detector is waited for that a former session has not let go of.
BUSY_SECONDS = 5.0


class Listening:
    """Gives the microphone's sound to a voice detector and posts what that hears.

    ``feed`` may be called by any thread and never waits; all else belongs to whoever owns the session.

    Attributes:
        has_failed: Whether it has given up listening.
    """

    def __init__(
        self,
        make_detector: Callable[[], VoiceDetector],
        post: Callable[[Event], None],
        clock: Callable[[], float],
        is_needed: Callable[[], bool],
    ) -> None:
        """Prepare; no thread starts before ``start``.

        Args:
            make_detector: Makes the detector, on its thread, which may take a while.
            post: Takes events from ordinary threads.
            clock: Monotonic seconds.
            is_needed: Tells whether nobody else would hear a turn end, so that a failure is one of the
                session's.
        """
        self._make_detector = make_detector
        self._post = post
        self._clock = clock
        self._is_needed = is_needed
        # Bounded by LIMIT, in feed.
        self._waiting: SimpleQueue[tuple[bytes, float, int] | None] = SimpleQueue()
        # How often it began anew: what was fed before that is forgotten.
        self._beginnings = 0
        self._is_muted = False
        self._lock = threading.Lock()
        # Bounded by KEPT_SECONDS, in _keep.
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._most_bytes = 0
        self.has_failed = False
        self._is_open = False
        self._thread: threading.Thread | None = None

    def start(self, input_format: AudioFormat) -> None:
        """Begin to listen to sound in a format."""
        self._is_open = True
        self._most_bytes = input_format.bytes_of(KEPT_SECONDS)
        thread = threading.Thread(target=self._run, args=(input_format,), name="convsm-voice", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no thread to be had
            self._is_open = False
            self._fail(f"Nothing can listen on this side: {error}")
        else:
            self._thread = thread

    def feed(self, audio: bytes) -> None:
        """Take a piece of the microphone's sound, whose last sample was heard just now."""
        if self._is_open and not self._is_muted and self._waiting.qsize() < LIMIT:
            self._waiting.put((audio, self._clock(), self._beginnings))

    def begin_anew(self, is_muted: bool = False) -> None:
        """Forget what was heard; muted, also keep nothing of it, and hear nothing until the next call."""
        self._is_muted = is_muted
        self._beginnings += 1
        if is_muted:
            with self._lock:
                self._kept.clear()
                self._kept_bytes = 0

    def latest(self) -> bytes:
        """Return the latest sound, of ``KEPT_SECONDS`` at most, in the session's input format."""
        with self._lock:
            return b"".join(self._kept)

    def close(self) -> None:
        """Listen no more, not to what waits either; the thread ends by itself."""
        self._is_open = False
        self._waiting.put(None)

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, for so many seconds at most."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self, input_format: AudioFormat) -> None:
        try:
            detector = self._make_detector()
            with _alone(detector):
                self._listen(detector, _converter(input_format))
        except AudioError as error:
            self._fail(str(error))
        except BaseException as error:
            # Even SystemExit: nobody would hear any more, and nobody would know.
            logger.debug("the voice detector raised", exc_info=error)
            self._fail(f"The voice detector raised {type(error).__name__}: {error}")
        finally:
            self._is_open = False

    def _listen(self, detector: VoiceDetector, convert: Callable[[bytes], bytes]) -> None:
        detector.reset()
        beginning = 0
        while (piece := self._waiting.get()) is not None and self._is_open:
            audio, at, number = piece
            if number != self._beginnings:
                continue
            if number != beginning:
                beginning = number
                detector.reset()
            self._keep(audio)
            if self._clock() - at > LATE_SECONDS:
                continue
            for event in detector.feed(convert(audio), at):
                self._post(_checked(event))

    def _keep(self, audio: bytes) -> None:
        with self._lock:
            self._kept.append(audio)
            self._kept_bytes += len(audio)
            while self._kept_bytes > self._most_bytes and len(self._kept) > 1:
                self._kept_bytes -= len(self._kept.popleft())

    def _fail(self, message: str) -> None:
        self.has_failed = True
        self._post(HearingLost())
        if self._is_needed():
            self._post(AudioFailed(message))
        else:
            logger.error("%s; only the server hears from now on whether the user speaks", message)


def _converter(input_format: AudioFormat) -> Callable[[bytes], bytes]:
    if input_format.rate == RATE:
        return lambda audio: to_pcm(audio, input_format)
    resampler = _resampler(input_format.rate)
    return lambda audio: resampler.convert(to_pcm(audio, input_format))


# Detectors that listen right now, by identity, for they need not be hashable.
_busy: set[int] = set()
_let_go = threading.Condition()


@contextmanager
def _alone(detector: VoiceDetector) -> Iterator[None]:
    """Have a detector for this thread alone; the user's own serves one session after the other.

    Raises:
        AudioError: It still listens elsewhere.
    """
    key = id(detector)
    with _let_go:
        if not _let_go.wait_for(lambda: key not in _busy, BUSY_SECONDS):
            raise AudioError("The voice_detector listens in another session; give each one of its own.")
        _busy.add(key)
    try:
        yield
    finally:
        with _let_go:
            _busy.discard(key)
            _let_go.notify_all()


def _checked(event: Event) -> Event:
    """Return what a detector says was heard.

    Raises:
        TypeError: It is nothing that can be heard.
    """
    at = math.nan
    if isinstance(event, SpeechStarted | SpeechPaused | SpeechResumed):
        at = event.began
    elif isinstance(event, SpeechEnded):
        at = event.ended
    if math.isfinite(at):
        return event
    raise TypeError(f"it returned {event!r}, which is no speech at a time")


def _resampler(rate: int) -> Resampler | SincResampler:
    try:
        return Resampler(rate, RATE)
    except AudioError:
        # Nobody listens to it but the detector, so the session does without the extra.
        return SincResampler(rate, RATE)
