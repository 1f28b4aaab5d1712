"""The callbacks of a conversation: what each is called for, and with which arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from convsm.machine.effects import StateChanged
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    Interrupted,
    Pinged,
    SessionReady,
    TextPart,
    UserTranscript,
)
from convsm.observation.metrics import Measured
from convsm.protocols import messages
from convsm.protocols.messages import AgentChatResponsePartType
from convsm.runtime.stream import FrameReceived, FrameSent, UnhandledTool
from convsm.runtime.wiring import Observer

__all__ = ["MODES", "STATUSES", "observers"]

# How other clients name where a connection stands, by the machine's states.
STATUSES: Mapping[str, str] = {
    "idle": "disconnected",
    "connecting": "connecting",
    "listening": "connected",
    "agent_speaking": "connected",
    "interrupted": "connected",
    "tool_running": "connected",
    "closing": "disconnecting",
}
# How they name who has the floor: nobody speaks but who is audible.
MODES: Mapping[str, str] = dict.fromkeys(STATUSES, "listening") | {"agent_speaking": "speaking"}

# The arguments of a callback, or None where this one is none of its business.
Arguments = Callable[[Any], "tuple[object, ...] | None"]


def _whole(subject: object) -> tuple[object, ...]:
    return (subject,)


def _text(subject: Any) -> tuple[object, ...]:
    return (subject.text,)


def _turn(subject: Any) -> tuple[object, ...]:
    return (subject.turn,)


def _alignment(event: AgentAudio) -> tuple[object, ...] | None:
    return None if event.alignment is None else (event.alignment,)


def _audio(event: AgentAudio) -> tuple[object, ...] | None:
    return (event.audio, event.turn) if event.audio else None


def _latency(event: Pinged) -> tuple[object, ...] | None:
    # Zero and null mean that the server has not measured yet.
    return (int(event.latency_ms),) if event.latency_ms else None


def _part(event: Any) -> tuple[object, ...]:
    return (event.text, AgentChatResponsePartType(event.kind))


def _correction(message: messages.AgentResponseCorrection) -> tuple[object, ...]:
    return (message.original, message.corrected)


def _score(message: messages.VadScore) -> tuple[object, ...] | None:
    return None if message.score is None else (message.score,)


def _connection(event: SessionReady) -> tuple[object, ...]:
    return (event.conversation_id, event.output_format, event.input_format)


def _frame(subject: FrameReceived | FrameSent) -> tuple[object, ...]:
    return (subject.frame,)


def _call(subject: UnhandledTool) -> tuple[object, ...]:
    return (subject.name, subject.call_id, subject.parameters)


def _moved(names: Mapping[str, str]) -> Arguments:
    def arguments(change: StateChanged) -> tuple[object, ...] | None:
        name = names[change.target]
        return None if name == names[change.source] else (name,)

    return arguments


_ARGUMENTS: dict[str, tuple[type, Arguments]] = {
    # Of the reference client
    "callback_agent_response": (AgentResponse, _text),
    "callback_agent_response_correction": (messages.AgentResponseCorrection, _correction),
    "callback_agent_chat_response_part": (TextPart, _part),
    "callback_user_transcript": (UserTranscript, _text),
    "callback_latency_measurement": (Pinged, _latency),
    "callback_audio_alignment": (AgentAudio, _alignment),
    # Where the conversation stands
    "callback_state_change": (StateChanged, _whole),
    "callback_connect": (SessionReady, _connection),
    "callback_status": (StateChanged, _moved(STATUSES)),
    "callback_mode": (StateChanged, _moved(MODES)),
    "callback_interruption": (Interrupted, _whole),
    "callback_metrics": (Measured, _whole),
    # What the server tells besides
    "callback_audio": (AgentAudio, _audio),
    "callback_tentative_transcript": (messages.TentativeTranscript, _text),
    "callback_vad_score": (messages.VadScore, _score),
    "callback_error": (messages.ServerError, _whole),
    "callback_agent_tool_request": (messages.AgentToolRequest, _whole),
    "callback_agent_tool_response": (messages.AgentToolResponse, _whole),
    "callback_unhandled_tool": (UnhandledTool, _call),
    "callback_mcp_tool_call": (messages.McpToolCall, _whole),
    "callback_mcp_connection_status": (messages.McpConnectionStatus, _whole),
    "callback_guardrail": (messages.GuardrailTriggered, _whole),
    "callback_context_usage": (messages.ContextUsage, _whole),
    "callback_agent_typing": (messages.AgentTyping, _whole),
    "callback_reasoning_part": (messages.ReasoningPart, _part),
    "callback_response_complete": (messages.ResponseComplete, _turn),
    "callback_metadata": (messages.ResponseMetadata, _whole),
    # The wire
    "callback_message_received": (FrameReceived, _frame),
    "callback_message_sent": (FrameSent, _frame),
}


def observers(callbacks: Mapping[str, Callable[..., object] | None]) -> dict[type, tuple[Observer, ...]]:
    """Return whom to call for which event, message or change.

    Args:
        callbacks: The constructor's callbacks by argument name; None for those not given.
    """
    found: dict[type, tuple[Observer, ...]] = {}
    for name, (kind, arguments) in _ARGUMENTS.items():
        callback = callbacks.get(name)
        if callback is not None:
            found[kind] = (*found.get(kind, ()), Observer(name, _adapt(callback, arguments)))
    return found


def _adapt(callback: Callable[..., object], arguments: Arguments) -> Callable[[Any], object]:
    def call(subject: Any) -> object:
        values = arguments(subject)
        return None if values is None else callback(*values)

    return call
