"""The canonical traces of the ElevenLabs protocol, over a real WebSocket, with what every party saw."""

from __future__ import annotations

import pytest

from convsm import (
    AgentChatResponsePartType,
    ClientTools,
    ConversationInitiationData,
    DisconnectionDetails,
    OnPremInitiationData,
    SessionOptions,
)
from convsm.testing import (
    CallMcp,
    CallTool,
    Close,
    CorrectResponse,
    HangUp,
    Interrupt,
    LoopbackAgent,
    Ping,
    ReportTool,
    Say,
    SendAudio,
    SendError,
    SendMetadata,
    StreamText,
    UserSaid,
    WaitForInitiation,
)
from convsm.version import VERSION
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PCM,
    ReportingAudio,
    conversation,
    nothing_is_left,
    provoke,
)

OPENING = [WaitForInitiation(), SendMetadata("conv_1", "pcm_16000", "pcm_16000")]
INITIATION = {
    "type": "conversation_initiation_client_data",
    "custom_llm_extra_body": {},
    "conversation_config_override": {},
    "dynamic_variables": {},
    "source_info": {"source": "python_sdk", "version": VERSION},
}
SETUP = {
    "type": "enclave_setup_config",
    "agent_config_dict": {"name": "A"},
    "override_agent_config_list": None,
    "tools_config_list": None,
    "prompt_knowledge_base": None,
    "post_call_transcription_webhook_url": None,
    "post_call_audio_webhook_url": None,
}
VAD_SCORE = {"type": "vad_score", "vad_score_event": {"vad_score": 0.9}}
SIZE = len(PCM)


pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent(OPENING, opening=False) as agent:
        yield agent


@pytest.fixture
def call(agent):
    """A voice conversation whose loudspeaker is the test's, and that nothing but messages moves."""
    options = SessionOptions(settle_seconds=3600)
    with conversation(agent, audio_interface=ReportingAudio(), session_options=options) as call:
        yield call


def play(connection, *steps):
    for step in steps:
        connection.send(step)


def sent(connection):
    return [received.message for received in connection.received]


def end(call, connection):
    """The user ends the conversation, and all of it is over on both sides."""
    call.conversation.end_session()
    assert call.finish() == "conv_1"
    assert connection.closed.wait(5)
    assert connection.close_code == 1000
    assert call.details == DisconnectionDetails("user")


def told(call):
    return [entry for entry in call.log.entries if entry[0] not in ("disconnect", "end")]


def test_trace_a_a_voice_turn(call):
    connection = call.start()
    play(connection, Ping(1), VAD_SCORE)
    play(connection, Say("Hi", PCM * 3, turn=1, chunk_seconds=0.01))
    call.audio.log.wait_for((3, SIZE))
    call.audio.hear()
    call.wait_for_state("listening", 2)
    call.audio.microphone(b"\x01\x00\x02\x00")
    connection.wait_for("user_audio")
    play(connection, UserSaid("What's the time?", 2, tentative=["what's"]), Say("It is noon.", PCM, turn=2))
    call.audio.log.wait_for((4, SIZE))
    call.audio.hear()
    call.wait_for_state("listening", 3)
    end(call, connection)
    assert sent(connection) == [INITIATION, {"type": "pong", "event_id": 1}, {"user_audio_chunk": "AQACAA=="}]
    assert call.audio.log.entries == [
        "start", (1, SIZE), (2, SIZE), (3, SIZE), (4, SIZE), "interrupt", "stop",
    ]  # fmt: skip
    assert told(call) == [("agent", "Hi"), ("user", "What's the time?"), ("agent", "It is noon.")]
    assert call.states == [
        "connecting", "listening", "agent_speaking", "listening", "agent_speaking", "listening",
        "closing", "idle",
    ]  # fmt: skip


def test_trace_a_the_response_may_come_before_the_transcript(call):
    connection = call.start()
    play(connection, Say("It is noon.", PCM, turn=2), UserSaid("What's the time?", 2))
    call.log.wait_for(("user", "What's the time?"))
    assert told(call) == [("agent", "It is noon."), ("user", "What's the time?")]
    assert call.conversation.state == "agent_speaking"


