"""What goes over an open transport: messages, audio that is too much, pings, and silence."""

from __future__ import annotations

import struct
import threading

import pytest
from websockets.frames import Opcode

from convsm.machine.events import Informed, SocketClosed, SocketOpened
from convsm.testing import Close, Expect, LoopbackAgent, SendFragmented, SendRaw
from convsm.testing.frames import encode_frame
from convsm.transport.uplink import MESSAGE_LIMIT, STUCK_LIMIT, UplinkDropped
from tests.transport.helpers import (  # noqa: F401 (fixtures)
    PATIENCE,
    close_frame,
    each_transport,
    in_thread,
    nothing_is_left,
    peer_listening,
    ping,
    text,
    transport_to,
    wait_until,
)

# More than the kernels of both ends take, so that the writer hangs until the peer reads.
HUGE = bytes(64 << 20)
CLOSE_1000 = (Opcode.CLOSE, struct.pack("!H", 1000))


def hold(until):
    """A peer that does not read."""

    def serve(peer):
        assert until.wait(PATIENCE)

    return serve


@pytest.fixture
def over():
    """Lets a peer go at the end of a test."""
    event = threading.Event()
    yield event
    event.set()


def hang(transport, inbox):
    """Give the writer something that the peer does not take."""
    inbox.wait_for(SocketOpened)
    transport.send(HUGE)
    wait_until(lambda: not transport._uplink._messages)


def frames_until_close(peer):
    """What the client sends up to its close frame, as (opcode, payload)."""
    frames: list[tuple[Opcode, bytes]] = []
    while not frames or frames[-1][0] is not Opcode.CLOSE:
        frame = peer.receive()
        frames.append((frame.opcode, bytes(frame.data)))
    return frames


# Messages


def test_messages_arrive_in_order_and_bytes_are_counted():
    sent = [b'{"type":"user_message","text":"%d"}' % number for number in range(200)]
    script = [SendRaw("1234"), SendFragmented("567890", 3), Expect("user_message", count=200)]
    with LoopbackAgent(script, opening=False) as agent, transport_to(agent.url) as (transport, inbox):
        inbox.wait_for(SocketOpened)
        for message in sent:
            assert transport.has_room
            transport.send(message)
        inbox.wait_for(Informed, count=2)
        connection = agent.wait_for_connection()
        assert connection.script_done.wait(PATIENCE)
        assert [int(message["text"]) for message in connection.messages("user_message")] == list(range(200))
        assert inbox.messages == [b"1234", b"567890"]
        assert transport.bytes_received == 10
        wait_until(lambda: transport.bytes_sent == sum(map(len, sent)))


def test_a_message_right_behind_the_handshake_comes_after_the_opening():
    with LoopbackAgent([SendRaw("{}")], opening=False) as agent, transport_to(agent.url) as (_, inbox):
        inbox.wait_for(Informed)
        assert isinstance(inbox.events[0], SocketOpened)


def test_messages_queued_before_the_opening_are_sent_after_it():
    resolved = threading.Event()
    with (
        LoopbackAgent([Expect("user_activity", count=2), Close()], opening=False) as agent,
        transport_to(lambda: resolved.wait(PATIENCE) and agent.url) as (transport, inbox),
    ):
        transport.send(b'{"type":"user_activity"}')
        transport.send(b'{"type":"user_activity"}')
        resolved.set()
        assert inbox.wait_for_end() == SocketClosed(1000, "")


def test_what_waits_goes_before_the_close_frame_and_nothing_after_it():
    go, seen = threading.Event(), []

    def serve(peer):
        assert go.wait(PATIENCE)
        seen.extend(frames_until_close(peer))
        peer.send(close_frame(struct.pack("!H", 1000)))
        # The client has nothing more to say: it drops the connection.
        assert peer.socket.recv(1) == b""

    with peer_listening(serve) as url, transport_to(url) as (transport, inbox):
        inbox.wait_for(SocketOpened)
        transport.send(HUGE)
        transport.send_audio(b"nobody listens any more", 1.0)
        transport.send(b"last words")
        transport.close(1000)
        transport.close(1001)
        transport.send(b"too late")
        transport.send_audio(b"too late", 1.0)
        go.set()
        assert inbox.wait_for_end() == SocketClosed(1000, "")
    assert [payload for _, payload in seen[1:]] == [b"last words", CLOSE_1000[1]]
    assert seen[0] == (Opcode.TEXT, HUGE)


def test_the_first_close_code_stands():
    with LoopbackAgent(opening=False) as agent, transport_to(agent.url) as (transport, inbox):
        inbox.wait_for(SocketOpened)
        transport.close(1001)
        transport.close(1000)
        inbox.wait_for_end()
        assert agent.wait_for_connection().close_code == 1001


def test_the_servers_close_frame_is_believed_though_the_writer_hangs(over):
    def serve(peer):
        peer.send(close_frame(struct.pack("!H", 1011) + b"internal"))
        assert over.wait(PATIENCE)

    with peer_listening(serve) as url, transport_to(url) as (transport, inbox):
        transport.send(HUGE)
        assert inbox.wait_for_end() == SocketClosed(1011, "internal")
        assert transport.join(PATIENCE)
        over.set()


def test_a_close_frame_that_stands_behind_a_failed_write_is_still_read():
    def serve(peer):
        peer.send(text(b"{}"), close_frame(struct.pack("!H", 1008) + b"no"))

    with peer_listening(serve) as url, transport_to(url) as (transport, inbox):
        inbox.wait_for(Informed)
        for _ in range(100):
            transport.send(b"the peer is gone")
        assert inbox.wait_for_end() == SocketClosed(1008, "no")


# Too much to send


