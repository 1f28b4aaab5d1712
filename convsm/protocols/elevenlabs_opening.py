"""What opens an ElevenLabs conversation: the options a user gives, and the first messages made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from convsm.errors import ConfigurationError
from convsm.protocols.elevenlabs_overrides import ConfigurationOverride, SourceInfo, ToolMocking, said
from convsm.protocols.elevenlabs_urls import SOURCE
from convsm.protocols.urls import redact_url
from convsm.protocols.wire import Json, dump
from convsm.version import VERSION

__all__ = [
    "ConversationInitiationData",
    "OnPremInitiationData",
    "PostCallWebhookConfig",
    "initiation_message",
    "setup_message",
]


# What the server takes.
PROCEDURES_TO_START = 5


def _or_empty(value: dict[str, Any] | None) -> dict[str, Any]:
    return {} if value is None else value


def _override(value: dict[str, Any] | ConfigurationOverride | None) -> dict[str, Any]:
    if isinstance(value, ConfigurationOverride):
        return value.to_dict()
    if value is not None and not isinstance(value, Mapping):
        raise ConfigurationError(
            "conversation_config_override is neither a ConfigurationOverride nor a dict; give one of them."
        )
    return _or_empty(value)


def _mocking(value: dict[str, Any] | ToolMocking | None) -> dict[str, Any] | None:
    return said(value) if isinstance(value, ToolMocking) else value


@attrs.define
class ConversationInitiationData:
    """Options of a conversation. They are read when it is opened, and never changed.

    Attributes:
        extra_body: Parameters for a custom language model.
        conversation_config_override: Settings of the agent to override; each has to be allowed in the
            agent's security settings, or the server closes. A ConfigurationOverride, which is checked, or
            a dict, which is sent as it is; the attribute is the dict in either case.
        dynamic_variables: Values for the placeholders in the agent's prompts.
        user_id: Id of the user. One that is given to the conversation itself comes first.
        branch_id: Id of the branch of the agent to talk to.
        environment: Name of the server-side environment. One that is given to the conversation itself
            comes first.
        starting_workflow_node_id: Id of the workflow's node to start at.
        procedure_ids: Ids of the procedures that the agent may use; an empty list leaves it none.
        start_procedure_ids: Ids of those that start with the conversation, at most five.
        tool_mock_config: Which tools are mocked: a ToolMocking, or a dict that is sent as it is.
        source_info: What the server notes of the client; what is None in it is said of convsm.

    Raises:
        ConfigurationError: The override is neither, or more than five procedures are to start.
    """

    # Values may be secrets or personal, so none is shown.
    extra_body: dict[str, Any] = attrs.field(default=None, converter=_or_empty, repr=False)
    conversation_config_override: dict[str, Any] = attrs.field(default=None, converter=_override, repr=False)
    dynamic_variables: dict[str, Any] = attrs.field(default=None, converter=_or_empty, repr=False)
    user_id: str | None = attrs.field(default=None, repr=False)
    # Beyond the reference, so by name only: the reference may add positions.
    branch_id: str | None = attrs.field(default=None, kw_only=True)
    environment: str | None = attrs.field(default=None, kw_only=True)
    starting_workflow_node_id: str | None = attrs.field(default=None, kw_only=True)
    procedure_ids: list[str] | None = attrs.field(default=None, kw_only=True)
    start_procedure_ids: list[str] | None = attrs.field(default=None, kw_only=True)
    tool_mock_config: dict[str, Any] | None = attrs.field(
        default=None, kw_only=True, converter=_mocking, repr=False
    )
    source_info: SourceInfo | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if len(self.start_procedure_ids or ()) > PROCEDURES_TO_START:
            raise ConfigurationError(
                f"start_procedure_ids holds {len(self.start_procedure_ids or ())} ids; "
                f"give at most {PROCEDURES_TO_START}."
            )


@attrs.define
class PostCallWebhookConfig:
    """Where an on-prem server delivers after a call.

    Attributes:
        url: Where to.
        hmac_secret: Secret of at least 16 characters that signs each delivery, in the header
            ``ElevenLabs-Signature: t=<time>,v0=<hex HMAC-SHA256 of "{time}.{body}">``. None: not signed.
    """

    url: str = attrs.field(repr=redact_url)
    hmac_secret: str | None = attrs.field(
        default=None, repr=lambda secret: "None" if secret is None else "'***'"
    )

    def to_dict(self) -> dict[str, str]:
        """Return it as the server wants it, secret included."""
        if self.hmac_secret is None:
            return {"url": self.url}
        return {"url": self.url, "hmac_secret": self.hmac_secret}


# Fields of the setup message that are always there, if only as null, and those that are there when given.
_ALWAYS = (
    "agent_config_dict",
    "override_agent_config_list",
    "tools_config_list",
    "post_call_transcription_webhook_url",
    "post_call_audio_webhook_url",
    "prompt_knowledge_base",
)
_WEBHOOKS = ("post_call_transcription_webhook", "post_call_audio_webhook")
_RESERVED = frozenset({"type", *_ALWAYS, *_WEBHOOKS, "bedrock_inference_profile"})


@attrs.define
class OnPremInitiationData:
    """Options of a conversation with an on-prem server.

    Attributes:
        on_prem_conversation_url: Where the server is. It is used as it stands, query included.
        post_call_transcription_webhook_url: Where the transcript goes after the call; not signed.
        post_call_audio_webhook_url: Where the audio goes after the call; not signed.
        agent_config_dict: Configuration of the agent.
        override_agent_config_list: Configurations that override it.
        tools_config_list: Configurations of its tools.
        prompt_knowledge_base: Its knowledge.
        post_call_transcription_webhook: Where the transcript goes after the call.
        post_call_audio_webhook: Where the audio goes after the call.
        bedrock_inference_profile: Profile for models on Bedrock, such as ``global``.
        extra_setup_config: Fields of the setup message that are not among the above.

    Raises:
        ConfigurationError: A webhook is given in both forms, or an extra field is not an extra one. It is a
            ValueError.
    """

    # All but the URL may hold secrets, so nothing else is shown.
    on_prem_conversation_url: str = attrs.field(repr=redact_url)
    post_call_transcription_webhook_url: str | None = attrs.field(default=None, repr=False)
    post_call_audio_webhook_url: str | None = attrs.field(default=None, repr=False)
    agent_config_dict: dict[str, Any] | None = attrs.field(default=None, repr=False)
    override_agent_config_list: list[dict[str, Any]] | None = attrs.field(default=None, repr=False)
    tools_config_list: list[dict[str, Any]] | None = attrs.field(default=None, repr=False)
    prompt_knowledge_base: list[str] | None = attrs.field(default=None, repr=False)
    post_call_transcription_webhook: PostCallWebhookConfig | None = attrs.field(default=None, repr=False)
    post_call_audio_webhook: PostCallWebhookConfig | None = attrs.field(default=None, repr=False)
    bedrock_inference_profile: str | None = attrs.field(default=None, repr=False)
    extra_setup_config: dict[str, Any] | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        for name in _WEBHOOKS:
            # The server counts an empty URL as none.
            if getattr(self, name) is not None and getattr(self, f"{name}_url"):
                raise ConfigurationError(f"{name} and {name}_url are both given; give one of them, not both.")
        if self.extra_setup_config is None:
            self.extra_setup_config = {}
        if not isinstance(self.extra_setup_config, dict):
            raise ConfigurationError("extra_setup_config is not a dict; give one of field names and values.")
        reserved = sorted(_RESERVED.intersection(self.extra_setup_config))
        if reserved:
            raise ConfigurationError(
                f"extra_setup_config holds {', '.join(reserved)}; give these as arguments of their own."
            )
        self.extra_setup_config = dict(self.extra_setup_config)


# Fields of the initiation that are there when they are given.
_WHEN_GIVEN = (
    "branch_id",
    "starting_workflow_node_id",
    "procedure_ids",
    "start_procedure_ids",
    "tool_mock_config",
)


def initiation_message(
    data: ConversationInitiationData | None = None,
    user_id: str | None = None,
    text_only: bool = False,
    version: str = VERSION,
    environment: str | None = None,
) -> bytes:
    """Return the message that opens a conversation.

    Args:
        data: Options of the conversation.
        user_id: Id of the user; it comes before the one in ``data``.
        text_only: Ask for a conversation without audio, unless ``data`` says whether it has any.
        version: Version of the client, at most 50 characters, which the server only notes.
        environment: Name of the server-side environment; it comes before the one in ``data``, and only
            goes into the message if that has one: the URL says it already.

    Raises:
        ConfigurationError: The override of ``conversation`` is not a dict.
        ProtocolError: The options hold what JSON cannot express.
    """
    data = data or ConversationInitiationData()
    override: Mapping[str, Any] = data.conversation_config_override
    if text_only:
        override = {**override, "conversation": {"text_only": True, **_conversation(override)}}
    message: Json = {
        "type": "conversation_initiation_client_data",
        "custom_llm_extra_body": data.extra_body,
        "conversation_config_override": override,
        "dynamic_variables": data.dynamic_variables,
        "source_info": {"source": SOURCE, "version": version, **said(data.source_info or SourceInfo())},
    }
    user_id = user_id or data.user_id
    if user_id:
        message["user_id"] = user_id
    if data.environment:
        message["environment"] = environment or data.environment
    message.update({name: value for name in _WHEN_GIVEN if (value := getattr(data, name)) is not None})
    return dump(message)


def _conversation(override: Mapping[str, Any]) -> Mapping[str, Any]:
    conversation = override.get("conversation")
    if conversation is None:
        return {}
    if not isinstance(conversation, Mapping):
        raise ConfigurationError(
            "conversation_config_override['conversation'] is not a dict; give one of names and values."
        )
    return conversation


def setup_message(on_prem: OnPremInitiationData) -> bytes:
    """Return the message that sets an on-prem server up; it goes before the one that opens the conversation.

    It holds the webhooks' secrets: log it never.

    Raises:
        ProtocolError: The options hold what JSON cannot express.
    """
    message: Json = {
        **(on_prem.extra_setup_config or {}),
        "type": "enclave_setup_config",
        **{name: getattr(on_prem, name) for name in _ALWAYS},
    }
    if on_prem.bedrock_inference_profile is not None:
        message["bedrock_inference_profile"] = on_prem.bedrock_inference_profile
    for name in _WEBHOOKS:
        webhook: PostCallWebhookConfig | None = getattr(on_prem, name)
        if webhook is not None:
            message[name] = webhook.to_dict()
    return dump(message)
