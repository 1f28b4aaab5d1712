from __future__ import annotations

import subprocess
import sys
import threading
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convsm
from convsm import ConfigurationError, ConnectionFailed, ElevenLabs
from convsm.testing import LoopbackAgent
from convsm.transport import rest
from tests.transport.helpers import (  # noqa: F401 (a fixture)
    free_port,
    listener,
    nothing_is_left,
    secure,
    server_context,
)

KEY = "sk_secret"


@pytest.fixture(autouse=True)
def no_key_and_no_proxy_in_the_environment(monkeypatch):
    for name in ("ELEVENLABS_API_KEY", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def agent():
    with LoopbackAgent(api_key=KEY) as agent:
        yield agent


def response(body, status="200 OK", length=None, headers=""):
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    return head.encode() + body


def failure_of(answer):
    """Ask a server on this machine that answers with these bytes, whatever it is asked."""

    def serve(sock):
        assert sock.recv(65536)
        sock.sendall(answer)

    with listener(serve) as port, pytest.raises(ConnectionFailed) as raised:
        ElevenLabs(KEY, f"http://127.0.0.1:{port}").get_signed_url(agent_id="agent_1")
    assert KEY not in str(raised.value)
    return raised.value


# The request


def test_a_key_is_exchanged_for_a_signed_url(agent):
    answer = ElevenLabs(KEY, agent.base_url).get_signed_url(agent_id="agent_1")
    assert answer.signed_url == f"{agent.url}?agent_id=agent_1&conversation_signature=cvtkn+0%2Floopback"
    [request] = agent.requests
    assert request.headers["xi-api-key"] == KEY
    assert request.path == "/v1/convai/conversation/get-signed-url?agent_id=agent_1"
    assert request.status == 200


def test_the_path_of_the_vendors_client_leads_there_too(agent):
    client = ElevenLabs(KEY, agent.base_url + "/")
    assert client.conversational_ai.conversations.get_signed_url(agent_id="a").signed_url
    assert client._client_wrapper.get_base_url() == agent.base_url + "/"
    assert [urlsplit(request.path).path for request in agent.requests] == [
        "/v1/convai/conversation/get-signed-url"
    ]


def test_a_path_before_the_api_is_kept(agent):
    ElevenLabs(KEY, agent.base_url + "/behind/a/proxy/").get_signed_url(agent_id="a")
    assert agent.requests[0].path.startswith("/behind/a/proxy/v1/convai/conversation/get-signed-url?")


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text("abc &=#/+ü", min_size=1))
def test_any_agent_and_environment_arrive_as_they_are(agent_id, environment):
    with LoopbackAgent(api_key=KEY) as agent:
        ElevenLabs(KEY, agent.base_url).get_signed_url(agent_id=agent_id, environment=environment)
        query = parse_qs(urlsplit(agent.requests[0].path).query, keep_blank_values=True)
        assert query == {"agent_id": [agent_id], "environment": [environment]}


@pytest.mark.parametrize("environment", [None, ""])
def test_without_an_environment_none_is_named(agent, environment):
    ElevenLabs(KEY, agent.base_url).get_signed_url(agent_id="a", environment=environment)
    assert "environment" not in agent.requests[0].path


# The key


def test_the_key_may_come_from_the_environment(agent, monkeypatch):
    monkeypatch.setenv("ELEVENLABS_API_KEY", KEY)
    assert ElevenLabs(base_url=agent.base_url).get_signed_url(agent_id="a").signed_url
    with pytest.raises(ConnectionFailed):
        ElevenLabs("another", agent.base_url).get_signed_url(agent_id="a")


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_nothing_is_asked(agent, key, monkeypatch):
    monkeypatch.setenv("ELEVENLABS_API_KEY", "")
    with pytest.raises(ConfigurationError, match="needs an API key: pass api_key or set ELEVENLABS_API_KEY"):
        ElevenLabs(key, agent.base_url).get_signed_url(agent_id="a")
    assert agent.requests == []


@pytest.mark.parametrize("key", [KEY + "\n", KEY + "\r\nHost: elsewhere", "sk_sécret", "sk_\x00"])
def test_a_key_that_no_header_can_hold_is_refused_without_quoting_it(agent, key):
    with pytest.raises(ConfigurationError, match="line break") as raised:
        ElevenLabs(key, agent.base_url).get_signed_url(agent_id="a")
    assert "sk_" not in str(raised.value)
    assert agent.requests == []


