"""The queue between agent audio, which comes in bursts, and a loudspeaker, which keeps its own pace."""

from __future__ import annotations

from collections import deque

import attrs

from convsm.errors import AudioError

__all__ = ["DEFAULT_LIMIT", "MESSAGE_COST", "PlayoutBuffer"]

# Speech arrives faster than it sounds, and dropping it is worse than holding it: 64 MiB are 35 minutes of
# pcm_16000 and 11 of pcm_48000, longer than any turn. There must be an end, for the server need not be ours.
DEFAULT_LIMIT = 64 * 1024 * 1024
# What an entry takes beside its samples (measured: about 440 bytes). Without it a server could
# fill the memory with messages of one sample each while hardly touching the limit.
MESSAGE_COST = 512


@attrs.define
class PlayoutBuffer:
    """Messages of audio in, samples out, and numbers that say how far the reading is.

    Pure and not thread-safe: whoever shares it between the session and a device guards it with a
    lock. That lock is held briefly: ``append`` takes constant time, ``read`` copies what it returns,
    and ``flush`` frees the messages that it drops (0.1 ms for a thousand).

    To pause, stop reading; to resume, read on: no sample is lost and none comes twice.

    A message may end in the middle of a sample. The half belongs to the next message; it is not
    ``pending``, it does not hold its own message's number back, and ``flush`` drops it.

    Attributes (to be read, not set):
        bytes_per_sample: 2 for pcm, 1 for G.711.
        limit: Most bytes held, each message costing ``MESSAGE_COST`` besides.
        pending: Bytes that can be read: whole samples.
        position: Bytes read so far, over all messages; a flush does not move it.
        through: Highest message number that was entirely read, 0 at first. Numbers that were flushed
            before they were entirely read are skipped.
    """

    bytes_per_sample: int = 2
    limit: int = attrs.field(default=DEFAULT_LIMIT, kw_only=True)
    pending: int = attrs.field(default=0, init=False)
    position: int = attrs.field(default=0, init=False)
    through: int = attrs.field(default=0, init=False)
    _latest: int | None = attrs.field(default=None, init=False)
    _half: bytes = attrs.field(default=b"", init=False)
    # Bounded by limit and MESSAGE_COST. No view is empty.
    _messages: deque[tuple[int, memoryview]] = attrs.field(factory=deque, init=False, repr=False)

    @property
    def is_drained(self) -> bool:
        """Whether there is nothing to read."""
        return not self._messages

    def append(self, number: int, audio: bytes) -> None:
        """Put a message behind all others; it is not copied unless it completes a half sample.

        Args:
            number: 1 or more, and greater than that of every message before.
            audio: Any number of bytes, none included.

        Raises:
            AudioError: The limit would be passed; nothing is stored and the number is free again.
            ValueError: The number does not rise.
        """
        if self._latest is not None and number <= self._latest:
            raise ValueError(f"Playout numbers must rise, but {number} came after {self._latest}.")
        cost = self.pending + len(audio) + MESSAGE_COST * (len(self._messages) + 1)
        if cost > self.limit:
            raise AudioError(
                f"More agent audio is waiting to be played than the limit of {self.limit} bytes allows; "
                "interrupt the agent or raise the limit."
            )
        self._latest = number
        # bytes() copies only what could change under our hands, such as a bytearray.
        samples = memoryview(self._half + audio if self._half else bytes(audio))
        whole = len(samples) - len(samples) % self.bytes_per_sample
        self._half = bytes(samples[whole:])
        self.pending += whole
        if whole:
            self._messages.append((number, samples[:whole]))
        elif self._messages:
            # Without a sample of its own it is read when the one before it is.
            self._messages[-1] = (number, self._messages[-1][1])
        else:
            self.through = number

    def read(self, size: int) -> bytes:
        """Take samples from the front.

        Args:
            size: Most bytes to take, 0 or more; only whole samples are.

        Returns:
            Fewer bytes than that only if no more are there.
        """
        wanted = max(0, min(size - size % self.bytes_per_sample, self.pending))
        parts = []
        missing = wanted
        while missing > 0:
            number, samples = self._messages[0]
            if len(samples) > missing:
                self._messages[0] = (number, samples[missing:])
                parts.append(samples[:missing])
                break
            self._messages.popleft()
            self.through = number
            parts.append(samples)
            missing -= len(samples)
        self.pending -= wanted
        self.position += wanted
        return b"".join(parts)

    def flush(self) -> int:
        """Drop all that was not read and return how many bytes that were, half a sample included."""
        dropped = self.pending + len(self._half)
        self._messages.clear()
        self._half = b""
        self.pending = 0
        return dropped
