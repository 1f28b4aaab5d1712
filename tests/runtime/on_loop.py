"""What the tests of AsyncConversation share that run on an event loop of their own."""

from __future__ import annotations

import asyncio
import functools
import logging
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from convsm import (
    AsyncAudioInterface,
    AsyncConversation,
    ClientTools,
    ConvsmError,
    DisconnectionDetails,
    ElevenLabs,
)
from convsm.testing import LoopbackAgent, LoopbackConnection
from tests.runtime.helpers import PATIENCE

__all__ = ["Interface", "Talk", "conversing", "forever", "on_loop", "registered", "until"]


def on_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test in asyncio's debug mode; no task, no thread and no complaint may be left of it."""

    @functools.wraps(test)
    def run_test(*arguments: Any, **options: Any) -> None:
        complaints = _Complaints()

        async def main() -> None:
            loop = asyncio.get_running_loop()
            # A shared machine stands still at times; what blocks for good does so for longer.
            loop.slow_callback_duration = 1.0
            loop.set_exception_handler(lambda _, context: complaints.texts.append(str(context)))
            await asyncio.wait_for(test(*arguments, **options), 2 * PATIENCE)
            await asyncio.sleep(0)
            assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

        logger = logging.getLogger("asyncio")
        logger.addHandler(complaints)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                asyncio.run(main(), debug=True)
        finally:
            logger.removeHandler(complaints)
        assert complaints.texts == []

    return run_test


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


async def until(is_so: Callable[[], object]) -> None:
    """Wait until something has come about of which nobody tells."""

    async def look() -> None:
        while not is_so():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(look(), PATIENCE)


def registered(*handlers: Callable[..., Any]) -> ClientTools:
    """Tools of these handlers, by their names."""
    tools = ClientTools()
    for handler in handlers:
        tools.register(handler.__name__, handler)
    return tools


async def forever(*_: object) -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()


class Interface(AsyncAudioInterface):
    """An interface that logs what it is asked; each method may have something done first."""

    def __init__(self, **actions: Callable[[], Awaitable[object]]) -> None:
        self.log: list[object] = []
        self.actions = actions
        self.microphone: Callable[[bytes], Awaitable[None]] | None = None

    async def _do(self, name: str, entry: object) -> None:
        self.log.append(entry)
        if name in self.actions:
            await self.actions[name]()

    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        self.microphone = input_callback
        await self._do("start", "start")

    async def stop(self) -> None:
        await self._do("stop", "stop")

    async def output(self, audio: bytes) -> None:
        await self._do("output", len(audio))

    async def interrupt(self) -> None:
        await self._do("interrupt", "interrupt")


class Talk:
    """A conversation on the running loop, and what it told.

    Attributes:
        endings: What callback_disconnect was called with.
        states: The states it went through.
    """

    def __init__(
        self, agent: LoopbackAgent | None, kind: type[AsyncConversation] = AsyncConversation, **options: Any
    ):
        self.agent = agent
        self.endings: list[DisconnectionDetails] = []
        self.states: list[str] = []
        client = ElevenLabs(base_url=agent.base_url) if agent is not None else None
        given: dict[str, Any] = {
            "client": client,
            "requires_auth": False,
            "callback_disconnect": self.endings.append,
            "callback_state_change": lambda change: self.states.append(change.target),
            **options,
        }
        self.conversation = kind(given.pop("client"), "agent_1", **given)

    async def connection(self, number: int = 0) -> LoopbackConnection:
        """Return the agent's end."""
        agent = self.agent
        assert agent is not None
        await until(lambda: len(agent.connections) > number)
        return agent.connections[number]

    async def start(self, number: int = 0) -> LoopbackConnection:
        """Start, wait until ready, and return the agent's end."""
        await self.conversation.start_session()
        await self.conversation.wait_until_ready(PATIENCE)
        return await self.connection(number)

    async def finish(self) -> str | None:
        """End it, and wait for the end."""
        await self.conversation.end_session()
        return await self.conversation.wait_for_session_end()


@asynccontextmanager
async def conversing(agent: LoopbackAgent | None, **options: Any) -> AsyncIterator[Talk]:
    """A conversation that is not left behind, whatever becomes of the test."""
    talk = Talk(agent, **options)
    try:
        yield talk
    finally:
        await talk.conversation.end_session()
        with suppress(ConvsmError, RuntimeError):
            await talk.conversation.wait_for_session_end()
