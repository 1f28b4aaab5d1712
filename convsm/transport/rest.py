"""The few REST calls that conversations need, so that the vendor's SDK is not required."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import quote, urlencode

import attrs
import orjson

from convsm.errors import ConfigurationError, ConnectionFailed
from convsm.protocols.elevenlabs_urls import api_url
from convsm.protocols.urls import check_url, redact_url
from convsm.transport.multipart import UPLOAD_BYTES, FileUnreadable, Upload, UploadSource

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

    from typing_extensions import Self

__all__ = ["AsyncElevenLabs", "ElevenLabs", "SignedUrl", "UploadedFile"]

# What the WebSocket's opening is granted, too.
TIMEOUT_SECONDS = 10.0
# The service looks into the file before it answers.
UPLOAD_TIMEOUT_SECONDS = 60.0
# A signed URL takes a few hundred bytes.
ANSWER_BYTES = 65536

_Answer = TypeVar("_Answer")
Body = bytes | Iterable[bytes | memoryview] | None


@attrs.frozen
class SignedUrl:
    """The API's answer.

    Attributes:
        signed_url: Where the conversation may be opened, once and within fifteen minutes.
    """

    signed_url: str = attrs.field(repr=redact_url)


@attrs.frozen
class UploadedFile:
    """The API's answer.

    Attributes:
        file_id: What a multimodal message names the file by.
    """

    file_id: str


class _Client:
    """What both clients have: where the API is, by which key, and the shape of the vendor's."""

    def __init__(
        self, api_key: str | None = None, base_url: str | None = None, region: str | None = None
    ) -> None:
        """Describe a client; nothing is sent.

        Args:
            api_key: The key; None takes the environment's ELEVENLABS_API_KEY, if there is one. Public
                agents need none.
            base_url: Where the API is; None takes the region's.
            region: Where data stays: ``us``, ``eu``, ``in`` or ``sg``; None takes the nearest. Keys of a
                workspace with data residency are only valid there.

        Raises:
            ConfigurationError: There is no such region, or ``base_url`` is not the region's.
        """
        self._api_key = api_key or os.environ.get("ELEVENLABS_API_KEY") or None
        self._base_url = api_url(base_url, region)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={redact_url(self._base_url)!r})"

    # Conversations reach the methods by the same path as in the vendor's client.

    @property
    def _client_wrapper(self) -> Self:
        return self

    @property
    def conversational_ai(self) -> Self:
        """Return this client; part of the path to its methods."""
        return self

    @property
    def conversations(self) -> Self:
        """Return this client; part of the path to its methods."""
        return self

    def get_base_url(self) -> str:
        """Return where the API is."""
        return self._base_url


