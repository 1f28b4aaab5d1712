"""What an ElevenLabs conversation may override of its agent: typed, checked, named as on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import attrs

from convsm.errors import ConfigurationError

__all__ = [
    "AgentOverride",
    "AsrOverride",
    "ConfigurationOverride",
    "ConversationOverride",
    "KnowledgeBaseDocument",
    "PromptOverride",
    "SoftTimeoutOverride",
    "SourceInfo",
    "ToolMocking",
    "TtsOverride",
    "TurnOverride",
    "said",
]

# What the server takes; a longer version would close the conversation.
VERSION_CHARACTERS = 50

_Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _wrong(owner: object, name: str, problem: str) -> ConfigurationError:
    # The value may be personal, so it is not quoted.
    return ConfigurationError(f"{type(owner).__name__}.{name} {problem}.")


def _text(owner: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise _wrong(owner, attribute.name, "is not a string; give one, or None to leave it to the agent")


def _flag(owner: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, bool):
        raise _wrong(owner, attribute.name, "is neither True nor False nor None; give one of them")


def _texts(owner: object, attribute: attrs.Attribute[Any], value: object) -> None:
    is_list = value is None or isinstance(value, tuple)
    if not is_list or not all(isinstance(item, str) for item in value or ()):  # type: ignore[attr-defined]
        raise _wrong(owner, attribute.name, "is not a list of strings; give one")


def _within(low: float, high: float) -> _Validator:
    def check(owner: object, attribute: attrs.Attribute[Any], value: object) -> None:
        # A bool is an int to Python, and NaN is in no range.
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and low <= value <= high):  # type: ignore[operator]
            raise _wrong(owner, attribute.name, f"is not a number from {low:g} to {high:g}; give one")

    return check


def _one_of(*choices: str) -> _Validator:
    def check(owner: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is not None and value not in choices:
            raise _wrong(owner, attribute.name, f"is none of {', '.join(choices)}; give one of them")

    return check


def _made_of(kind: type) -> _Validator:
    def check(owner: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is not None and not isinstance(value, kind):
            raise _wrong(owner, attribute.name, f"is not of the type {kind.__name__}; give one that is")

    return check


def _as_tuple(values: Iterable[Any] | None) -> tuple[Any, ...] | None:
    # A lone string is a mistake for a list of one; the validator says so.
    if values is None or isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        return values  # type: ignore[return-value]
    return tuple(values)


@attrs.frozen(kw_only=True)
class KnowledgeBaseDocument:
    """A document of the knowledge base.

    Attributes:
        type: Its type.
        name: Its name.
        id: Its id.
        usage_mode: ``prompt`` puts it into the prompt whole, ``auto`` lets the server look parts up.
    """

    type: Literal["file", "url", "text", "folder"] = attrs.field(
        validator=_one_of("file", "url", "text", "folder")
    )
    name: str = attrs.field(validator=_text)
    id: str = attrs.field(validator=_text)
    usage_mode: Literal["prompt", "auto"] | None = attrs.field(
        default=None, validator=_one_of("prompt", "auto")
    )


def _documents(owner: object, attribute: attrs.Attribute[Any], value: object) -> None:
    is_list = value is None or isinstance(value, tuple)
    if not is_list or not all(isinstance(item, KnowledgeBaseDocument) for item in value or ()):  # type: ignore[attr-defined]
        raise _wrong(owner, attribute.name, "is not a list of KnowledgeBaseDocument; give one")


@attrs.frozen(kw_only=True)
class PromptOverride:
    """What the language model is told. The server replaces the agent's whole prompt by it, tools included.

    Attributes:
        prompt: The system prompt.
        llm: Name of the language model.
        tool_ids: Ids of the tools that it may call.
        native_mcp_server_ids: Ids of the MCP servers that it may use.
        knowledge_base: Documents that it knows.
    """

    prompt: str | None = attrs.field(default=None, validator=_text, repr=False)
    llm: str | None = attrs.field(default=None, validator=_text)
    tool_ids: tuple[str, ...] | None = attrs.field(default=None, validator=_texts, converter=_as_tuple)
    native_mcp_server_ids: tuple[str, ...] | None = attrs.field(
        default=None, validator=_texts, converter=_as_tuple
    )
    knowledge_base: tuple[KnowledgeBaseDocument, ...] | None = attrs.field(
        default=None, validator=_documents, repr=False, converter=_as_tuple
    )


@attrs.frozen(kw_only=True)
class AgentOverride:
    """What the agent says of its own accord, and in which language.

    Attributes:
        first_message: What it opens with; the empty string lets the user begin.
        language: Code of the language for listening and speaking, such as ``et``.
        max_conversation_duration_message: What it says when the longest duration is reached.
        prompt: What its language model is told.
    """

    first_message: str | None = attrs.field(default=None, validator=_text, repr=False)
    language: str | None = attrs.field(default=None, validator=_text)
    max_conversation_duration_message: str | None = attrs.field(default=None, validator=_text, repr=False)
    prompt: PromptOverride | None = attrs.field(default=None, validator=_made_of(PromptOverride))


@attrs.frozen(kw_only=True)
class TtsOverride:
    """How the agent's voice sounds.

    Attributes:
        voice_id: Id of the voice.
        model_id: Name of the speech model.
        stability: Steadiness of the voice, 0 to 1.
        speed: Speed of the voice, 0.7 to 5, where 1 is its own; a model may take less of that range.
        similarity_boost: Likeness to the voice's original, 0 to 1.
    """

    voice_id: str | None = attrs.field(default=None, validator=_text)
    model_id: str | None = attrs.field(default=None, validator=_text)
    stability: float | None = attrs.field(default=None, validator=_within(0, 1))
    speed: float | None = attrs.field(default=None, validator=_within(0.7, 5))
    similarity_boost: float | None = attrs.field(default=None, validator=_within(0, 1))


@attrs.frozen(kw_only=True)
class AsrOverride:
    """How the agent listens.

    Attributes:
        keywords: Words that it should expect to hear.
    """

    keywords: tuple[str, ...] | None = attrs.field(
        default=None, validator=_texts, repr=False, converter=_as_tuple
    )


@attrs.frozen(kw_only=True)
class SoftTimeoutOverride:
    """What is said while the language model thinks for long.

    Attributes:
        message: The words.
    """

    message: str | None = attrs.field(default=None, validator=_text, repr=False)


@attrs.frozen(kw_only=True)
class TurnOverride:
    """How turns are taken.

    Attributes:
        soft_timeout_config: What is said while the language model thinks for long.
    """

    soft_timeout_config: SoftTimeoutOverride | None = attrs.field(
        default=None, validator=_made_of(SoftTimeoutOverride)
    )


@attrs.frozen(kw_only=True)
class ConversationOverride:
    """What kind of conversation it is.

    Attributes:
        text_only: Whether it has no audio. True wins over an audio interface, which is then not started;
            False without one is warned of, since nobody would hear the agent.
        client_events: Types of the messages that the server sends; those left out are not sent. Without
            ``interruption`` the agent cannot be interrupted.
    """

    text_only: bool | None = attrs.field(default=None, validator=_flag)
    client_events: tuple[str, ...] | None = attrs.field(default=None, validator=_texts, converter=_as_tuple)


@attrs.frozen(kw_only=True)
class ConfigurationOverride:
    """Settings of the agent to override in one conversation; what is None stays as the agent has it.

    Each has to be allowed in the agent's security settings, or the server closes the conversation.

    Attributes:
        agent: What the agent says, in which language, by which prompt.
        tts: How its voice sounds.
        asr: How it listens.
        turn: How turns are taken.
        conversation: What kind of conversation it is.
        extra: Settings that the above do not know, nested as on the wire; merged into them.

    Raises:
        ConfigurationError: A value has the wrong type or is out of its range, or ``extra`` holds what a
            field says already. So do the parts, when they are built.
    """

    agent: AgentOverride | None = attrs.field(default=None, validator=_made_of(AgentOverride))
    tts: TtsOverride | None = attrs.field(default=None, validator=_made_of(TtsOverride))
    asr: AsrOverride | None = attrs.field(default=None, validator=_made_of(AsrOverride))
    turn: TurnOverride | None = attrs.field(default=None, validator=_made_of(TurnOverride))
    conversation: ConversationOverride | None = attrs.field(
        default=None, validator=_made_of(ConversationOverride)
    )
    extra: Mapping[str, Any] | None = attrs.field(default=None, validator=_made_of(dict), repr=False)

    def __attrs_post_init__(self) -> None:
        self.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """Return it as the server wants it: fields that are None, and parts without any, are left out."""
        own = {name: field for name, field in said(self).items() if name != "extra"}
        return _merged(own, self.extra or {}, "")


def _merged(own: Mapping[str, Any], extra: Mapping[str, Any], path: str) -> dict[str, Any]:
    merged = dict(own)
    for name, value in extra.items():
        if name not in merged:
            merged[name] = value
        elif isinstance(merged[name], dict) and isinstance(value, Mapping):
            merged[name] = _merged(merged[name], value, f"{path}{name}.")
        else:
            raise ConfigurationError(
                f"ConfigurationOverride.extra holds {path}{name}, which is given already; give it once."
            )
    return merged


@attrs.frozen(kw_only=True)
class ToolMocking:
    """Which tools of the agent are mocked, as in tests of it.

    Attributes:
        mocking_strategy: ``selected`` mocks those named.
        mocked_tool_names: Their names; only for ``selected``.
        fallback_strategy: What happens when no mock fits a call.

    Raises:
        ConfigurationError: A value is none of these, or names are given for another strategy.
    """

    mocking_strategy: Literal["none", "all", "selected"] | None = attrs.field(
        default=None, validator=_one_of("none", "all", "selected")
    )
    mocked_tool_names: tuple[str, ...] | None = attrs.field(
        default=None, validator=_texts, converter=_as_tuple
    )
    fallback_strategy: Literal["raise_error", "call_real_tool"] | None = attrs.field(
        default=None, validator=_one_of("raise_error", "call_real_tool")
    )

    def __attrs_post_init__(self) -> None:
        if self.mocked_tool_names and self.mocking_strategy != "selected":
            raise _wrong(self, "mocked_tool_names", "is given; give mocking_strategy='selected' with it")


@attrs.frozen(kw_only=True)
class SourceInfo:
    """What the server notes of the client.

    Attributes:
        source: Name of the client's kind, one of the server's enumeration.
        version: Its version, at most 50 characters.

    Raises:
        ConfigurationError: The version is longer.
    """

    source: str | None = attrs.field(default=None, validator=_text)
    version: str | None = attrs.field(default=None, validator=_text)

    def __attrs_post_init__(self) -> None:
        if self.version is not None and len(self.version) > VERSION_CHARACTERS:
            raise _wrong(self, "version", f"is longer than {VERSION_CHARACTERS} characters; shorten it")


def said(value: Any) -> Any:
    """Return a value of this module as JSON has it, without what is None or says nothing."""
    if isinstance(value, tuple):
        return [said(item) for item in value]
    if not attrs.has(type(value)):
        return value
    fields = {name: said(field) for name, field in attrs.asdict(value, recurse=False).items()}
    return {name: field for name, field in fields.items() if field is not None and field != {}}
