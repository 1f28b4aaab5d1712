"""The second automaton, of the user and their turn, as pictures and documents show it."""

from __future__ import annotations

from convsm.diagram.model import Automaton, automaton_of
from convsm.turns.events import COMMANDS, EVENTS
from convsm.turns.session import UserTurn
from convsm.turns.table import GROUPS, INITIAL, ROWS, STATES

__all__ = ["TURNS"]

# The detectors of both sides tell of speech; here it counts as this side's.
TOLD_BY_SERVERS = (
    *("UserTranscript", "InterimTranscript", "UserAudioTaken", "UserAudioRefused", "TranscriptionFailed"),
    *("AgentAudio", "ResponseStarted", "ResponseRefused"),
)

TURNS: Automaton = automaton_of(
    STATES,
    ROWS,
    INITIAL,
    GROUPS,
    EVENTS,
    commands=COMMANDS,
    local=[kind for name, kind in EVENTS.items() if name not in TOLD_BY_SERVERS],
    model=UserTurn,
    # With one gap for all the labels the picture would be twice as high as a screen.
    columns=(("inactive",), ("away", "committing"), ("speaking", "silent", "endpointing"), ("committed",)),
    bookkeeping=("adopt_", "drop_", "note_", "owe_", "settle_", "take_"),
)
