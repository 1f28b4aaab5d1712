from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from convsm import (
    ConfigurationError,
    ConversationInitiationData,
    ElevenLabs,
    OnPremInitiationData,
    SessionOptions,
)
from convsm.protocols.messages import MultimodalMessage
from convsm.runtime.elevenlabs import ElevenLabsOpening
from convsm.runtime.wiring import multimodal_message
from convsm.version import VERSION

SIGNED = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a&conversation_signature=x+y%2Fz"
PLAIN = ElevenLabsOpening(
    client=ElevenLabs(api_key="key"),
    agent_id="agent 1",
    user_id=None,
    requires_auth=False,
    config=ConversationInitiationData(),
    on_prem_config=None,
    environment=None,
    has_audio=True,
    allow_insecure=False,
)


def opening(**changes: Any) -> ElevenLabsOpening:
    return attrs.evolve(PLAIN, **changes)


def client_at(base_url: str, **conversations: Any) -> Any:
    """An object with the two attributes that are needed and no other."""
    return SimpleNamespace(
        _client_wrapper=SimpleNamespace(get_base_url=lambda: base_url),
        conversational_ai=SimpleNamespace(conversations=SimpleNamespace(**conversations)),
    )


def asked(base_url="https://api.elevenlabs.io", **changes):
    """What a client is asked for when a signed URL is fetched."""
    requests = []
    client = client_at(base_url, get_signed_url=lambda **arguments: requests.append(arguments))
    opening(client=client, requires_auth=True, **changes).ask_signature()
    [request] = requests
    return request


# Where


def test_a_public_agent_is_reached_at_the_clients_base_url():
    assert opening().url() == (
        "wss://api.elevenlabs.io/v1/convai/conversation"
        f"?agent_id=agent%201&source=python_sdk&version={VERSION}"
    )


def test_the_environment_is_a_parameter_of_the_url():
    url = opening(environment="staging area").url()
    assert url.endswith(f"&version={VERSION}&environment=staging%20area")


def test_a_signed_url_is_kept_to_the_letter_and_only_appended_to():
    url = opening(requires_auth=True, environment="staging").url(SIGNED)
    assert url == f"{SIGNED}&source=python_sdk&version={VERSION}&environment=staging"


def test_on_prem_is_verbatim_and_wins_over_requires_auth():
    on_prem = OnPremInitiationData("ws://localhost:8000/sagemaker/convai/conversation?conversation_id=1+2")
    there = opening(on_prem_config=on_prem, requires_auth=True, client=None, environment="staging")
    assert not there.needs_signature()
    assert there.url() == "ws://localhost:8000/sagemaker/convai/conversation?conversation_id=1+2"


def test_a_signature_is_needed_when_authentication_is_required():
    assert opening(requires_auth=True).needs_signature()
    assert not opening().needs_signature()


def test_the_client_is_asked_for_a_signature_by_agent_and_environment():
    assert asked() == {"agent_id": "agent 1"}
    assert asked(environment="staging") == {"agent_id": "agent 1", "environment": "staging"}


def test_without_a_client_there_is_nobody_to_ask():
    with pytest.raises(ConfigurationError, match="A client is needed unless on_prem_config is given"):
        opening(client=None).url()
    with pytest.raises(ConfigurationError, match="A client is needed to fetch a signed URL"):
        opening(client=None).ask_signature()


# Security


def test_speech_goes_unencrypted_to_this_machine_only():
    with pytest.raises(ConfigurationError, match="not encrypted"):
        opening(client=client_at("http://example.com")).url()
    with pytest.raises(ConfigurationError, match="not encrypted"):
        opening(on_prem_config=OnPremInitiationData("ws://10.0.0.1/convai/conversation")).url()
    assert opening(client=client_at("http://127.0.0.1:80")).url().startswith("ws://127.0.0.1:80/")


def test_a_private_network_may_do_without_encryption_if_that_is_asked_for():
    on_prem = OnPremInitiationData("ws://10.0.0.1/convai/conversation")
    assert opening(on_prem_config=on_prem, allow_insecure=True).url() == on_prem.on_prem_conversation_url


