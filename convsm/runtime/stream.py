"""The typed stream of everything that happens to a conversation, of which callbacks are one reader."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import Self

__all__ = ["AsyncEventStream", "EventStream", "FrameReceived", "FrameSent", "UnhandledTool"]

# A reader that is this many events behind will not catch up; memory is worth more. As for callbacks.
LIMIT = 65536


@attrs.frozen
class FrameReceived:
    """A WebSocket message came in, before it is decoded.

    Attributes:
        frame: Its payload, as it came.
    """

    frame: bytes


@attrs.frozen
class FrameSent:
    """A WebSocket message was handed over to be sent. The opening may hold secrets of the user's own.

    Attributes:
        frame: Its payload.
    """

    frame: bytes


@attrs.frozen
class UnhandledTool:
    """A tool was called that nobody registered; the call waits for ``send_tool_result``.

    Attributes:
        name: Name of the tool.
        call_id: Id of the call.
        parameters: Its arguments, a copy.
    """

    name: str
    call_id: str
    parameters: dict[str, Any]


RAW = (FrameReceived, FrameSent)


class Subscription:
    """What waits to be read by one reader; the shells add the waiting."""

    def __init__(self, kinds: tuple[type, ...] = ()) -> None:
        """Wait for events.

        Args:
            kinds: Classes that are wanted; none stands for all but raw frames.
        """
        self.dropped = 0
        self._kinds = kinds
        self._queue: deque[object] = deque()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether no more is added; what waits can still be read."""
        return self._is_closed

    @property
    def wants_frames(self) -> bool:
        """Whether raw frames are wanted."""
        return any(issubclass(raw, self._kinds) for raw in RAW)

    def wants(self, event: object) -> bool:
        """Whether an event is wanted."""
        return isinstance(event, self._kinds) if self._kinds else not isinstance(event, RAW)

    def _end(self, last: object | None) -> None:
        if not self._is_closed:
            self._is_closed = True
            if last is not None and self.wants(last):
                self._queue.append(last)

    def _keep(self, event: object) -> bool:
        if self._is_closed or not self.wants(event):
            return False
        if len(self._queue) >= LIMIT:
            self.dropped += 1
            return False
        self._queue.append(event)
        return True


class EventStream(Subscription):
    """An iterator over the events of one session, which waits for the next and ends with the session.

    Events are those of ``convsm.machine.events`` that inform users, the messages of
    ``convsm.protocols.messages``, ``StateChanged``, ``TranscriptChanged``, ``Measured``,
    ``SessionMeasured``, ``UnhandledTool`` (with ``callback_unhandled_tool`` only), ``FrameReceived``,
    ``FrameSent`` and, last, ``DisconnectionDetails``. One reader at a time, on any thread; reading never
    delays the session. Who stops reading before the end leaves it as a context manager or closes it.

    Attributes:
        dropped: How many events were dropped because the reader was 65,536 events behind.
    """

    def __init__(self, kinds: tuple[type, ...] = ()) -> None:
        """Wait for events; see Subscription."""
        super().__init__(kinds)
        self._condition = threading.Condition()

    def put(self, event: object) -> None:
        """Add an event; never blocks, any thread."""
        with self._condition:
            if self._keep(event):
                self._condition.notify()

    def close(self, last: object | None = None) -> None:
        """Add no more; what waits can still be read.

        Args:
            last: An event behind all others, which is never dropped.
        """
        with self._condition:
            self._end(last)
            self._condition.notify()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> object:
        with self._condition:
            while not self._queue:
                if self._is_closed:
                    raise StopIteration
                self._condition.wait()
            return self._queue.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncEventStream(Subscription):
    """The same as an asynchronous iterator, for the thread of one event loop.

    Attributes:
        dropped: How many events were dropped because the reader was 65,536 events behind.
    """

    def __init__(self, kinds: tuple[type, ...] = ()) -> None:
        """Wait for events; see Subscription."""
        super().__init__(kinds)
        self._waiter: asyncio.Future[None] | None = None

    def put(self, event: object) -> None:
        """Add an event."""
        if self._keep(event):
            self._wake()

    def close(self, last: object | None = None) -> None:
        """Add no more; what waits can still be read.

        Args:
            last: An event behind all others, which is never dropped.
        """
        self._end(last)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> object:
        import asyncio

        while not self._queue:
            if self._is_closed:
                raise StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("another task already reads this stream; give each its own events()")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._queue.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
