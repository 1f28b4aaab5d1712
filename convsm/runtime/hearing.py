"""How much of the agent's speech was heard by now, as far as the audio interface can tell."""

from __future__ import annotations

import logging
from typing import Any

from convsm.audio.heard import HeardLedger
from convsm.machine.effects import Play
from convsm.runtime.reckoning import PlayoutReckoning

__all__ = ["Hearing"]

logger = logging.getLogger("convsm.audio")

# Looked through once for so many pieces; a turn has some dozens.
WAITING_PIECES = 1000


class Hearing:
    """Follows what is handed over to an interface. For whoever hands it over, one at a time."""

    def __init__(self, reporting: Any, reckoning: PlayoutReckoning) -> None:
        """Begin with silence.

        Args:
            reporting: The interface, if it reports; its ``position`` is believed.
            reckoning: Where playout is reckoned otherwise.
        """
        self._reporting = reporting
        self._reckoning = reckoning
        self._ledger: HeardLedger | None = None

    @property
    def _position(self) -> int | None:
        if self._reporting is None:
            return self._reckoning.position
        try:
            position = self._reporting.position
            return None if position is None else int(position)
        except Exception:
            # An interruption is not lost for it: the server is told whole pieces.
            logger.exception("%s.position gives no number", type(self._reporting).__name__)
            return None

    def hand_over(self, play: Play) -> None:
        """Take note of a piece that goes to the interface."""
        if self._ledger is None:
            self._ledger = HeardLedger(self._reckoning.format.bytes_per_sample)
        self._ledger.hand_over(play.number, len(play.audio))
        if self._ledger.waiting > WAITING_PIECES:
            # Most sessions never ask, and what was heard long ago is not to be kept for them.
            _ = self.heard

    def flush(self) -> None:
        """Take note that the interface has been silenced."""
        position = self._position
        if self._ledger is not None and position is not None:
            self._ledger.flush(position)

    @property
    def heard(self) -> tuple[int, int] | None:
        """Number of the last Play that was heard whole, and bytes of the next; None if that is not known."""
        position = self._position
        return None if self._ledger is None or position is None else self._ledger.locate(position)
