"""What a test of behaviour says to either protocol's loopback agent, in one vocabulary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import orjson
import pybase64

from convsm.testing import (
    CallMcp,
    LoopbackAgent,
    LoopbackConnection,
    OpenAILoopbackAgent,
    openai_script,
    script,
)
from convsm.testing.connection import StepLike
from convsm.testing.script import Message

__all__ = ["ELEVENLABS", "OPENAI", "Protocol"]


class Protocol(ABC):
    """One protocol: its agent, the steps that say something in it, and how the client's words are read.

    Turns are numbered from 1 by the test, one for each ``say`` and ``call_tool``.
    """

    name: ClassVar[str]
    agent_class: ClassVar[type[LoopbackAgent]]
    audio_format: ClassVar[str]
    conversation_id: ClassVar[str]
    user_message: ClassVar[str]
    # Valid JSON that lacks what its type needs.
    malformed: ClassVar[Message]

    def agent(self, steps: Sequence[StepLike] = (), **options: Any) -> LoopbackAgent:
        return self.agent_class(steps, **options)

    def speech(self, seconds: float) -> bytes:
        """Return speech of the protocol's own format."""
        return script.tone(seconds, self.audio_format)

    @abstractmethod
    def say(self, text: str, audio: bytes, turn: int = 1) -> StepLike:
        """Speak in one piece."""

    def complete(self, turn: int) -> Sequence[StepLike]:
        """Say that a turn is generated, if ``say`` does not."""
        return ()

    @abstractmethod
    def late_audio(self, audio: bytes, turn: int) -> StepLike:
        """Go on with a turn that was cut."""

    @abstractmethod
    def interrupt(self, turn: int) -> StepLike:
        """Say that the user cut in; the next turn is this one."""

    @abstractmethod
    def user_said(self, text: str, turn: int = 1, tentative: Sequence[str] = ()) -> StepLike:
        """Say what the user said."""

    @abstractmethod
    def call_tool(self, name: str, call_id: str = "call_1", **parameters: Any) -> StepLike:
        """Call a tool."""

    @abstractmethod
    def stream_text(self, *parts: str) -> StepLike:
        """Reply in writing."""

    @abstractmethod
    def error(self, message: str) -> StepLike:
        """Report an error that ends nothing."""

    @abstractmethod
    def ask_approval(self, name: str, call_id: str) -> StepLike:
        """Ask whether a tool of an MCP server may run."""

    @abstractmethod
    def approvals(self, connection: LoopbackConnection) -> list[tuple[str, bool]]:
        """Return call id and decision of the approvals so far."""

    @abstractmethod
    def results(self, connection: LoopbackConnection) -> list[tuple[str, str, bool]]:
        """Return call id, text and whether it is an error of the results so far."""

    @abstractmethod
    def texts(self, connection: LoopbackConnection) -> list[str]:
        """Return the user's written messages so far."""


class _ElevenLabs(Protocol):
    name = "elevenlabs"
    agent_class = LoopbackAgent
    audio_format = "pcm_16000"
    conversation_id = "conv_{}"
    user_message = "user_message"
    malformed: ClassVar[Message] = {"type": "audio", "audio_event": {"event_id": 1}}

    def say(self, text: str, audio: bytes, turn: int = 1) -> StepLike:
        return script.Say(text, audio, turn, chunk_seconds=60)

    def complete(self, turn: int) -> Sequence[StepLike]:
        event = {"event_id": turn}
        return [{"type": "agent_response_complete", "agent_response_complete_event": event}]

    def late_audio(self, audio: bytes, turn: int) -> StepLike:
        return script.SendAudio(audio, turn)

    def interrupt(self, turn: int) -> StepLike:
        return script.Interrupt(turn)

    def user_said(self, text: str, turn: int = 1, tentative: Sequence[str] = ()) -> StepLike:
        return script.UserSaid(text, turn, tentative)

    def call_tool(self, name: str, call_id: str = "call_1", **parameters: Any) -> StepLike:
        return script.CallTool(name, call_id, parameters)

    def stream_text(self, *parts: str) -> StepLike:
        return script.StreamText(parts)

    def error(self, message: str) -> StepLike:
        return script.SendError(1002, message)

    def ask_approval(self, name: str, call_id: str) -> StepLike:
        return CallMcp(name, call_id)

    def approvals(self, connection: LoopbackConnection) -> list[tuple[str, bool]]:
        told = connection.messages("mcp_tool_approval_result")
        return [(message["tool_call_id"], message["is_approved"]) for message in told]

    def results(self, connection: LoopbackConnection) -> list[tuple[str, str, bool]]:
        return [
            (result["tool_call_id"], result["result"], result["is_error"])
            for result in connection.tool_results
        ]

    def texts(self, connection: LoopbackConnection) -> list[str]:
        return [message["text"] for message in connection.messages("user_message")]


def _item(message: dict[str, Any], kind: str) -> bool:
    item = message.get("item")
    return isinstance(item, dict) and item.get("type") == kind


class _OpenAI(Protocol):
    name = "openai"
    agent_class = OpenAILoopbackAgent
    audio_format = "pcm_24000"
    conversation_id = "sess_{}"
    user_message = "conversation.item.create"
    malformed: ClassVar[Message] = {"type": "response.output_audio.delta", "response_id": "resp_1"}

    def say(self, text: str, audio: bytes, turn: int = 1) -> StepLike:
        return openai_script.Say(text, audio, chunk_seconds=60)

    def late_audio(self, audio: bytes, turn: int) -> StepLike:
        return {
            "type": "response.output_audio.delta",
            "response_id": f"resp_{turn}",
            "item_id": "item_1",
            "delta": pybase64.b64encode(audio).decode(),
        }

    def interrupt(self, turn: int) -> StepLike:
        return openai_script.Interrupt()

    def user_said(self, text: str, turn: int = 1, tentative: Sequence[str] = ()) -> StepLike:
        return openai_script.UserSaid(text, tentative)

    def call_tool(self, name: str, call_id: str = "call_1", **parameters: Any) -> StepLike:
        return openai_script.CallTool(name, call_id, parameters)

    def stream_text(self, *parts: str) -> StepLike:
        return openai_script.StreamText(parts)

    def error(self, message: str) -> StepLike:
        return openai_script.SendError(message=message)

    def ask_approval(self, name: str, call_id: str) -> StepLike:
        item = {"type": "mcp_approval_request", "id": call_id, "name": name, "server_label": "docs"}
        return {"type": "conversation.item.done", "item": {**item, "arguments": "{}"}}

    def approvals(self, connection: LoopbackConnection) -> list[tuple[str, bool]]:
        told = connection.messages(lambda message: _item(message, "mcp_approval_response"))
        return [(message["item"]["approval_request_id"], message["item"]["approve"]) for message in told]

    def results(self, connection: LoopbackConnection) -> list[tuple[str, str, bool]]:
        told = []
        for message in connection.messages(lambda message: _item(message, "function_call_output")):
            call_id, output = message["item"]["call_id"], message["item"]["output"]
            is_error = output.startswith('{"error":')
            told.append((call_id, orjson.loads(output)["error"] if is_error else output, is_error))
        return told

    def texts(self, connection: LoopbackConnection) -> list[str]:
        items = connection.messages(lambda message: _item(message, "message"))
        return [message["item"]["content"][0]["text"] for message in items]


ELEVENLABS: Protocol = _ElevenLabs()
OPENAI: Protocol = _OpenAI()
