from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from convsm.errors import ConfigurationError
from convsm.protocols.urls import check_url, redact_url

HASH = "5ecret"


# Checking


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:80", "u@localhost"]
)
@pytest.mark.parametrize("has_key", [False, True])
def test_ws_to_this_machine_is_fine(host, has_key):
    check_url(f"ws://{host}/path", has_key=has_key)


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "localhost.example.com",
        "localhost@example.com",
        "127.0.0.1.example.com",
        "10.0.0.1",
        "127.1",
        "0.0.0.0",
        "[::]",
        "[2001:db8::1]:80",
        "localhost\\@example.com",
    ],
)
def test_ws_to_another_machine_is_refused_unless_allowed_and_always_with_a_key(host):
    url = f"ws://{host}/path?token={HASH}"
    with pytest.raises(ConfigurationError, match="not encrypted") as caught:
        check_url(url)
    assert HASH not in str(caught.value)
    check_url(url, allow_insecure=True)
    for allow_insecure in (False, True):
        with pytest.raises(ConfigurationError, match="API key") as caught:
            check_url(url, allow_insecure, has_key=True)
        assert HASH not in str(caught.value)


@pytest.mark.parametrize("has_key", [False, True])
def test_wss_is_fine_anywhere(has_key):
    check_url("wss://example.com/path", has_key=has_key)
    check_url("WSS://example.com", has_key=has_key)


@pytest.mark.parametrize("url", ["http://h", "https://h", "ftp://h", "file:///h", "h", "h:80", "", "//h"])
def test_another_scheme_is_refused(url):
    with pytest.raises(ConfigurationError, match="not a WebSocket's"):
        check_url(url, allow_insecure=True)


@pytest.mark.parametrize("url", ["ws://", "wss:///path", "wss://:80", "wss://user@/path"])
def test_a_url_without_a_host_is_refused(url):
    with pytest.raises(ConfigurationError, match="names no host"):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["wss://[half", "wss://host:port", "wss://host:99999", f"wss://u:{HASH}/x@host"]
)
def test_a_url_that_cannot_be_read_is_refused(url):
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        check_url(url)
    assert HASH not in str(caught.value)


@pytest.mark.parametrize("space", [" ", "\r\n", "\t", "\x00", "\x7f"])
def test_a_url_with_white_space_or_control_characters_is_refused(space):
    with pytest.raises(ConfigurationError, match="white space"):
        check_url(f"wss://host/{space}X-Header: 1")


# Redacting


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "wss://h/c?agent_id=a&source=s&version=1&environment=e",
            "wss://h/c?agent_id=a&source=s&version=1&environment=e",
        ),
        (
            f"wss://h/c?agent_id=a&conversation_signature={HASH}",
            "wss://h/c?agent_id=a&conversation_signature=***",
        ),
        ("wss://h/realtime?model=m", "wss://h/realtime?model=m"),
        (f"wss://h/c?token={HASH}&xi-api-key={HASH}", "wss://h/c?token=***&xi-api-key=***"),
        (f"wss://h/c?agent_id=a;token={HASH}", "wss://h/c?agent_id=a;token=***"),
        (f"wss://h/c?{HASH}", "wss://h/c?***"),
        (f"wss://h/c?token={HASH}={HASH}?{HASH}", "wss://h/c?token=***"),
        (f"wss://user:{HASH}@h:80/c", "wss://***@h:80/c"),
        (f"wss://user:{HASH}/{HASH}@h/c", "wss://***@h/c"),
        (f"wss://h/c?a=b#{HASH}", "wss://h/c?a=***"),
        ("wss://h/c?token=&", "wss://h/c?token=&"),
        ("wss://[half", "wss://[half"),
        ("", ""),
    ],
)
def test_a_redacted_url_shows_where_it_goes_and_no_secret(url, shown):
    assert redact_url(url) == shown


@given(
    st.text(max_size=12),
    st.sampled_from(
        ["conversation_signature", "token", "xi-api-key", "api_key", "X-Amz-Signature", "Key", "agent_id2"]
    ),
    st.sampled_from(["?", "?a=b&", "?a=b;", "?&", "?=&"]),
    st.sampled_from(["", "&a=b", "#f", ";c"]),
)
@example("", "token", "?", "")
def test_no_value_of_a_secret_parameter_is_shown_whatever_surrounds_it(path, name, before, after):
    path = path.replace("#", "")
    assert HASH not in redact_url(f"wss://host/{path}{before}{name}={HASH}{after}")


@given(st.text())
def test_redacting_never_raises_and_redacts_all_at_once(text):
    assert redact_url(redact_url(text)) == redact_url(text)
