"""What only OpenAI Realtime servers want: settings, what was heard, replies that are asked for, keys."""

from __future__ import annotations

import logging
import threading
from typing import ClassVar
from unittest.mock import MagicMock

import pybase64
import pytest

from convsm import (
    ClientTools,
    ConfigurationError,
    ConnectionFailed,
    Conversation,
    ConversationInitiationData,
    OnPremInitiationData,
    OpenAIRealtime,
    ProtocolError,
    RealtimeOptions,
    ServerVad,
)
from convsm.protocols.capabilities import CALLBACKS
from convsm.protocols.realtime_reports import SessionSettings
from convsm.protocols.turn_messages import ClearAudio, CommitAudio, RetrieveItem
from convsm.testing import (
    LoopbackConnection,
    OpenAIConnection,
    OpenAILoopbackAgent,
    RefuseHandshake,
    SendMessage,
)
from convsm.testing.openai_script import (
    CallTool,
    ExpireSession,
    Interrupt,
    Say,
    SendError,
    StreamText,
    UserSaid,
)
from convsm.testing.script import tone
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    KEY,
    PATIENCE,
    FakeAudio,
    ManualConversation,
    ReportingAudio,
    conversation,
    nothing_is_left,
    provoke,
    until,
)

pytestmark = pytest.mark.usefixtures("shell")

TRUNCATE, DELETE = "conversation.item.truncate", "conversation.item.delete"
MARK = "conversation.item.retrieve"
CREATE, CANCEL = "response.create", "response.cancel"


@pytest.fixture
def agent():
    with OpenAILoopbackAgent() as agent:
        yield agent


class CountingAudio(ReportingAudio):
    """Knows to the sample what was heard: the test says it."""

    samples = 0

    @property
    def position(self) -> int:
        return self.samples


class SilentConnection(OpenAIConnection):
    """A session in which the service answers nothing by itself."""

    def _take_in(self, entry: tuple[bool, bytes] | None) -> None:
        LoopbackConnection._take_in(self, entry)


class SilentAgent(OpenAILoopbackAgent):
    connection_class: ClassVar[type[LoopbackConnection]] = SilentConnection


def spoken(agent, realtime=None, audio=None, **options):
    """A conversation with audio; without options of the session's, with the usual ones."""
    audio = audio or CountingAudio()
    return conversation(agent, realtime=realtime or RealtimeOptions(), audio_interface=audio, **options)


def speak(call, connection, seconds=1.0, **options):
    """Have the agent speak, and wait until all of it was handed over and taken note of."""
    before = handed_bytes(call)
    connection.send(Say(seconds=seconds, **options))
    size = len(tone(seconds, connection.output_format))
    until(lambda: handed_bytes(call) == before + size)
    call.settle()


def handed_bytes(call):
    if isinstance(call.audio, ReportingAudio):
        return sum(entry[1] for entry in call.audio.log.entries if isinstance(entry, tuple))
    # In the other shell, its output is waited for before the playing time is reckoned.
    return call.driver._audio._reckoning._handed_bytes


def kinds(connection):
    """Types of what the client sent but for audio and marks, in order."""
    sent = [entry.message["type"] for entry in connection.received]
    return [kind for kind in sent if kind not in ("input_audio_buffer.append", MARK)]


def settle(call, connection):
    """Wait until all that the server said so far was taken, and all that follows of it has arrived."""
    number = len(connection.messages(MARK)) + 1
    connection.send(UserSaid(f"mark {number}"))
    call.log.wait_for(("user", f"mark {number}"))
    call.conversation.send(RetrieveItem(f"mark {number}"))
    connection.wait_for(MARK, count=number)


# The session's settings


