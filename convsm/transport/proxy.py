"""HTTP proxies: which one a connection takes, and how a tunnel through it is asked for (CONNECT)."""

from __future__ import annotations

import os
import socket
from base64 import b64encode
from urllib.parse import unquote_to_bytes, urlsplit

import attrs

from convsm.errors import ConfigurationError
from convsm.machine.events import ConnectionFailed
from convsm.protocols.urls import is_loopback
from convsm.transport.answers import AnswerHead, NotHttp
from convsm.transport.failures import Explained

__all__ = ["ENVIRONMENT", "Proxy", "Tunnel", "proxy_for"]

# Value of the option that takes the proxy of the environment's variables.
ENVIRONMENT = "environment"


@attrs.frozen
class Proxy:
    """An HTTP proxy.

    Attributes:
        host: Its name or address.
        port: Its port.
        authorization: Value of the header that identifies the user, if there is one.
    """

    host: str
    port: int
    authorization: str | None = attrs.field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Make it of a URL like ``http://user:password@host:port``; the default port is 80.

        Raises:
            ConfigurationError: It is none. The text holds nothing of it.
        """
        problem = "The proxy is not the URL of an HTTP proxy; give one like http://user:password@host:8080."
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ConfigurationError(problem) from None
        is_clean = url.isascii() and url.isprintable() and " " not in url
        if parts.scheme != "http" or not host or not is_clean or parts.path not in ("", "/") or parts.query:
            raise ConfigurationError(problem)
        authorization = None
        if parts.username is not None:
            secret = unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password or "")
            authorization = f"Basic {b64encode(secret).decode()}"
        return cls(host, port or 80, authorization)


def proxy_for(url: str, option: str | None) -> Proxy | None:
    """Return the proxy through which a WebSocket URL is to be reached; None for none.

    This machine itself is reached directly: what goes to it may be unencrypted because it does not
    leave it. Only a proxy that is on it, too, changes nothing about that.

    Args:
        url: The WebSocket URL.
        option: URL of a proxy; ``"environment"`` to look into HTTPS_PROXY (for ``wss``), HTTP_PROXY
            (for ``ws``) and NO_PROXY; None for none.

    Raises:
        ConfigurationError: The URL is not that of an HTTP proxy.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if option == ENVIRONMENT:
        option = None if is_loopback(host) else _from_environment(parts.scheme, host)
    if not option:
        return None
    proxy = Proxy.parse(option)
    return None if is_loopback(host) and not is_loopback(proxy.host) else proxy


def _from_environment(scheme: str, host: str) -> str | None:
    if not any(name.lower() in ("http_proxy", "https_proxy") for name in os.environ):
        return None
    # Imported here: 30 ms that nobody needs who has no proxy.
    from urllib import request

    proxies = request.getproxies_environment()
    if request.proxy_bypass_environment(host, proxies):  # type: ignore[attr-defined]
        return None
    proxy = proxies.get("https" if scheme == "wss" else "http")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


class Tunnel:
    """A tunnel that is being asked for.

    Attributes:
        request: What to send to the proxy.
    """

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        """Write the request.

        Args:
            proxy: Who is asked.
            host: Where the tunnel is to end.
            port: Its port.

        Raises:
            OSError: The host is no name.
        """
        try:
            name = host if host.isascii() else host.encode("idna").decode()
        except UnicodeError:
            name = ""
        if not name.isprintable() or not name or " " in name:
            raise socket.gaierror(socket.EAI_NONAME, "it is no host name")
        target = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if proxy.authorization is not None:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        self.request = "\r\n".join([*lines, "", ""]).encode()
        self._answer = AnswerHead()

    def receive(self, data: bytes) -> bool:
        """Take what the proxy answered; return whether the tunnel stands.

        Args:
            data: What was received; empty when the proxy hung up.

        Raises:
            Explained: The proxy refused, or is none.
        """
        try:
            status = self._answer.feed(data)
        except NotHttp:
            status = 0
        if status is None and data:
            return False
        # Nothing may come before we spoke; what did would be taken for the server's.
        if not status or (200 <= status < 300 and self._answer.rest):
            raise Explained(ConnectionFailed("the proxy did not answer as an HTTP proxy does"))
        if 200 <= status < 300:
            return True
        advice = "; give user and password in its URL" if status == 407 else ""
        raise Explained(
            ConnectionFailed(f"the proxy refused the connection with HTTP status {status}{advice}", status)
        )
