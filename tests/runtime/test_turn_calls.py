"""What a program asks of turns by hand: arguments out of range, futures, settings that nobody serves."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from convsm import ConfigurationError
from convsm.runtime import turn_setup
from convsm.testing import LoopbackAgent
from tests.runtime.helpers import PATIENCE, Log, nothing_is_left, until  # noqa: F401 (a fixture)
from tests.runtime.protocols import ELEVENLABS
from tests.runtime.test_turn_ending import Silent
from tests.runtime.test_turn_taking import MANUAL, agent_speaks, talk

pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent() -> Iterator[LoopbackAgent]:
    with ELEVENLABS.agent() as agent:
        yield agent


@pytest.mark.parametrize(
    "given",
    [
        {"transcript_timeout": math.inf},
        {"transcript_timeout": math.nan},
        {"stt_flush_duration": math.inf},
        {"stt_flush_duration": 1e9},
        {"stt_flush_duration": -0.1},
    ],
)
def test_durations_are_finite_and_silence_is_bounded(agent, given):
    with talk(agent, turn_handling=MANUAL) as call:
        call.start()
        call.conversation.start_user_turn()
        with pytest.raises(ValueError, match="seconds"):
            call.conversation.commit_user_turn(**given)
        assert call.conversation.user_state == "speaking"
        call.conversation.commit_user_turn(transcript_timeout=0.0, stt_flush_duration=0.0)


def test_a_wait_for_words_may_be_as_long_as_one_likes(agent):
    # In real time, for it is the timers' thread that has to live with it.
    with talk(agent, turn_handling=MANUAL) as call:
        call.start()
        call.conversation.start_user_turn()
        commit = call.conversation.commit_user_turn(transcript_timeout=1e300)
        call.conversation.end_session()
        assert commit.result(PATIENCE) == ""


@pytest.mark.threads_only
def test_who_is_called_when_a_commit_is_done_holds_nothing_up(agent):
    gate, told = threading.Event(), Log()

    def block(future: Any) -> None:
        told.add(future.result())
        gate.wait(PATIENCE)

    def leave(future: Any) -> None:
        told.add("left")
        raise SystemExit(3)

    with talk(agent, turn_handling=MANUAL) as call:
        connection = call.start()
        call.conversation.start_user_turn()
        commit = call.conversation.commit_user_turn()
        commit.add_done_callback(block)
        commit.add_done_callback(leave)
        connection.send(ELEVENLABS.user_said("Hello"))
        told.wait_for("Hello")
        told.wait_for("left")
        agent_speaks(call, connection, ELEVENLABS)
        commit.add_done_callback(told.add)
        told.wait_for(commit)
        gate.set()


@pytest.mark.threads_only
def test_who_is_called_when_a_commit_is_done_is_called_without_a_thread_too(monkeypatch):
    from convsm.runtime.commits import CommitFuture

    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    future, told = CommitFuture(), Log()
    future.add_done_callback(told.add)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        future.set_result("Hello")
    assert told.entries == [future]


def test_nobody_is_left_to_end_turns_by_new_settings(openai, monkeypatch):
    monkeypatch.setattr(turn_setup, "find_spec", lambda name: None)
    with talk(openai, turn_handling=MANUAL, voice_detector=None) as call:
        call.start()
        with pytest.raises(ConfigurationError, match="this side ends turns"):
            call.conversation.update_turn_handling({"turn_detection": "server"})
        with pytest.raises(ConfigurationError, match="voice_detector"):
            call.conversation.update_turn_handling({"turn_detection": "vad"})
        call.conversation.update_turn_handling({"pre_roll": 1.0})


def test_a_detector_that_has_failed_ends_no_turns_by_new_settings(openai):
    class Deaf(Silent):
        def reset(self) -> None:
            raise ValueError("mine")

    with talk(openai, turn_handling=MANUAL, voice_detector=Deaf()) as call:
        call.start()
        until(lambda: call.driver.turns._listening.has_failed)
        with pytest.raises(ConfigurationError, match="voice_detector"):
            call.conversation.update_turn_handling({"turn_detection": "vad"})


def test_a_detector_that_fails_after_the_settings_changed_ends_the_session(openai):
    class Failing(Silent):
        is_failing = False

        def feed(self, audio: bytes, at: float) -> list[Any]:
            if self.is_failing:
                raise ValueError("mine")
            return []

    detector = Failing()
    with talk(openai, turn_handling=MANUAL, voice_detector=detector) as call:
        call.start()
        call.audio.log.wait_for("start")
        call.settle()
        call.conversation.update_turn_handling({"turn_detection": "vad"})
        detector.is_failing = True
        call.audio.microphone(b"\x01\x02" * 480)
        call.wait_for_state("closing")
        call.advance(100)
        call.finish()
        assert "The voice detector raised ValueError: mine" in call.details.message