def test_the_settings_go_first_and_readiness_waits_for_them():
    options = RealtimeOptions("Be kind.", voice="marin")
    with SilentAgent() as agent, spoken(agent, options) as call:
        stream = call.conversation.events(SessionSettings)
        call.conversation.start_session()
        connection = agent.wait_for_connection()
        connection.wait_for("session.update")
        settings = next(stream)
        assert (settings.is_update, call.conversation.state) == (False, "connecting")
        call.conversation.send_user_message("Hi")
        connection.send({"type": "session.updated", "session": {"id": "sess_0"}})
        assert call.conversation.wait_until_ready(PATIENCE) == "sess_0"
        connection.wait_for(CREATE)
        assert kinds(connection) == ["session.update", "conversation.item.create", CREATE]
        session = connection.wait_for("session.update")["session"]
        assert session["instructions"] == "Be kind."
        assert session["audio"]["output"]["voice"] == "marin"
        stream.close()


def test_settings_that_are_refused_end_it_with_what_the_server_said():
    refusal = SendError(message="No such voice.", event_id="convsm_session_update")
    with SilentAgent() as agent, spoken(agent) as call:
        call.conversation.start_session()
        connection = agent.wait_for_connection()
        connection.wait_for("session.update")
        provoke(connection, refusal)
        with pytest.raises(ConnectionFailed, match=r"refused the session: No such voice\."):
            call.finish()
        assert call.details.message == "the server refused the session: No such voice."


def test_without_options_all_is_left_to_the_server(agent):
    with conversation(agent, audio_interface=CountingAudio()) as call:
        connection = call.start()
        speak(call, connection, 0.1)
        assert kinds(connection) == []


def test_without_options_and_without_audio_the_server_is_asked_for_text(agent):
    with conversation(agent) as call:
        connection = call.start()
        assert connection.wait_for("session.update")["session"]["output_modalities"] == ["text"]
        connection.send(StreamText(["Hello", "!"]))
        call.log.wait_for(("agent", "Hello!"))


def test_text_can_be_chosen(agent):
    options = RealtimeOptions(output_modality="text")
    with conversation(agent, realtime=options) as call:
        connection = call.start()
        assert connection.wait_for("session.update")["session"]["output_modalities"] == ["text"]
        call.conversation.send_user_message("Hi")
        connection.wait_for(CREATE)
        connection.send(StreamText(["Hello!"]))
        call.wait_for_state("agent_speaking")
        call.log.wait_for(("agent", "Hello!"))


def test_text_leaves_an_interface_alone_and_says_so(agent, caplog):
    with spoken(agent, RealtimeOptions(output_modality="text")) as call:
        connection = call.start()
        connection.send(StreamText(["Hello!"]))
        call.log.wait_for(("agent", "Hello!"))
        assert call.audio.log.entries == []
        assert caplog.text.count("the audio interface is not used") == 1


def test_an_agent_that_is_to_speak_needs_something_to_be_heard_on(agent):
    with (
        conversation(agent, realtime=RealtimeOptions()) as call,
        pytest.raises(ConfigurationError, match=r"no audio interface .* output_modality='text'"),
    ):
        call.conversation.start_session()


def test_settings_can_be_changed_while_it_goes_on_but_for_the_formats(agent):
    with spoken(agent) as call:
        connection = call.start()
        call.conversation.send(RealtimeOptions("Be brief."))
        session = connection.wait_for("session.update", count=2)["session"]
        assert session["instructions"] == "Be brief."
        assert "format" not in {**session["audio"]["input"], **session["audio"]["output"]}


@pytest.mark.parametrize(
    ("heard", "said"), [("ulaw_8000", "alaw_8000"), ("alaw_8000", "ulaw_8000"), ("pcm_24000", "pcm_24000")]
)
def test_every_format_reaches_the_interface(agent, heard, said):
    options = RealtimeOptions(input_format=heard, output_format=said)
    with spoken(agent, options) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        assert call.audio.formats == (said, heard)
        assert connection.output_format == said
        speak(call, connection, 0.5)
        call.audio.microphone(b"\x55" * 80)
        until(lambda: connection.user_audio == b"\x55" * 80)
        call.audio.samples = int(said.partition("_")[2]) * 123 // 1000
        connection.send(Interrupt())
        assert connection.wait_for(TRUNCATE)["audio_end_ms"] == 123


# What was heard


