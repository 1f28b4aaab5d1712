"""The one REST call that a conversation needs, so that the vendor's SDK is not required."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import attrs
import orjson

from convsm.errors import ConfigurationError, ConnectionFailed
from convsm.protocols.elevenlabs_urls import check_url, redact_url

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

__all__ = ["ElevenLabs", "SignedUrl"]

DEFAULT_BASE_URL = "https://api.elevenlabs.io"
# What the WebSocket's opening is granted, too.
TIMEOUT_SECONDS = 10.0
# A signed URL takes a few hundred bytes.
ANSWER_BYTES = 65536


@attrs.frozen
class SignedUrl:
    """The API's answer.

    Attributes:
        signed_url: Where the conversation may be opened, once and within fifteen minutes.
    """

    signed_url: str = attrs.field(repr=redact_url)


class ElevenLabs:
    """The part of an ElevenLabs client that conversations use.

    It has the shape of the vendor's own client as far as ``Conversation`` looks: either may be passed.
    """

    def __init__(self, api_key: str | None = None, base_url: str = DEFAULT_BASE_URL) -> None:
        """Describe a client; nothing is sent.

        Args:
            api_key: The key; None takes the environment's ELEVENLABS_API_KEY, if there is one. Public
                agents need none.
            base_url: Where the API is.
        """
        self._api_key = api_key or os.environ.get("ELEVENLABS_API_KEY") or None
        self._base_url = base_url

    def __repr__(self) -> str:
        return f"ElevenLabs(base_url={redact_url(self._base_url)!r})"

    # Conversation reaches its methods by the same path as in the vendor's client.

    @property
    def _client_wrapper(self) -> ElevenLabs:
        return self

    @property
    def conversational_ai(self) -> ElevenLabs:
        """Return this client; part of the path to ``get_signed_url``."""
        return self

    @property
    def conversations(self) -> ElevenLabs:
        """Return this client; part of the path to ``get_signed_url``."""
        return self

    def get_base_url(self) -> str:
        """Return where the API is."""
        return self._base_url

    def get_signed_url(self, *, agent_id: str, environment: str | None = None) -> SignedUrl:
        """Ask for a URL at which a private agent's conversation may be opened; blocks up to 10 s.

        Args:
            agent_id: Id of the agent.
            environment: Name of the server-side environment.

        Raises:
            ConfigurationError: There is no key, no header can hold it, or it would go unencrypted to
                another machine.
            ConnectionFailed: The API did not answer, or refused; with its HTTP status.
        """
        # Imported on use: most sessions need no HTTP client, and everybody pays for an import.
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.request import Request

        key = self._api_key
        if key is None:
            raise ConfigurationError("A signed URL needs an API key: pass api_key or set ELEVENLABS_API_KEY.")
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError("The API key contains a line break or the like; pass it without.")
        check_url(self._base_url.replace("http", "ws", 1), has_key=True)
        query = {"agent_id": agent_id, **({"environment": environment} if environment else {})}
        base = self._base_url.rstrip("/")
        request = Request(  # noqa: S310  # the scheme was checked
            f"{base}/v1/convai/conversation/get-signed-url?{urlencode(query, quote_via=quote)}",
            headers={"xi-api-key": key},
        )
        try:
            with _opener(request.type).open(request, timeout=TIMEOUT_SECONDS) as answer:
                signed_url = orjson.loads(answer.read(ANSWER_BYTES))["signed_url"]
        except HTTPError as error:
            with error:
                raise ConnectionFailed(
                    f"no signed URL: the API answered with HTTP status {error.code}", error.code
                ) from None
        except (OSError, HTTPException) as error:
            raise ConnectionFailed(
                f"no signed URL: the API was not reached ({type(error).__name__})"
            ) from None
        except (ValueError, KeyError, TypeError):
            signed_url = None
        if not isinstance(signed_url, str):
            raise ConnectionFailed("no signed URL: the API's answer could not be read")
        return SignedUrl(signed_url)


def _opener(scheme: str) -> OpenerDirector:
    from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

    class RefuseRedirects(HTTPRedirectHandler):
        # It would carry the API key to a host that was not checked.
        def redirect_request(self, *arguments: object) -> None:
            return None

    # Plain http was only accepted because it stays on this machine; a proxy would carry the key away.
    return build_opener(RefuseRedirects, ProxyHandler({} if scheme == "http" else None))
