"""One test for each known defect of the reference client that a threaded conversation could have.

A comment says why the reference fails. Client tools (11 to 23) are in ``test_defects_tools``, 36 to 45 in
``test_defects_outside``. Missing are the asynchronous client's (24 to 27) and connection options (43).
"""

from __future__ import annotations

import threading

import pytest

from convsm import (
    ConnectionFailed,
    ConversationInitiationData,
    DisconnectionDetails,
)
from convsm.testing import (
    Close,
    HangUp,
    Interrupt,
    LoopbackAgent,
    Ping,
    RefuseHandshake,
    SendAudio,
    SendError,
    SendRaw,
    StreamText,
    UserSaid,
)
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    BY_USER,
    PATIENCE,
    PCM,
    FakeAudio,
    Log,
    ManualConversation,
    ReportingAudio,
    assert_over,
    conversation,
    join,
    nothing_is_left,
    provoke,
    run,
    threads,
)

SIZE = len(PCM)


pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


def settle(connection):
    """Wait until the session has taken all that was sent so far."""
    connection.send(Ping(4711))
    connection.wait_for("pong")


def without_end(log):
    return [entry for entry in log.entries if entry != "interrupt"]


def test_d01_text_only_is_nested_where_the_server_looks_for_it(agent):
    # The reference sets it one level too high.
    with conversation(agent) as call:
        initiation = call.start().initiation
    assert initiation is not None
    assert initiation["conversation_config_override"] == {"conversation": {"text_only": True}}


def test_d02_the_reply_under_the_interruptions_own_id_is_heard(agent):
    # The reference drops ids that are lower or equal.
    with conversation(agent, audio_interface=ReportingAudio()) as call:
        connection = call.start()
        call.conversation.send_multimodal_message("look", file_id="f1")
        connection.send(Interrupt(7))
        connection.send(SendAudio(PCM, 7))
        call.audio.log.wait_for((1, SIZE))


def test_d02_the_stricter_reading_can_be_chosen(agent):
    with conversation(agent, audio_interface=ReportingAudio(), equal_id="drop") as call:
        connection = call.start()
        connection.send(Interrupt(7))
        connection.send(SendAudio(PCM, 7))
        connection.send(SendAudio(PCM * 2, 8))
        call.audio.log.wait_for((1, 2 * SIZE))


def test_d03_an_older_interruption_does_not_bring_old_audio_back(agent):
    # The reference stores the last id instead of the highest.
    with conversation(agent, audio_interface=ReportingAudio()) as call:
        connection = call.start()
        connection.send(Interrupt(5))
        connection.send(Interrupt(3))
        connection.send(SendAudio(PCM, 4))
        connection.send(SendAudio(PCM * 2, 5))
        call.audio.log.wait_for((1, 2 * SIZE))


def test_d03_the_very_first_turn_may_have_the_number_zero(agent):
    # In the reference the last interruption is 0 from the start, so 0 is never heard.
    with conversation(agent, audio_interface=ReportingAudio()) as call:
        call.start().send(SendAudio(PCM, 0))
        call.audio.log.wait_for((1, SIZE))


def test_d04_a_callback_that_raises_ends_nothing(agent):
    # The reference runs it inside the receive loop, whose catch-all ends the session.
    def fail(_):
        raise ValueError("mine")

    with conversation(agent, callback_user_transcript=fail) as call:
        connection = call.start()
        connection.send(UserSaid("Yes"))
        connection.send(StreamText(["Hi"]))
        call.log.wait_for(("agent", "Hi"))


