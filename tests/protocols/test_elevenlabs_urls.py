from __future__ import annotations

import string
import warnings
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.errors import ConfigurationError
from convsm.protocols.elevenlabs_urls import SOURCE, api_url, public_url, signed_url
from convsm.version import VERSION

ENCODABLE = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@pytest.fixture(scope="module")
def sdk() -> Any:
    """The vendor's own client, whose import and typing speak of a websockets module on its way out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from elevenlabs.conversational_ai import conversation
    return conversation


# Building


def test_the_public_url_names_agent_source_and_version_in_this_order():
    url = public_url("https://api.elevenlabs.io", "agent_1", "1.2.3")
    assert url == (
        "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=agent_1&source=python_sdk&version=1.2.3"
    )
    assert public_url("https://a", "b").endswith(f"&source={SOURCE}&version={VERSION}")
    assert public_url("https://a", "b", "1", "test").endswith("&version=1&environment=test")
    assert public_url("https://a", "b", "1", "").endswith("&version=1")


@pytest.mark.parametrize(
    ("base", "start"),
    [
        ("https://api.elevenlabs.io/", "wss://api.elevenlabs.io/v1/"),
        ("http://localhost:8000", "ws://localhost:8000/v1/"),
        ("wss://host", "wss://host/v1/"),
        ("ws://host", "ws://host/v1/"),
        ("HTTPS://host", "wss://host/v1/"),
        ("https://host/proxy/eleven//", "wss://host/proxy/eleven/v1/"),
        ("https://host/proxy?old=1#part", "wss://host/proxy/v1/"),
        ("https://[::1]:80", "wss://[::1]:80/v1/"),
    ],
)
def test_the_base_url_gives_scheme_host_and_path(base, start):
    assert public_url(base, "a").startswith(start + "convai/conversation?agent_id=a&")


def test_a_base_url_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="cannot be read"):
        public_url("https://[half", "a")


@given(ENCODABLE, ENCODABLE, ENCODABLE)
def test_parameters_come_out_as_they_went_in(agent_id, version, environment):
    url = public_url("https://host", agent_id, version, environment)
    expected = [("agent_id", agent_id), ("source", SOURCE), ("version", version)]
    if environment:
        expected.append(("environment", environment))
    query = urlsplit(url).query
    assert parse_qsl(query, keep_blank_values=True) == expected
    assert set(query) <= {*string.ascii_letters, *string.digits, *"_.-~%&="}


@given(
    st.sampled_from(["https://host", "http://host:80/", "wss://host/a/b//", "ws://u:p@host/a?b=c#d"]),
    ENCODABLE,
    st.none() | ENCODABLE,
)
def test_the_public_url_is_the_reference_one(sdk, base, agent_id, environment):
    client = SimpleNamespace(_client_wrapper=SimpleNamespace(get_base_url=lambda: base))
    theirs = SimpleNamespace(on_prem_config=None, client=client, agent_id=agent_id, environment=environment)
    assert public_url(base, agent_id, sdk.__version__, environment) == sdk.BaseConversation._get_wss_url(
        theirs
    )


@pytest.mark.parametrize(
    ("minted", "start"),
    [
        ("wss://h/c?agent_id=a&conversation_signature=a+b%2Fc=", "&"),
        ("wss://h/c", "?"),
        ("wss://h/c?", ""),
        ("wss://h/c?a=b&", ""),
    ],
)
def test_a_signed_url_is_only_appended_to(minted, start):
    assert signed_url(minted, "1") == f"{minted}{start}source=python_sdk&version=1"
    assert signed_url(minted, "1", "t/e") == f"{minted}{start}source=python_sdk&version=1&environment=t%2Fe"


@given(st.text(string.ascii_letters + string.digits + "_-.~", min_size=1))
def test_a_signed_url_of_plain_characters_is_the_reference_one(sdk, signature):
    minted = f"wss://host/v1/convai/conversation?agent_id=a&conversation_signature={signature}"
    theirs = MagicMock(agent_id="a", environment=None)
    mint = theirs.client.conversational_ai.conversations.get_signed_url
    mint.return_value = SimpleNamespace(signed_url=minted)
    assert signed_url(minted, sdk.__version__) == sdk.BaseConversation._get_signed_url(theirs)


def test_what_is_appended_to_a_signed_url_stays_before_its_fragment():
    assert signed_url("wss://h/c?a=b#f?g", "1") == "wss://h/c?a=b&source=python_sdk&version=1#f?g"
    assert signed_url("wss://h/c?a=b").endswith(f"&version={VERSION}")


# Regions


def test_every_region_has_the_vendors_address():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from elevenlabs.environment import ElevenLabsEnvironment as Theirs
    assert api_url() == Theirs.PRODUCTION.value
    assert [api_url(region=region) for region in ("us", "eu", "in", "sg")] == [
        Theirs.PRODUCTION_US.value,
        Theirs.PRODUCTION_EU.value,
        Theirs.PRODUCTION_INDIA.value,
        Theirs.PRODUCTION_SINGAPORE.value,
    ]


def test_a_url_of_ones_own_is_kept_and_may_be_the_regions():
    assert api_url("https://proxy.example/el/") == "https://proxy.example/el/"
    assert api_url("https://api.us.elevenlabs.io/", "us") == "https://api.us.elevenlabs.io"


@pytest.mark.parametrize("region", ["", "EU", "moon", "eu.residency"])
def test_an_unknown_region_is_refused(region):
    with pytest.raises(ConfigurationError, match=r"There is no region .*; choose one of us, eu, in, sg"):
        api_url(region=region)


@pytest.mark.parametrize("base_url", ["https://api.elevenlabs.io", "http://127.0.0.1:1", ""])
def test_a_url_that_is_not_the_regions_is_refused_without_quoting_it(base_url):
    with pytest.raises(ConfigurationError, match="not that of region 'eu'"):
        api_url(base_url, "eu")
