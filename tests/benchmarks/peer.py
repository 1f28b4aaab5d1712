"""The server of the benchmarks, in a process of its own: sends each client audio messages.

Run as ``python -m tests.benchmarks.peer COUNT SIZE [PAUSE]``, the pause in seconds between two messages;
without one they come as a flood. Prints its base URL, and ends when its standard input closes.
"""

from __future__ import annotations

import sys

import orjson
import pybase64

from convsm.testing import LoopbackAgent, Pause, Repeat, SendRaw


def audio_message(size: int) -> str:
    """Return a message with so many bytes of audio, or up to two more."""
    audio = pybase64.b64encode(bytes(range(256)) * (size // 256 + 1))[: (size + 2) // 3 * 4].decode()
    return orjson.dumps({"type": "audio", "audio_event": {"audio_base_64": audio, "event_id": 1}}).decode()


def main(count: int, size: int, pause: float) -> None:
    """Serve until standard input closes."""
    step = SendRaw(audio_message(size))
    with LoopbackAgent([Repeat([step, Pause(pause)] if pause else step, count)]) as agent:
        print(agent.base_url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
