"""What an agent of the ElevenLabs protocol says, as the steps of a loopback agent's script.

A step is a frozen value; ``perform`` does it on a connection. Durations are seconds, audio is in the
output format of the conversation's metadata (s16le mono unless that says μ-law).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import pybase64

if TYPE_CHECKING:
    from convsm.testing.connection import LoopbackConnection

__all__ = [
    "CallTool",
    "CorrectResponse",
    "HangUp",
    "Interrupt",
    "Message",
    "MessageStep",
    "Ping",
    "ReportTool",
    "Say",
    "SendAudio",
    "SendError",
    "SendMessage",
    "SendMetadata",
    "Step",
    "StreamText",
    "UserSaid",
    "bytes_per_second",
    "tone",
]

Message = Mapping[str, Any]


SQUARE = {"pcm": (b"\x00\x0a", b"\x00\xf6"), "ulaw": (b"\xbb", b"\x3b"), "alaw": (b"\x91", b"\x11")}


def _size(audio: bytes | None) -> str:
    return "None" if audio is None else f"<{len(audio)} bytes>"


def bytes_per_second(audio_format: str) -> int:
    """Reckon the bytes in a second of ``pcm_<rate>``, ``ulaw_<rate>`` or ``alaw_<rate>``."""
    encoding, _, rate = audio_format.partition("_")
    return int(rate) * (2 if encoding == "pcm" else 1)


def tone(seconds: float, audio_format: str = "pcm_16000") -> bytes:
    """Make a soft square wave of about 440 Hz."""
    rate = int(audio_format.partition("_")[2])
    half_wave = rate // 880
    # A twelfth of full scale: audible, unpleasant to nobody.
    high, low = SQUARE[audio_format.partition("_")[0]]
    wave = high * half_wave + low * half_wave
    length = int(rate * seconds) * len(high)
    return (wave * (length // len(wave) + 1))[:length]


class Step:
    """One step of a script; subclass it with ``perform`` for steps of your own."""

    __slots__ = ()

    @property
    def expects(self) -> bool:
        """Whether the script fails if this step is never reached."""
        return False

    def perform(self, connection: LoopbackConnection) -> None:
        """Do it; called in the script's thread, or in the caller's of ``connection.send``.

        Raises:
            ConnectionEnded: The client is gone.
            ScriptFailure: The client did not do what the step expects.
        """
        raise NotImplementedError


class MessageStep(Step):
    """A step that sends messages and nothing else."""

    __slots__ = ()

    def _messages(self) -> Iterable[Message]:
        raise NotImplementedError

    def perform(self, connection: LoopbackConnection) -> None:
        """Send them."""
        for message in self._messages():
            connection.transmit(message)


def _typed(message_type: str, event: Message, key: str | None = None) -> Message:
    return {"type": message_type, key or f"{message_type}_event": event}


def _audio(audio: bytes, turn: int, is_final: bool | None, alignment: Message | None) -> Message:
    event: dict[str, Any] = {"audio_base_64": pybase64.b64encode(audio).decode(), "event_id": turn}
    # Absent rather than null: the official Python client fails on a null alignment.
    if alignment is not None:
        event["alignment"] = alignment
    if is_final is not None:
        event["is_final"] = is_final
    return _typed("audio", event)


@attrs.frozen
class SendMetadata(Step):
    """Send the metadata that makes the client ready.

    Attributes:
        conversation_id: Its id; None numbers the connections: ``conv_0``, ``conv_1``, …
        output_format: Format of the agent's audio; None takes the one the LoopbackAgent was given.
        input_format: Format of the user's audio, likewise.
    """

    conversation_id: str | None = None
    output_format: str | None = None
    input_format: str | None = None

    def perform(self, connection: LoopbackConnection) -> None:
        """Send it, and reckon with its formats from here on."""
        connection.output_format = self.output_format or connection.output_format
        connection.input_format = self.input_format or connection.input_format
        event = {
            "conversation_id": self.conversation_id or f"conv_{connection.number}",
            "agent_output_audio_format": connection.output_format,
            "user_input_audio_format": connection.input_format,
        }
        connection.transmit(_typed("conversation_initiation_metadata", event))


@attrs.frozen
class SendAudio(MessageStep):
    """Send one message of audio.

    Attributes:
        audio: Bytes in the output format.
        turn: Its event id.
        is_final: Whether the response ends here; None leaves the key out.
        alignment: ``{"chars": […], "char_start_times_ms": […], "char_durations_ms": […]}``.
    """

    audio: bytes = attrs.field(repr=_size)
    turn: int = 1
    is_final: bool | None = None
    alignment: Message | None = None

    def _messages(self) -> Iterable[Message]:
        return [_audio(self.audio, self.turn, self.is_final, self.alignment)]


@attrs.frozen
class Say(Step):
    """Speak: the text of the response, then its audio in chunks, the last one marked final.

    Attributes:
        text: Text of the response; None sends audio only.
        audio: Bytes in the output format; None makes a tone of ``seconds``.
        turn: Event id of all messages.
        seconds: How long to speak if there is no ``audio``.
        chunk_seconds: Length of each audio message.
        alignment: Goes with the first chunk, see SendAudio.
        pace: Speed of sending as a factor of real time; None sends at once.
    """

    text: str | None
    audio: bytes | None = attrs.field(default=None, repr=_size)
    turn: int = 1
    seconds: float = attrs.field(default=1.0, kw_only=True)
    chunk_seconds: float = attrs.field(default=0.1, kw_only=True)
    alignment: Message | None = attrs.field(default=None, kw_only=True)
    pace: float | None = attrs.field(default=None, kw_only=True)

    def perform(self, connection: LoopbackConnection) -> None:
        """Send it, waiting between chunks if paced."""
        if self.text is not None:
            response = {"agent_response": self.text, "event_id": self.turn}
            connection.transmit(_typed("agent_response", response))
        started = time.monotonic()
        for index, message in enumerate(self._audio_messages(connection.output_format)):
            if self.pace is not None:
                connection.pause(started + index * self.chunk_seconds / self.pace - time.monotonic())
            connection.transmit(message)

    def _audio_messages(self, audio_format: str) -> Iterator[Message]:
        audio = tone(self.seconds, audio_format) if self.audio is None else self.audio
        # Even, so that no sample is torn.
        size = max(2, int(bytes_per_second(audio_format) * self.chunk_seconds) // 2 * 2)
        for start in range(0, len(audio), size):
            is_final = True if start + size >= len(audio) else None
            yield _audio(audio[start : start + size], self.turn, is_final, None if start else self.alignment)


@attrs.frozen
class StreamText(MessageStep):
    """Stream a response as text: start, a delta for each part, stop, then the whole as agent response.

    Attributes:
        parts: The pieces of text.
        turn: Event id of all messages.
        response: Whether the whole text follows.
    """

    parts: Sequence[str]
    turn: int = 1
    response: bool = True

    def _messages(self) -> Iterable[Message]:
        for part_type, text in [("start", ""), *(("delta", part) for part in self.parts), ("stop", "")]:
            part = {"text": text, "type": part_type, "event_id": self.turn}
            yield _typed("agent_chat_response_part", part, "text_response_part")
        if self.response:
            whole = {"agent_response": "".join(self.parts), "event_id": self.turn}
            yield _typed("agent_response", whole)


@attrs.frozen
class UserSaid(MessageStep):
    """Send what was understood of the user.

    Attributes:
        text: The final transcript.
        turn: Its event id.
        tentative: Partial transcripts to send first.
    """

    text: str
    turn: int = 1
    tentative: Sequence[str] = ()

    def _messages(self) -> Iterable[Message]:
        for text in self.tentative:
            event = {"user_transcript": text, "event_id": self.turn}
            yield _typed("tentative_user_transcript", event, "tentative_user_transcription_event")
        event = {"user_transcript": self.text, "event_id": self.turn}
        yield _typed("user_transcript", event, "user_transcription_event")


@attrs.frozen
class Interrupt(MessageStep):
    """Tell the client that the user interrupted.

    Attributes:
        turn: Its event id.
    """

    turn: int

    def _messages(self) -> Iterable[Message]:
        return [_typed("interruption", {"event_id": self.turn})]


@attrs.frozen
class CorrectResponse(MessageStep):
    """Tell what was really spoken of a response that was cut."""

    original: str
    corrected: str
    turn: int = 1

    def _messages(self) -> Iterable[Message]:
        event = {
            "original_agent_response": self.original,
            "corrected_agent_response": self.corrected,
            "event_id": self.turn,
        }
        return [_typed("agent_response_correction", event)]


@attrs.frozen
class CallTool(MessageStep):
    """Call one of the client's tools.

    Attributes:
        name: Its name.
        call_id: Id of the call, which the result repeats.
        parameters: Its arguments.
        expects_response: Whether the client shall answer; None leaves the key out, as older servers do.
        turn: The event id.
    """

    name: str
    call_id: str = "call_1"
    parameters: Message = attrs.field(factory=dict)
    expects_response: bool | None = True
    turn: int = 1

    def _messages(self) -> Iterable[Message]:
        call: dict[str, Any] = {
            "tool_name": self.name,
            "tool_call_id": self.call_id,
            "parameters": dict(self.parameters),
            "event_id": self.turn,
        }
        if self.expects_response is not None:
            call["expects_response"] = self.expects_response
        return [_typed("client_tool_call", call, "client_tool_call")]


@attrs.frozen
class ReportTool(MessageStep):
    """Report that a tool has been used (``agent_tool_response``).

    Attributes:
        name: Its name; ``end_call`` announces that the agent hangs up.
        call_id: Id of the call.
        tool_type: ``client``, ``system``, ``webhook``, ``mcp``, …
        is_error: Whether it failed.
        turn: The event id.
    """

    name: str
    call_id: str = "call_1"
    tool_type: str = "client"
    is_error: bool = False
    turn: int = 1

    def _messages(self) -> Iterable[Message]:
        event = {
            "tool_name": self.name,
            "tool_call_id": self.call_id,
            "tool_type": self.tool_type,
            "is_error": self.is_error,
            "is_called": True,
            "event_id": self.turn,
        }
        return [_typed("agent_tool_response", event, "agent_tool_response")]


@attrs.frozen
class Ping(MessageStep):
    """Send the application's ping, which a pong with the same id shall answer.

    Attributes:
        event_id: The id.
        ping_ms: Latency that was measured, in milliseconds; None until there is one.
    """

    event_id: int
    ping_ms: int | None = None

    def _messages(self) -> Iterable[Message]:
        return [_typed("ping", {"event_id": self.event_id, "ping_ms": self.ping_ms})]


@attrs.frozen
class SendError(MessageStep):
    """Report an error; a Close with the same code usually follows.

    Attributes:
        code: Its code.
        message: What happened.
        error_type: ``llm_timeout``, ``invalid_message``, …; None leaves the key out.
        flat: Whether the fields stand beside ``type``, as older servers have them.
    """

    code: int = 1002
    message: str = "This request exceeds your quota limit."
    error_type: str | None = None
    flat: bool = False

    def _messages(self) -> Iterable[Message]:
        event: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.error_type is not None:
            event["error_type"] = self.error_type
        return [{"type": "error", **event} if self.flat else _typed("error", event)]


@attrs.frozen
class SendMessage(MessageStep):
    """Send any message.

    Attributes:
        message: What is sent as JSON, valid in the protocol or not.
    """

    message: Message

    def _messages(self) -> Iterable[Message]:
        return [self.message]


@attrs.frozen
class HangUp(Step):
    """Hang up as agents do: report the ``end_call`` tool, then close with 1000."""

    def perform(self, connection: LoopbackConnection) -> None:
        """Do both."""
        ReportTool("end_call", "end_call_1", "system").perform(connection)
        connection.stream.send_close(1000)
