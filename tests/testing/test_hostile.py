from __future__ import annotations

import json
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import Opcode
from websockets.sync.client import connect

from convsm.testing import (
    Close,
    Drop,
    Expect,
    HoldHandshake,
    IgnoreClose,
    LoopbackAgent,
    Pause,
    Ping,
    RefuseHandshake,
    Repeat,
    ResumeReading,
    SendBytes,
    SendFragmented,
    SendFrame,
    SendOversized,
    SendRaw,
    SpoilHandshake,
    StopReading,
    WaitFor,
)
from tests.testing.loopback_clients import (  # noqa: F401 (a fixture)
    INITIATION,
    RawClient,
    client_of,
    conversation,
    no_thread_is_left,
)

CLOSE_1000 = b"\x88\x02\x03\xe8"


# Handshakes


@pytest.mark.parametrize("status", [401, 403, 429, 503, 599])
def test_a_handshake_can_be_refused(status):
    with LoopbackAgent([RefuseHandshake(status, "No.", {"Retry-After": "1"})]) as agent:
        with pytest.raises(InvalidStatus) as refused, connect(agent.url):
            pass
        response = refused.value.response
        assert (response.status_code, response.body) == (status, b"No.")
        assert response.headers["Retry-After"] == "1"
        connection = agent.wait_for_connection()
        assert connection.closed.wait(5)
        assert connection.script_done.is_set()


def test_a_second_attempt_can_succeed():
    with LoopbackAgent([[RefuseHandshake(503)], [Ping(1)]]) as agent:
        with pytest.raises(InvalidStatus), connect(agent.url):
            pass
        with client_of(agent) as client:
            assert client.receive_types(2)[1] == "ping"


def test_an_upgrade_request_can_stay_unanswered():
    with LoopbackAgent([HoldHandshake()]) as agent:
        with pytest.raises(TimeoutError), connect(agent.url, open_timeout=0.1):
            pass
        assert agent.wait_for_connection().closed.wait(5)


def test_an_upgrade_request_can_be_answered_late():
    go = threading.Event()
    with LoopbackAgent([HoldHandshake(go), Ping(1)]) as agent, RawClient(agent) as client:
        client.ask()
        connection = agent.wait_for_connection()
        client.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        go.set()
        client.socket.settimeout(5)
        assert client.receive(12) == b"HTTP/1.1 101"
        client.send(**INITIATION)
        assert connection.script_done.wait(5)
    started = time.monotonic()
    with LoopbackAgent([HoldHandshake(0.1)]) as agent, client_of(agent):
        assert time.monotonic() - started >= 0.1


def test_the_answer_to_the_upgrade_can_be_garbage():
    with LoopbackAgent([SpoilHandshake(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")]) as agent:
        # websockets wraps it since 15.
        with pytest.raises((InvalidHandshake, ValueError)), connect(agent.url):
            pass
        assert agent.wait_for_connection().closed.wait(5)


def test_a_handshake_step_anywhere_else_is_a_failure():
    with conversation([Ping(1), HoldHandshake()]) as (connection, client):
        assert client.receive_close()[0] == 1011
        assert "must be the first step" in connection.failures.pop()


# Frames


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (SendRaw(b'{"type": "\xff"}'), 1007),
        (SendFrame("{}", rsv=4), 1002),
        (SendFrame("{}", opcode=3), 1002),
        (SendFrame(bytes(126), opcode=9), 1002),
        (SendFrame("{}", opcode=0), 1002),
        (SendBytes(b"\x81\x85AAAA....."), 1002),
        (SendOversized(), 1009),
        (SendOversized(announced_only=True), 1009),
        (SendOversized(1 << 40, announced_only=True), 1009),
        (SendFragmented(b"." * 3_000_000, 300), 1009),
    ],
)
def test_a_client_fails_the_connection_over(step, code):
    with LoopbackAgent([step, Pause(60)]) as agent, connect(agent.url, max_size=2**20) as client:
        client.send(json.dumps(INITIATION))
        client.recv(timeout=5)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)
        sent = closed.value.sent
        assert sent is not None
        assert sent.code == code
        connection = agent.wait_for_connection()
        assert connection.closed.wait(5)
        assert connection.close_code == code


