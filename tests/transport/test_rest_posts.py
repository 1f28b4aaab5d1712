from __future__ import annotations

import asyncio
import inspect
import threading
import tracemalloc

import pytest

from convsm import AsyncElevenLabs, ConfigurationError, ConnectionFailed, ElevenLabs, UploadedFile
from convsm.testing import LoopbackAgent
from convsm.transport.multipart import CHUNK_BYTES
from tests.transport.helpers import (  # noqa: F401 (a fixture)
    free_port,
    listener,
    nothing_is_left,
)

KEY = "sk_secret"


@pytest.fixture(autouse=True)
def no_key_and_no_proxy_in_the_environment(monkeypatch):
    for name in ("ELEVENLABS_API_KEY", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def agent():
    with LoopbackAgent(api_key=KEY) as agent:
        yield agent


# Uploading


def test_a_file_is_uploaded_and_its_id_returned(agent):
    answer = ElevenLabs(KEY, agent.base_url).upload_file("conv_1", b"\x89PNG\r\n", name="photo.png")
    assert answer == UploadedFile("file_0")
    [file] = agent.uploads
    assert (file.conversation_id, file.name, file.content_type) == ("conv_1", "photo.png", "image/png")
    assert file.content == b"\x89PNG\r\n"
    [request] = agent.requests
    assert (request.method, request.path) == ("POST", "/v1/convai/conversations/conv_1/files")
    assert request.headers["xi-api-key"] == KEY
    assert int(request.headers["Content-Length"]) == len(request.body)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7])
def test_a_path_of_any_size_arrives_whole(agent, tmp_path, size):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(i % 251 for i in range(size)))
    assert ElevenLabs(KEY, agent.base_url).upload_file("conv_1", path).file_id == "file_0"
    assert agent.uploads[0].content == path.read_bytes()


def test_without_a_key_none_is_sent(agent):
    assert ElevenLabs(base_url=agent.base_url).upload_file("conv_1", b"").file_id
    assert "xi-api-key" not in agent.requests[0].headers


def test_an_id_stays_one_piece_of_the_path(agent):
    ElevenLabs(KEY, agent.base_url + "/prefix/").upload_file("a/../b?c#d ü", b"")
    assert agent.requests[0].path == "/prefix/v1/convai/conversations/a%2F..%2Fb%3Fc%23d%20%C3%BC/files"
    assert agent.uploads[0].conversation_id == "a/../b?c#d ü"


@pytest.mark.parametrize("conversation_id", ["", ".", ".."])
def test_an_id_that_is_none_is_refused(agent, conversation_id):
    for call in (
        lambda client, id_: client.upload_file(id_, b""),
        lambda client, id_: client.rate(id_, "like"),
    ):
        with pytest.raises(ConfigurationError, match="conversation id is none"):
            call(ElevenLabs(KEY, agent.base_url), conversation_id)
    assert agent.requests == []


def test_a_file_that_is_too_big_is_not_sent(agent):
    with pytest.raises(ConfigurationError, match="larger than 4 bytes"):
        ElevenLabs(KEY, agent.base_url).upload_file("conv_1", b"12345", max_bytes=4)
    assert agent.requests == []


def test_a_file_goes_nowhere_with_a_key_in_the_clear(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", None)
    with pytest.raises(ConfigurationError, match="An API key does not go to"):
        ElevenLabs(KEY, "http://api.example").upload_file("conv_1", b"")
    with pytest.raises(ConfigurationError, match="is not encrypted"):
        ElevenLabs(base_url="http://api.example").upload_file("conv_1", b"")


def test_a_big_file_is_never_held_whole(tmp_path):
    path = tmp_path / "big.bin"
    size = 16 * 1024 * 1024
    with path.open("wb") as file:
        file.truncate(size)

    def serve(sock):
        # Whole, for a socket that is closed before all was read resets the connection, answer and all.
        with sock.makefile("rb") as request:
            head = b"".join(iter(request.readline, b"\r\n"))
            left = int(head.lower().partition(b"content-length:")[2].split()[0])
            while left > 0 and (piece := request.read(min(left, 65536))):
                left -= len(piece)
        sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"file_id":"f"}')

    with listener(serve) as port:
        client = ElevenLabs(KEY, f"http://127.0.0.1:{port}")
        tracemalloc.start()
        try:
            assert client.upload_file("conv_1", path).file_id == "f"
            assert tracemalloc.get_traced_memory()[1] < size / 8
        finally:
            tracemalloc.stop()


