"""What may be set about a connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from convsm.errors import ConfigurationError
from convsm.protocols.urls import is_loopback
from convsm.transport.proxy import ENVIRONMENT, Proxy

if TYPE_CHECKING:
    import ssl

__all__ = ["TransportOptions", "check_headers"]

# Longer than any conversation; and what the system's timers take.
MAX_SECONDS = 86_400.0

# RFC 9110, 5.6.2: what a header's name is made of.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# What the handshake itself says, or what would change how it is read.
_RESERVED = frozenset(
    {"connection", "content-length", "host", "keep-alive", "proxy-authorization", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)
# Names of headers whose values are secrets, most likely.
_SECRET = re.compile("auth|key|token|secret|cookie|password|signature", re.IGNORECASE)


def _seconds(options: object, attribute: attrs.Attribute[Any], value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # A NaN is in no range.
    if not (is_number and 0 < value <= MAX_SECONDS):  # type: ignore[operator]
        raise ConfigurationError(
            f"TransportOptions: {attribute.name} is {value!r}; give more than 0 and up to {MAX_SECONDS:g} s."
        )


def _size(options: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"TransportOptions: {attribute.name} is {value!r}; give a number from 1 on.")


def _proxy(options: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is None or value == ENVIRONMENT:
        return
    if not isinstance(value, str):
        raise ConfigurationError("TransportOptions: proxy is no string; give a URL, 'environment' or None.")
    Proxy.parse(value)


def _headers(options: object, attribute: attrs.Attribute[Any], value: Mapping[Any, Any]) -> None:
    seen = set()
    for name, text in value.items():
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise ConfigurationError(f"TransportOptions: {name!r} cannot be the name of a header.")
        lowered = name.lower()
        if lowered in _RESERVED or lowered.startswith("sec-websocket-"):
            raise ConfigurationError(f"TransportOptions: the handshake itself says {name}; leave it out.")
        if lowered in seen:
            raise ConfigurationError(f"TransportOptions: the header {name} is given twice; give it once.")
        seen.add(lowered)
        if not (isinstance(text, str) and text.isascii() and (not text or text.isprintable())):
            raise ConfigurationError(
                f"TransportOptions: the header {name} holds a line break or something else that is not "
                "printable ASCII; give it without."
            )


def _copied(headers: Mapping[str, str]) -> Mapping[str, str]:
    return dict(headers)


def _shown_proxy(proxy: str | None) -> str:
    # It may hold a password.
    return repr(proxy) if proxy in (None, ENVIRONMENT) else "'***'"


def _shown_headers(headers: Mapping[str, str]) -> str:
    return repr(dict.fromkeys(headers, "***"))


@attrs.frozen
class TransportOptions:
    """Limits and ways of a connection; times in seconds, more than 0 and up to a day.

    Attributes:
        open_seconds: For TCP, the proxy, TLS and the WebSocket handshake, each. 10: what other clients
            grant.
        max_bytes: Size limit of a received message, 1 or more. 16 MiB: what the reference client allows.
        ping_seconds: After so long without anything received a ping frame is sent; twice that
            without anything received is a lost connection. 20: what other clients do.
        ssl_context: How to trust a ``wss`` server; None trusts what the system does.
        proxy: URL of an HTTP proxy, like ``http://user:password@host:8080``; ``"environment"`` takes
            it from HTTPS_PROXY (for ``wss``) or HTTP_PROXY (for ``ws``) unless NO_PROXY names the
            host, as other clients do; None uses none. This machine is reached without a remote proxy.
        headers: Further headers of the opening handshake. Their values are never shown.

    Raises:
        ConfigurationError: A value is out of its range, is no HTTP proxy's URL, or cannot be a header;
            or a header is one of the handshake's own.
    """

    open_seconds: float = attrs.field(default=10.0, validator=_seconds)
    max_bytes: int = attrs.field(default=16 * 1024 * 1024, validator=_size)
    ping_seconds: float = attrs.field(default=20.0, validator=_seconds)
    ssl_context: ssl.SSLContext | None = None
    proxy: str | None = attrs.field(default=ENVIRONMENT, validator=_proxy, repr=_shown_proxy)
    headers: Mapping[str, str] = attrs.field(
        factory=dict, converter=_copied, validator=_headers, repr=_shown_headers, hash=False
    )


def check_headers(url: str, headers: Mapping[str, str]) -> None:
    """Refuse to send a secret unencrypted to another machine, in whatever network that is.

    Args:
        url: The WebSocket URL.
        headers: Further headers of the handshake.

    Raises:
        ConfigurationError: A header is named like a secret, and would go over ``ws`` to another machine.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "wss" or is_loopback(host):
        return
    for name in headers:
        if _SECRET.search(name):
            raise ConfigurationError(
                f"The header {name} does not go to {host} over ws://, where anybody could read it; use wss://."
            )
