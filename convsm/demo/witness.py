"""The witness of the demo: writes the timeline from the callbacks and tells what of the script is missing."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import attrs

from convsm.demo.observing import ObservedAudio
from convsm.demo.scene import TOOL, Scene
from convsm.demo.timeline import Timeline, actor
from convsm.machine.effects import StateChanged
from convsm.machine.table import ROWS, STATES
from convsm.runtime.wiring import DisconnectionDetails
from convsm.testing import LoopbackConnection

__all__ = ["Interruption", "Notes", "Witness", "reason_of"]

# For what happens on another thread in the same instant.
INSTANT = 1.0


def reason_of(change: StateChanged) -> str:
    """Return why the table has a change of state, in the words of its row."""
    return next(
        (
            row.why
            for row in ROWS
            if row.trigger == change.event and change.source in row.sources and row.target == change.target
        ),
        "",
    )


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


@attrs.frozen
class Interruption:
    """How quickly the agent fell silent, in seconds.

    Attributes:
        from_event: From the moment at which the conversation took the message in.
        from_agent: From the moment before the agent sent it.
    """

    from_event: float
    from_agent: float


@attrs.define(eq=False)
class Witness:
    """Takes a conversation's callbacks, on the callbacks' thread, and the tool's call, on its own.

    Attributes:
        changes: Every change of state.
        heard: The texts that came, by kind: ``agent``, ``tentative``, ``user``, ``correction``.
        tool_result: What the tool returned; None before.
        interruption: How quickly the agent fell silent; None if it was not interrupted.
        ending: How the conversation ended; None before.
        is_over: Set once it has ended.
    """

    _timeline: Timeline
    _scene: Scene
    _audio: ObservedAudio
    changes: list[StateChanged] = attrs.field(factory=list, init=False)
    heard: dict[str, list[str]] = attrs.field(init=False)
    tool_result: Mapping[str, object] | None = attrs.field(default=None, init=False)
    interruption: Interruption | None = attrs.field(default=None, init=False)
    ending: DisconnectionDetails | None = attrs.field(default=None, init=False)
    is_over: threading.Event = attrs.field(factory=threading.Event, init=False)
    _tool_shown: threading.Event = attrs.field(factory=threading.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.heard = {"agent": [], "tentative": [], "user": [], "correction": []}

    def _tell(self, who: str, what: str) -> None:
        self._timeline.add(time.monotonic(), who, what)

    # Callbacks

    def state_change(self, change: StateChanged) -> None:
        """Note and show a change of state with its event and reason."""
        if not self.changes:
            self._timeline.begin(change.at)
        self.changes.append(change)
        what = f"{change.event}: {reason_of(change)}"
        self._timeline.add(change.at, actor(change.event), what, change.target)
        if change.target == "interrupted":
            self._measure_silence(change.at)
        elif change.target == "tool_running":
            self._tool_shown.set()

    def _measure_silence(self, at: float) -> None:
        # The same step of the machine flushes the loudspeaker; this thread may be ahead of it.
        if self._audio.silenced.wait(INSTANT) and self._scene.cut.at is not None:
            silent = self._audio.silenced_at
            self.interruption = Interruption(silent - at, silent - self._scene.cut.at)
            self._timeline.add(
                silent,
                "sound",
                f"silent {1e3 * self.interruption.from_event:.2f} ms later, "
                f"{self._audio.cut_seconds:.1f} s of speech dropped",
            )

    def agent_response(self, text: str) -> None:
        """Note and show what the agent says."""
        self.heard["agent"].append(text)
        self._tell("agent", f'says "{text}"')

    def correction(self, original: str, corrected: str) -> None:
        """Note and show what the agent really said."""
        self.heard["correction"].append(corrected)
        self._tell("agent", f'was heard as far as "{corrected}"')

    def tentative_transcript(self, text: str) -> None:
        """Note and show what the user seems to say."""
        self.heard["tentative"].append(text)
        self._tell("user", f'seems to say "{text}"')

    def user_transcript(self, text: str) -> None:
        """Note and show what the user said."""
        self.heard["user"].append(text)
        self._tell("user", f'said "{text}"')

    def disconnect(self, details: DisconnectionDetails) -> None:
        """Note and show the end."""
        self.ending = details
        code = "" if details.close_code is None else f", close code {details.close_code}"
        self._tell(
            details.reason, f"ended the conversation{code}" + (f": {m}" if (m := details.message) else "")
        )
        self.is_over.set()

    # The client tool

    def use_tool(self, parameters: dict[str, Any]) -> Mapping[str, object]:
        """Be the tool: show the call, take the time that the scene says, show the result."""
        # Its thread may be ahead of the callbacks'; the change of state is shown first.
        self._tool_shown.wait(INSTANT)
        minutes = parameters.get("minutes")
        self._tell("tool", f"{TOOL}(minutes={minutes}) is called in this program")
        time.sleep(self._scene.tool_seconds)
        self.tool_result = {"timer": "running", "minutes": minutes}
        self._tell("tool", f"returns {_compact(self.tool_result)}")
        return self.tool_result

    # Judgement

    def missing(self, connection: LoopbackConnection | None, failures: list[str]) -> list[str]:
        """Return what the script has and was not seen, each in a few words; nothing if all was.

        Args:
            connection: The agent's side of the conversation; None if it never saw one.
            failures: What the agent reports.
        """
        scene = self._scene
        reached = {change.target for change in self.changes}
        lacks = [f"the state {state.name}" for state in STATES if state.name not in reached]
        for kind, wanted in (
            ("agent", scene.responses),
            ("tentative", scene.tentative),
            ("user", scene.transcripts),
            ("correction", scene.corrections),
        ):
            lacks += [f'{kind}: "{text}"' for text in wanted if text not in self.heard[kind]]
        if self.interruption is None:
            lacks.append("silence after the interruption")
        if self.ending is None or (self.ending.reason, self.ending.close_code) != ("agent", 1000):
            lacks.append(f"the agent's own end with close code 1000 (it was {self.ending})")
        if connection is None:
            return [*lacks, "a connection at the agent"]
        if [message["result"] for message in connection.tool_results] != [_compact(self.tool_result)]:
            lacks.append("the tool's result at the agent")
        if connection.pongs != list(scene.pongs):
            lacks.append(f"the pongs {list(scene.pongs)} at the agent (it got {connection.pongs})")
        if not self._is_heard(connection.user_audio):
            lacks.append("the user's words at the agent, sample for sample")
        return lacks + [f"a script without failure: {failure}" for failure in failures]

    def _is_heard(self, audio: bytes) -> bool:
        spoken = self._scene.microphone.pcm
        length = min(len(audio), len(spoken))
        is_enough = len(audio) >= self._scene.input_format.bytes_of(self._scene.ear_seconds)
        return is_enough and audio[:length] == spoken[:length] and not audio[length:].strip(b"\0")


class Notes(logging.Handler):
    """Shows convsm's own warnings as lines of the timeline, instead of strewing them over it."""

    def __init__(self, timeline: Timeline) -> None:
        """Show warnings and worse."""
        super().__init__(logging.WARNING)
        self._timeline = timeline

    def emit(self, record: logging.LogRecord) -> None:
        """Show one."""
        self._timeline.add(time.monotonic(), "note", record.getMessage())
