"""CPU a received audio message and time to end, beside the ElevenLabs SDK, in one run.

Run as ``python -m tests.benchmarks.bench_conversation [ROUNDS]``. Both clients take turns against the
same server process; each gets 5,000 messages of 8,000 bytes of audio and drops them. CPU is that of
the client's process between the first and the last message. ``end`` is the time from ``end_session``
to the end of the client's last thread, with a peer that answers the close frame.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

COUNT, SIZE = 5000, 8000
CLIENTS = ("elevenlabs", "convsm")


def measure(name: str, url: str) -> dict[str, float]:
    """Run one client once."""
    command = [sys.executable, "-m", "tests.benchmarks.client", name, url, str(COUNT)]
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    if figures.pop("size") < COUNT * SIZE:
        raise SystemExit(f"{name} lost audio")
    return figures


def run(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Let the clients take turns; return all figures."""
    command = [sys.executable, "-m", "tests.benchmarks.peer", str(COUNT), str(SIZE)]
    figures: dict[str, dict[str, list[float]]] = {
        name: {"cpu": [], "wall": [], "end": []} for name in CLIENTS
    }
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        url = peer.stdout.readline().strip()
        for _ in range(rounds):
            for name in CLIENTS:
                for key, value in measure(name, url).items():
                    figures[name][key].append(value)
        peer.stdin.close()
    return figures


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def main() -> None:
    """Print the figures and their ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    figures = run(rounds)
    print(f"{COUNT} audio messages of {SIZE} bytes, {rounds} rounds in turn; median (min-max)")
    for name in CLIENTS:
        costs = _spread([value / COUNT * 1e6 for value in figures[name]["cpu"]])
        ends = _spread([value * 1e3 for value in figures[name]["end"]])
        print(f"{name:>10}: CPU {costs} us a message; end_session to all threads ended {ends} ms")
    ratio = statistics.median(figures["convsm"]["cpu"]) / statistics.median(figures["elevenlabs"]["cpu"])
    print(f"     ratio: {ratio:.2f} of the SDK's CPU a message")


if __name__ == "__main__":
    main()
