"""The sound card for asyncio: the one adapter that is bound to threads, PortAudio's and its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
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
        if not self.loop.is_closed():
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
            if not loop.is_closed():
                loop.call_soon_threadsafe(wake)

        self._pieces.clear()
        self._has_pieces = asyncio.Event()
        opening = loop.run_in_executor(None, self.device.start, take)
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            # PortAudio cannot be interrupted; what it opens after all is closed again.
            opening.add_done_callback(self._close_unwanted)
            raise
        self._recording = loop.create_task(self._record(input_callback), name="convsm-microphone")

    def _close_unwanted(self, opening: asyncio.Future[None]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            opening.get_loop().run_in_executor(None, self.device.stop)

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
            await asyncio.wait([recording])
        # Not to be left half done: a device that stays open belongs to nobody.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self.device.stop))

    async def play(self, number: int, audio: bytes) -> None:
        """Queue audio; returns at once."""
        self.device.play(number, audio)

    async def interrupt(self) -> None:
        """Fall silent, in about 5 ms: what is queued and what the device holds is dropped."""
        self.device.interrupt()

    async def drain(self) -> None:
        """Wait until all that was handed over was heard or interrupted; for ever during a pause."""
        loop = asyncio.get_running_loop()
        # In turns, so that nobody who gives up leaves a thread behind.
        while not await loop.run_in_executor(None, self.device.drain, 0.1):
            pass
