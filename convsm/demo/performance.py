"""Holding the demo's conversation: agent, conversation and WAV files put together, run and judged."""

from __future__ import annotations

import logging
import os
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import attrs

from convsm.demo.observing import ObservedAudio, ObservedConversation
from convsm.demo.scene import TOOL, Scene, compose
from convsm.demo.speech import Sound, read_sound
from convsm.demo.summary import Summary
from convsm.demo.timeline import Timeline, bar
from convsm.demo.witness import Notes, Witness
from convsm.errors import ConfigurationError, ConnectionFailed
from convsm.runtime.tools import ClientTools
from convsm.testing import LoopbackAgent
from convsm.transport.rest import ElevenLabs

__all__ = ["Demo"]

# Everything has come to its end well before; nobody shall wait for what will not come.
LIMIT_SECONDS = 28.0
# Ten pictures a second look alive.
FRAME_SECONDS = 0.1
# So many times as fast, speech is chirping, but an interruption still falls into it.
HASTE = 4
METER_COLUMNS = 20
# Beside a meter: " 12.3 of 12.3 s heard".
METER_TEXT_COLUMNS = 21


@attrs.frozen
class Demo:
    """A conversation with an agent on this machine, shown as it happens.

    Attributes:
        input: WAV file with the user's words; None takes those that are shipped.
        output: WAV file to write the agent's speech to, as it was heard.
        record: File to record the session to.
        is_fast: Whether everything runs four times as fast.
    """

    input: str | None = None
    output: str | None = None
    record: str | None = None
    is_fast: bool = False

    def run(self, stream: TextIO) -> int:
        """Hold the conversation; returns once it is over, after some twenty seconds.

        Args:
            stream: Where to show it.

        Returns:
            0 if the whole script was seen, 1 if something was missing.

        Raises:
            AudioError: The input is not usable.
            ConfigurationError: A file cannot be written, or two of them are one.
            OSError: The stream failed; the conversation was ended.
            KeyboardInterrupt: The user had enough; the conversation was ended.
        """
        recording = None if self.input is None else read_sound(self.input)
        self._check_files()
        scene = compose(recording, HASTE if self.is_fast else 1)
        timeline = Timeline.on(stream)
        with tempfile.TemporaryDirectory(prefix="convsm-") as folder, _notes_on(timeline):
            microphone = Path(folder, "microphone.wav")
            _write_sound(microphone, scene.microphone)
            return self._perform(scene, timeline, microphone)

    def _check_files(self) -> None:
        files = {"--input": self.input, "--out": self.output, "--record": self.record}
        seen: dict[str, str] = {}
        for option, path in files.items():
            if path is None:
                continue
            real = os.path.realpath(path)
            if real in seen:
                raise ConfigurationError(
                    f"{seen[real]} and {option} are one file; name another for {option}."
                )
            seen[real] = option
            if option != "--input":
                _require_writable(option, path)

    def _perform(self, scene: Scene, timeline: Timeline, microphone: Path) -> int:
        audio = ObservedAudio(microphone, self.output, gaps=True)
        witness = Witness(timeline, scene, audio)
        agent = LoopbackAgent(
            scene.steps, output_format=scene.output_format.name, input_format=scene.input_format.name
        )
        agent.start()
        try:
            conversation = self._conversation(agent, audio, witness)
            voice = "A recorded voice talks" if self.input is None else "Your recording talks"
            timeline.text(f"{voice} to a scripted agent over a WebSocket on this machine.\n")
            conversation.start_session()
            try:
                _watch(timeline, witness, audio)
            finally:
                timeline.finish()
                conversation.end_session()
                _wait_for_end(conversation)
        finally:
            agent.stop()
        if timeline.fault is not None:
            raise timeline.fault
        connection = next(iter(agent.connections), None)
        missing = witness.missing(connection, agent.failures)
        summary = Summary(witness.changes, witness.interruption, conversation.traffic, self._files())
        timeline.text(f"\n{summary.text(timeline.glyphs)}\n\n{_verdict(missing)}")
        return 1 if missing else 0

    def _conversation(
        self, agent: LoopbackAgent, audio: ObservedAudio, witness: Witness
    ) -> ObservedConversation:
        tools = ClientTools()
        tools.register(TOOL, witness.use_tool)
        conversation = ObservedConversation(
            ElevenLabs(base_url=agent.base_url),
            "demo",
            requires_auth=False,
            audio_interface=audio,
            client_tools=tools,
            callback_agent_response=witness.agent_response,
            callback_agent_response_correction=witness.correction,
            callback_user_transcript=witness.user_transcript,
            callback_state_change=witness.state_change,
            callback_disconnect=witness.disconnect,
            record=self.record,
        )
        conversation.callback_tentative_transcript = witness.tentative_transcript
        return conversation

    def _files(self) -> list[tuple[str, str]]:
        files = []
        if self.output is not None:
            files.append(("speech heard", self.output))
        if self.record is not None:
            files.append(("recording", f"{self.record} (check it with convsm replay)"))
        return files


def activity(witness: Witness, audio: ObservedAudio, now: float, timeline: Timeline) -> tuple[str, str]:
    """Return what the last line shows: who is at it, and a meter.

    Args:
        witness: Knows the state and since when.
        audio: Knows what sounds.
        now: Monotonic seconds.
        timeline: Knows how a meter has to look.
    """
    columns = min(METER_COLUMNS, timeline.room - METER_TEXT_COLUMNS)
    playout = audio.playout(now)
    if playout is not None:
        whole = playout.heard + playout.queued
        gauge = bar(playout.heard / whole, columns, timeline.glyphs)
        return "agent", f"{gauge} {playout.heard:.1f} of {whole:.1f} s heard"
    latest = witness.changes[-1] if witness.changes else None
    if latest is not None and latest.target == "tool_running":
        return "tool", f"runs for {now - latest.at:.1f} s"
    # The root brings soft speech up, as the ear does.
    return "user", f"{bar(audio.level**0.5, columns, timeline.glyphs)} microphone"


def _watch(timeline: Timeline, witness: Witness, audio: ObservedAudio) -> None:
    """Keep the last line alive until the conversation is over, cannot be shown, or takes too long."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not witness.is_over.wait(FRAME_SECONDS):
        now = time.monotonic()
        if now > deadline or timeline.fault is not None:
            return
        timeline.show(now, *activity(witness, audio, now, timeline))


def _wait_for_end(conversation: ObservedConversation) -> None:
    # Why it ended is told by callback_disconnect, a failed connection included.
    with suppress(ConnectionFailed):
        conversation.wait_for_session_end()


def _verdict(missing: list[str]) -> str:
    if missing:
        return "\n".join(["Not seen of the script:", *(f"- {lack}" for lack in missing)])
    return "The whole script was seen, all seven states and the agent's farewell included."


def _write_sound(path: Path, sound: Sound) -> None:
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(sound.rate)
        writer.writeframes(sound.pcm)


def _require_writable(option: str, path: str) -> None:
    # Now rather than in the middle of the conversation; what the file holds is left alone until then.
    try:
        with open(path, "ab"):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"{option} {path} cannot be written ({error.strerror}); name another file."
        ) from None


@contextmanager
def _notes_on(timeline: Timeline) -> Iterator[None]:
    """Put convsm's warnings on the timeline for a while, and nowhere else."""
    logger, notes = logging.getLogger("convsm"), Notes(timeline)
    propagates = logger.propagate
    logger.addHandler(notes)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = propagates
        logger.removeHandler(notes)
