from __future__ import annotations

import socket
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.testing import LoopbackAgent
from convsm.testing.http_requests import HttpMessage, parse_upload, read_request

REQUEST = b"POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
FORM = (
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nhi\r\n--B--\r\n"
)


def read(pieces):
    coming = iter([*pieces, b""])
    return read_request(next(coming), lambda: next(coming))


def upload(form, content_type="multipart/form-data; boundary=B"):
    return parse_upload(HttpMessage("POST", "/", {"Content-Type": content_type}, form), "conv_1", "file_0")


@given(st.lists(st.integers(1, len(REQUEST) - 1), max_size=5))
def test_a_request_is_read_in_whatever_pieces_it_comes(cuts):
    edges = [0, *sorted(set(cuts)), len(REQUEST)]
    request = read([REQUEST[start:end] for start, end in pairwise(edges)])
    assert (request.method, request.path, request.body) == ("POST", "/x?y", b"hello")
    assert request.headers["content-length"] == "5"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x16\x03\x01",
        REQUEST[:-1],
        REQUEST[:20],
        b"POST /x HTTP/1.0\r\n\r\n",
        b"post /x HTTP/1.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nno header\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST " + b"x" * 70_000,
    ],
)
def test_what_is_no_request_with_a_length_is_none(data):
    assert read([data]) is None


def test_a_form_with_one_file_is_taken_apart():
    file = upload(FORM)
    assert (file.conversation_id, file.file_id) == ("conv_1", "file_0")
    assert (file.name, file.content_type, file.content) == ("a.txt", "text/plain", b"hi")


@pytest.mark.parametrize(
    "form",
    [
        b"",
        FORM[1:],
        FORM[:-2],
        FORM.replace(b'name="file"', b'name="other"'),
        FORM.replace(b'; filename="a.txt"', b""),
        FORM.replace(b"Content-Type", b"X"),
        FORM.replace(b"Content-Type: text/plain\r\n", b""),
        FORM.replace(b"\r\n\r\n", b"\r\n"),
        FORM.replace(b"hi", b"--B\r\nhi"),
        FORM.replace(b"a.txt", b"\xff"),
        FORM.replace(b"a.txt", b'a"b'),
        FORM.replace(b"text/plain", b"text/plain\r\nX-Injected: 1"),
    ],
)
def test_any_other_form_is_none(form):
    assert upload(form) is None


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary="]
)
def test_a_form_without_a_boundary_is_none(content_type):
    assert upload(FORM, content_type) is None


# Over a socket


def answer_to(agent, request):
    with socket.create_connection(("127.0.0.1", agent.port)) as sock:
        sock.sendall(request)
        received = b""
        while more := sock.recv(65536):
            received += more
    return received


def post(path, body=b"", headers=""):
    return f"POST {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def test_the_agent_answers_what_the_service_would():
    with LoopbackAgent(api_key="k") as agent:
        form = "Content-Type: multipart/form-data; boundary=B\r\n"
        files, feedback = "/v1/convai/conversations/c%201/files", "/v1/convai/conversations/c/feedback"
        assert answer_to(agent, post(files, FORM, form)).endswith(b'{"file_id":"file_0"}')
        assert answer_to(agent, post(files, FORM, form)).endswith(b'{"file_id":"file_1"}')
        assert answer_to(agent, post(files, b"?", form)).startswith(b"HTTP/1.1 422 ")
        assert answer_to(agent, post(files, FORM, form + "xi-api-key: x\r\n")).startswith(b"HTTP/1.1 401 ")
        assert answer_to(agent, post(feedback, b"{}")).startswith(b"HTTP/1.1 200 ")
        assert answer_to(agent, post("/v1/convai/conversations/c")).startswith(b"HTTP/1.1 404 ")
        assert answer_to(agent, b"DELETE " + post(files)[5:]).startswith(b"HTTP/1.1 404 ")
        assert answer_to(agent, b"\x16\x03\x01\r\n\r\n") == b""
        assert [file.conversation_id for file in agent.uploads] == ["c 1", "c 1"]
        assert [request.status for request in agent.requests] == [200, 200, 422, 401, 200, 404, 404]
        assert {request.method for request in agent.requests} == {"POST", "DELETE"}
        assert FORM.decode() not in repr(agent.requests) + repr(agent.uploads)


def test_a_test_may_set_what_a_post_is_answered_with():
    with LoopbackAgent(post_answer=(503, b"<garbled")) as agent:
        answer = answer_to(agent, post("/v1/convai/conversations/c/files"))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b"<garbled")
        assert agent.uploads == []