def test_audio_that_is_too_much_is_reported_once_a_second_of_loss(over):
    with peer_listening(hold(over)) as url, transport_to(url) as (transport, inbox):
        inbox.wait_for(SocketOpened)
        transport.send(HUGE)
        for _ in range(100):
            transport.send_audio(b"a quarter of a second", 0.25)
        # 25 s less the ten that are kept.
        assert inbox.messages == [UplinkDropped(1.0)] * 15
        over.set()


def test_a_peer_that_does_not_read_is_given_up_in_the_end(over):
    with peer_listening(hold(over)) as url, transport_to(url) as (transport, inbox):
        hang(transport, inbox)
        for number in range(STUCK_LIMIT - 1):
            assert transport.has_room is (number < MESSAGE_LIMIT)
            transport.send(b"{}")
        assert inbox.of(SocketClosed) == []
        transport.send(b"{}")
        assert inbox.of(SocketClosed) == [SocketClosed(1006, "the server does not read what is sent")]
        assert transport.join(PATIENCE)
        transport.send(b"{}")
        over.set()


# Pings


def test_pings_are_answered_with_their_payload_also_within_a_message():
    def serve(peer):
        for payload in (b"", b"one", bytes(125)):
            peer.send(text(b"a", fin=False), ping(payload), encode_frame(b"b", Opcode.CONT))
            frame = peer.receive()
            assert (frame.opcode, bytes(frame.data)) == (Opcode.PONG, payload)
        peer.send(close_frame(struct.pack("!H", 1000)))
        assert peer.receive().opcode is Opcode.CLOSE

    with peer_listening(serve) as url, transport_to(url) as (_, inbox):
        assert inbox.wait_for_end() == SocketClosed(1000, "")
        assert inbox.messages == [b"ab"] * 3


def test_of_a_flood_of_pings_the_last_are_answered():
    hangs, flooded, seen = threading.Event(), threading.Event(), []

    def serve(peer):
        assert hangs.wait(PATIENCE)
        peer.send(*(ping(b"%d" % number) for number in range(1000)), text(b"flooded"))
        assert flooded.wait(PATIENCE)
        seen.extend(frames_until_close(peer))

    with peer_listening(serve) as url, transport_to(url) as (transport, inbox):
        hang(transport, inbox)
        hangs.set()
        inbox.wait_for(Informed)
        transport.close(1000)
        flooded.set()
        inbox.wait_for_end()
    pongs = [(Opcode.PONG, b"%d" % number) for number in range(992, 1000)]
    assert seen[1:] == [*pongs, CLOSE_1000]


# Silence


def test_a_silent_peer_is_pinged_then_given_up():
    seen = []

    def serve(peer):
        seen.append(peer.receive().opcode)
        assert peer.socket.recv(1) == b""

    with peer_listening(serve) as url, transport_to(url, ping_seconds=0.1) as (transport, inbox):
        assert inbox.wait_for_end() == SocketClosed(1006, "nothing was received for 0.2 s")
        assert transport.join(PATIENCE)
    assert seen == [Opcode.PING]


def test_a_peer_that_only_answers_pings_stays():
    def serve(peer):
        for _ in range(3):
            frame = peer.receive()
            assert frame.opcode is Opcode.PING
            peer.send(encode_frame(bytes(frame.data), Opcode.PONG))
        peer.send(close_frame(struct.pack("!H", 1000)))
        assert peer.receive().opcode is Opcode.CLOSE

    with peer_listening(serve) as url, transport_to(url, ping_seconds=0.3) as (_, inbox):
        assert inbox.wait_for_end() == SocketClosed(1000, "")


def test_a_peer_that_answers_with_something_else_stays_too():
    def serve(peer):
        for _ in range(3):
            assert peer.receive().opcode is Opcode.PING
            peer.send(text(b"{}"))
        peer.send(close_frame(struct.pack("!H", 1000)))
        assert peer.receive().opcode is Opcode.CLOSE

    with peer_listening(serve) as url, transport_to(url, ping_seconds=0.3) as (_, inbox):
        assert inbox.wait_for_end() == SocketClosed(1000, "")


def test_silence_is_noticed_though_the_microphone_is_on():
    pings = []

    def serve(peer):
        while True:
            pings.append(peer.receive().opcode is Opcode.PING)

    def speak(transport, inbox):
        pause = threading.Event()
        while not inbox.of(SocketClosed):
            transport.send_audio(b"speech", 0.02)
            pause.wait(0.005)

    with peer_listening(serve) as url, transport_to(url, ping_seconds=0.2) as (transport, inbox):
        speaking = in_thread(speak, transport, inbox)
        assert "nothing was received" in inbox.wait_for_end().reason
        speaking.join(PATIENCE)
    assert any(pings)


def test_silence_is_noticed_though_the_writer_hangs(over):
    with peer_listening(hold(over)) as url, transport_to(url, ping_seconds=0.1) as (transport, inbox):
        transport.send(HUGE)
        assert "nothing was received" in inbox.wait_for_end().reason
        assert transport.join(PATIENCE)
        over.set()


def test_a_message_that_trickles_in_is_no_silence():
    frame = text(b"slow, but alive")

    def serve(peer):
        pause = threading.Event()
        for byte in frame:
            peer.send(bytes([byte]))
            pause.wait(0.06)
        peer.send(close_frame(struct.pack("!H", 1000)))
        frames_until_close(peer)

    # The message takes more than twice the limit.
    with peer_listening(serve) as url, transport_to(url, ping_seconds=0.4) as (_, inbox):
        assert inbox.wait_for_end() == SocketClosed(1000, "")
        assert inbox.messages == [b"slow, but alive"]
