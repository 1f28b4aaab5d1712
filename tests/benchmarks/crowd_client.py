"""The client of bench_sessions, in a process of its own: holds many sessions and says what they cost.

Run as ``python -m tests.benchmarks.crowd_client NAME URL COUNT MESSAGES``, the name ``elevenlabs`` or
``convsm``. It opens COUNT sessions, prints a line, receives MESSAGES messages in each, at most until five
seconds after the next line on standard input, ends all sessions and prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import warnings
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.benchmarks.client import AsyncSink, conversations
from tests.benchmarks.crowd_peer import STAMP_BYTES
from tests.benchmarks.rounds import lateness, lines_of_standard_input, raise_file_limit

# How many sessions open at once, and how long one may take.
OPENING = 50
PATIENCE = 30.0
# What is still on its way when the server has sent all.
GRACE_SECONDS = 5.0


class Heard:
    """What all sessions together were given."""

    def __init__(self, messages: int) -> None:
        # All of it now, so that it is not taken for the sessions' memory.
        self.seconds = array("d", bytes(8 * messages))
        self.count = 0
        self.disorders = 0
        self.is_all = asyncio.Event()
        self.began_at = 0.0
        self.began_cpu = 0.0


class Ear(AsyncSink):
    """One session's audio interface: notes how old each piece of speech is."""

    def __init__(self, heard: Heard) -> None:
        super().__init__(None)
        self._heard = heard
        self._last = 0
        self.is_open = asyncio.Event()

    async def start(self, input_callback: object) -> None:
        """Say that the session goes on."""
        self.is_open.set()

    async def output(self, audio: bytes) -> None:
        """Take the time."""
        heard = self._heard
        stamp = int.from_bytes(audio[:STAMP_BYTES], "little")
        if not heard.count:
            heard.began_at, heard.began_cpu = time.monotonic(), time.process_time()
        heard.disorders += stamp <= self._last
        self._last = stamp
        heard.seconds[heard.count] = (time.monotonic_ns() - stamp) / 1e9
        heard.count += 1
        if heard.count == len(heard.seconds):
            heard.is_all.set()


def resident_bytes() -> int:
    """Return the memory of this process that is not swapped out."""
    with open("/proc/self/statm") as statistics:
        return int(statistics.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def thread_count() -> int:
    """Return how many threads the system knows of."""
    return len(os.listdir("/proc/self/task"))


async def open_sessions(make: Callable[[Any], Any], count: int, heard: Heard) -> list[Any]:
    """Open so many sessions, a few at a time, and wait until all go on."""
    gate = asyncio.Semaphore(OPENING)

    async def open_one() -> Any:
        async with gate:
            ear = Ear(heard)
            held = make(ear)
            await held.start_session()
            await asyncio.wait_for(ear.is_open.wait(), PATIENCE)
            return held

    return await asyncio.gather(*(open_one() for _ in range(count)))


async def end_sessions(held: list[Any]) -> None:
    """End all of them."""
    await asyncio.gather(*(each.end_session() for each in held))
    await asyncio.gather(*(each.wait_for_session_end() for each in held))


async def main(name: str, url: str, count: int, messages: int) -> None:
    """Hold the sessions and print the figures."""
    raise_file_limit()
    heard = Heard(count * messages)
    threads = thread_count()
    # What the first session imports and keeps is not what a further one takes.
    make = conversations(name, "asyncio", url)
    await end_sessions(await open_sessions(make, 1, heard))
    before = resident_bytes()
    opened_at = time.monotonic()
    held = await open_sessions(make, count, heard)
    opening = time.monotonic() - opened_at
    idle = resident_bytes()
    print("open", flush=True)
    async for _ in lines_of_standard_input():
        break
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(heard.is_all.wait(), GRACE_SECONDS)
    seconds = time.process_time() - heard.began_cpu
    figures = {
        "cpu": seconds / (time.monotonic() - heard.began_at),
        "cpu_seconds": seconds,
        "late": lateness(list(heard.seconds[: heard.count])),
        "received": heard.count,
        "disorders": heard.disorders,
        "threads": thread_count() - threads,
        "bytes": (resident_bytes() - before) / count,
        "idle_bytes": (idle - before) / count,
        "opening": opening,
    }
    ended_at = time.monotonic()
    await end_sessions(held)
    print(json.dumps({**figures, "ending": time.monotonic() - ended_at}), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
