from __future__ import annotations

import copy
import inspect
import json
import warnings
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.errors import ConfigurationError, ProtocolError
from convsm.protocols.elevenlabs_opening import (
    ConversationInitiationData,
    OnPremInitiationData,
    PostCallWebhookConfig,
    initiation_message,
    setup_message,
)
from convsm.protocols.elevenlabs_overrides import (
    ConfigurationOverride,
    ConversationOverride,
    SourceInfo,
    ToolMocking,
    TtsOverride,
)
from convsm.version import VERSION
from tests.protocols.helpers import JSON, entries, exactly

URL = "wss://agent.internal/convai?conversation_id=c1"


@pytest.fixture(scope="module")
def sdk() -> Any:
    """The vendor's own client, whose import and typing speak of a websockets module on its way out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from elevenlabs.conversational_ai import conversation
    return conversation


def said(*args: Any, **kwargs: Any) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(initiation_message(*args, **kwargs))
    return message


def on_prem(options: dict[str, Any], module: Any) -> Any:
    return module.OnPremInitiationData(
        **{
            name: module.PostCallWebhookConfig(**value) if name.endswith("webhook") else value
            for name, value in options.items()
        }
    )


OURS = SimpleNamespace(OnPremInitiationData=OnPremInitiationData, PostCallWebhookConfig=PostCallWebhookConfig)
OPENINGS = list(entries("opening"))
SETUPS = [entry for name, entry in OPENINGS if name == "enclave_setup_config"]
INITIATIONS = [entry for name, entry in OPENINGS if name == "conversation_initiation_client_data"]


# Golden files


@pytest.mark.parametrize("entry", INITIATIONS)
def test_options_make_the_golden_initiation(entry):
    options = dict(entry["opening"])
    options["data"] = ConversationInitiationData(**options.get("data", {}))
    assert exactly(said(**options)) == exactly(entry["frame"])


@pytest.mark.parametrize("entry", SETUPS)
def test_options_make_the_golden_setup(entry):
    assert exactly(json.loads(setup_message(on_prem(entry["opening"], OURS)))) == exactly(entry["frame"])


# Initiation


def test_the_three_dicts_are_always_there_and_the_client_names_itself():
    assert said() == {
        "type": "conversation_initiation_client_data",
        "custom_llm_extra_body": {},
        "conversation_config_override": {},
        "dynamic_variables": {},
        "source_info": {"source": "python_sdk", "version": VERSION},
    }


def test_options_that_are_none_are_empty():
    data = ConversationInitiationData(None, None, None, None)
    assert (data.extra_body, data.conversation_config_override, data.dynamic_variables) == ({}, {}, {})
    assert data.user_id is None
    assert ConversationInitiationData().extra_body is not ConversationInitiationData().extra_body


@pytest.mark.parametrize(
    ("constructor", "config", "sent"),
    [("a", "b", "a"), ("a", None, "a"), (None, "b", "b"), ("", "b", "b"), (None, None, None), ("", "", None)],
)
def test_the_user_id_of_the_constructor_comes_first(constructor, config, sent):
    assert said(ConversationInitiationData(user_id=config), constructor).get("user_id") == sent


@given(
    st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    st.none() | st.dictionaries(st.sampled_from(["text_only", "client_events"]), JSON),
    st.booleans(),
)
def test_text_only_is_asked_for_unless_the_options_say_already_and_they_stay_as_they_are(
    override, conversation, text_only
):
    override = {**override, "conversation": conversation}
    before = copy.deepcopy(override)
    sent = said(ConversationInitiationData(conversation_config_override=override), text_only=text_only)
    assert override == before
    expected = copy.deepcopy(override)
    if text_only:
        expected["conversation"] = {"text_only": True, **(conversation or {})}
    assert exactly(sent["conversation_config_override"]) == exactly(expected)


def test_an_override_of_the_conversation_that_is_no_dict_is_refused():
    data = ConversationInitiationData(conversation_config_override={"conversation": "text"})
    with pytest.raises(ConfigurationError, match="is not a dict"):
        initiation_message(data, text_only=True)


def test_options_that_json_cannot_express_are_refused():
    with pytest.raises(ProtocolError, match="cannot be written as JSON"):
        initiation_message(ConversationInitiationData(dynamic_variables={"x": object()}))


# Beyond the reference


def test_a_typed_override_is_said_like_the_dict_that_it_stands_for():
    typed = ConfigurationOverride(tts=TtsOverride(speed=1.1), conversation=ConversationOverride())
    data = ConversationInitiationData(conversation_config_override=typed)
    assert data.conversation_config_override == {"tts": {"speed": 1.1}}
    assert said(data) == said(
        ConversationInitiationData(conversation_config_override={"tts": {"speed": 1.1}})
    )


@pytest.mark.parametrize("override", [[], "text_only", TtsOverride(speed=1.1), 5])
def test_an_override_that_is_neither_typed_nor_a_dict_is_refused(override):
    with pytest.raises(ConfigurationError, match="neither a ConfigurationOverride nor a dict"):
        ConversationInitiationData(conversation_config_override=override)


@pytest.mark.parametrize("wanted", [True, False, None])
def test_a_typed_wish_for_text_only_comes_before_the_conversations(wanted):
    typed = ConfigurationOverride(conversation=ConversationOverride(text_only=wanted))
    sent = said(ConversationInitiationData(conversation_config_override=typed), text_only=True)
    assert sent["conversation_config_override"] == {
        "conversation": {"text_only": True if wanted is None else wanted}
    }


def test_newer_options_are_said_when_they_are_given():
    data = ConversationInitiationData(
        branch_id="branch_1",
        starting_workflow_node_id="node_1",
        procedure_ids=[],
        start_procedure_ids=["p_1"],
        tool_mock_config=ToolMocking(mocking_strategy="all"),
    )
    sent = said(data)
    assert {key: sent[key] for key in sent.keys() - said().keys()} == {
        "branch_id": "branch_1",
        "starting_workflow_node_id": "node_1",
        "procedure_ids": [],
        "start_procedure_ids": ["p_1"],
        "tool_mock_config": {"mocking_strategy": "all"},
    }
    raw = ConversationInitiationData(tool_mock_config={"mocking_strategy": "all"})
    assert said(raw)["tool_mock_config"] == {"mocking_strategy": "all"}


@pytest.mark.parametrize(
    ("conversation", "config", "sent"), [("a", "b", "a"), (None, "b", "b"), ("a", None, None)]
)
def test_the_environment_is_said_if_the_options_have_one(conversation, config, sent):
    message = said(ConversationInitiationData(environment=config), environment=conversation)
    assert message.get("environment") == sent


def test_the_source_may_be_another_in_part():
    assert said(ConversationInitiationData(source_info=SourceInfo(version="9")))["source_info"] == {
        "source": "python_sdk",
        "version": "9",
    }
    assert said(ConversationInitiationData(source_info=SourceInfo(source="unknown")))["source_info"] == {
        "source": "unknown",
        "version": VERSION,
    }


def test_more_procedures_than_the_server_starts_are_refused():
    assert said(ConversationInitiationData(start_procedure_ids=["p"] * 5))["start_procedure_ids"] == ["p"] * 5
    with pytest.raises(ConfigurationError, match="start_procedure_ids holds 6 ids; give at most 5"):
        ConversationInitiationData(start_procedure_ids=["p"] * 6)


def test_options_show_no_values():
    data = ConversationInitiationData({"k": "hush"}, {"k": "hush"}, {"secret__k": "hush"}, "hush")
    assert "hush" not in repr(data)


# On-prem


def test_a_webhook_shows_neither_its_secret_nor_its_query():
    webhook = PostCallWebhookConfig("https://hooks.example/t?token=hush", "hush" * 4)
    assert "hush" not in repr(webhook)
    assert "hmac_secret='***'" in repr(webhook)
    assert "hmac_secret=None" in repr(PostCallWebhookConfig("https://hooks.example/t"))


def test_a_webhook_without_a_secret_says_nothing_of_one():
    assert PostCallWebhookConfig("https://a").to_dict() == {"url": "https://a"}
    assert PostCallWebhookConfig("https://a", "s" * 16).to_dict() == {
        "url": "https://a",
        "hmac_secret": "s" * 16,
    }


@pytest.mark.parametrize("kind", ["transcription", "audio"])
def test_a_webhook_is_given_in_one_form_not_both(kind):
    typed = PostCallWebhookConfig("https://hooks.example")
    both: dict[str, Any] = {
        f"post_call_{kind}_webhook_url": "https://old.example",
        f"post_call_{kind}_webhook": typed,
    }
    with pytest.raises(ValueError, match="not both") as caught:
        OnPremInitiationData(URL, **both)
    assert isinstance(caught.value, ConfigurationError)
    assert "old.example" not in str(caught.value)
    empty = OnPremInitiationData(URL, **{**both, f"post_call_{kind}_webhook_url": ""})
    assert json.loads(setup_message(empty))[f"post_call_{kind}_webhook"] == {"url": "https://hooks.example"}


def test_extra_fields_are_extra_ones_in_a_dict_of_their_own():
    extra = {"new_field": 1}
    data = OnPremInitiationData(URL, extra_setup_config=extra)
    assert data.extra_setup_config == extra
    assert data.extra_setup_config is not extra
    assert OnPremInitiationData(URL).extra_setup_config == {}
    assert OnPremInitiationData(URL, extra_setup_config={}).extra_setup_config == {}
    with pytest.raises(ValueError, match="is not a dict"):
        OnPremInitiationData(URL, extra_setup_config=["new_field"])  # type: ignore[arg-type]


def test_on_prem_options_show_nothing_but_where_the_server_is():
    data = OnPremInitiationData(
        "wss://hush@agent.internal/convai?key=hush",
        agent_config_dict={"k": "hush"},
        post_call_audio_webhook=PostCallWebhookConfig("https://a/hush", "hush" * 4),
        extra_setup_config={"k": "hush"},
    )
    assert "hush" not in repr(data)
    assert "agent.internal" in repr(data)


# Side by side with the vendor's own client


@pytest.mark.parametrize(
    "kind", ["ConversationInitiationData", "PostCallWebhookConfig", "OnPremInitiationData"]
)
def test_options_have_the_reference_signature_and_more_by_name_only(sdk, kind):
    ours = list(inspect.signature(globals()[kind]).parameters.values())
    theirs = list(inspect.signature(getattr(sdk, kind)).parameters.values())
    same, more = ours[: len(theirs)], ours[len(theirs) :]
    assert [(p.name, p.default, p.kind) for p in same] == [(p.name, p.default, p.kind) for p in theirs]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in more)
    assert bool(more) == (kind == "ConversationInitiationData")


@pytest.mark.parametrize("key", sorted(json.loads(setup_message(on_prem(SETUPS[1]["opening"], OURS)))))
def test_the_same_extra_fields_are_refused_as_by_the_reference(sdk, key):
    def refused(module: Any) -> bool:
        try:
            module.OnPremInitiationData(URL, extra_setup_config={key: 1})
        except ValueError:
            return True
        return False

    assert refused(OURS) == refused(sdk) == (key != "new_field")


@pytest.mark.parametrize("entry", SETUPS)
def test_the_setup_is_the_reference_one(sdk, entry):
    theirs = MagicMock(on_prem_config=on_prem(entry["opening"], sdk))
    reference = sdk.BaseConversation._create_on_prem_initiation_message(theirs)
    assert json.loads(setup_message(on_prem(entry["opening"], OURS))) == json.loads(reference)


@given(
    extra_body=st.none() | st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    override=st.none() | st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    variables=st.none() | st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    user_id=st.none() | st.text(max_size=5),
)
def test_a_spoken_conversation_opens_as_the_reference_does_but_for_the_version(
    sdk, extra_body, override, variables, user_id
):
    theirs = sdk.Conversation(
        MagicMock(),
        "agent_1",
        user_id,
        requires_auth=False,
        audio_interface=MagicMock(),
        config=sdk.ConversationInitiationData(extra_body, override, variables),
        client_tools=MagicMock(),
    )
    reference = json.loads(theirs._create_initiation_message())
    ours = said(
        ConversationInitiationData(extra_body, override, variables),
        user_id,
        version=reference["source_info"]["version"],
    )
    assert exactly(ours) == exactly(reference)
