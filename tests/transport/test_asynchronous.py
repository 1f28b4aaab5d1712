"""What only AsyncTransport can get wrong: tasks, cancellation, the loop's end, waiting for room."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings

import pytest

from convsm.machine.events import ConnectionFailed, Informed, SocketClosed, SocketOpened
from convsm.testing import HoldHandshake, LoopbackAgent, SendRaw, StopReading
from convsm.transport.asynchronous import AsyncTransport
from convsm.transport.options import TransportOptions
from tests.transport.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    careless_agent,
    close_frame,
    nothing_is_left,
    peer_listening,
    text,
)

GIVEN_UP = ConnectionFailed("the attempt to connect was given up")
LOST = SocketClosed(1006, "the connection was lost")
UNANSWERED = SocketClosed(1006, "the server did not answer the close frame")


class Inbox:
    """Collects what a transport posts on the loop."""

    def __init__(self):
        self.events = []
        self.changed = asyncio.Event()

    def post(self, event):
        self.events.append(event)
        self.changed.set()

    async def wait_for(self, kind):
        async def look():
            while not (found := [event for event in self.events if isinstance(event, kind)]):
                self.changed.clear()
                await self.changed.wait()
            return found[0]

        return await asyncio.wait_for(look(), PATIENCE)


def make_transport(url, inbox, **options):
    async def resolve():
        return url() if callable(url) else url

    return AsyncTransport(
        inbox.post, lambda message: (Informed(message),), resolve, TransportOptions(**options)
    )


def run(main):
    """Run a coroutine as an application does; nothing may be left unclosed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        result = asyncio.run(main)
        gc.collect()
    return result


@pytest.mark.parametrize(
    ("script", "until", "end"),
    [([HoldHandshake()], None, GIVEN_UP), ([SendRaw("{}")], Informed, LOST)],
)
def test_the_end_of_asyncio_run_ends_the_connection_and_tells(script, until, end):
    async def main(url):
        inbox = Inbox()
        transport = make_transport(url, inbox)
        transport.open()
        if until is not None:
            await inbox.wait_for(until)
        else:
            await asyncio.sleep(0)
        return inbox.events, transport

    with careless_agent(script) as agent:
        events, _ = run(main(agent.url))
        assert events[-1] == end


def test_cancelling_the_task_that_opened_leaves_the_connection_to_its_owner():
    async def main(url):
        inbox = Inbox()
        transport = make_transport(url, inbox)

        async def opener():
            transport.open()
            await asyncio.Event().wait()

        task = asyncio.create_task(opener())
        await inbox.wait_for(SocketOpened)
        task.cancel()
        await asyncio.wait([task])
        assert not await transport.join(0.01)
        transport.drop()
        assert await transport.join(PATIENCE)
        assert inbox.events == [SocketOpened(), UNANSWERED]

    with LoopbackAgent(opening=False) as agent:
        run(main(agent.url))


def test_cancelling_a_join_cancels_nothing_else():
    async def main(url):
        inbox = Inbox()
        transport = make_transport(url, inbox)
        transport.open()
        await inbox.wait_for(SocketOpened)
        joining = asyncio.create_task(transport.join(PATIENCE))
        await asyncio.sleep(0)
        joining.cancel()
        await asyncio.wait([joining])
        transport.close(1000)
        assert await inbox.wait_for(SocketClosed) == SocketClosed(1000, "")
        assert await transport.join(PATIENCE)

    with LoopbackAgent(opening=False) as agent:
        run(main(agent.url))


def test_a_resolver_that_swallows_its_cancellation_connects_nothing():
    async def main(agent):
        inbox, asked = Inbox(), asyncio.Event()

        async def resolve():
            asked.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return agent.url

        transport = AsyncTransport(inbox.post, lambda message: (), resolve, TransportOptions())
        transport.open()
        await asked.wait()
        transport.close(1000)
        assert await transport.join(PATIENCE)
        assert (inbox.events, agent.requests) == ([GIVEN_UP], [])

    with LoopbackAgent() as agent:
        run(main(agent))


