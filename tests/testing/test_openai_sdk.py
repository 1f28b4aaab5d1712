"""The OpenAI loopback agent against the vendor's own client: no private dialect is spoken."""

from __future__ import annotations

import base64
import warnings
from typing import Any

import pytest

from convsm.testing import Expect, OpenAILoopbackAgent
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
from convsm.testing.script import tone
from tests.testing.loopback_clients import no_thread_is_left  # noqa: F401 (a fixture)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    openai = pytest.importorskip("openai")
    pytest.importorskip("websockets.sync.client")

TURN = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}


def session(agent):
    """Return what connects the vendor's client to the agent."""
    client = openai.OpenAI(api_key="key", base_url=agent.base_url + "/v1")
    return client.realtime.connect(model="gpt-realtime")


def receive(connection, last):
    """Receive until an event of a type; all have to be of the vendor's types."""
    events: list[Any] = []
    while not events or events[-1].type != last:
        events.append(connection.recv())
        assert type(events[-1]).__module__.startswith("openai.types.realtime"), events[-1]
    return events


def types(events):
    return [event.type for event in events]


def test_a_conversation_goes_through_the_vendors_client():
    script = [Expect("response.create"), Say("Hello!", seconds=0.2)]
    with OpenAILoopbackAgent(script, api_key="key") as agent, session(agent) as connection:
        [created] = receive(connection, "session.created")
        assert created.session.audio.output.format.type == "audio/pcm"
        connection.session.update(session={"type": "realtime", "instructions": "Be kind."})
        [updated] = receive(connection, "session.updated")
        assert updated.session.instructions == "Be kind."
        connection.conversation.item.create(item=TURN)
        assert types(receive(connection, "conversation.item.done")) == [
            "conversation.item.added",
            "conversation.item.done",
        ]
        connection.response.create()
        events = receive(connection, "response.done")
        audio = [base64.b64decode(e.delta) for e in events if e.type == "response.output_audio.delta"]
        assert b"".join(audio) == tone(0.2, "pcm_24000")
        assert events[-1].response.status == "completed"
        [spoken] = [event for event in events if event.type == "response.output_audio_transcript.done"]
        assert spoken.transcript == "Hello!"


def test_audio_is_committed_once_and_cleared():
    with OpenAILoopbackAgent() as agent, session(agent) as connection:
        receive(connection, "session.created")
        connection.input_audio_buffer.append(audio=base64.b64encode(bytes(480)).decode())
        connection.input_audio_buffer.commit()
        receive(connection, "input_audio_buffer.committed")
        connection.input_audio_buffer.commit()
        assert receive(connection, "error")[-1].error.code == "input_audio_buffer_commit_empty"
        connection.input_audio_buffer.clear()
        receive(connection, "input_audio_buffer.cleared")
        assert agent.connections[0].user_audio == bytes(480)


def test_a_response_is_cut_by_speech_and_its_item_truncated():
    script = [Say(seconds=0.2, is_whole=False), Interrupt(), UserSaid("Stop!", ["St", "op!"])]
    with OpenAILoopbackAgent(script) as agent, session(agent) as connection:
        events = receive(connection, "conversation.item.input_audio_transcription.completed")
        [done] = [event for event in events if event.type == "response.done"]
        assert (done.response.status, done.response.status_details.reason) == ("cancelled", "turn_detected")
        item_id = next(event.item_id for event in events if event.type == "response.output_audio.delta")
        connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=150)
        assert receive(connection, "conversation.item.truncated")[-1].audio_end_ms == 150
        connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=201)
        assert "200 ms" in receive(connection, "error")[-1].error.message
        connection.conversation.item.delete(item_id=item_id)
        receive(connection, "conversation.item.deleted")
        connection.conversation.item.delete(item_id=item_id)
        receive(connection, "error")


def test_the_client_cancels_and_a_second_response_is_refused():
    script = [Say(seconds=0.1, is_whole=False), Expect("response.cancel")]
    with OpenAILoopbackAgent(script) as agent, session(agent) as connection:
        receive(connection, "response.output_audio.delta")
        connection.response.create(event_id="mine")
        error = receive(connection, "error")[-1].error
        assert (error.code, error.event_id) == ("conversation_already_has_active_response", "mine")
        connection.response.cancel()
        assert receive(connection, "response.done")[-1].response.status_details.reason == "client_cancelled"
        connection.response.cancel()
        assert receive(connection, "error")[-1].error.code == "response_cancel_not_active"


def test_tools_texts_and_errors_are_of_the_vendors_types():
    result = {"type": "function_call_output", "call_id": "call_1", "output": "12"}
    script = [
        CallTool("weather", parameters={"city": "Oslo"}),
        ExpectToolResult(result="12"),
        StreamText(["It is ", "12."]),
        SendError(),
        ExpireSession(),
    ]
    with OpenAILoopbackAgent(script) as agent, session(agent) as connection:
        events = receive(connection, "response.done")
        [call] = [event.item for event in events if event.type == "response.output_item.done"]
        assert (call.name, call.call_id, call.arguments) == ("weather", "call_1", '{"city":"Oslo"}')
        connection.conversation.item.create(item=result)
        events = receive(connection, "error")
        assert [event.text for event in events if event.type == "response.output_text.done"] == ["It is 12."]
        assert receive(connection, "error")[-1].error.code == "session_expired"


def test_the_key_is_demanded():
    with OpenAILoopbackAgent(api_key="another") as agent, pytest.raises(Exception, match="401"):
        session(agent).enter()
