"""One conversation is like another: the same behaviour with servers of each protocol, in each shell."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from convsm import (
    ClientTools,
    ConnectionFailed,
    DisconnectionDetails,
    ElevenLabs,
    OpenAIRealtime,
    RefusedCommand,
    SessionOptions,
)
from convsm.machine.effects import StateChanged
from convsm.machine.events import AgentResponse, UserTranscript
from convsm.recording import replay
from convsm.testing import Close, Drop, HoldHandshake, RefuseHandshake, SendFrame, SendMessage
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    BY_USER,
    KEY,
    PATIENCE,
    FakeAudio,
    Log,
    ManualConversation,
    ReportingAudio,
    assert_over,
    conversation,
    join_threads,
    nothing_is_left,
    provoke,
    until,
)

pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent(protocol):
    with protocol.agent() as agent:
        yield agent


def told(call, *kinds):
    return [entry for entry in call.log.entries if entry[0] in kinds]


def wait_for_results(protocol, connection, count=1):
    until(lambda: len(protocol.results(connection)) >= count)
    return protocol.results(connection)


# A voice turn


def test_a_turn_is_told_handed_over_and_heard(agent, protocol):
    modes, statuses, connected = Log(), Log(), Log()
    speech = protocol.speech(0.2)
    with conversation(
        agent,
        audio_interface=ReportingAudio(),
        callback_mode=modes.add,
        callback_status=statuses.add,
        callback_connect=lambda *arguments: connected.add(arguments),
    ) as call:
        connection = call.start()
        connection.send(protocol.user_said("Hi"))
        connection.send(protocol.say("Hello!", speech))
        call.audio.log.wait_for((1, len(speech)))
        call.log.wait_for(("agent", "Hello!"))
        call.wait_for_state("agent_speaking")
        call.audio.hear()
        call.wait_for_state("listening", 2)
        assert told(call, "user", "agent") == [("user", "Hi"), ("agent", "Hello!")]
        call.conversation.end_session()
        assert_over(call)
    assert call.states == ["connecting", "listening", "agent_speaking", "listening", "closing", "idle"]
    assert modes.entries == ["speaking", "listening"]
    assert statuses.entries == ["connecting", "connected", "disconnecting", "disconnected"]
    formats = (protocol.audio_format, protocol.audio_format)
    assert connected.entries == [(protocol.conversation_id.format(0), *formats)]
    assert call.audio.formats == formats


def test_a_turn_that_is_generated_to_its_end_is_told(agent, protocol):
    complete = Log()
    with conversation(agent, audio_interface=FakeAudio(), callback_response_complete=complete.add) as call:
        connection = call.start()
        for turn in (1, 2):
            connection.send(protocol.say("Hello!", protocol.speech(0.1), turn))
            for step in protocol.complete(turn):
                connection.send(step)
        complete.wait_for(2)
        assert complete.entries == [1, 2]


def test_the_microphone_is_heard_by_the_server(agent, protocol):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        call.audio.microphone(b"\x01\x02" * 50)
        call.audio.microphone(b"\x03\x04" * 50)
        until(lambda: connection.user_audio == b"\x01\x02" * 50 + b"\x03\x04" * 50)


def test_playout_is_reckoned_where_the_interface_does_not_report(agent, protocol):
    with conversation(agent, audio_interface=FakeAudio(), kind=ManualConversation) as call:
        connection = call.start()
        call.audio.log.wait_for("start")
        speech = protocol.speech(1.0)
        connection.send(protocol.say("Hello!", speech))
        call.audio.log.wait_for(speech)
        call.advance(0.9)
        assert call.conversation.state == "agent_speaking"
        call.advance(0.2)
        assert call.conversation.state == "listening"


# Interruption


def test_an_interruption_silences_what_is_late_is_dropped_and_the_next_turn_plays(agent, protocol):
    old, late, new = protocol.speech(1.0), protocol.speech(0.3), protocol.speech(0.5)
    interruptions = Log()
    with conversation(agent, audio_interface=FakeAudio(), callback_interruption=interruptions.add) as call:
        connection = call.start()
        connection.send(protocol.say("Old.", old))
        call.audio.log.wait_for(old)
        connection.send(protocol.interrupt(2))
        call.wait_for_state("interrupted")
        connection.send(protocol.late_audio(late, 1))
        connection.send(protocol.say("New.", new, 2))
        call.audio.log.wait_for(new)
        assert call.audio.log.entries == ["start", old, "interrupt", new]
        call.wait_for_state("agent_speaking", 2)
        interruptions.wait_for(bool)
        assert len(interruptions.entries) == 1


def test_the_users_words_end_an_interruption(agent, protocol):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        connection = call.start()
        connection.send(protocol.say("Old.", protocol.speech(5)))
        call.wait_for_state("agent_speaking")
        connection.send(protocol.interrupt(2))
        connection.send(protocol.user_said("Stop!"))
        call.wait_for_state("listening", 2)
        assert call.states[-2:] == ["interrupted", "listening"]


def test_an_interruption_that_nothing_follows_is_over_after_a_while(agent, protocol):
    with conversation(agent, audio_interface=FakeAudio(), kind=ManualConversation) as call:
        connection = call.start()
        connection.send(protocol.say("Old.", protocol.speech(5)))
        call.wait_for_state("agent_speaking")
        connection.send(protocol.interrupt(2))
        call.wait_for_state("interrupted")
        call.advance(2.1)
        assert call.conversation.state == "listening"


def test_a_tool_goes_on_through_an_interruption_and_is_answered(agent, protocol):
    released = threading.Event()
    tools = ClientTools()
    tools.register("slow", lambda _: "done" if released.wait(PATIENCE) else "late")
    with conversation(agent, audio_interface=FakeAudio(), client_tools=tools) as call:
        connection = call.start()
        connection.send(protocol.call_tool("slow"))
        call.wait_for_state("tool_running")
        connection.send(protocol.interrupt(2))
        connection.send(protocol.user_said("Hurry!"))
        call.log.wait_for(("user", "Hurry!"))
        assert call.conversation.state == "tool_running"
        released.set()
        assert wait_for_results(protocol, connection) == [("call_1", "done", False)]
        call.wait_for_state("listening", 2)


# Tools


def fail(_):
    raise KeyError("city")


async def later(_):
    return "later"


HANDLERS: dict[str, tuple[Any, str | None, bool]] = {
    "text": (lambda _: "12 degrees", "12 degrees", False),
    "a number": (lambda _: 12, "12", False),
    "data": (lambda _: {"degrees": 12}, '{"degrees":12}', False),
    "asynchronous": (later, "later", False),
    "raising": (fail, None, True),
    "nothing that can be said": (lambda _: object(), None, True),
}


@pytest.mark.parametrize("name", HANDLERS)
def test_a_call_is_answered_exactly_once_whatever_its_tool_does(agent, protocol, name):
    handler, result, is_error = HANDLERS[name]
    tools = ClientTools()
    tools.register("tool", handler)
    with conversation(agent, audio_interface=FakeAudio(), client_tools=tools) as call:
        connection = call.start()
        connection.send(protocol.call_tool("tool", city="Oslo"))
        connection.send(protocol.call_tool("tool", city="Oslo"))  # under the same id
        call.wait_for_state("listening", 2)
        connection.send(protocol.call_tool("tool", "call_2"))
        answers = wait_for_results(protocol, connection, 2)
        assert [(call_id, failed) for call_id, _, failed in answers] == [
            ("call_1", is_error),
            ("call_2", is_error),
        ]
        if result is not None:
            assert {"".join(text.split()) for _, text, _ in answers} == {"".join(result.split())}


def test_an_unknown_tool_is_an_error_for_the_agent_and_the_session_goes_on(agent, protocol):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        connection = call.start()
        connection.send(protocol.call_tool("nobody_knows"))
        [(call_id, text, is_error)] = wait_for_results(protocol, connection)
        assert (call_id, is_error) == ("call_1", True)
        assert "nobody_knows" in text
        call.wait_for_state("listening", 2)


def test_a_tool_starts_while_the_agent_speaks_and_takes_the_floor_when_it_is_silent(agent, protocol):
    reached, released = threading.Event(), threading.Event()
    tools = ClientTools()

    def slow(_):
        reached.set()
        assert released.wait(PATIENCE)
        return "done"

    tools.register("slow", slow)
    with conversation(agent, audio_interface=ReportingAudio(), client_tools=tools) as call:
        connection = call.start()
        connection.send(protocol.say("Let me see.", protocol.speech(0.5)))
        call.wait_for_state("agent_speaking")
        connection.send(protocol.call_tool("slow"))
        assert reached.wait(PATIENCE)
        assert call.conversation.state == "agent_speaking"
        call.audio.hear()
        call.wait_for_state("tool_running")
        released.set()
        call.wait_for_state("listening", 2)
        assert wait_for_results(protocol, connection) == [("call_1", "done", False)]


def test_a_call_of_no_tool_is_answered_by_hand(agent, protocol):
    unhandled = Log()
    with conversation(
        agent,
        audio_interface=FakeAudio(),
        callback_unhandled_tool=lambda *arguments: unhandled.add(arguments),
    ) as call:
        connection = call.start()
        connection.send(protocol.call_tool("by_hand", city="Oslo"))
        unhandled.wait_for(("by_hand", "call_1", {"city": "Oslo"}))
        call.conversation.send_tool_result("call_1", "12")
        assert wait_for_results(protocol, connection) == [("call_1", "12", False)]
        call.wait_for_state("listening", 2)


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_servers_tool_is_approved_or_not_by_the_user(agent, protocol, is_approved):
    asked = Log()

    def approve(request):
        asked.add((request.name, request.call_id))
        return is_approved

    with conversation(agent, audio_interface=FakeAudio(), callback_mcp_approval=approve) as call:
        connection = call.start()
        for _ in range(2):  # it is asked about once
            connection.send(protocol.ask_approval("refund", "mcp_1"))
        connection.send(protocol.ask_approval("refund", "mcp_2"))
        until(lambda: len(protocol.approvals(connection)) == 2)
        assert sorted(protocol.approvals(connection)) == [("mcp_1", is_approved), ("mcp_2", is_approved)]
        assert sorted(asked.entries) == [("refund", "mcp_1"), ("refund", "mcp_2")]


# Callbacks


def test_what_the_user_seems_to_say_comes_before_what_they_said(agent, protocol):
    log = Log()
    with conversation(
        agent,
        audio_interface=FakeAudio(),
        callback_tentative_transcript=lambda text: log.add(("perhaps", text)),
        callback_user_transcript=lambda text: log.add(("surely", text)),
    ) as call:
        connection = call.start()
        connection.send(protocol.user_said("Well", tentative=["Well"]))
        log.wait_for(("surely", "Well"))
        assert log.entries == [("perhaps", "Well"), ("surely", "Well")]


def test_callbacks_that_raise_end_nothing(agent, protocol):
    def boom(*_):
        raise RuntimeError("boom")

    with conversation(
        agent, audio_interface=FakeAudio(), callback_user_transcript=boom, callback_state_change=boom
    ) as call:
        connection = call.start()
        connection.send(protocol.user_said("Hi"))
        connection.send(protocol.say("Hello!", protocol.speech(0.1)))
        call.log.wait_for(("agent", "Hello!"))


def test_a_slow_callback_delays_neither_audio_nor_tools(agent, protocol):
    reached, released = threading.Event(), threading.Event()
    tools = ClientTools()
    tools.register("tool", lambda _: "done")

    def slow(_):
        reached.set()
        assert released.wait(PATIENCE)

    with conversation(
        agent, audio_interface=FakeAudio(), client_tools=tools, callback_user_transcript=slow
    ) as call:
        connection = call.start()
        connection.send(protocol.user_said("Hi"))
        assert reached.wait(PATIENCE)
        speech = protocol.speech(0.1)
        connection.send(protocol.say("Hello!", speech))
        call.audio.log.wait_for(speech)
        connection.send(protocol.call_tool("tool"))
        wait_for_results(protocol, connection)
        released.set()


# What nobody understands


def test_frames_that_cannot_be_read_end_nothing_and_are_counted(agent, protocol):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        connection = call.start()
        for frame in ("no JSON", "[]", '{"no": "type"}'):
            connection.send(SendFrame(frame))
        connection.send(SendMessage(protocol.malformed))
        connection.send(SendMessage({"type": "of.the.future", "value": 1}))
        connection.send(protocol.user_said("Still there?"))
        call.log.wait_for(("user", "Still there?"))
        assert call.driver.diagnostics == 4


def test_an_error_of_the_servers_is_told_and_ends_nothing(agent, protocol):
    errors = Log()
    with conversation(agent, audio_interface=FakeAudio(), callback_error=errors.add) as call:
        connection = call.start()
        connection.send(protocol.error("Something was wrong."))
        errors.wait_for(lambda error: error.message == "Something was wrong.")
        connection.send(protocol.user_said("Still there?"))
        call.log.wait_for(("user", "Still there?"))
        call.conversation.end_session()
        assert_over(call)


# The end

ENDS: dict[str, tuple[Any, DisconnectionDetails]] = {
    "the server closes": (Close(1000, "bye"), DisconnectionDetails("agent", 1000, "bye")),
    "the server goes away": (Close(1001), DisconnectionDetails("agent", 1001, "")),
    "policy": (Close(1008, "no"), DisconnectionDetails("error", 1008, "no", "close code 1008")),
    "internal": (Close(1011), DisconnectionDetails("error", 1011, "", "close code 1011")),
    "no code": (Close(None), DisconnectionDetails("error", 1005, "", "close code 1005")),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_cause_of_the_end_is_told_once(agent, protocol, name):
    step, details = ENDS[name]
    with conversation(agent, audio_interface=FakeAudio()) as call:
        provoke(call.start(), step)
        assert call.finish() == protocol.conversation_id.format(0)
        message = call.details.message
        assert (call.details.reason, call.details.close_code, call.details.close_reason) == (
            details.reason,
            details.close_code,
            details.close_reason,
        )
        assert message is None if details.message is None else details.message in (message or "")


def test_a_lost_connection_is_an_error(agent, protocol):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        provoke(call.start(), Drop())
        assert call.finish() == protocol.conversation_id.format(0)
        assert (call.details.reason, call.details.close_code) == ("error", 1006)


def test_the_users_end_silences_the_agent_and_closes_with_1000(agent, protocol):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        connection = call.start()
        connection.send(protocol.say("Hello!", protocol.speech(5)))
        call.wait_for_state("agent_speaking")
        call.audio.log.wait_for(lambda entry: isinstance(entry, bytes))
        call.conversation.end_session()
        assert_over(call)
        assert connection.close_code == 1000
        assert call.audio.log.entries[-2:] == ["interrupt", "stop"]


def test_a_farewell_is_heard_to_its_end(agent, protocol):
    with conversation(agent, audio_interface=ReportingAudio()) as call:
        connection = call.start()
        connection.send(protocol.say("Bye!", protocol.speech(0.5)))
        provoke(connection, Close(1000))
        call.wait_for_state("closing")
        assert "stop" not in call.audio.log.entries
        call.audio.hear()
        assert_over(call, DisconnectionDetails("agent", 1000, ""))


def test_open_calls_are_cancelled_and_not_answered_at_the_end(agent, protocol):
    released = threading.Event()
    tools = ClientTools()
    tools.register("slow", lambda _: "done" if released.wait(PATIENCE) else None)
    with conversation(agent, audio_interface=FakeAudio(), client_tools=tools) as call:
        connection = call.start()
        connection.send(protocol.call_tool("slow"))
        call.wait_for_state("tool_running")
        call.conversation.end_session()
        call.log.wait_for(("end",))
        released.set()
        assert_over(call)
        assert protocol.results(connection) == []


def test_a_refused_handshake_is_told_with_its_status(protocol):
    with (
        protocol.agent([RefuseHandshake(401)]) as agent,
        conversation(agent, audio_interface=FakeAudio()) as call,
    ):
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match="401") as failure:
            call.conversation.wait_until_ready(PATIENCE)
        assert failure.value.status == 401
        with pytest.raises(ConnectionFailed, match="401"):
            call.finish()
        assert call.details.reason == "error"
        assert call.details.close_code is None
        assert call.audio.log.entries == []


def test_a_server_that_is_not_there_is_told(agent, protocol):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    client: Any = (
        OpenAIRealtime(api_key=KEY, base_url=f"{nobody}/v1")
        if protocol.name == "openai"
        else ElevenLabs(base_url=nobody)
    )
    with conversation(agent, client=client, audio_interface=FakeAudio()) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed):
            call.finish()
        assert (call.details.reason, call.details.close_code) == ("error", None)


def test_a_server_that_never_accepts_is_waited_for_so_long(protocol):
    with (
        protocol.agent(opening=False) as agent,
        conversation(
            agent,
            audio_interface=FakeAudio(),
            kind=ManualConversation,
            session_options=SessionOptions(ready_seconds=7),
        ) as call,
    ):
        call.conversation.start_session()
        assert agent.wait_for_connection().script_done.wait(PATIENCE)
        with pytest.raises(TimeoutError):
            call.conversation.wait_until_ready(0.01)
        call.advance(7.1)
        with pytest.raises(ConnectionFailed, match="within 7 s"):
            call.conversation.wait_for_session_end()
        assert call.details.reason == "error"


# Waiting for the end


def test_without_a_start_there_is_no_end_to_wait_for(agent):
    with (
        conversation(agent, audio_interface=FakeAudio()) as call,
        pytest.raises(RuntimeError, match="Session not started"),
    ):
        call.conversation.wait_for_session_end()


def test_a_callback_may_wait_for_the_end(agent, protocol):
    waited = Log()

    def wait(_):
        call.conversation.end_session()
        waited.add(call.conversation.wait_for_session_end())

    with conversation(agent, audio_interface=FakeAudio(), callback_user_transcript=wait) as call:
        connection = call.start()
        connection.send(protocol.user_said("Hi"))
        waited.wait_for(protocol.conversation_id.format(0))
        assert_over(call)


def test_when_waiting_returns_the_callbacks_of_the_end_have_run(agent):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        call.start()
        call.conversation.end_session()
        call.conversation.wait_for_session_end()
        assert call.log.entries[-2:] == [("disconnect", BY_USER), ("end",)]
        assert call.audio.log.entries[-1] == "stop"


# Sending


def test_what_is_sent_while_connecting_is_held_and_goes_out_in_order(protocol):
    answer = threading.Event()
    with (
        protocol.agent([HoldHandshake(answer)]) as agent,
        conversation(agent, audio_interface=FakeAudio()) as call,
    ):
        call.conversation.start_session()
        for number in range(5):
            call.conversation.send_user_message(f"message {number}")
        assert call.conversation.state == "connecting"
        answer.set()
        connection = agent.wait_for_connection()
        connection.wait_for(protocol.user_message, count=5)
        assert protocol.texts(connection) == [f"message {number}" for number in range(5)]


def test_what_is_sent_without_a_session_is_refused(agent):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        with pytest.raises(RuntimeError, match="start_session"):
            call.conversation.send_user_message("Hi")
        call.start()
        call.conversation.end_session()
        call.finish()
        with pytest.raises(RefusedCommand, match="idle"):
            call.conversation.send_user_message("Hi")


def test_a_second_start_is_refused_and_a_start_after_the_end_is_a_new_session(agent, protocol):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        for number in range(3):
            connection = call.start(number)
            with pytest.raises(RefusedCommand):
                call.conversation.start_session()
            assert call.conversation.conversation_id == protocol.conversation_id.format(number)
            call.conversation.send_user_message("Hi")
            connection.wait_for(protocol.user_message)
            speech = protocol.speech(0.1 * (number + 1))
            connection.send(protocol.say(f"Hello {number}!", speech))
            call.audio.log.wait_for(speech)
            call.log.wait_for(("agent", f"Hello {number}!"))
            call.conversation.end_session()
            call.finish()
        assert call.log.entries.count(("end",)) == 3
        assert [text for _, text in told(call, "agent")] == ["Hello 0!", "Hello 1!", "Hello 2!"]


# Without audio


def test_a_conversation_in_writing(agent, protocol):
    with conversation(agent) as call:
        connection = call.start()
        call.conversation.send_user_message("Hi")
        connection.wait_for(protocol.user_message)
        connection.send(protocol.stream_text("Hel", "lo!"))
        call.log.wait_for(("agent", "Hello!"))
        call.wait_for_state("listening", 2)
        assert call.states == ["connecting", "listening", "agent_speaking", "listening"]
        parts = [(text, str(kind.value)) for _, text, kind in told(call, "part")]
        assert parts == [("", "start"), ("Hel", "delta"), ("lo!", "delta"), ("", "stop")]
        call.conversation.end_session()
        assert_over(call)


# What is kept of it


def test_the_transcript_and_what_was_measured(agent, protocol):
    with conversation(agent, audio_interface=ReportingAudio()) as call:
        connection = call.start()
        connection.send(protocol.user_said("Hi"))
        connection.send(protocol.say("Hello!", protocol.speech(0.5)))
        call.log.wait_for(("agent", "Hello!"))
        call.wait_for_state("agent_speaking")
        connection.send(protocol.interrupt(2))
        connection.send(protocol.user_said("Stop!", 2))
        call.log.wait_for(("user", "Stop!"))
        call.conversation.end_session()
        call.finish()
        entries = call.conversation.transcript
        assert [(entry.who, entry.text, entry.is_interrupted) for entry in entries] == [
            ("user", "Hi", False),
            ("agent", "Hello!", True),
            ("user", "Stop!", False),
        ]
        metrics = call.conversation.metrics
        assert metrics is not None
        assert (metrics.user_turns, metrics.agent_turns, metrics.interruptions) == (2, 1, 1)
        assert len(metrics.response_seconds.values) == len(metrics.interruption_seconds.values) == 1
        assert metrics.bytes_received > 0
        assert metrics.diagnostics == 0


def test_the_event_stream_tells_all_and_ends_with_the_cause(agent, protocol):
    with conversation(agent, audio_interface=FakeAudio()) as call:
        stream = call.conversation.events(UserTranscript, AgentResponse, StateChanged, DisconnectionDetails)
        connection = call.start()
        connection.send(protocol.user_said("Hi"))
        connection.send(protocol.say("Hello!", protocol.speech(0.1)))
        call.log.wait_for(("agent", "Hello!"))
        provoke(connection, Close(1000))
        events = [*stream]
        assert UserTranscript("Hi").text in [event.text for event in events if type(event) is UserTranscript]
        assert [event.text for event in events if type(event) is AgentResponse] == ["Hello!"]
        assert [event.target for event in events if type(event) is StateChanged][-1] == "idle"
        assert events[-1] == DisconnectionDetails("agent", 1000, "")


def test_a_recording_replays_and_holds_no_key(agent, protocol, tmp_path):
    path = tmp_path / "recording.jsonl"
    tools = ClientTools()
    tools.register("tool", lambda _: "done")
    with conversation(agent, audio_interface=ReportingAudio(), client_tools=tools, record=path) as call:
        connection = call.start()
        connection.send(protocol.user_said("Hi"))
        connection.send(protocol.say("Hello!", protocol.speech(0.5)))
        call.wait_for_state("agent_speaking")
        connection.send(protocol.interrupt(2))
        connection.send(protocol.call_tool("tool"))
        wait_for_results(protocol, connection)
        call.conversation.send_user_message("Thanks.")
        connection.wait_for(protocol.user_message)
        call.conversation.end_session()
        call.finish()
    report = replay(path)
    assert report.is_equal, report.text()
    assert report.sessions == 1
    assert KEY not in path.read_text()
