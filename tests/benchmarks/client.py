"""One client of the benchmarks, in a process of its own: receives audio and says what it cost.

Run as ``python -m tests.benchmarks.client NAME SHELL URL COUNT``, the name ``elevenlabs`` or ``convsm``,
the shell ``threads`` or ``asyncio``; prints JSON: CPU and wall seconds between the first and the last
message, and seconds from ``end_session`` to the last thread's end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

PATIENCE = 60


class Count:
    """What an audio interface was given, and what the process had used by then."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.received = 0
        self.size = 0
        self.is_done: Any = threading.Event()
        self.began = self.ended = (0.0, 0.0)

    def add(self, audio: bytes) -> None:
        """Count, and take the time at the first and the last piece."""
        if not self.received:
            self.began = (time.process_time(), time.perf_counter())
        self.received += 1
        self.size += len(audio)
        if self.received == self.count:
            self.ended = (time.process_time(), time.perf_counter())
            self.is_done.set()

    def figures(self, ended_at: float) -> str:
        """Return the figures as JSON."""
        if self.received < self.count:
            raise SystemExit(f"received {self.received} of {self.count} messages")
        return json.dumps(
            {
                "cpu": self.ended[0] - self.began[0],
                "wall": self.ended[1] - self.began[1],
                "end": time.perf_counter() - ended_at,
                "size": self.size,
            }
        )


class Sink:
    """An audio interface that counts what it is given."""

    def __init__(self, count: Count) -> None:
        self.count = count

    def start(self, input_callback: object) -> None:
        """Open nothing."""

    def stop(self) -> None:
        """Close nothing."""

    def interrupt(self) -> None:
        """Silence nothing."""

    def output(self, audio: bytes) -> None:
        """Count."""
        self.count.add(audio)


class AsyncSink:
    """The same for an event loop."""

    def __init__(self, count: Any) -> None:
        self.count = count

    async def start(self, input_callback: object) -> None:
        """Open nothing."""

    async def stop(self) -> None:
        """Close nothing."""

    async def interrupt(self) -> None:
        """Silence nothing."""

    async def output(self, audio: bytes) -> None:
        """Count."""
        self.count.add(audio)


def conversations(name: str, shell: str, url: str) -> Callable[[Any], Any]:
    """Return what makes conversations of one of the packages, in one of its shells, with one client."""
    if name == "elevenlabs":
        package = import_module("elevenlabs")
        module = import_module("elevenlabs.conversational_ai.conversation")
    else:
        package = module = import_module("convsm")
    prefix = "Async" if shell == "asyncio" else ""
    interface, kind = (getattr(module, prefix + each) for each in ("AudioInterface", "Conversation"))
    # Both asyncio shells take the blocking client, of which nothing but the URL is asked here.
    client = package.ElevenLabs(api_key="key", base_url=url)

    def make(sink: Any) -> Any:
        interface.register(type(sink))
        return kind(client, "agent", requires_auth=False, audio_interface=sink)

    return make


def run_on_threads(name: str, url: str, count: Count) -> float:
    """Receive; return when the end was asked for."""
    before = set(threading.enumerate())
    held = conversations(name, "threads", url)(Sink(count))
    held.start_session()
    count.is_done.wait(PATIENCE)
    ended_at = time.perf_counter()
    held.end_session()
    held.wait_for_session_end()
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
    return ended_at


async def run_on_a_loop(name: str, url: str, count: Count) -> float:
    """Do the same on an event loop."""
    count.is_done = asyncio.Event()
    held = conversations(name, "asyncio", url)(AsyncSink(count))
    await held.start_session()
    await asyncio.wait_for(count.is_done.wait(), PATIENCE)
    ended_at = time.perf_counter()
    await held.end_session()
    await held.wait_for_session_end()
    return ended_at


def main(name: str, shell: str, url: str, count: int) -> None:
    """Receive with one of the clients."""
    warnings.simplefilter("ignore")
    counted = Count(count)
    if shell == "threads":
        ended_at = run_on_threads(name, url, counted)
    else:
        ended_at = asyncio.run(run_on_a_loop(name, url, counted))
    print(counted.figures(ended_at))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
