"""What is said to an OpenAI Realtime server: messages into client events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from convsm.errors import ProtocolError
from convsm.machine.effects import Approval, CancelReply, ItemHeard, RequestReply, ToolResult
from convsm.protocols.messages import ContextualUpdate, MultimodalMessage, UserMessage
from convsm.protocols.openai_options import RealtimeOptions, session_update
from convsm.protocols.openai_state import RealtimeState
from convsm.protocols.turn_messages import ClearAudio, CommitAudio, DeleteItem, RetrieveItem
from convsm.protocols.wire import Json, dump

__all__ = ["ENCODERS"]

# An id of the client's own for an item has at most so many characters.
_ID_LENGTH = 32


def _event(kind: str, **fields: object) -> bytes:
    # An error repeats the id, so it is known what it is about: a request for a response, above all.
    return dump({"type": kind, "event_id": f"convsm_{kind.replace('.', '_')}", **fields})


def _create(item: Json) -> bytes:
    return _event("conversation.item.create", item=item)


def _message(role: str, said: str) -> bytes:
    content = [{"type": "input_text", "text": said}]
    return _create({"type": "message", "role": role, "content": content})


def _say_tool_result(_state: RealtimeState, message: ToolResult) -> bytes:
    output = message.result
    if message.is_error:
        # The protocol has no word for a failure, so the model is told in the result.
        output = dump({"error": output}).decode()
    return _create({"type": "function_call_output", "call_id": message.call_id, "output": output})


def _say_user_message(_state: RealtimeState, message: UserMessage) -> bytes:
    return _message("user", message.text)


def _say_multimodal_message(_state: RealtimeState, message: MultimodalMessage) -> bytes:
    if message.file_ids or not message.text:
        raise ProtocolError("The OpenAI Realtime protocol has no uploaded files; send text.")
    return _message("user", message.text)


def _say_contextual_update(_state: RealtimeState, message: ContextualUpdate) -> bytes:
    return _message("system", message.text)


def _say_approval(_state: RealtimeState, message: Approval) -> bytes:
    return _create(
        {
            # A request is answered once, so the end of its id tells this item from all others.
            "id": ("ok_" + message.call_id[-(_ID_LENGTH - 3) :]),
            "type": "mcp_approval_response",
            "approval_request_id": message.call_id,
            "approve": message.is_approved,
        }
    )


def _say_request(_state: RealtimeState, message: RequestReply) -> bytes:
    response = dict(message.options)
    if message.instructions is not None:
        response["instructions"] = message.instructions
    return _event("response.create", **({"response": response} if response else {}))


def _say_cancel(_state: RealtimeState, _message: CancelReply) -> bytes:
    return _event("response.cancel")


def _say_heard(state: RealtimeState, message: ItemHeard) -> bytes:
    encoding, _, rate = state.output_format.partition("_")
    bytes_per_second = int(rate) * (2 if encoding == "pcm" else 1)
    # Rounded down, for more than the item has is an error; and an item of no length has to be deleted.
    heard_ms = max(0, message.audio_bytes) * 1000 // bytes_per_second
    if heard_ms == 0:
        return _say_delete(state, DeleteItem(message.item))
    return _event("conversation.item.truncate", item_id=message.item, content_index=0, audio_end_ms=heard_ms)


def _say_delete(_state: RealtimeState, message: DeleteItem) -> bytes:
    return _event("conversation.item.delete", item_id=message.item_id)


def _say_retrieve(_state: RealtimeState, message: RetrieveItem) -> bytes:
    return _event("conversation.item.retrieve", item_id=message.item_id)


def _say_commit(_state: RealtimeState, _message: CommitAudio) -> bytes:
    return _event("input_audio_buffer.commit")


def _say_clear(_state: RealtimeState, _message: ClearAudio) -> bytes:
    return _event("input_audio_buffer.clear")


def _say_options(_state: RealtimeState, message: RealtimeOptions) -> bytes:
    said = orjson.loads(session_update(message))
    # The formats of a session that runs are agreed on; audio in others is on its way already.
    for direction in ("input", "output"):
        said["session"]["audio"][direction].pop("format")
    return dump(said)


ENCODERS: dict[type, Callable[[RealtimeState, Any], bytes]] = {
    ToolResult: _say_tool_result,
    UserMessage: _say_user_message,
    MultimodalMessage: _say_multimodal_message,
    ContextualUpdate: _say_contextual_update,
    Approval: _say_approval,
    RequestReply: _say_request,
    CancelReply: _say_cancel,
    ItemHeard: _say_heard,
    DeleteItem: _say_delete,
    RetrieveItem: _say_retrieve,
    CommitAudio: _say_commit,
    ClearAudio: _say_clear,
    RealtimeOptions: _say_options,
}
