from __future__ import annotations

import threading

import pytest

from convsm import ConfigurationError, ConnectionFailed, ElevenLabs, ProtocolError, RefusedCommand
from convsm.testing import IgnoreClose, LoopbackAgent, SendMetadata, StopReading, WaitFor, WaitForInitiation
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    FakeAudio,
    ManualConversation,
    conversation,
    join,
    nothing_is_left,
    run,
)

SENDERS = {
    "send_user_message": lambda conversation: conversation.send_user_message("hi"),
    "send_contextual_update": lambda conversation: conversation.send_contextual_update("hi"),
    "register_user_activity": lambda conversation: conversation.register_user_activity(),
    "send_feedback": lambda conversation: conversation.send_feedback(7, "like"),
    "send_multimodal_message": lambda conversation: conversation.send_multimodal_message("hi"),
}
MESSAGES = [
    {"type": "user_message", "text": "hi"},
    {"type": "contextual_update", "text": "hi"},
    {"type": "user_activity"},
    {"type": "feedback", "event_id": 7, "score": "like"},
    {"type": "multimodal_message", "text": {"type": "user_message", "text": "hi"}},
]
senders = pytest.mark.parametrize("send", SENDERS.values(), ids=SENDERS)


def sent(connection):
    """What the client sent behind its opening."""
    return [received.message for received in connection.received][1:]


pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def call():
    with LoopbackAgent() as agent, conversation(agent) as call:
        yield call


@pytest.fixture
def waiting():
    """A conversation that the server has not accepted yet, and the event that lets it."""
    accept = threading.Event()
    script = [WaitForInitiation(), WaitFor(accept), SendMetadata()]
    with LoopbackAgent(script, opening=False) as agent, conversation(agent) as call:
        call.conversation.start_session()
        yield call, accept
        accept.set()


@pytest.fixture
def closing():
    """A conversation that was ended here and whose peer does not answer the close frame."""
    with LoopbackAgent([IgnoreClose()]) as agent, conversation(agent, kind=ManualConversation) as call:
        assert call.start().script_done.wait(PATIENCE)
        call.conversation.end_session()
        call.wait_for_state("closing")
        yield call


# Open


def test_every_message_goes_out_in_the_order_of_the_calls(call):
    connection = call.start()
    for send in SENDERS.values():
        send(call.conversation)
    connection.wait_for("multimodal_message")
    assert sent(connection) == MESSAGES


def test_an_update_may_supersede_another_and_a_rating_be_taken_back(call):
    connection = call.start()
    call.conversation.send_contextual_update("It rains.", context_id="weather")
    call.conversation.send_feedback(7, None)
    with pytest.raises(ValueError, match="score"):
        call.conversation.send_feedback(7, "love")
    connection.wait_for("feedback")
    assert sent(connection) == [
        {"type": "contextual_update", "text": "It rains.", "context_id": "weather"},
        {"type": "feedback", "event_id": 7, "score": None},
    ]


def test_a_file_is_uploaded_and_named_in_a_message(tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"pixels")
    with LoopbackAgent(api_key="key") as agent:
        client = ElevenLabs(api_key="key", base_url=agent.base_url)
        with conversation(agent, client=client) as call:
            with pytest.raises(RefusedCommand, match="Session not started"):
                call.conversation.upload_file(picture)
            connection = call.start()
            file_id = call.conversation.upload_file(picture)
            call.conversation.send_multimodal_message("What is this?", file_id=file_id)
            connection.wait_for("multimodal_message")
        [upload] = agent.uploads
    assert (upload.conversation_id, upload.name, upload.content_type, upload.content) == (
        "conv_0",
        "picture.png",
        "image/png",
        b"pixels",
    )
    [message] = sent(connection)
    assert message["file"] == {"type": "file_input", "file_id": file_id}


def test_an_upload_that_is_refused_or_comes_too_early_ends_nothing(waiting):
    call, accept = waiting
    with pytest.raises(ConfigurationError, match="no conversation to upload to yet"):
        call.conversation.upload_file(b"pixels")
    accept.set()
    call.conversation.wait_until_ready(PATIENCE)
    call.agent.post_answer = (403, b"{}")
    with pytest.raises(ConnectionFailed, match="403"):
        call.conversation.upload_file(b"pixels", "picture.png")
    call.conversation.register_user_activity()


def test_files_go_out_as_one_or_as_several(call):
    connection = call.start()
    call.conversation.send_multimodal_message(file_id="f1")
    call.conversation.send_multimodal_message("look", file_id="f1", file_ids=["f2", "f3"])
    connection.wait_for("multimodal_message", count=2)
    files = [{"type": "file_input", "file_id": file_id} for file_id in ("f2", "f3")]
    assert sent(connection) == [
        {"type": "multimodal_message", "file": {"type": "file_input", "file_id": "f1"}},
        {
            "type": "multimodal_message",
            "text": {"type": "user_message", "text": "look"},
            "file": files[0],
            "files": files,
        },
    ]


