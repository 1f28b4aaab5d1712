"""Calls of close and drop at every moment, once, twice and from several threads: still one answer."""

from __future__ import annotations

import threading

import pytest

from convsm.machine.events import ConnectionFailed, Informed, SocketOpened
from convsm.testing import HoldHandshake, IgnoreClose, LoopbackAgent, SendRaw, StopReading
from tests.transport.helpers import (  # noqa: F401 (fixtures)
    PATIENCE,
    Inbox,
    careless_agent,
    each_transport,
    in_thread,
    make_transport,
    nothing_is_left,
    transport_to,
)

GIVEN_UP = ConnectionFailed("the attempt to connect was given up")

CALLS = {
    "close": lambda transport: transport.close(1000),
    "drop": lambda transport: transport.drop(),
    "close twice": lambda transport: (transport.close(1000), transport.close(1001)),
    "drop twice": lambda transport: (transport.drop(), transport.drop()),
    "close, drop": lambda transport: (transport.close(1000), transport.drop()),
    "drop, close": lambda transport: (transport.drop(), transport.close(1000)),
}


def call_from_threads(transport, call, number=3):
    barrier = threading.Barrier(number)

    def run():
        barrier.wait(PATIENCE)
        call(transport)

    for thread in [in_thread(run) for _ in range(number)]:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def call_meanwhile(transport, call):
    """Call from inside an event: from other threads, or on the event loop, which has no others."""
    if getattr(transport, "is_on_its_loop", False):
        call(transport)
    else:
        call_from_threads(transport, call)


each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@each_call
def test_before_opening_nothing_is_resolved(call):
    asked = []
    transport, inbox = make_transport(lambda: asked.append(1))
    call(transport)
    transport.open()
    assert transport.join(PATIENCE)
    assert (inbox.events, asked) == ([GIVEN_UP], [])


@each_call
def test_while_the_url_is_resolved_nothing_is_connected(call):
    asked, answered = threading.Event(), threading.Event()
    with LoopbackAgent() as agent:

        def resolve():
            asked.set()
            assert answered.wait(PATIENCE)
            return agent.url

        transport, inbox = make_transport(resolve)
        transport.open()
        assert asked.wait(PATIENCE)
        assert not transport.join(0.01)
        call_from_threads(transport, call)
        # Told at once, though the resolver is still at it.
        assert inbox.events == [GIVEN_UP]
        answered.set()
        assert transport.join(PATIENCE)
        assert (inbox.events, agent.requests) == ([GIVEN_UP], [])


@each_call
def test_while_the_url_fails_to_resolve_only_the_first_cause_is_told(call):
    asked, answered = threading.Event(), threading.Event()

    def resolve():
        asked.set()
        assert answered.wait(PATIENCE)
        raise ValueError

    with transport_to(resolve) as (transport, inbox):
        assert asked.wait(PATIENCE)
        call(transport)
        answered.set()
    assert inbox.events == [GIVEN_UP]


@each_call
def test_during_the_handshake(call):
    with LoopbackAgent([HoldHandshake()]) as agent, transport_to(agent.url) as (transport, inbox):
        agent.wait_for_connection()
        call_from_threads(transport, call)
        assert transport.join(PATIENCE)
        assert inbox.events == [GIVEN_UP]


@each_call
def test_while_the_opening_is_told(call):
    # The end must not overtake SocketOpened that is on its way.
    inbox = Inbox()
    with LoopbackAgent(opening=False) as agent:
        transport, _ = make_transport(agent.url, inbox)
        inbox.on_event = lambda event: type(event) is SocketOpened and call_meanwhile(transport, call)
        transport.open()
        inbox.wait_for_end()
        assert transport.join(PATIENCE)
        inbox.check_contract()
        assert transport.join(0)


@each_call
def test_while_the_conversation_goes_on(call):
    with (
        LoopbackAgent([SendRaw("{}")] * 3, opening=False) as agent,
        transport_to(agent.url) as (transport, inbox),
    ):
        inbox.wait_for(Informed, count=2)
        call_from_threads(transport, call)
        assert inbox.wait_for_end().code in (1000, 1006)


@each_call
def test_while_the_writer_hangs_for_the_peer_does_not_read(call):
    script = [StopReading(), SendRaw("{}")]
    with (
        careless_agent(script, receive_buffer_bytes=4096) as agent,
        transport_to(agent.url) as (transport, inbox),
    ):
        inbox.wait_for(Informed)
        transport.send(bytes(15 << 20))
        call_from_threads(transport, call)
        # The peer will never see a close frame: whoever asked for it drops in the end.
        transport.drop()
        assert inbox.wait_for_end().code == 1006
        assert transport.join(PATIENCE)


def test_closing_just_when_the_server_accepts_is_answered_once():
    for _ in range(60):
        accept = threading.Event()
        with (
            LoopbackAgent([HoldHandshake(accept), IgnoreClose()], opening=False) as agent,
            transport_to(agent.url) as (transport, inbox),
        ):
            agent.wait_for_connection()
            accept.set()
            transport.close(1000)
            transport.drop()
            inbox.wait_for_end()