@pytest.mark.parametrize(
    "base_url", ["http://api.elevenlabs.io", "http://192.168.0.1:8000", "http://a.test/"]
)
def test_a_key_never_goes_unencrypted_to_another_machine(base_url, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", None)
    with pytest.raises(ConfigurationError, match="An API key does not go to") as raised:
        ElevenLabs(KEY, base_url).get_signed_url(agent_id="a")
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("base_url", ["", "api.elevenlabs.io", "ftp://127.0.0.1", "https://", "file:///etc"])
def test_a_base_url_that_is_none_is_refused(base_url):
    with pytest.raises(ConfigurationError):
        ElevenLabs(KEY, base_url).get_signed_url(agent_id="a")


def test_neither_key_nor_signature_is_shown(agent):
    client = ElevenLabs(KEY, agent.base_url.replace("//", "//user:password@"))
    assert repr(client) == f"ElevenLabs(base_url='http://***@127.0.0.1:{agent.port}')"
    answer = ElevenLabs(KEY, agent.base_url).get_signed_url(agent_id="agent_1")
    assert "conversation_signature=***" in repr(answer)
    assert "cvtkn" not in repr(answer)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        answer.signed_url = "another"  # type: ignore[misc]


# Failures


def test_a_wrong_key_is_told_by_its_status(agent):
    with pytest.raises(ConnectionFailed, match="HTTP status 401") as raised:
        ElevenLabs("sk_wrong", agent.base_url).get_signed_url(agent_id="a")
    assert raised.value.status == 401
    assert "sk_wrong" not in str(raised.value)


@pytest.mark.parametrize("status", [400, 403, 404, 422, 429, 500, 503])
def test_any_refusal_is_told_by_its_status(status):
    failure = failure_of(response(b'{"detail": "sk_secret"}', f"{status} No"))
    assert failure.status == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_with_the_key(agent, status):
    location = f"Location: {agent.base_url}/v1/convai/conversation/get-signed-url?agent_id=a\r\n"
    failure = failure_of(response(b"", f"{status} Moved", headers=location))
    assert failure.status == status
    assert agent.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'"signed_url"',
        b"{}",
        b'{"signed_url": null}',
        b'{"signed_url": 5}',
        b'{"signed_url": "\xff"}',
        b'{"signed_url": "' + b"x" * 100_000 + b'"}',
    ],
)
def test_an_answer_that_holds_no_url_is_told(body):
    failure = failure_of(response(body))
    assert str(failure) == "no signed URL: the API's answer could not be read"
    assert failure.status is None


def test_of_a_huge_answer_only_the_beginning_is_read():
    sent = 0

    def flood(sock):
        nonlocal sent
        sock.recv(65536)
        sock.sendall(response(b"", length=10**12))
        while sent < 1 << 30:
            sent += sock.send(b" " * 65536)

    with listener(flood) as port, pytest.raises(ConnectionFailed, match="could not be read"):
        ElevenLabs(KEY, f"http://127.0.0.1:{port}").get_signed_url(agent_id="a")
    # What was read, and what the kernels of both ends had taken.
    assert sent < 1 << 30


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 \xff\r\n", response(b'{"signed', length=1000)]
)
def test_an_answer_that_is_no_http_or_not_whole_is_told(answer):
    assert str(failure_of(answer)).startswith("no signed URL: the API")


def test_an_api_that_cannot_be_reached_is_told():
    with pytest.raises(ConnectionFailed, match="was not reached"):
        ElevenLabs(KEY, f"http://127.0.0.1:{free_port()}").get_signed_url(agent_id="a")


def test_an_api_that_does_not_answer_is_told_in_time(monkeypatch):
    monkeypatch.setattr(rest, "TIMEOUT_SECONDS", 0.05)
    over = threading.Event()
    with listener(lambda sock: over.wait(10)) as port:
        with pytest.raises(ConnectionFailed, match="was not reached"):
            ElevenLabs(KEY, f"http://127.0.0.1:{port}").get_signed_url(agent_id="a")
        over.set()


def test_a_certificate_that_is_not_trusted_stops_the_key():
    received = []

    def serve(sock):
        received.append(secure(sock, server_context()).recv(1))

    with listener(serve) as port, pytest.raises(ConnectionFailed, match="was not reached"):
        ElevenLabs(KEY, f"https://127.0.0.1:{port}").get_signed_url(agent_id="a")
    assert received == []


# Proxies


def test_a_proxy_of_the_environment_never_sees_a_key_in_the_clear(agent, monkeypatch):
    proxied = []
    with listener(lambda sock: proxied.append(sock.recv(65536))) as port:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        assert ElevenLabs(KEY, agent.base_url).get_signed_url(agent_id="a").signed_url
    assert proxied == []


def test_https_goes_through_the_environments_proxy_as_a_tunnel(monkeypatch):
    proxied = []

    def serve(sock):
        proxied.append(sock.recv(65536))
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with listener(serve) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        with pytest.raises(ConnectionFailed):
            ElevenLabs(KEY, "https://api.example").get_signed_url(agent_id="a")
    assert proxied[0].startswith(b"CONNECT api.example:443 ")
    assert KEY.encode() not in proxied[0]


# Imports


def test_importing_the_client_imports_no_http_client():
    assert convsm.ElevenLabs is ElevenLabs
    program = (
        "import sys; from convsm.transport.rest import ElevenLabs; ElevenLabs('key');"
        "print([name for name in ('urllib.request', 'http.client', 'urllib.error') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
