"""What the reader of an OpenAI Realtime session has to remember from one frame to the next."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import attrs

from convsm.protocols.wire import Json, items, maybe_text, offered

__all__ = ["RealtimeState", "format_name", "keep", "output_items"]

# Responses that frames may still name, and items whose transcript or tool call is being written. A
# response lasts seconds and its frames come in order, so what is this old comes no more.
_LIMIT = 256

_FORMATS = {
    "audio/pcm": "pcm_24000",
    "audio/pcmu": "ulaw_8000",
    "audio/pcma": "alaw_8000",
    # As the beta wrote them.
    "pcm16": "pcm_24000",
    "g711_ulaw": "ulaw_8000",
    "g711_alaw": "alaw_8000",
}


def format_name(value: object) -> str | None:
    """Return the name of an audio format on the wire, GA or beta; None if it is none that is known."""
    if type(value) is dict:
        kind, rate = value.get("type"), value.get("rate")
        # Servers that are not the vendor's own speak other rates.
        if kind == "audio/pcm" and type(rate) is int:
            return f"pcm_{rate}"
        return _FORMATS.get(kind) if type(kind) is str else None
    return _FORMATS.get(value) if type(value) is str else None


@attrs.define
class RealtimeState:
    """The memory of one session's decoder; only the thread that reads the socket writes it.

    Attributes:
        input_format: Format of the user's audio.
        output_format: Format of the agent's audio.
        is_interrupted_by_server: Whether the server stops generating when the user speaks.
        needs_update: Whether the session is ready only once the server took its settings over.
        session_id: The server's id of the session.
        is_ready: Whether the session was said to be ready.
        latest: Number of the latest response.
        turns: Numbers of the responses by their ids.
        running: Ids of the responses that write to the conversation and are not done.
        called: Ids of the tool calls of those responses.
        open_text: The turn whose text is begun and not ended.
        transcripts: What is understood so far of items of the user's.
        mcp_calls: Name and server of calls on MCP servers, by item.
        approvals: Items that asked for an approval.
    """

    input_format: str
    output_format: str
    is_interrupted_by_server: bool
    needs_update: bool
    session_id: str | None = None
    is_ready: bool = False
    latest: int = 0
    turns: OrderedDict[str, int] = attrs.field(factory=OrderedDict)
    running: OrderedDict[str, bool] = attrs.field(factory=OrderedDict)
    called: OrderedDict[str, bool] = attrs.field(factory=OrderedDict)
    open_text: int | None = None
    transcripts: OrderedDict[str, str] = attrs.field(factory=OrderedDict)
    mcp_calls: OrderedDict[str, tuple[str, str | None]] = attrs.field(factory=OrderedDict)
    approvals: OrderedDict[str, bool] = attrs.field(factory=OrderedDict)

    def turn_of(self, response_id: str) -> int:
        """Return the number of a response; one that was not heard of gets the next."""
        turn = self.turns.get(response_id)
        if turn is None:
            self.latest = turn = self.latest + 1
            keep(self.turns, response_id, turn)
        return turn

    def turn_in(self, message: Json) -> int | None:
        """Return the number of the response that a frame names, if it names one."""
        response_id = maybe_text(message, "response_id")
        return None if response_id is None else self.turn_of(response_id)

    def take_settings(self, settings: Json) -> None:
        """Note what the server says of the session, in the form of GA or beta."""
        audio = offered(settings, "audio")
        heard, spoken = offered(audio, "input"), offered(audio, "output")
        self.session_id = self.session_id or maybe_text(settings, "id")
        for body in (heard, settings):
            interrupts = offered(body, "turn_detection").get("interrupt_response")
            if type(interrupts) is bool:
                self.is_interrupted_by_server = interrupts
        if self.is_ready:
            return  # the devices are open, in the formats that were agreed on
        for wanted in (heard.get("format"), settings.get("input_audio_format")):
            self.input_format = format_name(wanted) or self.input_format
        for wanted in (spoken.get("format"), settings.get("output_audio_format")):
            self.output_format = format_name(wanted) or self.output_format


def keep(memory: OrderedDict[str, Any], key: str, value: object) -> None:
    """Remember something, and forget the oldest where that is too much."""
    memory[key] = value
    if len(memory) > _LIMIT:
        memory.popitem(last=False)


def output_items(response: Json) -> list[Json]:
    """Return the items of a response."""
    return [item for item in items(response, "output") if type(item) is dict]
