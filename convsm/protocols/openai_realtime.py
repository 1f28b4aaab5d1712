"""The OpenAI Realtime protocol: JSON text frames, audio in base64, one codec for both ways.

The names are those of the GA protocol; those of the beta, which other servers still speak, are understood.
"""

from __future__ import annotations

from functools import partial

import pybase64

from convsm.errors import ProtocolError
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    Event,
    Informed,
    Interrupted,
    Malformed,
    ResponseEnded,
    ResponseStarted,
    SessionReady,
    TextPart,
    ToolCalled,
    UserTranscript,
)
from convsm.protocols.capabilities import Capabilities
from convsm.protocols.openai_messages import ENCODERS
from convsm.protocols.openai_options import RealtimeOptions, session_update
from convsm.protocols.openai_reports import (
    REPORTS,
    Decoder,
    arguments,
    item_reports,
    server_error,
    speech,
    usage,
)
from convsm.protocols.openai_state import RealtimeState, keep, output_items
from convsm.protocols.reading import decode_frame
from convsm.protocols.realtime_reports import ItemChanged, SessionSettings
from convsm.protocols.reports import ResponseComplete
from convsm.protocols.wire import Json, Wrong, mapping, maybe_text, needed, offered, text

__all__ = ["DECODERS", "OpenAIRealtimeCodec"]


# The session


def _session(state: RealtimeState, message: Json, is_update: bool) -> tuple[Event, ...]:
    settings = mapping(message, "session")
    state.take_settings(settings)
    report = Informed(SessionSettings(settings, is_update))
    if state.is_ready or (state.needs_update and not is_update):
        return (report,)
    state.is_ready = True
    # Servers that keep no sessions have no id for them.
    return (SessionReady(state.session_id or "", state.output_format, state.input_format), report)


def _speech_started(state: RealtimeState, message: Json) -> tuple[Event, ...]:
    # Everything generated so far is void; the next response has a higher number.
    cut = Interrupted(state.latest, state.latest + 1, state.is_interrupted_by_server)
    return (cut, speech(message, True))


def _transcript(state: RealtimeState, message: Json) -> tuple[Event, ...]:
    item_id = maybe_text(message, "item_id") or None
    said = UserTranscript(text(message, "transcript").strip(), item=item_id)
    state.transcripts.pop(item_id or "", None)
    return (said, *usage(message, None))


# Responses


def _response_created(state: RealtimeState, message: Json) -> tuple[Event, ...]:
    response = needed(message, "response")
    response_id = text(response, "id")
    turn = state.turn_of(response_id)
    if "conversation_id" in response and response["conversation_id"] is None:
        return ()  # beside the conversation, which may have its own response meanwhile
    keep(state.running, response_id, True)
    return (ResponseStarted(turn),)


def _response_done(state: RealtimeState, message: Json) -> tuple[Event, ...]:
    response = needed(message, "response")
    response_id = text(response, "id")
    turn = state.turn_of(response_id)
    details = offered(response, "status_details")
    status, reason = maybe_text(response, "status") or "completed", maybe_text(details, "reason")
    told: list[Event] = []
    try:
        for item in output_items(response) if status == "completed" else ():
            told += _call(state, item)
        costs = usage(response, turn)
    except Wrong as wrong:  # the response ended all the same, or nothing would ever be asked for again
        told.append(Malformed("response.done", wrong.field, wrong.problem))
        costs = ()
    if state.open_text == turn:
        state.open_text = None
        told.append(TextPart("stop", "", turn))
    if state.running.pop(response_id, False):
        told.append(ResponseEnded(turn, status, reason))
        if status == "completed":
            told.append(Informed(ResponseComplete(turn)))
    if status == "failed":
        told.append(Informed(server_error("response.done", offered(details, "error"))))
    return (*told, *costs)


def _call(state: RealtimeState, item: Json) -> tuple[Event, ...]:
    if item.get("type") != "function_call" or item.get("status") in ("incomplete", "in_progress"):
        return ()  # a call of a response that was cut has half its arguments
    call_id, name = text(item, "call_id"), text(item, "name")
    if call_id in state.called:
        return ()  # it comes with its item, and once more with its response
    keep(state.called, call_id, True)
    parameters = arguments(item.get("arguments"))
    if parameters is None:
        return (Malformed("response.output_item.done", "arguments", "not a JSON object"),)
    return (ToolCalled(call_id, name, parameters),)


def _output_item(state: RealtimeState, message: Json, is_done: bool) -> tuple[Event, ...]:
    item = needed(message, "item")
    item = mapping(message, "item")
    turn = state.turn_in(message)
    changed = ItemChanged("done" if is_done else "added", maybe_text(item, "id"), item, None, turn)
    calls = _call(state, item) if is_done else ()
    return (*calls, *item_reports(state, item, is_done), Informed(changed))


def _audio(state: RealtimeState, message: Json) -> tuple[Event, ...]:
    # The hot path, written out: most of what a call receives is audio.
    response_id = message.get("response_id")
    turn = state.turns.get(response_id) if type(response_id) is str else None
    if turn is None:
        turn = state.turn_of(text(message, "response_id"))
    encoded = message.get("delta")
    if type(encoded) is not str:
        encoded = text(message, "delta")
    try:
        audio = pybase64.b64decode(encoded, validate=True)
    except ValueError:
        raise Wrong("delta", "not base64") from None
    item = message.get("item_id")
    return (AgentAudio(audio, turn, item=item if type(item) is str else None),)


