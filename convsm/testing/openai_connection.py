"""One session of an OpenAI loopback agent: what the service does by itself, beside the script."""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar

import attrs
import orjson

from convsm.testing.client_messages import Required
from convsm.testing.connection import LoopbackConnection
from convsm.testing.frames import encode_frame
from convsm.testing.script import Message, bytes_per_second
from convsm.testing.websocket_server import ConnectionEnded

__all__ = ["OpenAIConnection"]

# What the service insists on in the client's events.
REQUIRED: Required = {
    "conversation.item.create": {"item": dict},
    "conversation.item.delete": {"item_id": str},
    "conversation.item.retrieve": {"item_id": str},
    "conversation.item.truncate": {"item_id": str, "content_index": int, "audio_end_ms": int},
    "input_audio_buffer.append": {"audio": str},
    "input_audio_buffer.clear": {},
    "input_audio_buffer.commit": {},
    "response.cancel": {},
    "response.create": {},
    "session.update": {"session": dict},
}

_FORMATS = {
    "pcm_24000": {"type": "audio/pcm", "rate": 24000},
    "ulaw_8000": {"type": "audio/pcmu"},
    "alaw_8000": {"type": "audio/pcma"},
}


# Settings that an update replaces, not mends.
WHOLE = ("format", "turn_detection")