class ElevenLabs(_Client):
    """The part of an ElevenLabs client that conversations use.

    It has the shape of the vendor's own client as far as ``Conversation`` looks: either may be passed. Any
    thread may call it, several at once.
    """

    def get_signed_url(
        self, *, agent_id: str, environment: str | None = None, branch_id: str | None = None
    ) -> SignedUrl:
        """Ask for a URL at which a private agent's conversation may be opened; blocks up to 10 s.

        Args:
            agent_id: Id of the agent.
            environment: Name of the server-side environment.
            branch_id: Id of the agent's branch.

        Raises:
            ConfigurationError: There is no key, no header can hold it, or it would go unencrypted to
                another machine.
            ConnectionFailed: The API did not answer, or refused; with its HTTP status.
        """
        if self._api_key is None:
            raise ConfigurationError("A signed URL needs an API key: pass api_key or set ELEVENLABS_API_KEY.")
        wanted = {"agent_id": agent_id, "environment": environment, "branch_id": branch_id}
        query = urlencode({name: value for name, value in wanted.items() if value}, quote_via=quote)
        failed = "no signed URL"
        answer = self._ask(failed, f"/v1/convai/conversation/get-signed-url?{query}")
        return SignedUrl(_text_of(answer, "signed_url", failed))

    def upload_file(
        self,
        conversation_id: str,
        file: UploadSource,
        *,
        name: str | None = None,
        content_type: str | None = None,
        max_bytes: int = UPLOAD_BYTES,
        timeout: float = UPLOAD_TIMEOUT_SECONDS,
    ) -> UploadedFile:
        """Upload an image, a PDF or a text, which a multimodal message can then name; blocks.

        The file is sent as it is read, never held whole. The key goes along if there is one.

        Args:
            conversation_id: Id of the conversation, which may be under way.
            file: Bytes, a path, or a binary file object, which is read from where it stands to its end and
                left open. One that cannot seek, such as a pipe, is read into memory first.
            name: Name for the server; None takes the path's or the file object's, without folders.
            content_type: Such as ``image/png``; None guesses by the name.
            max_bytes: Size from which on a file is refused without sending it.
            timeout: Seconds that connecting, each piece and the answer may take.

        Raises:
            ConfigurationError: The file is too big or no binary one, an id or type is none, or the key
                would go unencrypted to another machine.
            ConnectionFailed: The API did not answer, or refused; with its HTTP status.
            OSError: The file cannot be read, or became shorter meanwhile.
        """
        from secrets import token_hex

        failed = "the file was not uploaded"
        path = f"{_conversation(conversation_id)}/files"
        with Upload.of(file, name, content_type, max_bytes) as upload:
            boundary = f"convsm-{token_hex(16)}"
            length, pieces = upload.form(boundary)
            headers = {
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Content-Length": str(length),
            }
            try:
                answer = self._ask(failed, path, pieces, headers, timeout)
            except FileUnreadable as unreadable:
                raise unreadable.error from None
        return UploadedFile(_text_of(answer, "file_id", failed))

    def rate(
        self,
        conversation_id: str,
        feedback: Literal["like", "dislike"] | None = None,
        *,
        rating: int | None = None,
        comment: str | None = None,
    ) -> None:
        """Say how a conversation was, after it has ended; blocks up to 10 s.

        Args:
            conversation_id: Id of the conversation.
            feedback: Whether it was liked.
            rating: A number of stars in its place.
            comment: A few words along with the stars.

        Raises:
            ConfigurationError: Neither or both of feedback and rating are given, or the key would go
                unencrypted to another machine.
            ConnectionFailed: The API did not answer, or refused; with its HTTP status.
        """
        if (feedback is None) == (rating is None) or (rating is None and comment is not None):
            raise ConfigurationError("Give feedback, or a rating with or without a comment.")
        if feedback not in (None, "like", "dislike"):
            raise ConfigurationError("The feedback is neither 'like' nor 'dislike'; give one of them.")
        said = {"feedback": feedback, "rating": rating, "comment": comment}
        self._ask(
            "the conversation was not rated",
            f"{_conversation(conversation_id)}/feedback",
            orjson.dumps({name: value for name, value in said.items() if value is not None}),
            {"Content-Type": "application/json"},
        )

    def _ask(
        self,
        failed: str,
        path: str,
        body: Body = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """Make one request, a POST if it has a body, and return the beginning of what is answered."""
        # Imported on use: most sessions need no HTTP client, and everybody pays for an import.
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.request import Request

        key = self._api_key
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ConfigurationError("The API key contains a line break or the like; pass it without.")
        check_url(self._base_url.replace("http", "ws", 1), has_key=key is not None)
        request = Request(  # noqa: S310  # the scheme was checked
            self._base_url.rstrip("/") + path,
            data=body,  # type: ignore[arg-type]  # it takes what can be sent piece by piece, too
            headers={**(headers or {}), **({} if key is None else {"xi-api-key": key})},
        )
        try:
            with _opener(request.type).open(request, timeout=timeout or TIMEOUT_SECONDS) as answer:
                return bytes(answer.read(ANSWER_BYTES))
        except HTTPError as error:
            with error:
                raise ConnectionFailed(
                    f"{failed}: the API answered with HTTP status {error.code}", error.code
                ) from None
        except (OSError, HTTPException) as error:
            cause = getattr(error, "reason", error)
            raise ConnectionFailed(
                f"{failed}: the API was not reached, or hung up ({type(cause).__name__})"
            ) from None


class AsyncElevenLabs(_Client):
    """The same for asyncio: what goes to the API is awaited.

    Each call blocks a thread of the event loop's default executor in place of the loop; one that is cancelled
    returns at once, and its request goes on in that thread until it is answered or times out.
    """

    async def get_signed_url(
        self, *, agent_id: str, environment: str | None = None, branch_id: str | None = None
    ) -> SignedUrl:
        """Ask for a URL at which a private agent's conversation may be opened, as ElevenLabs does."""
        return await _in_thread(
            self._blocking.get_signed_url, agent_id=agent_id, environment=environment, branch_id=branch_id
        )

    async def upload_file(
        self,
        conversation_id: str,
        file: UploadSource,
        *,
        name: str | None = None,
        content_type: str | None = None,
        max_bytes: int = UPLOAD_BYTES,
        timeout: float = UPLOAD_TIMEOUT_SECONDS,
    ) -> UploadedFile:
        """Upload a file, as ElevenLabs does; a file object is read in another thread."""
        return await _in_thread(
            self._blocking.upload_file,
            conversation_id,
            file,
            name=name,
            content_type=content_type,
            max_bytes=max_bytes,
            timeout=timeout,
        )

    async def rate(
        self,
        conversation_id: str,
        feedback: Literal["like", "dislike"] | None = None,
        *,
        rating: int | None = None,
        comment: str | None = None,
    ) -> None:
        """Say how a conversation was, as ElevenLabs does."""
        await _in_thread(self._blocking.rate, conversation_id, feedback, rating=rating, comment=comment)

    @property
    def _blocking(self) -> ElevenLabs:
        return ElevenLabs(self._api_key, self._base_url)


async def _in_thread(call: Callable[..., _Answer], *arguments: object, **options: object) -> _Answer:
    from asyncio import to_thread

    return await to_thread(call, *arguments, **options)


def _conversation(conversation_id: str) -> str:
    # One of dots only would name another path.
    if not conversation_id.strip("."):
        raise ConfigurationError("The conversation id is none; give the one that the server sent.")
    return f"/v1/convai/conversations/{quote(conversation_id, safe='')}"


def _text_of(answer: bytes, field: str, failed: str) -> str:
    try:
        value = orjson.loads(answer)[field]
    except (ValueError, KeyError, TypeError):
        value = None
    if not isinstance(value, str) or not value:
        raise ConnectionFailed(f"{failed}: the API's answer could not be read")
    return value


def _opener(scheme: str) -> OpenerDirector:
    from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

    class RefuseRedirects(HTTPRedirectHandler):
        # It would carry the API key to a host that was not checked.
        def redirect_request(self, *arguments: object) -> None:
            return None

    # Plain http was only accepted because it stays on this machine; a proxy would carry the key away.
    return build_opener(RefuseRedirects, ProxyHandler({} if scheme == "http" else None))
