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
class _Item:
    data: bytes | None
    seconds: float


@attrs.define
class Uplink:
    """What waits to be sent: messages and audio in the order they came.

    Attributes:
        audio_seconds: Limit of waiting audio; beyond it the oldest is dropped.
    """

    audio_seconds: float = AUDIO_SECONDS
    _items: deque[_Item] = attrs.field(factory=deque, init=False)
    _audio: deque[_Item] = attrs.field(factory=deque, init=False)
    _waiting_seconds: float = attrs.field(default=0.0, init=False)
    _waiting_messages: int = attrs.field(default=0, init=False)

    @property
    def has_room(self) -> bool:
        """Whether another message of the user's may be queued."""
        return self._waiting_messages < MESSAGE_LIMIT

    @property
    def is_stuck(self) -> bool:
        """Whether so much waits that the peer cannot be reading."""
        return self._waiting_messages >= STUCK_LIMIT

    def put(self, data: bytes) -> None:
        """Queue a message."""
        self._waiting_messages += 1
        self._items.append(_Item(data, 0.0))

    def put_audio(self, data: bytes, seconds: float) -> float:
        """Queue a piece of audio; return how many seconds of older audio were dropped for it."""
        item = _Item(data, seconds)
        self._items.append(item)
        self._audio.append(item)
        self._waiting_seconds += seconds
        dropped = 0.0
        while self._waiting_seconds > self.audio_seconds and len(self._audio) > 1:
            oldest = self._audio.popleft()
            oldest.data = None
            dropped += oldest.seconds
            self._waiting_seconds -= oldest.seconds
        while self._items[0].data is None:
            self._items.popleft()
        return dropped

    def drop_audio(self) -> None:
        """Forget all waiting audio; messages stay."""
        for item in self._audio:
            item.data = None
        self._audio.clear()
        self._waiting_seconds = 0.0

    def take(self) -> bytes | None:
        """Remove and return what is to be sent next; None when nothing waits."""
        while self._items:
            item = self._items.popleft()
            if item.data is None:
                continue
            if self._audio and self._audio[0] is item:
                self._audio.popleft()
                # An empty queue holds exactly nothing, whatever the sums of floats say.
                self._waiting_seconds = self._waiting_seconds - item.seconds if self._audio else 0.0
            else:
                self._waiting_messages -= 1
            return item.data
        return None
