"""From how much was heard to which piece of speech that is."""

from __future__ import annotations

from collections import deque

import attrs

__all__ = ["HeardLedger"]


@attrs.define
class HeardLedger:
    """Knows the sizes of what was handed over, so that a position names a piece and a place in it.

    Pure and not thread-safe. A position counts the samples that were heard since the session began: pauses
    do not count, and what was interrupted does not either.

    Attributes:
        bytes_per_sample: 2 for pcm, 1 for G.711.
    """

    bytes_per_sample: int = 2
    # Number and end of each piece that was not seen to be heard, in bytes; its owner looks in time.
    _pieces: deque[tuple[int, int]] = attrs.field(factory=deque, init=False, repr=False)
    _through: int = attrs.field(default=0, init=False)
    _start: int = attrs.field(default=0, init=False)
    _end: int = attrs.field(default=0, init=False)
    _latest: int = attrs.field(default=0, init=False)

    @property
    def waiting(self) -> int:
        """How many pieces were not seen to be heard."""
        return len(self._pieces)

    def hand_over(self, number: int, size: int) -> None:
        """Note a piece that goes to the loudspeaker.

        Args:
            number: Its number, greater than all before.
            size: Its bytes.
        """
        if not self._pieces:
            # What lies between was forgotten before it was handed over.
            self._through = number - 1
        self._end += size
        self._latest = number
        self._pieces.append((number, self._end))

    def flush(self, position: int) -> None:
        """Note that all that was not heard is forgotten.

        Args:
            position: Samples that were heard until now.
        """
        self._pieces.clear()
        self._through = self._latest
        self._start = self._end = position * self.bytes_per_sample

    def locate(self, position: int) -> tuple[int, int]:
        """Return the last piece that was heard whole, and how many bytes of the next were.

        Args:
            position: Samples that were heard until now; falls never.
        """
        heard = position * self.bytes_per_sample
        while self._pieces and self._pieces[0][1] <= heard:
            self._through, self._start = self._pieces.popleft()
        # Silence between two pieces is no part of either.
        return self._through, max(0, heard - self._start) if self._pieces else 0
