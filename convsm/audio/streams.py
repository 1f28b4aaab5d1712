"""The two streams of a sound card: opened, started, emptied and closed together, and their faults."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Literal

import attrs

from convsm.audio.portaudio import Kind, Stream, open_stream
from convsm.errors import AudioError

__all__ = ["StreamOptions", "Streams"]

logger = logging.getLogger("convsm.audio")

# A stream that says that it has ended and does not go on within so many seconds has ended; emptying a
# device ends its stream for 2 ms.
ENDED_GRACE = 0.1
# A device that stands still takes the first blocks all the same, to fill its buffer; one that still calls
# back after so many seconds works.
STEADY_SECONDS = 0.5

TITLES: dict[Kind, str] = {"input": "microphone", "output": "loudspeaker"}


@attrs.frozen
class StreamOptions:
    """How one direction is opened.

    Attributes:
        device: Which; see find_device.
        rate: Samples a second that are wanted.
        block_seconds: Duration of what is brought or taken at a time.
        latency: What the device is asked to hold, in seconds, or its own idea.
    """

    device: int | str | None
    rate: int
    block_seconds: float
    latency: float | Literal["low", "high"]


@attrs.define(eq=False)
class _Direction:
    """One of the two.

    Attributes:
        called_at: When it called back last, or was started, monotonic seconds.
        ended_at: When it said last that it has ended.
    """

    kind: Kind
    options: StreamOptions
    callback: Callable[..., None]
    stream: Stream | None = None
    started_at: float = 0.0
    called_at: float = 0.0
    ended_at: float = 0.0

    def open(self) -> Stream:
        self.stream = open_stream(
            self.kind,
            self.options.device,
            self.options.rate,
            block_seconds=self.options.block_seconds,
            latency=self.options.latency,
            callback=self.callback,
            finished_callback=self.note_end,
        )
        return self.stream

    def start(self) -> None:
        assert self.stream is not None
        self.stream.start()
        self.started_at = self.called_at = monotonic()

    def close(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            try:
                stream.abort()
                stream.close()
            except Exception as error:
                logger.warning("closing the %s failed: %s", TITLES[self.kind], error)

    def note_end(self) -> None:
        self.ended_at = monotonic()

    def fault(self, now: float, patience: float) -> str:
        if self.ended_at > self.called_at and now - self.ended_at > ENDED_GRACE:
            return f"The {TITLES[self.kind]} has stopped"
        if now - self.called_at > patience:
            return f"The {TITLES[self.kind]} has stood still for {patience:g} s"
        return ""


class Streams:
    """A loudspeaker's and a microphone's stream.

    ``open``, ``start``, ``empty`` and ``close`` belong to one thread and may block; all else is for any.
    """

    def __init__(
        self,
        output: StreamOptions,
        recording: StreamOptions,
        fill: Callable[..., None],
        record: Callable[..., None],
    ) -> None:
        """Open nothing yet.

        Args:
            output: How the loudspeaker is opened.
            recording: How the microphone is opened.
            fill: PortAudio's callback for the loudspeaker; calls ``note_output`` each time.
            record: PortAudio's callback for the microphone; calls ``note_input`` each time.
        """
        self._output = _Direction("output", output, fill)
        self._input = _Direction("input", recording, record)

    def open(self) -> tuple[Stream, Stream]:
        """Open both, and return the loudspeaker's and the microphone's.

        Raises:
            AudioError: That failed; one of them may be open.
        """
        return self._output.open(), self._input.open()

    def start(self) -> None:
        """Start both.

        Raises:
            AudioError: That failed.
        """
        self._output.start()
        self._input.start()

    def empty(self) -> None:
        """Make the loudspeaker forget what it holds, and end its stream."""
        if self._output.stream is not None:
            self._output.stream.abort()

    def refill(self) -> None:
        """Start the loudspeaker's stream again."""
        if self._output.stream is not None:
            try:
                self._output.stream.start()
            except AudioError:
                # A fault like any other, for whoever watches.
                self._output.note_end()

    def close(self) -> None:
        """Close what is open; what goes wrong is logged."""
        self._output.close()
        self._input.close()

    def note_output(self) -> None:
        """Take note that the loudspeaker called back."""
        self._output.called_at = monotonic()

    def note_input(self) -> None:
        """Take note that the microphone called back."""
        self._input.called_at = monotonic()

    @property
    def silent_since(self) -> float:
        """When the loudspeaker was heard of last, monotonic seconds."""
        return max(self._output.called_at, self._output.ended_at)

    @property
    def is_steady(self) -> bool:
        """Whether both run, and not only while their buffers fill."""
        return all(each.called_at - each.started_at > STEADY_SECONDS for each in (self._output, self._input))

    def fault(self, now: float, patience: float) -> str:
        """Return what is wrong, or nothing.

        Args:
            now: Monotonic seconds.
            patience: How long a stream may stand still, in seconds.
        """
        return self._output.fault(now, patience) or self._input.fault(now, patience)
