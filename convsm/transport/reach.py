"""Connecting on an event loop: TCP to the first address that answers, then TLS; cancelled at any time."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from convsm.transport.dial import default_context
from convsm.transport.failures import Explained, explain
from convsm.transport.options import TransportOptions
from convsm.transport.proxy import Proxy, Tunnel, proxy_for

if TYPE_CHECKING:
    import ssl

__all__ = ["reach", "within"]

Protocol = TypeVar("Protocol", bound=asyncio.Protocol)
Result = TypeVar("Result")


async def reach(
    url: str, options: TransportOptions, make_protocol: Callable[[socket.socket | None], Protocol]
) -> Protocol:
    """Connect a protocol to the host of a URL, with TLS for ``wss``.

    Args:
        url: The WebSocket URL.
        options: How long it may take, for each address and for TLS, and how to trust the server.
        make_protocol: Makes the protocol; given the socket right beneath, or None if TLS is between.

    Raises:
        OSError: No address could be reached in time, or TLS failed.
        Explained: A proxy failed, or refused.
        ValueError: The URL cannot be used; ConfigurationError, the proxy's.
    """
    parts = urlsplit(url)
    is_secure = parts.scheme == "wss"
    host = parts.hostname or ""
    port = parts.port or (443 if is_secure else 80)
    proxy = proxy_for(url, options.proxy)
    if proxy is None:
        sock = await _connect(host, port, options.open_seconds)
    else:
        sock = await _connect_through(proxy, Tunnel(proxy, host, port), options.open_seconds)
    try:
        protocol = make_protocol(None if is_secure else sock)
        context = (options.ssl_context or default_context()) if is_secure else None
        await within(options.open_seconds, _attach(protocol, sock, context, host))
    except BaseException:
        sock.close()
        raise
    return protocol


async def _attach(
    protocol: asyncio.Protocol, sock: socket.socket, context: ssl.SSLContext | None, host: str
) -> None:
    if context is None:
        await _hand_over(protocol, sock)
        return
    # Imported on use, as is ssl: 15 ms that a loopback session does not need.
    from convsm.transport.tls import Tls

    tls = Tls(protocol, context, host, sock)
    try:
        await _hand_over(tls, sock)
        await tls.secured
    except BaseException:
        tls.abort()
        raise


async def _hand_over(protocol: asyncio.Protocol, sock: socket.socket) -> None:
    # It waits for nothing but the loop. Cancelled half-way, some loops would never tell the protocol
    # of the end.
    loop = asyncio.get_running_loop()
    handing = asyncio.ensure_future(loop.create_connection(lambda: protocol, sock=sock))
    try:
        await asyncio.shield(handing)
    except asyncio.CancelledError:
        await asyncio.wait((handing,))
        if handing.exception() is None:
            handing.result()[0].abort()
        raise


async def within(seconds: float, call: Coroutine[Any, Any, Result]) -> Result:
    """Return what a coroutine returns, or cancel it after a time.

    ``asyncio.wait_for`` loses a cancellation that comes together with the result before Python 3.12;
    this one loses the result, so that must not be what has to be closed.

    Raises:
        TimeoutError: It took longer.
    """
    task = asyncio.ensure_future(call)
    try:
        await asyncio.wait((task,), timeout=seconds)
        if not task.done():
            raise TimeoutError("timed out")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
        if not task.cancelled():
            # Nobody else may ask for it any more, and the loop would complain.
            task.exception()


async def _connect_through(proxy: Proxy, tunnel: Tunnel, seconds: float) -> socket.socket:
    loop = asyncio.get_running_loop()

    async def ask(sock: socket.socket) -> None:
        await loop.sock_sendall(sock, tunnel.request)
        while not tunnel.receive(await loop.sock_recv(sock, 4096)):
            pass

    try:
        sock = await _connect(proxy.host, proxy.port, seconds)
        try:
            await within(seconds, ask(sock))
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise Explained(explain(error, "proxy")) from None
    return sock


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
            await within(seconds, loop.sock_connect(sock, address))
            return sock
        except OSError as error:
            sock.close()
            # The loop's text names the address.
            failure = OSError(error.errno, os.strerror(error.errno)) if error.errno else error
        except BaseException:
            sock.close()
            raise
    raise failure