def test_messages_of_many_threads_each_keep_their_order(call):
    connection = call.start()
    threads, each = 6, 50
    barrier = threading.Barrier(threads)

    def send(thread):
        barrier.wait()
        for number in range(each):
            call.conversation.send_user_message(f"{thread} {number}")

    join(run(*[lambda thread=thread: send(thread) for thread in range(threads)]))
    connection.wait_for("user_message", count=threads * each)
    texts = [message["text"].split() for message in sent(connection)]
    for thread in range(threads):
        assert [int(number) for who, number in texts if int(who) == thread] == list(range(each))


def test_a_message_that_json_cannot_hold_is_refused_to_the_caller_and_ends_nothing(call):
    connection = call.start()
    with pytest.raises(ProtocolError):
        call.conversation.send_user_message(object())
    with pytest.raises(ProtocolError):
        call.driver.send("no message at all")
    call.conversation.register_user_activity()
    connection.wait_for("user_activity")


def test_the_microphone_is_sent_while_the_session_is_open():
    audio = FakeAudio()
    with LoopbackAgent() as agent, conversation(agent, audio_interface=audio) as call:
        connection = call.start()
        audio.log.wait_for("start")
        audio.microphone(b"\x01\x02")
        connection.wait_for("user_audio")
        call.conversation.end_session()
        call.finish()
        audio.microphone(b"\x03\x04")
    assert connection.user_audio == b"\x01\x02"


# Connecting


def test_messages_are_held_while_connecting_and_go_out_in_order_behind_the_acceptance(waiting):
    call, accept = waiting
    for send in SENDERS.values():
        send(call.conversation)
    connection = call.agent.wait_for_connection()
    connection.wait_for("conversation_initiation_client_data")
    assert sent(connection) == []
    accept.set()
    connection.wait_for("multimodal_message")
    assert sent(connection) == MESSAGES


def test_sixty_four_messages_are_held_and_the_next_is_refused(waiting):
    call, accept = waiting
    for number in range(64):
        call.conversation.send_user_message(str(number))
    with pytest.raises(RefusedCommand, match="64 messages already wait") as refusal:
        call.conversation.send_user_message("64")
    assert refusal.value.state == "connecting"
    assert refusal.value.accepts == ("Send", "Interrupt", "AnswerCall", "DecideApproval", "End")
    accept.set()
    connection = call.agent.wait_for_connection()
    connection.wait_for("user_message", count=64)
    assert [message["text"] for message in sent(connection)] == [str(number) for number in range(64)]


# No session


def test_before_the_start_every_call_says_what_it_needs(call):
    for name, send in SENDERS.items():
        with pytest.raises(RuntimeError) as refusal:
            send(call.conversation)
        assert str(refusal.value) == (
            f"Session not started: {name} in state 'idle' needs start_session() first "
            "(accepted here: Start, End)"
        )


@senders
def test_while_closing_a_message_is_refused_with_state_and_what_is_accepted(closing, send):
    with pytest.raises(RuntimeError) as refusal:
        send(closing.conversation)
    assert str(refusal.value) == "Send is not possible in state 'closing' (accepted here: Interrupt, End)"


@senders
def test_after_the_end_a_message_is_refused_with_state_and_what_is_accepted(call, send):
    call.start()
    call.conversation.end_session()
    call.finish()
    with pytest.raises(RuntimeError) as refusal:
        send(call.conversation)
    assert str(refusal.value) == "Send is not possible in state 'idle' (accepted here: Start, End)"
    assert isinstance(refusal.value, RefusedCommand)


def test_a_multimodal_message_of_nothing_is_a_value_error_once_there_is_a_session(call, closing):
    with pytest.raises(RefusedCommand):
        call.conversation.send_multimodal_message()
    call.start()
    with pytest.raises(ValueError, match="At least one of text, file_id, or file_ids"):
        call.conversation.send_multimodal_message()
    with pytest.raises(RefusedCommand):
        closing.conversation.send_multimodal_message()


def test_a_refused_message_changes_nothing_and_is_not_sent(closing):
    with pytest.raises(RefusedCommand):
        closing.conversation.send_user_message("late")
    assert closing.conversation.state == "closing"
    closing.advance(10)
    closing.finish()
    assert sent(closing.agent.wait_for_connection()) == []


# Bounds


def test_when_the_network_does_not_keep_up_messages_are_refused_and_the_session_lives():
    with (
        LoopbackAgent([StopReading()], receive_buffer_bytes=4096) as agent,
        conversation(agent, kind=ManualConversation) as call,
    ):
        assert call.start().script_done.wait(PATIENCE)

        def flood():
            # 1,024 may wait, and the kernel's buffers take the first ones; this many is far beyond both.
            for _ in range(3000):
                call.conversation.send_user_message("x" * 100_000)

        with pytest.raises(RefusedCommand, match="the network does not keep up") as refusal:
            flood()
        assert refusal.value.state == "listening"
        assert call.conversation.state == "listening"