@pytest.mark.parametrize(
    "frame",
    [
        "{}",
        "no JSON",
        "[]",
        '{"type":"conversation_initiation_metadata","conversation_initiation_metadata_event":{"conversation_id":"2"}}',
        '{"type":"ping","ping_event":{"event_id":1}}',
        '{"type":"audio","audio_event":{"event_id":1,"audio_base_64":"AAA=","alignment":null}}',
        '{"type":"audio","audio_event":{"event_id":1}}',
        '{"type":"audio","audio_event":{"event_id":1,"audio_base_64":"!"}}',
        '{"type":"client_tool_call","client_tool_call":{"tool_name":"t","tool_call_id":"c","parameters":null}}',
        '{"type":"interruption"}',
    ],
)
def test_d05_a_malformed_message_ends_nothing(agent, frame):
    # In the reference a KeyError, TypeError or AssertionError reaches the catch-all of the receive loop.
    with conversation(agent, audio_interface=FakeAudio()) as call:
        connection = call.start()
        connection.send(SendRaw(frame))
        connection.send(UserSaid("still here"))
        call.log.wait_for(("user", "still here"))
        assert call.conversation.conversation_id == "conv_0"


def test_d06_the_end_is_announced_once_whoever_ends_it_how_often():
    # The reference (2.59) has neither lock nor memory.
    with LoopbackAgent([HangUp()]) as agent, conversation(agent, audio_interface=FakeAudio()) as call:
        call.start()
        call.log.wait_for(("end",))
        call.conversation.end_session()
        assert_over(call, DisconnectionDetails("agent", 1000, ""))
        assert call.audio.log.entries == ["start", "stop"]


@pytest.mark.parametrize("reason", ["nobody there", "403"])
def test_d07_a_refused_connection_is_told_to_callback_and_waiter(reason):
    # In the reference it dies in the thread: traceback on stderr, None from wait, no callback.
    with LoopbackAgent([RefuseHandshake(403)]) as agent, conversation(agent) as call:
        if reason == "nobody there":
            agent.stop()
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match="403" if reason == "403" else "could not be reached"):
            call.finish()
        assert call.details.reason == "error"
        assert threads() == []


def test_d08_the_users_id_in_the_configuration_is_sent(agent):
    # The reference stores it and forgets it.
    with conversation(agent, config=ConversationInitiationData(user_id="me")) as call:
        initiation = call.start().initiation
    assert initiation is not None
    assert initiation["user_id"] == "me"


def test_d09_close_code_and_reason_are_told():
    # The reference (2.59) calls callback_end_session without arguments and has nothing else.
    with LoopbackAgent([Close(1008, "Override not allowed")]) as agent, conversation(agent) as call:
        call.conversation.start_session()
        call.finish()
        assert (call.details.close_code, call.details.close_reason) == (1008, "Override not allowed")


@pytest.mark.parametrize("kind", ["error", "client_error"])
def test_d10_an_error_that_the_server_sends_is_told(kind, caplog):
    # The reference ignores these messages, so that a used-up quota looks like a normal end.
    error = {"type": kind, "error_event": {"code": 1002, "message": "Quota exceeded.", "error_name": "quota"}}
    with LoopbackAgent([error, Close(1002)]) as agent, conversation(agent) as call:
        call.conversation.start_session()
        call.finish()
        assert call.details.message is not None
        assert call.details.message.endswith("the server said: Quota exceeded.")
    assert "the server reports an error: Quota exceeded." in caplog.text


def test_d10_an_error_before_the_acceptance_is_told_to_the_waiter():
    script = [SendError(1008, "No such agent."), Close(1008)]
    with LoopbackAgent(script, opening=False) as agent, conversation(agent) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match="No such agent"):
            call.finish()


def test_d28_an_interruption_reaches_the_interface_at_once_however_long_the_piece_before(agent):
    # The reference's own speaker loop is inside a blocking write of a whole piece.
    with conversation(agent, audio_interface=FakeAudio()) as call:
        connection = call.start()
        connection.send(SendAudio(bytes(2 * 32000 * 60), 1))
        call.audio.log.wait_for(lambda entry: isinstance(entry, bytes))
        connection.send(Interrupt(2))
        call.audio.log.wait_for("interrupt")
        call.wait_for_state("interrupted")


