"""What a session asks of the device, file or network that records the user and plays the agent."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Protocol

from convsm.audio.formats import AudioFormat

__all__ = ["AudioInterface", "PlayoutListener", "ReportingAudioInterface"]


class AudioInterface(abc.ABC):
    """A microphone and a loudspeaker with the four methods of the reference client.

    Audio is PCM16 (s16le), mono, at 16 kHz in both directions. Each session calls ``start`` once and,
    if that was called, ``stop`` once, in this order, on a worker thread where they may block. It calls
    ``output`` and ``interrupt`` in the order of its events, one at a time, from whatever thread
    happens to move the session, between the return of ``start`` and the call of ``stop``; these two
    must not block, for all else waits meanwhile. An interface may serve one session after another.

    An exception out of any method means that the audio has failed. Calling the conversation's
    methods from inside any of these methods is allowed: what they ask is done afterwards.

    An interface of this kind reports nothing: the session takes each piece as heard once its
    duration has passed. One that knows better is a ``ReportingAudioInterface``.
    """

    @abc.abstractmethod
    def start(self, input_callback: Callable[[bytes], None]) -> None:
        """Open the devices and begin to record; return when ``output`` is accepted.

        Args:
            input_callback: To be called with each piece of the user's audio, from one thread at a
                time, which may be a real-time thread: it neither blocks nor raises. The reference
                client's pieces have 4000 frames (250 ms); any whole number of samples is accepted,
                and 20 to 40 ms answer faster.

        Raises:
            AudioError: The devices cannot be opened; nothing is left open.
        """

    @abc.abstractmethod
    def stop(self) -> None:
        """Close the devices; what is still queued is not heard.

        After it has returned, ``input_callback`` is no longer called (unless the call came from
        inside ``input_callback``: then after that one has returned).
        """

    @abc.abstractmethod
    def output(self, audio: bytes) -> None:
        """Queue a piece of the agent's speech and return at once.

        Args:
            audio: One message's samples, whole and unpaced: speech arrives faster than it sounds.
                A message may end in the middle of a sample, which the next one completes.
        """

    @abc.abstractmethod
    def interrupt(self) -> None:
        """Fall silent now and forget all that was queued; return at once.

        What ``output`` brings afterwards is played. Called in any number, also when nothing is queued.
        """


class PlayoutListener(Protocol):
    """Who wants to know what was really heard. Callable from any thread; never blocks, never raises.

    A listener may call ``play`` and ``interrupt`` of the interface before it returns, so an interface
    holds no lock while it reports.
    """

    def played(self, through: int) -> None:
        """Every sample of Play number ``through`` and of all before it was heard or interrupted.

        Args:
            through: Number of the latest Play that was entirely heard; rises from call to call.
        """

    def failed(self, message: str) -> None:
        """The interface has failed while running and will do nothing more until it is started again.

        Comes at most once a start, after the last ``played``.

        Args:
            message: What happened and what to do, in one sentence.
        """


class ReportingAudioInterface(AudioInterface):
    """An interface that takes negotiated formats and reports what was heard.

    A session calls ``configure``, then ``start``, and ``play`` in the place of ``output``, under the
    same rules: ``configure`` on the worker thread, ``play`` in the order of the events, not blocking.

    One that has the methods ``pause()`` and ``resume()`` too may be asked for them, under the rules of
    ``interrupt``: to fall silent at once and keep all that was not heard, also what ``play`` brings
    meanwhile; and to go on with the next sample. What a device holds already may be heard to its end, and
    an interruption during a pause drops everything as ever. Only for such an interface does a session
    wait whether the user really means to cut the agent off; for others it does not.
    """

    _output_number = 0

    @property
    def may_wait(self) -> bool:
        """Whether ``input_callback`` may keep its caller waiting while the network catches up.

        A real-time thread must never wait; when the network is too slow the oldest audio is dropped. A
        file that is read without pace waits and loses nothing.
        """
        return False

    @property
    def position(self) -> int | None:
        """How many samples of the output format were heard since ``start``, of no matter which piece.

        Pauses do not count, nor does what was interrupted. None where it is not known better than by whole
        pieces. May be asked from any thread; never blocks.
        """
        return None

    @abc.abstractmethod
    def configure(
        self, output_format: AudioFormat, input_format: AudioFormat, listener: PlayoutListener
    ) -> None:
        """Choose formats and listener of the session that starts next.

        Called before ``start``, never while running.

        Args:
            output_format: Format of what ``play`` will bring.
            input_format: Format that ``input_callback`` has to get.
            listener: To be told what was heard, until ``stop`` has returned.

        Raises:
            AudioError: One of the formats cannot be played or recorded.
        """

    @abc.abstractmethod
    def play(self, number: int, audio: bytes) -> None:
        """Queue a numbered piece of the agent's speech and return at once.

        The listener is owed ``played(number)``, or one with a higher number, once all of it and of all
        before was heard, never from inside this call. A piece that was interrupted is never reported.

        Args:
            number: Rises by one from call to call; the first of a session is 1 or more.
            audio: Samples in the output format. A message may end in the middle of a sample, which
                the next one completes. Empty audio is heard as soon as all before it is.

        Raises:
            AudioError: More is queued than the interface holds; nothing of this piece is.
        """

    def output(self, audio: bytes) -> None:
        """Queue a piece of speech whose number does not matter, as ``AudioInterface.output`` does.

        It numbers the pieces itself, so a session uses either this or ``play``, not both.
        """
        self._output_number += 1
        self.play(self._output_number, audio)
