"""An audio interface in a conversation: what it is asked, when, and what becomes of its faults."""

from __future__ import annotations

import threading

import pytest

from convsm import AudioError, ClientTools, DisconnectionDetails, RefusedCommand, SessionOptions
from convsm.testing import (
    CallTool,
    Close,
    Interrupt,
    LoopbackAgent,
    Ping,
    Say,
    SendAudio,
    Step,
    UserSaid,
    WaitFor,
)
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    PCM,
    FakeAudio,
    ManualConversation,
    ReportingAudio,
    conversation,
    nothing_is_left,
    until,
)

SECOND = bytes(32000)


pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


class Gate:
    """Holds whoever calls it until the test opens it."""

    def __init__(self):
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self):
        self.reached.set()
        assert self.opened.wait(PATIENCE)


def raising(error):
    def fail():
        raise error

    return fail


def settle(connection):
    """Wait until the session has taken all that was sent so far."""
    count = len(connection.pongs)
    connection.send(Ping(1000 + count))
    connection.wait_for("pong", count=count + 1)


# While it opens


def test_audio_that_comes_while_the_interface_opens_is_held_and_then_played_in_order(agent):
    gate = Gate()
    audio = FakeAudio(on_start=gate)
    with conversation(agent, audio_interface=audio) as call:
        connection = call.start()
        connection.send(Say("Hi", PCM * 3, chunk_seconds=0.01))
        call.wait_for_state("agent_speaking")
        settle(connection)
        assert audio.log.entries == []
        gate.opened.set()
        audio.log.wait_for(PCM, 3)
        connection.send(SendAudio(b"last"))
        audio.log.wait_for(b"last")
        assert audio.log.entries == ["start", PCM, PCM, PCM, b"last"]


def test_an_interruption_while_the_interface_opens_drops_what_is_held(agent):
    gate = Gate()
    audio = FakeAudio(on_start=gate)
    with conversation(agent, audio_interface=audio) as call:
        connection = call.start()
        connection.send(SendAudio(b"old!", 1))
        connection.send(Interrupt(2))
        connection.send(SendAudio(b"new!", 2))
        settle(connection)
        gate.opened.set()
        audio.log.wait_for(b"new!")
        assert audio.log.entries == ["start", b"new!"]


def test_the_microphone_may_speak_before_its_start_returned(agent):
    audio = FakeAudio(on_start=lambda: audio.microphone(b"\x01\x02"))
    with conversation(agent, audio_interface=audio) as call:
        connection = call.start()
        connection.wait_for("user_audio")
        assert connection.user_audio == b"\x01\x02"


def test_audio_before_the_acceptance_is_dropped_with_a_diagnostic():
    script = [SendAudio(PCM), Ping(1)]
    with (
        LoopbackAgent(script, opening=False) as agent,
        conversation(agent, audio_interface=FakeAudio()) as call,
    ):
        call.conversation.start_session()
        agent.wait_for_connection().wait_for("pong")
        assert call.conversation.state == "connecting"
        assert call.driver.diagnostics == 1


def test_the_interface_is_started_and_stopped_once_a_session(agent):
    audio = FakeAudio()
    with conversation(agent, audio_interface=audio) as call:
        for number in range(2):
            call.start(number)
            call.conversation.end_session()
            call.conversation.end_session()
            call.finish()
    assert [entry for entry in audio.log.entries if entry != "interrupt"] == ["start", "stop"] * 2


def test_an_interface_of_a_session_that_was_never_accepted_is_not_touched(agent):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        call.conversation.start_session()
        call.conversation.end_session()
        call.conversation.wait_for_session_end()
        touched = call.audio.log.entries
    # Either the acceptance came first or the end did; the interface sees both or neither.
    assert [entry for entry in touched if entry != "interrupt"] in ([], ["start", "stop"])


# Playout


def test_playout_of_a_plain_interface_is_reckoned_by_duration(agent):
    with conversation(agent, audio_interface=FakeAudio(), kind=ManualConversation) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        connection.send(Say("Hi", SECOND * 2, chunk_seconds=1.0))
        call.audio.log.wait_for(SECOND, 2)
        call.advance(1.9)
        assert call.conversation.state == "agent_speaking"
        call.advance(0.2)
        assert call.conversation.state == "listening"


