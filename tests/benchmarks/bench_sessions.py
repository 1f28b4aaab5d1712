"""Many concurrent sessions in one process, beside the ElevenLabs SDK, in one run.

Run as ``python -m tests.benchmarks.bench_sessions [SESSIONS [SECONDS [CLIENT]]]``. AsyncConversation of
convsm and of the SDK, or of one of them, take turns against the same server process, which sends each
session 100 ms of speech every 100 ms, each at a phase of its own. Each client is one process with one event
loop. Printed are: threads that the sessions added; memory a session, as the growth of the process behind a
first session of its own; messages lost or out of order; and how late they were, from right before the
server's write to the socket until the session's audio interface got them, with the server's own lateness
beside it. A client that does not keep the bounds with so many sessions is measured with fewer, until it is
known how many it carries. What other processes took meanwhile is printed too: on a busy machine the
figures are theirs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.crowd_peer import PERIOD
from tests.benchmarks.rounds import CLIENTS, load_average, raise_file_limit

LATE_MILLISECONDS = 50.0
SESSION_BYTES = 50_000
# How closely it is looked for how many sessions a client carries.
STEP = 50


class Peer:
    """The server process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.crowd_peer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    def speak(self, count: int, seconds: float) -> dict[str, Any]:
        """Have it speak to all its clients, and return what it says of itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(count, seconds, file=self._process.stdin, flush=True)
        figures: dict[str, Any] = json.loads(self._process.stdout.readline())
        return figures

    def end(self) -> None:
        """End the process."""
        self._process.communicate()


def measure(name: str, peer: Peer, count: int, seconds: float) -> dict[str, Any]:
    """Hold so many sessions with one client."""
    messages = round(seconds / PERIOD)
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.crowd_client",
        name,
        peer.url,
        str(count),
        str(messages),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stdout.readline() == "open\n", f"{name} did not open {count} sessions"
        busy, began_at = busy_seconds(), time.monotonic()
        spoken = peer.speak(count, seconds)
        print("sent", file=client.stdin, flush=True)
        figures: dict[str, Any] = json.loads(client.stdout.readline())
        others = busy_seconds() - busy - figures["cpu_seconds"] - spoken["cpu_seconds"]
    return {
        **figures,
        "peer": spoken,
        "lost": count * messages - figures["received"],
        "others": others / (time.monotonic() - began_at),
    }


def busy_seconds() -> float:
    """Return the CPU seconds that all processes of this machine have used."""
    user, nice, system, _idle, _waiting, *rest = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + sum(rest[:3])) / os.sysconf("SC_CLK_TCK")


def keeps_pace(figures: dict[str, Any]) -> bool:
    """Whether nothing was lost and nothing too late."""
    return not figures["lost"] and bool(figures["late"]["p99"] <= LATE_MILLISECONDS)


def capacity(name: str, peer: Peer, too_many: int, seconds: float) -> int:
    """Look for how many sessions a client carries within the bounds."""
    least, most = 0, too_many
    while most - least > STEP:
        count = (least + most) // (2 * STEP) * STEP
        if keeps_pace(measure(name, peer, count, seconds)):
            least = count
        else:
            most = count
    return least


def print_figures(name: str, count: int, figures: dict[str, Any]) -> None:
    """Print what one client did."""
    late, peer = figures["late"], figures["peer"]
    cost = 1e6 * figures["cpu_seconds"] / max(1, figures["received"])
    print(
        f"{name}: {count} sessions, {figures['received']} messages, {figures['lost']} lost,"
        f" {figures['disorders']} out of order;"
        f" other processes took {100 * figures['others']:.0f} % of a core, load average {load_average()}\n"
        f"  late: p50 {late['p50']:.2f} ms, p99 {late['p99']:.2f} ms, max {late['max']:.1f} ms"
        f" (the server itself: p99 {peer['late']['p99']:.2f} ms, max {peer['late']['max']:.1f} ms,"
        f" {100 * peer['cpu']:.0f} % of a core)\n"
        f"  memory: {figures['bytes'] / 1e3:.1f} kB a session"
        f" ({figures['idle_bytes'] / 1e3:.1f} kB before the first audio);"
        f" threads added: {figures['threads']}\n"
        f"  CPU: {100 * figures['cpu']:.0f} % of a core,"
        f" {cost:.1f} us a message;"
        f" all open after {figures['opening']:.1f} s, all ended after {figures['ending']:.1f} s",
        flush=True,
    )


def main() -> None:
    """Print the figures of both clients."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    files = raise_file_limit()
    if files < count + 100:
        count = files - 100
        print(f"this system allows a process {files} open files (ulimit -Hn), so it is {count} sessions")
    print(f"100 ms of speech every 100 ms for {seconds:g} s; bounds: p99 {LATE_MILLISECONDS:g} ms late,")
    print(f"{SESSION_BYTES / 1e3:g} kB a session, nothing lost, no thread")
    peer = Peer()
    try:
        for name in sys.argv[3:] or reversed(CLIENTS):
            figures = measure(name, peer, count, seconds)
            print_figures(name, count, figures)
            if not keeps_pace(figures):
                carried = capacity(name, peer, count, seconds / 2)
                print(
                    f"  it carries {carried} sessions (in steps of {STEP}, {seconds / 2:g} s each)",
                    flush=True,
                )
    finally:
        peer.end()


if __name__ == "__main__":
    main()