def _audio_done(state: RealtimeState, message: Json) -> tuple[Event, ...]:
    turn = state.turn_of(text(message, "response_id"))
    return (AgentAudio(b"", turn, None, True, maybe_text(message, "item_id")),)


def _text_delta(state: RealtimeState, message: Json) -> tuple[Event, ...]:
    turn, piece = state.turn_of(text(message, "response_id")), text(message, "delta")
    begun, state.open_text = state.open_text, turn
    delta = TextPart("delta", piece, turn)
    return (delta,) if begun == turn else (TextPart("start", "", turn), delta)


def _text_done(state: RealtimeState, message: Json, field: str) -> tuple[Event, ...]:
    turn, whole = state.turn_of(text(message, "response_id")), text(message, field).strip()
    begun, state.open_text = state.open_text, None
    stop = (TextPart("stop", "", turn),) if begun == turn else ()
    return (*stop, AgentResponse(whole, turn))


_TURNS: dict[str, Decoder] = {
    "session.created": partial(_session, is_update=False),
    "session.updated": partial(_session, is_update=True),
    "input_audio_buffer.speech_started": _speech_started,
    "conversation.item.input_audio_transcription.completed": _transcript,
    "response.created": _response_created,
    "response.done": _response_done,
    "response.output_item.added": partial(_output_item, is_done=False),
    "response.output_item.done": partial(_output_item, is_done=True),
    "response.output_audio.delta": _audio,
    "response.output_audio.done": _audio_done,
    "response.output_audio_transcript.delta": _text_delta,
    "response.output_audio_transcript.done": partial(_text_done, field="transcript"),
    "response.output_text.delta": _text_delta,
    "response.output_text.done": partial(_text_done, field="text"),
}

# The beta called these otherwise.
BETA_NAMES = {
    name.replace("response.output_", "response."): name
    for name in _TURNS
    if name.startswith(("response.output_audio", "response.output_text"))
}

DECODERS: dict[str, Decoder] = {
    **_TURNS,
    **REPORTS,
    **{beta: _TURNS[name] for beta, name in BETA_NAMES.items()},
}


class OpenAIRealtimeCodec:
    """Translates between OpenAI Realtime frames and events and messages, for one session.

    ``decode`` remembers what later frames refer to (which response has which number, say), so it belongs
    to one session, gets its frames in order, and runs on one thread at a time. All else only reads, and
    may be called from any thread, any number of times.

    A response gets a running number, from 1; audio, texts and interruptions carry it as their turn.
    Arguments of a tool that are no JSON object are a Malformed: such a call is not run.

    Args:
        options: What the session is opened with; None leaves it as the server makes it, and takes the
            server's own defaults for granted: pcm_24000, and a server that stops when the user speaks.
    """

    __slots__ = ("_decoders", "_has_transcripts", "_opening", "_state")

    def __init__(self, options: RealtimeOptions | None = None) -> None:
        self._opening = () if options is None else (session_update(options),)
        self._has_transcripts = options is None or options.transcription is not None
        self._state = RealtimeState(
            "pcm_24000" if options is None else options.input_format,
            "pcm_24000" if options is None else options.output_format,
            options is None or options.is_interrupted_by_server,
            needs_update=options is not None,
        )
        self._decoders = {kind: partial(decoder, self._state) for kind, decoder in DECODERS.items()}

    @property
    def capabilities(self) -> Capabilities:
        """What can be done in a session of these options."""
        return Capabilities(
            protocol="OpenAI Realtime",
            asks_replies=True,
            server_turn_detection=True,
            client_can_disable_turn_detection=True,
            client_commit=True,
            client_cancel=True,
            client_truncate=True,
            server_speech_events=True,
            needs_continuous_audio=True,
            user_transcripts=self._has_transcripts,
            interim_transcripts=self._has_transcripts,
            reply_instructions=True,
            mcp_approval=True,
        )

    def decode(self, frame: str | bytes) -> tuple[Event, ...]:
        """Return the events that a server's frame means, in order.

        It never raises: what cannot be read becomes one Malformed, which holds names of the protocol only.
        """
        return decode_frame(frame, self._decoders)

    def encode(self, message: object) -> bytes:
        """Return the frame that says a message, as UTF-8 for a text frame.

        Raises:
            ProtocolError: This protocol has no such message, or it holds what JSON cannot express.
        """
        encoder = ENCODERS.get(type(message))
        if encoder is None:
            raise ProtocolError(
                f"The OpenAI Realtime protocol has no message for {type(message).__name__}; "
                "send one of those that convsm.protocols defines for it."
            )
        return encoder(self._state, message)

    def encode_audio(self, audio: bytes) -> bytes:
        """Return the frame that carries a piece of the user's audio, in the session's input format."""
        # base64 needs no escaping, so the JSON is built by hand: this goes out many times a second.
        return b'{"type":"input_audio_buffer.append","audio":"' + pybase64.b64encode(audio) + b'"}'

    def opening(self) -> tuple[bytes, ...]:
        """Return the frames that go before all others, in order. They may hold secrets: log none."""
        return self._opening
