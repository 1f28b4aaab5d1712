"""CPU a received audio delta of OpenAI Realtime, beside other clients of the protocol, in one run.

Run as ``python -m tests.benchmarks.bench_openai [ROUNDS]``. Conversation and AsyncConversation of convsm take
turns with the RealtimeSession of openai-agents and the connection of the openai package against the same
server process; each gets deltas of 8,000 bytes of audio and hands them over decoded. CPU is that of the
client's process between the first and the last delta. Once they come as a flood, and once one every two
milliseconds.

The bound holds against RealtimeSession, which does the same work: it decodes, knows which audio belongs to
which item and how long it is, so as to truncate, and drops what comes late. Where openai-agents is not
installed the connection of openai stands in, which does less: it parses and leaves all that to its user.
"""

from __future__ import annotations

import statistics
import sys
from importlib.util import find_spec

from tests.benchmarks.bench_async import FEEDS
from tests.benchmarks.rounds import SIZE, Figures, load_average, spread, take_turns

BOUND = 0.50
OURS = ("convsm", "convsm-async")
# The others by what is imported; the one that does most of the same work first.
OTHERS = {"openai-agents": "agents", "openai": "openai"}


def main() -> None:
    """Print the figures and their ratios, for each way of feeding."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    others = [name for name, module in OTHERS.items() if find_spec(module) is not None]
    for name in OTHERS.keys() - set(others):
        print(f"{name} is missing and not measured; install it with: pip install {name}")
    if not others:
        raise SystemExit("There is nobody to compare with.")
    clients = {name: ["tests.benchmarks.openai_client", name] for name in (*OURS, *others)}
    for count, pause, name in FEEDS:
        print(f"{count} audio deltas of {SIZE} bytes {name}, {rounds} rounds in turn; median (min-max)")
        figures = take_turns("tests.benchmarks.openai_peer", clients, rounds, count, pause)
        print_costs(figures, count, others)
    print(f"load average: {load_average()}")


def print_costs(figures: Figures, count: int, others: list[str]) -> None:
    """Print the CPU a delta, and what share it is of the others'."""
    costs = {name: [value / count * 1e6 for value in found["cpu"]] for name, found in figures.items()}
    for name, values in costs.items():
        print(f"{name:>14}: CPU {spread(values)} us a delta")
    for other in others:
        whole = statistics.median(costs[other])
        shares = ", ".join(f"{name} {statistics.median(costs[name]) / whole:.2f}" for name in OURS)
        bound = f" (bound: {BOUND:.2f})" if other == others[0] else ""
        print(f"  of {other}'s CPU a delta: {shares}{bound}")


if __name__ == "__main__":
    main()
