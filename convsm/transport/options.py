"""What may be set about a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import ssl

__all__ = ["TransportOptions"]


@attrs.frozen
class TransportOptions:
    """Limits of a connection; times in seconds.

    Attributes:
        open_seconds: For TCP, TLS and the WebSocket handshake, each. 10: what other clients grant.
        max_bytes: Size limit of a received message. 16 MiB: what the reference client allows.
        ping_seconds: After so long without anything received a ping frame is sent; twice that
            without anything received is a lost connection. 20: what other clients do.
        ssl_context: How to trust a ``wss`` server; None trusts what the system does.
    """

    open_seconds: float = 10.0
    max_bytes: int = 16 * 1024 * 1024
    ping_seconds: float = 20.0
    ssl_context: ssl.SSLContext | None = None
