"""URLs of any protocol: checked before use, and made safe to log."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from convsm.errors import ConfigurationError

__all__ = ["check_url", "is_loopback", "redact_url"]

# What a log may show. All other values are hidden, so that a secret of a name not thought of stays one.
_HARMLESS = frozenset(
    {"agent_id", "branch_id", "conversation_id", "environment", "model", "source", "version"}
)

_USER_INFO = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*:)?(/*)[^?]*@")


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