# Failing


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 422, 429, 500])
def test_a_refusal_is_told_by_its_status_without_the_key(agent, status):
    agent.post_answer = (status, b'{"detail": "sk_secret"}')
    with pytest.raises(ConnectionFailed, match=r"the file was not uploaded: .* status") as raised:
        ElevenLabs(KEY, agent.base_url).upload_file("conv_1", b"x")
    assert raised.value.status == status
    assert KEY not in str(raised.value)


def test_a_wrong_key_is_refused(agent):
    with pytest.raises(ConnectionFailed, match="status 401"):
        ElevenLabs("sk_wrong", agent.base_url).upload_file("conv_1", b"x")
    assert agent.uploads == []


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"[]", b"{}", b'{"file_id": null}', b'{"file_id": 5}', b'{"file_id": ""}'],
)
def test_an_answer_without_an_id_is_told(agent, body):
    agent.post_answer = (200, body)
    with pytest.raises(
        ConnectionFailed, match="the file was not uploaded: the API's answer could not be read"
    ):
        ElevenLabs(KEY, agent.base_url).upload_file("conv_1", b"x")


def test_a_server_that_hangs_up_while_it_is_sent_to_is_told():
    with (
        listener(lambda sock: sock.recv(1)) as port,
        pytest.raises(ConnectionFailed, match=r"hung up \((ConnectionReset|BrokenPipe|RemoteDisconnected)"),
    ):
        ElevenLabs(KEY, f"http://127.0.0.1:{port}").upload_file("conv_1", b"x" * 8_000_000)


@pytest.mark.parametrize("size", [10, 8_000_000])
def test_a_server_that_does_not_answer_or_read_is_told_in_time(size):
    over = threading.Event()
    with listener(lambda sock: over.wait(10)) as port:
        with pytest.raises(ConnectionFailed, match="was not reached"):
            ElevenLabs(KEY, f"http://127.0.0.1:{port}").upload_file("conv_1", b"x" * size, timeout=0.05)
        over.set()


def test_a_server_that_is_not_there_is_told():
    with pytest.raises(ConnectionFailed, match="was not reached"):
        ElevenLabs(KEY, f"http://127.0.0.1:{free_port()}").upload_file("conv_1", b"x")


def test_a_file_that_cannot_be_read_is_no_fault_of_the_api(agent, tmp_path):
    class Broken:
        name = "broken.bin"

        def seekable(self):
            return True

        def tell(self):
            return 0

        def seek(self, offset, whence=0):
            return 10

        def read(self, size):
            if size:
                raise OSError("the disk is gone")
            return b""

    with pytest.raises(OSError, match="the disk is gone"):
        ElevenLabs(KEY, agent.base_url).upload_file("conv_1", Broken())  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        ElevenLabs(KEY, agent.base_url).upload_file("conv_1", tmp_path / "nowhere")
    assert agent.uploads == []


# Rating


@pytest.mark.parametrize(
    ("arguments", "options", "body"),
    [
        (("like",), {}, b'{"feedback":"like"}'),
        (("dislike",), {}, b'{"feedback":"dislike"}'),
        ((), {"rating": 0}, b'{"rating":0}'),
        ((), {"rating": 5, "comment": "tore"}, b'{"rating":5,"comment":"tore"}'),
    ],
)
def test_a_conversation_is_rated(agent, arguments, options, body):
    ElevenLabs(KEY, agent.base_url).rate("conv_1", *arguments, **options)
    [request] = agent.requests
    assert (request.method, request.path) == ("POST", "/v1/convai/conversations/conv_1/feedback")
    assert request.headers["Content-Type"] == "application/json"
    assert request.body == body


