"""The loopback agent against the official client, whose import and use of pydantic warn."""

from __future__ import annotations

import asyncio
import threading
import warnings

import pytest

from convsm.testing import (
    CallTool,
    Close,
    CorrectResponse,
    Expect,
    ExpectToolResult,
    HangUp,
    Interrupt,
    LoopbackAgent,
    Ping,
    RefuseHandshake,
    Say,
    StreamText,
    UserSaid,
)
from convsm.testing.script import tone
from tests.testing.loopback_clients import no_thread_is_left  # noqa: F401 (a fixture)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from elevenlabs import ElevenLabs
    from elevenlabs.conversational_ai.conversation import (
        AsyncAudioInterface,
        AsyncConversation,
        AudioInterface,
        ClientTools,
        Conversation,
        OnPremInitiationData,
    )


class Headset(AudioInterface):
    """Keeps what is played, and speaks when the test does."""

    def __init__(self):
        self.events: list[object] = []
        self.started = threading.Event()

    def start(self, input_callback):
        self._input_callback = input_callback
        self.events.append("start")
        self.started.set()

    def stop(self):
        self.events.append("stop")

    def output(self, audio):
        self.events.append(audio)

    def interrupt(self):
        self.events.append("interrupt")

    def speak(self, audio):
        self._input_callback(audio)

    @property
    def played(self):
        return b"".join(event for event in self.events if isinstance(event, bytes))


class Heard:
    """The callbacks of a conversation."""

    def __init__(self):
        self.lines = []
        self.ended = []

    def callbacks(self):
        return {
            "callback_agent_response": lambda text: self.lines.append(("agent", text)),
            "callback_agent_response_correction": lambda was, now: self.lines.append(
                ("correction", was, now)
            ),
            "callback_agent_chat_response_part": lambda text, part: self.lines.append((part.value, text)),
            "callback_user_transcript": lambda text: self.lines.append(("user", text)),
            "callback_latency_measurement": lambda latency: self.lines.append(("latency", latency)),
            "callback_disconnect": self.ended.append,
        }


def client_of(agent):
    return ElevenLabs(api_key="x", base_url=agent.base_url)


def converse(agent, heard=None, **options):
    options = {"requires_auth": False, "audio_interface": Headset(), **options}
    conversation = Conversation(client_of(agent), "agent_1", **(heard or Heard()).callbacks(), **options)
    conversation.start_session()
    return conversation


def test_a_whole_conversation_with_the_official_client():
    hello, answer = tone(0.35), tone(0.2)[::-1]
    script = [
        Ping(1, 42),
        Say("Hello, who is there?", hello, 1, alignment={"chars": ["H"]}),
        Expect("pong", 1),
        Expect("user_audio", seconds=0.5),
        UserSaid("What is the time?", 2, tentative=["What"]),
        CallTool("tell_time", "call_1", {"zone": "UTC"}, turn=2),
        ExpectToolResult("call_1", "noon in UTC", False),
        Say("It is noon, and by the way", tone(0.3), 2),
        Interrupt(2),
        # Late audio of the turn that was cut, which the client drops.
        Say(None, tone(0.3), 2),
        CorrectResponse("It is noon, and by the way", "It is noon", 2),
        Say("Yes?", answer, 3),
        HangUp(),
    ]
    tools = ClientTools()
    tools.register("tell_time", lambda parameters: f"noon in {parameters['zone']}")
    heard, headset = Heard(), Headset()
    with LoopbackAgent(script) as agent:
        conversation = converse(agent, heard, audio_interface=headset, client_tools=tools, user_id="someone")
        assert headset.started.wait(5)
        for _ in range(2):
            headset.speak(bytes(8_000))
        assert conversation.wait_for_session_end() == "conv_0"
        connection = agent.wait_for_connection()
        assert connection.closed.wait(5)
        assert connection.request_path.startswith(
            "/v1/convai/conversation?agent_id=agent_1&source=python_sdk"
        )
        assert connection.messages("conversation_initiation_client_data")[0]["user_id"] == "someone"
        assert connection.user_audio == bytes(16_000)
        assert connection.pongs == [1]
        assert connection.close_code == 1000
    assert heard.lines == [
        ("latency", 42),
        ("agent", "Hello, who is there?"),
        ("user", "What is the time?"),
        ("agent", "It is noon, and by the way"),
        ("correction", "It is noon, and by the way", "It is noon"),
        ("agent", "Yes?"),
    ]
    assert headset.events[0] == "start"
    assert headset.events.count("interrupt") == 1
    assert headset.played == hello + tone(0.3) + answer
    [end] = heard.ended
    assert (end.reason, end.close_code) == ("agent", 1000)


