"""What came of a conversation: who said what, and how long things took.

Pure reducers over the steps that a session takes: fed each event with the effects that it asked
for, they decide nothing and touch nothing. They follow the machine: what it ignored, they ignore.
"""

from convsm.observation.metrics import Metrics
from convsm.observation.series import Series
from convsm.observation.session_metrics import Measured, SessionMeasured, SessionMetrics, ToolMetrics
from convsm.observation.transcript import Transcript, TranscriptChanged, TranscriptEntry

__all__ = [
    "Measured",
    "Metrics",
    "Series",
    "SessionMeasured",
    "SessionMetrics",
    "ToolMetrics",
    "Transcript",
    "TranscriptChanged",
    "TranscriptEntry",
]
