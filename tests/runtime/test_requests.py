"""Where a conversation is asked for, by which client, and that no secret shows anywhere."""

from __future__ import annotations

import logging
import warnings
from types import SimpleNamespace
from urllib.parse import quote

import httpx
import pytest

from convsm import (
    ConnectionFailed,
    ConversationInitiationData,
    ElevenLabs,
    OnPremInitiationData,
    PostCallWebhookConfig,
)
from convsm.testing import HangUp, LoopbackAgent, RefuseHandshake, SendRaw
from convsm.version import VERSION
from tests.runtime.helpers import Log, conversation, nothing_is_left  # noqa: F401 (a fixture)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import elevenlabs

KEY = "sk_0123456789abcdef"
HMAC_SECRET = "hmac-secret-0123456789"
SIGNATURE = "cvtkn"  # what the loopback agent signs with
CONVERSATION = "/v1/convai/conversation"
QUERY = f"source=python_sdk&version={VERSION}"


pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


@pytest.fixture
def private():
    """An agent that takes signed URLs only, and signs for one key."""
    with LoopbackAgent(api_key=KEY, requires_auth=True) as agent:
        yield agent


def stand_in(base_url, get_signed_url=None):
    """An object with the two attributes that are needed and no other."""
    return SimpleNamespace(
        _client_wrapper=SimpleNamespace(get_base_url=lambda: base_url),
        conversational_ai=SimpleNamespace(conversations=SimpleNamespace(get_signed_url=get_signed_url)),
    )


def request_of(agent, **options):
    """The upgrade request of a conversation that gets ready."""
    with conversation(agent, **options) as call:
        return call.start()


# Public agents


def test_a_public_agent_is_asked_for_by_id_source_and_version(agent):
    connection = request_of(agent, agent_id="agent 1/ü", environment="staging")
    assert connection.request_path == (
        f"{CONVERSATION}?agent_id={quote('agent 1/ü', safe='')}&{QUERY}&environment=staging"
    )


def test_no_key_and_no_origin_go_with_the_upgrade(agent):
    connection = request_of(agent, client=ElevenLabs(api_key=KEY, base_url=agent.base_url))
    assert connection.request_path == f"{CONVERSATION}?agent_id=agent_1&{QUERY}"
    assert "xi-api-key" not in connection.request_headers
    assert "Origin" not in connection.request_headers
    assert "Sec-WebSocket-Protocol" not in connection.request_headers


@pytest.mark.parametrize("base", ["", "/", "/some/proxy/"])
def test_a_base_urls_path_is_kept(agent, base):
    connection = request_of(agent, client=ElevenLabs(base_url=agent.base_url + base))
    assert connection.request_path == f"{base.rstrip('/')}{CONVERSATION}?agent_id=agent_1&{QUERY}"


def test_the_users_id_of_the_conversation_comes_before_the_one_of_its_configuration(agent):
    config = ConversationInitiationData(user_id="from the configuration")
    connection = request_of(agent, user_id="from the conversation", config=config)
    assert connection.initiation["user_id"] == "from the conversation"


def test_the_configuration_is_sent_and_not_changed(agent):
    override = {"agent": {"language": "et"}}
    config = ConversationInitiationData({"temperature": 1}, override, {"name": "Ann"})
    connection = request_of(agent, config=config)
    assert connection.initiation["custom_llm_extra_body"] == {"temperature": 1}
    assert connection.initiation["dynamic_variables"] == {"name": "Ann"}
    assert connection.initiation["conversation_config_override"] == {
        "agent": {"language": "et"},
        "conversation": {"text_only": True},
    }
    assert override == {"agent": {"language": "et"}}


# Private agents


def sdk(agent, key=KEY):
    return elevenlabs.ElevenLabs(api_key=key, base_url=agent.base_url, httpx_client=httpx.Client())


def close(client):
    client._client_wrapper.httpx_client.httpx_client.close()


def test_the_real_client_serves_a_public_agent(agent):
    client = sdk(agent)
    assert request_of(agent, client=client).request_path == f"{CONVERSATION}?agent_id=agent_1&{QUERY}"
    close(client)


@pytest.mark.parametrize("kind", ["elevenlabs.ElevenLabs", "convsm.ElevenLabs"])
def test_either_client_fetches_a_signed_url(private, kind):
    is_real = kind == "elevenlabs.ElevenLabs"
    client = sdk(private) if is_real else ElevenLabs(api_key=KEY, base_url=private.base_url)
    connection = request_of(private, client=client, requires_auth=True, environment="staging")
    if is_real:
        close(client)
    # To the letter: the plus and the escaped slash are what was signed.
    assert connection.request_path == (
        f"{CONVERSATION}?agent_id=agent_1&conversation_signature=cvtkn+0%2Floopback&{QUERY}&environment=staging"
    )
    assert "xi-api-key" not in connection.request_headers
    fetched = private.requests[0]
    assert fetched.headers["xi-api-key"] == KEY
    assert "agent_id=agent_1" in fetched.path
    assert "environment=staging" in fetched.path


def test_a_stand_in_with_the_two_attributes_that_are_needed_will_do(private):
    asked = []

    def get_signed_url(**arguments):
        asked.append(arguments)
        return SimpleNamespace(signed_url=private.sign("agent_1"))

    client = stand_in(private.base_url, get_signed_url)
    request_of(private, client=client, requires_auth=True)
    assert asked == [{"agent_id": "agent_1"}]


