from __future__ import annotations

import doctest
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import pybase64
import pytest
import websocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from convsm.errors import ConfigurationError
from convsm.testing import (
    Close,
    ConnectionEnded,
    Expect,
    HangUp,
    LoopbackAgent,
    Ping,
    Say,
    ScriptFailure,
    SendMetadata,
    WaitFor,
    WaitForInitiation,
)
from tests.testing.loopback_clients import (  # noqa: F401 (a fixture)
    INITIATION,
    client_of,
    conversation,
    no_thread_is_left,
)


def test_the_example_in_the_docstring_runs():
    [example] = doctest.DocTestFinder(recurse=False).find(LoopbackAgent, "LoopbackAgent")
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def test_the_opening_waits_for_the_initiation_and_sends_the_metadata():
    with LoopbackAgent(output_format="pcm_24000") as agent, client_of(agent, initiate=False) as client:
        with pytest.raises(TimeoutError):
            client.connection.recv(timeout=0.05)
        client.send(**INITIATION, user_id="someone")
        assert client.receive() == {
            "type": "conversation_initiation_metadata",
            "conversation_initiation_metadata_event": {
                "conversation_id": "conv_0",
                "agent_output_audio_format": "pcm_24000",
                "user_input_audio_format": "pcm_16000",
            },
        }
        assert agent.wait_for_connection().initiation == {**INITIATION, "user_id": "someone"}


def test_an_agent_without_opening_starts_with_the_script():
    script = [SendMetadata("conv_x")]
    with LoopbackAgent(script, opening=False) as agent, client_of(agent, initiate=False) as client:
        event = client.receive()["conversation_initiation_metadata_event"]
    assert event["conversation_id"] == "conv_x"


def test_websocket_client_converses_too():
    with LoopbackAgent([Ping(3, 20), Expect("pong", 3), HangUp()]) as agent:
        client = websocket.create_connection(agent.url, timeout=5)
        try:
            client.send(json.dumps(INITIATION))
            received = [json.loads(client.recv()) for _ in range(2)]
            client.send('{"type": "pong", "event_id": 3}')
            received.append(json.loads(client.recv()))
            opcode, payload = client.recv_data()
        finally:
            # Its close() leaves the socket open if the server closed first.
            client.shutdown()
        assert received[1] == {"type": "ping", "ping_event": {"event_id": 3, "ping_ms": 20}}
        assert received[2]["agent_tool_response"]["tool_name"] == "end_call"
        assert (opcode, payload) == (websocket.ABNF.OPCODE_CLOSE, b"\x03\xe8")
        connection = agent.wait_for_connection()
        assert connection.closed.wait(5)
        assert connection.pongs == [3]
        assert connection.close_code == 1000


# From the test's own thread


def test_a_test_can_play_the_agent_by_hand():
    with conversation([]) as (connection, client):
        connection.send(Say("Hello", seconds=0.1))
        assert client.receive_types(2) == ["agent_response", "audio"]
        connection.send({"type": "ping", "ping_event": {"event_id": 1}})
        assert client.receive_types(1) == ["ping"]
        client.send(type="pong", event_id=1)
        assert connection.wait_for("pong") == {"type": "pong", "event_id": 1}
        client.send(type="pong", event_id=2)
        assert connection.wait_for("pong", count=2)["event_id"] == 2
        with pytest.raises(ScriptFailure, match=r"0 of 1 'user_message'; all it sent: 1 conv\w+, 2 pong\."):
            connection.wait_for("user_message", 0.01)
        connection.send(Close(4000, "by hand"))
        assert client.receive_close() == (4000, "by hand")
        assert connection.closed.wait(5)
        assert connection.close_code == 4000
        with pytest.raises(ConnectionEnded):
            connection.send(Ping(2))
        with pytest.raises(ScriptFailure, match="Then the connection ended"):
            connection.wait_for("user_message")


