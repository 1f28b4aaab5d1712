"""What an OpenAI Realtime session is made of: the options a user gives, and the message made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

from convsm.errors import ConfigurationError
from convsm.protocols.wire import Json, dump

__all__ = [
    "FORMATS",
    "SESSION_UPDATE_ID",
    "FunctionTool",
    "RealtimeOptions",
    "SemanticVad",
    "ServerVad",
    "Transcription",
    "session_update",
]

# Client events may carry an id, which an error repeats: so it is known what was refused.
SESSION_UPDATE_ID = "convsm_session_update"

FORMATS: dict[str, Json] = {
    "pcm_24000": {"type": "audio/pcm", "rate": 24000},
    "ulaw_8000": {"type": "audio/pcmu"},
    "alaw_8000": {"type": "audio/pcma"},
}
_MODES = ("auto", "none", "required")

# What has no value is left to the server.
Maybe = attrs.validators.optional


def _between(low: float, high: float) -> Any:
    def check(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if type(value) not in (int, float) or not low <= value <= high:
            raise ConfigurationError(f"{attribute.name} is {value!r}; give a number from {low} to {high}.")

    return Maybe(check)


def _one_of(*choices: object) -> Any:
    def check(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in choices:
            known = ", ".join(map(repr, choices))
            raise ConfigurationError(f"{attribute.name} is {value!r}; choose one of {known}.")

    return check


def _given(body: Json) -> Json:
    return {key: value for key, value in body.items() if value is not None}


@attrs.frozen
class ServerVad:
    """The server ends the user's turn after a silence. None leaves a setting to the server.

    Attributes:
        threshold: How loud speech is, from 0 to 1; the server's own default is 0.5.
        prefix_padding_ms: How much audio before the speech belongs to it; 300.
        silence_duration_ms: How long a silence ends the turn; 500.
        idle_timeout_ms: After how long a silence the agent speaks up by itself; None never.
        create_response: Whether the server replies to the turn by itself.
        interrupt_response: Whether the server stops generating when the user speaks; if not, convsm tells
            it to.
    """

    threshold: float | None = attrs.field(default=None, validator=_between(0, 1))
    prefix_padding_ms: int | None = attrs.field(default=None, validator=_between(0, 60_000))
    silence_duration_ms: int | None = attrs.field(default=None, validator=_between(0, 60_000))
    idle_timeout_ms: int | None = attrs.field(default=None, validator=_between(0, 3_600_000))
    create_response: bool = True
    interrupt_response: bool = True

    def to_dict(self) -> Json:
        """Return it as the server wants it."""
        return {"type": "server_vad", **_given(attrs.asdict(self))}


@attrs.frozen
class SemanticVad:
    """A model on the server decides from the words whether the user's turn is over.

    Attributes:
        eagerness: ``low``, ``medium``, ``high`` or ``auto``: after 8, 4, 2 or 4 seconds at most.
        create_response: Whether the server replies to the turn by itself.
        interrupt_response: Whether the server stops generating when the user speaks; if not, convsm tells
            it to.
    """

    eagerness: Literal["low", "medium", "high", "auto"] | None = attrs.field(
        default=None, validator=Maybe(_one_of("low", "medium", "high", "auto"))
    )
    create_response: bool = True
    interrupt_response: bool = True

    def to_dict(self) -> Json:
        """Return it as the server wants it."""
        return {"type": "semantic_vad", **_given(attrs.asdict(self))}


@attrs.frozen
class Transcription:
    """What the user says is written down, by another model than the one that replies.

    Attributes:
        model: The model.
        language: The language, as in ISO 639-1; None recognizes it.
        prompt: What to expect.
        more: Further settings, as the protocol names them.
    """

    model: str = "gpt-4o-mini-transcribe"
    language: str | None = None
    prompt: str | None = attrs.field(default=None, repr=False)
    more: Mapping[str, Any] = attrs.field(factory=dict)

    def to_dict(self) -> Json:
        """Return it as the server wants it."""
        return _given(
            {"model": self.model, "language": self.language, "prompt": self.prompt, **dict(self.more)}
        )


@attrs.frozen
class FunctionTool:
    """A tool of the client that the agent may call.

    Attributes:
        name: Its name, under which the client's handler is registered.
        description: When and how to use it.
        parameters: JSON Schema of its arguments.
    """

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] = attrs.field(factory=lambda: {"type": "object", "properties": {}})

    def to_dict(self) -> Json:
        """Return it as the server wants it."""
        return {
            "type": "function",
            **_given({"name": self.name, "description": self.description}),
            "parameters": dict(self.parameters),
        }


def _tools(tools: Iterable[FunctionTool | Mapping[str, Any] | str]) -> tuple[Any, ...]:
    if isinstance(tools, (str, Mapping)):
        raise ConfigurationError("tools is a single tool; give a list.")
    # A bare name is a tool without arguments.
    return tuple(FunctionTool(tool) if isinstance(tool, str) else tool for tool in tools)


@attrs.frozen
class RealtimeOptions:
    """Options of an OpenAI Realtime session. What is None is left to the server.

    Attributes:
        instructions: What the agent is told to be and do.
        output_modality: ``audio`` (with its transcript) or ``text``.
        voice: Name of the voice, or ``{"id": …}`` for one of your own.
        speed: Speed of speech, from 0.25 to 1.5.
        tools: Tools of the client, by FunctionTool, by bare name, or as the protocol has them (MCP too).
        tool_choice: ``auto``, ``none``, ``required``, the name of a function, or as the protocol has it.
        parallel_tool_calls: Whether several tools may be called at once.
        max_output_tokens: Most tokens of a response, from 1 to 4096, or ``inf``.
        turn_detection: Who ends the user's turn: the server by silence, by a model, or (None) the client,
            who says CommitAudio and RequestReply.
        transcription: How the user's speech is written down; None does not, so that no transcript comes.
        noise_reduction: ``near_field`` for a headset, ``far_field`` for a room; None leaves it off.
        noise_reduction_strength: How much, from 0 to 1.
        input_format: ``pcm_24000``, ``ulaw_8000`` or ``alaw_8000``.
        output_format: Likewise.
        truncation: ``auto``, ``disabled``, the share to keep of what does not fit the model any more, or as
            the protocol has it.
        reasoning_effort: How long a reasoning model thinks.
        more: Further settings of the session, as the protocol names them; they come before all others.

    Raises:
        ConfigurationError: A setting is out of its range, or would silently do nothing.
    """

    instructions: str | None = attrs.field(default=None, repr=False)
    output_modality: Literal["audio", "text"] = attrs.field(
        default="audio", validator=_one_of("audio", "text"), kw_only=True
    )
    voice: str | Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    speed: float | None = attrs.field(default=None, validator=_between(0.25, 1.5), kw_only=True)
    tools: tuple[Any, ...] = attrs.field(default=(), converter=_tools, kw_only=True)
    tool_choice: str | Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    parallel_tool_calls: bool | None = attrs.field(default=None, kw_only=True)
    max_output_tokens: int | Literal["inf"] | None = attrs.field(default=None, kw_only=True)
    turn_detection: ServerVad | SemanticVad | None = attrs.field(factory=ServerVad, kw_only=True)
    transcription: Transcription | None = attrs.field(factory=Transcription, kw_only=True)
    noise_reduction: Literal["near_field", "far_field"] | None = attrs.field(
        default=None, validator=_one_of(None, "near_field", "far_field"), kw_only=True
    )
    noise_reduction_strength: float | None = attrs.field(default=None, validator=_between(0, 1), kw_only=True)
    input_format: str = attrs.field(default="pcm_24000", validator=_one_of(*FORMATS), kw_only=True)
    output_format: str = attrs.field(default="pcm_24000", validator=_one_of(*FORMATS), kw_only=True)
    truncation: str | float | Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    reasoning_effort: str | None = attrs.field(default=None, kw_only=True)
    more: Mapping[str, Any] = attrs.field(factory=dict, repr=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        tokens = self.max_output_tokens
        if tokens not in (None, "inf") and (type(tokens) is not int or not 1 <= tokens <= 4096):
            raise ConfigurationError(f"max_output_tokens is {tokens!r}; give 1 to 4096, or 'inf'.")
        if self.output_modality == "text" and (self.voice is not None or self.speed is not None):
            raise ConfigurationError("voice and speed do nothing to text; leave them out, or choose audio.")
        if self.noise_reduction is None and self.noise_reduction_strength is not None:
            raise ConfigurationError("noise_reduction_strength needs noise_reduction; give that too.")
        truncation = self.truncation
        is_share = isinstance(truncation, float | int) and 0 <= truncation <= 1
        if not (truncation in (None, "auto", "disabled") or is_share or isinstance(truncation, Mapping)):
            raise ConfigurationError(
                f"truncation is {truncation!r}; give 'auto', 'disabled', or a share from 0 to 1."
            )

    @property
    def is_interrupted_by_server(self) -> bool:
        """Whether the server stops generating when the user speaks."""
        return self.turn_detection is None or self.turn_detection.interrupt_response

    def to_dict(self) -> Json:
        """Return the session's settings as the server wants them."""
        choice, truncation = self.tool_choice, self.truncation
        if isinstance(choice, str) and choice not in _MODES:
            choice = {"type": "function", "name": choice}
        if isinstance(truncation, float | int):
            truncation = {"type": "retention_ratio", "retention_ratio": truncation}
        return {
            **_given(
                {
                    "type": "realtime",
                    "instructions": self.instructions,
                    "output_modalities": [self.output_modality],
                    "tools": self._tools(),
                    "tool_choice": choice,
                    "parallel_tool_calls": self.parallel_tool_calls,
                    "max_output_tokens": self.max_output_tokens,
                    "truncation": truncation,
                    "reasoning": self.reasoning_effort and {"effort": self.reasoning_effort},
                }
            ),
            "audio": {"input": self._input(), "output": self._output()},
            **self.more,
        }

    def _tools(self) -> list[Any] | None:
        return [tool.to_dict() if isinstance(tool, FunctionTool) else tool for tool in self.tools] or None

    def _input(self) -> Json:
        noise = {"type": self.noise_reduction, "strength": self.noise_reduction_strength}
        # null turns transcription and noise reduction off and makes turns manual, so it is said.
        return {
            "format": FORMATS[self.input_format],
            "transcription": self.transcription and self.transcription.to_dict(),
            "noise_reduction": None if self.noise_reduction is None else _given(noise),
            "turn_detection": self.turn_detection and self.turn_detection.to_dict(),
        }

    def _output(self) -> Json:
        return _given({"format": FORMATS[self.output_format], "voice": self.voice, "speed": self.speed})


def session_update(options: RealtimeOptions) -> bytes:
    """Return the message that sets a session up, or changes it.

    Raises:
        ProtocolError: The options hold what JSON cannot express.
    """
    return dump({"type": "session.update", "event_id": SESSION_UPDATE_ID, "session": options.to_dict()})
