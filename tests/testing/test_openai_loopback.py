"""The OpenAI loopback agent: its steps, what it does by itself, and convsm's own driver against it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from convsm.machine import SessionOptions, effects
from convsm.machine.effects import StateChanged
from convsm.machine.events import AgentResponse, Interrupted, Send, UserTranscript
from convsm.protocols.messages import UserMessage
from convsm.protocols.openai_options import FunctionTool, RealtimeOptions
from convsm.protocols.openai_realtime import OpenAIRealtimeCodec
from convsm.runtime.threaded_driver import ThreadedDriver
from convsm.runtime.tools import ClientTools
from convsm.runtime.wiring import Observer, Wiring
from convsm.testing import Expect, OpenAIConnection, OpenAILoopbackAgent, SendMessage
from convsm.testing.openai_script import (
    CallTool,
    ExpectToolResult,
    ExpireSession,
    Interrupt,
    Say,
    SendError,
    StreamText,
    UserSaid,
)
from convsm.transport.options import TransportOptions
from tests.runtime.helpers import PATIENCE, Log, ReportingAudio, join_threads
from tests.testing.loopback_clients import no_thread_is_left  # noqa: F401 (a fixture)

if TYPE_CHECKING:
    from typing_extensions import Self


def receive(client: Connection, last: str) -> list[dict[str, Any]]:
    """Receive until an event of a type."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != last:
        events.append(json.loads(client.recv(PATIENCE)))
    return events


def say(client: Connection, kind: str, **more: object) -> None:
    client.send(json.dumps({"type": kind, **more}))


# The agent