def test_the_item_is_cut_at_the_sample_that_was_heard(agent):
    with spoken(agent) as call:
        connection = call.start()
        speak(call, connection)
        call.audio.samples = 24 * 437 + 23  # all but a sample of the next millisecond
        connection.send(Interrupt())
        message = connection.wait_for(TRUNCATE)
        assert (message["item_id"], message["content_index"], message["audio_end_ms"]) == ("item_1", 0, 437)
        settle(call, connection)
        speak(call, connection, 0.5)
        call.audio.samples += 24 * 30
        connection.send(Interrupt())
        # The service tells of the user's speech by an item too.
        assert connection.wait_for(TRUNCATE, count=2)["audio_end_ms"] == 30


def test_where_the_interface_does_not_report_it_is_reckoned(agent):
    with spoken(agent, audio=FakeAudio(), kind=ManualConversation) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        speak(call, connection)
        call.advance(0.437)
        connection.send(Interrupt())
        assert connection.wait_for(TRUNCATE)["audio_end_ms"] == 437
        settle(call, connection)
        call.advance(3)
        speak(call, connection, 0.5, chunk_seconds=0.5)
        call.advance(0.25)
        connection.send(Interrupt())
        assert connection.wait_for(TRUNCATE, count=2)["audio_end_ms"] == 250


def test_a_pause_in_which_nothing_plays_does_not_count(agent):
    with spoken(agent, audio=FakeAudio(), kind=ManualConversation) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        speak(call, connection, 0.2, is_whole=False)
        call.advance(5)
        assert call.conversation.state == "listening"
        more = bytes(9600)
        connection.add_audio("item_1", len(more))
        connection.send(delta("resp_1", "item_1", more))
        until(lambda: handed_bytes(call) == 2 * len(more))
        call.advance(0.05)
        connection.send(Interrupt())
        assert connection.wait_for(TRUNCATE)["audio_end_ms"] == 250


def delta(response, item, audio):
    return {
        "type": "response.output_audio.delta",
        "response_id": response,
        "item_id": item,
        "delta": pybase64.b64encode(audio).decode(),
    }


@pytest.mark.parametrize("interface", [CountingAudio, FakeAudio])
def test_an_item_of_which_nothing_was_heard_is_deleted(agent, interface):
    with spoken(agent, audio=interface(), kind=ManualConversation) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        speak(call, connection)
        connection.send(Interrupt())
        assert connection.wait_for(DELETE)["item_id"] == "item_1"
        settle(call, connection)
        assert connection.messages(TRUNCATE) == []


@pytest.mark.parametrize("interface", [CountingAudio, FakeAudio])
def test_an_item_that_was_all_heard_is_left_alone(agent, interface):
    with spoken(agent, audio=interface(), kind=ManualConversation) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        speak(call, connection)
        call.wait_for_state("agent_speaking")
        connection.send(SendMessage({"type": "response.done", "response": {"id": "resp_1"}}))
        if interface is CountingAudio:
            call.audio.samples = 24000  # it has not reported yet, but says so when it is asked
        else:
            call.advance(1.01)
        connection.send(Interrupt())
        settle(call, connection)
        assert kinds(connection) == ["session.update"]
        assert call.conversation.state == "listening"


def test_an_item_that_is_still_generated_is_cut_where_all_of_it_so_far_was_heard(agent):
    with spoken(agent) as call:
        connection = call.start()
        speak(call, connection, 0.3, is_whole=False)
        call.wait_for_state("agent_speaking")
        call.audio.samples = 24 * 300
        call.audio.hear()
        call.wait_for_state("listening", 2)
        connection.send(Interrupt())
        assert connection.wait_for(TRUNCATE)["audio_end_ms"] == 300


def test_an_interface_without_a_position_is_believed_by_whole_pieces(agent):
    with spoken(agent, audio=ReportingAudio()) as call:
        connection = call.start()
        speak(call, connection, 0.5)
        call.audio.hear(3)
        connection.send(Interrupt())
        assert connection.wait_for(TRUNCATE)["audio_end_ms"] == 300