def test_a_signed_url_without_encryption_is_refused():
    with pytest.raises(ConfigurationError, match="not encrypted"):
        opening(requires_auth=True).url("ws://example.com/?conversation_signature=secret")


@pytest.mark.parametrize("allow_insecure", [False, True])
def test_no_client_sends_its_key_unencrypted_to_another_machine(allow_insecure):
    with pytest.raises(ConfigurationError, match="An API key does not go to"):
        asked("http://example.com", allow_insecure=allow_insecure)


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:8000", "https://api.elevenlabs.io", "wss://x.example"]
)
def test_a_key_goes_to_this_machine_or_encrypted(base_url):
    assert asked(base_url) == {"agent_id": "agent 1"}


# What is said first


def opening_messages(**changes):
    return [json.loads(frame) for frame in opening(**changes).codec().opening()]


def test_the_initiation_is_the_first_message():
    [message] = opening_messages(user_id="me", config=ConversationInitiationData({"a": 1}, {}, {"b": 2}))
    assert message == {
        "type": "conversation_initiation_client_data",
        "custom_llm_extra_body": {"a": 1},
        "conversation_config_override": {},
        "dynamic_variables": {"b": 2},
        "source_info": {"source": "python_sdk", "version": VERSION},
        "user_id": "me",
    }


def test_on_prem_the_setup_goes_before_the_initiation():
    messages = opening_messages(on_prem_config=OnPremInitiationData("wss://x/y"))
    assert [message["type"] for message in messages] == [
        "enclave_setup_config",
        "conversation_initiation_client_data",
    ]


def test_without_an_audio_interface_the_conversation_is_text_only_in_the_nested_place():
    assert opening(has_audio=False).is_text_only
    [message] = opening_messages(has_audio=False)
    assert message["conversation_config_override"] == {"conversation": {"text_only": True}}


@pytest.mark.parametrize(
    ("override", "is_text_only"),
    [
        ({"conversation": {"text_only": True}}, True),
        ({"conversation": {"text_only": False}}, False),
        ({"conversation": {}}, False),
        ({"conversation": None}, False),
        ({"text_only": True}, False),
        ({}, False),
    ],
)
def test_the_configuration_may_ask_for_text_only_although_there_is_an_interface(override, is_text_only):
    config = ConversationInitiationData(conversation_config_override=override)
    assert opening(config=config).is_text_only is is_text_only


def test_the_policy_for_equal_ids_reaches_the_codec():
    frame = b'{"type":"interruption","interruption_event":{"event_id":7}}'
    fresh = [opening(equal_id=policy).codec().decode(frame)[0].fresh_from for policy in ("play", "drop")]  # type: ignore[attr-defined]
    assert fresh == [7, 8]
    with pytest.raises(ConfigurationError, match="equal_id"):
        opening(equal_id="perhaps").codec()


def test_the_sessions_options_are_completed():
    options = SessionOptions(close_seconds=0.5)
    completed = opening(has_audio=False).session_options(options, audio_required=False)
    assert completed == SessionOptions(close_seconds=0.5, text_only=True, needs_audio=False)
    assert opening().session_options(None, audio_required=True) == SessionOptions()


# Messages


def test_a_multimodal_message_takes_text_one_file_or_several():
    assert multimodal_message("hi", None, None) == MultimodalMessage("hi")
    assert multimodal_message(None, "f1", None) == MultimodalMessage(None, ("f1",))
    assert multimodal_message("", "f1", ["f2", "f3"]) == MultimodalMessage(None, ("f2", "f3"))
    assert multimodal_message("hi", "f1", []) == MultimodalMessage("hi", ("f1",))


@pytest.mark.parametrize("arguments", [(None, None, None), ("", "", [])])
def test_a_multimodal_message_of_nothing_is_refused(arguments):
    with pytest.raises(ValueError, match="At least one of text, file_id, or file_ids must be provided"):
        multimodal_message(*arguments)
