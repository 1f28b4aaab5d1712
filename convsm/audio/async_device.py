"""The sound card for asyncio: the one adapter that is bound to threads, PortAudio's and its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import attrs

from convsm.audio.async_interface import AsyncReportingAudioInterface
from convsm.audio.device import DefaultAudioInterface
from convsm.audio.formats import AudioFormat
from convsm.audio.interface import PlayoutListener

__all__ = ["AsyncDefaultAudioInterface"]

# Pieces of the microphone that wait for a busy event loop: 10 s of 30 ms each. Older speech answers nothing.
WAITING_PIECES = 333


@attrs.frozen
class _OnLoop:
    """Tells a listener on its event loop what is reported on another thread."""

    listener: PlayoutListener
    loop: asyncio.AbstractEventLoop

    def played(self, through: int) -> None:
        self._call(self.listener.played, through)

    def failed(self, message: str) -> None:
        self._call(self.listener.failed, message)

    def _call(self, tell: Callable[[Any], None], what: object) -> None:
        with suppress(RuntimeError):  # the loop is closed, and with it the session
            self.loop.call_soon_threadsafe(tell, what)


class AsyncDefaultAudioInterface(AsyncReportingAudioInterface):
    """Microphone and loudspeaker of this machine, through PortAudio, for a session on an event loop.

    Nothing here holds the event loop up: opening and closing the devices run on a thread of the loop's
    executor, playing and recording on PortAudio's.

    Attributes:
        device: The sound card itself: volume, mute, levels, pause and resume, position, faults.
    """

    def __init__(self, **options: Any) -> None:
        """Describe a sound card; nothing is opened.

        Args:
            options: Keyword arguments of ``DefaultAudioInterface``.

        Raises:
            ConfigurationError: A number is out of its range.
        """
        self.device = DefaultAudioInterface(**options)
        self._pieces: deque[bytes] = deque(maxlen=WAITING_PIECES)
        self._has_pieces = asyncio.Event()
        self._recording: asyncio.Task[None] | None = None

    def configure(
        self, output_format: AudioFormat, input_format: AudioFormat, listener: PlayoutListener
    ) -> None:
        """Choose formats and listener of the starts to come; on the event loop.

        Raises:
            AudioError: The interface is running.
        """
        self.device.configure(output_format, input_format, _OnLoop(listener, asyncio.get_running_loop()))

    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Open the devices and begin to record.

        Raises:
            AudioError: As ``DefaultAudioInterface.start``.
        """
        loop = asyncio.get_running_loop()

        def wake() -> None:
            self._has_pieces.set()

        def take(audio: bytes) -> None:
            self._pieces.append(audio)
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(wake)

        self._pieces.clear()
        self._has_pieces = asyncio.Event()
        opening = loop.run_in_executor(None, self.device.start, take)
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            # PortAudio cannot be interrupted; what it opens after all is closed again. A loop that ends
            # meanwhile would leave it open, so that is waited for.
            await _undisturbed(opening)
            if not opening.cancelled() and opening.exception() is None:
                await _undisturbed(loop.run_in_executor(None, self.device.stop))
            raise
        self._recording = loop.create_task(self._record(input_callback), name="convsm-microphone")

    async def _record(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        while True:
            await self._has_pieces.wait()
            self._has_pieces.clear()
            while self._pieces:
                await input_callback(self._pieces.popleft())

    async def stop(self) -> None:
        """Close the devices; takes some milliseconds, at most two seconds."""
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.cancel()
        # On its way before anything is waited for, where it could be cancelled: a device that stays open
        # belongs to nobody.
        closing = asyncio.get_running_loop().run_in_executor(None, self.device.stop)
        if recording is not None:
            await asyncio.wait([recording])
        await asyncio.shield(closing)

    @property
    def position(self) -> int:
        """How many samples of the output format were heard since ``start``, without silence between them."""
        return self.device.position

    async def play(self, number: int, audio: bytes) -> None:
        """Queue audio; returns at once."""
        self.device.play(number, audio)

    def pause(self) -> None:
        """Fall silent and keep what is queued; see ``DefaultAudioInterface.pause``."""
        self.device.pause()

    def resume(self) -> None:
        """Go on with the sample behind the last that was heard."""
        self.device.resume()

    async def interrupt(self) -> None:
        """Fall silent, in about 5 ms: what is queued and what the device holds is dropped."""
        self.device.interrupt()

    async def drain(self) -> None:
        """Wait until all that was handed over was heard or interrupted; for ever during a pause."""
        loop = asyncio.get_running_loop()
        # In turns, so that nobody who gives up leaves a thread behind.
        while not await loop.run_in_executor(None, self.device.drain, 0.1):
            pass


async def _undisturbed(future: asyncio.Future[None]) -> None:
    """Wait through all cancellations; the caller passes on the first."""
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([future])
