"""The protocols that the demo can be held in: what its scene and its conversation are made of in each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import orjson

from convsm.protocols.openai_options import FunctionTool, RealtimeOptions
from convsm.runtime.conversation import Conversation
from convsm.runtime.openai import OpenAIRealtime
from convsm.testing import (
    CallTool,
    Close,
    CorrectResponse,
    Expect,
    ExpectToolResult,
    HangUp,
    Interrupt,
    LoopbackAgent,
    LoopbackConnection,
    OpenAILoopbackAgent,
    Ping,
    Say,
    UserSaid,
    openai_script,
)
from convsm.testing.connection import StepLike
from convsm.transport.rest import ElevenLabs

__all__ = ["ELEVENLABS", "OPENAI", "Dialect"]

Steps = Sequence[StepLike]


class Dialect(ABC):
    """What the scene's moments are in one protocol: the agent's steps, and the client's part.

    Attributes:
        name: The protocol, as people call it.
        agent_class: What plays the agent.
        rate: Samples a second of all audio; None takes whatever there is.
        has_pings: Whether the agent pings.
        corrects: Whether the agent tells what was left of an interrupted turn; if not, it has to be told
            how much of it was heard.
    """

    name: str
    agent_class: type[LoopbackAgent]
    rate: int | None = None
    has_pings = False
    corrects = False

    # The agent's part

    @abstractmethod
    def say(self, text: str, pcm: bytes, turn: int) -> Steps:
        """Speak."""

    @abstractmethod
    def hear(self, text: str, turn: int) -> Steps:
        """Understand the user in part."""

    @abstractmethod
    def understand(self, text: str, turn: int) -> Steps:
        """Understand the user, who has fallen silent."""

    @abstractmethod
    def stop(self, whole: str, corrected: str, turn: int) -> Steps:
        """Notice that the user interrupts.

        Args:
            whole: Text of the turn that is interrupted, the one before ``turn``.
            corrected: What of it was heard, as the agent reckons.
            turn: The interrupting turn.
        """

    @abstractmethod
    def call(self, name: str, call_id: str, parameters: dict[str, Any], turn: int) -> Steps:
        """Call a tool and wait for its result."""

    def open(self) -> Steps:
        """Wait until the agent may begin to speak."""
        return ()

    def ping(self, number: int) -> Steps:
        """See that the client is there."""
        return ()

    def leave(self) -> Steps:
        """Hang up."""
        return (Close(1000),)

    # The client's part

    @abstractmethod
    def service(self, agent: LoopbackAgent, tool: FunctionTool) -> dict[str, Any]:
        """Return what tells a Conversation whom to talk to."""

    @abstractmethod
    def begin(self, conversation: Conversation, greeting: str) -> None:
        """Have the agent greet, once the session is ready; some do by themselves."""

    def told_heard(self, frame: bytes) -> float | None:
        """Return how many seconds of speech a frame says were heard; None if it tells nothing of that."""
        return None

    def results(self, connection: LoopbackConnection) -> list[str]:
        """Return the results of tool calls that the agent got."""
        return [message["result"] for message in connection.tool_results]


class _ElevenLabs(Dialect):
    name = "ElevenLabs"
    agent_class = LoopbackAgent
    has_pings = True
    corrects = True

    def say(self, text: str, pcm: bytes, turn: int) -> Steps:
        return (Say(text, pcm, turn=turn),)

    def hear(self, text: str, turn: int) -> Steps:
        event = {"user_transcript": text, "event_id": turn}
        message = {"type": "tentative_user_transcript", "tentative_user_transcription_event": event}
        return (message,)

    def understand(self, text: str, turn: int) -> Steps:
        return (UserSaid(text, turn),)

    def stop(self, whole: str, corrected: str, turn: int) -> Steps:
        return (Interrupt(turn), CorrectResponse(whole, corrected, turn - 1))

    def call(self, name: str, call_id: str, parameters: dict[str, Any], turn: int) -> Steps:
        return (CallTool(name, call_id, parameters, turn=turn), ExpectToolResult(call_id, is_error=False))

    def ping(self, number: int) -> Steps:
        return (Ping(number), Expect("pong", number))

    def leave(self) -> Steps:
        return (HangUp(),)

    def service(self, agent: LoopbackAgent, tool: FunctionTool) -> dict[str, Any]:
        return {"client": ElevenLabs(base_url=agent.base_url), "agent_id": "demo", "requires_auth": False}

    def begin(self, conversation: Conversation, greeting: str) -> None:
        pass


class _OpenAI(Dialect):
    name = "OpenAI Realtime"
    agent_class = OpenAILoopbackAgent
    # The protocol has no other but that of telephones.
    rate = 24000

    def say(self, text: str, pcm: bytes, turn: int) -> Steps:
        return (openai_script.Say(text, pcm),)

    def hear(self, text: str, turn: int) -> Steps:
        kind = "conversation.item.input_audio_transcription.delta"
        part = {"type": kind, "item_id": f"user_{turn}", "content_index": 0, "delta": text}
        # Every turn of the user's begins so, not only one that interrupts.
        return (openai_script.Interrupt(), part)

    def understand(self, text: str, turn: int) -> Steps:
        item = {"item_id": f"user_{turn}"}
        stopped = {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 600, **item}
        committed = {"type": "input_audio_buffer.committed", "previous_item_id": None, **item}
        return (stopped, committed, openai_script.UserSaid(text))

    def stop(self, whole: str, corrected: str, turn: int) -> Steps:
        return (openai_script.Interrupt(), Expect("conversation.item.truncate"))

    def call(self, name: str, call_id: str, parameters: dict[str, Any], turn: int) -> Steps:
        # The client asks for what is to follow its result.
        return (
            openai_script.CallTool(name, call_id, parameters),
            openai_script.ExpectToolResult(call_id),
            Expect("response.create"),
        )

    def open(self) -> Steps:
        return (Expect("session.update"), Expect("response.create"))

    def service(self, agent: LoopbackAgent, tool: FunctionTool) -> dict[str, Any]:
        options = RealtimeOptions("Answer in two sentences.", tools=[tool])
        # A key of the environment's is none of this agent's business.
        return {"client": OpenAIRealtime(options, base_url=f"{agent.base_url}/v1", api_key="none")}

    def begin(self, conversation: Conversation, greeting: str) -> None:
        conversation.say(greeting)

    def told_heard(self, frame: bytes) -> float | None:
        if b'"conversation.item.truncate"' not in frame[:64]:
            return None
        return float(orjson.loads(frame)["audio_end_ms"]) / 1e3

    def results(self, connection: LoopbackConnection) -> list[str]:
        items = [message["item"] for message in connection.messages("conversation.item.create")]
        return [item["output"] for item in items if item["type"] == "function_call_output"]


ELEVENLABS: Dialect = _ElevenLabs()
OPENAI: Dialect = _OpenAI()
