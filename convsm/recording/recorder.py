"""The Recorder: a file of JSON lines, written off the driver's thread."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Mapping
from io import FileIO
from types import TracebackType
from typing import TYPE_CHECKING

import attrs
import orjson
import pybase64

from convsm.errors import ConfigurationError
from convsm.machine.context import SessionOptions
from convsm.machine.effects import Effect
from convsm.machine.events import AgentAudio, Event, UserAudio
from convsm.recording.encoding import Encoded, Encoder
from convsm.version import VERSION

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FORMAT", "FORMAT_VERSION", "Recorder"]

FORMAT = "convsm recording"
FORMAT_VERSION = 1

# The writer looks for work this often, in seconds. Waking it at each step would cost the driver a
# system call and a change of threads; a crash loses at most this much.
_POLL_SECONDS = 0.05
# Bytes gathered before they are written: large enough to make the call cheap, small enough to lose.
_BATCH_BYTES = 1 << 16

_logger = logging.getLogger(__name__)


def _text(path: str | os.PathLike[str]) -> str:
    return os.fspath(path)


def _copy(header: Mapping[str, object] | None) -> dict[str, object]:
    # The caller may go on changing its own while the writer thread reads this one.
    return {} if header is None else dict(header)


def _with_audio(encoded: Encoded, audio: bytes) -> Encoded:
    # A copy: the effects share this encoding, and once is enough.
    return {**encoded, "audio": {**encoded["audio"], "base64": pybase64.b64encode(audio).decode("ascii")}}


# No hook on assignment: the converters below would cost each step twice what it does.
@attrs.define(eq=False, on_setattr=attrs.setters.NO_OP)
class Recorder:
    """Writes what happens to one session after another into a file that only its owner may read.

    ``step`` and ``refused`` are for the driver: they only queue, never wait for the disk and never
    raise. A daemon thread encodes and writes. When the disk does not keep up, steps are left out and
    counted in the file; when it fails, that is logged once and the recording ends there. Either way
    the session goes on. Close it, or the last twentieth of a second and the thread are left behind.

    Args:
        path: The file. Its mode becomes 0600.
        options: The options of the first session.
        include_audio: Record the audio of both sides whole, not only its length and hash.
        header: Values of the caller's own for every header, such as the protocol's name. No secrets.
        append: Continue the recording that the path may hold already; else what it held is lost.
        limit: Steps that may wait to be written. 8,192: more than a minute of a busy session.

    Raises:
        OSError: The file cannot be made.
        ConfigurationError: The path is something else than a file.
    """

    path: str = attrs.field(converter=_text)
    _options: SessionOptions
    _include_audio: bool = attrs.field(default=False, kw_only=True)
    _header: dict[str, object] = attrs.field(default=None, converter=_copy, kw_only=True, repr=False)
    _append: bool = attrs.field(default=False, kw_only=True)
    _limit: int = attrs.field(default=8192, kw_only=True)
    _encoder: Encoder = attrs.field(factory=Encoder, init=False, repr=False)
    _file: FileIO = attrs.field(init=False, repr=False)
    _thread: threading.Thread = attrs.field(init=False, repr=False)
    _wake: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)
    # Bounded by `step`; `begin` may go beyond it, by one for each start of a conversation.
    _queue: deque[tuple[int, Event | SessionOptions, tuple[Effect, ...] | None]] = attrs.field(
        factory=deque, init=False, repr=False
    )
    _is_open: bool = attrs.field(default=True, init=False)  # takes steps: not closed, and no fault
    _is_closed: bool = attrs.field(default=False, init=False, repr=False)  # close was called
    _count: int = attrs.field(default=0, init=False)  # steps of this session taken
    # Steps of the session that the writer is at: written, or known as lost.
    _written: int = attrs.field(default=0, init=False, repr=False)
    _has_lost: bool = attrs.field(default=False, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if os.path.exists(self.path) and not os.path.isfile(self.path):
            raise ConfigurationError(f"{self.path!r} is not a file; name a file to record to")
        # Unbuffered: nothing is left in the process when it dies, and no lock is held meanwhile.
        mode = "a" if self._append else "w"
        self._file = FileIO(self.path, mode, opener=lambda path, flags: os.open(path, flags, 0o600))
        try:
            os.chmod(self.path, 0o600)  # it may have been there, readable to others
            self._write(self._header_line(self._options))
            self._thread = threading.Thread(target=self._work, name="convsm-recorder", daemon=True)
            self._thread.start()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, options: SessionOptions) -> None:
        """Say that a new session starts; what follows belongs to it.

        Does nothing when the present one has no step yet and the same options, so every start may
        call it. From the thread that calls ``step``, or while nobody does.

        Args:
            options: The options of the new session.

        Raises:
            ConfigurationError: The recorder was closed.
        """
        if self._is_closed:
            raise ConfigurationError(f"the recording {self.path!r} is closed; make a new Recorder")
        if not self._is_open or (self._count == 0 and options == self._options):
            return
        self._queue.append((self._count, options, None))
        self._count, self._options = 0, options

    def step(self, event: Event, effects: tuple[Effect, ...]) -> None:
        """Record an event that a session handled. By one thread at a time; never blocks nor raises.

        Args:
            event: The event.
            effects: What ``handle`` returned for it.
        """
        if self._is_open:
            self._count = number = self._count + 1
            if len(self._queue) < self._limit:
                self._queue.append((number, event, effects))

    def refused(self, event: Event) -> None:
        """Record a command that a session refused. By one thread at a time; never blocks nor raises.

        Args:
            event: The command.
        """
        if self._is_open:
            self._count = number = self._count + 1
            if len(self._queue) < self._limit:
                self._queue.append((number, event, None))

    def close(self, timeout: float = 1.0) -> None:
        """Write what is left and close the file. From any thread, any number of times.

        Later steps are ignored. If the disk does not answer, the writer thread closes the file later.

        Args:
            timeout: How long to wait for that, in seconds; 0 only asks for it.
        """
        self._is_open, self._is_closed = False, True
        self._wake.set()
        self._thread.join(timeout)
        if timeout and self._thread.is_alive():
            _logger.warning("the recording %r is still being written; not waiting for it", self.path)

    # What follows runs on the writer thread.

    def _work(self) -> None:
        try:
            with self._file:
                is_last = False
                while not is_last:
                    self._wake.wait(_POLL_SECONDS)
                    is_last = not self._is_open  # read first: whatever was queued before it is drained
                    self._drain()
                self._write(self._loss_line(self._count))
        except Exception as error:
            self._is_open = False
            self._queue.clear()
            problem = getattr(error, "strerror", None) or type(error).__name__
            _logger.warning("recording to %r failed (%s); the rest is not recorded", self.path, problem)

    def _drain(self) -> None:
        while self._queue:
            batch = bytearray()
            while self._queue and len(batch) < _BATCH_BYTES:
                batch += self._line(*self._queue.popleft())
            self._write(batch)

    def _write(self, data: bytes | bytearray) -> None:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def _line(
        self, number: int, event: Event | SessionOptions, effects: tuple[Effect, ...] | None
    ) -> bytes | bytearray:
        if isinstance(event, SessionOptions):
            lines = self._loss_line(number) + self._header_line(event)
            self._written = 0
            return lines
        line = self._loss_line(number - 1)
        encode = self._encoder.encode
        self._encoder.forget()
        record: dict[str, Encoded] = {"step": number, "event": encode(event)}
        if self._include_audio and isinstance(event, (AgentAudio, UserAudio)):
            record["event"] = _with_audio(record["event"], event.audio)
        if effects is None:
            record["refused"] = True
        else:
            record["effects"] = [encode(effect) for effect in effects]
        line += orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        self._written = number
        return line

    def _loss_line(self, number: int) -> bytearray:
        """Return nothing, or the line for steps up to this number that did not get into the queue."""
        lost, self._written = number - self._written, number
        if not lost:
            return bytearray()
        if not self._has_lost:
            _logger.warning("the recording %r lacks steps; the disk did not keep up", self.path)
            self._has_lost = True
        return bytearray(b'{"lost":%d}\n' % lost)

    def _header_line(self, options: SessionOptions) -> bytes:
        self._encoder.forget()
        line = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "convsm": VERSION,
            "options": self._encoder.encode(attrs.asdict(options)),
            "header": self._encoder.encode(self._header),
        }
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