def test_a_resolver_may_close_the_transport_it_works_for():
    async def main(url):
        inbox = Inbox()

        def resolve():
            transport.close(1000)
            return url

        transport = make_transport(resolve, inbox)
        transport.open()
        assert await transport.join(PATIENCE)
        assert inbox.events == [GIVEN_UP]

    with LoopbackAgent() as agent:
        run(main(agent.url))
        assert agent.requests == []


def test_nothing_is_posted_behind_the_end_though_more_was_received():
    async def main(url):
        inbox = Inbox()
        transport = make_transport(url, inbox)
        post = inbox.post

        def drop_at_the_first(event):
            post(event)
            if isinstance(event, Informed):
                transport.drop()

        transport._post = drop_at_the_first
        transport.open()
        await inbox.wait_for(SocketClosed)
        assert await transport.join(PATIENCE)
        assert inbox.events == [SocketOpened(), Informed(b"1"), UNANSWERED]

    def serve(peer):
        peer.send(text(b"1") + text(b"2") + close_frame())

    with peer_listening(serve) as url:
        run(main(url))


def test_who_waits_for_room_goes_on_when_half_is_free_or_the_connection_ends():
    async def main(url):
        inbox = Inbox()
        transport = make_transport(url, inbox)
        await asyncio.wait_for(transport.audio_room(), PATIENCE)
        transport.open()
        await inbox.wait_for(Informed)
        transport.send(bytes(15 << 20))
        transport.send_audio(b"four seconds", 4.0)
        await asyncio.wait_for(transport.audio_room(), PATIENCE)
        transport.send_audio(b"five seconds", 5.0)
        assert transport.waiting_seconds == 9.0
        waiting = asyncio.create_task(transport.audio_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        transport.drop()
        await asyncio.wait_for(waiting, PATIENCE)
        assert transport.has_audio_room
        assert await transport.join(PATIENCE)

    with careless_agent([StopReading(), SendRaw("{}")], receive_buffer_bytes=4096) as agent:
        run(main(agent.url))


def test_room_comes_back_when_the_peer_reads_again():
    go = threading.Event()

    def serve(peer):
        assert go.wait(PATIENCE)
        while bytes(peer.receive().data) != b"last":
            pass
        peer.send(close_frame())

    async def main(url):
        inbox = Inbox()
        transport = make_transport(url, inbox)
        transport.open()
        await inbox.wait_for(SocketOpened)
        transport.send(bytes(64 << 20))
        transport.send_audio(b"speech", 9.0)
        waiting = asyncio.create_task(transport.audio_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        go.set()
        await asyncio.wait_for(waiting, PATIENCE)
        transport.send(b"last")
        assert await inbox.wait_for(SocketClosed) == SocketClosed(1005, "")
        assert await transport.join(PATIENCE)

    with peer_listening(serve) as url:
        run(main(url))


def test_many_connections_at_once_leave_no_task_and_add_no_thread():
    async def main(url):
        before = set(threading.enumerate())
        inboxes = [Inbox() for _ in range(50)]
        transports = [make_transport(url, inbox) for inbox in inboxes]
        for transport in transports:
            transport.open()
        for inbox in inboxes:
            await inbox.wait_for(Informed)
        added = {thread.name for thread in set(threading.enumerate()) - before}
        assert not [name for name in added if "asyncio_" in name]
        for transport in transports:
            transport.close(1000)
        for inbox, transport in zip(inboxes, transports, strict=True):
            assert await inbox.wait_for(SocketClosed) == SocketClosed(1000, "")
            assert await transport.join(PATIENCE)
        assert len(asyncio.all_tasks()) == 1

    with LoopbackAgent([SendRaw("{}")], opening=False) as agent:
        run(main(agent.url))


def test_before_it_is_opened_there_is_nothing_to_wait_for():
    async def main():
        inbox = Inbox()
        transport = make_transport("ws://127.0.0.1:1/", inbox)
        assert await transport.join(0)
        transport.drop()
        transport.open()
        assert await transport.join(0)
        assert inbox.events == [GIVEN_UP]

    run(main())
