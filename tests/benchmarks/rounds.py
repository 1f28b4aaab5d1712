"""What the benchmarks of received audio share: clients that take turns against one server."""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

__all__ = ["CLIENTS", "SIZE", "load_average", "print_costs", "run", "spread", "take_turns"]

SIZE = 8000
CLIENTS = ("elevenlabs", "convsm")

Figures = dict[str, dict[str, list[float]]]


def run(shell: str, rounds: int, count: int, pause: float = 0.0) -> Figures:
    """Let the clients take turns; return all figures, by client and name."""
    clients = {name: ["tests.benchmarks.client", name, shell] for name in CLIENTS}
    return take_turns("tests.benchmarks.peer", clients, rounds, count, pause)


def take_turns(
    peer_module: str, clients: Mapping[str, Sequence[str]], rounds: int, count: int, pause: float = 0.0
) -> Figures:
    """Let clients take turns against one server; return all figures, by client and name.

    Args:
        peer_module: The server; takes the number of messages, their size and the pause between two.
        clients: By name, the module and its arguments; those of the server's URL and the count follow.
        rounds: How often each has its turn.
        count: Messages a turn.
        pause: Seconds between two messages.
    """
    command = [sys.executable, "-m", peer_module, str(count), str(SIZE), str(pause)]
    figures: Figures = {name: {"cpu": [], "wall": [], "end": []} for name in clients}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        url = peer.stdout.readline().strip()
        for _ in range(rounds):
            for name, client in clients.items():
                for key, value in _measure(name, client, url, count).items():
                    figures[name][key].append(value)
        peer.stdin.close()
    return figures


def _measure(name: str, client: Sequence[str], url: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", *client, url, str(count)]
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    if figures.pop("size") < count * SIZE:
        raise SystemExit(f"{name} lost audio")
    return figures


def print_costs(figures: Figures, count: int) -> None:
    """Print the CPU a message, the time an end took, and the ratio."""
    for name in CLIENTS:
        costs = spread([value / count * 1e6 for value in figures[name]["cpu"]])
        ends = spread([value * 1e3 for value in figures[name]["end"]])
        print(f"{name:>10}: CPU {costs} us a message; end_session to the end of all {ends} ms")
    ratio = statistics.median(figures["convsm"]["cpu"]) / statistics.median(figures["elevenlabs"]["cpu"])
    print(f"     ratio: {ratio:.2f} of the SDK's CPU a message")


def spread(values: list[float]) -> str:
    """Return the median and the ends of a range."""
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def load_average() -> str:
    """Return how busy the machine was in the last minute."""
    return Path("/proc/loadavg").read_text().split()[0]


def lateness(seconds: list[float]) -> dict[str, float]:
    """Return median, 99th percentile and maximum, in milliseconds."""
    ordered = sorted(seconds)
    places = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: 1e3 * ordered[math.ceil(place * len(ordered)) - 1] for name, place in places.items()}


def raise_file_limit() -> int:
    """Allow this process as many open files as the system lets it, and return how many."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


async def lines_of_standard_input() -> AsyncIterator[str]:
    """Yield what a parent process says, without a thread."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            yield line.decode().strip()
    finally:
        transport.close()
