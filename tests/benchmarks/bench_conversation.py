"""CPU a received audio message and time to end, beside the ElevenLabs SDK, in one run.

Run as ``python -m tests.benchmarks.bench_conversation [ROUNDS]``. Both clients take turns against the
same server process; each gets 5,000 messages of 8,000 bytes of audio and drops them. CPU is that of
the client's process between the first and the last message. ``end`` is the time from ``end_session``
to the end of the client's last thread, with a peer that answers the close frame.
"""

from __future__ import annotations

import sys

from tests.benchmarks.rounds import SIZE, load_average, print_costs, run

COUNT = 5000


def main() -> None:
    """Print the figures and their ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{COUNT} audio messages of {SIZE} bytes, {rounds} rounds in turn; median (min-max)")
    print_costs(run("threads", rounds, COUNT), COUNT)
    print(f"load average: {load_average()}")


if __name__ == "__main__":
    main()
