"""Between the session's audio effects and a user's AsyncAudioInterface, on an event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Literal

from convsm.audio.async_interface import AsyncAudioInterface, AsyncReportingAudioInterface
from convsm.audio.formats import audio_format
from convsm.machine.effects import Play, StartAudio
from convsm.machine.events import AudioFailed, AudioStarted, AudioStopped, Event, Played, UserAudio
from convsm.runtime.audio_port import HELD_BYTES, REFERENCE_FORMAT, failure_text, warn_of_formats
from convsm.runtime.hearing import Hearing
from convsm.runtime.reckoning import PlayoutReckoning
from convsm.runtime.timers import Timers

__all__ = ["AsyncAudioPort"]

logger = logging.getLogger("convsm.audio")


class AsyncAudioPort:
    """Performs audio effects on an interface, and posts what comes back. For the loop's thread.

    One task calls all methods of the interface, in the order of the effects. Speech waits in a queue while
    the interface opens and while it takes the piece before; an interruption empties that queue and cancels
    an ``output`` that is still awaited, so that silence waits for nothing.
    """

    def __init__(
        self,
        interface: AsyncAudioInterface | None,
        post: Callable[[Event], None],
        timers: Timers,
        note_silence: Callable[[], None] = lambda: None,
        hear: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """Prepare an interface; nothing is opened yet.

        Args:
            interface: The user's interface; None in a text-only session.
            post: Takes events.
            timers: Where playout is reckoned.
            note_silence: Called each time the interface has been silenced, for good or by a pause.
            hear: Called with each piece of the microphone's sound, on the thread that brings it.
        """
        self._interface = interface
        self._post = post
        self._note_silence = note_silence
        self._hear = hear
        self._reporting = interface if isinstance(interface, AsyncReportingAudioInterface) else None
        self._reckoning = PlayoutReckoning(audio_format(REFERENCE_FORMAT), timers, post)
        # Bounded by HELD_BYTES.
        self._speech: deque[Play] = deque()
        self._speech_bytes = 0
        self._hearing = Hearing(self._reporting, self._reckoning)
        self._has_begun = False
        self._has_to_interrupt = False
        self._is_interrupting = False
        # What is to be called next of pause and resume; None if neither is.
        self._pausing: Literal["pause", "resume"] | None = None
        self._is_handing_over = False
        self._is_cut = False
        self._is_stopping = False
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    # Effects

    def start(self, effect: StartAudio) -> None:
        """Open the interface in a task."""
        self._task = asyncio.get_running_loop().create_task(self._run(effect), name="convsm-audio")

    def begin(self) -> None:
        """Hand over what came while the interface opened."""
        self._has_begun = True
        self._ask_for_pausing()
        self._wake()

    def play(self, effect: Play) -> None:
        """Hand a piece of speech over."""
        self._speech_bytes += len(effect.audio)
        if self._speech_bytes > HELD_BYTES:
            self._post(AudioFailed("the audio interface takes no speech, and no more can wait for it"))
            return
        self._speech.append(effect)
        self._wake()

    def pause(self) -> None:
        """Have the interface fall silent and keep what it has, once it is open."""
        self._pausing = "pause"
        if not self._has_begun:
            self._note_silence()
        self._ask_for_pausing()

    def resume(self) -> None:
        """Have the interface go on where it paused, behind an interruption if one is on its way."""
        self._pausing = "resume"
        self._ask_for_pausing()

    def flush(self) -> None:
        """Silence the interface."""
        self._speech.clear()
        self._speech_bytes = 0
        self._reckoning.flush()
        if not self._has_begun:
            self._note_silence()
            return
        self._has_to_interrupt = True
        self._cut_output()
        self._wake()

    def stop(self) -> None:
        """Close the interface, once its start has returned; an output that is still awaited is cancelled."""
        self._is_stopping = True
        self._speech.clear()
        self._cut_output()
        self._wake()

    @property
    def heard(self) -> tuple[int, int] | None:
        """How much of the agent's speech was heard; see Hearing."""
        return self._hearing.heard

    async def join(self, timeout: float) -> None:
        """Wait for the interface's stop to return, for so many seconds at most."""
        if self._task is not None and self._task is not asyncio.current_task():
            await asyncio.wait([self._task], timeout=timeout)

    # PlayoutListener, for interfaces that report

    def played(self, through: int) -> None:
        """Take the interface's report that everything up to this Play was heard."""
        self._post(Played(through))

    def failed(self, message: str) -> None:
        """Take the interface's report of a fault."""
        self._post(AudioFailed(message))

    # Own work

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _ask_for_pausing(self) -> None:
        method = self._pausing
        # What is to be forgotten would sound again if it were resumed before it is.
        if method is None or not self._has_begun or self._has_to_interrupt or self._is_interrupting:
            return
        self._pausing = None
        try:
            getattr(self._interface, method)()
        except Exception as error:
            self._fail(method, error)
            return
        if method == "pause":
            self._note_silence()

    def _cut_output(self) -> None:
        # Only what was handed over before the interruption, and that once: cancellations are counted.
        is_wanted = self._has_to_interrupt or self._is_stopping
        if not is_wanted or not self._is_handing_over or self._is_cut:
            return
        assert self._task is not None
        if self._task is asyncio.current_task():
            # Asked for by the output itself, which is to be cut where it waits and nowhere behind that.
            asyncio.get_running_loop().call_soon(self._cut_output)
        else:
            self._is_cut = True
            self._task.cancel()

    async def _run(self, effect: StartAudio) -> None:
        interface = self._interface
        assert interface is not None
        is_started = False
        try:
            is_started = await self._open(interface, effect)
            if is_started:
                await self._serve(interface)
            else:
                await self._until_stopping()
        except asyncio.CancelledError:
            # The loop is shut down, or the interface's own code was cancelled: the devices are closed.
            self._post(AudioFailed("the audio interface was cancelled"))
        try:
            if is_started:
                await interface.stop()
        except Exception:
            logger.exception("%s.stop raised; the session ends all the same", type(interface).__name__)
        finally:
            self._post(AudioStopped())

    async def _open(self, interface: AsyncAudioInterface, effect: StartAudio) -> bool:
        try:
            await self._start(interface, effect)
        except Exception as error:
            self._fail("start", error)
            return False
        self._post(AudioStarted())
        return True

    async def _start(self, interface: AsyncAudioInterface, effect: StartAudio) -> None:
        output_format, input_format = audio_format(effect.output_format), audio_format(effect.input_format)
        self._reckoning.format = output_format
        if self._reporting is not None:
            self._reporting.configure(output_format, input_format, self)
        else:
            warn_of_formats(effect, interface)
        await interface.start(self._take_microphone)

    async def _serve(self, interface: AsyncAudioInterface) -> None:
        while self._has_to_interrupt or not self._is_stopping:
            if self._has_to_interrupt:
                self._has_to_interrupt = False
                await self._interrupt(interface)
            elif self._has_begun and self._speech:
                await self._hand_over(interface, self._speech.popleft())
            else:
                await self._wait()

    async def _until_stopping(self) -> None:
        while not self._is_stopping:
            await self._wait()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    async def _interrupt(self, interface: AsyncAudioInterface) -> None:
        self._is_interrupting = True
        try:
            await interface.interrupt()
        except Exception as error:
            self._fail("interrupt", error)
        else:
            self._hearing.flush()
            self._note_silence()
        finally:
            self._is_interrupting = False
        self._ask_for_pausing()

    async def _hand_over(self, interface: AsyncAudioInterface, play: Play) -> None:
        self._speech_bytes -= len(play.audio)
        self._hearing.hand_over(play)
        self._is_handing_over = True
        try:
            if self._reporting is not None:
                await self._reporting.play(play.number, play.audio)
                return
            await interface.output(play.audio)
        except asyncio.CancelledError:
            if not self._is_cut or self._take_back_cut() > 0:
                raise
            return
        except Exception as error:
            self._fail("output", error)
            return
        finally:
            self._is_handing_over = False
            self._take_back_cut()
        if not (self._has_to_interrupt or self._is_stopping):
            self._reckoning.hand_over(play)

    def _take_back_cut(self) -> int:
        """Have the output's cancellation count no more; return how many others are asked for."""
        if not self._is_cut:
            return 0
        self._is_cut = False
        # Python 3.10 does not count.
        uncancel = getattr(self._task, "uncancel", lambda: 0)
        return int(uncancel())

    def _fail(self, method: str, error: Exception) -> None:
        logger.debug("%s raised", method, exc_info=error)
        self._post(AudioFailed(failure_text(self._interface, method, error)))

    async def _take_microphone(self, audio: bytes) -> None:
        if not self._is_stopping:
            event = UserAudio(bytes(audio))
            self._hear(event.audio)
            self._post(event)