def test_d29_what_was_queued_before_the_agent_hung_up_is_heard():
    # The reference stops the audio with the socket.
    with (
        LoopbackAgent([SendAudio(bytes(3 * 32000)), HangUp()]) as agent,
        conversation(agent, audio_interface=FakeAudio(), kind=ManualConversation) as call,
    ):
        connection = call.start()
        assert connection.closed.wait(PATIENCE)
        call.wait_for_state("closing")
        call.audio.log.wait_for(lambda entry: isinstance(entry, bytes))
        call.advance(2.9)
        assert "stop" not in call.audio.log.entries
        call.advance(0.2)
        call.finish()
        assert without_end(call.audio.log) == ["start", bytes(3 * 32000), "stop"]
        assert "interrupt" not in call.audio.log.entries


def test_d30_ending_inside_the_microphones_callback_does_not_stop_the_device_there(agent):
    # The reference stops the stream inside the stream's own callback, which may wait for itself.
    stoppers = []
    audio = FakeAudio(on_stop=lambda: stoppers.append(threading.current_thread()))
    microphone: list[threading.Thread] = []

    def speak():
        audio.microphone(PCM)
        call.conversation.end_session()

    with conversation(agent, audio_interface=audio) as call:
        call.start()
        audio.log.wait_for("start")
        microphone.extend(run(speak))
        join(microphone)
        assert_over(call)
    assert len(stoppers) == 1
    assert stoppers[0] not in microphone


def test_d31_ending_before_the_start_does_nothing(agent):
    # The reference stops an interface that never started.
    audio = FakeAudio()
    with conversation(agent, audio_interface=audio) as call:
        call.conversation.end_session()
    assert audio.log.entries == []


def test_d31_ending_right_after_the_start_leaves_no_microphone_open(agent):
    # In the reference the stop overtakes the start.
    for _ in range(10):
        audio = FakeAudio()
        with conversation(agent, audio_interface=audio) as call:
            call.conversation.start_session()
            call.conversation.end_session()
            call.conversation.wait_for_session_end()
        assert without_end(audio.log) in ([], ["start", "stop"])


def test_d32_a_conversation_can_be_started_again(agent):
    # In the reference the stop flag stays set.
    with conversation(agent, audio_interface=FakeAudio()) as call:
        for number in range(3):
            connection = call.start(number)
            connection.send(UserSaid(str(number)))
            call.log.wait_for(("user", str(number)))
            call.conversation.end_session()
            assert call.finish() == f"conv_{number}"


def test_d33_what_is_sent_right_after_the_start_arrives_and_readiness_can_be_waited_for(agent):
    # The reference raises, and has nothing to wait for.
    with conversation(agent) as call:
        call.conversation.start_session()
        call.conversation.send_user_message("early")
        assert agent.wait_for_connection().wait_for("user_message")["text"] == "early"
        assert call.conversation.wait_until_ready(PATIENCE) == "conv_0"


def test_d34_a_slow_callback_delays_no_pong_no_interruption_and_no_audio(agent):
    # The reference calls it on the receiving thread.
    reached, go_on = threading.Event(), threading.Event()

    def sleep(_):
        reached.set()
        assert go_on.wait(PATIENCE)

    with conversation(agent, audio_interface=ReportingAudio(), callback_user_transcript=sleep) as call:
        connection = call.start()
        connection.send(UserSaid("Yes"))
        assert reached.wait(PATIENCE)
        settle(connection)
        connection.send(SendAudio(PCM, 1))
        call.audio.log.wait_for((1, SIZE))
        connection.send(Interrupt(2))
        call.audio.log.wait_for("interrupt")
        assert call.audio.log.entries == ["start", (1, SIZE), "interrupt"]
        go_on.set()


def test_d35_waiting_for_the_end_inside_a_callback_returns(agent):
    # The reference joins its own thread.
    told = Log()

    def end(_):
        call.conversation.end_session()
        told.add(call.conversation.wait_for_session_end())

    with conversation(agent, callback_user_transcript=end) as call:
        provoke(call.start(), UserSaid("Yes"))
        told.wait_for("conv_0")
        assert_over(call)