def test_each_start_fetches_a_url_of_its_own(private):
    client = ElevenLabs(api_key=KEY, base_url=private.base_url)
    with conversation(private, client=client, requires_auth=True) as call:
        first = call.start()
        call.conversation.end_session()
        call.finish()
        second = call.start(number=1)
    assert "cvtkn+0" in first.request_path
    assert "cvtkn+1" in second.request_path


def test_a_wrong_key_is_told_with_its_status(private):
    client = ElevenLabs(api_key="wrong", base_url=private.base_url)
    with conversation(private, client=client, requires_auth=True) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match="401") as failure:
            call.finish()
        assert failure.value.status == 401
        assert call.details.reason == "error"


def test_an_error_of_the_real_client_is_told_with_its_status(private):
    client = sdk(private, "wrong")
    with conversation(private, client=client, requires_auth=True) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match="HTTP 401") as failure:
            call.finish()
        assert failure.value.status == 401
    close(client)


def test_without_a_client_the_failure_says_what_to_pass(agent):
    with conversation(agent, client=None) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match="pass an ElevenLabs"):
            call.finish()


# On-prem


def test_on_prem_is_verbatim_and_says_its_setup_first(agent):
    path = "/sagemaker/convai/conversation?conversation_id=a+b%2Fc"
    webhook = PostCallWebhookConfig("https://example.com/hook", HMAC_SECRET)
    on_prem = OnPremInitiationData(
        f"ws://127.0.0.1:{agent.port}{path}", post_call_transcription_webhook=webhook
    )
    connection = request_of(agent, on_prem_config=on_prem, requires_auth=True, environment="staging")
    assert connection.request_path == path
    setup, initiation = (received.message for received in connection.received)
    assert setup["type"] == "enclave_setup_config"
    assert setup["post_call_transcription_webhook"] == {
        "url": "https://example.com/hook",
        "hmac_secret": HMAC_SECRET,
    }
    assert initiation["type"] == "conversation_initiation_client_data"
    assert len(agent.requests) == 1


# Security


@pytest.mark.parametrize("requires_auth", [False, True])
def test_neither_speech_nor_key_goes_unencrypted_to_another_machine(requires_auth):
    client = ElevenLabs(api_key=KEY, base_url="http://192.0.2.1")
    with conversation(None, client=client, requires_auth=requires_auth) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match=r"192\.0\.2\.1.* use wss://"):
            call.finish()


def test_a_client_that_does_not_look_where_its_key_goes_is_not_asked():
    asked = []
    client = stand_in("http://192.0.2.1", lambda **arguments: asked.append(arguments))
    with conversation(None, client=client, requires_auth=True, allow_insecure=True) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match="An API key does not go to"):
            call.finish()
    assert asked == []


def all_texts(error):
    """The texts of an error and of what it came from."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    return texts


@pytest.mark.parametrize(
    "script",
    [[HangUp()], [SendRaw("no JSON"), SendRaw('{"type":"audio"}'), HangUp()], [RefuseHandshake(403)]],
    ids=["good", "malformed", "refused"],
)
@pytest.mark.parametrize("kind", ["convsm", "elevenlabs"])
def test_no_secret_is_in_a_log_an_error_or_a_recording(script, kind, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    texts = Log()
    with LoopbackAgent(script, api_key=KEY, requires_auth=True) as agent:
        client = sdk(agent) if kind == "elevenlabs" else ElevenLabs(api_key=KEY, base_url=agent.base_url)
        config = ConversationInitiationData(dynamic_variables={"secret__token": HMAC_SECRET})
        with conversation(
            agent,
            client=client,
            requires_auth=True,
            config=config,
            record=tmp_path / "recording.jsonl",
            callback_disconnect=lambda details: texts.add(repr(details)),
            callback_state_change=lambda change: texts.add(repr(change)),
        ) as call:
            call.conversation.start_session()
            try:
                call.finish()
            except ConnectionFailed as failure:
                for text in all_texts(failure):
                    texts.add(text)
        if kind == "elevenlabs":
            close(client)
    assert texts.entries
    written = [
        caplog.text,
        (tmp_path / "recording.jsonl").read_text(),
        *texts.entries,
        repr(call.conversation),
    ]
    for secret in (KEY, SIGNATURE, HMAC_SECRET):
        assert not [text for text in written if secret in text]


def test_no_secret_of_an_on_prem_setup_is_in_a_log_an_error_or_a_recording(agent, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    on_prem = OnPremInitiationData(
        f"ws://127.0.0.1:{agent.port}{CONVERSATION}?token={SIGNATURE}",
        post_call_audio_webhook=PostCallWebhookConfig("https://example.com/hook", HMAC_SECRET),
    )
    with conversation(agent, on_prem_config=on_prem, record=tmp_path / "recording.jsonl") as call:
        call.start()
        call.conversation.end_session()
        call.finish()
    written = [caplog.text, (tmp_path / "recording.jsonl").read_text(), repr(on_prem)]
    for secret in (SIGNATURE, HMAC_SECRET):
        assert not [text for text in written if secret in text]


def test_a_failing_clients_own_words_are_not_told_for_they_may_hold_the_key(caplog):
    caplog.set_level(logging.DEBUG)

    def fail(**_):
        raise RuntimeError(f"bad key {KEY}")

    with conversation(None, client=stand_in("https://api.elevenlabs.io", fail), requires_auth=True) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match="RuntimeError") as failure:
            call.finish()
        assert not [text for text in [*all_texts(failure.value), repr(call.details)] if KEY in text]
    assert KEY not in caplog.text
