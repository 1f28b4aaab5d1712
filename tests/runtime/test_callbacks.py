from __future__ import annotations

import threading

import attrs
import pytest

from convsm import AgentChatResponsePartType, AudioEventAlignment, SessionOptions, StateChanged
from convsm.testing import (
    CorrectResponse,
    Expect,
    HangUp,
    Interrupt,
    LoopbackAgent,
    Ping,
    Say,
    SendAudio,
    StreamText,
    UserSaid,
)
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    FakeAudio,
    Log,
    ReportingAudio,
    conversation,
    nothing_is_left,
)

NAMES = [
    "callback_agent_response",
    "callback_agent_response_correction",
    "callback_agent_chat_response_part",
    "callback_user_transcript",
    "callback_latency_measurement",
    "callback_audio_alignment",
    "callback_end_session",
    "callback_disconnect",
    "callback_state_change",
]
TIMING = {"chars": ["H"], "char_start_times_ms": [0], "char_durations_ms": [90]}
ALL_KINDS = [
    Ping(1, 42),
    Expect("pong", 1),
    Say("Hi", turn=1, seconds=0.1, alignment=TIMING),
    StreamText(["Hi"], turn=1, response=False),
    UserSaid("Yes", 2),
    CorrectResponse("Hello you", "Hello", 2),
    HangUp(),
]
PARTS = AgentChatResponsePartType


pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


class Slow:
    """A callback that takes as long as the test wants, and the one that is waited for."""

    def __init__(self):
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, *arguments):
        self.reached.set()
        assert self.released.wait(PATIENCE)


# Order


def test_callbacks_come_in_the_order_of_the_messages_and_the_end_comes_last():
    with (
        LoopbackAgent(ALL_KINDS) as agent,
        conversation(agent, audio_interface=FakeAudio()) as call,
    ):
        call.start()
        call.finish()
    assert call.log.entries[:-2] == [
        ("latency", 42),
        ("agent", "Hi"),
        ("alignment", AudioEventAlignment(["H"], [0], [90])),
        ("part", "", PARTS.START),
        ("part", "Hi", PARTS.DELTA),
        ("part", "", PARTS.STOP),
        ("user", "Yes"),
        ("correction", "Hello you", "Hello"),
    ]
    assert [entry[0] for entry in call.log.entries[-2:]] == ["disconnect", "end"]


def test_changes_of_state_come_in_line_with_the_other_callbacks(agent):
    log = Log()
    with conversation(
        agent,
        audio_interface=ReportingAudio(),
        callback_state_change=lambda change: log.add(change.target),
        callback_agent_response=log.add,
        callback_disconnect=lambda details: log.add("disconnect"),
        callback_end_session=lambda: log.add("end"),
    ) as call:
        connection = call.start()
        connection.send(Say("Hi", seconds=0.1))
        log.wait_for("agent_speaking")
        call.conversation.end_session()
        call.finish()
    assert log.entries == [
        "connecting", "listening", "Hi", "agent_speaking", "closing", "idle", "disconnect", "end",
    ]  # fmt: skip


@pytest.mark.threads_only
def test_all_callbacks_run_on_one_thread_one_at_a_time():
    log = Log()
    busy = threading.Lock()

    def tell(*_):
        assert busy.acquire(blocking=False)
        log.add(threading.current_thread().name)
        busy.release()

    with (
        LoopbackAgent(ALL_KINDS) as speaking,
        conversation(speaking, audio_interface=FakeAudio(), **dict.fromkeys(NAMES, tell)) as call,
    ):
        call.start()
        call.finish()
    assert {*log.entries} == {"convsm-callbacks"}
    assert len(log.entries) > len(ALL_KINDS)


def test_a_change_of_state_says_from_where_to_where_by_what_and_when(agent):
    with conversation(agent) as call:
        call.start()
        call.conversation.end_session()
        call.finish()
    changes = call.changes.entries
    assert [(change.source, change.target, change.event) for change in changes] == [
        ("idle", "connecting", "Start"),
        ("connecting", "listening", "SessionReady"),
        ("listening", "closing", "End"),
        ("closing", "idle", "SocketClosed"),
    ]
    times = [change.at for change in changes]
    assert times == sorted(times)
    assert times[0] > 0
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        changes[0].source = "elsewhere"
    assert isinstance(changes[0], StateChanged)


