"""The end with peers that do not cooperate."""

from __future__ import annotations

import json
import time

import pytest

from convsm import ConnectionFailed, SessionOptions
from convsm.testing import IgnoreClose, LoopbackAgent, ResumeReading, StopReading, WaitForInitiation
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    FakeAudio,
    ManualConversation,
    assert_over,
    conversation,
    nothing_is_left,
    until,
)


def recorded_steps(path):
    """What was recorded: names of events and of their effects."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        (line["event"]["type"], [effect["type"] for effect in line["effects"]])
        for line in lines
        if "effects" in line
    ]


pytestmark = pytest.mark.usefixtures("shell")


@pytest.mark.parametrize("misbehaviour", [IgnoreClose(), StopReading()])
def test_a_peer_that_does_not_answer_the_close_frame_is_dropped_at_the_close_timer(tmp_path, misbehaviour):
    path = tmp_path / "recording.jsonl"
    with (
        LoopbackAgent([misbehaviour]) as agent,
        conversation(agent, kind=ManualConversation, record=path) as call,
    ):
        connection = call.start()
        assert connection.script_done.wait(PATIENCE)
        call.conversation.end_session()
        call.advance(0.89)
        assert call.conversation.state == "closing"
        call.advance(0.02)
        assert call.conversation.state == "idle"
        connection.perform(ResumeReading())  # else the peer would never know
        assert_over(call)
        names = recorded_steps(path)
    end = next(index for index, (event, _) in enumerate(names) if event == "End")
    assert names[end:] == [
        ("End", ["StateChanged", "CloseSocket", "SetTimer"]),
        ("TimerFired", ["DropSocket", "SetTimer"]),
        ("SocketClosed", ["StateChanged", "CancelTimer", "AnnounceEnd"]),
    ]


def test_a_peer_that_does_not_read_at_all_does_not_hold_the_end():
    with (
        LoopbackAgent([StopReading()], receive_buffer_bytes=4096) as agent,
        conversation(agent, kind=ManualConversation) as call,
    ):
        connection = call.start()
        assert connection.script_done.wait(PATIENCE)
        for _ in range(100):
            call.conversation.send_user_message("x" * 100_000)
        call.conversation.end_session()
        call.advance(0.91)
        connection.perform(ResumeReading())
        assert_over(call)
        agent.forgive()  # the last message was cut in two


def test_in_real_time_the_promised_second_is_kept():
    with LoopbackAgent([IgnoreClose()]) as agent, conversation(agent, audio_interface=FakeAudio()) as call:
        assert call.start().script_done.wait(PATIENCE)
        began = time.monotonic()
        call.conversation.end_session()
        call.conversation.wait_for_session_end()
        # The sequence is what other tests are about; this one is lenient with a busy machine.
        assert time.monotonic() - began < 1.5
        assert_over(call)


def test_the_time_for_the_close_frame_is_configurable():
    options = SessionOptions(close_seconds=0.01)
    with LoopbackAgent([IgnoreClose()]) as agent, conversation(agent, session_options=options) as call:
        assert call.start().script_done.wait(PATIENCE)
        call.conversation.end_session()
        assert_over(call)


def test_a_server_that_never_accepts_is_given_up_at_the_ready_timer():
    with (
        LoopbackAgent([WaitForInitiation()], opening=False) as agent,
        conversation(agent, kind=ManualConversation) as call,
    ):
        call.conversation.start_session()
        connection = agent.wait_for_connection()
        assert connection.script_done.wait(PATIENCE)
        call.advance(20)
        until(lambda: call.conversation.state == "idle")
        with pytest.raises(ConnectionFailed, match="did not accept the session within 20 s"):
            call.finish()
        assert call.details.reason == "error"
        assert connection.closed.wait(PATIENCE)