@attrs.define(eq=False)
class OpenAIConnection(LoopbackConnection):
    """A session with one client; its attributes may be read from any thread.

    The service's own part is played here: a session is created and updated, items are added, truncated
    and deleted, audio is committed and cleared, and a response is cancelled, each with the events that
    tell so. What a response says is the script's.

    Attributes:
        session: The session's settings, as the server tells them.
        items: The items of the conversation: id and bytes of their audio.
        response_id: Id of the response that is generated; None if none is.
        pieces: Ids of the items that the user's audio became, in order.
        untold: Those of them whose words were not told.
    """

    required: ClassVar[Required] = REQUIRED

    session: dict[str, Any] = attrs.field(factory=dict, init=False, repr=False)
    items: dict[str, int] = attrs.field(factory=dict, init=False, repr=False)
    response_id: str | None = attrs.field(default=None, init=False)
    pieces: list[str] = attrs.field(factory=list, init=False, repr=False)
    untold: list[str] = attrs.field(factory=list, init=False, repr=False)
    _committed: int = attrs.field(default=0, init=False, repr=False)
    _numbers: dict[str, int] = attrs.field(factory=dict, init=False, repr=False)

    # For steps

    def make_id(self, kind: str) -> str:
        """Return the next id of a kind, such as ``item_1``."""
        with self._arrived:
            self._numbers[kind] = self._numbers.get(kind, 0) + 1
            return f"{kind}_{self._numbers[kind]}"

    def create_session(self) -> None:
        """Tell the client about its session, as the service does first of all."""
        self.session = {
            "type": "realtime",
            "object": "realtime.session",
            "id": f"sess_{self.number}",
            "model": "gpt-realtime",
            "output_modalities": ["audio"],
            "instructions": "You are a loopback.",
            "audio": {
                "input": {
                    "format": _FORMATS[self.input_format],
                    "turn_detection": {
                        "type": "server_vad",
                        "create_response": True,
                        "interrupt_response": True,
                    },
                },
                "output": {"format": _FORMATS[self.output_format], "voice": "marin"},
            },
        }
        self.transmit({"type": "session.created", "session": self.session})

    def take_piece(self, item_id: str) -> None:
        """Make an item of the user's audio so far."""
        self.pieces.append(item_id)
        self.untold.append(item_id)
        self.transmit({"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": None})

    def tell_words_of(self, piece: int | None) -> str:
        """Return the id of the item whose words are to be told; without a piece to tell, a new one."""
        if piece is not None:
            item_id = self.pieces[piece]
        else:
            item_id = self.untold[0] if self.untold else self.make_id("item")
        if item_id in self.untold:
            self.untold.remove(item_id)
        return item_id

    def begin_response(self, response_id: str | None = None) -> str:
        """Begin a response and return its id."""
        response_id = response_id or self.make_id("resp")
        self.response_id = response_id
        self.transmit({"type": "response.created", "response": self._response(response_id, "in_progress")})
        return response_id

    def end_response(self, status: str = "completed", **more: object) -> None:
        """End the response that is generated; does nothing if none is."""
        with self._arrived:  # a script and a client may both end it
            response_id, self.response_id = self.response_id, None
        if response_id is not None:
            self.transmit({"type": "response.done", "response": self._response(response_id, status, **more)})

    def is_generating(self, response_id: str) -> bool:
        """Tell whether a response goes on, that is, was not cancelled."""
        return self.response_id == response_id

    def add_audio(self, item_id: str, length: int) -> None:
        """Note how much audio of an item was sent."""
        self.items[item_id] = self.items.get(item_id, 0) + length

    def stop_for_speech(self) -> None:
        """Do with the response what turn detection is set to do when the user speaks."""
        detection = self.session.get("audio", {}).get("input", {}).get("turn_detection") or {}
        if detection.get("interrupt_response", True):
            self.end_response("cancelled", status_details={"type": "cancelled", "reason": "turn_detected"})

    def send_error(
        self, code: str, message: str, event_id: object = None, kind: str = "invalid_request_error"
    ) -> None:
        """Report an error."""
        error = {"type": kind, "code": code, "message": message, "param": None, "event_id": event_id}
        self.transmit({"type": "error", "error": error})

    def transmit(self, message: Message) -> None:
        """Send an event as JSON at once, with an id of its own.

        Raises:
            ConnectionEnded: The client is gone.
        """
        self.stream.send(encode_frame(orjson.dumps({"event_id": self.make_id("event"), **message})))

    def _response(self, response_id: str, status: str, **more: object) -> dict[str, Any]:
        response: dict[str, Any] = {
            "id": response_id,
            "object": "realtime.response",
            "status": status,
            "output": [],
        }
        details = {"conversation_id": f"conv_{self.number}", "output_modalities": ["audio"]}
        return {**response, **details, **more}

    # What the service answers, on the thread that reads

    def _take_in(self, entry: tuple[bool, bytes] | None) -> None:
        # What is wrong with a message is a failure by now, and to a client that left nothing is said.
        with contextlib.suppress(ValueError, ConnectionEnded, KeyError, TypeError, AttributeError):
            message: dict[str, Any] = {} if entry is None else orjson.loads(entry[1])
            answer = _ANSWERS.get(message["type"])
            if answer is not None:
                answer(self, message)
        # Behind the answer, for a script that waited for the message goes on from here.
        LoopbackConnection._take_in(self, entry)

    def _update_session(self, message: dict[str, Any]) -> None:
        self.session = _merged(self.session, message["session"])
        for direction in ("input", "output"):
            wanted = self.session["audio"][direction]["format"]
            name = next((name for name, body in _FORMATS.items() if body == wanted), None)
            if name is None:
                problem = f"The {direction} format is unknown."
                self.send_error("invalid_value", problem, message.get("event_id"))
                return
            setattr(self, f"{direction}_format", name)
        self.transmit({"type": "session.updated", "session": self.session})

    def _create_item(self, message: dict[str, Any]) -> None:
        item = {"id": self.make_id("item"), "object": "realtime.item", **message["item"]}
        self.items[item["id"]] = 0
        for kind in ("conversation.item.added", "conversation.item.done"):
            self.transmit({"type": kind, "item": item, "previous_item_id": None})

    def _delete_item(self, message: dict[str, Any]) -> None:
        if self.items.pop(message["item_id"], None) is None:
            self.send_error("item_delete_invalid_item_id", "There is no such item.", message.get("event_id"))
        else:
            self.transmit({"type": "conversation.item.deleted", "item_id": message["item_id"]})

    def _truncate_item(self, message: dict[str, Any]) -> None:
        length = self.items.get(message["item_id"])
        has_ms = None if length is None else length * 1000 // bytes_per_second(self.output_format)
        if has_ms is None or not 0 < message["audio_end_ms"] <= has_ms:
            self.send_error("invalid_value", f"The audio has {has_ms} ms.", message.get("event_id"))
            return
        told = {key: message[key] for key in ("item_id", "content_index", "audio_end_ms")}
        self.transmit({"type": "conversation.item.truncated", **told})

    def _commit(self, message: dict[str, Any]) -> None:
        if not self.has_audio:
            self.send_error("input_audio_buffer_commit_empty", "There is no audio.", message.get("event_id"))
            return
        self._committed = len(self._user_audio)
        self.take_piece(self.make_id("item"))

    def _clear(self, message: dict[str, Any]) -> None:
        self._committed = len(self._user_audio)
        self.transmit({"type": "input_audio_buffer.cleared"})

    @property
    def has_audio(self) -> bool:
        """Whether the user's audio has more than was committed or cleared."""
        return len(self._user_audio) > self._committed

    def _request(self, message: dict[str, Any]) -> None:
        if self.response_id is not None:
            self.send_error(
                "conversation_already_has_active_response", "There is one.", message.get("event_id")
            )

    def _cancel(self, message: dict[str, Any]) -> None:
        if self.response_id is None:
            self.send_error("response_cancel_not_active", "There is none.", message.get("event_id"))
        self.end_response("cancelled", status_details={"type": "cancelled", "reason": "client_cancelled"})


def _merged(settings: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    merged = {**settings, **update}
    for key in settings.keys() & update.keys():
        if isinstance(settings[key], dict) and isinstance(update[key], dict) and key not in WHOLE:
            merged[key] = _merged(settings[key], update[key])
    return merged


_ANSWERS = {
    "session.update": OpenAIConnection._update_session,
    "conversation.item.create": OpenAIConnection._create_item,
    "conversation.item.delete": OpenAIConnection._delete_item,
    "conversation.item.truncate": OpenAIConnection._truncate_item,
    "input_audio_buffer.commit": OpenAIConnection._commit,
    "input_audio_buffer.clear": OpenAIConnection._clear,
    "response.create": OpenAIConnection._request,
    "response.cancel": OpenAIConnection._cancel,
}
