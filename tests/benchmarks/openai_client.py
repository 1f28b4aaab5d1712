"""One client of the OpenAI Realtime benchmark, in a process of its own: receives audio and says what it cost.

Run as ``python -m tests.benchmarks.openai_client NAME URL COUNT``, the name one of ``convsm``,
``convsm-async``, ``openai-agents`` and ``openai``; prints the JSON of ``tests.benchmarks.client``. Each
opens a session of the same options and counts the decoded audio where its user would play it.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from convsm import AsyncAudioInterface, AsyncConversation, AudioInterface, Conversation
from convsm.protocols.openai_options import RealtimeOptions
from convsm.runtime.openai import OpenAIRealtime
from tests.benchmarks.client import PATIENCE, AsyncSink, Count, Sink

INSTRUCTIONS = "Be kind."


def server_at(url: str) -> OpenAIRealtime:
    """Return what convsm's conversations connect to."""
    return OpenAIRealtime(RealtimeOptions(INSTRUCTIONS), base_url=f"{url}/v1", api_key="key")


def receive_on_threads(url: str, count: Any) -> float:
    """Receive with Conversation; return when the end was asked for."""
    AudioInterface.register(Sink)
    held = Conversation(server_at(url), audio_interface=Sink(count))
    held.start_session()
    count.is_done.wait(PATIENCE)
    ended_at = time.perf_counter()
    held.end_session()
    held.wait_for_session_end()
    return ended_at


async def receive_on_a_loop(url: str, count: Any) -> float:
    """Receive with AsyncConversation."""
    AsyncAudioInterface.register(AsyncSink)
    held = AsyncConversation(server_at(url), audio_interface=AsyncSink(count))
    await held.start_session()
    await asyncio.wait_for(count.is_done.wait(), PATIENCE)
    ended_at = time.perf_counter()
    await held.end_session()
    await held.wait_for_session_end()
    return ended_at


async def receive_with_agents(url: str, count: Any) -> float:
    """Receive with the RealtimeSession of openai-agents, whose events its user iterates over."""
    realtime = import_module("agents.realtime")
    runner = realtime.RealtimeRunner(realtime.RealtimeAgent(name="agent", instructions=INSTRUCTIONS))
    where = {"url": url.replace("http", "ws", 1) + "/v1/realtime?model=gpt-realtime", "api_key": "key"}
    async with await runner.run(model_config=where) as session:
        async for event in session:
            if event.type == "audio":
                count.add(event.audio.data)
                if count.is_done.is_set():
                    break
        return time.perf_counter()


async def receive_with_openai(url: str, count: Any) -> float:
    """Receive with the connection of the openai package, which leaves the base64 to its user."""
    client = import_module("openai").AsyncOpenAI(base_url=f"{url}/v1", api_key="key")
    async with client.realtime.connect(model="gpt-realtime") as connection:
        await connection.session.update(session={"type": "realtime", "instructions": INSTRUCTIONS})
        async for event in connection:
            if event.type == "response.output_audio.delta":
                count.add(base64.b64decode(event.delta))
                if count.is_done.is_set():
                    break
        return time.perf_counter()


ON_LOOPS: dict[str, Callable[[str, Any], Awaitable[float]]] = {
    "convsm-async": receive_on_a_loop,
    "openai-agents": receive_with_agents,
    "openai": receive_with_openai,
}


async def run_on_a_loop(name: str, url: str, count: Any) -> float:
    """Receive with one of the clients that need an event loop."""
    count.is_done = asyncio.Event()
    return await asyncio.wait_for(ON_LOOPS[name](url, count), PATIENCE)


def main(name: str, url: str, count: int) -> None:
    """Receive with one of the clients."""
    counted = Count(count)
    if name in ON_LOOPS:
        ended_at = asyncio.run(run_on_a_loop(name, url, counted))
    else:
        ended_at = receive_on_threads(url, counted)
    print(counted.figures(ended_at))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
