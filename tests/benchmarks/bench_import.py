"""Time to import convsm, beside the ElevenLabs SDK's conversation module, in one run.

Run as ``python -m tests.benchmarks.bench_import [ROUNDS]``. Each import is the only thing a fresh
interpreter does; the interpreter's own start is measured too and taken off.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

STATEMENTS = {
    "elevenlabs": "import elevenlabs.conversational_ai.conversation",
    "convsm": "import convsm",
    "convsm with Conversation": "from convsm import Conversation, ElevenLabs",
}


def measure(statement: str) -> float:
    """Return the seconds that a fresh interpreter takes for a statement."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", statement], check=True)
    return time.perf_counter() - began


def main() -> None:
    """Print the figures and their ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    seconds: dict[str, list[float]] = {name: [] for name in ("nothing", *STATEMENTS)}
    for _ in range(rounds):
        for name in seconds:
            seconds[name].append(measure(STATEMENTS.get(name, "pass")))
    start = statistics.median(seconds.pop("nothing"))
    medians = {name: statistics.median(values) - start for name, values in seconds.items()}
    print(f"imports in fresh interpreters, {rounds} rounds in turn; median without the interpreter's start")
    for name, value in medians.items():
        print(f"{name:>24}: {value * 1e3:7.1f} ms, {value / medians['elevenlabs']:.2f} of the SDK's")


if __name__ == "__main__":
    main()
