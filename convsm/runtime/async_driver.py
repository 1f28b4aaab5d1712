"""The driver built of tasks: the event loop owns the session."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from convsm.audio.interface import AudioInterface
from convsm.machine.events import Event
from convsm.runtime.async_audio_port import AsyncAudioPort
from convsm.runtime.async_inbox import AsyncInbox
from convsm.runtime.async_notifier import AsyncNotifier
from convsm.runtime.async_timers import AsyncTimers
from convsm.runtime.audio_port import AudioPort
from convsm.runtime.driver import Driver
from convsm.runtime.tool_runner import ToolRunner
from convsm.runtime.wiring import Wiring
from convsm.transport.asynchronous import AsyncTransport

__all__ = ["AsyncDriver"]

# The session whose callback, tool or audio interface is running, if one is: it must not wait for itself.
_current: contextvars.ContextVar[object] = contextvars.ContextVar("convsm_session", default=None)


class AsyncDriver(Driver):
    """One session on an event loop, without a thread. All methods belong to the loop's thread.

    A thread-bound audio interface (the WAV file, the plain sound card) is served by ``AudioPort``, which
    starts one thread for opening and closing it.
    """

    is_ready: asyncio.Event
    is_over: asyncio.Event
    timers: AsyncTimers
    transport: AsyncTransport
    _inbox: AsyncInbox
    _notifier: AsyncNotifier
    _tools: ToolRunner
    _audio: AsyncAudioPort | AudioPort

    def _make_timers(self, loop: asyncio.AbstractEventLoop) -> AsyncTimers:
        return AsyncTimers(loop)

    def _make_parts(self, wiring: Wiring) -> None:
        loop = asyncio.get_running_loop()
        # What is started in it, and what that starts, knows whose it is.
        self._context = contextvars.copy_context()
        self._context.run(_current.set, self)
        self.is_ready = asyncio.Event()
        self.is_over = asyncio.Event()
        self.timers = self._make_timers(loop)
        self._inbox = AsyncInbox(self._take, self.timers.clock, self._diagnostics.say, loop)
        self._notifier = AsyncNotifier(loop, self._context.copy())
        self._tools = ToolRunner(
            wiring.tools,
            self._inbox.post_from_thread,
            loop=loop,
            on_unhandled=self._tell_unhandled,
            approve=wiring.approve,
        )
        self.transport = AsyncTransport(self._inbox.post, self._decode, wiring.resolve_url, wiring.transport)
        self._audio = self._make_audio(wiring.audio)

    def _make_audio(self, interface: Any) -> AsyncAudioPort | AudioPort:
        if isinstance(interface, AudioInterface):
            return AudioPort(
                interface,
                self._inbox.post_from_thread,
                self._inbox.post_aside,
                self.timers,
                self._wait_for_audio_room,
                self._note_silence,
                self._hear,
            )
        return AsyncAudioPort(interface, self._inbox.post, self.timers, self._note_silence, self._hear)

    def _post_from_thread(self, event: Event) -> None:
        self._inbox.post_from_thread(event)

    def _wait_for_audio_room(self, give_up: threading.Event) -> None:
        # On the interface's thread, hence by looking: it may wait, the loop may not.
        while not (self.transport.has_audio_room or give_up.wait(0.01)):
            pass

    def start(self) -> bool:
        """Begin the conversation; see Driver.start."""
        return self._context.run(super().start)

    @property
    def is_current(self) -> bool:
        """Whether the caller is a callback, a tool or an audio method of this session, or comes from one."""
        return _current.get() is self

    async def join(self, timeout: float) -> None:
        """Wait after the end for audio, tools, callbacks and connection."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        for part in (self._audio, self.turns, self._tools, self._notifier, self.transport):
            remaining = max(0.0, deadline - loop.time())
            if part is None:
                continue
            if isinstance(part, ToolRunner):
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(part.aclose(), remaining)
            elif inspect.iscoroutinefunction(part.join):
                await part.join(remaining)
            else:
                await _on_thread(part.join, remaining)
        if self.is_recorded:
            await _on_thread(self.finish_recording, max(0.0, deadline - loop.time()))


async def _on_thread(wait: Callable[[float], object], seconds: float) -> None:
    """Have a thread wait for so many seconds at most; not longer either if all threads are the program's."""
    waiting = asyncio.get_running_loop().run_in_executor(None, wait, seconds)
    await asyncio.wait([waiting], timeout=seconds)
    if waiting.done():
        waiting.result()
    waiting.cancel()  # it never began, or is about to end