def test_an_interface_whose_position_raises_loses_no_interruption(agent):
    class Broken(ReportingAudio):
        @property
        def position(self):
            raise RuntimeError("no clock")

    with spoken(agent, audio=Broken()) as call:
        connection = call.start()
        for number in (1, 2):
            speak(call, connection, 0.5)
            call.audio.hear(call.audio.last - 3)
            connection.send(Interrupt())
            assert connection.wait_for(TRUNCATE, count=number)["audio_end_ms"] == 200
            call.audio.log.wait_for("interrupt", number)
            settle(call, connection)


@pytest.mark.parametrize("interface", [CountingAudio, FakeAudio])
def test_what_was_heard_before_the_interface_failed_is_told_with_the_next_interruption(agent, interface):
    def fail(*_):
        raise OSError("unplugged")

    audio = interface()
    with spoken(agent, audio=audio, kind=ManualConversation, audio_required=False) as call:
        connection = call.start()
        audio.log.wait_for("start")
        speak(call, connection, 0.5, is_whole=False)
        audio.samples = 24 * 437
        call.advance(0.437)
        audio.play = audio.on_output = fail
        connection.add_audio("item_1", 4800)
        connection.send(delta("resp_1", "item_1", bytes(4800)))
        call.wait_for_state("listening", 2)
        audio.samples += 2400  # nobody believes it any more
        call.advance(0.05)
        connection.send(Interrupt())
        assert connection.wait_for(TRUNCATE)["audio_end_ms"] == 437
        settle(call, connection)
        assert connection.messages(DELETE) == []


def test_speech_that_waited_for_the_interface_when_the_user_cut_in_was_not_heard(agent):
    opened = threading.Event()
    audio = FakeAudio(on_start=lambda: opened.wait(PATIENCE))
    with spoken(agent, audio=audio, kind=ManualConversation) as call:
        connection = call.start()
        connection.send(Say(seconds=0.5))
        call.wait_for_state("agent_speaking")
        connection.send(Interrupt())
        assert connection.wait_for(DELETE)["item_id"] == "item_1"
        settle(call, connection)
        opened.set()
        audio.log.wait_for("start")
        speak(call, connection, 0.5, chunk_seconds=0.5)
        call.advance(0.2)
        connection.send(Interrupt())
        assert connection.wait_for(TRUNCATE)["audio_end_ms"] == 200
        assert len(connection.messages(DELETE)) == 1


# Cutting


def test_a_server_that_stops_by_itself_is_not_told_to(agent):
    with spoken(agent) as call:
        connection = call.start()
        speak(call, connection, is_whole=False)
        call.audio.samples = 2400
        connection.send(Interrupt())
        connection.wait_for(TRUNCATE)
        settle(call, connection)
        assert kinds(connection) == ["session.update", TRUNCATE]


def test_a_server_that_does_not_is(agent):
    options = RealtimeOptions(turn_detection=ServerVad(interrupt_response=False))
    with spoken(agent, options) as call:
        connection = call.start()
        speak(call, connection, is_whole=False)
        call.audio.samples = 2400
        connection.send(Interrupt())
        connection.wait_for(TRUNCATE)
        connection.send(Interrupt())  # once more: it is told once
        settle(call, connection)
        assert kinds(connection) == ["session.update", CANCEL, TRUNCATE]
        assert connection.response_id is None


def test_what_a_cut_response_still_begins_is_deleted(agent):
    with spoken(agent) as call:
        connection = call.start()
        speak(call, connection, is_whole=False)
        call.audio.samples = 2400
        connection.send(Interrupt())
        connection.wait_for(TRUNCATE)
        for _ in range(3):
            connection.add_audio("item_late", 480)
            connection.send(delta("resp_1", "item_late", bytes(480)))
        assert connection.wait_for(DELETE)["item_id"] == "item_late"
        settle(call, connection)
        assert len(connection.messages(DELETE)) == 1
        assert call.audio.log.entries[-1] == "interrupt"


def test_the_users_own_interruption_stops_the_server_and_tells_what_was_heard(agent):
    with spoken(agent) as call:
        connection = call.start()
        speak(call, connection, is_whole=False)
        call.wait_for_state("agent_speaking")
        call.audio.samples = 24 * 250
        call.conversation.interrupt()
        assert connection.wait_for(TRUNCATE)["audio_end_ms"] == 250
        call.conversation.interrupt()
        settle(call, connection)
        assert kinds(connection) == ["session.update", CANCEL, TRUNCATE]


