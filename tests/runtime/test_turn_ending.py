"""Turns that this side ends, with a server that leaves that to it; in each shell."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from convsm import ConfigurationError, RealtimeOptions, ServerVad, StopResponse
from convsm.errors import AudioError
from convsm.runtime import turn_setup
from convsm.testing import OpenAILoopbackAgent, openai_script
from convsm.turns.events import SpeechEnded, SpeechPaused, SpeechStarted
from convsm.turns.reports import LateTranscript
from tests.runtime.helpers import Call, Log, nothing_is_left, until  # noqa: F401 (a fixture)
from tests.runtime.test_turn_taking import begin_to_speak, fall_silent, hold, now, post, talk

pytestmark = pytest.mark.usefixtures("shell")

VAD = {"turn_detection": "vad", "endpointing": {"min_delay": 0.4}, "aec_warmup_duration": None}


@pytest.fixture
def agent() -> Iterator[OpenAILoopbackAgent]:
    with OpenAILoopbackAgent() as agent:
        yield agent


def sent(connection: Any, *kinds: str) -> list[str]:
    """Return which messages of these types came, in order."""
    return [message["type"] for message in connection.messages(lambda message: message["type"] in kinds)]


def asked(connection: Any) -> list[str]:
    return sent(connection, "input_audio_buffer.commit", "response.create", "input_audio_buffer.clear")


COMMIT, REPLY, CLEAR = "input_audio_buffer.commit", "response.create", "input_audio_buffer.clear"


def speak(call: Call, seconds: float = 1.0) -> None:
    """Say something that the microphone and a detector hear."""
    call.audio.log.wait_for("start")
    call.settle()
    begin_to_speak(call)
    call.audio.microphone(b"\x01\x02" * 4800)
    call.advance(seconds)
    fall_silent(call)


def test_the_server_is_told_not_to_end_turns_and_when_one_is_over(agent):
    with talk(agent, turn_handling=VAD, voice_detector=Silent()) as call:
        connection = call.start()
        until(lambda: connection.messages("session.update"))
        [update] = connection.messages("session.update")
        assert update["session"]["audio"]["input"]["turn_detection"] is None
        speak(call)
        call.advance(0.35)
        assert asked(connection) == []
        call.advance(0.1)
        until(lambda: asked(connection) == [COMMIT, REPLY])


def test_who_goes_on_speaking_keeps_the_turn(agent):
    with talk(agent, turn_handling=VAD, voice_detector=Silent()) as call:
        connection = call.start()
        speak(call)
        call.advance(0.3)
        begin_to_speak(call)
        call.advance(1.0)
        assert asked(connection) == []
        fall_silent(call)
        call.advance(0.45)
        until(lambda: asked(connection) == [COMMIT, REPLY])


class Silent:
    """A detector that hears nothing: the test says what is heard."""

    def feed(self, audio: bytes, at: float) -> list[Any]:
        return []

    def reset(self) -> None: ...


class Detector:
    """A turn detector that listens, and answers what the test wants."""

    is_streaming = True
    unlikely_threshold = 0.5

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = Log()
        self.gate = threading.Event()

    async def probability(self, transcript: str, audio: bytes) -> float:
        import asyncio

        self.asked.add((transcript, len(audio)))
        while self.answer is None:
            await asyncio.sleep(0.005)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]


def ask_in_a_pause(call: Call, detector: Detector) -> None:
    """Speak and pause for as long as a detector that listens is asked after."""
    call.audio.log.wait_for("start")
    call.settle()
    call.audio.microphone(b"\x01\x02" * 4800)
    until(lambda: call.driver.turns._listening.latest())
    post(call, SpeechStarted(now(call)))
    call.advance(1.0)
    post(call, SpeechPaused(now(call)))
    call.advance(0.2)
    detector.asked.wait_for(("", 9600))


def detected(detector: Detector) -> dict[str, Any]:
    return {
        "turn_handling": {"turn_detection": detector, "aec_warmup_duration": None},
        "voice_detector": Silent(),
    }


@pytest.mark.parametrize(("answer", "delay"), [(0.9, 0.3), (0.1, 2.5)])
def test_a_turn_detector_chooses_the_delay(agent, answer, delay):
    detector = Detector(answer)
    with talk(agent, **detected(detector)) as call:
        connection = call.start()
        ask_in_a_pause(call, detector)
        until(lambda: call.driver.turns.taking.turn.prediction == answer)
        post(call, SpeechEnded(now(call) - 0.2))
        call.advance(delay - 0.25)
        assert asked(connection) == []
        call.advance(0.1)
        until(lambda: asked(connection) == [COMMIT, REPLY])


@pytest.mark.parametrize("answer", [None, ValueError("mine"), 7, "soon"])
def test_a_turn_detector_that_does_not_answer_delays_nobody_for_long(agent, answer, caplog):
    detector = Detector(answer)
    with talk(agent, **detected(detector)) as call:
        connection = call.start()
        ask_in_a_pause(call, detector)
        if answer is not None:
            until(lambda: "turn detector failed" in caplog.text)
        post(call, SpeechEnded(now(call) - 0.2))
        call.advance(1.1)
        until(lambda: asked(connection) == [COMMIT, REPLY])


class Reader:
    """A turn detector that reads."""

    is_streaming = False
    unlikely_threshold = 0.5

    async def probability(self, transcript: str, audio: bytes) -> float:
        assert audio == b""
        return 0.9 if transcript.endswith(".") else 0.1


def server_hears(connection: Any, *pieces: str) -> None:
    """Let the server hear and understand what the user says, with a pause behind each piece."""
    for piece in pieces:
        connection.send({"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "user"})
        connection.send({"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 9, "item_id": "user"})
        connection.send(openai_script.UserSaid(piece))


@pytest.mark.parametrize(("detection", "delay"), [("stt", 0.5), (Reader(), 3.0)])
def test_the_servers_recognition_tells_words_and_this_side_ends_the_turn(agent, detection, delay):
    turns = Log()
    options = {"voice_detector": None, "on_user_turn_completed": lambda turn: turns.add(turn.transcript)}
    with talk(agent, turn_handling={"turn_detection": detection}, **options) as call:
        connection = call.start()
        until(lambda: connection.messages("session.update"))
        [update] = connection.messages("session.update")
        assert update["session"]["audio"]["input"]["turn_detection"]["create_response"] is False
        server_hears(connection, "What is", "the time")
        call.log.wait_for(("user", "the time"))
        call.settle()
        call.advance(delay - 0.1)
        assert asked(connection) == []
        call.advance(0.2)
        turns.wait_for("What is the time")
        until(lambda: asked(connection) == [REPLY])


def test_a_detector_that_reads_knows_a_whole_sentence(agent):
    with talk(agent, turn_handling={"turn_detection": Reader()}, voice_detector=None) as call:
        connection = call.start()
        server_hears(connection, "What is the time.")
        call.log.wait_for(("user", "What is the time."))
        call.settle()
        until(lambda: call.driver.turns.taking.turn.prediction is not None)
        call.advance(0.6)
        until(lambda: asked(connection) == [REPLY])


def test_whoever_is_to_ask_for_replies_has_to_know_of_turns(agent):
    realtime = RealtimeOptions(turn_detection=ServerVad(create_response=False), transcription=None)
    with pytest.raises(ConfigurationError, match="replies by itself"), talk(agent, realtime=realtime) as call:
        call.conversation.start_session()


def stopping(turn: object) -> None:
    raise StopResponse


def test_a_hook_can_stop_the_reply(agent):
    stopped = Log()

    def hook(turn: Any) -> None:
        stopped.add(turn.number)
        raise StopResponse

    options = {"on_user_turn_completed": hook, "voice_detector": Silent()}
    with talk(agent, turn_handling=VAD, **options) as call:
        connection = call.start()
        speak(call)
        call.advance(0.5)
        stopped.wait_for(1)
        call.settle()
        speak(call)
        call.advance(0.5)
        stopped.wait_for(2)
        until(lambda: asked(connection) == [COMMIT, COMMIT])
        call.conversation.end_session()
        assert connection.closed.wait(5)
    assert asked(connection) == [COMMIT, COMMIT]


@pytest.mark.parametrize(("hook", "replies"), [(stopping, []), (print, [REPLY])])
def test_a_hook_can_stop_the_reply_to_a_turn_that_the_server_ended(agent, hook, replies):
    realtime = RealtimeOptions(turn_detection=ServerVad(create_response=False))
    with talk(agent, realtime=realtime, on_user_turn_completed=hook) as call:
        connection = call.start()
        connection.send(openai_script.UserSaid("Hello"))
        until(lambda: call.driver.turns.taking.turn.turn == 2)
        until(lambda: asked(connection) == replies)


def hold_and_release(call: Call, connection: Any, commits: int, **options: Any) -> Any:
    """Speak by hand and wait until the server has made a piece of that."""
    hold(call)
    commit = call.conversation.commit_user_turn(**options)
    until(lambda: len(connection.pieces) == commits)
    call.settle()
    return commit


def test_a_turn_by_hand_may_have_no_reply(agent):
    with talk(agent, turn_handling={"turn_detection": "manual"}) as call:
        connection = call.start()
        for number, skip_reply in enumerate((True, False), 1):
            commit = hold_and_release(call, connection, number, skip_reply=skip_reply)
            connection.send(openai_script.UserSaid("Hello"))
            assert commit.result(5) == "Hello"
        until(lambda: asked(connection) == [CLEAR, COMMIT, CLEAR, COMMIT, REPLY])


def test_late_words_are_told_with_their_turn_and_answer_no_other(agent):
    with talk(agent, turn_handling={"turn_detection": "manual"}) as call:
        connection = call.start()
        first = hold_and_release(call, connection, 1, transcript_timeout=0.5)
        call.advance(0.6)
        assert first.result(5) == ""
        second = hold_and_release(call, connection, 2, transcript_timeout=60)
        told = call.conversation.events(LateTranscript)
        connection.send(openai_script.UserSaid("first", piece=0))
        connection.send(openai_script.UserSaid("second", piece=1))
        assert second.result(5) == "second"
        call.conversation.end_session()
        call.finish()
        assert [(late.turn, late.text) for late in told] == [(1, "first")]


def test_a_commit_ends_with_a_transcription_that_failed(agent):
    with talk(agent, turn_handling={"turn_detection": "manual"}) as call:
        connection = call.start()
        commit = hold_and_release(call, connection, 1, transcript_timeout=60)
        connection.send(openai_script.FailTranscription())
        assert commit.result(5) == ""
        # The model heard the sound itself.
        until(lambda: asked(connection) == [CLEAR, COMMIT, REPLY])


def test_a_commit_without_sound_ends_when_the_server_says_so_and_asks_for_nothing(agent):
    with talk(agent, turn_handling={"turn_detection": "manual"}) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        call.conversation.start_user_turn()
        assert call.conversation.commit_user_turn(transcript_timeout=60).result(5) == ""
        until(lambda: asked(connection) == [CLEAR, COMMIT])
        call.settle()
        assert asked(connection) == [CLEAR, COMMIT]


def test_somebody_has_to_end_turns(agent):
    with (
        pytest.raises(ConfigurationError, match="turn_detection"),
        talk(agent, realtime=RealtimeOptions(turn_detection=None)) as call,
    ):
        call.conversation.start_session()


def test_whoever_is_to_end_turns_has_to_hear(agent, monkeypatch):
    monkeypatch.setattr(turn_setup, "find_spec", lambda name: None)
    with (
        pytest.raises(AudioError, match="vad"),
        talk(agent, turn_handling=VAD, voice_detector="auto") as call,
    ):
        call.conversation.start_session()


def test_what_the_server_hears_is_what_the_user_does(agent):
    with talk(agent) as call:
        connection = call.start()
        connection.send(
            {"type": "input_audio_buffer.speech_started", "audio_start_ms": 1, "item_id": "item_9"}
        )
        until(lambda: call.conversation.user_state == "speaking")
        connection.send({"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 9, "item_id": "item_9"})
        until(lambda: call.conversation.user_state == "listening")
