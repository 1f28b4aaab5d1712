"""A conversation that is started again."""

from __future__ import annotations

import threading

import orjson
import pytest

from convsm import ClientTools, ConnectionFailed, DisconnectionDetails, ElevenLabs, RefusedCommand
from convsm.testing import CallTool, HangUp, IgnoreClose, LoopbackAgent, RefuseHandshake, UserSaid
from convsm.testing.connection import StepLike
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    BY_USER,
    PATIENCE,
    FakeAudio,
    Log,
    ManualConversation,
    conversation,
    elsewhere,
    nothing_is_left,
    until,
)

pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


def ends(call):
    return [entry[1] for entry in call.log.entries if entry[0] == "disconnect"]


def test_after_each_kind_of_end_it_can_be_started_again():
    scripts: list[list[StepLike]] = [[], [HangUp()], [RefuseHandshake(403)], []]
    with LoopbackAgent(scripts) as agent, conversation(agent, audio_interface=FakeAudio()) as call:
        call.start()
        call.conversation.end_session()
        assert call.finish() == "conv_0"
        call.conversation.start_session()
        assert call.finish() == "conv_1"
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed):
            call.finish()
        call.start(3)
        call.conversation.end_session()
        assert call.finish() == "conv_3"
        assert [details.reason for details in ends(call)] == ["user", "agent", "error", "user"]
        assert [entry for entry in call.audio.log.entries if entry != "interrupt"] == ["start", "stop"] * 3


def test_while_it_closes_a_start_is_refused():
    with LoopbackAgent([IgnoreClose()]) as agent, conversation(agent, kind=ManualConversation) as call:
        assert call.start().script_done.wait(PATIENCE)
        call.conversation.end_session()
        call.settle()
        with pytest.raises(RefusedCommand, match="Start is not possible in state 'closing'"):
            call.conversation.start_session()


@pytest.mark.parametrize("name", ["callback_end_session", "callback_disconnect"])
def test_from_a_callback_of_the_end_the_next_session_starts(agent, name):
    sessions = 25
    with conversation(agent) as call:
        told = getattr(call.conversation, name)
        count = iter(range(1, sessions))

        def restart(*arguments):
            told(*arguments)
            if next(count, None) is not None:
                call.conversation.start_session()

        def end(change):
            if change.target == "listening":
                call.conversation.end_session()

        setattr(call.conversation, name, restart)
        call.conversation.callback_state_change = end
        call.conversation.start_session()
        call.log.wait_for(lambda entry: entry[0] in ("disconnect", "end"), 2 * sessions)
        assert ends(call) == [BY_USER] * sessions
    assert len(agent.connections) == sessions


def test_right_after_waiting_it_can_be_started_again(agent):
    with conversation(agent) as call:
        for number in range(25):
            assert call.start(number).number == number
            call.conversation.end_session()
            assert call.conversation.wait_for_session_end() == f"conv_{number}"


def test_a_start_that_meets_the_end_starts_or_is_refused_and_is_never_lost(agent):
    # Whoever hears of the end by the state alone may come while the last things are put away.
    with conversation(agent) as call:
        call.conversation.start_session()
        for number in range(30):
            assert call.conversation.wait_until_ready(PATIENCE) == f"conv_{number}"
            call.conversation.end_session()
            until(lambda: is_started(call.conversation))


def is_started(conversation):
    try:
        conversation.start_session()
    except RefusedCommand:
        return False
    return True


@pytest.mark.threads_only
def test_a_start_that_is_taken_after_the_end_makes_a_new_session(agent, monkeypatch):
    # The former session ends between the look at it and the command to it.
    with conversation(agent) as call:
        call.start()
        driver = call.driver
        start = driver.start
        starts = []

        def end_first():
            starts.append("old")
            call.conversation.end_session()
            assert driver.is_over.wait(PATIENCE)
            return start()

        monkeypatch.setattr(driver, "start", end_first)
        call.conversation.start_session()
        assert call.conversation.wait_until_ready(PATIENCE) == "conv_1"
        assert call.driver is not driver
        assert starts == ["old"]


def test_nothing_of_the_former_session_reaches_the_next(agent):
    go_on = threading.Event()
    reached = threading.Event()
    tools = ClientTools()

    def late(_):
        reached.set()
        assert go_on.wait(PATIENCE)
        return "late"

    tools.register("late", late)
    audio = FakeAudio()
    with conversation(agent, audio_interface=audio, client_tools=tools) as call:
        call.start().send(CallTool("late", "call_1"))
        assert reached.wait(PATIENCE)
        microphone = audio.microphone
        call.conversation.end_session()
        call.conversation.wait_for_session_end()
        connection = call.start(1)
        audio.log.wait_for("start", 2)
        go_on.set()
        microphone(b"\x01\x02")
        elsewhere(lambda: audio.microphone(b"\x03\x04"))
        connection.wait_for("user_audio")
        connection.send(UserSaid("Yes"))
        call.log.wait_for(("user", "Yes"))
        assert connection.user_audio == b"\x03\x04"
        assert connection.tool_results == []


def test_a_restart_is_appended_to_the_recording(agent, tmp_path):
    path = tmp_path / "recording.jsonl"
    with conversation(agent, record=path) as call:
        for number in range(2):
            call.start(number)
            call.conversation.end_session()
            call.finish()
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert "format" in lines[0]
    assert len([line for line in lines if "format" in line]) == 2
    events = [line["event"]["type"] for line in lines if "event" in line]
    assert events.count("Start") == events.count("End") == 2


def test_a_refused_command_is_in_the_recording_as_refused(agent, tmp_path):
    path = tmp_path / "recording.jsonl"
    with conversation(agent, record=path) as call:
        call.start()
        with pytest.raises(RefusedCommand):
            call.conversation.start_session()
        call.conversation.end_session()
        call.finish()
        with pytest.raises(RefusedCommand):
            call.conversation.send_user_message("late")
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["event"]["type"] for line in lines if line.get("refused")] == ["Start"]


def test_a_recording_that_cannot_be_written_is_told_at_the_start(agent, tmp_path):
    with conversation(agent, record=tmp_path / "missing" / "recording.jsonl") as call:
        with pytest.raises(OSError, match="missing"):
            call.conversation.start_session()
        assert call.conversation.state == "idle"
        assert call.log.entries == []


def test_what_was_changed_between_two_sessions_counts_from_the_next(agent):
    with conversation(agent) as call:
        call.start()
        call.conversation.end_session()
        call.finish()
        call.conversation.user_id = "somebody else"
        initiation = call.start(1).initiation
        assert initiation is not None
        assert initiation["user_id"] == "somebody else"


def test_state_and_id_are_those_of_the_latest_session(agent):
    states = Log()
    with conversation(agent) as call:
        call.start()
        call.conversation.end_session()
        call.finish()
        states.add((call.conversation.state, call.conversation.conversation_id))
        call.conversation.client = ElevenLabs(base_url="http://127.0.0.1:1")
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed):
            call.finish()
        states.add((call.conversation.state, call.conversation.conversation_id))
    assert states.entries == [("idle", "conv_0"), ("idle", None)]
    assert ends(call)[0] == DisconnectionDetails("user")