def test_a_written_message_cuts_in_and_is_answered_behind_the_old_response(agent):
    with spoken(agent) as call:
        connection = call.start()
        speak(call, connection, is_whole=False)
        call.wait_for_state("agent_speaking")
        call.audio.samples = 24 * 110
        call.conversation.send_user_message("Wait!")
        connection.wait_for(CREATE)
        expected = ["session.update", CANCEL, TRUNCATE, "conversation.item.create", CREATE]
        assert kinds(connection) == expected


# Replies that are asked for


def test_a_reply_can_be_asked_for_with_instructions_of_its_own(agent):
    with spoken(agent) as call:
        connection = call.start()
        call.conversation.generate_reply()
        assert "response" not in connection.wait_for(CREATE)
        speak(call, connection, 0.1)
        call.conversation.generate_reply("Be brief.")
        assert connection.wait_for(CREATE, count=2)["response"] == {"instructions": "Be brief."}
        speak(call, connection, 0.1)
        call.conversation.say("Good evening!")
        instructions = connection.wait_for(CREATE, count=3)["response"]["instructions"]
        assert instructions.endswith("Good evening!")


def test_a_request_waits_for_the_response_that_runs(agent):
    with spoken(agent) as call:
        connection = call.start()
        speak(call, connection, 0.3, is_whole=False)
        call.conversation.generate_reply("Be brief.")
        settle(call, connection)
        assert connection.messages(CREATE) == []
        assert call.conversation.state == "agent_speaking"
        connection.end_response()
        assert connection.wait_for(CREATE)["response"] == {"instructions": "Be brief."}
        settle(call, connection)
        assert len(connection.messages(CREATE)) == 1


def test_a_refused_request_is_asked_again_and_blocks_nothing(agent):
    with spoken(agent) as call:
        connection = call.start()
        call.conversation.generate_reply()
        connection.wait_for(CREATE)
        connection.send(SendError("invalid_value", "No.", event_id="convsm_response_create"))
        settle(call, connection)
        call.conversation.generate_reply()
        connection.wait_for(CREATE, count=2)


def test_manual_turns_are_committed_and_answered_when_asked(agent):
    with spoken(agent, RealtimeOptions(turn_detection=None)) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        assert connection.wait_for("session.update")["session"]["audio"]["input"]["turn_detection"] is None
        call.audio.microphone(bytes(960))
        until(lambda: len(connection.user_audio) == 960)
        call.conversation.send(ClearAudio())
        call.audio.microphone(bytes(480))
        until(lambda: len(connection.user_audio) == 1440)
        call.conversation.send(CommitAudio())
        call.conversation.generate_reply()
        connection.wait_for(CREATE)
        assert kinds(connection) == [
            "session.update",
            "input_audio_buffer.clear",
            "input_audio_buffer.commit",
            CREATE,
        ]
        speak(call, connection, 0.1)


# Tools


def result_of(connection, number):
    message = connection.wait_for(
        lambda message: message.get("item", {}).get("type") == "function_call_output", count=number
    )
    return message["item"]["call_id"], message["item"]["output"]


def test_a_result_is_followed_by_one_request_for_a_reply(agent):
    tools = ClientTools()
    tools.register("weather", lambda parameters: f"12 in {parameters['city']}")
    with spoken(agent, RealtimeOptions(tools=["weather"]), client_tools=tools) as call:
        connection = call.start()
        connection.send(CallTool("weather", parameters={"city": "Oslo"}))
        assert result_of(connection, 1) == ("call_1", "12 in Oslo")
        connection.wait_for(CREATE)
        speak(call, connection, 0.1)
        settle(call, connection)
        assert kinds(connection) == ["session.update", "conversation.item.create", CREATE]


