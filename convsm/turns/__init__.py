"""Turn handling: who has the floor, when a turn ends, what an interruption means. Pure."""

from convsm.turns import effects, events, reports
from convsm.turns.detection import (
    Overlap,
    OverlapClassifier,
    SoundClassifier,
    TurnDetector,
    Verdict,
    WordListClassifier,
    count_words,
)
from convsm.turns.options import Endpointing, Interruption, TurnHandling, UserTurnLimit
from convsm.turns.server import TurnServer
from convsm.turns.session import UserTurn
from convsm.turns.taking import TurnTaking

__all__ = [
    "Endpointing",
    "Interruption",
    "Overlap",
    "OverlapClassifier",
    "SoundClassifier",
    "TurnDetector",
    "TurnHandling",
    "TurnServer",
    "TurnTaking",
    "UserTurn",
    "UserTurnLimit",
    "Verdict",
    "WordListClassifier",
    "count_words",
    "effects",
    "events",
    "reports",
]
