from __future__ import annotations

import pytest

from convsm.errors import ConfigurationError
from convsm.protocols.openai_urls import request_headers, session_url

SECRET = "sk-5ecret"


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://api.openai.com/v1", "wss://api.openai.com/v1/realtime?model=gpt-realtime"),
        ("http://127.0.0.1:8000/v1/", "ws://127.0.0.1:8000/v1/realtime?model=gpt-realtime"),
        ("wss://host", "wss://host/realtime?model=gpt-realtime"),
        ("https://host/a?api-version=1#x", "wss://host/a/realtime?api-version=1&model=gpt-realtime"),
    ],
)
def test_the_url_is_made_of_base_and_model(base_url, url):
    assert session_url("gpt-realtime", base_url) == url


def test_a_server_may_know_the_model_and_want_other_parameters():
    assert session_url(None, "https://host") == "wss://host/realtime"
    assert session_url(None, "https://host", {"deployment": "a b"}) == "wss://host/realtime?deployment=a%20b"


def test_a_base_url_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="cannot be read"):
        session_url("m", "https://[host")


def test_the_key_goes_into_a_header_and_nowhere_else():
    assert request_headers(SECRET, "org", "proj") == {
        "Authorization": f"Bearer {SECRET}",
        "OpenAI-Organization": "org",
        "OpenAI-Project": "proj",
    }
    assert request_headers(None) == {}


@pytest.mark.parametrize("bad", ["", " ", f"{SECRET}\r\nX: y", f"{SECRET}é"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(bad):
    with pytest.raises(ConfigurationError, match="api_key holds") as refusal:
        request_headers(bad)
    assert SECRET not in str(refusal.value)