def test_parallel_calls_are_answered_each_and_one_reply_is_asked_for(agent):
    released = threading.Event()
    tools = ClientTools()
    tools.register("quick", lambda _: "quick")
    tools.register("slow", lambda _: "slow" if released.wait(PATIENCE) else None)
    with spoken(agent, client_tools=tools) as call:
        connection = call.start()
        connection.send(CallTool("slow", "call_1", is_whole=False))
        connection.send(CallTool("quick", "call_2", is_whole=False))
        assert result_of(connection, 1) == ("call_2", "quick")
        connection.end_response()
        settle(call, connection)
        assert connection.messages(CREATE) == []
        released.set()
        assert result_of(connection, 2) == ("call_1", "slow")
        connection.wait_for(CREATE)
        settle(call, connection)
        assert kinds(connection)[1:] == ["conversation.item.create"] * 2 + [CREATE]


def test_a_result_that_comes_while_its_response_runs_waits_with_the_request_only(agent):
    tools = ClientTools()
    tools.register("quick", lambda _: "quick")
    with spoken(agent, client_tools=tools) as call:
        connection = call.start()
        connection.send(CallTool("quick", is_whole=False))
        assert result_of(connection, 1) == ("call_1", "quick")
        settle(call, connection)
        assert connection.messages(CREATE) == []
        connection.end_response()
        connection.wait_for(CREATE)


def test_a_failure_is_told_in_the_result(agent):
    tools = ClientTools()
    tools.register("broken", lambda parameters: parameters["city"])
    with spoken(agent, client_tools=tools) as call:
        connection = call.start()
        connection.send(CallTool("broken"))
        call_id, output = result_of(connection, 1)
        assert call_id == "call_1"
        assert output.startswith('{"error":')
        connection.wait_for(CREATE)


# The end


def test_a_session_that_lasted_too_long_ends_with_that_cause(agent):
    with spoken(agent) as call:
        provoke(call.start(), ExpireSession())
        call.finish()
        assert (call.details.reason, call.details.close_code) == ("error", 1001)
        cause = "Your session hit the maximum duration of 60 minutes."
        assert call.details.message == f"the server ended the session: {cause}"


def test_a_session_that_the_server_only_says_is_over_ends_after_a_while(agent):
    with spoken(agent, kind=ManualConversation) as call:
        connection = call.start()
        connection.send(ExpireSession(closes=False))
        settle(call, connection)
        assert call.conversation.state == "listening"
        call.advance(5.1)
        call.finish()
        assert call.details.reason == "error"
        assert "60 minutes" in (call.details.message or "")


# The key


def test_the_key_is_in_the_header_and_nowhere_else(caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "recording.jsonl"
    with (
        OpenAILoopbackAgent(api_key=KEY) as agent,
        spoken(agent, record=path, record_audio=True) as call,
    ):
        connection = call.start()
        assert connection.request_headers["Authorization"] == f"Bearer {KEY}"
        assert KEY not in connection.request_path
        speak(call, connection, 0.1)
        connection.send(SendError(message=f"Incorrect API key provided: {KEY}."))
        settle(call, connection)
        assert "sk-***" in caplog.text
        call.conversation.end_session()
        call.finish()
        assert KEY not in repr(call.conversation.client)
    assert KEY not in path.read_text()
    assert KEY not in caplog.text
    assert not any(KEY in str(entry.message) for entry in connection.received)


@pytest.mark.parametrize("script", [[], [RefuseHandshake(401, f"The key {KEY} is wrong.")]])
def test_a_key_that_is_refused_is_told_by_its_status_only(script):
    with OpenAILoopbackAgent(script, api_key=KEY if script else "another") as agent, spoken(agent) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match="401") as failure:
            call.finish()
        assert failure.value.status == 401
        assert KEY not in str(failure.value)


