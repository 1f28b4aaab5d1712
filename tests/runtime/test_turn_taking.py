"""Turn handling in a conversation: the same behaviour in each shell, with servers of each protocol."""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any

import pytest

from convsm import (
    CompletedTurn,
    ConfigurationError,
    LoudnessModel,
    RefusedCommand,
    SpeechDetector,
    StopResponse,
)
from convsm.machine.base import Event
from convsm.runtime.async_inbox import AsyncInbox
from convsm.testing import LoopbackAgent
from convsm.turns import reports
from convsm.turns.events import SpeechEnded, SpeechPaused, SpeechStarted
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    Call,
    Log,
    ManualConversation,
    conversation,
    nothing_is_left,
    until,
)
from tests.runtime.hosted import HOST
from tests.runtime.test_pausing import PausingAudio

pytestmark = pytest.mark.usefixtures("shell")

EAGER = {"interruption": {"min_duration": 0.1}, "aec_warmup_duration": None}


def talk(agent: LoopbackAgent, **options: Any) -> Any:
    """A conversation with turn handling on virtual time, whose speech the test brings itself."""
    given = {"turn_handling": EAGER, "voice_detector": None, "audio_interface": PausingAudio(), **options}
    return conversation(agent, kind=ManualConversation, **given)


def post(call: Call, *events: Event) -> None:
    """Let a detector have heard something."""
    inbox = call.driver._inbox
    for event in events:
        if isinstance(inbox, AsyncInbox):
            HOST.loop.call_soon_threadsafe(inbox.post, event)
        else:
            inbox.post(event)
        call.settle()


def now(call: Call) -> float:
    return float(call.timers.clock())


def begin_to_speak(call: Call) -> None:
    post(call, SpeechStarted(now(call)))


def fall_silent(call: Call) -> None:
    post(call, SpeechPaused(now(call)), SpeechEnded(now(call)))


def agent_speaks(call: Call, connection: Any, protocol: Any, turn: int = 1, seconds: float = 2.0) -> None:
    count = call.states.count("agent_speaking")
    connection.send(protocol.say("Once upon a time", protocol.speech(seconds), turn))
    call.wait_for_state("agent_speaking", count + 1)


# Interruptions


def test_a_false_interruption_pauses_the_agent_and_resumes_it(agent, protocol):
    told = Log()
    callbacks = {
        "callback_user_interruption_detected": told.add,
        "callback_agent_false_interruption": told.add,
    }
    with talk(agent, **callbacks) as call:
        agent_speaks(call, call.start(), protocol)
        call.advance(1.0)
        begin_to_speak(call)
        call.advance(0.05)
        assert call.conversation.state == "agent_speaking"
        call.advance(0.06)
        assert call.conversation.state == "interrupted"
        began = now(call) - 0.11
        fall_silent(call)
        ended = now(call)
        call.advance(1.9)
        assert call.conversation.state == "interrupted"
        call.advance(0.2)
        assert call.conversation.state == "agent_speaking"
        told.wait_for(lambda fact: isinstance(fact, reports.AgentFalseInterruption))
        detected, false = told.entries
        assert (detected.occurred_at, detected.is_tentative) == (pytest.approx(began), True)
        assert (false.resumed, false.known_at) == (True, pytest.approx(ended + 2.0, abs=0.11))
    assert [entry for entry in call.audio.log.entries if isinstance(entry, str)][:3] == [
        "start",
        "pause",
        "resume",
    ]


def test_words_confirm_an_interruption(agent, protocol):
    with talk(agent) as call:
        connection = call.start()
        agent_speaks(call, connection, protocol)
        begin_to_speak(call)
        call.advance(0.2)
        assert call.conversation.state == "interrupted"
        connection.send(protocol.user_said("Stop!", 2))
        call.audio.log.wait_for("resume")
        assert call.audio.log.entries[2:] == ["pause", "interrupt", "resume"]


def test_the_server_confirms_an_interruption(agent, protocol):
    told = Log()
    with talk(agent, callback_user_interruption_detected=told.add) as call:
        connection = call.start()
        agent_speaks(call, connection, protocol)
        begin_to_speak(call)
        call.advance(0.2)
        connection.send(protocol.interrupt(1))
        call.audio.log.wait_for("interrupt")
        told.wait_for(lambda fact: True)
    assert [fact.is_tentative for fact in told.entries] == [True]


