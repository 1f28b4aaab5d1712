"""HTTP requests that are no upgrades: read whole, and the form that an upload is, taken apart strictly."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import attrs
from websockets.datastructures import Headers

__all__ = ["HttpMessage", "ReceivedFile", "parse_upload", "read_request"]

HEAD_BYTES = 65536
# More than any test needs; the client's own limit is lower.
BODY_BYTES = 64 * 1024 * 1024

_REQUEST_LINE = re.compile(r"([A-Z]+) (\S+) HTTP/1\.1")
_HEADER = re.compile(r"([!#-'*+.0-9A-Z^_`a-z|~-]+): *([\x20-\x7e\x80-\xff]*)")
_BOUNDARY = re.compile(r"multipart/form-data; boundary=([0-9A-Za-z'()+_,./:=?-]{1,70})")
_DISPOSITION = re.compile(r'form-data; name="([^"]*)"; filename="([^"]*)"')


@attrs.frozen
class HttpMessage:
    """A request as it came.

    Attributes:
        method: Such as ``POST``.
        path: Path and query.
        headers: Case-insensitive.
        body: All of it.
    """

    method: str
    path: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class ReceivedFile:
    """A file that a client uploaded to a conversation.

    Attributes:
        conversation_id: Which.
        file_id: What it can be named by from now on.
        name: The client's name for it, as it stands in the form: quotes and line breaks percent-encoded.
        content_type: Its media type.
        content: Its bytes.
    """

    conversation_id: str
    file_id: str
    name: str
    content_type: str
    content: bytes = attrs.field(repr=False)


def read_request(start: bytes, receive: Callable[[], bytes]) -> HttpMessage | None:
    """Read a request to its end.

    Args:
        start: What came already.
        receive: Waits for more; empty once the client is gone.

    Returns:
        None if the client left before its end, or what came is no HTTP request with a length.
    """
    data = bytearray(start)
    while b"\r\n\r\n" not in data:
        if len(data) > HEAD_BYTES or not (more := receive()):
            return None
        data += more
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    request_line = _REQUEST_LINE.fullmatch(first)
    fields = [_HEADER.fullmatch(line) for line in lines]
    if request_line is None or None in fields:
        return None
    headers = Headers([(found[1], found[2]) for found in fields if found is not None])
    length = headers.get("Content-Length", "0")
    if not length.isdecimal() or int(length) > BODY_BYTES or "Transfer-Encoding" in headers:
        return None
    pieces, missing = [body], int(length) - len(body)
    while missing > 0:
        if not (more := receive()):
            return None
        pieces.append(more)
        missing -= len(more)
    return HttpMessage(request_line[1], request_line[2], headers, b"".join(pieces))


def parse_upload(message: HttpMessage, conversation_id: str, file_id: str) -> ReceivedFile | None:
    """Return the one file in a form, or None if the body is no such form to the letter."""
    boundary = _BOUNDARY.fullmatch(message.headers.get("Content-Type", ""))
    if boundary is None:
        return None
    delimiter = b"--" + boundary[1].encode()
    start, end = delimiter + b"\r\n", b"\r\n" + delimiter + b"--\r\n"
    form = message.body
    if not (form.startswith(start) and form.endswith(end)):
        return None
    part = form[len(start) : len(form) - len(end)]
    if delimiter in part:
        return None
    head, blank, content = part.partition(b"\r\n\r\n")
    try:
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        headers = {name.lower(): value for name, value in lines}
    except ValueError:
        return None
    named = _DISPOSITION.fullmatch(headers.get("content-disposition", ""))
    if (
        not blank
        or named is None
        or named[1] != "file"
        or headers.keys() - {"content-disposition"} != {"content-type"}
    ):
        return None
    return ReceivedFile(conversation_id, file_id, named[2], headers["content-type"], content)
