"""One client of the benchmarks, in a process of its own: receives the flood and says what it cost.

Run as ``python -m tests.benchmarks.client NAME URL COUNT``; prints JSON: CPU and wall seconds between
the first and the last message, and seconds from ``end_session`` to the last thread's end.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import warnings


class Sink:
    """An audio interface that counts what it is given."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.received = 0
        self.size = 0
        self.is_done = threading.Event()
        self.began = self.ended = (0.0, 0.0)

    def start(self, input_callback: object) -> None:
        """Open nothing."""

    def stop(self) -> None:
        """Close nothing."""

    def interrupt(self) -> None:
        """Silence nothing."""

    def output(self, audio: bytes) -> None:
        """Count, and take the time at the first and the last piece."""
        if not self.received:
            self.began = (time.process_time(), time.perf_counter())
        self.received += 1
        self.size += len(audio)
        if self.received == self.count:
            self.ended = (time.process_time(), time.perf_counter())
            self.is_done.set()


def main(name: str, url: str, count: int) -> None:
    """Receive the flood with one of the clients."""
    warnings.simplefilter("ignore")
    sink = Sink(count)
    before = set(threading.enumerate())
    if name == "elevenlabs":
        from elevenlabs import ElevenLabs
        from elevenlabs.conversational_ai.conversation import AudioInterface, Conversation
    else:
        from convsm import AudioInterface, Conversation, ElevenLabs  # type: ignore[assignment]
    AudioInterface.register(Sink)
    conversation = Conversation(
        ElevenLabs(api_key="key", base_url=url),
        "agent",
        requires_auth=False,
        audio_interface=sink,  # type: ignore[arg-type]
    )
    conversation.start_session()
    if not sink.is_done.wait(60):
        raise SystemExit(f"{name} received {sink.received} of {count} messages")
    ended_at = time.perf_counter()
    conversation.end_session()
    conversation.wait_for_session_end()
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
    print(
        json.dumps(
            {
                "cpu": sink.ended[0] - sink.began[0],
                "wall": sink.ended[1] - sink.began[1],
                "end": time.perf_counter() - ended_at,
                "size": sink.size,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
