"""CPU a received audio message on an event loop, beside the ElevenLabs SDK's, in one run.

Run as ``python -m tests.benchmarks.bench_async [ROUNDS]``. AsyncConversation of convsm and of the SDK take
turns against the same server process; each gets messages of 8,000 bytes of audio, which its audio
interface's ``output`` counts. CPU is that of the client's process between the first and the last message.
Once they come as a flood, several at each wake-up of the loop, and once one every two milliseconds, each
of which wakes the loop, as live speech does.
"""

from __future__ import annotations

import sys

from tests.benchmarks.rounds import SIZE, load_average, print_costs, run

# Messages, seconds between two, and what to call it.
FEEDS = ((5000, 0.0, "as a flood"), (1500, 0.002, "one every 2 ms"))


def main() -> None:
    """Print the figures and their ratio, for each way of feeding."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for count, pause, name in FEEDS:
        print(f"{count} audio messages of {SIZE} bytes {name}, {rounds} rounds in turn; median (min-max)")
        print_costs(run("asyncio", rounds, count, pause), count)
    print(f"load average: {load_average()}")


if __name__ == "__main__":
    main()
