"""The contract of both transports: each open is answered once, whatever peer and callers do."""

from __future__ import annotations

import logging
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convsm import errors
from convsm.machine.events import ConnectionFailed, SocketClosed
from convsm.testing import (
    Close,
    Drop,
    HoldHandshake,
    IgnoreClose,
    LoopbackAgent,
    Pause,
    RefuseHandshake,
    SendBytes,
    SendFragmented,
    SendFrame,
    SendOversized,
    SendRaw,
    SpoilHandshake,
    StopReading,
)
from tests.transport.helpers import (  # noqa: F401 (fixtures)
    PATIENCE,
    Inbox,
    careless_agent,
    each_transport,
    free_port,
    make_transport,
    nothing_is_left,
    transport_to,
)
from tests.transport.looped import loop_errors

LOST = SocketClosed(1006, "the connection was lost without a close frame")
GIVEN_UP = ConnectionFailed("the attempt to connect was given up")


def end_of(script, **options):
    """How a conversation with a scripted peer ends, and with what code the client took its leave."""
    with careless_agent(script) as agent:
        with transport_to(agent.url + "?conversation_signature=secret", **options) as (_, inbox):
            end = inbox.wait_for_end()
        connection = agent.wait_for_connection()
        assert connection.closed.wait(PATIENCE)
        return end, connection.close_code


# What the peer may do


@pytest.mark.parametrize(
    ("close", "end", "answer"),
    [
        (Close(1000, "bye"), SocketClosed(1000, "bye"), 1000),
        (Close(1008, "Override not allowed"), SocketClosed(1008, "Override not allowed"), 1008),
        (Close(4321, "own"), SocketClosed(4321, "own"), 4321),
        (Close(None), SocketClosed(1005, ""), 1000),
    ],
)
def test_the_servers_close_is_told_and_politely_echoed(close, end, answer):
    assert end_of([SendRaw("{}"), close]) == (end, answer)


@pytest.mark.parametrize("cut", [[], [SendRaw("{}")], [SendBytes(b"\x81\x05he")], [SendBytes(b"\x81")]])
@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_ends_without_a_close_frame_is_lost(cut, reset):
    assert end_of([*cut, Drop(reset=reset)]) == (LOST, 1006)


def test_two_connections_that_end_alike_tell_it_with_events_of_their_own():
    first, second = (end_of([SendRaw("{}"), Drop()])[0] for _ in range(2))
    assert first is not second


@pytest.mark.parametrize(
    "oversized",
    [
        [SendOversized(2_000_000)],
        [SendOversized(2**62, announced_only=True)],
        [SendFragmented(b"." * 1_100_000, 11)],
    ],
)
def test_an_oversized_message_is_refused_with_1009_which_arrives(oversized):
    end, answer = end_of(oversized, max_bytes=1_000_000)
    assert end == SocketClosed(1009, "a message exceeds the limit of 1000000 bytes")
    assert answer == 1009


@pytest.mark.parametrize(
    "violation",
    [SendFrame("x", rsv=4), SendFrame("x", opcode=3), SendFrame("x", opcode=0), SendFrame("x", opcode=8)],
)
def test_a_violation_of_the_protocol_is_answered_with_1002(violation):
    end, answer = end_of([violation])
    assert isinstance(end, SocketClosed)
    assert end.reason
    assert (end.code, answer) == (1002, 1002)