def test_trace_b_an_interruption_silences_at_once_and_the_next_turn_plays(call):
    connection = call.start()
    play(connection, Say("It is late.", PCM * 2, turn=2, chunk_seconds=0.01))
    call.audio.log.wait_for((2, SIZE))
    play(connection, Interrupt(3), SendAudio(PCM, turn=2), CorrectResponse("It is late.", "It is...", 2))
    call.wait_for_state("interrupted")
    play(connection, UserSaid("stop", 3), Say("OK", PCM, turn=3))
    call.audio.log.wait_for((3, SIZE))
    end(call, connection)
    assert call.audio.log.entries == [
        "start", (1, SIZE), (2, SIZE), "interrupt", (3, SIZE), "interrupt", "stop",
    ]  # fmt: skip
    assert told(call) == [
        ("agent", "It is late."),
        ("correction", "It is late.", "It is..."),
        ("user", "stop"),
        ("agent", "OK"),
    ]
    assert call.states == [
        "connecting", "listening", "agent_speaking", "interrupted", "listening", "agent_speaking",
        "closing", "idle",
    ]  # fmt: skip
    assert sent(connection) == [INITIATION]


@pytest.mark.parametrize("kind", ["multimodal_message", "user_message"])
def test_trace_c_the_reply_to_a_message_that_interrupts_plays_under_the_interruptions_id(call, kind):
    connection = call.start()
    play(connection, Say("A long story", PCM, turn=6))
    call.audio.log.wait_for((1, SIZE))
    message: dict[str, object]
    if kind == "user_message":
        call.conversation.send_user_message("Look")
        message = {"type": "user_message", "text": "Look"}
    else:
        call.conversation.send_multimodal_message("Look", file_id="f1")
        message = {
            "type": "multimodal_message",
            "text": {"type": "user_message", "text": "Look"},
            "file": {"type": "file_input", "file_id": "f1"},
        }
    connection.wait_for(kind)
    play(connection, Interrupt(7), Say("I see", PCM, turn=7))
    call.audio.log.wait_for((2, SIZE))
    assert call.conversation.state == "agent_speaking"
    end(call, connection)
    assert sent(connection) == [INITIATION, message]
    assert call.audio.log.entries == ["start", (1, SIZE), "interrupt", (2, SIZE), "interrupt", "stop"]
    assert call.states == [
        "connecting", "listening", "agent_speaking", "interrupted", "agent_speaking", "closing", "idle",
    ]  # fmt: skip


def test_trace_d_a_stale_interruption_flushes_all_and_newer_audio_revives_playback(call):
    connection = call.start()
    play(connection, SendAudio(PCM, turn=9))
    call.audio.log.wait_for((1, SIZE))
    play(connection, Interrupt(8), SendAudio(PCM * 7, turn=7), SendAudio(PCM * 9, turn=9))
    call.audio.log.wait_for((2, 9 * SIZE))
    end(call, connection)
    assert call.audio.log.entries == ["start", (1, SIZE), "interrupt", (2, 9 * SIZE), "interrupt", "stop"]
    assert call.states == [
        "connecting", "listening", "agent_speaking", "interrupted", "agent_speaking", "closing", "idle",
    ]  # fmt: skip


def test_trace_e_a_tool(agent):
    tools = ClientTools()
    tools.register("t", lambda parameters: f"text of {parameters['x']}")
    request = {
        "tool_name": "t",
        "tool_call_id": "call_1",
        "tool_type": "client",
        "event_id": 4,
        "expects_response": True,
        "response_timeout_secs": 20,
    }
    with conversation(agent, audio_interface=ReportingAudio(), client_tools=tools) as call:
        connection = call.start()
        play(connection, {"type": "agent_tool_request", "agent_tool_request": request})
        play(connection, CallTool("t", "call_1", {"x": "y"}, True, turn=4))
        connection.wait_for("client_tool_result")
        play(connection, ReportTool("t", "call_1", turn=4), Say("Done", PCM, turn=4))
        call.audio.log.wait_for((1, SIZE))
        end(call, connection)
    result = {
        "type": "client_tool_result",
        "tool_call_id": "call_1",
        "result": "text of y",
        "is_error": False,
    }
    assert sent(connection) == [INITIATION, result]
    assert call.states == [
        "connecting", "listening", "tool_running", "listening", "agent_speaking", "closing", "idle",
    ]  # fmt: skip
    assert told(call) == [("agent", "Done")]