def test_a_binary_frame_arrives_as_such():
    with conversation([SendFrame(b"\0\1", opcode=2)]) as (_, client):
        assert client.connection.recv(timeout=5) == b"\0\1"


@pytest.mark.parametrize("pieces", [1, 2, 7, 50])
@pytest.mark.parametrize("pings", [False, True])
def test_a_fragmented_message_arrives_whole(pieces, pings):
    text = json.dumps({"type": "agent_response", "agent_response_event": {"agent_response": "Žluťoučký"}})
    with conversation([SendFragmented(text, pieces, pings)]) as (_, client):
        assert client.connection.recv(timeout=5) == text


def test_an_oversized_message_has_the_size_it_says():
    with conversation([SendOversized(1_000)]) as (_, client):
        text = client.connection.recv(timeout=5)
        assert len(text) == 1_000
        assert json.loads(text)["type"] == "oversized"


# Ends


@pytest.mark.parametrize(
    ("step", "frame"),
    [
        (Close(1008, "x" * 200), (1008, "x" * 123)),
        (Close(None), (1005, "")),
        (Close(3999, "é" * 62), (3999, "é" * 61)),
    ],
)
def test_a_close_frame_says(step, frame):
    with conversation([step]) as (_, client):
        assert client.receive_close() == frame


def test_a_close_frame_may_hold_a_forbidden_code():
    with LoopbackAgent([Close(1006)], opening=False) as agent, RawClient(agent) as client:
        client.upgrade()
        assert client.receive(4) == b"\x88\x02\x03\xee"


@pytest.mark.parametrize("reset", [False, True])
def test_the_connection_can_be_lost(reset):
    with LoopbackAgent([Drop(reset)]) as agent, RawClient(agent) as client:
        client.upgrade()
        client.send(**INITIATION)
        if reset:
            with pytest.raises(ConnectionResetError):
                client.receive_all()
        else:
            assert b"conversation_initiation_metadata" in client.receive_all()
        connection = agent.wait_for_connection()
        assert connection.closed.wait(5)
        assert connection.close_code == 1006


def test_a_close_frame_can_stay_unanswered():
    with LoopbackAgent([IgnoreClose()]) as agent, RawClient(agent) as client:
        client.upgrade()
        client.send(**INITIATION)
        connection = agent.wait_for_connection()
        assert connection.script_done.wait(5)
        client.send_frame(b"\x03\xe8bye", Opcode.CLOSE)
        connection.send(lambda connection: connection.wait_for_close(5))
        connection.send(Ping(1))
        connection.send(SendBytes(b"END"))
        data = b""
        while not data.endswith(b"END"):
            data += client.receive(1)
        assert b'"ping"' in data
        assert b"\x88" not in data
        client.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        assert (connection.close_code, connection.close_reason) == (1000, "bye")
        assert not connection.closed.is_set()


def test_a_client_gives_up_waiting_for_the_close_frame():
    with LoopbackAgent([IgnoreClose()]) as agent:
        with connect(agent.url, close_timeout=0.1) as client:
            client.send(json.dumps(INITIATION))
            connection = agent.wait_for_connection()
            assert connection.script_done.wait(5)
        assert connection.closed.wait(5)
        assert connection.close_code == 1000


def test_a_close_frame_is_answered_with_the_same_and_the_end_of_the_stream():
    with LoopbackAgent() as agent, RawClient(agent) as client:
        client.upgrade()
        client.send_frame(b"\x03\xe8", Opcode.CLOSE)
        assert client.receive_all() == CLOSE_1000


def test_the_answer_to_the_agents_close_frame_is_not_answered():
    with LoopbackAgent([Close(1000)], opening=False) as agent, RawClient(agent) as client:
        client.upgrade()
        assert client.receive(4) == CLOSE_1000
        client.send_frame(b"\x03\xe8", Opcode.CLOSE)
        assert client.receive_all() == b""


def test_a_client_that_keeps_the_tcp_connection_after_the_close_is_not_waited_for():
    with LoopbackAgent() as agent, RawClient(agent) as client:
        client.upgrade()
        client.send_frame(b"\x03\xe8", Opcode.CLOSE)
        assert agent.wait_for_connection().closed.wait(5)


# Reading