def test_the_environments_key_is_taken_where_none_is_given(agent, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    client = OpenAIRealtime(RealtimeOptions(), base_url=f"{agent.base_url}/v1", organization="org_1")
    with conversation(agent, client=client, audio_interface=CountingAudio()) as call:
        headers = call.start().request_headers
        assert headers["Authorization"] == "Bearer sk-of-the-environment"
        assert headers["OpenAI-Organization"] == "org_1"


def test_a_server_of_ones_own_needs_no_key(agent, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    client = OpenAIRealtime(base_url=f"{agent.base_url}/v1", model=None, query={"deployment": "mine"})
    with conversation(agent, client=client, audio_interface=CountingAudio()) as call:
        connection = call.start()
        assert "Authorization" not in connection.request_headers
        assert connection.request_path == "/v1/realtime?deployment=mine"


@pytest.mark.parametrize(
    ("key", "allow_insecure", "problem"),
    [
        (KEY, False, "An API key does not go to 192.0.2.1 over ws://"),
        (KEY, True, "An API key does not go to 192.0.2.1 over ws://"),
        (None, False, "ws:// to 192.0.2.1 is not encrypted"),
    ],
)
def test_neither_key_nor_speech_goes_unencrypted_to_another_machine(
    monkeypatch, key, allow_insecure, problem
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    client = OpenAIRealtime(api_key=key, base_url="http://192.0.2.1/v1")
    with conversation(
        None, client=client, audio_interface=CountingAudio(), allow_insecure=allow_insecure
    ) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed) as failure:
            call.finish()
        assert problem in str(failure.value)
        assert KEY not in str(failure.value)


# What is ElevenLabs' alone


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("agent_id", "agent_1"),
        ("user_id", "user_1"),
        ("requires_auth", False),
        ("config", ConversationInitiationData()),
        ("on_prem_config", OnPremInitiationData("wss://x/y")),
        ("environment", "staging"),
        ("equal_id", "drop"),
    ],
)
def test_an_argument_that_does_nothing_here_is_refused_by_its_name(name, value):
    with pytest.raises(ConfigurationError, match=f"^{name}: only ElevenLabs"):
        Conversation(OpenAIRealtime(), **{name: value})


def test_all_of_them_are_named():
    with pytest.raises(ConfigurationError, match=r"^agent_id, requires_auth, environment: "):
        Conversation(OpenAIRealtime(), "agent_1", requires_auth=True, environment="staging")


def test_a_stand_in_for_an_elevenlabs_client_is_no_description_of_a_server():
    made = Conversation(MagicMock(), "agent_1", requires_auth=False)
    assert made.agent_id == "agent_1"
    with pytest.raises(TypeError, match="needs agent_id"):
        Conversation(MagicMock(), requires_auth=False)


def test_callbacks_that_are_never_called_are_warned_of(agent, caplog):
    names = [name for name in CALLBACKS if name != "callback_user_transcript"]
    with spoken(agent, RealtimeOptions(transcription=None)) as call:
        for name in names:
            setattr(call.conversation, name, lambda *_: None)
        call.start()
    for name in (*names, "callback_user_transcript"):
        assert caplog.text.count(f"{name} needs ") == 1


def test_a_session_with_what_it_needs_warns_of_nothing(agent, caplog):
    with spoken(agent) as call:
        call.start()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("register_user_activity", ()),
        ("send_feedback", (1, "like")),
        ("send_multimodal_message", ("Look!", "file_1")),
        ("send", (object(),)),
    ],
)
def test_what_the_protocol_cannot_say_is_refused_and_nothing_is_sent(agent, method, arguments):
    with spoken(agent) as call:
        connection = call.start()
        with pytest.raises(ProtocolError, match="OpenAI Realtime"):
            getattr(call.conversation, method)(*arguments)
        settle(call, connection)
        assert kinds(connection) == ["session.update"]


def test_nothing_can_be_uploaded(agent):
    with spoken(agent) as call:
        call.start()
        with pytest.raises(ConfigurationError, match="Only an ElevenLabs client takes files"):
            call.conversation.upload_file(b"", "a.png")


def test_a_contextual_update_asks_for_no_reply(agent):
    with spoken(agent) as call:
        connection = call.start()
        call.conversation.send_contextual_update("The user looks at the map.")
        item = connection.wait_for("conversation.item.create")["item"]
        assert (item["role"], item["content"][0]["text"]) == ("system", "The user looks at the map.")
        settle(call, connection)
        assert connection.messages(CREATE) == []
