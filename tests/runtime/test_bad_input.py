"""What a server may send wrongly, through the whole stack: the session lives, or ends with the cause."""

from __future__ import annotations

import orjson
import pytest

from convsm import ClientTools, DisconnectionDetails, TransportOptions
from convsm.testing import (
    CallTool,
    Close,
    Drop,
    Expect,
    LoopbackAgent,
    Ping,
    SendBytes,
    SendFragmented,
    SendFrame,
    SendMetadata,
    SendOversized,
    SendRaw,
    UserSaid,
)
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    ReportingAudio,
    conversation,
    nothing_is_left,
)

CLOSE_FRAME = 8
BINARY = 2


def message(kind, **fields):
    return orjson.dumps({"type": kind, **fields}).decode()


# Each frame, and what its one diagnostic says. Nothing of the payload may show.
MALFORMED = {
    "no JSON": ("{secret", "frame '' was unreadable (not JSON in UTF-8 of sane depth)"),
    "empty": ("", "frame '' was unreadable (not JSON in UTF-8 of sane depth)"),
    "invalid UTF-8": (
        b'{"type":"user_transcript","secret":"\xff"}',
        "frame '' was unreadable (not JSON in UTF-8 of sane depth)",
    ),
    "an array": ('["secret"]', "frame '' was unreadable (not a JSON object)"),
    "no type": ('{"secret":1}', "field 'type' of '' was unreadable (missing)"),
    "a number as type": ('{"type":7}', "field 'type' of '' was unreadable (not a string)"),
    "metadata without id": (
        message("conversation_initiation_metadata", conversation_initiation_metadata_event={}),
        "field 'conversation_id' of 'conversation_initiation_metadata' was unreadable (missing)",
    ),
    "ping without body": (message("ping"), "field 'ping_event' of 'ping' was unreadable (missing)"),
    "ping without id": (
        message("ping", ping_event={}),
        "field 'event_id' of 'ping' was unreadable (missing)",
    ),
    "ping with infinity": (
        '{"type":"ping","ping_event":{"event_id":Infinity}}',
        "frame '' was unreadable (not JSON in UTF-8 of sane depth)",
    ),
    "audio without audio": (
        message("audio", audio_event={"event_id": 1}),
        "field 'audio_base_64' of 'audio' was unreadable (missing)",
    ),
    "audio with bad base64": (
        message("audio", audio_event={"event_id": 1, "audio_base_64": "secret!"}),
        "field 'audio_base_64' of 'audio' was unreadable (not base64)",
    ),
    "audio without id": (
        message("audio", audio_event={"audio_base_64": ""}),
        "field 'event_id' of 'audio' was unreadable (missing)",
    ),
    "interruption without body": (
        message("interruption"),
        "field 'interruption_event' of 'interruption' was unreadable (missing)",
    ),
    "interruption without id": (
        message("interruption", interruption_event={}),
        "field 'event_id' of 'interruption' was unreadable (missing)",
    ),
    "tool without id": (
        message("client_tool_call", client_tool_call={"tool_name": "secret"}),
        "field 'tool_call_id' of 'client_tool_call' was unreadable (missing)",
    ),
    "tool without name": (
        message("client_tool_call", client_tool_call={"tool_call_id": "secret"}),
        "field 'tool_name' of 'client_tool_call' was unreadable (missing)",
    ),
    "response without text": (
        message("agent_response", agent_response_event={}),
        "field 'agent_response' of 'agent_response' was unreadable (missing)",
    ),
    "transcript without text": (
        message("user_transcript", user_transcription_event={"user_transcript": 7}),
        "field 'user_transcript' of 'user_transcript' was unreadable (not a string)",
    ),
    "part without text": (
        message("agent_chat_response_part", text_response_part={"type": "delta"}),
        "field 'text' of 'agent_chat_response_part' was unreadable (missing)",
    ),
    "correction without texts": (
        message("agent_response_correction", agent_response_correction_event={}),
        "field 'original_agent_response' of 'agent_response_correction' was unreadable (missing)",
    ),
    "a second metadata": (
        message(
            "conversation_initiation_metadata",
            conversation_initiation_metadata_event={"conversation_id": "x"},
        ),
        "the server sent its session parameters twice; the first ones stay",
    ),
}

