"""ElevenLabs messages that inform and move no session: how each becomes a typed report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convsm.machine.events import AgentHungUp, ApprovalAsked, ApprovalWithdrawn, Event, Informed
from convsm.protocols.reports import (
    AgentResponseCorrection,
    AgentTyping,
    AsrMetadata,
    AudioAlignment,
    AudioEventAlignment,
    ContextualUpdateReceived,
    ContextUsage,
    DtmfRequest,
    ExternalAgentConnected,
    ExternalAgentDisconnected,
    GuardrailTriggered,
    ReasoningPart,
    ResponseComplete,
    ResponseMetadata,
    RichContent,
    ServerError,
    TentativeAgentResponse,
    TentativeTranscript,
    TurnProbability,
    VadScore,
)
from convsm.protocols.tool_reports import (
    AgentToolRequest,
    AgentToolResponse,
    McpConnectionStatus,
    McpIntegration,
    McpToolCall,
)
from convsm.protocols.wire import (
    Json,
    Wrong,
    flag,
    items,
    mapping,
    maybe_text,
    needed,
    number,
    offered,
    part_kind,
    text,
    too_deep,
    whole,
)

__all__ = ["REPORTS", "Decoder", "alignment", "part_text"]

Decoder = Callable[[Json], tuple[Event, ...]]

# How long the server waits for an approval when it does not say, and at most; in seconds.
_USUAL_WAIT = 300.0
_LONGEST_WAIT = 86_400.0


def alignment(value: object) -> AudioEventAlignment | None:
    """Return character timing; a list that is missing, or holds anything strange, is empty.

    Returns:
        None if there is no timing at all.
    """
    if type(value) is not dict:
        return None
    return AudioEventAlignment(
        _list_of(_CHARACTERS, value.get("chars")),
        _list_of(_TIMES, value.get("char_start_times_ms")),
        _list_of(_TIMES, value.get("char_durations_ms")),
    )


_CHARACTERS = frozenset({str})
_TIMES = frozenset({int, float})


def _list_of(kinds: frozenset[type], value: object) -> list[Any]:
    # Comparing sets of types is quicker than looking at each item in turn; there may be hundreds.
    return value if type(value) is list and kinds.issuperset(map(type, value)) else []


def part_text(part: Json, kind: str) -> str:
    """Return the text of a streamed part. Only a delta has to have one, start and stop just frame it."""
    if kind == "delta":
        return text(part, "text")
    return maybe_text(part, "text") or ""


# What is said


def _tentative_transcript(message: Json) -> tuple[Event, ...]:
    body = needed(message, "tentative_user_transcription_event")
    return (Informed(TentativeTranscript(text(body, "user_transcript"), whole(body.get("event_id")))),)


def _correction(message: Json) -> tuple[Event, ...]:
    body = needed(message, "agent_response_correction_event")
    return (
        Informed(
            AgentResponseCorrection(
                text(body, "original_agent_response").strip(),
                text(body, "corrected_agent_response").strip(),
                whole(body.get("event_id")),
            )
        ),
    )


def _reasoning_part(message: Json) -> tuple[Event, ...]:
    body = needed(message, "reasoning_response_part")
    kind = part_kind(body.get("type"))
    event_id = body.get("event_id")
    return (
        Informed(
            ReasoningPart(
                kind,
                part_text(body, kind),
                str(event_id) if type(event_id) is str or type(event_id) is int else None,
            )
        ),
    )


def _tentative_response(message: Json) -> tuple[Event, ...]:
    body = needed(message, "tentative_agent_response_internal_event")
    return (Informed(TentativeAgentResponse(text(body, "tentative_agent_response"))),)


def _contextual_update(message: Json) -> tuple[Event, ...]:
    return (Informed(ContextualUpdateReceived(text(message, "text"))),)


def _alignment(message: Json) -> tuple[Event, ...]:
    body = offered(message, "audio_alignment_event")
    timing = alignment(body.get("alignment")) or AudioEventAlignment()
    return (Informed(AudioAlignment(timing, whole(body.get("event_id")))),)


# About a response


def _response_metadata(message: Json) -> tuple[Event, ...]:
    body = offered(message, "agent_response_metadata_event")
    return (Informed(ResponseMetadata(mapping(body, "metadata"), whole(body.get("event_id")))),)


def _response_complete(message: Json) -> tuple[Event, ...]:
    body = offered(message, "agent_response_complete_event")
    return (Informed(ResponseComplete(whole(body.get("event_id")))),)


def _context_usage(message: Json) -> tuple[Event, ...]:
    body = offered(message, "context_usage_event")
    return (
        Informed(
            ContextUsage(
                maybe_text(body, "model"),
                whole(body.get("context_tokens")),
                whole(body.get("context_limit_tokens")),
                whole(body.get("event_id")),
            )
        ),
    )


def _guardrail(message: Json) -> tuple[Event, ...]:
    body = offered(message, "guardrail_triggered_event")
    return (Informed(GuardrailTriggered(maybe_text(body, "guardrail_name"))),)


def _rich_content(message: Json) -> tuple[Event, ...]:
    body = offered(message, "rich_content")
    return (
        Informed(
            RichContent(
                maybe_text(body, "rich_content_id"),
                maybe_text(body, "component"),
                mapping(body, "props"),
                whole(body.get("event_id")),
            )
        ),
    )


# Tools


def _tool_request(message: Json) -> tuple[Event, ...]:
    body = needed(message, "agent_tool_request")
    return (
        Informed(
            AgentToolRequest(
                call_id=text(body, "tool_call_id"),
                name=text(body, "tool_name"),
                tool_type=maybe_text(body, "tool_type"),
                turn=whole(body.get("event_id")),
                expects_response=_maybe_flag(body, "expects_response"),
                disable_interruptions=_maybe_flag(body, "disable_interruptions"),
                response_timeout_seconds=number(body, "response_timeout_secs"),
                execution_mode=maybe_text(body, "execution_mode"),
            )
        ),
    )


def _maybe_flag(body: Json, key: str) -> bool | None:
    value = body.get(key)
    return value if type(value) is bool else None


def _tool_response(message: Json) -> tuple[Event, ...]:
    return _tool_responded(needed(message, "agent_tool_response"))


def _full_tool_response(message: Json) -> tuple[Event, ...]:
    # The contract names the body like the type; a server that kept the short name is understood as well.
    key = "agent_tool_response_full_payload"
    return _tool_responded(offered(message, "agent_tool_response") or needed(message, key))


def _tool_responded(body: Json) -> tuple[Event, ...]:
    response = AgentToolResponse(
        call_id=text(body, "tool_call_id"),
        name=text(body, "tool_name"),
        tool_type=maybe_text(body, "tool_type"),
        is_error=flag(body, "is_error", False),
        is_called=flag(body, "is_called", True),
        is_blocked=flag(body, "is_blocked", False),
        turn=whole(body.get("event_id")),
        full_result=maybe_text(body, "full_tool_result"),
        is_truncated=flag(body, "truncated", False),
    )
    took_effect = response.is_called and not response.is_error and not response.is_blocked
    if response.name == "end_call" and took_effect:
        return (Informed(response), AgentHungUp())
    return (Informed(response),)


def _mcp_tool_call(message: Json) -> tuple[Event, ...]:
    body = needed(message, "mcp_tool_call")
    call = McpToolCall(
        call_id=text(body, "tool_call_id"),
        name=text(body, "tool_name"),
        state=maybe_text(body, "state"),
        service_id=maybe_text(body, "service_id"),
        description=maybe_text(body, "tool_description"),
        parameters=mapping(body, "parameters"),
        timestamp=maybe_text(body, "timestamp"),
        approval_timeout_seconds=number(body, "approval_timeout_secs"),
        result=tuple(items(body, "result")),
        error_message=maybe_text(body, "error_message"),
    )
    if call.state is None:
        return (Informed(call),)
    if call.state != "awaiting_approval":
        # Also a state that nobody has heard of: the server does not wait for an answer in it.
        return (Informed(call), ApprovalWithdrawn(call.call_id))
    # A time that makes no sense is as good as none, and a timer takes no endless one.
    seconds = call.approval_timeout_seconds
    waits = min(seconds, _LONGEST_WAIT) if seconds is not None and seconds > 0 else _USUAL_WAIT
    return (Informed(call), ApprovalAsked(call.call_id, call, waits))


def _mcp_connection_status(message: Json) -> tuple[Event, ...]:
    body = offered(message, "mcp_connection_status")
    integrations = tuple(
        McpIntegration(
            maybe_text(item, "integration_id"),
            maybe_text(item, "integration_type"),
            flag(item, "is_connected", False),
            whole(item.get("tool_count")) or 0,
        )
        for item in items(body, "integrations")
        if type(item) is dict
    )
    return (Informed(McpConnectionStatus(integrations)),)


# The rest


def _vad_score(message: Json) -> tuple[Event, ...]:
    return (Informed(VadScore(number(offered(message, "vad_score_event"), "vad_score"))),)


def _turn_probability(message: Json) -> tuple[Event, ...]:
    body = offered(message, "turn_probability_internal_event")
    return (Informed(TurnProbability(number(body, "turn_probability"))),)


def _asr_metadata(message: Json) -> tuple[Event, ...]:
    return (Informed(AsrMetadata(mapping(message, "asr_initiation_metadata_event"))),)


def _agent_typing(message: Json) -> tuple[Event, ...]:
    body = offered(message, "agent_typing_event")
    return (Informed(AgentTyping(flag(body, "is_typing", True), number(body, "duration_ms"))),)


def _external_agent_connected(_message: Json) -> tuple[Event, ...]:
    return (Informed(ExternalAgentConnected()),)


def _external_agent_disconnected(_message: Json) -> tuple[Event, ...]:
    return (Informed(ExternalAgentDisconnected()),)


def _dtmf_request(message: Json) -> tuple[Event, ...]:
    if too_deep(message):
        raise Wrong("", "nested too deeply")
    return (Informed(DtmfRequest(message)),)


def _error(message: Json) -> tuple[Event, ...]:
    # The same error comes nested or flat; what the nested form lacks is looked for in the flat one.
    body = message | offered(message, "error_event")
    code = body.get("code")
    number_of_code = whole(code)
    return (
        Informed(
            ServerError(
                kind=message["type"],
                message=maybe_text(body, "message"),
                code=maybe_text(body, "code") if number_of_code is None else number_of_code,
                name=maybe_text(body, "error_name"),
                error_type=maybe_text(body, "error_type"),
                reason=maybe_text(body, "reason"),
                debug_message=maybe_text(body, "debug_message"),
                details=mapping(body, "details"),
            )
        ),
    )


REPORTS: dict[str, Decoder] = {
    "agent_response_complete": _response_complete,
    "agent_response_correction": _correction,
    "agent_response_metadata": _response_metadata,
    "agent_reasoning_response_part": _reasoning_part,
    "agent_tool_request": _tool_request,
    "agent_tool_response": _tool_response,
    "agent_tool_response_full_payload": _full_tool_response,
    "agent_typing": _agent_typing,
    "asr_initiation_metadata": _asr_metadata,
    "audio_alignment": _alignment,
    "client_error": _error,
    "context_usage": _context_usage,
    "contextual_update": _contextual_update,
    "dtmf_request": _dtmf_request,
    "error": _error,
    "external_agent_connected": _external_agent_connected,
    "external_agent_disconnected": _external_agent_disconnected,
    "guardrail_triggered": _guardrail,
    "internal_tentative_agent_response": _tentative_response,
    "internal_turn_probability": _turn_probability,
    "mcp_connection_status": _mcp_connection_status,
    "mcp_tool_call": _mcp_tool_call,
    "rich_content": _rich_content,
    "tentative_user_transcript": _tentative_transcript,
    "vad_score": _vad_score,
}