def test_stale_audio_brings_no_alignment(agent):
    with conversation(agent, audio_interface=ReportingAudio()) as call:
        connection = call.start()
        connection.send(Interrupt(5))
        connection.send(SendAudio(b"12", 4, alignment=TIMING))
        connection.send(UserSaid("Yes", 5))
        call.log.wait_for(("user", "Yes"))
        assert call.log.entries == [("user", "Yes")]


# Slow


def test_a_slow_callback_delays_no_pong_no_audio_no_interruption_and_no_state(agent):
    slow = Slow()
    audio = ReportingAudio()
    options = SessionOptions(settle_seconds=3600)
    with conversation(
        agent, audio_interface=audio, callback_agent_response=slow, session_options=options
    ) as call:
        connection = call.start()
        connection.send(Say("Hi", b"12", turn=1))
        assert slow.reached.wait(PATIENCE)
        connection.send(Ping(1))
        connection.wait_for("pong")
        connection.send(SendAudio(b"1234", 1))
        audio.log.wait_for((2, 4))
        connection.send(Interrupt(2))
        audio.log.wait_for("interrupt")
        audio.microphone(b"12")
        connection.wait_for("user_audio")
        call.conversation.send_user_message("quick")
        connection.wait_for("user_message")
        assert call.conversation.state == "interrupted"
        slow.released.set()


def test_a_slow_callback_delays_those_behind_it_and_loses_none(agent):
    slow = Slow()
    with conversation(agent, callback_agent_response=slow) as call:
        connection = call.start()
        connection.send(StreamText(["Hi"]))
        assert slow.reached.wait(PATIENCE)
        connection.send(UserSaid("Yes"))
        connection.send(Ping(1))
        connection.wait_for("pong")
        assert ("user", "Yes") not in call.log.entries
        slow.released.set()
        call.log.wait_for(("user", "Yes"))


def test_the_end_is_told_behind_a_slow_callback(agent):
    slow = Slow()
    with conversation(agent, callback_user_transcript=slow) as call:
        connection = call.start()
        connection.send(UserSaid("Yes"))
        assert slow.reached.wait(PATIENCE)
        call.conversation.end_session()
        assert connection.closed.wait(PATIENCE)
        assert call.log.entries == []
        slow.released.set()
        call.finish()
    assert call.details.reason == "user"


# Raising


@pytest.mark.parametrize("name", NAMES)
def test_a_callback_that_raises_is_logged_by_name_and_ends_nothing(name, caplog):
    def fail(*_):
        raise ValueError("mine")

    with (
        LoopbackAgent(ALL_KINDS) as agent,
        conversation(agent, audio_interface=FakeAudio(), **{name: fail}) as call,
    ):
        connection = call.start()
        assert call.finish() == "conv_0"
        assert connection.pongs == [1]
    assert {record.message for record in caplog.records} == {f"{name} raised; the conversation goes on"}
    if name not in ("callback_disconnect", "callback_end_session"):
        assert call.details.reason == "agent"


# Calling back


def test_a_callback_may_send(agent):
    with conversation(agent) as call:
        send = call.conversation.send_user_message
        call.conversation.callback_user_transcript = lambda text: send(f"You said {text}")
        connection = call.start()
        connection.send(UserSaid("Yes"))
        assert connection.wait_for("user_message")["text"] == "You said Yes"


def test_callbacks_that_are_changed_between_two_sessions_count_from_the_next(agent):
    log = Log()
    with conversation(agent, callback_end_session=None) as call:
        call.start()
        call.conversation.callback_end_session = lambda: log.add("end")
        call.conversation.end_session()
        call.conversation.wait_for_session_end()
        assert log.entries == []
        call.conversation.start_session()
        call.conversation.end_session()
        log.wait_for("end")


def test_without_any_callback_nothing_is_missed():
    nothing = dict.fromkeys(NAMES)
    with (
        LoopbackAgent(ALL_KINDS) as agent,
        conversation(agent, audio_interface=FakeAudio(), **nothing) as call,
    ):
        call.start()
        assert call.finish() == "conv_0"
        assert call.log.entries == []