def test_an_agent_that_is_protected_is_not_interrupted_and_the_server_hears_silence(agent, protocol):
    handling = {**EAGER, "interruption": {"enabled": False}}
    with talk(agent, turn_handling=handling) as call:
        connection = call.start()
        agent_speaks(call, connection, protocol)
        begin_to_speak(call)
        call.advance(0.6)
        assert call.conversation.state == "agent_speaking"
        call.audio.microphone(b"\x01\x02" * 100)
        until(lambda: connection.user_audio == bytes(200))
        with pytest.raises(RefusedCommand, match="force"):
            call.conversation.interrupt()
        call.conversation.interrupt(force=True)
        call.audio.log.wait_for("interrupt")


# States


def test_states_of_user_and_agent_are_told(agent, protocol):
    user, agents = Log(), Log()
    callbacks = {"callback_user_state_changed": user.add, "callback_agent_state_changed": agents.add}
    with talk(agent, **callbacks) as call:
        assert (call.conversation.user_state, call.conversation.agent_state) == (None, None)
        connection = call.start()
        until(lambda: call.conversation.agent_state == "listening")
        begin_to_speak(call)
        until(lambda: call.conversation.user_state == "speaking")
        call.advance(0.5)
        connection.send(protocol.user_said("Hi"))
        call.log.wait_for(("user", "Hi"))
        fall_silent(call)
        until(lambda: call.conversation.agent_state == "thinking")
        agent_speaks(call, connection, protocol)
        # What is heard to its end while more may come is no end of the reply.
        until(lambda: call.driver.session.generation == "none")
        call.audio.hear()
        call.wait_for_state("listening", 2)
        call.advance(14.9)
        assert call.conversation.user_state == "listening"
        call.advance(0.2)
        assert call.conversation.user_state == "away"
        call.conversation.end_session()
        call.advance(100)
        until(lambda: call.conversation.agent_state == "idle")
    assert [fact.new_state for fact in agents.entries] == [
        "initializing",
        "listening",
        "thinking",
        "speaking",
        "listening",
        "idle",
    ][-len(agents.entries) :]
    assert [fact.new_state for fact in user.entries] == ["speaking", "listening", "away"]


def test_a_microphone_that_is_muted_ends_speech_at_once(agent, protocol):
    with talk(agent) as call:
        connection = call.start()
        begin_to_speak(call)
        until(lambda: call.conversation.user_state == "speaking")
        call.conversation.set_microphone_muted(True)
        until(lambda: call.conversation.user_state == "listening")
        call.audio.microphone(b"\x01\x02" * 100)
        call.settle()
        call.conversation.set_microphone_muted(False)
        call.audio.microphone(b"\x03\x04" * 100)
        until(lambda: connection.user_audio == bytes(200) + b"\x03\x04" * 100)


def talking(call: Call, count: int = 10) -> None:
    """Speak into the microphone, loud enough for a detector."""
    for _ in range(count):
        call.advance(0.02)
        call.audio.microphone(b"\x00\x20" * 480)


@pytest.mark.parametrize("handling", [EAGER, {"turn_detection": "manual"}])
def test_speech_that_goes_on_is_noticed_when_somebody_begins_to_listen(agent, handling):
    detector = SpeechDetector(LoudnessModel())
    with talk(agent, turn_handling=handling, voice_detector=detector) as call:
        call.start()
        call.audio.log.wait_for("start")
        call.settle()
        if handling is EAGER:
            call.conversation.set_microphone_muted(True)
        talking(call)
        until(lambda: call.driver.turns._listening._waiting.empty())
        assert call.conversation.user_state == "listening"
        if handling is EAGER:
            call.conversation.set_microphone_muted(False)
        else:
            call.conversation.start_user_turn()
        talking(call)
        until(lambda: call.driver.turns.taking.turn.has_voice)
        assert call.conversation.user_state == "speaking"


# By hand


MANUAL = {"turn_detection": "manual"}


def hold(call: Call) -> None:
    """Begin a turn by hand and say something in it."""
    call.audio.log.wait_for("start")
    call.conversation.start_user_turn()
    call.audio.microphone(b"\x01\x02" * 4800)
    call.settle()


