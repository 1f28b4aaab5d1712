"""Where an OpenAI Realtime session is opened, and the headers that go along: the key is never in the URL."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from convsm.errors import ConfigurationError

__all__ = ["BASE_URL", "request_headers", "session_url"]

BASE_URL = "https://api.openai.com/v1"

_SOCKET_SCHEMES = {"https": "wss", "http": "ws"}


def session_url(model: str | None, base_url: str = BASE_URL, query: Mapping[str, str] | None = None) -> str:
    """Return the URL of a session. It holds no secret as long as base URL and query hold none.

    Args:
        model: The model; None where the server knows it, or the query names a deployment.
        base_url: Where the API is: ``https`` becomes ``wss`` and ``http`` becomes ``ws``; path and query are
            kept. Many servers speak this protocol.
        query: Further parameters.

    Raises:
        ConfigurationError: The base URL is none.
    """
    try:
        base = urlsplit(base_url)
    except ValueError:
        raise ConfigurationError(f"The base URL cannot be read; give one like {BASE_URL}.") from None
    parameters = dict(parse_qsl(base.query, keep_blank_values=True))
    if model is not None:
        parameters["model"] = model
    parameters.update(query or {})
    path = base.path.rstrip("/") + "/realtime"
    scheme = _SOCKET_SCHEMES.get(base.scheme, base.scheme)
    return urlunsplit((scheme, base.netloc, path, urlencode(parameters, quote_via=quote), ""))


def request_headers(
    api_key: str | None, organization: str | None = None, project: str | None = None
) -> dict[str, str]:
    """Return the headers of the upgrade request. They hold the key: log them never.

    Args:
        api_key: The key, or a short-lived client secret; None for a server that wants none.
        organization: Id of the organization to bill.
        project: Id of the project to bill.

    Raises:
        ConfigurationError: No header can hold one of them. The text does not show it.
    """
    named = {"api_key": api_key, "organization": organization, "project": project}
    for name, value in named.items():
        if value is not None and not (value.isascii() and value.isprintable() and value.strip()):
            raise ConfigurationError(f"{name} holds characters that no header can; check it.")
    headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
    if organization is not None:
        headers["OpenAI-Organization"] = organization
    if project is not None:
        headers["OpenAI-Project"] = project
    return headers