def test_an_interruption_ends_what_is_reckoned(agent):
    with conversation(agent, audio_interface=FakeAudio(), kind=ManualConversation) as call:
        connection = call.start()
        connection.send(SendAudio(SECOND, 1))
        connection.send(Interrupt(2))
        connection.send(SendAudio(PCM, 2))
        call.wait_for_state("agent_speaking", 2)
        call.audio.log.wait_for(PCM)
        call.advance(0.02)
        assert call.conversation.state == "listening"


def test_the_users_own_interruption_silences_and_tells_the_server_and_what_is_late_is_dropped(agent):
    with conversation(agent, audio_interface=FakeAudio(), kind=ManualConversation) as call:
        connection = call.start()
        connection.send(SendAudio(SECOND, 1))
        call.audio.log.wait_for(SECOND)
        call.conversation.interrupt()
        assert call.conversation.state == "interrupted"
        connection.wait_for("user_activity")
        call.audio.log.wait_for("interrupt")
        connection.send(SendAudio(SECOND, 1))
        connection.send(SendAudio(PCM, 2))
        call.audio.log.wait_for(PCM)
        assert call.audio.heard == SECOND + PCM
        call.advance(0.02)
        assert call.conversation.state == "listening"
        call.conversation.interrupt()
        call.conversation.send_user_message("and now")
        connection.wait_for("user_message")
        sent = [received.message["type"] for received in connection.received]
        assert sent.count("user_activity") == 1


def test_an_interruption_that_nothing_follows_is_over_after_a_while(agent):
    with conversation(agent, audio_interface=FakeAudio(), kind=ManualConversation) as call:
        connection = call.start()
        connection.send(SendAudio(SECOND, 1))
        call.audio.log.wait_for(SECOND)
        call.conversation.interrupt()
        call.advance(2.1)
        assert call.conversation.state == "listening"


def test_without_a_session_there_is_nothing_to_interrupt(agent):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        with pytest.raises(RefusedCommand, match="start_session"):
            call.conversation.interrupt()
        call.start()
        call.conversation.end_session()
        call.finish()
        with pytest.raises(RefusedCommand, match="Interrupt is not possible in state 'idle'"):
            call.conversation.interrupt()


def test_an_interface_that_reports_is_believed_however_long_it_takes(agent):
    with conversation(agent, audio_interface=ReportingAudio(), kind=ManualConversation) as call:
        connection = call.start()
        connection.send(SendAudio(PCM))
        connection.send(SendAudio(PCM))
        call.audio.log.wait_for((2, len(PCM)))
        call.advance(60)
        assert call.conversation.state == "agent_speaking"
        call.audio.hear(1)
        call.settle()
        assert call.conversation.state == "agent_speaking"
        call.audio.hear(2)
        call.settle()
        assert call.conversation.state == "listening"


def test_empty_audio_is_not_played(agent):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        connection = call.start()
        connection.send(SendAudio(b""))
        settle(connection)
        assert call.conversation.state == "listening"


def test_the_farewell_has_a_limit():
    options = SessionOptions(drain_seconds=3.0)
    with (
        LoopbackAgent([Say("Bye", SECOND * 9), Close(1000)]) as agent,
        conversation(
            agent, audio_interface=ReportingAudio(), kind=ManualConversation, session_options=options
        ) as call,
    ):
        call.start()
        call.wait_for_state("closing")
        call.audio.log.wait_for((90, 3200))
        call.advance(2.9)
        assert "stop" not in call.audio.log.entries
        call.advance(0.2)
        call.finish()
        assert call.audio.log.entries[-2:] == ["interrupt", "stop"]
        assert call.details == DisconnectionDetails("agent", 1000, "")


def test_a_farewell_that_comes_while_the_interface_opens_is_heard():
    gate = Gate()
    with (
        LoopbackAgent([SendAudio(PCM), Close(1000)]) as agent,
        conversation(agent, audio_interface=FakeAudio(on_start=gate)) as call,
    ):
        call.start()
        call.wait_for_state("closing")
        gate.opened.set()
        call.finish()
        assert call.audio.log.entries == ["start", PCM, "stop"]


# Faults, when audio is required and when not


FAULTS = {
    "start": (OSError("no card"), "FakeAudio.start raised OSError: no card"),
    "output": (OSError("unplugged"), "FakeAudio.output raised OSError: unplugged"),
    "interrupt": (AudioError("Unplugged; plug it in."), "Unplugged; plug it in."),
}


