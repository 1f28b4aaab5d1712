from __future__ import annotations

import math
from typing import Any

import pytest

from convsm import ConfigurationError, TransportOptions
from convsm.transport.options import check_headers


@pytest.mark.parametrize("name", ["open_seconds", "ping_seconds"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 86_401, "10", None, True])
def test_times_are_within_a_day(name, value):
    with pytest.raises(ConfigurationError, match=rf"{name} is .*; give more than 0"):
        TransportOptions(**{name: value})
    longest: dict[str, Any] = {name: 86_400}
    TransportOptions(**longest)


@pytest.mark.parametrize("value", [0, -1, 1.5, "1", None, True])
def test_the_size_limit_is_a_number_from_one_on(value):
    with pytest.raises(ConfigurationError, match=r"max_bytes is .*; give a number from 1 on"):
        TransportOptions(max_bytes=value)
    TransportOptions(max_bytes=1)


@pytest.mark.parametrize("value", [1, b"http://proxy", "https://user:secret@proxy", "Environment", ""])
def test_a_proxy_is_a_url_the_environment_or_none(value):
    with pytest.raises(ConfigurationError, match="proxy") as caught:
        TransportOptions(proxy=value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "ü", 1])
def test_what_cannot_name_a_header_is_refused(name):
    with pytest.raises(ConfigurationError, match="cannot be the name of a header"):
        TransportOptions(headers={name: "x"})


@pytest.mark.parametrize(
    "name",
    ["Host", "UPGRADE", "connection", "Sec-WebSocket-Key", "sec-websocket-version", "Content-Length"],
)
def test_the_handshakes_own_headers_are_refused(name):
    with pytest.raises(ConfigurationError, match=f"the handshake itself says {name}"):
        TransportOptions(headers={name: "x"})


@pytest.mark.parametrize("value", ["secret\r\nHost: evil", "secret\n", "secret\x00", "secret\x7f", "sécret"])
def test_a_value_that_no_header_can_hold_is_refused_and_not_shown(value):
    with pytest.raises(ConfigurationError, match="X-Tenant holds a line break") as caught:
        TransportOptions(headers={"X-Tenant": value})
    assert "cret" not in str(caught.value)


def test_a_header_is_given_once():
    with pytest.raises(ConfigurationError, match="twice"):
        TransportOptions(headers={"X-A": "1", "x-a": "2"})


def test_secrets_are_not_shown():
    options = TransportOptions(
        proxy="http://user:secret@proxy:8080", headers={"X-Tenant": "secret", "Authorization": "secret"}
    )
    assert "secret" not in repr(options)
    assert "headers={'X-Tenant': '***', 'Authorization': '***'}" in repr(options)
    assert "proxy='environment'" in repr(TransportOptions())


def test_headers_are_copied():
    headers = {"X-Tenant": "1"}
    options = TransportOptions(headers=headers)
    headers["X-Tenant"] = "2"
    assert options.headers == {"X-Tenant": "1"}
    assert hash(options) == hash(TransportOptions(headers={}))


@pytest.mark.parametrize("url", ["wss://a.test/", "ws://127.0.0.1/", "ws://localhost/", "ws://[::1]:80/"])
def test_a_secret_goes_where_it_is_encrypted_or_stays(url):
    check_headers(url, {"Authorization": "secret"})


def test_other_headers_go_everywhere():
    check_headers("ws://a.test/", {"X-Tenant": "1"})
    with pytest.raises(ConfigurationError, match=r"xi-api-key does not go to a\.test"):
        check_headers("ws://a.test/", {"X-Tenant": "1", "xi-api-key": "secret"})