def test_what_is_sent_by_hand_waits_for_the_opening():
    with LoopbackAgent() as agent, client_of(agent, initiate=False) as client:
        connection = agent.wait_for_connection()
        with pytest.raises(ScriptFailure, match="The opening was not over"):
            connection.send(Ping(1), timeout=0.01)
        client.send(**INITIATION)
        connection.send(Ping(1))
        assert client.receive_types(2) == ["conversation_initiation_metadata", "ping"]


def test_the_script_waits_for_the_test():
    go = threading.Event()
    with conversation([WaitFor(go), {"type": "went"}]) as (_, client):
        with pytest.raises(TimeoutError):
            client.connection.recv(timeout=0.05)
        go.set()
        assert client.receive_types(1) == ["went"]


def test_waiting_for_a_connection_that_never_comes_fails():
    with LoopbackAgent() as agent, pytest.raises(ScriptFailure, match="No connection number 0"):
        agent.wait_for_connection(0.01)


# Conversations


def test_each_conversation_plays_the_script_anew():
    with LoopbackAgent([Expect("user_message"), {"type": "heard"}]) as agent:
        with client_of(agent) as one, client_of(agent) as two:
            two.send(type="user_message", text="two")
            one.send(type="user_message", text="one")
            for client in (one, two):
                assert client.receive_types(2) == ["conversation_initiation_metadata", "heard"]
        with client_of(agent) as three:
            three.send(type="user_message", text="three")
            metadata = three.receive()["conversation_initiation_metadata_event"]
            assert metadata["conversation_id"] == "conv_2"
        assert agent.wait_for_connection(number=2).closed.wait(5)
        texts = [connection.messages("user_message")[0]["text"] for connection in agent.connections]
    assert sorted(texts) == ["one", "three", "two"]


@pytest.mark.parametrize(
    "script", [[[{"type": "0"}], ({"type": "1"},)], lambda number: [{"type": str(min(number, 1))}]]
)
def test_each_connection_can_have_a_script_of_its_own(script):
    with LoopbackAgent(script) as agent:
        for expected in ("0", "1", "1"):
            with client_of(agent) as client:
                assert client.receive_types(2)[1] == expected


def test_a_script_function_that_raises_is_a_failure():
    def script(number):
        raise LookupError(number)

    with pytest.raises(ScriptFailure, match=r"LookupError\(0\)"), conversation(script):
        pass


def test_steps_and_scripts_do_not_mix():
    with pytest.raises(ConfigurationError, match="mixes"):
        LoopbackAgent([Ping(1), [Ping(2)]])


def test_what_the_client_asked_for_is_recorded():
    with LoopbackAgent() as agent:
        with connect(agent.url + "?agent_id=a%20b&source=x", additional_headers={"X-Test": "1"}):
            connection = agent.wait_for_connection()
            assert connection.request_path == "/v1/convai/conversation?agent_id=a%20b&source=x"
            assert connection.request_headers["x-test"] == "1"
        assert connection.closed.wait(5)
        assert (connection.close_code, connection.close_reason) == (1000, "")


@pytest.mark.parametrize(
    "path", ["/sagemaker/convai/conversation", "/proxy/v1/convai/conversation?agent_id=a"]
)
def test_other_deployments_have_other_prefixes(path):
    with LoopbackAgent() as agent, client_of(agent, f"ws://127.0.0.1:{agent.port}{path}") as client:
        client.send(type="user_activity")
        assert client.receive_types(1) == ["conversation_initiation_metadata"]


def test_an_on_prem_client_sends_its_setup_first():
    with LoopbackAgent() as agent, client_of(agent, initiate=False) as client:
        client.send(type="enclave_setup_config", agent_config_dict={})
        client.send(**INITIATION)
        assert client.receive_types(1) == ["conversation_initiation_metadata"]
        types = [entry.message["type"] for entry in agent.wait_for_connection().received]
    assert types == ["enclave_setup_config", INITIATION["type"]]


def test_the_convai_subprotocol_is_taken_when_offered():
    with (
        LoopbackAgent() as agent,
        connect(agent.url, subprotocols=[Subprotocol("other"), Subprotocol("convai")]) as connection,
    ):
        assert connection.subprotocol == "convai"