def test_push_to_talk_loses_no_word_and_returns_the_transcript(agent, protocol):
    with talk(agent, turn_handling=MANUAL) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        call.settle()
        call.audio.microphone(b"\x01\x02" * 100)
        call.settle()
        call.conversation.start_user_turn()
        call.audio.microphone(b"\x03\x04" * 100)
        call.settle()
        until(lambda: b"\x01\x02" * 100 + b"\x03\x04" * 100 in connection.user_audio)
        commit = call.conversation.commit_user_turn(stt_flush_duration=0.4)
        assert not commit.done()
        connection.send(protocol.user_said("Hello there"))
        assert commit.result(PATIENCE) == "Hello there"


def test_a_commit_without_words_is_empty_after_its_timeout(agent):
    with talk(agent, turn_handling=MANUAL) as call:
        call.start()
        hold(call)
        commit = call.conversation.commit_user_turn(transcript_timeout=1.0)
        call.advance(0.9)
        assert not commit.done()
        call.advance(0.2)
        assert commit.result(PATIENCE) == ""


def test_the_second_commit_cancels_the_first(agent, protocol):
    with talk(agent, turn_handling=MANUAL) as call:
        connection = call.start()
        hold(call)
        first, second = call.conversation.commit_user_turn(), call.conversation.commit_user_turn()
        with pytest.raises(concurrent.futures.CancelledError):
            first.result(PATIENCE)
        connection.send(protocol.user_said("So"))
        assert second.result(PATIENCE) == "So"


def test_a_commit_is_answered_when_the_session_ends(agent):
    with talk(agent, turn_handling=MANUAL) as call:
        call.start()
        hold(call)
        commit = call.conversation.commit_user_turn(transcript_timeout=60)
        call.conversation.end_session()
        assert commit.result(PATIENCE) == ""


def test_a_cancelled_turn_and_a_cleared_one_are_none(agent, protocol):
    with talk(agent, turn_handling=MANUAL) as call:
        connection = call.start()
        hold(call)
        connection.send(protocol.user_said("Oops"))
        call.log.wait_for(("user", "Oops"))
        call.conversation.clear_user_turn()
        call.conversation.cancel_user_turn()
        assert call.conversation.user_state == "listening"
        hold(call)
        commit = call.conversation.commit_user_turn(transcript_timeout=0.5)
        call.advance(1)
        assert commit.result(PATIENCE) == ""


CALLS = ("start_user_turn", "commit_user_turn", "clear_user_turn", "cancel_user_turn", "interrupt")


@pytest.mark.parametrize("name", CALLS)
def test_no_call_is_possible_without_a_session(agent, name):
    with talk(agent, turn_handling=MANUAL) as call:
        with pytest.raises(RefusedCommand, match="start_session"):
            getattr(call.conversation, name)()
        call.start()
        call.conversation.end_session()
        call.advance(100)
        until(lambda: call.conversation.state == "idle")
        with pytest.raises(RefusedCommand):
            getattr(call.conversation, name)()


def test_calls_need_turn_handling(agent):
    with conversation(agent, audio_interface=PausingAudio()) as call:
        call.start()
        calls: dict[str, tuple[object, ...]] = dict.fromkeys(CALLS[:-1], ())
        calls |= {"update_turn_handling": ({},), "set_microphone_muted": (True,)}
        for name, arguments in calls.items():
            with pytest.raises(ConfigurationError, match="turn_handling"):
                getattr(call.conversation, name)(*arguments)
        call.conversation.interrupt(force=True)
        assert (call.conversation.user_state, call.conversation.agent_state) == (None, None)


def test_durations_are_not_negative(agent):
    with talk(agent, turn_handling=MANUAL) as call:
        call.start()
        with pytest.raises(ValueError, match="seconds"):
            call.conversation.commit_user_turn(transcript_timeout=-1)


# Hooks


def test_each_turn_is_told_before_it_is_replied_to(agent, protocol):
    turns = Log()
    with talk(agent, on_user_turn_completed=turns.add) as call:
        connection = call.start()
        for number, text in enumerate(("One", "Two"), 1):
            connection.send(protocol.user_said(text, number))
            turns.wait_for(CompletedTurn(number, text))
            agent_speaks(call, connection, protocol, number)
            call.audio.hear()
            call.wait_for_state("listening", number + 1)


