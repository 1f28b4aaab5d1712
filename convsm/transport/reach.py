"""Connecting on an event loop: TCP to the first address that answers, then TLS; cancelled at any time."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from convsm.transport.dial import default_context
from convsm.transport.options import TransportOptions

__all__ = ["reach"]

Protocol = TypeVar("Protocol", bound=asyncio.Protocol)


async def reach(
    url: str, options: TransportOptions, make_protocol: Callable[[socket.socket], Protocol]
) -> Protocol:
    """Connect a protocol to the host of a URL, with TLS for ``wss``.

    Args:
        url: The WebSocket URL.
        options: How long it may take, for each address and for TLS, and how to trust the server.
        make_protocol: Makes the protocol for a connected socket, which the loop owns from then on.

    Raises:
        OSError: No address could be reached, or TLS failed.
        asyncio.TimeoutError: It took too long.
        ValueError: The URL cannot be used.
    """
    parts = urlsplit(url)
    is_secure = parts.scheme == "wss"
    host = parts.hostname or ""
    sock = await _connect(host, parts.port or (443 if is_secure else 80), options.open_seconds)
    try:
        protocol = make_protocol(sock)
        secure: dict[str, Any] = {}
        if is_secure:
            # The loop's own limit would be told as another error; ours comes first.
            secure = {
                "ssl": options.ssl_context or default_context(),
                "server_hostname": host,
                "ssl_handshake_timeout": 2 * options.open_seconds,
            }
        connecting = asyncio.get_running_loop().create_connection(lambda: protocol, sock=sock, **secure)
        await asyncio.wait_for(connecting, options.open_seconds)
    except BaseException:
        sock.close()
        raise
    return protocol


async def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    # A literal address needs no resolver, which would be a thread.
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        pass
    else:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        return [(family, socket.SOCK_STREAM, 0, "", (host, port))]
    try:
        loop = asyncio.get_running_loop()
        return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except UnicodeError:
        # Labels that are empty or too long never reach the resolver.
        raise socket.gaierror(socket.EAI_NONAME, "it is no host name") from None


async def _connect(host: str, port: int, seconds: float) -> socket.socket:
    failure: OSError = OSError(f"no address for {host}")
    loop = asyncio.get_running_loop()
    for family, kind, protocol, _, address in await _addresses(host, port):
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            failure = error
            continue
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.wait_for(loop.sock_connect(sock, address), seconds)
            return sock
        except asyncio.TimeoutError:
            sock.close()
            failure = TimeoutError("timed out")
        except OSError as error:
            sock.close()
            # The loop's text names the address.
            failure = OSError(error.errno, os.strerror(error.errno)) if error.errno else error
        except BaseException:
            sock.close()
            raise
    raise failure
