"""Whole conversations with a loopback agent, over a real socket and the virtual sound card."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest

from convsm import Conversation, DisconnectionDetails, ElevenLabs
from convsm.audio.device import DefaultAudioInterface
from convsm.audio.mulaw import ulaw_to_pcm
from convsm.machine.effects import StateChanged
from convsm.testing import HangUp, Interrupt, LoopbackAgent, SendAudio, UserSaid
from convsm.testing.connection import LoopbackConnection
from tests.audio.sound_card import PATIENCE, SoundCard, wait_until
from tests.audio.sounds import samples


@attrs.define
class Talk:
    """A conversation under way, and what it reported."""

    agent: LoopbackAgent
    interface: DefaultAudioInterface
    states: list[str] = attrs.field(factory=list)
    endings: list[DisconnectionDetails] = attrs.field(factory=list)
    is_over: threading.Event = attrs.field(factory=threading.Event)
    conversation: Conversation = attrs.field(init=False)
    connection: LoopbackConnection = attrs.field(init=False)

    def note_state(self, change: StateChanged) -> None:
        self.states.append(change.target)

    def note_end(self, details: DisconnectionDetails) -> None:
        self.endings.append(details)
        self.is_over.set()

    def wait_for_state(self, state: str) -> None:
        wait_until(lambda: self.conversation.state == state, f"the state {state}")


@contextmanager
def talking(interface: DefaultAudioInterface | None = None, **options: Any) -> Iterator[Talk]:
    with LoopbackAgent() as agent:
        talk = Talk(agent, interface or DefaultAudioInterface())
        talk.conversation = Conversation(
            ElevenLabs(api_key="key", base_url=agent.base_url),
            "agent_1",
            requires_auth=False,
            audio_interface=talk.interface,
            callback_state_change=talk.note_state,
            callback_disconnect=talk.note_end,
            **options,
        )
        talk.conversation.start_session()
        try:
            talk.connection = agent.wait_for_connection(PATIENCE)
            assert talk.connection.script_done.wait(PATIENCE)
            yield talk
        finally:
            talk.conversation.end_session()
            talk.conversation.wait_for_session_end()


def test_the_user_is_heard_by_the_agent_and_the_agent_by_the_user_to_the_sample(sound_card: SoundCard):
    voice, speech = samples(1, 16000), samples(10001, 16000)
    with sound_card.monitor() as monitor, talking() as talk:
        talk.connection.wait_for("user_audio", PATIENCE)
        sound_card.speak(voice)
        wait_until(lambda: voice in talk.connection.user_audio, "the user's words")
        for start in range(0, len(speech), 8001):
            talk.connection.send(SendAudio(speech[start : start + 8001]))
        talk.wait_for_state("agent_speaking")
        talk.wait_for_state("listening")
        assert monitor.wait_for_silence() == speech
    assert talk.states == ["connecting", "listening", "agent_speaking", "listening", "closing", "idle"]


def test_an_interruption_is_silence_and_the_next_turn_is_heard_whole(sound_card: SoundCard):
    answer = samples(20001, 8000)
    with sound_card.monitor() as monitor, talking() as talk:
        talk.connection.send(SendAudio(samples(1, 16000), turn=1))
        monitor.wait_for(3200)
        talk.connection.send(Interrupt(1))
        talk.wait_for_state("interrupted")
        heard = monitor.wait_for_silence()
        assert samples(1, 16000).startswith(heard)
        assert len(heard) < 24000
        talk.connection.send(UserSaid("And then?", turn=2))
        talk.connection.send(SendAudio(answer, turn=2))
        talk.wait_for_state("agent_speaking")
        talk.wait_for_state("listening")
        assert monitor.wait_for_silence() == heard + answer


def test_the_farewell_of_an_agent_that_hangs_up_is_heard_whole(sound_card: SoundCard):
    farewell = samples(1, 32000)
    with sound_card.monitor() as monitor, talking() as talk:
        talk.connection.send(SendAudio(farewell))
        talk.connection.send(HangUp())
        assert talk.is_over.wait(PATIENCE)
        assert monitor.wait_for_silence() == farewell
    assert [ending.reason for ending in talk.endings] == ["agent"]


def test_the_user_who_ends_it_hears_no_more(sound_card: SoundCard):
    speech = samples(1, 32000)
    with sound_card.monitor() as monitor, talking() as talk:
        talk.connection.send(SendAudio(speech))
        monitor.wait_for(3200)
        talk.conversation.end_session()
        assert talk.is_over.wait(PATIENCE)
        heard = monitor.wait_for_silence()
    assert speech.startswith(heard)
    assert len(heard) < 32000
    assert [ending.reason for ending in talk.endings] == ["user"]


@pytest.mark.parametrize("audio_required", [True, False])
def test_a_sound_server_that_dies_ends_the_session_or_leaves_it_without_audio(
    sound_card: SoundCard, audio_required: bool
):
    interface = DefaultAudioInterface(reopen_seconds=0)
    with talking(interface, audio_required=audio_required) as talk:
        talk.connection.send(SendAudio(samples(1, 32000)))
        talk.wait_for_state("agent_speaking")
        wait_until(lambda: interface.position, "speech")
        sound_card.kill()
        if audio_required:
            assert talk.is_over.wait(PATIENCE)
            assert [ending.reason for ending in talk.endings] == ["error"]
            assert "has stopped; check that it is connected" in str(talk.endings[0])
        else:
            talk.wait_for_state("listening")
            talk.connection.send(UserSaid("Can you hear me?"))
            assert talk.endings == []
    assert talk.states[-1] == "idle"


@pytest.mark.parametrize("audio_required", [True, False])
def test_without_a_sound_card_the_session_ends_or_goes_on(sound_card: SoundCard, audio_required: bool):
    sound_card.kill()
    with talking(audio_required=audio_required) as talk:
        if audio_required:
            assert talk.is_over.wait(PATIENCE)
            assert "No loudspeaker was found" in str(talk.endings[0])
        else:
            talk.wait_for_state("listening")
    assert talk.states[-1] == "idle"


def test_ulaw_is_negotiated_and_heard(sound_card: SoundCard):
    codes = bytes(code for code in range(256) if code not in (0x7F, 0xFF)) * 20
    with (
        sound_card.at_rate(8000),
        LoopbackAgent(output_format="ulaw_8000", input_format="ulaw_8000") as agent,
        sound_card.monitor("speaker-8000", 8000) as monitor,
    ):
        conversation = Conversation(
            ElevenLabs(api_key="key", base_url=agent.base_url),
            "agent_1",
            requires_auth=False,
            audio_interface=DefaultAudioInterface(),
        )
        with conversation:
            connection = agent.wait_for_connection(PATIENCE)
            connection.send(SendAudio(codes))
            connection.wait_for("user_audio", PATIENCE)
            assert connection.user_audio[:160] == b"\xff" * 160
            monitor.wait_for(2 * len(codes) - 2)
            assert monitor.wait_for_silence() == ulaw_to_pcm(codes)
