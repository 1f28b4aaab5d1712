"""Conversations through an HTTP proxy and with further headers, with both transports."""

from __future__ import annotations

import logging
import threading
from base64 import b64encode

import pytest

from convsm.errors import ConfigurationError
from convsm.machine.events import ConnectionFailed, SocketClosed, SocketOpened
from convsm.testing import Close, LoopbackAgent, RefuseHandshake, SendRaw
from convsm.transport.failures import Explained
from convsm.transport.proxy import Proxy, Tunnel, proxy_for
from tests.transport.helpers import (  # noqa: F401 (fixtures)
    PATIENCE,
    client_context,
    connect_proxy,
    each_transport,
    free_port,
    in_thread,
    listener,
    make_transport,
    nothing_is_left,
    port_that_does_not_answer,
    tls_in_front_of,
    transport_to,
)


def end_through(proxy, url="ws://127.0.0.1:9/?conversation_signature=secret", **options):
    with transport_to(url, proxy=proxy, **options) as (_, inbox):
        return inbox.wait_for_end()


@pytest.fixture
def environment(monkeypatch):
    """Sets the variables of proxies, and no others of their kind."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch.setenv


# Through a proxy


def test_a_conversation_goes_through_the_proxy():
    with (
        LoopbackAgent([SendRaw("{}"), Close()], opening=False) as agent,
        connect_proxy() as (port, requests),
        transport_to(agent.url, proxy=f"http://127.0.0.1:{port}") as (_, inbox),
    ):
        assert inbox.wait_for_end() == SocketClosed(1000, "")
        assert inbox.messages == [b"{}"]
        target = f"127.0.0.1:{agent.port}"
    assert requests == [f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()]


def test_tls_goes_through_the_proxy_and_user_and_password_to_it_only():
    with (
        LoopbackAgent([SendRaw("{}"), Close()], opening=False) as agent,
        tls_in_front_of(agent) as url,
        connect_proxy() as (port, requests),
        transport_to(
            url, proxy=f"http://me%40home:p%3Ass@127.0.0.1:{port}", ssl_context=client_context()
        ) as (_, inbox),
    ):
        assert inbox.wait_for_end() == SocketClosed(1000, "")
        assert "proxy-authorization" not in agent.wait_for_connection().request_headers
    assert b"\r\nProxy-Authorization: Basic " + b64encode(b"me@home:p:ss") + b"\r\n" in requests[0]


def test_a_certificate_is_checked_through_the_proxy_too():
    with (
        LoopbackAgent(opening=False) as agent,
        tls_in_front_of(agent) as url,
        connect_proxy() as (port, _),
    ):
        assert "certificate is not trusted" in end_through(f"http://127.0.0.1:{port}", url).message


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
            ConnectionFailed(
                "the proxy refused the connection with HTTP status 407; give user and password in its URL",
                407,
            ),
        ),
        (
            b"HTTP/1.0 403 Forbidden\r\n\r\nsecret page",
            ConnectionFailed("the proxy refused the connection with HTTP status 403", 403),
        ),
        *(
            (garbled, ConnectionFailed("the proxy did not answer as an HTTP proxy does"))
            for garbled in (
                b"",
                b"SSH-2.0-secret\r\n\r\n",
                b"HTTP/1.1 200",
                b"HTTP/1.1 2x0 OK\r\n\r\n",
                b"." * 70_000,
                b"HTTP/1.1 200 OK\r\n\r\nand what the server would say",
            )
        ),
    ],
)
def test_a_proxy_that_refuses_or_is_none_is_a_failed_connection(answer, end, caplog):
    caplog.set_level(logging.DEBUG)
    with connect_proxy(answer, has_tunnel=False) as (port, _):
        assert end_through(f"http://user:secret@127.0.0.1:{port}") == end
    assert "secret" not in caplog.text


def test_a_proxy_that_is_not_there_is_named_as_the_one():
    end = end_through(f"http://127.0.0.1:{free_port()}")
    assert end == ConnectionFailed("the proxy could not be reached (Connection refused)")


def test_a_proxy_that_does_not_answer_times_out():
    late = ConnectionFailed("the proxy did not answer in time")
    with port_that_does_not_answer() as port:
        assert end_through(f"http://127.0.0.1:{port}", open_seconds=0.05) == late
    over = threading.Event()
    with listener(lambda sock: over.wait(PATIENCE)) as port:
        assert end_through(f"http://127.0.0.1:{port}", open_seconds=0.05) == late
        over.set()


def test_what_the_server_behind_the_proxy_says_is_the_servers():
    with LoopbackAgent([RefuseHandshake(403)]) as agent, connect_proxy() as (port, _):
        end = end_through(f"http://127.0.0.1:{port}", agent.url)
    assert end == ConnectionFailed("the server refused the connection with HTTP status 403", 403)


def test_giving_up_while_the_proxy_is_asked():
    reached = threading.Event()

    def listen_only(sock):
        reached.set()
        while sock.recv(65536):
            pass

    with listener(listen_only) as port:
        transport, inbox = make_transport("ws://127.0.0.1:9/", proxy=f"http://127.0.0.1:{port}")
        transport.open()
        assert reached.wait(PATIENCE)
        transport.drop()
        assert transport.join(PATIENCE)
        inbox.check_contract()


def test_the_proxy_of_the_environment_is_taken_for_other_machines_only(environment):
    with LoopbackAgent([Close()], opening=False) as agent, connect_proxy() as (port, requests):
        environment("HTTP_PROXY", f"http://127.0.0.1:{port}")
        environment("http_proxy", f"http://127.0.0.1:{port}")
        with transport_to(agent.url) as (_, inbox):
            assert inbox.wait_for_end() == SocketClosed(1000, "")
        assert requests == []
        # The name is the proxy's to resolve.
        end = end_through("environment", "ws://nowhere.invalid/")
        assert isinstance(end, ConnectionFailed)
    assert requests[0].startswith(b"CONNECT nowhere.invalid:80 HTTP/1.1\r\n")


def test_a_proxy_of_another_kind_in_the_environment_is_refused_without_its_password(environment):
    environment("https_proxy", "socks5://user:secret@proxy:1080")
    end = end_through("environment", "wss://nowhere.invalid/")
    assert "not the URL of an HTTP proxy" in end.message
    assert "secret" not in end.message


# Which proxy

FOR_ALL = "http://proxy:3128"


@pytest.mark.parametrize(
    ("url", "option", "host"),
    [
        ("wss://a.test/", None, None),
        ("wss://a.test/", FOR_ALL, "proxy"),
        ("ws://a.test/", FOR_ALL, "proxy"),
        ("wss://a.test/", "environment", "secure"),
        ("ws://a.test/", "environment", "plain"),
        ("wss://b.test/", "environment", None),
        ("wss://c.b.test/", "environment", None),
        ("ws://127.0.0.1/", "environment", None),
        ("ws://localhost:8080/", "environment", None),
        # What is unencrypted because it stays here does not go to another machine's proxy.
        ("ws://127.0.0.1/", FOR_ALL, None),
        ("ws://[::1]/", FOR_ALL, None),
        ("ws://[::1]/", "http://[::1]:3128", "::1"),
    ],
)
def test_the_option_and_the_environment_say_which_proxy(environment, url, option, host):
    environment("https_proxy", "secure:3128")
    environment("http_proxy", "http://plain:3128/")
    environment("no_proxy", "b.test")
    proxy = proxy_for(url, option)
    assert (proxy and proxy.host) == host


def test_without_variables_the_environment_has_no_proxy(environment):
    assert proxy_for("wss://a.test/", "environment") is None


def test_a_proxys_url_is_taken_apart():
    assert Proxy.parse("http://proxy") == Proxy("proxy", 80)
    assert Proxy.parse("http://[::1]:8080/") == Proxy("::1", 8080)
    proxy = Proxy.parse("http://us%65r:@proxy:1")
    assert proxy.authorization == "Basic " + b64encode(b"user:").decode()
    assert "Basic" not in repr(proxy)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy:8080",
        "https://proxy",
        "socks5://secret@proxy",
        "http://",
        "http://secret@proxy:port",
        "http://proxy/secret",
        "http://proxy/?secret",
        "http://[secret",
        "http://pro xy",
        "http://proxy\r\nsecret: 1",
    ],
)
def test_what_is_no_proxys_url_is_refused_and_not_shown(url):
    with pytest.raises(ConfigurationError, match="not the URL of an HTTP proxy") as caught:
        Proxy.parse(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "target"),
    [("a.test", b"a.test:443"), ("::1", b"[::1]:443"), ("bücher.test", b"xn--bcher-kva.test:443")],
)
def test_the_tunnels_end_is_named_as_http_wants_it(host, target):
    request = Tunnel(Proxy("proxy", 80), host, 443).request
    assert request == b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, target)


@pytest.mark.parametrize("host", ["", "a b", "a\r\nb", "ü" * 70, "ü..b"])
def test_a_host_that_is_no_name_is_not_asked_for(host):
    with pytest.raises(OSError, match="no host name"):
        Tunnel(Proxy("proxy", 80), host, 443)


def test_an_answer_may_come_byte_by_byte():
    tunnel = Tunnel(Proxy("proxy", 80), "a.test", 443)
    answer = b"HTTP/1.1 200 OK\r\nVia: it\r\n\r\n"
    assert [tunnel.receive(bytes([byte])) for byte in answer] == [False] * (len(answer) - 1) + [True]
    tunnel = Tunnel(Proxy("proxy", 80), "a.test", 443)
    assert not tunnel.receive(answer[:-1])
    with pytest.raises(Explained, match="did not answer as"):
        tunnel.receive(b"")


# Headers


def test_further_headers_are_sent():
    headers = {"X-Tenant": "42", "Cookie": "session=1", "Authorization": "Bearer x", "x-empty": ""}
    with (
        LoopbackAgent([Close()], opening=False) as agent,
        transport_to(agent.url, headers=headers) as (_, inbox),
    ):
        inbox.wait_for(SocketOpened)
        inbox.wait_for_end()
        sent = agent.wait_for_connection().request_headers
    assert {name: sent.get(name.lower()) for name in headers} == headers


def test_a_cookie_of_one_conversation_does_not_reach_another():
    cookie = {"Set-Cookie": "spy=1; Domain=127.0.0.1; Path=/", "Location": "ws://127.0.0.1:9/"}
    with LoopbackAgent([RefuseHandshake(302, headers=cookie)]) as agent:
        end_through(None, agent.url)
    with LoopbackAgent([Close()], opening=False) as agent, transport_to(agent.url) as (_, inbox):
        inbox.wait_for_end()
        assert "cookie" not in agent.wait_for_connection().request_headers


@pytest.mark.parametrize("name", ["Authorization", "xi-api-key", "X-Auth", "cookie", "My-Token"])
def test_a_header_named_like_a_secret_does_not_go_unencrypted_to_another_machine(name):
    end = end_through(None, "ws://nowhere.invalid/", headers={name: "secret"})
    assert end.message == (
        f"The header {name} does not go to nowhere.invalid over ws://, where anybody could read it; use wss://."
    )