def test_trace_f_the_agent_hangs_up_and_its_farewell_is_heard_to_the_end(call):
    connection = call.start()
    play(connection, Say("Bye", PCM * 2, turn=1, chunk_seconds=0.01))
    provoke(connection, HangUp())
    call.wait_for_state("closing")
    assert connection.closed.wait(5)
    call.audio.log.wait_for((2, SIZE))
    assert "stop" not in call.audio.log.entries
    call.audio.hear(1)
    call.audio.hear(2)
    assert call.finish() == "conv_1"
    assert call.audio.log.entries == ["start", (1, SIZE), (2, SIZE), "stop"]
    assert call.details == DisconnectionDetails("agent", 1000, "")
    assert call.states == ["connecting", "listening", "agent_speaking", "closing", "idle"]
    assert told(call) == [("agent", "Bye")]
    assert sent(connection) == [INITIATION]


@pytest.mark.parametrize("reason", ["Override for field 'language' is not allowed by config.", ""])
def test_trace_g_a_rejected_override(reason):
    config = ConversationInitiationData(conversation_config_override={"agent": {"language": "et"}})
    script = [*OPENING, Close(1008, reason)]
    with (
        LoopbackAgent(script, opening=False) as agent,
        conversation(agent, audio_interface=ReportingAudio(), config=config) as call,
    ):
        connection = call.start()
        assert call.finish() == "conv_1"
        assert connection.initiation == {
            **INITIATION,
            "conversation_config_override": {"agent": {"language": "et"}},
        }
    message = "the connection was closed (close code 1008)"
    assert call.details == DisconnectionDetails("error", 1008, reason, message)
    assert call.states == ["connecting", "listening", "closing", "idle"]
    assert call.audio.log.entries == ["start", "stop"]


@pytest.mark.parametrize("flat", [False, True])
def test_trace_h_quota(call, flat, caplog):
    connection = call.start()
    quota = "This request exceeds your quota limit."
    play(connection, SendError(1002, quota, flat=flat))
    provoke(connection, Close(1002))
    assert call.finish() == "conv_1"
    message = f"the connection was closed (close code 1002); the server said: {quota}"
    assert call.details == DisconnectionDetails("error", 1002, "", message)
    assert quota in caplog.text
    assert call.states == ["connecting", "listening", "closing", "idle"]


def test_trace_i_text_only(agent):
    with conversation(agent) as call:
        connection = call.start()
        play(connection, StreamText(["Hel", "lo"], turn=1))
        call.log.wait_for(("agent", "Hello"))
        end(call, connection)
    kinds = AgentChatResponsePartType
    assert told(call) == [
        ("part", "", kinds.START),
        ("part", "Hel", kinds.DELTA),
        ("part", "lo", kinds.DELTA),
        ("part", "", kinds.STOP),
        ("agent", "Hello"),
    ]
    assert call.states == ["connecting", "listening", "agent_speaking", "listening", "closing", "idle"]
    [initiation] = sent(connection)
    assert initiation == {**INITIATION, "conversation_config_override": {"conversation": {"text_only": True}}}


def test_trace_j_on_prem(agent):
    url = f"ws://127.0.0.1:{agent.port}/sagemaker/convai/conversation?conversation_id=7"
    on_prem = OnPremInitiationData(url, agent_config_dict={"name": "A"})
    with conversation(agent, audio_interface=ReportingAudio(), on_prem_config=on_prem, client=None) as call:
        connection = call.start()
        end(call, connection)
    assert sent(connection) == [SETUP, INITIATION]
    assert connection.request_path == "/sagemaker/convai/conversation?conversation_id=7"
    assert call.states == ["connecting", "listening", "closing", "idle"]


def test_trace_k_mcp(agent):
    asked = []

    def approve(call):
        asked.append(call)
        return True

    with conversation(agent, audio_interface=ReportingAudio(), callback_mcp_approval=approve) as call:
        connection = call.start()
        play(connection, CallMcp("search", "c9", approval_timeout=300))
        connection.wait_for("mcp_tool_approval_result")
        found = [{"type": "text", "text": "found"}]
        play(
            connection,
            CallMcp("search", "c9", state="loading"),
            CallMcp("search", "c9", state="success", result=found),
            Ping(1),
        )
        connection.wait_for("pong")
        end(call, connection)
    approval = {"type": "mcp_tool_approval_result", "tool_call_id": "c9", "is_approved": True}
    assert sent(connection) == [INITIATION, approval, {"type": "pong", "event_id": 1}]
    assert [(one.call_id, one.name, one.state) for one in asked] == [("c9", "search", "awaiting_approval")]
    assert call.states == ["connecting", "listening", "closing", "idle"]
    assert call.driver.diagnostics == 0