@pytest.mark.parametrize(
    ("feedback", "options"),
    [
        (None, {}),
        ("like", {"rating": 5}),
        ("like", {"comment": "tore"}),
        (None, {"comment": "tore"}),
        ("love", {}),
        (True, {}),
    ],
)
def test_a_rating_that_says_nothing_or_two_things_is_refused(agent, feedback, options):
    with pytest.raises(ConfigurationError):
        ElevenLabs(KEY, agent.base_url).rate("conv_1", feedback, **options)
    assert agent.requests == []


def test_a_rating_that_is_refused_is_told(agent):
    agent.post_answer = (404, b"")
    with pytest.raises(ConnectionFailed, match=r"the conversation was not rated: .* status 404"):
        ElevenLabs(KEY, agent.base_url).rate("conv_1", "like")


# Regions


def test_a_client_of_a_region_asks_there():
    assert ElevenLabs(KEY).get_base_url() == "https://api.elevenlabs.io"
    assert ElevenLabs(KEY, region="eu").get_base_url() == "https://api.eu.residency.elevenlabs.io"
    assert AsyncElevenLabs(KEY, region="sg").get_base_url() == "https://api.sg.residency.elevenlabs.io"
    for client in (ElevenLabs, AsyncElevenLabs):
        with pytest.raises(ConfigurationError, match="no region 'moon'"):
            client(KEY, region="moon")
        with pytest.raises(ConfigurationError, match="not that of region 'eu'"):
            client(KEY, "https://api.elevenlabs.io", "eu")


# The same for asyncio


def test_the_async_client_has_the_blocking_ones_methods():
    for name in ("__init__", "get_signed_url", "upload_file", "rate", "get_base_url"):
        ours, theirs = (
            inspect.signature(getattr(kind, name)).parameters for kind in (AsyncElevenLabs, ElevenLabs)
        )
        assert ours == theirs, name
    assert repr(AsyncElevenLabs(KEY)) == "AsyncElevenLabs(base_url='https://api.elevenlabs.io')"


def test_the_async_client_asks_without_holding_the_loop_up(agent):
    async def converse():
        client = AsyncElevenLabs(KEY, agent.base_url)
        return await asyncio.gather(
            client.get_signed_url(agent_id="a", environment="e", branch_id="b"),
            client.upload_file("conv_1", b"x", name="a.txt"),
            client.rate("conv_1", "like"),
        )

    signed, uploaded, rated = asyncio.run(converse())
    assert "conversation_signature" in signed.signed_url
    assert uploaded == UploadedFile("file_0")
    assert rated is None
    assert {request.path for request in agent.requests} == {
        "/v1/convai/conversation/get-signed-url?agent_id=a&environment=e&branch_id=b",
        "/v1/convai/conversations/conv_1/files",
        "/v1/convai/conversations/conv_1/feedback",
    }


def test_the_loop_goes_on_while_the_api_thinks():
    asked, answered = threading.Event(), threading.Event()

    def serve(sock):
        sock.recv(65536)
        asked.set()
        assert answered.wait(10)
        sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"signed_url":"ws:"}')

    async def converse(port):
        request = asyncio.ensure_future(
            AsyncElevenLabs(KEY, f"http://127.0.0.1:{port}").get_signed_url(agent_id="a")
        )
        while not asked.is_set():
            await asyncio.sleep(0.001)
        answered.set()  # by the loop, which is free
        return await request

    with listener(serve) as port:
        assert asyncio.run(converse(port)).signed_url == "ws:"


def test_the_async_clients_failures_are_the_blocking_ones(agent):
    client = AsyncElevenLabs(None, agent.base_url)
    with pytest.raises(ConfigurationError, match="needs an API key"):
        asyncio.run(client.get_signed_url(agent_id="a"))
    agent.post_answer = (500, b"")
    with pytest.raises(ConnectionFailed, match="status 500"):
        asyncio.run(client.upload_file("conv_1", b""))
