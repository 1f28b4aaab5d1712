"""Holding the demo's conversation: agent, conversation and sound put together, run and judged."""

from __future__ import annotations

import tempfile
import wave
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import attrs

from convsm.audio.vad import LoudnessModel, SpeechDetector
from convsm.demo.dialects import ELEVENLABS, Dialect
from convsm.demo.scene import TOOL, Scene, compose
from convsm.demo.speech import LINES, Sound, read_sound
from convsm.demo.witness import Witness
from convsm.errors import ConfigurationError
from convsm.live.audio import ObservedAudio, ObservedCard, try_out
from convsm.live.files import check_files
from convsm.live.keys import Keys, keys_of
from convsm.live.narrator import notes_on
from convsm.live.summary import Summary
from convsm.live.timeline import Timeline
from convsm.live.view import KEYS, View
from convsm.runtime.conversation import Conversation
from convsm.runtime.tools import ClientTools
from convsm.testing import LoopbackAgent

__all__ = ["Demo"]

# Everything has come to its end well before; nobody shall wait for what will not come.
LIMIT_SECONDS = 28.0
# So many times as fast, speech is chirping, but an interruption still falls into it.
HASTE = 4
# Root mean square from which on a sound is one of the user's, where 1 is full scale.
FILE_LOUDNESS, CARD_LOUDNESS = 0.02, 0.05


@attrs.frozen
class Demo:
    """A conversation with an agent on this machine, shown as it happens.

    Attributes:
        input: WAV file with the user's words; None takes those that are shipped.
        output: WAV file to write the agent's speech to, as it was heard.
        record: File to record the session to.
        is_fast: Whether everything runs four times as fast.
        card: The sound card, with a person before it; None takes WAV files.
        dialect: The protocol.
    """

    input: str | None = None
    output: str | None = None
    record: str | None = None
    is_fast: bool = False
    card: ObservedCard | None = None
    dialect: Dialect = ELEVENLABS

    def run(self, stream: TextIO, keyboard: TextIO | None = None) -> int:
        """Hold the conversation; returns once it is over, after some twenty seconds.

        Args:
            stream: Where to show it.
            keyboard: Where a person before the sound card presses keys; None takes standard input.

        Returns:
            0 if the whole script was seen, 1 if something was missing.

        Raises:
            AudioError: The input is not usable, or the sound card does not open.
            ConfigurationError: A file cannot be written, two of them are one, or the options contradict
                each other.
            OSError: The stream failed; the conversation was ended.
            KeyboardInterrupt: The user had enough; the conversation was ended.
        """
        if self.card is not None and (self.input is not None or self.output is not None):
            raise ConfigurationError(
                "--audio takes the sound card in the place of --input and --out; leave those out."
            )
        recording = None if self.input is None else read_sound(self.input)
        check_files({"--input": self.input}, {"--out": self.output, "--record": self.record})
        if self.card is not None:
            try_out(self.card)
        scene = compose(
            recording, HASTE if self.is_fast else 1, is_present=self.card is not None, dialect=self.dialect
        )
        timeline = Timeline.on(stream)
        with ExitStack() as stack:
            stack.enter_context(notes_on(timeline))
            keys = None if self.card is None else stack.enter_context(keys_of(keyboard))
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="convsm-"))
            return self._perform(scene, timeline, self.card or self._files_as_card(scene, folder), keys)

    def _files_as_card(self, scene: Scene, folder: str) -> ObservedAudio:
        assert scene.microphone is not None
        microphone = Path(folder, "microphone.wav")
        _write_sound(microphone, scene.microphone)
        return ObservedAudio(microphone, self.output, gaps=True)

    def _perform(
        self, scene: Scene, timeline: Timeline, audio: ObservedCard | ObservedAudio, keys: Keys | None
    ) -> int:
        witness = Witness(timeline, scene, audio)
        view = View(timeline, witness, audio)
        agent = self.dialect.agent_class(
            scene.steps, output_format=scene.output_format.name, input_format=scene.input_format.name
        )
        agent.start()
        try:
            conversation = self._conversation(agent, audio, witness, scene)
            timeline.text(f"{self._opening()}\n")
            if keys is not None and keys.are_there:
                timeline.text(f"{KEYS}\n")
            view.hold(conversation, keys, LIMIT_SECONDS)
        finally:
            agent.stop()
        connection = next(iter(agent.connections), None)
        missing = witness.missing(connection, agent.failures)
        assert conversation.metrics is not None
        summary = Summary(conversation.metrics, witness.interruption, self._files())
        timeline.text(f"\n{summary.text(timeline.glyphs)}\n\n{_verdict(missing, view)}")
        return 1 if missing else 0

    def _opening(self) -> str:
        if self.card is not None:
            return (
                "Talk to a scripted agent over a WebSocket on this machine, and hear it. It\n"
                "understands no word: it listens a while, answers, and thinks you interrupt it.\n"
                "Cough while it speaks, and it waits. Without a headset it may hear itself."
            )
        voice, noise = "A recorded voice talks", "It coughs, and later cuts in"
        if self.input is not None:
            voice, noise = "Your recording talks", "A cough is put before it"
        whom = " " if self.dialect is ELEVENLABS else f" of {self.dialect.name},\n"
        return (
            f"{voice} to a scripted agent{whom}over a WebSocket on this machine.\n"
            f"{noise}: this side hears that first and pauses the agent."
        )

    def _conversation(
        self, agent: LoopbackAgent, audio: ObservedCard | ObservedAudio, witness: Witness, scene: Scene
    ) -> Conversation:
        tools = ClientTools()
        tools.register(TOOL.name, witness.use_tool)

        def greet(*_: str) -> None:
            self.dialect.begin(conversation, LINES["greeting"].text)

        conversation = Conversation(
            **self.dialect.service(agent, TOOL),
            audio_interface=audio,
            client_tools=tools,
            callback_connect=greet,
            callback_agent_response=witness.agent_response,
            callback_agent_response_correction=witness.correction if self.dialect.corrects else None,
            callback_tentative_transcript=witness.tentative_transcript,
            callback_user_transcript=witness.user_transcript,
            callback_state_change=witness.state_change,
            callback_metrics=witness.measured,
            callback_disconnect=witness.disconnect,
            callback_message_sent=None if self.dialect.corrects else witness.message_sent,
            turn_handling=scene.turn_handling,
            voice_detector=SpeechDetector(LoudnessModel(self._loudness()), scene.voice_settings),
            record=self.record,
        )
        return conversation

    def _loudness(self) -> float:
        # A loudspeaker beside the microphone shall not always be taken for its user.
        return FILE_LOUDNESS if self.card is None else CARD_LOUDNESS

    def _files(self) -> list[tuple[str, str]]:
        files = []
        if self.output is not None:
            files.append(("speech heard", self.output))
        if self.record is not None:
            files.append(("recording", f"{self.record} (check it with convsm replay)"))
        return files


def _verdict(missing: list[str], view: View) -> str:
    if missing and view.has_quit:
        return "You ended it before the whole script was seen."
    if missing:
        return "\n".join(["Not seen of the script:", *(f"- {lack}" for lack in missing)])
    return "The whole script was seen, all seven states and the agent's farewell included."


def _write_sound(path: Path, sound: Sound) -> None:
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(sound.rate)
        writer.writeframes(sound.pcm)