# What may be absent or null, or is not known: no diagnostic at all.
TOLERATED = {
    "unknown type": message("brand_new", brand_new_event={"x": 1}),
    "ping without ping_ms": message("ping", ping_event={"event_id": 1}),
    "alignment null": message(
        "audio", audio_event={"event_id": 1, "audio_base_64": "AAA=", "alignment": None}
    ),
    "numeral as id": message("interruption", interruption_event={"event_id": "456"}),
    "parameters null": message(
        "client_tool_call", client_tool_call={"tool_name": "t", "tool_call_id": "c", "parameters": None}
    ),
    "guardrail without body": message("guardrail_triggered"),
    "flat error": message("error", message="quota"),
}


pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def call():
    tools = ClientTools()
    tools.register("t", lambda parameters: "done")
    with (
        LoopbackAgent() as agent,
        conversation(agent, audio_interface=ReportingAudio(), client_tools=tools) as call,
    ):
        yield call


def assert_alive(call, connection):
    """The session still answers and still listens."""
    connection.send(Ping(99))
    connection.wait_for(lambda message: message == {"type": "pong", "event_id": 99})
    connection.send(UserSaid("still here"))
    call.log.wait_for(("user", "still here"))
    assert call.conversation.conversation_id == "conv_0"


# The session lives


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_frame_is_one_diagnostic_and_the_session_lives(call, name, caplog):
    frame, diagnostic = MALFORMED[name]
    connection = call.start()
    connection.send(SendRaw(frame))
    assert_alive(call, connection)
    assert [record.message.removesuffix("; ignored") for record in caplog.records] == [diagnostic]
    assert caplog.records[0].levelname == "WARNING"
    assert call.driver.diagnostics == 1
    assert call.log.entries == [("user", "still here")]


@pytest.mark.parametrize("name", TOLERATED)
def test_what_may_be_absent_or_is_not_known_is_no_fault(call, name):
    connection = call.start()
    connection.send(SendRaw(TOLERATED[name]))
    assert_alive(call, connection)
    assert call.driver.diagnostics == (1 if name == "flat error" else 0)


def test_a_malformed_frame_before_the_acceptance_does_not_hinder_it():
    script = [SendRaw("no JSON"), Ping(1), Expect("pong"), SendMetadata("conv_1")]
    with LoopbackAgent(script, opening=False) as agent, conversation(agent) as call:
        call.start()
        assert call.conversation.conversation_id == "conv_1"
        assert call.driver.diagnostics == 1


def test_a_flood_of_malformed_frames_is_counted_and_not_a_flood_of_warnings(call, caplog):
    connection = call.start()
    for _ in range(50):
        connection.send(SendRaw("no JSON"))
    assert_alive(call, connection)
    assert call.driver.diagnostics == 50
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


@pytest.mark.parametrize("pings", [False, True])
@pytest.mark.parametrize("pieces", [2, 7, 40])
def test_a_message_may_come_in_fragments_that_cut_characters(call, pieces, pings):
    connection = call.start()
    text = "Zürich → Genève 🎙"
    frame = message("user_transcript", user_transcription_event={"user_transcript": text})
    connection.send(SendFragmented(frame, pieces, pings))
    call.log.wait_for(("user", text))
    assert_alive(call, connection)
    assert call.driver.diagnostics == 0


def test_json_in_a_binary_frame_is_taken_too(call):
    connection = call.start()
    frame = message("user_transcript", user_transcription_event={"user_transcript": "binary"})
    connection.send(SendFrame(frame, opcode=BINARY))
    call.log.wait_for(("user", "binary"))
    assert_alive(call, connection)