def test_arrivals_carry_their_time():
    before = time.monotonic()
    with conversation([]) as (connection, client):
        client.send(type="user_activity")
        connection.wait_for("user_activity")
        times = [entry.at for entry in connection.received]
    assert before <= times[0] <= times[1] <= time.monotonic()


# HTTP and signatures


def fetch(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def signed_url_endpoint(agent, query="?agent_id=agent_1"):
    return f"{agent.base_url}/v1/convai/conversation/get-signed-url{query}"


def test_a_signed_url_opens_a_conversation_that_needs_one():
    with LoopbackAgent(requires_auth=True, api_key="key") as agent:
        status, body = fetch(signed_url_endpoint(agent), **{"xi-api-key": "key"})
        assert status == 200
        assert body["signed_url"].startswith(f"{agent.url}?agent_id=agent_1&conversation_signature=")
        assert "+" in body["signed_url"]
        assert "%2F" in body["signed_url"]
        with client_of(agent, body["signed_url"]) as client:
            assert client.receive_types(1) == ["conversation_initiation_metadata"]
        assert [request.status for request in agent.requests] == [200, None]
        assert agent.requests[0].headers["xi-api-key"] == "key"
        assert "key" not in repr(agent) + repr(agent.requests[0])


@pytest.mark.parametrize("headers", [{}, {"xi-api-key": "other"}])
def test_a_signed_url_needs_the_api_key(headers):
    with LoopbackAgent(api_key="key") as agent:
        assert fetch(signed_url_endpoint(agent), **headers)[0] == 401


def test_a_signed_url_needs_an_agent():
    with LoopbackAgent() as agent:
        assert fetch(signed_url_endpoint(agent, ""))[0] == 422


@pytest.mark.parametrize("change", [("+", "%2B"), ("%2F", "%252F"), ("conversation_signature", "token")])
def test_a_spoilt_signature_is_refused(change):
    with LoopbackAgent(requires_auth=True) as agent:
        with pytest.raises(InvalidStatus) as refused, connect(agent.sign().replace(*change)):
            pass
        assert refused.value.response.status_code == 403
        assert agent.connections == []


def test_an_unknown_path_is_not_found():
    with LoopbackAgent() as agent:
        assert fetch(agent.base_url + "/v1/voices")[0] == 404


def test_what_is_no_websocket_request_is_refused():
    with LoopbackAgent() as agent:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(agent.base_url + "/v1/convai/conversation", timeout=5)
        refused.value.close()
        assert refused.value.code == 426
        with socket.create_connection(("127.0.0.1", agent.port), 5) as garbage:
            garbage.sendall(b"\x16\x03\x01 TLS\r\n\r\n")
            assert garbage.recv(1) == b""


# Life


def test_starting_and_stopping_may_be_repeated():
    agent = LoopbackAgent()
    agent.stop()
    agent.start()
    agent.start()
    port = agent.port
    with client_of(agent) as client:
        client.receive()
        agent.stop()
        agent.stop()
        assert client.receive_close() is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    with agent, client_of(agent) as client:
        assert agent.port == port
        assert client.receive_types(1) == ["conversation_initiation_metadata"]


def test_nagle_is_off():
    delays = []
    with conversation(
        [lambda c: delays.append(c.stream._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))]
    ) as (
        connection,
        _,
    ):
        assert connection.script_done.wait(5)
    assert delays[0] != 0


def test_the_opening_can_be_written_out():
    script = [WaitForInitiation(), SendMetadata("conv_mine", "ulaw_8000"), Say(None, seconds=0.1)]
    with LoopbackAgent(script, opening=False) as agent, client_of(agent) as client:
        assert client.receive()["conversation_initiation_metadata_event"] == {
            "conversation_id": "conv_mine",
            "agent_output_audio_format": "ulaw_8000",
            "user_input_audio_format": "pcm_16000",
        }
        assert len(pybase64.b64decode(client.receive()["audio_event"]["audio_base_64"])) == 800
