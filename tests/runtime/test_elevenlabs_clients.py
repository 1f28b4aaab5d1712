"""What conversations ask of a client, with all four clients, over real HTTP."""

from __future__ import annotations

import asyncio
import inspect
import io
import logging
import warnings
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from convsm import AsyncElevenLabs, ConfigurationError, ConnectionFailed, ElevenLabs
from convsm.protocols.elevenlabs_opening import ConversationInitiationData
from convsm.protocols.elevenlabs_overrides import ConfigurationOverride, ConversationOverride
from convsm.runtime.elevenlabs import ElevenLabsOpening, upload_file
from convsm.testing import LoopbackAgent

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import elevenlabs
    from elevenlabs.core.api_error import ApiError

KEY = "sk_secret"


@pytest.fixture(autouse=True)
def no_key_and_no_proxy_in_the_environment(monkeypatch):
    for name in ("ELEVENLABS_API_KEY", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def agent():
    with LoopbackAgent(api_key=KEY, requires_auth=True) as agent:
        yield agent


@pytest.fixture(params=["ours", "ours, async", "vendor's", "vendor's, async"])
def make_client(request):
    kind = {
        "ours": ElevenLabs,
        "ours, async": AsyncElevenLabs,
        "vendor's": elevenlabs.ElevenLabs,
        "vendor's, async": elevenlabs.AsyncElevenLabs,
    }[request.param]
    return lambda base_url, key=KEY: kind(api_key=key, base_url=base_url)


def settled(call, *arguments, **options):
    """Call, and wait for what is returned if it is to be awaited, as a shell does."""

    async def awaited():
        answer = call(*arguments, **options)
        return await answer if inspect.isawaitable(answer) else answer

    return asyncio.run(awaited())


def opening(client, **changes):
    plain = ElevenLabsOpening(
        client=client,
        agent_id="agent 1",
        user_id=None,
        requires_auth=True,
        config=ConversationInitiationData(),
        on_prem_config=None,
        environment=None,
        has_audio=True,
        allow_insecure=False,
    )
    return attrs.evolve(plain, **changes)


# Signatures


def test_every_client_fetches_a_signed_url(agent, make_client):
    asking = opening(make_client(agent.base_url))
    answer = settled(asking.ask_signature)
    assert asking.url(answer.signed_url).startswith(
        f"{agent.url}?agent_id=agent%201&conversation_signature=cvtkn+0%2Floopback&source=python_sdk&"
    )
    [request] = agent.requests
    assert request.headers["xi-api-key"] == KEY


def test_every_client_is_told_the_environment_and_the_branch(agent, make_client):
    config = ConversationInitiationData(environment="staging", branch_id="branch_1")
    settled(opening(make_client(agent.base_url), config=config).ask_signature)
    asked = urlsplit(agent.requests[0].path)
    assert asked.path == "/v1/convai/conversation/get-signed-url"
    assert parse_qs(asked.query) == {
        "agent_id": ["agent 1"],
        "environment": ["staging"],
        "branch_id": ["branch_1"],
    }


def test_the_conversations_environment_comes_before_the_configurations():
    config = ConversationInitiationData(environment="staging")
    there = opening(ElevenLabs(KEY), config=config, requires_auth=False)
    assert there.url().endswith("&environment=staging")
    assert attrs.evolve(there, environment="test").url().endswith("&environment=test")


def test_no_client_sends_its_key_unencrypted_to_another_machine(make_client):
    client = make_client("http://api.example")
    with pytest.raises(ConfigurationError, match="An API key does not go to"):
        opening(client).ask_signature()
    with pytest.raises(ConfigurationError, match="An API key does not go to"):
        upload_file(client, "conv_1", b"x")


# Uploads


@pytest.mark.parametrize("kind", ["bytes", "path", "file"])
def test_every_client_uploads_a_file(agent, make_client, tmp_path, kind):
    path = tmp_path / "photo.png"
    path.write_bytes(b"\x89PNG\r\n\x00")
    file = {"bytes": path.read_bytes(), "path": path, "file": io.BytesIO(path.read_bytes())}[kind]
    name = None if kind == "path" else "photo.png"
    assert settled(upload_file, make_client(agent.base_url), "conv_1", file, name) == "file_0"
    [uploaded] = agent.uploads
    assert (uploaded.conversation_id, uploaded.name, uploaded.content_type, uploaded.content) == (
        "conv_1",
        "photo.png",
        "image/png",
        b"\x89PNG\r\n\x00",
    )


def test_every_clients_refusal_is_raised(agent, make_client):
    agent.post_answer = (413, b"{}")
    with pytest.raises((ConnectionFailed, ApiError)) as raised:
        settled(upload_file, make_client(agent.base_url), "conv_1", b"x", "a.txt")
    assert KEY not in str(raised.value)


def test_what_cannot_be_uploaded_is_refused_by_all(agent, make_client, tmp_path):
    client = make_client(agent.base_url)
    for file, error in ((5, ConfigurationError), (tmp_path / "nowhere", FileNotFoundError)):
        with pytest.raises(error):
            settled(upload_file, client, "conv_1", file)
    with pytest.raises(ConfigurationError, match=r"no conversation to upload to yet; call wait_until_ready"):
        upload_file(client, None, b"x")
    assert agent.requests == []


def test_without_a_client_that_uploads_nothing_is_uploaded():
    with pytest.raises(ConfigurationError, match="Only an ElevenLabs client takes files"):
        upload_file(None, "conv_1", b"x")
    poor = SimpleNamespace(
        _client_wrapper=SimpleNamespace(get_base_url=lambda: "https://api.example"),
        conversational_ai=SimpleNamespace(conversations=SimpleNamespace()),
    )
    with pytest.raises(
        ConfigurationError, match=r"The client cannot upload files; pass a convsm\.ElevenLabs"
    ):
        upload_file(poor, "conv_1", b"x")


# Text only


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    ("text_only", "has_audio", "warns"),
    [(False, False, True), (False, True, False), (True, True, False), (None, False, False)],
)
def test_a_wish_for_audio_that_nobody_would_hear_is_warned_of(raw, text_only, has_audio, warns, caplog):
    override = ConfigurationOverride(conversation=ConversationOverride(text_only=text_only))
    config = ConversationInitiationData(conversation_config_override=override.to_dict() if raw else override)
    asking = opening(None, config=config, has_audio=has_audio)
    with caplog.at_level(logging.WARNING, "convsm.session"):
        asking.codec()
    assert asking.is_text_only is (text_only is True or not has_audio)
    assert ["text_only=False" in record.message for record in caplog.records] == [True] * warns
