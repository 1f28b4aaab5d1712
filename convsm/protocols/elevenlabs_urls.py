"""Where an ElevenLabs conversation is opened."""

from __future__ import annotations

from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from convsm.errors import ConfigurationError
from convsm.version import VERSION

__all__ = ["SOURCE", "api_url", "public_url", "signed_url"]

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
