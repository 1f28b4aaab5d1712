"""Clients that the tests of the loopback agent drive it with."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager

import pybase64
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from convsm.testing import LoopbackAgent, ScriptFailure

INITIATION = {"type": "conversation_initiation_client_data"}


class Client:
    """What a test needs of a client, over the `websockets` sync client."""

    def __init__(self, connection):
        self.connection = connection

    def send(self, **message):
        self.connection.send(json.dumps(message))

    def speak(self, audio):
        self.send(user_audio_chunk=pybase64.b64encode(audio).decode())

    def receive(self):
        return json.loads(self.connection.recv(timeout=5))

    def receive_types(self, count):
        return [self.receive()["type"] for _ in range(count)]

    def receive_close(self):
        try:
            while True:
                self.connection.recv(timeout=5)
        except ConnectionClosed as closed:
            return None if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)


@contextmanager
def client_of(agent, url=None, *, initiate=True):
    with connect(url or agent.url, max_size=None, close_timeout=2) as connection:
        client = Client(connection)
        if initiate:
            client.send(**INITIATION)
        yield client


@contextmanager
def conversation(script, **options):
    """An agent and a client that has been through the opening."""
    with LoopbackAgent(script, **options) as agent, client_of(agent) as client:
        assert client.receive()["type"] == "conversation_initiation_metadata"
        yield agent.wait_for_connection(), client


@contextmanager
def failing_conversation(script, **options):
    """Like conversation, with a list that receives what the agent reports at the end."""
    report: list[str] = []
    agent = LoopbackAgent(script, **options)
    agent.start()
    try:
        with client_of(agent) as client:
            client.receive()
            yield agent.wait_for_connection(), client, report
    finally:
        agent.stop()
    with pytest.raises(ScriptFailure, match="The loopback agent reports:\n") as raised:
        agent.raise_failures()
    report.append(str(raised.value))


class RawClient:
    """A client over a bare socket, which reads only when told to."""

    def __init__(self, agent, receive_buffer_bytes=None):
        self.socket = socket.socket()
        self.socket.settimeout(5)
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.connect(("127.0.0.1", agent.port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self):
        self.socket.sendall(
            b"GET /v1/convai/conversation HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )

    def upgrade(self):
        self.ask()
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self.socket.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 ")

    def send_frame(self, payload, opcode=Opcode.TEXT, *, fin=True, mask=True):
        self.socket.sendall(Frame(opcode, payload, fin).serialize(mask=mask))

    def send(self, **message):
        self.send_frame(json.dumps(message).encode())

    def receive(self, size):
        data = b""
        while len(data) < size and (more := self.socket.recv(size - len(data))):
            data += more
        return data

    def send_until_blocked(self, payload):
        while True:
            self.send_frame(payload, Opcode.BINARY)

    def receive_all(self):
        return self.receive(1 << 30)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert [
        thread.name for thread in threading.enumerate() if thread.name.startswith("convsm-loopback")
    ] == []