def test_a_hook_that_waits_delays_nobody(agent, protocol):
    gate = threading.Event()
    with talk(agent, on_user_turn_completed=lambda turn: gate.wait(PATIENCE)) as call:
        connection = call.start()
        connection.send(protocol.user_said("One"))
        call.log.wait_for(("user", "One"))
        agent_speaks(call, connection, protocol)
        gate.set()


def test_a_hook_that_fails_is_logged(agent, protocol, caplog):
    with talk(agent, on_user_turn_completed=lambda turn: 1 / 0) as call:
        connection = call.start()
        connection.send(protocol.user_said("One"))
        until(lambda: "on_user_turn_completed failed" in caplog.text)
        agent_speaks(call, connection, protocol)


def test_an_asynchronous_hook_is_awaited(agent, protocol):
    turns = Log()

    async def hook(turn: CompletedTurn) -> None:
        turns.add(turn.transcript)

    with talk(agent, on_user_turn_completed=hook) as call:
        connection = call.start()
        connection.send(protocol.user_said("One"))
        turns.wait_for("One")


def stopping(turn: CompletedTurn) -> None:
    raise StopResponse


async def stopping_later(turn: CompletedTurn) -> None:
    raise StopResponse


@pytest.mark.parametrize("hook", [stopping, stopping_later, lambda turn: stopping_later(turn)])
def test_a_server_that_replies_by_itself_cannot_be_stopped_and_that_is_said(agent, protocol, hook, caplog):
    with talk(agent, on_user_turn_completed=hook) as call:
        connection = call.start()
        connection.send(protocol.user_said("One"))
        until(lambda: "replies by itself" in caplog.text)


def test_a_turn_that_is_too_long_is_told(agent, protocol):
    told, hooked = Log(), Log()
    options = {"callback_user_turn_exceeded": told.add, "on_user_turn_exceeded": hooked.add}
    with talk(agent, turn_handling={"user_turn_limit": {"max_words": 3}}, **options) as call:
        connection = call.start()
        begin_to_speak(call)
        connection.send(protocol.user_said("one two three four"))
        told.wait_for(lambda fact: fact.accumulated_word_count == 4)
        hooked.wait_for(told.entries[0])


def test_words_that_never_come_are_told(agent):
    told = Log()
    options: dict[str, Any] = {"callback_user_transcription_timeout": told.add}
    with talk(agent, turn_handling={"transcription_timeout": 2.0}, **options) as call:
        call.start()
        begin_to_speak(call)
        call.advance(1.0)
        fall_silent(call)
        call.advance(2.1)
        told.wait_for(lambda fact: fact.speech_duration == pytest.approx(1.0))


# Settings


def test_settings_are_checked_before_anything_is_opened(agent):
    with (
        pytest.raises(ConfigurationError, match="there is no setting nonsense"),
        talk(agent, turn_handling={"nonsense": 1}) as call,
    ):
        call.conversation.start_session()
    with pytest.raises(ConfigurationError, match="callback_user_state_changed"):
        talk(agent, turn_handling=None, callback_user_state_changed=print).__enter__()


def test_settings_may_change_while_the_session_is_on(agent, protocol):
    with talk(agent) as call:
        agent_speaks(call, call.start(), protocol)
        call.conversation.update_turn_handling({"interruption": {"min_duration": 1.0}})
        begin_to_speak(call)
        call.advance(0.9)
        assert call.conversation.state == "agent_speaking"
        call.advance(0.2)
        assert call.conversation.state == "interrupted"
        with pytest.raises(ConfigurationError, match="classifier"):
            call.conversation.update_turn_handling({"interruption": {"mode": "adaptive"}})


def test_a_recorded_session_with_turn_handling_replays(agent, protocol, tmp_path):
    from convsm import replay

    path = tmp_path / "session.jsonl"
    with talk(agent, record=path) as call:
        agent_speaks(call, call.start(), protocol)
        begin_to_speak(call)
        call.advance(0.2)
        fall_silent(call)
        call.advance(2.5)
        call.audio.hear()
        call.wait_for_state("listening", 2)
    report = replay(path)
    assert report.divergence is None
    assert report.steps > 5


# What the server hears


def test_words_that_are_not_final_tell_where_nothing_else_does_that_the_user_speaks(agent, protocol):
    with talk(agent) as call:
        connection = call.start()
        connection.send(protocol.user_said("Stop right there", 1, tentative=["Stop"]))
        call.log.wait_for(("user", "Stop right there"))
        assert call.driver.turns.taking.turn.turn == 2
