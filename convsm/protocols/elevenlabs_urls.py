"""Where an ElevenLabs conversation is opened: URLs built, checked before use, and made safe to log."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from convsm.errors import ConfigurationError
from convsm.version import VERSION

__all__ = ["SOURCE", "api_url", "check_url", "is_loopback", "public_url", "redact_url", "signed_url"]

# The server knows clients by an enumeration without a name for us; we are a Python client of that protocol.
SOURCE = "python_sdk"

# Without a region, requests go to the nearest.
DEFAULT_API = "https://api.elevenlabs.io"
REGIONAL_APIS = {
    "us": "https://api.us.elevenlabs.io",
    "eu": "https://api.eu.residency.elevenlabs.io",
    "in": "https://api.in.residency.elevenlabs.io",
    "sg": "https://api.sg.residency.elevenlabs.io",
}

_SOCKET_SCHEMES = {"https": "wss", "http": "ws"}

# What a log may show. All other values are hidden, so that a secret of a name not thought of stays one.
_HARMLESS = frozenset({"agent_id", "branch_id", "conversation_id", "environment", "source", "version"})

_USER_INFO = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*:)?(/*)[^?]*@")


def api_url(base_url: str | None = None, region: str | None = None) -> str:
    """Return where the API is.

    Args:
        base_url: Where it is, if that is known; None takes the region's.
        region: Where data stays: ``us``, ``eu``, ``in`` or ``sg``; None takes the nearest.

    Raises:
        ConfigurationError: There is no such region, or the URL is not the region's.
    """
    if region is None:
        return DEFAULT_API if base_url is None else base_url
    regional = REGIONAL_APIS.get(region)
    if regional is None:
        raise ConfigurationError(f"There is no region {region!r}; choose one of {', '.join(REGIONAL_APIS)}.")
    if base_url is not None and base_url.rstrip("/") != regional:
        raise ConfigurationError(f"The base URL is not that of region {region!r}; give one of the two.")
    return regional


def public_url(base_url: str, agent_id: str, version: str = VERSION, environment: str | None = None) -> str:
    """Return the URL of a public agent's conversation.

    Args:
        base_url: Where the API is. ``https`` becomes ``wss`` and ``http`` becomes ``ws``; its path is kept,
            its query and fragment are not.
        agent_id: Id of the agent.
        version: Version of the client, which the server only notes.
        environment: Name of the server-side environment, if not the default.

    Raises:
        ConfigurationError: The base URL is none.
    """
    try:
        base = urlsplit(base_url)
    except ValueError:
        raise ConfigurationError(
            "The base URL cannot be read; give one like https://api.elevenlabs.io."
        ) from None
    scheme = _SOCKET_SCHEMES.get(base.scheme, base.scheme)
    parameters = [("agent_id", agent_id), *_client(version, environment)]
    path = base.path.rstrip("/") + "/v1/convai/conversation"
    return urlunsplit((scheme, base.netloc, path, urlencode(parameters, quote_via=quote), ""))


def signed_url(url: str, version: str = VERSION, environment: str | None = None) -> str:
    """Return a signed URL with the client's parameters appended.

    What the server signed is not touched, not even to write it in another encoding of the same meaning: a
    ``+`` in the signature stays a ``+``.

    Args:
        url: The URL as the server minted it.
        version: Version of the client, which the server only notes.
        environment: Name of the server-side environment, if not the default.
    """
    minted, hash_sign, fragment = url.partition("#")
    separator = "?" if "?" not in minted else "" if minted.endswith(("?", "&")) else "&"
    appended = urlencode(_client(version, environment), quote_via=quote)
    return minted + separator + appended + hash_sign + fragment


def _client(version: str, environment: str | None) -> list[tuple[str, str]]:
    parameters = [("source", SOURCE), ("version", version)]
    if environment:
        parameters.append(("environment", environment))
    return parameters


def check_url(url: str, allow_insecure: bool = False, has_key: bool = False) -> None:
    """Refuse a URL that must not be connected to.

    ``wss`` is fine, and so is ``ws`` to this very machine. ``ws`` to another one sends speech in the clear.

    Args:
        url: Where to connect to.
        allow_insecure: Accept ``ws`` to another machine all the same, as within a private network.
        has_key: Whether an API key goes along; over ``ws`` to another machine it never does.

    Raises:
        ConfigurationError: The URL is refused. The text holds scheme and host at most.
    """
    # White space would end the request line of the handshake; parsers differ on what they drop.
    if any(character <= " " or character == "\x7f" for character in url):
        raise ConfigurationError("The URL contains white space or control characters; remove them.")
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        raise ConfigurationError("The URL cannot be read; give one like wss://host/path.") from None
    if parts.scheme not in ("ws", "wss"):
        raise ConfigurationError("The URL is not a WebSocket's; give one that starts with wss://.")
    if not host:
        raise ConfigurationError("The URL names no host; give one like wss://host/path.")
    if parts.scheme == "wss" or is_loopback(host):
        return
    if has_key:
        raise ConfigurationError(
            f"An API key does not go to {host} over ws://, where anybody could read it; use wss://."
        )
    if not allow_insecure:
        raise ConfigurationError(
            f"ws:// to {host} is not encrypted; use wss://, or allow_insecure=True within a private network."
        )


def is_loopback(host: str) -> bool:
    """Tell whether a host is this very machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def redact_url(url: str) -> str:
    """Return a URL as a log may show it: no user, no password, no fragment, only harmless parameters' values.

    It takes any string and never raises.
    """
    address, question_mark, query = url.partition("#")[0].partition("?")
    address = _USER_INFO.sub(r"\1\2***@", address)
    shown = "".join(
        part if position % 2 else _redact_parameter(part)
        for position, part in enumerate(re.split("([&;])", query))
    )
    return address + question_mark + shown


def _redact_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if not equals:
        # A value without a name could be anything; so could a name without a value.
        return "***" if name else ""
    return parameter if name in _HARMLESS or not value else f"{name}=***"
