"""The server of the benchmarks, in a process of its own: floods each client with audio messages.

Run as ``python -m tests.benchmarks.peer COUNT SIZE``; prints its base URL, and ends when its
standard input closes.
"""

from __future__ import annotations

import sys

import orjson
import pybase64

from convsm.testing import LoopbackAgent, Repeat, SendRaw


def main(count: int, size: int) -> None:
    """Serve until standard input closes."""
    audio = pybase64.b64encode(bytes(range(256)) * (size // 256 + 1))[: (size + 2) // 3 * 4].decode()
    message = {"type": "audio", "audio_event": {"audio_base_64": audio, "event_id": 1}}
    with LoopbackAgent([Repeat(SendRaw(orjson.dumps(message).decode()), count)]) as agent:
        print(agent.base_url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
