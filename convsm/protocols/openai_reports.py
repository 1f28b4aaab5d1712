"""OpenAI Realtime messages that inform and move no session: how each becomes a typed report."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import orjson

from convsm.machine.events import (
    ApprovalAsked,
    ApprovalWithdrawn,
    Event,
    Informed,
    ResponseRefused,
    SessionFailed,
)
from convsm.protocols.openai_options import SESSION_UPDATE_ID
from convsm.protocols.openai_state import RealtimeState, keep
from convsm.protocols.realtime_reports import (
    ArgumentsPart,
    ContentPart,
    ConversationOpened,
    DtmfReceived,
    ItemChanged,
    McpToolsListed,
    RateLimit,
    RateLimits,
    ServerPlayout,
    TokenUsage,
    TranscriptionFailed,
    TranscriptSegment,
    UserAudioCleared,
    UserAudioCommitted,
    UserAudioRefused,
    UserIdle,
    UserSpeech,
)
from convsm.protocols.reports import ServerError, TentativeTranscript
from convsm.protocols.tool_reports import McpToolCall
from convsm.protocols.wire import (
    Json,
    items,
    mapping,
    maybe_text,
    needed,
    number,
    offered,
    text,
    too_deep,
    whole,
)

__all__ = ["REPLY_ID", "REPORTS", "Decoder", "arguments", "item_reports", "server_error", "speech"]

Decoder = Callable[[RealtimeState, Json], tuple[Event, ...]]

# The id of every request for a response, which an error repeats.
REPLY_ID = "convsm_response_create"

# Half an hour of quick speech; there must be an end, for the server need not be ours.
_LONGEST_TRANSCRIPT = 32_768

_KEY = re.compile(r"\b(sk|ek)[-_][\w*.-]+")


def arguments(written: object) -> Json | None:
    """Return the arguments of a call, which come as JSON in a string; None if they are no object.

    No arguments at all are an empty object.
    """
    if written is None or written == "":
        return {}
    try:
        value = orjson.loads(written) if type(written) is str else written
    except orjson.JSONDecodeError:
        return None
    return value if type(value) is dict and not too_deep(value) else None


# Items


def _mcp_call(state: RealtimeState, item: Json, call_state: str) -> McpToolCall:
    item_id, error = text(item, "id"), item.get("error")
    name, service = maybe_text(item, "name") or "", maybe_text(item, "server_label")
    keep(state.mcp_calls, item_id, (name, service))
    output = maybe_text(item, "output")
    return McpToolCall(
        item_id,
        name,
        state="failure" if type(error) is dict else call_state,
        service_id=service,
        parameters=arguments(item.get("arguments")) or {},
        result=() if output is None else (output,),
        error_message=maybe_text(error, "message") if type(error) is dict else None,
    )


def item_reports(state: RealtimeState, item: Json, is_done: bool) -> tuple[Event, ...]:
    """Return what an item means beyond that it is there: an MCP tool, or a wish for approval."""
    kind = item.get("type")
    if kind == "mcp_call":
        call = Informed(_mcp_call(state, item, "success" if is_done else "loading"))
        approval = maybe_text(item, "approval_request_id")
        return (call,) if approval is None or is_done else (call, ApprovalWithdrawn(approval))
    item_id = maybe_text(item, "id")
    if kind != "mcp_approval_request" or item_id is None or item_id in state.approvals or not is_done:
        return ()
    keep(state.approvals, item_id, True)
    wanted = McpToolCall(
        item_id,
        text(item, "name"),
        state="awaiting_approval",
        service_id=maybe_text(item, "server_label"),
        parameters=arguments(item.get("arguments")) or {},
    )
    return (Informed(wanted), ApprovalAsked(item_id, wanted))


def _item(state: RealtimeState, message: Json, change: str) -> tuple[Event, ...]:
    item = mapping(message, "item")
    changed = ItemChanged(
        change,
        maybe_text(item, "id") or maybe_text(message, "item_id"),
        item,
        maybe_text(message, "previous_item_id"),
        state.turn_in(message),
        number(message, "audio_end_ms"),
    )
    # Items that the agent brings come once more with their response, which tells about calls.
    reports = item_reports(state, item, True) if item.get("type") == "mcp_approval_request" else ()
    return (Informed(changed), *reports)


def _content_part(state: RealtimeState, message: Json, change: Literal["added", "done"]) -> tuple[Event, ...]:
    part = ContentPart(
        change, maybe_text(message, "item_id"), mapping(message, "part"), state.turn_in(message)
    )
    return (Informed(part),)


# The user


def _transcript_delta(state: RealtimeState, message: Json) -> tuple[Event, ...]:
    item_id = text(message, "item_id")
    so_far = state.transcripts.get(item_id, "") + (maybe_text(message, "delta") or "")
    so_far = so_far[-_LONGEST_TRANSCRIPT:]
    keep(state.transcripts, item_id, so_far)
    return (Informed(TentativeTranscript(so_far, item_id=item_id)),)


def _transcript_segment(_state: RealtimeState, message: Json) -> tuple[Event, ...]:
    segment = TranscriptSegment(
        text(message, "text"),
        maybe_text(message, "speaker"),
        number(message, "start"),
        number(message, "end"),
        maybe_text(message, "item_id"),
    )
    return (Informed(segment),)


def _transcript_failed(state: RealtimeState, message: Json) -> tuple[Event, ...]:
    item_id = maybe_text(message, "item_id")
    state.transcripts.pop(item_id or "", None)
    error = server_error(message["type"], offered(message, "error"))
    return (Informed(error), Informed(TranscriptionFailed(item_id)))


def speech(message: Json, is_speaking: bool) -> Informed:
    """Return the report that the user began to speak, or ended."""
    at_ms = number(message, "audio_start_ms" if is_speaking else "audio_end_ms")
    return Informed(UserSpeech(is_speaking, at_ms, maybe_text(message, "item_id")))


def _speech_stopped(_state: RealtimeState, message: Json) -> tuple[Event, ...]:
    return (speech(message, False),)


def _committed(_state: RealtimeState, message: Json) -> tuple[Event, ...]:
    return (Informed(UserAudioCommitted(maybe_text(message, "item_id"))),)


def _cleared(_state: RealtimeState, _message: Json) -> tuple[Event, ...]:
    return (Informed(UserAudioCleared()),)


def _idle(_state: RealtimeState, message: Json) -> tuple[Event, ...]:
    idle = UserIdle(
        number(message, "audio_start_ms"), number(message, "audio_end_ms"), maybe_text(message, "item_id")
    )
    return (Informed(idle),)


def _dtmf(_state: RealtimeState, message: Json) -> tuple[Event, ...]:
    return (Informed(DtmfReceived(text(message, "event"), number(message, "received_at"))),)


# Tools


def _arguments_part(
    state: RealtimeState, message: Json, kind: Literal["delta", "stop"], field: str
) -> tuple[Event, ...]:
    call_id = maybe_text(message, "call_id") or text(message, "item_id")
    return (Informed(ArgumentsPart(call_id, kind, text(message, field), state.turn_in(message))),)


def _mcp_progress(state: RealtimeState, message: Json, call_state: str) -> tuple[Event, ...]:
    item_id = text(message, "item_id")
    name, service = state.mcp_calls.get(item_id, ("", None))
    return (Informed(McpToolCall(item_id, name, state=call_state, service_id=service)),)


def _mcp_tools(_state: RealtimeState, message: Json) -> tuple[Event, ...]:
    listed = McpToolsListed(maybe_text(message, "item_id"), message["type"].rpartition(".")[2])
    return (Informed(listed),)


# The server


def _conversation(_state: RealtimeState, message: Json) -> tuple[Event, ...]:
    return (Informed(ConversationOpened(maybe_text(offered(message, "conversation"), "id"))),)


def _playout(state: RealtimeState, message: Json) -> tuple[Event, ...]:
    change = message["type"].rpartition(".")[2]
    return (Informed(ServerPlayout(change, state.turn_in(message))),)


def _rate_limits(_state: RealtimeState, message: Json) -> tuple[Event, ...]:
    limits = tuple(
        RateLimit(
            maybe_text(limit, "name"),
            whole(limit.get("limit")),
            whole(limit.get("remaining")),
            number(limit, "reset_seconds"),
        )
        for limit in items(message, "rate_limits")
        if type(limit) is dict
    )
    return (Informed(RateLimits(limits)),)


def server_error(kind: str, body: Json) -> ServerError:
    """Return the report of an error; a key that the server quotes is hidden."""
    message = maybe_text(body, "message")
    return ServerError(
        kind=kind,
        message=message and _KEY.sub(r"\1-***", message),
        code=maybe_text(body, "code"),
        error_type=maybe_text(body, "type"),
        name=maybe_text(body, "param"),
    )


def _error(state: RealtimeState, message: Json) -> tuple[Event, ...]:
    body = needed(message, "error")
    error = server_error("error", body)
    told: list[Event] = [Informed(error)]
    asked, says = body.get("event_id"), error.message or error.error_type or "no reason was given"
    # Nearly every error is about one message only. These are about the session: before it is ready there
    # is nothing else that they could be about.
    is_refused = not state.is_ready and asked in (SESSION_UPDATE_ID, None)
    if error.code == "session_expired" or is_refused:
        told.append(SessionFailed(says))
    elif error.code == "input_audio_buffer_commit_empty":
        told.append(Informed(UserAudioRefused()))
    elif asked in (REPLY_ID, None):
        # Not every server repeats ids. Taken for a refusal without being one, an error does no harm: a
        # request too many is refused; one that is waited for in vain would be the last.
        told.append(ResponseRefused(error.code == "conversation_already_has_active_response"))
    return tuple(told)


def usage(body: Json, turn: int | None) -> tuple[Event, ...]:
    """Return the report of what something cost, if the server tells."""
    counts = mapping(body, "usage")
    return (Informed(TokenUsage(counts, turn)),) if counts else ()


_Change = Callable[..., tuple[Event, ...]]


def _each(decoder: _Change, prefix: str, values: dict[str, Any]) -> dict[str, Decoder]:
    return {prefix + name: partial(decoder, **arguments) for name, arguments in values.items()}


REPORTS: dict[str, Decoder] = {
    "conversation.created": _conversation,
    **_each(
        _item,
        "conversation.item.",
        {
            change: {"change": change}
            for change in ("created", "added", "done", "retrieved", "truncated", "deleted")
        },
    ),
    "conversation.item.input_audio_transcription.delta": _transcript_delta,
    "conversation.item.input_audio_transcription.segment": _transcript_segment,
    "conversation.item.input_audio_transcription.failed": _transcript_failed,
    "input_audio_buffer.speech_stopped": _speech_stopped,
    "input_audio_buffer.committed": _committed,
    "input_audio_buffer.cleared": _cleared,
    "input_audio_buffer.timeout_triggered": _idle,
    "input_audio_buffer.dtmf_event_received": _dtmf,
    "output_audio_buffer.started": _playout,
    "output_audio_buffer.stopped": _playout,
    "output_audio_buffer.cleared": _playout,
    **_each(
        _content_part,
        "response.content_part.",
        {"added": {"change": "added"}, "done": {"change": "done"}},
    ),
    **_each(
        _arguments_part,
        "response.function_call_arguments.",
        {"delta": {"kind": "delta", "field": "delta"}, "done": {"kind": "stop", "field": "arguments"}},
    ),
    **_each(
        _arguments_part,
        "response.mcp_call_arguments.",
        {"delta": {"kind": "delta", "field": "delta"}, "done": {"kind": "stop", "field": "arguments"}},
    ),
    **_each(
        _mcp_progress,
        "response.mcp_call.",
        {
            "in_progress": {"call_state": "loading"},
            "completed": {"call_state": "success"},
            "failed": {"call_state": "failure"},
        },
    ),
    "mcp_list_tools.in_progress": _mcp_tools,
    "mcp_list_tools.completed": _mcp_tools,
    "mcp_list_tools.failed": _mcp_tools,
    "rate_limits.updated": _rate_limits,
    "error": _error,
}
