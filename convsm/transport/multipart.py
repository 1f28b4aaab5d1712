"""A file to upload: opened, measured, and written as multipart/form-data (RFC 7578) piece by piece."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import PurePath
from types import TracebackType
from typing import IO, TYPE_CHECKING

import attrs

from convsm.errors import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["UPLOAD_BYTES", "FileUnreadable", "Upload", "UploadSource"]

UploadSource = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]

# The service publishes no limit; photos and documents that are made for talking about are smaller.
UPLOAD_BYTES = 20 * 1024 * 1024
CHUNK_BYTES = 65536

# What would end the quoted name or its line, or is read in different ways (a backslash escapes, to some).
_UNSAFE = re.compile(r'["\\\x00-\x1f\x7f]')
_CONTENT_TYPE = re.compile(r"[!#-'*+.0-9A-Z^_`a-z|~-]+/[!#-'*+.0-9A-Z^_`a-z|~-]+(;[\x20-\x7e]*)?")


class FileUnreadable(Exception):
    """Reading the file failed while it was being sent. It is no OSError, as failures to send are.

    Attributes:
        error: What reading raised.
    """

    def __init__(self, error: OSError) -> None:
        self.error = error
        super().__init__(error)


@attrs.define(eq=False)
class Upload:
    """A file ready to be read once. Leaving it as a context closes the file if it was opened here.

    Attributes:
        name: What the server is told it is called.
        content_type: Its media type.
        size: Bytes that will be read.
    """

    name: str
    content_type: str
    size: int
    _content: memoryview | IO[bytes] = attrs.field(repr=False)
    _is_ours: bool = attrs.field(default=False, repr=False)

    @classmethod
    def of(
        cls,
        file: UploadSource,
        name: str | None = None,
        content_type: str | None = None,
        max_bytes: int = UPLOAD_BYTES,
    ) -> Upload:
        """Open and measure what a user gave.

        Args:
            file: Bytes, a path, or a binary file object, which is read from where it stands.
            name: Its name; None takes the path's, without folders, or ``file`` if there is none.
            content_type: Its media type; None guesses by the name.
            max_bytes: What is too big is refused before anything is sent.

        Raises:
            ConfigurationError: It is too big, not binary, or the content type is none.
            OSError: It cannot be opened or read.
        """
        is_ours = isinstance(file, str | os.PathLike)
        content: memoryview | IO[bytes]
        if isinstance(file, bytes | bytearray | memoryview):
            content = memoryview(file).cast("B")
            named: object = None
        elif isinstance(file, str | os.PathLike):
            named = os.fspath(file)
            content = open(file, "rb")  # noqa: SIM115  # closed by the context that this becomes
        elif hasattr(file, "read"):
            named, content = getattr(file, "name", None), file
        else:
            raise ConfigurationError(
                f"A {type(file).__name__} is no file; give bytes, a path or a binary file object."
            )
        try:
            name = name or (PurePath(named).name if isinstance(named, str) else "") or "file"
            content, size = _measured(content, max_bytes)
            return cls(name, _media_type(content_type, name), size, content, is_ours)
        except BaseException:
            if is_ours and not isinstance(content, memoryview):
                content.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_ours and not isinstance(self._content, memoryview):
            self._content.close()

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the content, exactly ``size`` bytes.

        Raises:
            FileUnreadable: It cannot be read, or became shorter since it was measured.
        """
        if isinstance(self._content, memoryview):
            for start in range(0, self.size, CHUNK_BYTES):
                yield self._content[start : start + CHUNK_BYTES]
            return
        left = self.size
        while left:
            try:
                chunk = self._content.read(min(CHUNK_BYTES, left))
                if not chunk:
                    raise OSError("The file became shorter while it was read; upload it when it is whole.")
            except OSError as error:
                raise FileUnreadable(error) from error
            left -= len(chunk)
            yield chunk

    def read(self) -> bytes:
        """Return the whole content, for who cannot send it in pieces.

        Raises:
            OSError: It cannot be read, or became shorter since it was measured.
        """
        try:
            return b"".join(self.chunks())
        except FileUnreadable as unreadable:
            raise unreadable.error from None

    def form(self, boundary: str, field: str = "file") -> tuple[int, Iterator[bytes | memoryview]]:
        """Return the length in bytes and the pieces of a form with this file as its one field.

        Args:
            boundary: A line that the file does not hold; make it random.
            field: Name of the field.
        """
        name = _UNSAFE.sub(lambda found: f"%{ord(found.group()):02X}", self.name)
        # Names go as plain UTF-8; RFC 7578 forbids the encoded form that e-mail knows.
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
            f"Content-Type: {self.content_type}\r\n\r\n"
        ).encode("utf-8", "replace")
        tail = f"\r\n--{boundary}--\r\n".encode()

        def pieces() -> Iterator[bytes | memoryview]:
            yield head
            yield from self.chunks()
            yield tail

        return len(head) + self.size + len(tail), pieces()


def _measured(content: memoryview | IO[bytes], max_bytes: int) -> tuple[memoryview | IO[bytes], int]:
    if isinstance(content, memoryview):
        size = content.nbytes
    elif hasattr(content, "seekable") and content.seekable():
        _as_bytes(content.read(0))
        here = content.tell()
        size = max(content.seek(0, os.SEEK_END) - here, 0)
        content.seek(here)
    else:
        # A pipe has no length, but the form needs one; what is too big is not read to its end.
        whole = bytearray()
        while len(whole) <= max_bytes and (chunk := _as_bytes(content.read(CHUNK_BYTES))):
            whole += chunk
        content, size = memoryview(whole), len(whole)
    if size > max_bytes:
        raise ConfigurationError(
            f"The file is larger than {max_bytes:,} bytes; upload a smaller one, or raise max_bytes."
        )
    return content, size


def _as_bytes(chunk: object) -> bytes:
    if not isinstance(chunk, bytes):
        raise ConfigurationError("The file is not opened as binary; open it with mode 'rb'.")
    return chunk


def _media_type(given: str | None, name: str) -> str:
    if given is not None:
        if not _CONTENT_TYPE.fullmatch(given):
            raise ConfigurationError("The content type is none; give one like image/png.")
        return given
    # Imported on use, as all that only uploads need.
    from mimetypes import guess_type

    return guess_type(name)[0] or "application/octet-stream"
