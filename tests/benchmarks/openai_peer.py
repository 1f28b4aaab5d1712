"""The server of the OpenAI Realtime benchmark, in a process of its own: sends each client audio deltas.

Run as ``python -m tests.benchmarks.openai_peer COUNT SIZE [PAUSE]``, the pause in seconds between two
deltas; without one they come as a flood. Prints its base URL, and ends when its standard input closes.
"""

from __future__ import annotations

import sys

import orjson
import pybase64

from convsm.testing import Expect, OpenAILoopbackAgent, Pause, Repeat, SendMessage, SendRaw

IDS = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}


def audio_message(size: int) -> str:
    """Return a delta with so many bytes of audio."""
    audio = (bytes(range(256)) * (size // 256 + 1))[:size]
    delta = {"type": "response.output_audio.delta", "event_id": "event_1", **IDS}
    return orjson.dumps({**delta, "delta": pybase64.b64encode(audio).decode()}).decode()


def main(count: int, size: int, pause: float) -> None:
    """Serve until standard input closes."""
    response = {"id": "resp_1", "object": "realtime.response", "status": "in_progress", "output": []}
    step = SendRaw(audio_message(size))
    script = [
        Expect("session.update"),
        SendMessage({"type": "response.created", "response": response}),
        Repeat([step, Pause(pause)] if pause else step, count),
    ]
    with OpenAILoopbackAgent(script) as agent:
        print(agent.base_url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