def test_a_repeated_call_id_runs_nothing_twice(call):
    connection = call.start()
    connection.send(CallTool("t", "call_1"))
    connection.wait_for("client_tool_result")
    connection.send(CallTool("t", "call_1"))
    assert_alive(call, connection)
    assert len(connection.tool_results) == 1
    assert call.driver.diagnostics == 1


# The session ends, with the cause


def ended_by(step, **options):
    """The details and the client's close code after a step that ends the session."""
    with LoopbackAgent([step]) as agent, conversation(agent, **options) as call:
        connection = call.start()
        assert call.finish() == "conv_0"
        assert connection.closed.wait(PATIENCE)
        agent.forgive()
        return call.details, connection.close_code


@pytest.mark.parametrize("announced_only", [False, True])
def test_a_message_over_the_limit_closes_with_1009_before_its_payload_is_read(announced_only):
    details, code = ended_by(SendOversized(announced_only=announced_only))
    reason = "a message exceeds the limit of 16777216 bytes"
    assert details == DisconnectionDetails(
        "error", 1009, reason, "the connection was closed (close code 1009)"
    )
    assert code == 1009


def test_the_limit_counts_all_fragments_and_can_be_set():
    limits = TransportOptions(max_bytes=1000)
    details, code = ended_by(SendFragmented("x" * 1001, pieces=5), transport_options=limits)
    assert (details.reason, details.close_code, code) == ("error", 1009, 1009)
    assert details.close_reason == "a message exceeds the limit of 1000 bytes"


def test_a_message_of_just_the_limit_is_read():
    frame = message("user_transcript", user_transcription_event={"user_transcript": "x"})
    limits = TransportOptions(max_bytes=len(frame))
    with (
        LoopbackAgent([SendRaw(frame)], opening=False) as agent,
        conversation(agent, transport_options=limits) as call,
    ):
        call.conversation.start_session()
        call.log.wait_for(("user", "x"))


@pytest.mark.parametrize(
    "step",
    [
        SendFrame("{}", rsv=4),
        SendFrame("{}", opcode=0),
        SendFrame("{}", opcode=3),
        SendFrame("{}", opcode=9, fin=False),
    ],
    ids=["reserved bit", "continuation of nothing", "reserved opcode", "fragmented ping"],
)
def test_a_broken_websocket_closes_with_1002(step):
    details, code = ended_by(step)
    assert (details.reason, details.close_code, code) == ("error", 1002, 1002)
    assert details.close_reason


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_is_lost_without_a_close_frame_is_1006(reset):
    details, _ = ended_by(Drop(reset))
    assert (details.reason, details.close_code) == ("error", 1006)
    assert details.message == "the connection was closed (close code 1006)"


def test_half_a_frame_and_then_nothing_is_1006():
    def half(connection):
        connection.perform(SendBytes(b"\x81\x7e\xff"))
        connection.perform(Drop())

    details, _ = ended_by(half)
    assert (details.reason, details.close_code) == ("error", 1006)


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"", 1005), (b"\x03\xf0\xff\xfe", 1008), (b"\x0f\xa0bye", 4000)],
    ids=["without a code", "reason in no UTF-8", "a code of its own"],
)
def test_close_frames_of_every_kind_end_the_session_with_their_code(payload, code):
    details, _ = ended_by(SendFrame(payload, opcode=CLOSE_FRAME))
    assert (details.reason, details.close_code) == ("error", code)


def test_what_follows_a_close_frame_is_not_looked_at():
    def close_and_go_on(connection):
        connection.perform(Close(1000))
        connection.perform(UserSaid("late"))

    with LoopbackAgent([close_and_go_on]) as agent, conversation(agent) as call:
        call.start()
        call.finish()
        assert ("user", "late") not in call.log.entries
        assert call.details == DisconnectionDetails("agent", 1000, "")
        agent.forgive()
