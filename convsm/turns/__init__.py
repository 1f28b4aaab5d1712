"""Turn handling: who has the floor, when a turn ends, what an interruption means. Pure."""

from convsm.turns.detection import (
    Overlap,
    OverlapClassifier,
    TurnDetector,
    Verdict,
    WordListClassifier,
    count_words,
)
from convsm.turns.options import Endpointing, Interruption, TurnHandling, UserTurnLimit

__all__ = [
    "Endpointing",
    "Interruption",
    "Overlap",
    "OverlapClassifier",
    "TurnDetector",
    "TurnHandling",
    "UserTurnLimit",
    "Verdict",
    "WordListClassifier",
    "count_words",
]
