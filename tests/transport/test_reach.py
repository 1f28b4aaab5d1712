from __future__ import annotations

import asyncio
import socket

import pytest

from convsm.transport.options import TransportOptions
from convsm.transport.reach import reach, within
from tests.transport.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    free_port,
    listener,
    nothing_is_left,
)


class Greeted(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self):
        self.data = asyncio.get_running_loop().create_future()
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data.set_result(data)


async def greeting(url, **options):
    """What the first peer that is reached says."""
    peers = []

    def make_protocol(sock):
        peers.append(sock.getpeername())
        return Greeted()

    protocol = await reach(url, TransportOptions(**options), make_protocol)
    try:
        return await within(PATIENCE, wait_for(protocol.data)), peers[0]
    finally:
        protocol.transport.abort()
        await asyncio.sleep(0)


async def wait_for(future):
    return await future


def greet(sock):
    sock.sendall(b"hello")


@pytest.fixture
def resolve(monkeypatch):
    """Makes every host name resolve to the given (family, address) pairs."""

    def resolve(*addresses):
        def getaddrinfo(*_, **__):
            return [(family, socket.SOCK_STREAM, 0, "", address) for family, address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return resolve


def test_all_addresses_are_tried_in_order(resolve):
    with listener(greet) as port:
        resolve(
            (9999, ("?", 1)),  # a family that the system lacks
            (socket.AF_INET, ("127.0.0.1", free_port())),
            (socket.AF_INET, ("127.0.0.1", port)),
        )
        assert asyncio.run(greeting("ws://several/")) == (b"hello", ("127.0.0.1", port))


def test_the_last_failure_is_the_one_that_is_told_without_its_address(resolve):
    resolve((9999, ("?", 1)), (socket.AF_INET, ("127.0.0.1", free_port())))
    with pytest.raises(ConnectionRefusedError) as caught:
        asyncio.run(greeting("ws://several/"))
    assert caught.value.strerror == "Connection refused"


def test_a_name_without_addresses_is_an_error(resolve):
    resolve()
    with pytest.raises(OSError, match="no address for nowhere"):
        asyncio.run(greeting("ws://nowhere/"))


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
def test_a_name_that_cannot_exist_is_not_resolved(host):
    with pytest.raises(socket.gaierror, match="it is no host name"):
        asyncio.run(greeting(f"ws://{host}/"))


# Limits of time


def test_what_is_in_time_is_returned_and_what_it_raises_is_raised():
    async def answer():
        await asyncio.sleep(0)
        return 42

    async def fail():
        raise ZeroDivisionError

    assert asyncio.run(within(PATIENCE, answer())) == 42
    with pytest.raises(ZeroDivisionError):
        asyncio.run(within(PATIENCE, fail()))


def test_what_takes_too_long_is_cancelled():
    ends = []

    async def wait():
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(1)

    with pytest.raises(TimeoutError):
        asyncio.run(within(0.001, wait()))
    assert ends == [1]


@pytest.mark.parametrize("turns", range(6))
def test_a_cancellation_is_never_lost_though_it_comes_with_the_result(turns):
    async def main():
        came = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(within(PATIENCE, wait_for(came)))
        for _ in range(3):
            await asyncio.sleep(0)
        came.set_result(42)
        for _ in range(turns):
            await asyncio.sleep(0)
        is_over = task.done()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or is_over

    asyncio.run(main())