def faulty(method):
    """An interface one of whose methods raises, and the script that has that method called."""
    heard = threading.Event()
    audio = FakeAudio(**{"on_output": heard.set, f"on_{method}": raising(FAULTS[method][0])})
    script: list[Step] = [SendAudio(PCM, 1)]
    if method == "interrupt":
        script += [WaitFor(heard), Interrupt(2)]
    return audio, script


@pytest.mark.parametrize("method", FAULTS)
def test_a_fault_ends_a_session_that_needs_audio_by_name(method):
    audio, script = faulty(method)
    with LoopbackAgent(script) as agent, conversation(agent, audio_interface=audio) as call:
        connection = call.start()
        assert call.finish() == "conv_0"
        message = f"audio failed: {FAULTS[method][1]}"
        assert call.details == DisconnectionDetails("error", None, None, message)
        assert connection.closed.wait(PATIENCE)
        assert connection.close_code == 1000
    assert audio.log.entries.count("stop") == (0 if method == "start" else 1)


@pytest.mark.parametrize("method", FAULTS)
def test_a_fault_leaves_a_session_that_can_do_without_audio_alive_and_silent(method, caplog):
    audio, script = faulty(method)
    with (
        LoopbackAgent(script) as agent,
        conversation(agent, audio_interface=audio, audio_required=False) as call,
    ):
        connection = call.start()
        message = f"audio failed: {FAULTS[method][1]}; the session goes on without audio"
        until(lambda: message in caplog.text)
        if method != "start":
            audio.log.wait_for("stop")
        connection.send(UserSaid("still here"))
        call.log.wait_for(("user", "still here"))
        call.conversation.end_session()
        call.finish()
        assert call.details == DisconnectionDetails("user")
        assert audio.log.entries.count("stop") == (0 if method == "start" else 1)


def test_a_device_that_is_unplugged_ends_the_session_by_name(agent):
    with conversation(agent, audio_interface=ReportingAudio()) as call:
        call.start()
        call.audio.log.wait_for("start")
        call.audio.listener.failed("The headset was unplugged; choose another device.")
        call.finish()
        assert call.details.message == "audio failed: The headset was unplugged; choose another device."


def test_a_stop_that_raises_ends_the_session_all_the_same(agent, caplog):
    with conversation(agent, audio_interface=FakeAudio(on_stop=raising(OSError("gone")))) as call:
        call.start()
        call.audio.log.wait_for("start")
        call.conversation.end_session()
        call.finish()
        assert call.details == DisconnectionDetails("user")
    assert "FakeAudio.stop raised" in caplog.text


@pytest.mark.parametrize("method", ["start", "stop"])
def test_a_start_or_stop_that_hangs_is_given_up_at_the_close_timer(agent, method, caplog):
    gate = Gate()
    audio = FakeAudio(**{f"on_{method}": gate})
    with conversation(agent, audio_interface=audio, kind=ManualConversation) as call:
        connection = call.start()
        if method == "stop":
            audio.log.wait_for("start")
        call.conversation.end_session()
        assert gate.reached.wait(PATIENCE)
        assert connection.closed.wait(PATIENCE)
        call.wait_for_state("closing")
        until(lambda: call.driver.session.socket == "closed")
        call.advance(0.9)
        assert call.conversation.state == "idle"
        assert "the audio interface did not stop in time" in caplog.text
        gate.opened.set()
        audio.log.wait_for("stop")  # what was opened late is closed all the same
        call.finish()
        assert call.details == DisconnectionDetails("user")


def test_a_tool_that_waits_is_still_answered_when_the_loudspeaker_breaks(agent):
    go_on = threading.Event()
    tools = ClientTools()
    tools.register("t", lambda _: "done" if go_on.wait(PATIENCE) else "late")
    audio = FakeAudio(on_output=raising(OSError("unplugged")))
    with conversation(agent, audio_interface=audio, audio_required=False, client_tools=tools) as call:
        connection = call.start()
        connection.send(CallTool("t"))
        connection.send(SendAudio(PCM))
        call.wait_for_state("tool_running", 2)
        go_on.set()
        assert connection.wait_for("client_tool_result")["result"] == "done"