def test_a_session_is_created_and_updated_and_its_formats_change():
    with (
        OpenAILoopbackAgent([Expect("session.update"), Say(seconds=0.1)]) as agent,
        connect(agent.url) as client,
    ):
        [created] = receive(client, "session.created")
        assert created["session"]["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24000}
        output = {"format": {"type": "audio/pcma"}}
        say(client, "session.update", session={"audio": {"output": output}})
        session = receive(client, "session.updated")[-1]["session"]
        assert session["audio"]["output"] == {"format": {"type": "audio/pcma"}, "voice": "marin"}
        assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
        receive(client, "response.done")
        assert agent.connections[0].output_format == "alaw_8000"


def test_a_format_that_is_unknown_is_an_error():
    with OpenAILoopbackAgent() as agent, connect(agent.url) as client:
        update = {"audio": {"input": {"format": {"type": "audio/opus"}}}}
        say(client, "session.update", event_id="mine", session=update)
        error = receive(client, "error")[-1]["error"]
        assert (error["code"], error["event_id"]) == ("invalid_value", "mine")


def test_events_have_ids_and_items_are_known():
    with OpenAILoopbackAgent() as agent, connect(agent.url) as client:
        say(client, "conversation.item.create", item={"id": "mine", "type": "message"})
        events = receive(client, "conversation.item.done")
        assert len({event["event_id"] for event in events}) == len(events)
        connection = agent.connections[0]
        assert isinstance(connection, OpenAIConnection)
        assert connection.items == {"mine": 0}


@pytest.mark.parametrize(
    ("sent", "failure"),
    [
        ('{"type": "session.nonsense"}', "the type 'session.nonsense' is unknown"),
        ('{"type": "conversation.item.create"}', "conversation.item.create lacks item"),
        ('{"type": "input_audio_buffer.append", "audio": "AAA"}', "audio is not a base64 string"),
        ('{"type": "input_audio_buffer.append"}', "input_audio_buffer.append lacks audio"),
        ("[]", "it is not a JSON object"),
        ("{", "it is not JSON"),
    ],
)
def test_a_client_event_that_the_service_would_refuse_is_a_failure(sent, failure):
    with OpenAILoopbackAgent() as agent, connect(agent.url) as client:
        client.send(sent)
        say(client, "input_audio_buffer.clear")
        receive(client, "input_audio_buffer.cleared")
        [told] = agent.forgive()
        assert told.startswith(f"connection 0: a message of the client's is wrong: {failure}")


def test_another_path_is_not_found():
    with OpenAILoopbackAgent() as agent:
        with pytest.raises(Exception, match="404"):
            connect(agent.url.replace("realtime", "nothing"))
        assert [request.status for request in agent.requests] == [404]


def test_an_expired_session_is_closed_with_1001():
    with OpenAILoopbackAgent([ExpireSession()]) as agent, connect(agent.url) as client:
        assert receive(client, "error")[-1]["error"]["code"] == "session_expired"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


# convsm's own client


class Client:
    """A driver of one session with the agent, and what it told."""

    def __init__(self, agent: OpenAILoopbackAgent, options: RealtimeOptions | None = None) -> None:
        self.log, self.changes, self.audio = Log(), Log(), ReportingAudio()
        self.tools = ClientTools()
        kinds = (AgentResponse, UserTranscript, Interrupted)
        self.driver = ThreadedDriver(
            Wiring(
                options=SessionOptions(asks_replies=True),
                codec=OpenAIRealtimeCodec(options or RealtimeOptions()),
                resolve_url=lambda: agent.url,
                transport=TransportOptions(),
                audio=self.audio,
                tools=self.tools,
                observers={
                    **{kind: (Observer(kind.__name__, self.log.add),) for kind in kinds},
                    StateChanged: (Observer("state", self.changes.add),),
                },
                streams=(),
                on_end=(Observer("end", self.log.add),),
                open_recorder=None,
            )
        )

    def __enter__(self) -> Self:
        self.driver.start()
        assert self.driver.is_ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.end()
        assert self.driver.is_over.wait(PATIENCE)
        join_threads()

    def wait_for_state(self, state: str) -> None:
        self.changes.wait_for(lambda change: change.target == state)

    def wait_for_response(self, text: str) -> None:
        self.log.wait_for(lambda event: isinstance(event, AgentResponse) and event.text == text)

    def send(self, message: object, kind: Any = "message") -> None:
        self.driver._inbox.call(Send(message, kind))


def test_a_turn_of_the_users_is_answered_and_heard():
    script = [Expect("session.update"), Expect("response.create"), Say("Hello!", seconds=0.3)]
    with OpenAILoopbackAgent(script) as agent, Client(agent) as client:
        client.send(UserMessage("Hi"), "turn")
        client.wait_for_response("Hello!")
        assert client.audio.formats == ("pcm_24000", "pcm_24000")
        client.wait_for_state("agent_speaking")
        client.audio.hear()
        client.wait_for_state("listening")
        assert client.driver.session.conversation_id == "sess_0"


def test_speech_of_the_users_cuts_the_agent_off_and_what_was_heard_is_told():
    script = [
        Expect("session.update"),
        Say(seconds=0.5, is_whole=False),
        Expect("input_audio_buffer.append"),
        Interrupt(stops=True),
        Expect("conversation.item.truncate"),
        UserSaid("Stop!"),
    ]
    with OpenAILoopbackAgent(script) as agent, Client(agent) as client:
        client.audio.log.wait_for((5, 4800))
        client.audio.hear(3)
        client.audio.microphone(bytes(960))
        client.log.wait_for(lambda event: isinstance(event, UserTranscript))
        assert "interrupt" in client.audio.log.entries
        connection = agent.connections[0]
        [truncate] = connection.messages("conversation.item.truncate")
        assert truncate["audio_end_ms"] == 300
        assert connection.messages("response.cancel") == []


def test_a_tools_result_goes_out_and_the_reply_is_asked_for():
    script = [
        Expect("session.update"),
        CallTool("weather", parameters={"city": "Oslo"}),
        ExpectToolResult(result="12 in Oslo"),
        Expect("response.create"),
        Say("It is 12.", seconds=0.1),
    ]
    options = RealtimeOptions(tools=[FunctionTool("weather")])
    with OpenAILoopbackAgent(script) as agent:
        client = Client(agent, options)
        client.tools.register("weather", lambda parameters: f"12 in {parameters['city']}")
        with client:
            client.wait_for_response("It is 12.")


def test_a_request_that_meets_a_response_is_asked_again_behind_it():
    script = [Expect("session.update"), Say(seconds=0.1, is_whole=False), Expect("response.create")]
    with OpenAILoopbackAgent(script) as agent, Client(agent) as client:
        client.wait_for_state("agent_speaking")
        client.send(effects.RequestReply("Be brief."), "request")
        connection = agent.connections[0]
        assert isinstance(connection, OpenAIConnection)
        connection.end_response()
        connection.wait_for("response.create")
        assert len(connection.messages("response.create")) == 1


def test_errors_about_one_message_end_nothing_and_the_end_of_the_session_has_its_cause():
    script = [
        Expect("session.update"),
        SendError(),
        StreamText(["Hi."]),
        SendMessage({"type": "response.new"}),
        ExpireSession(),
    ]
    with OpenAILoopbackAgent(script) as agent, Client(agent) as client:
        client.wait_for_response("Hi.")
        assert client.driver.is_over.wait(PATIENCE)
        end = client.driver.ending
        assert end is not None
        assert (end.reason, end.close_code) == ("error", 1001)
        assert end.message.startswith(
            "the server ended the session: Your session hit the maximum duration of 60 minutes."
        )


def test_a_session_that_is_refused_ends_with_what_the_server_said():
    refuse = SendError(message="No such voice.", event_id="convsm_session_update")
    with OpenAILoopbackAgent([refuse], opening=False) as agent:
        client = Client(agent)
        client.driver.start()
        assert client.driver.is_over.wait(PATIENCE)
        end = client.driver.ending
        assert end is not None
        assert (end.reason, end.was_ready) == ("error", False)
        assert end.message == "the server refused the session: No such voice."
        join_threads()
        agent.forgive()
