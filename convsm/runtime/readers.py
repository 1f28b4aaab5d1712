"""Everybody who is told what happens in a session: the user's callbacks, and streams of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from convsm.runtime.stream import RAW
from convsm.runtime.wiring import Observer, Stream

__all__ = ["Readers"]


class Readers:
    """Tells callbacks and streams. For whoever owns the session, but for ``add``.

    Attributes:
        is_tapped: Whether anybody wants raw frames.
    """

    def __init__(
        self,
        observers: Mapping[type, tuple[Observer, ...]],
        streams: tuple[Stream, ...],
        notify: Callable[..., None],
    ) -> None:
        """Make them of those that are there from the start on.

        Args:
            observers: User callbacks by the type of what they are told.
            streams: Streams of everything.
            notify: Has a callback called: name, function, arguments.
        """
        self._observers = observers
        self._streams = streams
        self._notify = notify
        self.is_tapped = self._wants_frames()

    def add(self, stream: Stream) -> None:
        """Have a stream read everything from now on."""
        self._streams = (*(each for each in self._streams if not each.is_closed), stream)
        self.is_tapped = self._wants_frames()

    def _wants_frames(self) -> bool:
        return any(stream.wants_frames for stream in self._streams) or any(
            raw in self._observers for raw in RAW
        )

    def wants(self, kind: type) -> bool:
        """Whether a callback wants what is of this type."""
        return kind in self._observers

    def publish(self, subject: object) -> None:
        """Tell all of them; never waits."""
        for observer in self._observers.get(type(subject), ()):
            self._notify(observer.name, observer.call, subject)
        for stream in self._streams:
            stream.put(subject)

    def close(self, last: object) -> None:
        """End the streams with a last event."""
        for stream in self._streams:
            stream.close(last)
