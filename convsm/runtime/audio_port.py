"""Between the session's audio effects and a user's AudioInterface, on threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from convsm.audio.async_interface import AsyncReportingAudioInterface
from convsm.audio.formats import audio_format
from convsm.audio.interface import AudioInterface, ReportingAudioInterface
from convsm.errors import AudioError
from convsm.machine.effects import Play, StartAudio
from convsm.machine.events import AudioFailed, AudioStarted, AudioStopped, Event, Played, UserAudio
from convsm.runtime.hearing import Hearing
from convsm.runtime.reckoning import PlayoutReckoning
from convsm.runtime.timers import Timers

__all__ = ["HELD_BYTES", "REFERENCE_FORMAT", "AudioPort", "can_pause", "failure_text", "warn_of_formats"]

logger = logging.getLogger("convsm.audio")

# What may wait while the device opens: half an hour of speech, as the playout buffer allows.
HELD_BYTES = 64 * 1024 * 1024
# What an interface with only the four reference methods is defined for.
REFERENCE_FORMAT = "pcm_16000"


def can_pause(interface: object) -> bool:
    """Tell whether an audio interface, of threads or of an event loop, can be asked to pause.

    One that reports nothing cannot: how long a pause lasts would be lost on whoever reckons its playout.
    """
    is_reporting = isinstance(interface, ReportingAudioInterface | AsyncReportingAudioInterface)
    return is_reporting and all(callable(getattr(interface, name, None)) for name in ("pause", "resume"))


def failure_text(interface: object, method: str, error: BaseException) -> str:
    """Say that a method of an audio interface raised."""
    if isinstance(error, AudioError):
        return str(error)
    return f"{type(interface).__name__}.{method} raised {type(error).__name__}: {error}"


def warn_of_formats(effect: StartAudio, interface: object) -> None:
    """Say it if an interface that takes no formats gets others than it is defined for."""
    if {effect.output_format, effect.input_format} != {REFERENCE_FORMAT}:
        logger.warning(
            "the agent speaks %s and hears %s; %s gets and gives them unconverted",
            effect.output_format,
            effect.input_format,
            type(interface).__name__,
        )


class AudioPort:
    """Performs audio effects on an interface, and posts what comes back.

    ``start`` and ``stop`` of the interface run on a worker thread of their own; ``output``, ``pause``,
    ``resume`` and ``interrupt`` are called by whoever owns the session, in the order of the effects. An
    interface that reports its playout is believed; for one that does not, playout is reckoned by duration.
    """

    def __init__(
        self,
        interface: AudioInterface | None,
        post: Callable[[Event], None],
        post_aside: Callable[[Event], None],
        timers: Timers,
        wait_for_room: Callable[[threading.Event], None] = lambda _: None,
        note_silence: Callable[[], None] = lambda: None,
        hear: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """Prepare an interface; nothing is opened yet.

        Args:
            interface: The user's interface; None in a text-only session.
            post: Takes events from ordinary threads.
            post_aside: Takes events from real-time threads.
            timers: Where playout is reckoned.
            wait_for_room: Waits until more of the user's audio may be queued, or the event is set.
            note_silence: Called each time the interface has been silenced, for good or by a pause.
            hear: Called with each piece of the microphone's sound, on the thread that brings it.
        """
        self._interface = interface
        self._post = post
        self._post_aside = post_aside
        self._wait_for_room = wait_for_room
        self._note_silence = note_silence
        self._hear = hear
        self._reporting = interface if isinstance(interface, ReportingAudioInterface) else None
        self._reckoning = PlayoutReckoning(audio_format(REFERENCE_FORMAT), timers, post)
        self._hearing = Hearing(self._reporting, self._reckoning)
        self._has_begun = False
        self._is_paused = False
        self._held: list[Play] = []
        self._held_bytes = 0
        self._stop_wanted = threading.Event()
        self._worker: threading.Thread | None = None

    # Effects

    def start(self, effect: StartAudio) -> None:
        """Open the interface on the worker."""
        self._worker = threading.Thread(target=self._run, args=(effect,), name="convsm-audio", daemon=True)
        self._worker.start()

    def begin(self) -> None:
        """Hand over what came while the interface opened."""
        self._has_begun = True
        if self._is_paused:
            self._ask_for("pause")
        held, self._held, self._held_bytes = self._held, [], 0
        for play in held:
            self._hand_over(play)

    def play(self, effect: Play) -> None:
        """Hand a piece of speech over."""
        if self._has_begun:
            self._hand_over(effect)
            return
        self._held_bytes += len(effect.audio)
        if self._held_bytes > HELD_BYTES:
            self._post(AudioFailed("the audio interface does not open, and no more speech can wait for it"))
        else:
            self._held.append(effect)

    def pause(self) -> None:
        """Have the interface fall silent and keep what it has, once it is open."""
        self._is_paused = True
        self._ask_for("pause")

    def resume(self) -> None:
        """Have the interface go on where it paused."""
        self._is_paused = False
        self._ask_for("resume")

    def _ask_for(self, method: str) -> None:
        if self._has_begun:
            try:
                getattr(self._interface, method)()
            except BaseException as error:
                self._fail(method, error)
                return
        if method == "pause":
            self._note_silence()

    def flush(self) -> None:
        """Silence the interface."""
        self._held.clear()
        self._held_bytes = 0
        self._reckoning.flush()
        if self._has_begun:
            assert self._interface is not None
            try:
                self._interface.interrupt()
            except BaseException as error:
                self._fail("interrupt", error)
                return
            self._hearing.flush()
        self._note_silence()

    def stop(self) -> None:
        """Close the interface on the worker, once its start has returned."""
        self._stop_wanted.set()

    @property
    def heard(self) -> tuple[int, int] | None:
        """How much of the agent's speech was heard; see Hearing."""
        return self._hearing.heard

    def join(self, timeout: float) -> bool:
        """Wait for the interface's stop to return; return whether it did."""
        worker = self._worker
        if worker is not None and worker is not threading.current_thread():
            worker.join(timeout)
        return worker is None or not worker.is_alive()

    # PlayoutListener, for interfaces that report

    def played(self, through: int) -> None:
        """Take the interface's report that everything up to this Play was heard."""
        self._post_aside(Played(through))

    def failed(self, message: str) -> None:
        """Take the interface's report of a fault."""
        self._post_aside(AudioFailed(message))

    # Own work

    def _fail(self, method: str, error: BaseException) -> None:
        logger.debug("%s raised", method, exc_info=error)
        self._post(AudioFailed(failure_text(self._interface, method, error)))

    def _hand_over(self, play: Play) -> None:
        self._hearing.hand_over(play)
        try:
            if self._reporting is not None:
                self._reporting.play(play.number, play.audio)
                return
            assert self._interface is not None
            self._interface.output(play.audio)
        except BaseException as error:
            # Even SystemExit: it must not end the thread that happens to move the session.
            self._fail("output", error)
            return
        self._reckoning.hand_over(play)

    def _run(self, effect: StartAudio) -> None:
        interface = self._interface
        assert interface is not None
        is_started = False
        try:
            output_format, input_format = (
                audio_format(effect.output_format),
                audio_format(effect.input_format),
            )
            self._reckoning.format = output_format
            if self._reporting is not None:
                self._reporting.configure(output_format, input_format, self)
            else:
                warn_of_formats(effect, interface)
            interface.start(self._take_microphone)
            is_started = True
        except BaseException as error:
            self._fail("start", error)
        else:
            self._post(AudioStarted())
        self._stop_wanted.wait()
        if is_started:
            try:
                interface.stop()
            except BaseException:
                logger.exception("%s.stop raised; the session ends all the same", type(interface).__name__)
        self._post(AudioStopped())

    def _take_microphone(self, audio: bytes) -> None:
        if self._stop_wanted.is_set():
            return
        event = UserAudio(bytes(audio))
        self._hear(event.audio)
        if self._reporting is not None and self._reporting.may_wait:
            self._wait_for_room(self._stop_wanted)
            self._post(event)
        else:
            self._post_aside(event)