@pytest.mark.parametrize("status", [200, 401, 403, 404, 429, 500, 503])
def test_a_refused_handshake_tells_its_status(status):
    end, _ = end_of([RefuseHandshake(status, "secret page")])
    text = f"the server refused the connection with HTTP status {status}"
    assert end == ConnectionFailed(text, status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_never_followed(status):
    with LoopbackAgent() as other:
        end, _ = end_of([RefuseHandshake(status, headers={"Location": other.url})])
        assert other.requests == []
    assert end == ConnectionFailed(f"the server refused the connection with HTTP status {status}", status)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-secret\r\n", b"HTTP/1.1 101 What\r\nUpgrade: no\r\n\r\n"])
def test_a_server_that_speaks_no_websocket_is_a_failed_connection(answer):
    end, _ = end_of([SpoilHandshake(answer)])
    assert isinstance(end, ConnectionFailed)
    assert "did not complete the WebSocket handshake" in end.message
    assert "secret" not in end.message


def test_a_handshake_that_is_not_answered_times_out():
    end, _ = end_of([HoldHandshake()], open_seconds=0.05)
    assert end == ConnectionFailed("the server did not answer in time")


def test_a_port_where_nobody_listens_is_a_failed_connection():
    with transport_to(f"ws://127.0.0.1:{free_port()}/?token=secret") as (_, inbox):
        assert inbox.wait_for_end() == ConnectionFailed(
            "the server could not be reached (Connection refused)"
        )


# What the URL may do


def test_a_name_that_cannot_be_resolved_is_said(monkeypatch):
    def getaddrinfo(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with transport_to("wss://nowhere.invalid/?token=secret") as (_, inbox):
        text = "the server's host name could not be resolved (Name or service not known)"
        assert inbox.wait_for_end() == ConnectionFailed(text)


class ApiError(Exception):
    """The vendor's, whose text holds headers and body."""

    def __init__(self, status_code):
        self.status_code = status_code
        super().__init__("xi-api-key: secret")


URL_NOT_HAD = "the URL of the conversation could not be had ({}); check API key and agent id"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.ConfigurationError("Give a client."), ConnectionFailed("Give a client.")),
        (errors.ConnectionFailed("no signed URL", 401), ConnectionFailed("no signed URL", 401)),
        (ApiError(401), ConnectionFailed(URL_NOT_HAD.format("HTTP 401"), 401)),
        (ApiError(None), ConnectionFailed(URL_NOT_HAD.format("ApiError"))),
        (ValueError("secret"), ConnectionFailed(URL_NOT_HAD.format("ValueError"))),
        (TimeoutError("secret"), ConnectionFailed("the server did not answer in time")),
        (OSError("secret"), ConnectionFailed("the server could not be reached (OSError)")),
    ],
)
def test_an_error_while_the_url_is_fetched_is_a_failed_connection_without_its_secrets(
    error, expected, caplog
):
    caplog.set_level(logging.DEBUG)

    def resolve():
        raise error

    with transport_to(resolve) as (_, inbox):
        assert inbox.wait_for_end() == expected
    assert "secret" not in caplog.text


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:{}/?secret", "ws://127.0.0.1:99999{}/?secret"])
def test_a_url_that_cannot_be_used_is_a_failed_connection(url):
    with LoopbackAgent() as agent, transport_to(url.format(agent.port)) as (_, inbox):
        end = inbox.wait_for_end()
    assert isinstance(end, ConnectionFailed)
    assert end.message
    assert "secret" not in end.message


# Anything at all

steps = st.sampled_from(
    [
        SendRaw("{}"),
        SendRaw("{}"),
        SendFragmented("{}", 2, True),
        SendFrame(b"?", opcode=9),
        Pause(0.001),
        Close(1000),
        Close(1008, "no"),
        Drop(),
        Drop(reset=True),
        SendFrame("x", rsv=1),
        SendOversized(200_000),
        IgnoreClose(),
        StopReading(),
    ]
)
handshakes = st.sampled_from([[], [], [], [HoldHandshake(0.002)], [RefuseHandshake(403)]])
calls = st.lists(
    st.tuples(
        st.floats(0, 0.01),
        st.sampled_from(
            [
                lambda transport: transport.close(1000),
                lambda transport: transport.drop(),
                lambda transport: transport.send(b'{"type":"user_activity"}'),
                lambda transport: transport.send(bytes(1 << 20)),
                lambda transport: transport.send_audio(bytes(100_000), 4.0),
            ]
        ),
    ),
    max_size=4,
)


@settings(max_examples=80)
@given(handshakes, st.lists(steps, max_size=5), calls)
def test_whatever_peer_and_callers_do_each_open_is_answered_once(handshake, script, calls):
    with (
        careless_agent([*handshake, *script]) as agent,
        transport_to(agent.url, max_bytes=100_000, open_seconds=PATIENCE) as (transport, _),
    ):
        timers = [threading.Timer(seconds, call, [transport]) for seconds, call in calls]
        for timer in timers:
            timer.start()
        for timer in timers:
            timer.join(PATIENCE)


# What must not happen


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_decoder_that_raises_ends_the_connection_all_the_same():
    def decode(message):
        raise ZeroDivisionError

    with LoopbackAgent([SendRaw("{}")], opening=False) as agent:
        transport, inbox = make_transport(agent.url, decode=decode)
        transport.open()
        assert inbox.wait_for_end() == SocketClosed(1006, "the connection was lost")
        assert transport.join(PATIENCE)
        inbox.check_contract()
    assert [type(error) for error in loop_errors] in ([], [ZeroDivisionError])
    loop_errors.clear()
