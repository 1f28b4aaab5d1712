from __future__ import annotations

import io
import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.errors import ConfigurationError
from convsm.testing.http_requests import HttpMessage, parse_upload
from convsm.transport.multipart import CHUNK_BYTES, FileUnreadable, Upload

BOUNDARY = "convsm-0123"
NAMES = st.text(min_size=1, max_size=30)


def form_of(upload):
    length, pieces = upload.form(BOUNDARY)
    form = b"".join(pieces)
    assert len(form) == length
    return form


def parsed(form):
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return parse_upload(HttpMessage("POST", "/", headers, form), "conv_1", "file_0")


# The form


def test_the_form_is_written_to_the_letter():
    assert form_of(Upload.of(b"\x00\r\n--", "räksmörgås.png")) == (
        b"--convsm-0123\r\n"
        b'Content-Disposition: form-data; name="file"; filename="r\xc3\xa4ksm\xc3\xb6rg\xc3\xa5s.png"\r\n'
        b"Content-Type: image/png\r\n"
        b"\r\n"
        b"\x00\r\n--\r\n"
        b"--convsm-0123--\r\n"
    )


@given(st.binary(max_size=200), NAMES)
def test_any_content_under_any_name_arrives(content, name):
    file = parsed(form_of(Upload.of(content, name)))
    assert file is not None
    assert file.content == content
    assert (
        file.name
        == "".join(
            f"%{ord(character):02X}" if character in '"\\\x7f' or character < " " else character
            for character in name
        )
        .encode("utf-8", "replace")
        .decode()
    )


@pytest.mark.parametrize(
    "name", ['a"\r\nContent-Type: text/html\r\n\r\n<b>', 'a"; filename="b', "a\\", "a\x00b", "a\nb", "\udcff"]
)
def test_a_name_breaks_out_of_nothing(name):
    form = form_of(Upload.of(b"content", name))
    head = form.split(b"\r\n\r\n")[0]
    assert head.count(b"\r\n") == 2
    assert head.count(b'"') == 4
    assert head.count(b"\r\nContent-Type") == 1
    assert parsed(form).content == b"content"


def test_the_names_without_a_type_are_octets():
    assert Upload.of(b"", "a.pdf").content_type == "application/pdf"
    assert Upload.of(b"", "a").content_type == "application/octet-stream"
    assert Upload.of(b"", "a.pdf", "text/plain; charset=utf-8").content_type == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "content_type", ["", "png", "image/", "image/png\r\nX: y", "image/png\n", "a b/c", "image/ü", "/"]
)
def test_a_content_type_that_is_none_is_refused(content_type):
    with pytest.raises(ConfigurationError, match="content type is none"):
        Upload.of(b"", "a", content_type)


# What is given


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_all_kinds_are_a_file(kind):
    upload = Upload.of(kind(b"content"))
    assert (upload.name, upload.size, upload.read()) == ("file", 7, b"content")


def test_a_path_is_opened_named_without_its_folders_and_closed(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"x" * (CHUNK_BYTES + 1))
    for given_path in (path, str(path)):
        with Upload.of(given_path) as upload:
            assert (upload.name, upload.content_type) == ("photo.jpg", "image/jpeg")
            assert [len(chunk) for chunk in upload.chunks()] == [CHUNK_BYTES, 1]
        with pytest.raises(ValueError, match="closed"):
            upload.read()


def test_a_file_object_is_read_from_where_it_stands_and_left_open():
    file = io.BytesIO(b"head content")
    file.seek(5)
    with Upload.of(file, "a.txt") as upload:
        assert upload.size == 7
        assert upload.read() == b"content"
    assert not file.closed


def test_a_file_object_is_named_after_its_path_if_it_has_one(tmp_path):
    (tmp_path / "notes.txt").write_bytes(b"n")
    with (tmp_path / "notes.txt").open("rb") as file:
        assert Upload.of(file).name == "notes.txt"
    with tempfile.TemporaryFile() as file:  # its name is a number
        assert Upload.of(file).name == "file"


def test_a_pipe_is_read_to_its_end():
    reading, writing = os.pipe()

    def write():
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            for _ in range(3):
                pipe.write(b"abc")

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        assert Upload.of(pipe).read() == b"abc" * 3
    writer.join()


# What is refused


def test_a_file_that_is_too_big_is_refused_and_closed(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(b"x" * 11)
    for file in (b"x" * 11, path, io.BytesIO(b"x" * 11)):
        with pytest.raises(ConfigurationError, match="larger than 10 bytes; upload a smaller one"):
            Upload.of(file, max_bytes=10)
    assert Upload.of(b"x" * 10, max_bytes=10).size == 10


def test_an_endless_pipe_is_not_read_to_its_end():
    class Endless(io.RawIOBase):
        taken = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            self.taken += len(buffer)
            return len(buffer)

    endless = Endless()
    with pytest.raises(ConfigurationError, match="larger"):
        Upload.of(endless, max_bytes=100_000)  # type: ignore[arg-type]
    assert endless.taken <= 100_000 + CHUNK_BYTES


@pytest.mark.parametrize("file", [None, 5, ["a"], object()])
def test_what_is_no_file_is_refused(file):
    with pytest.raises(ConfigurationError, match="is no file; give bytes, a path or a binary file object"):
        Upload.of(file)


def test_a_text_file_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("text")
    with path.open() as file, pytest.raises(ConfigurationError, match="open it with mode 'rb'"):
        Upload.of(file)
    with pytest.raises(ConfigurationError, match="open it with mode 'rb'"):
        Upload.of(io.StringIO("text"))  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["", "nowhere/at/all", "a\x00b", Path(".")])
def test_a_path_that_cannot_be_opened_raises_what_open_raises(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((OSError, ValueError)):
        Upload.of(path)


def test_a_file_that_becomes_shorter_is_told_and_one_that_grows_is_cut(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"content")
    with Upload.of(path) as upload:
        path.write_bytes(b"cont")
        with pytest.raises(FileUnreadable):
            list(upload.chunks())
    with Upload.of(path) as upload:
        path.write_bytes(b"content")
        assert upload.read() == b"cont"
    with Upload.of(path) as upload:
        path.write_bytes(b"")
        with pytest.raises(OSError, match="became shorter"):
            upload.read()
