"""What an OpenAI Realtime server says, as the steps of an OpenAILoopbackAgent's script.

The names are those of the other script's steps wherever they mean the same. The steps that wait
(``Expect``, ``Pause``, …), those that misbehave (``Drop``, ``SendRaw``, …) and ``SendMessage`` serve both.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs
import orjson
import pybase64

from convsm.testing.expectations import TIMEOUT_SECONDS, ScriptFailure
from convsm.testing.script import Step, bytes_per_second, tone

if TYPE_CHECKING:
    from convsm.testing.connection import LoopbackConnection
    from convsm.testing.openai_connection import OpenAIConnection

__all__ = [
    "CallTool",
    "CreateSession",
    "ExpectToolResult",
    "ExpireSession",
    "FailTranscription",
    "Interrupt",
    "Say",
    "SendError",
    "StreamText",
    "UserSaid",
]


class RealtimeStep(Step):
    """A step that only an OpenAI loopback agent can perform."""

    __slots__ = ()

    def perform(self, connection: LoopbackConnection) -> None:
        """Do it."""
        self.play(cast("OpenAIConnection", connection))

    def play(self, connection: OpenAIConnection) -> None:
        """Do it on a connection of this protocol."""
        raise NotImplementedError


@attrs.frozen
class CreateSession(RealtimeStep):
    """Tell the client about its session; an OpenAILoopbackAgent's opening. Updates are answered at once."""

    def play(self, connection: OpenAIConnection) -> None:
        """Tell it."""
        connection.create_session()


def _parts(kind: str, ids: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"type": kind, **ids, **more}


def _ids(response_id: str, item_id: str) -> dict[str, Any]:
    return {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}


@attrs.frozen
class Say(RealtimeStep):
    """Speak: a response with its transcript and its audio in chunks. Stops where the response is cancelled.

    Attributes:
        text: The transcript.
        audio: Bytes in the output format; None makes a tone of ``seconds``.
        seconds: How long to speak if there is no ``audio``.
        chunk_seconds: Length of each audio event.
        pace: Speed of sending as a factor of real time; None sends at once.
        is_whole: Whether the response ends here; else ``connection.end_response()`` ends it.
    """

    text: str = "Hello."
    audio: bytes | None = attrs.field(default=None, repr=False)
    seconds: float = attrs.field(default=1.0, kw_only=True)
    chunk_seconds: float = attrs.field(default=0.1, kw_only=True)
    pace: float | None = attrs.field(default=None, kw_only=True)
    is_whole: bool = attrs.field(default=True, kw_only=True)

    def play(self, connection: OpenAIConnection) -> None:
        """Send it, waiting between chunks if paced."""
        response_id, item_id = connection.begin_response(), connection.make_id("item")
        ids = _ids(response_id, item_id)
        item = {"id": item_id, "object": "realtime.item", "type": "message", "role": "assistant"}
        connection.transmit(
            _parts("response.output_item.added", ids, item={**item, "status": "in_progress", "content": []})
        )
        part = {"type": "audio", "transcript": ""}
        connection.transmit(_parts("response.content_part.added", ids, part=part))
        connection.transmit(_parts("response.output_audio_transcript.delta", ids, delta=self.text))
        if not self._speak(connection, ids) or not self.is_whole:
            return
        connection.transmit(_parts("response.output_audio.done", ids))
        connection.transmit(_parts("response.output_audio_transcript.done", ids, transcript=self.text))
        content = [{"type": "output_audio", "transcript": self.text}]
        done = {**item, "status": "completed", "content": content}
        connection.transmit(_parts("response.output_item.done", ids, item=done))
        connection.end_response(output=[done])

    def _speak(self, connection: OpenAIConnection, ids: dict[str, Any]) -> bool:
        audio_format = connection.output_format
        audio = tone(self.seconds, audio_format) if self.audio is None else self.audio
        size = max(2, int(bytes_per_second(audio_format) * self.chunk_seconds) // 2 * 2)
        started = time.monotonic()
        for index, start in enumerate(range(0, len(audio), size)):
            if self.pace is not None:
                connection.pause(started + index * self.chunk_seconds / self.pace - time.monotonic())
            if not connection.is_generating(ids["response_id"]):
                return False
            chunk = audio[start : start + size]
            # First, for the client may answer before the sending returns.
            connection.add_audio(ids["item_id"], len(chunk))
            delta = pybase64.b64encode(chunk).decode()
            connection.transmit(_parts("response.output_audio.delta", ids, delta=delta))
        return connection.is_generating(ids["response_id"])


@attrs.frozen
class StreamText(RealtimeStep):
    """Respond in text: a delta for each part, then the whole.

    Attributes:
        parts: The pieces of text.
    """

    parts: Sequence[str]

    def play(self, connection: OpenAIConnection) -> None:
        """Send it."""
        ids = _ids(connection.begin_response(), connection.make_id("item"))
        for part in self.parts:
            connection.transmit(_parts("response.output_text.delta", ids, delta=part))
        connection.transmit(_parts("response.output_text.done", ids, text="".join(self.parts)))
        connection.end_response()


@attrs.frozen
class UserSaid(RealtimeStep):
    """Send what was understood of the user.

    Attributes:
        text: The final transcript.
        tentative: Pieces of it to send first.
        piece: Which piece of the user's audio it is of, from 0; None for the oldest that has no words.
    """

    text: str
    tentative: Sequence[str] = ()
    piece: int | None = None

    def play(self, connection: OpenAIConnection) -> None:
        """Send it."""
        kind = "conversation.item.input_audio_transcription"
        ids = {"item_id": connection.tell_words_of(self.piece), "content_index": 0}
        for piece in self.tentative:
            connection.transmit(_parts(f"{kind}.delta", ids, delta=piece))
        usage = {"type": "duration", "seconds": 1}
        connection.transmit(_parts(f"{kind}.completed", ids, transcript=self.text, usage=usage))


@attrs.frozen
class FailTranscription(RealtimeStep):
    """Understand nothing of a piece of the user's audio.

    Attributes:
        piece: Which, from 0; None for the oldest that has no words.
    """

    piece: int | None = None

    def play(self, connection: OpenAIConnection) -> None:
        """Tell it."""
        error = {
            "type": "transcription_error",
            "code": "audio_unintelligible",
            "message": "Nothing was understood.",
        }
        kind = "conversation.item.input_audio_transcription.failed"
        ids = {"item_id": connection.tell_words_of(self.piece), "content_index": 0}
        connection.transmit(_parts(kind, ids, error=error))


@attrs.frozen
class Interrupt(RealtimeStep):
    """Hear the user speak; the response is cancelled if turn detection is set so.

    Attributes:
        stops: Whether the user ends again at once, and their audio becomes an item.
    """

    stops: bool = False

    def play(self, connection: OpenAIConnection) -> None:
        """Tell it."""
        item_id = connection.make_id("item")
        started = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 100, "item_id": item_id}
        connection.transmit(started)
        connection.stop_for_speech()
        if self.stops:
            kind = "input_audio_buffer.speech_stopped"
            connection.transmit({"type": kind, "audio_end_ms": 600, "item_id": item_id})
            connection.take_piece(item_id)


