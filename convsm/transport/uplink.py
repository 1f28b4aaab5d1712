"""The bounded queue of what is to be sent, kept in order; pure, its owner locks it."""

from __future__ import annotations

from collections import deque

import attrs

__all__ = ["MESSAGE_LIMIT", "Uplink", "UplinkDropped"]

# From this many waiting messages on, API calls are refused.
MESSAGE_LIMIT = 1024
# Answers (pongs, tool results) are never refused; a peer that lets this many wait does not read.
STUCK_LIMIT = 4 * MESSAGE_LIMIT
# Speech older than this answers nothing any more.
AUDIO_SECONDS = 10.0


@attrs.frozen
class UplinkDropped:
    """Message of the transport: the network is slower than the microphone, the oldest audio was dropped.

    Attributes:
        seconds: How much audio was dropped since the last report.
    """

    seconds: float


@attrs.define
class Uplink:
    """What waits to be sent: messages and audio in the order they came.

    Attributes:
        audio_seconds: How much waiting audio is always kept; the oldest of what exceeds it is dropped.
    """

    audio_seconds: float = AUDIO_SECONDS
    # Two queues whose entries are numbered in one order: what is dropped in the middle leaves nothing behind.
    # The owner bounds the messages by has_room and is_stuck; audio is bounded by its duration.
    _messages: deque[tuple[int, bytes]] = attrs.field(factory=deque, init=False)
    _audio: deque[tuple[int, bytes, float]] = attrs.field(factory=deque, init=False)
    _count: int = attrs.field(default=0, init=False)
    _waiting_seconds: float = attrs.field(default=0.0, init=False)

    @property
    def has_room(self) -> bool:
        """Whether another message of the user's may be queued."""
        return len(self._messages) < MESSAGE_LIMIT

    @property
    def is_stuck(self) -> bool:
        """Whether so much waits that the peer cannot be reading."""
        return len(self._messages) >= STUCK_LIMIT

    @property
    def waiting_seconds(self) -> float:
        """How much audio waits."""
        return self._waiting_seconds

    def put(self, data: bytes) -> None:
        """Queue a message."""
        self._count += 1
        self._messages.append((self._count, data))

    def put_audio(self, data: bytes, seconds: float) -> float:
        """Queue a piece of audio; return how many seconds of older audio were dropped for it."""
        if seconds <= 0.0:
            # Nothing to be heard, and nothing that the limit would ever drop.
            return 0.0
        self._count += 1
        self._audio.append((self._count, data, seconds))
        self._waiting_seconds += seconds
        dropped = 0.0
        while len(self._audio) > 1 and self._waiting_seconds - self._audio[0][2] >= self.audio_seconds:
            _, _, oldest = self._audio.popleft()
            dropped += oldest
            self._waiting_seconds -= oldest
        return dropped

    def drop_audio(self) -> None:
        """Forget all waiting audio; messages stay."""
        self._audio.clear()
        self._waiting_seconds = 0.0

    def take(self) -> bytes | None:
        """Remove and return what is to be sent next; None when nothing waits."""
        if self._audio and not (self._messages and self._messages[0][0] < self._audio[0][0]):
            _, data, seconds = self._audio.popleft()
            # An empty queue holds exactly nothing, whatever the sums of floats say.
            self._waiting_seconds = self._waiting_seconds - seconds if self._audio else 0.0
            return data
        return self._messages.popleft()[1] if self._messages else None
