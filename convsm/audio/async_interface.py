"""The same audio interfaces for asyncio: what a session on an event loop asks of them."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable

from convsm.audio.formats import AudioFormat
from convsm.audio.interface import PlayoutListener

__all__ = ["AsyncAudioInterface", "AsyncReportingAudioInterface"]


class AsyncAudioInterface(abc.ABC):
    """A microphone and a loudspeaker with the four coroutines of the reference client.

    Audio is PCM16 (s16le), mono, at 16 kHz in both directions. All is called on the session's event loop,
    one at a time and in the order of its events: ``start`` once and, if that was called, ``stop`` once;
    between them ``output`` and ``interrupt``. An ``output`` that still waits when the agent is interrupted
    or the audio stops is cancelled, and ``interrupt`` or ``stop`` follows. An interface may serve one
    session after another.

    An exception out of any method means that the audio has failed. Calling the conversation's methods
    from inside any of these methods is allowed.

    An interface of this kind reports nothing: the session takes each piece as heard once its duration
    has passed. One that knows better is an ``AsyncReportingAudioInterface``.
    """

    @abc.abstractmethod
    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Open the devices and begin to record; return when ``output`` is accepted.

        Args:
            input_callback: To be awaited with each piece of the user's audio, on the same event loop. It
                takes any whole number of samples, does not wait for the network, and never raises.

        Raises:
            AudioError: The devices cannot be opened; nothing is left open.
        """

    @abc.abstractmethod
    async def stop(self) -> None:
        """Close the devices; what is still queued is not heard."""

    @abc.abstractmethod
    async def output(self, audio: bytes) -> None:
        """Queue a piece of the agent's speech.

        Args:
            audio: One message's samples, whole and unpaced: speech arrives faster than it sounds.
                A message may end in the middle of a sample, which the next one completes.
        """

    @abc.abstractmethod
    async def interrupt(self) -> None:
        """Fall silent now and forget all that was queued.

        What ``output`` brings afterwards is played. Called in any number, also when nothing is queued.
        """


class AsyncReportingAudioInterface(AsyncAudioInterface):
    """An interface that takes negotiated formats and reports what was heard.

    A session calls ``configure``, then ``start``, and ``play`` in the place of ``output``.

    One that has the methods ``pause()`` and ``resume()`` too may be asked for them; see
    ReportingAudioInterface. They are no coroutines: silence waits for no ``play`` that is still awaited.
    """

    _output_number = 0

    @property
    def position(self) -> int | None:
        """How many samples of the output format were heard since ``start``; see ReportingAudioInterface."""
        return None

    @abc.abstractmethod
    def configure(
        self, output_format: AudioFormat, input_format: AudioFormat, listener: PlayoutListener
    ) -> None:
        """Choose formats and listener of the session that starts next; see ReportingAudioInterface.

        Args:
            output_format: Format of what ``play`` will bring.
            input_format: Format that ``input_callback`` has to get.
            listener: To be told what was heard, on the event loop, until ``stop`` has returned.

        Raises:
            AudioError: One of the formats cannot be played or recorded.
        """

    @abc.abstractmethod
    async def play(self, number: int, audio: bytes) -> None:
        """Queue a numbered piece of the agent's speech; see ReportingAudioInterface.play.

        Args:
            number: Rises by one from call to call; the first of a session is 1 or more.
            audio: Samples in the output format.

        Raises:
            AudioError: More is queued than the interface holds; nothing of this piece is.
        """

    async def output(self, audio: bytes) -> None:
        """Queue a piece of speech whose number does not matter.

        It numbers the pieces itself, so a session uses either this or ``play``, not both.
        """
        self._output_number += 1
        await self.play(self._output_number, audio)