@attrs.frozen
class CallTool(RealtimeStep):
    """Call one of the client's tools, in a response of its own.

    Attributes:
        name: Its name.
        call_id: Id of the call, which the result repeats.
        parameters: Its arguments.
        is_whole: Whether the response ends here; else ``connection.end_response()`` ends it.
    """

    name: str
    call_id: str = "call_1"
    parameters: dict[str, Any] = attrs.field(factory=dict)
    is_whole: bool = attrs.field(default=True, kw_only=True)

    def play(self, connection: OpenAIConnection) -> None:
        """Send it."""
        response_id = connection.response_id or connection.begin_response()
        item_id, written = connection.make_id("item"), orjson.dumps(self.parameters).decode()
        call = {"id": item_id, "object": "realtime.item", "type": "function_call", "status": "completed"}
        call |= {"name": self.name, "call_id": self.call_id, "arguments": written}
        ids = _ids(response_id, item_id)
        done = _parts("response.function_call_arguments.done", ids, call_id=self.call_id, name=self.name)
        connection.transmit({**done, "arguments": written})
        connection.transmit(_parts("response.output_item.done", ids, item=call))
        if self.is_whole:
            connection.end_response(output=[call])


@attrs.frozen
class ExpectToolResult(RealtimeStep):
    """Expect the result of a tool call.

    Attributes:
        call_id: Id of the call.
        result: The text it must have; None for any.
        timeout: Seconds after which the script fails.
    """

    call_id: str = "call_1"
    result: str | None = None
    timeout: float = attrs.field(default=TIMEOUT_SECONDS, kw_only=True)

    @property
    def expects(self) -> bool:
        """Always."""
        return True

    def play(self, connection: OpenAIConnection) -> None:
        """Wait for it."""
        item = connection.take(self._answers_call, 1, self.timeout)["item"]
        if self.result is not None and item.get("output") != self.result:
            raise ScriptFailure(f"The client's output is {item.get('output')!r}, not {self.result!r}.")

    def _answers_call(self, message: dict[str, Any]) -> bool:
        item = message.get("item")
        if not isinstance(item, dict) or item.get("type") != "function_call_output":
            return False
        return bool(item.get("call_id") == self.call_id)


@attrs.frozen
class SendError(RealtimeStep):
    """Report an error; the session goes on.

    Attributes:
        code: Its code.
        message: What happened.
        error_type: Its class.
        event_id: Id of the client's event that is to blame.
    """

    code: str = "invalid_value"
    message: str = "Something was wrong."
    error_type: str = "invalid_request_error"
    event_id: str | None = None

    def play(self, connection: OpenAIConnection) -> None:
        """Report it."""
        connection.send_error(self.code, self.message, self.event_id, self.error_type)


@attrs.frozen
class ExpireSession(RealtimeStep):
    """End the session as the service does when it lasted too long: an error, then a close with 1001.

    Attributes:
        closes: Whether the close frame follows.
    """

    closes: bool = True

    def play(self, connection: OpenAIConnection) -> None:
        """Do both."""
        message = "Your session hit the maximum duration of 60 minutes."
        connection.send_error("session_expired", message)
        if self.closes:
            connection.stream.send_close(1001, message)