def test_an_agent_that_does_not_read_blocks_the_client_until_it_does():
    with LoopbackAgent([StopReading()], receive_buffer_bytes=4096) as agent, RawClient(agent) as client:
        client.upgrade()
        client.send(**INITIATION)
        connection = agent.wait_for_connection()
        assert connection.script_done.wait(5)
        client.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.send_until_blocked(bytes(16_384))
        assert len(connection.received) == 1
        assert connection.failures == []
        connection.send(ResumeReading())
        client.socket.settimeout(5)
        client.socket.sendall(bytes(16_384))
        with connection._arrived:
            assert connection._arrived.wait_for(lambda: connection.failures, 5)
        assert "binary frame" in agent.forgive()[0]
        agent.stop()
        agent.forgive()


def test_a_client_that_does_not_read_can_still_talk():
    flood = Repeat(SendRaw("x" * 100_000), 10_000)
    with LoopbackAgent([flood]) as agent, RawClient(agent, 4096) as client:
        client.upgrade()
        client.send(**INITIATION)
        connection = agent.wait_for_connection()
        for number in range(100):
            client.send_frame(b"ping", Opcode.PING)
            client.send(type="contextual_update", text=str(number))
        assert connection.wait_for("contextual_update", count=100)["text"] == "99"
        assert not connection.script_done.is_set()


def test_protocol_pings_are_answered_in_order_with_what_the_script_sends():
    with LoopbackAgent(opening=False) as agent, RawClient(agent) as client:
        client.upgrade()
        for number in range(50):
            payload = str(number).encode()
            client.send_frame(payload, Opcode.PING)
            assert client.receive(2 + len(payload)) == bytes([0x8A, len(payload)]) + payload


def test_a_fragmented_message_of_the_client_is_read():
    with LoopbackAgent() as agent, RawClient(agent) as client:
        client.upgrade()
        client.send_frame(b'{"type": "user_', fin=False)
        client.send_frame(b"between", Opcode.PING)
        client.send_frame(b'activity"}', Opcode.CONT)
        assert agent.wait_for_connection().wait_for("user_activity") == {"type": "user_activity"}


@pytest.mark.parametrize("mask", [False, True])
def test_a_client_that_breaks_the_websocket_protocol_is_a_failure(mask):
    with LoopbackAgent() as agent, RawClient(agent) as client:
        client.upgrade()
        client.send_frame(b"{}", Opcode.CONT if mask else Opcode.TEXT, mask=mask)
        assert client.receive(4)[2:] == b"\x03\xea"
        assert agent.wait_for_connection().closed.wait(5)
        [failure] = agent.forgive()
    assert "broke the WebSocket protocol" in failure


# Stopping

STUCK = {
    "waiting for the client": [Expect("user_message", timeout=60)],
    "waiting for the test": [WaitFor(threading.Event(), 60)],
    "pausing": [Pause(60)],
    "sending to a client that does not read": [Repeat(SendRaw("x" * 100_000), 10_000)],
    "not reading": [StopReading(), Pause(60)],
    "ignoring the close frame": [IgnoreClose()],
    "closing": [Close(1000)],
    "holding the handshake": [HoldHandshake()],
    "holding the handshake for an event": [HoldHandshake(threading.Event())],
}


@pytest.mark.parametrize("script", STUCK.values(), ids=STUCK)
def test_stopping_is_quick_while(script):
    agent = LoopbackAgent(script, opening=False)
    with agent, RawClient(agent, 4096) as client, RawClient(agent):
        if isinstance(script[0], HoldHandshake):
            client.ask()
        else:
            client.upgrade()
        connection = agent.wait_for_connection()
        started = time.monotonic()
        agent.stop()
        assert time.monotonic() - started < 0.2
        assert connection.closed.is_set()
        assert connection.script_done.is_set()
        assert bool(agent.forgive()) == isinstance(script[0], Expect)


def test_stopping_is_quick_with_many_conversations():
    with LoopbackAgent([Pause(60)]) as agent:
        clients = [RawClient(agent) for _ in range(20)]
        for client in clients:
            client.upgrade()
        started = time.monotonic()
        agent.stop()
        assert time.monotonic() - started < 0.2
        for client in clients:
            client.socket.close()