def test_the_official_client_opens_a_signed_url():
    with LoopbackAgent([HangUp()], requires_auth=True, api_key="x") as agent:
        assert converse(agent, requires_auth=True).wait_for_session_end() == "conv_0"
        assert [request.status for request in agent.requests] == [200, None]
        assert "conversation_signature=cvtkn%200%2Floopback" in agent.requests[1].path


def test_the_official_client_without_a_signature_is_refused():
    heard = Heard()
    with LoopbackAgent(requires_auth=True) as agent:
        assert converse(agent, heard).wait_for_session_end() is None
    assert "403" in heard.ended[0].message


def test_the_official_client_ends_the_conversation():
    heard = Heard()
    with LoopbackAgent([Expect("user_message")]) as agent:
        conversation = converse(agent, heard)
        connection = agent.wait_for_connection()
        connection.wait_for("conversation_initiation_client_data")
        conversation.send_user_message("hello")
        assert connection.script_done.wait(5)
        conversation.end_session()
        conversation.wait_for_session_end()
        assert connection.closed.wait(5)
        assert connection.close_code == 1000
    assert heard.ended[0].reason == "user"


@pytest.mark.parametrize(
    ("script", "code"), [([Close(1008, "Override not allowed.")], 1008), ([lambda c: c.stream.drop()], 1006)]
)
def test_the_official_client_reports_how_it_ended(script, code):
    heard = Heard()
    with LoopbackAgent(script) as agent:
        converse(agent, heard).wait_for_session_end()
    assert (heard.ended[0].reason, heard.ended[0].close_code) == ("error", code)


def test_the_official_client_reports_a_refused_handshake():
    heard = Heard()
    with LoopbackAgent([RefuseHandshake(401)]) as agent:
        converse(agent, heard).wait_for_session_end()
    assert "401" in heard.ended[0].message


def test_the_official_client_chats():
    heard = Heard()
    with LoopbackAgent([StreamText(["Hel", "lo"]), HangUp()]) as agent:
        converse(agent, heard, audio_interface=None).wait_for_session_end()
    assert heard.lines == [("start", ""), ("delta", "Hel"), ("delta", "lo"), ("stop", ""), ("agent", "Hello")]


def test_the_official_client_talks_on_premises():
    with LoopbackAgent([HangUp()]) as agent:
        url = f"ws://127.0.0.1:{agent.port}/sagemaker/convai/conversation?conversation_id=mine"
        converse(agent, on_prem_config=OnPremInitiationData(url)).wait_for_session_end()
        connection = agent.wait_for_connection()
        assert connection.request_path == "/sagemaker/convai/conversation?conversation_id=mine"
        assert connection.received[0].message["type"] == "enclave_setup_config"


class AsyncHeadset(AsyncAudioInterface):
    def __init__(self):
        self.played = b""

    async def start(self, input_callback):
        await input_callback(bytes(320))

    async def stop(self):
        pass

    async def output(self, audio):
        self.played += audio

    async def interrupt(self):
        pass


def test_the_official_asyncio_client_converses():
    audio, headset = tone(0.25), AsyncHeadset()

    async def run(agent):
        conversation = AsyncConversation(
            client_of(agent), "agent_1", requires_auth=False, audio_interface=headset
        )
        await conversation.start_session()
        return await asyncio.wait_for(conversation.wait_for_session_end(), 10)

    with LoopbackAgent(
        [Say("Hi", audio), Expect("user_audio"), Ping(5), Expect("pong", 5), HangUp()]
    ) as agent:
        assert asyncio.run(run(agent)) == "conv_0"
        assert agent.wait_for_connection().user_audio == bytes(320)
    assert headset.played == audio
