"""Record and replay: what a session took in and what it asked for, as lines of JSON.

A recording is compared, never performed: ``replay`` feeds its events to a fresh Session and says
where the effects differ first. Lines of a file, format version 1; sessions may follow one another:

- header: ``{"format", "version", "convsm", "options", "header"}``, the last as the caller gave it
- step: ``{"step": number, "event": {"type", "at", …}, "effects": [{"type", …}, …]}``; the number
  runs through the session; a refused command has ``"refused": true`` instead of effects
- loss: ``{"lost": count}``, where so many steps are missing because the disk did not keep up

How values are written stands in ``convsm.recording.encoding``.
"""

from convsm.recording.recorder import FORMAT, FORMAT_VERSION, Recorder
from convsm.recording.replay import Divergence, Replayable, ReplayReport, replay

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "Divergence",
    "Recorder",
    "ReplayReport",
    "Replayable",
    "replay",
]
