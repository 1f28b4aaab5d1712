"""The server of bench_sessions, in a process of its own: speaks to many clients in real time.

Run as ``python -m tests.benchmarks.crowd_peer``. It accepts what comes, sends the session parameters, and
prints its base URL. For each line ``COUNT SECONDS`` on standard input it sends each of its COUNT connections
100 ms of speech every 100 ms for so many seconds, each at a phase of its own, and prints JSON: messages
sent, its own lateness in milliseconds, and its CPU. It ends when standard input closes.

The first eight bytes of each piece of speech are the nanoseconds of the monotonic clock, which processes
of one machine share, right before the piece went to the socket.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any, cast

import pybase64
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.benchmarks.rounds import lateness, lines_of_standard_input, raise_file_limit

__all__ = ["PERIOD", "SPEECH_BYTES", "STAMP_BYTES"]

PERIOD = 0.1
SPEECH_BYTES = 3200
STAMP_BYTES = 8

METADATA = {
    "type": "conversation_initiation_metadata",
    "conversation_initiation_metadata_event": {
        "conversation_id": "conversation_1",
        "agent_output_audio_format": "pcm_16000",
        "user_input_audio_format": "pcm_16000",
    },
}


def _text_frame(payload: bytes) -> bytes:
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


# Nine bytes of audio are twelve letters; what is around them never changes.
_BLANK = _text_frame(
    b'{"type":"audio","audio_event":{"audio_base_64":"'
    + pybase64.b64encode(bytes(9) + b"\x11\x07" * ((SPEECH_BYTES - 9) // 2) + b"\x11")
    + b'","event_id":1}}'
)
_STAMP_AT = _BLANK.index(b"A" * 12)
_HEAD, _TAIL = _BLANK[:_STAMP_AT], _BLANK[_STAMP_AT + 12 :]


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, open_connections: dict[Connection, None]) -> None:
        self._open = open_connections
        self._protocol = ServerProtocol()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer the handshake, pings and the close frame; ignore all else."""
        protocol, transport = self._protocol, self._transport
        assert transport is not None
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
                protocol.send_text(json.dumps(METADATA).encode())
                self._open[self] = None
        for answer in protocol.data_to_send():
            if answer:
                transport.write(answer)
        if protocol.close_expected():
            self._open.pop(self, None)
            transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it."""
        self._open.pop(self, None)
        self._transport = None

    def speak(self) -> bool:
        """Send a piece of speech; return whether there is anybody to hear it."""
        if self._transport is None:
            return False
        stamp = time.monotonic_ns().to_bytes(STAMP_BYTES, "little") + b"\x07"
        self._transport.write(b"".join((_HEAD, pybase64.b64encode(stamp), _TAIL)))
        return True


async def speak(connections: list[Connection], seconds: float) -> dict[str, Any]:
    """Speak to all of them."""
    chance = random.Random(1)
    began_at = time.monotonic() + PERIOD
    turns = sorted((chance.uniform(0, PERIOD), number) for number in range(len(connections)))
    late: list[float] = []
    sent = 0
    cpu = time.process_time()
    for beat in range(round(seconds / PERIOD)):
        for phase, number in turns:
            due_at = began_at + beat * PERIOD + phase
            while (now := time.monotonic()) < due_at:
                await asyncio.sleep(due_at - now)
            late.append(now - due_at)
            sent += connections[number].speak()
        # Even when it is late, clients are answered.
        await asyncio.sleep(0)
    wall, cpu = time.monotonic() - began_at, time.process_time() - cpu
    return {"sent": sent, "late": lateness(late), "cpu": cpu / wall, "cpu_seconds": cpu}


async def main() -> None:
    """Serve until standard input closes."""
    raise_file_limit()
    open_connections: dict[Connection, None] = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(open_connections), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async for line in lines_of_standard_input():
        count, seconds = line.split()
        assert len(open_connections) == int(count), f"{len(open_connections)} of {count} are connected"
        print(json.dumps(await speak(list(open_connections), float(seconds))), flush=True)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
