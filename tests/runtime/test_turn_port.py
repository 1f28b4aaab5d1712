"""Hooks, classifiers and detectors of the user's that fail, hang or answer nonsense; in each shell."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any

import pytest

from convsm import (
    ClientTools,
    ConfigurationError,
    ProtocolError,
    RealtimeOptions,
    RefusedCommand,
    ServerVad,
)
from convsm.testing import openai_script
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    FakeAudio,
    Log,
    conversation,
    nothing_is_left,
    until,
)
from tests.runtime.protocols import ELEVENLABS, OPENAI
from tests.runtime.test_turn_ending import (
    COMMIT,
    REPLY,
    VAD,
    Detector,
    Silent,
    ask_in_a_pause,
    asked,
    detected,
)
from tests.runtime.test_turn_taking import agent_speaks, begin_to_speak, talk

pytestmark = pytest.mark.usefixtures("shell")


class Classifier:
    def __init__(self, verdict: Any) -> None:
        self.verdict = verdict

    def classify(self, overlap: Any) -> Any:
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


@pytest.mark.parametrize("verdict", [ValueError("mine"), None, "perhaps", ["interruption"]])
def test_a_classifier_that_gives_no_verdict_loses_neither_words_nor_interruption(
    agent, protocol, verdict, caplog
):
    with talk(agent, overlap_classifier=Classifier(verdict)) as call:
        connection = call.start()
        agent_speaks(call, connection, protocol)
        begin_to_speak(call)
        call.advance(0.2)
        assert call.conversation.state == "interrupted"
        connection.send(protocol.user_said("Stop it", 2))
        call.log.wait_for(("user", "Stop it"))
        call.audio.log.wait_for("interrupt")
        assert "overlap classifier" in caplog.text


def test_a_verdict_counts(agent, protocol):
    with talk(agent, overlap_classifier=Classifier("backchannel")) as call:
        connection = call.start()
        agent_speaks(call, connection, protocol, seconds=4.0)
        call.advance(1.5)
        begin_to_speak(call)
        call.advance(0.2)
        connection.send(protocol.user_said("Mhm", 2))
        call.audio.log.wait_for("resume")
        assert "interrupt" not in call.audio.log.entries


class Ear(Classifier):
    """A classifier that listens."""

    def __init__(self, verdict: Any) -> None:
        super().__init__("unknown")
        self.heard = Log()
        self.answer = verdict

    async def classify_sound(self, overlap: Any, audio: bytes) -> Any:
        self.heard.add(audio)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def overlap(call: Any, protocol: Any, connection: Any) -> None:
    """Let the agent speak for a while, and the user for long enough to pause it."""
    agent_speaks(call, connection, protocol, seconds=4.0)
    call.advance(1.5)
    begin_to_speak(call)
    call.audio.microphone(b"\x01\x02" * 100)
    until(call.driver.turns._listening.latest)
    call.advance(0.2)


@pytest.mark.parametrize(("verdict", "outcome"), [("backchannel", "resume"), ("interruption", "interrupt")])
def test_a_classifier_that_listens_decides_by_sound(agent, protocol, verdict, outcome):
    ear = Ear(verdict)
    with talk(agent, overlap_classifier=ear, voice_detector=Silent()) as call:
        overlap(call, protocol, call.start())
        call.audio.log.wait_for(outcome)
        assert ear.heard.entries == [b"\x01\x02" * 100]
        entries = call.audio.log.entries
        assert entries[entries.index("pause") + 1] == outcome


@pytest.mark.parametrize("verdict", [ValueError("mine"), "perhaps", None])
def test_one_that_listens_and_fails_leaves_it_to_words_and_silence(agent, protocol, verdict, caplog):
    with talk(agent, overlap_classifier=Ear(verdict), voice_detector=Silent()) as call:
        overlap(call, protocol, call.start())
        until(lambda: "overlap classifier failed" in caplog.text)
        assert call.conversation.state == "interrupted"


@pytest.mark.parametrize("is_protected", [True, False])
def test_a_reply_may_be_protected_from_interruptions(openai, is_protected):
    with talk(openai, turn_handling=VAD, voice_detector=Silent()) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        call.settle()
        call.conversation.generate_reply("Be brief.", allow_interruptions=not is_protected)
        until(lambda: asked(connection) == [REPLY])
        agent_speaks(call, connection, OPENAI)
        begin_to_speak(call)
        call.advance(0.6)
        assert (call.conversation.state == "agent_speaking") is is_protected
        if is_protected:
            with pytest.raises(RefusedCommand, match="force"):
                call.conversation.interrupt()
            call.conversation.interrupt(force=True)
            call.wait_for_state("interrupted")


def test_only_turn_handling_protects_a_reply(openai):
    with conversation(openai, audio_interface=FakeAudio()) as call:
        call.start()
        for ask in (call.conversation.generate_reply, call.conversation.say):
            with pytest.raises(ConfigurationError, match="turn_handling"):
                ask("Hello", allow_interruptions=False)


def test_a_server_that_replies_by_itself_is_not_asked_for_a_protected_reply():
    with ELEVENLABS.agent() as agent, talk(agent) as call:
        call.start()
        with pytest.raises(ProtocolError):
            call.conversation.say("Hello", allow_interruptions=False)
        assert call.driver.turns.taking.turn.promises == []


def test_hooks_that_never_return_hold_up_no_tool():
    gate, hooked, tools = threading.Event(), Log(), ClientTools()
    tools.register("where", lambda parameters: "here")

    def hang(turn: Any) -> None:
        hooked.add(turn.number)
        gate.wait(30)

    with (
        ELEVENLABS.agent() as agent,
        talk(agent, on_user_turn_completed=hang, client_tools=tools) as call,
    ):
        try:
            connection = call.start()
            for number in range(1, 21):
                connection.send(ELEVENLABS.user_said(f"Turn {number}", number))
            hooked.wait_for(16)
            connection.send(ELEVENLABS.call_tool("where"))
            until(lambda: ELEVENLABS.results(connection) == [("call_1", "here", False)])
        finally:
            gate.set()


def test_a_probability_may_be_any_real_number(openai):
    detector = Detector(Fraction(9, 10))
    with talk(openai, **detected(detector)) as call:
        call.start()
        ask_in_a_pause(call, detector)
        until(lambda: call.driver.turns.taking.turn.prediction == 0.9)


LIMITED = {"user_turn_limit": {"max_duration": 2.0}}


def test_the_agent_takes_the_floor_from_a_turn_that_is_too_long(openai):
    with talk(openai, turn_handling={**VAD, **LIMITED}, voice_detector=Silent()) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        call.settle()
        begin_to_speak(call)
        call.audio.microphone(b"\x01\x02" * 4800)
        call.advance(1.9)
        assert asked(connection) == []
        call.advance(0.2)
        connection.send(openai_script.UserSaid("And then and then"))
        until(lambda: asked(connection) == [COMMIT, REPLY])


def test_the_agent_takes_the_floor_where_the_server_ends_turns_and_waits_to_be_asked(openai):
    realtime = RealtimeOptions(turn_detection=ServerVad(create_response=False))
    with talk(openai, turn_handling=LIMITED, realtime=realtime) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        call.settle()
        begin_to_speak(call)
        call.advance(2.1)
        connection.send(openai_script.UserSaid("And then and then"))
        until(lambda: asked(connection) == [REPLY])


@pytest.mark.parametrize("hook", [print, lambda fact: 1 / 0])
def test_a_hook_for_long_turns_decides_itself(openai, hook, caplog):
    told = Log()
    options = {"on_user_turn_exceeded": hook, "callback_user_turn_exceeded": told.add}
    with talk(openai, turn_handling={**VAD, **LIMITED}, voice_detector=Silent(), **options) as call:
        connection = call.start()
        begin_to_speak(call)
        call.advance(2.1)
        told.wait_for(lambda fact: True)
        if hook is not print:
            until(lambda: "on_user_turn_exceeded failed" in caplog.text)
        call.settle()
        assert asked(connection) == []


def test_whoever_replies_by_itself_is_not_asked_to(agent):
    told = Log()
    with talk(agent, turn_handling=LIMITED, callback_user_turn_exceeded=told.add) as call:
        call.start()
        begin_to_speak(call)
        call.advance(2.1)
        told.wait_for(lambda fact: True)
        call.settle()
        assert call.driver.turns.taking.turn.state == "speaking"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"voice_detector": "silero"}, "silero"),
        ({"voice_detector": Silent(), "turn_handling": None}, "turn_handling"),
    ],
)
def test_a_detector_that_would_do_nothing_is_refused(openai, given, message):
    with pytest.raises(ConfigurationError, match=message), talk(openai, **given):
        pass
