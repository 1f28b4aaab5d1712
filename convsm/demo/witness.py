"""The witness of the demo: a narrator who notes what was seen, and tells what of the script is missing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

import attrs

from convsm.demo.scene import TOOL, Scene
from convsm.live.audio import WatchedAudio
from convsm.live.narrator import Narrator
from convsm.live.summary import Interruption
from convsm.machine.effects import StateChanged
from convsm.machine.table import STATES
from convsm.observation.session_metrics import Measured
from convsm.testing import LoopbackConnection

__all__ = ["Witness"]

# For what happens on another thread in the same instant.
INSTANT = 1.0


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


@attrs.define(eq=False)
class Witness(Narrator):
    """Takes a conversation's callbacks, on the callbacks' thread, and the tool's call, on its own.

    Attributes:
        heard: The texts that came, by kind: ``agent``, ``tentative``, ``user``, ``correction``.
        tool_result: What the tool returned; None before.
        interruption: How quickly the agent was silenced; None if it was not interrupted.
        has_gone_on: Whether the agent went on after an interruption that was none.
        told: How many seconds the agent was told were heard, of each turn that was cut.
    """

    _scene: Scene
    _audio: WatchedAudio
    heard: dict[str, list[str]] = attrs.field(init=False)
    tool_result: Mapping[str, object] | None = attrs.field(default=None, init=False)
    interruption: Interruption | None = attrs.field(default=None, init=False)
    has_gone_on: bool = attrs.field(default=False, init=False)
    told: list[float] = attrs.field(factory=list, init=False)
    _suspected_at: float = attrs.field(default=0.0, init=False)
    _tool_shown: threading.Event = attrs.field(factory=threading.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.heard = {"agent": [], "tentative": [], "user": [], "correction": []}

    # Callbacks

    def state_change(self, change: StateChanged) -> None:
        """Note and show a change of state, and how quickly one to interrupted was obeyed."""
        super().state_change(change)
        if change.event == "InterruptionSuspected":
            self._suspected_at = change.at  # nothing is cut yet, and perhaps nothing will be
        elif change.event == "InterruptionDismissed":
            self.has_gone_on = True
        elif change.target == "interrupted":
            self._measure_silence(change)
        elif change.target == "tool_running":
            self._tool_shown.set()

    def _measure_silence(self, change: StateChanged) -> None:
        # The same step of the machine flushes the loudspeaker; this thread may be ahead of it.
        cut = self._audio.clock.wait_for_cut(change.at, INSTANT)
        if cut is None:
            return
        sent_at = self._scene.cut.at if change.event == "Interrupted" else None
        self.interruption = Interruption(cut.at - change.at, None if sent_at is None else cut.at - sent_at)
        self._timeline.add(
            cut.at,
            "sound",
            f"silenced {1e3 * self.interruption.from_event:.2f} ms later, "
            f"{cut.seconds:.1f} s of speech dropped",
        )

    def measured(self, found: Measured) -> None:
        """Note and show what a suspicion has cut that is confirmed."""
        was_undecided = self._is_undecided
        super().measured(found)
        if self._is_undecided or not was_undecided:
            return
        cut = self._audio.clock.wait_for_cut(self._suspected_at, INSTANT)
        if cut is None:
            return
        paused_at, sent_at = self._suspected_at + found.value, self._scene.cut.at
        self.interruption = Interruption(found.value, None if sent_at is None else paused_at - sent_at)
        told = f"paused for {cut.at - paused_at:.2f} s; {cut.seconds:.1f} s of speech dropped"
        self._timeline.add(cut.at, "sound", told)

    def agent_response(self, text: str) -> None:
        """Note and show what the agent says."""
        self.heard["agent"].append(text)
        super().agent_response(text)

    def correction(self, original: str, corrected: str) -> None:
        """Note and show what the agent really said."""
        self.heard["correction"].append(corrected)
        super().correction(original, corrected)

    def tentative_transcript(self, text: str) -> None:
        """Note and show what the user seems to say."""
        self.heard["tentative"].append(text)
        self.tell("user", f'seems to say "{text}"')

    def user_transcript(self, text: str) -> None:
        """Note and show what the user said."""
        self.heard["user"].append(text)
        super().user_transcript(text)

    def message_sent(self, frame: bytes) -> None:
        """Note and show how much of its speech the agent is told was heard."""
        seconds = self._scene.dialect.told_heard(frame)
        if seconds is not None:
            self.told.append(seconds)
            self.tell("app", f"tells the agent that {seconds:.2f} s of its answer were heard")

    # The client tool

    def use_tool(self, parameters: dict[str, Any]) -> Mapping[str, object]:
        """Be the tool: show the call, take the time that the scene says, show the result."""
        # Its thread may be ahead of the callbacks'; the change of state is shown first.
        self._tool_shown.wait(INSTANT)
        minutes = parameters.get("minutes")
        self.tell("tool", f"{TOOL.name}(minutes={minutes}) is called in this program")
        time.sleep(self._scene.tool_seconds)
        self.tool_result = {"timer": "running", "minutes": minutes}
        self.tell("tool", f"returns {_compact(self.tool_result)}")
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
        if scene.cut_seconds is not None and not self._is_told(scene.cut_seconds):
            lacks.append(f"how much was heard of the {scene.cut_seconds:.1f} s of the answer")
        if scene.microphone is not None and not self.has_gone_on:
            lacks.append("a false interruption after which the agent goes on")
        if self.interruption is None:
            lacks.append("silence after the interruption")
        if self.ending is None or (self.ending.reason, self.ending.close_code) != ("agent", 1000):
            lacks.append(f"the agent's own end with close code 1000 (it was {self.ending})")
        if connection is None:
            return [*lacks, "a connection at the agent"]
        if scene.dialect.results(connection) != [_compact(self.tool_result)]:
            lacks.append("the tool's result at the agent")
        if connection.pongs != list(scene.pongs):
            lacks.append(f"the pongs {list(scene.pongs)} at the agent (it got {connection.pongs})")
        if not self._is_heard(connection.user_audio):
            lacks.append(
                "the user's words at the agent" + (", sample for sample" if scene.microphone else "")
            )
        return lacks + [f"a script without failure: {failure}" for failure in failures]

    def _is_told(self, cut_seconds: float) -> bool:
        # A person may cut in before the answer too.
        is_once = len(self.told) == 1 or self._scene.microphone is None
        return is_once and bool(self.told) and 0 < self.told[-1] < cut_seconds

    def _is_heard(self, audio: bytes) -> bool:
        if len(audio) < self._scene.input_format.bytes_of(self._scene.ear_seconds):
            return False
        if self._scene.microphone is None:
            return True  # nobody knows what a person said
        spoken = self._scene.microphone.pcm
        length = min(len(audio), len(spoken))
        return audio[:length] == spoken[:length] and not audio[length:].strip(b"\0")
