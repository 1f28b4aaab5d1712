"""AsyncConversation with the face of Conversation: one suite of tests holds both to the same behaviour.

Each call runs on an event loop in a thread of the tests' and is waited for. Callbacks and methods of the
audio interface, which in these tests block, become coroutines that wait for a thread.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any

from convsm import AsyncAudioInterface, AsyncConversation, AsyncReportingAudioInterface
from convsm.runtime.async_driver import AsyncDriver
from convsm.runtime.stream import AsyncEventStream
from convsm.testing.clock import ManualTimers

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["HostedConversation", "ManualAsyncDriver", "ManualHostedConversation", "run_on_loop", "settled"]

# How long a call may take; those that wait for an end have no other limit.
PATIENCE = 6.0


class _Host:
    """An event loop in a thread, for as long as the tests run."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="test-loop", daemon=True)
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Start the thread unless it runs."""
        with self._lock:
            if self.thread.ident is None:
                self.thread.start()
                atexit.register(self._end)

    def _end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        if not self.thread.is_alive():
            self.loop.close()


HOST = _Host()


def run_on_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on the tests' event loop and return what it returns."""
    return asyncio.run_coroutine_threadsafe(coroutine, HOST.loop).result(PATIENCE)


def in_thread(call: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Make a coroutine function of one that may block, unless it is one."""
    if asyncio.iscoroutinefunction(call):
        return call

    async def run(*arguments: Any) -> Any:
        return await asyncio.to_thread(call, *arguments)

    return run


class HostedAudio(AsyncAudioInterface):
    """A thread's interface as a loop's."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        def take(audio: bytes) -> None:
            run_on_loop(_awaited(input_callback, audio))

        await asyncio.to_thread(self.inner.start, take)

    async def stop(self) -> None:
        await asyncio.to_thread(self.inner.stop)

    async def output(self, audio: bytes) -> None:
        await asyncio.to_thread(self.inner.output, audio)

    async def interrupt(self) -> None:
        await asyncio.to_thread(self.inner.interrupt)


class HostedReportingAudio(HostedAudio, AsyncReportingAudioInterface):
    """The same for one that reports."""

    def configure(self, output_format: Any, input_format: Any, listener: Any) -> None:
        self.inner.configure(output_format, input_format, _OnLoop(listener))

    async def play(self, number: int, audio: bytes) -> None:
        await asyncio.to_thread(self.inner.play, number, audio)

    @property
    def position(self) -> int | None:
        return self.inner.position  # type: ignore[no-any-return]

    output = AsyncReportingAudioInterface.output


class HostedPausingAudio(HostedReportingAudio):
    """The same for one that can pause."""

    def pause(self) -> None:
        self.inner.pause()

    def resume(self) -> None:
        self.inner.resume()


class _OnLoop:
    def __init__(self, listener: Any) -> None:
        self._listener = listener

    def played(self, through: int) -> None:
        HOST.loop.call_soon_threadsafe(self._listener.played, through)

    def failed(self, message: str) -> None:
        HOST.loop.call_soon_threadsafe(self._listener.failed, message)


def hosted_audio(interface: Any) -> HostedAudio:
    """Return a thread's interface as a loop's, under its own name."""
    base = HostedReportingAudio if hasattr(interface, "configure") else HostedAudio
    base = HostedPausingAudio if hasattr(interface, "pause") else base
    hosted: HostedAudio = type(type(interface).__name__, (base,), {})(interface)
    return hosted


async def _awaited(call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    return await call(*arguments)


class HostedStream:
    """An AsyncEventStream, read on threads."""

    def __init__(self, inner: AsyncEventStream) -> None:
        self._inner = inner

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> object:
        async def read() -> list[object]:
            try:
                return [await anext(self._inner)]
            except StopAsyncIteration:
                return []

        for event in run_on_loop(read()):
            return event
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        HOST.loop.call_soon_threadsafe(self._inner.close)
        run_on_loop(settled())


class HostedConversation:
    """AsyncConversation, called from threads."""

    _inner_class: type[AsyncConversation] = AsyncConversation

    def __init__(self, client: Any, *arguments: Any, **options: Any) -> None:
        self._interface = options.pop("audio_interface", None)
        if self._interface is not None:
            options["audio_interface"] = hosted_audio(self._interface)
        for name, value in options.items():
            if name.startswith("callback_") and value is not None:
                options[name] = in_thread(value)
        self._inner = self._inner_class(client, *arguments, **options)

    @property
    def audio_interface(self) -> Any:
        return self._interface

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(value):
            return value
        if threading.current_thread() is HOST.thread:
            # Called by an asynchronous tool, which cannot wait here for its own loop.
            return lambda *arguments: HOST.loop.create_task(value(*arguments))
        return lambda *arguments, **options: run_on_loop(value(*arguments, **options))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_inner", "_interface"):
            super().__setattr__(name, value)
        else:
            setattr(self._inner, name, in_thread(value) if name.startswith("callback_") else value)

    def commit_user_turn(self, *arguments: Any, **options: Any) -> concurrent.futures.Future[str]:
        async def commit() -> asyncio.Future[str]:
            return self._inner.commit_user_turn(*arguments, **options)

        async def transcript(future: asyncio.Future[str]) -> str:
            return await future

        return asyncio.run_coroutine_threadsafe(transcript(run_on_loop(commit())), HOST.loop)

    def events(self, *kinds: type) -> HostedStream:
        async def attach() -> AsyncEventStream:
            return self._inner.events(*kinds)

        return HostedStream(run_on_loop(attach()))

    def __enter__(self) -> Self:
        run_on_loop(self._inner.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run_on_loop(self._inner.__aexit__(kind, error, trace))


class ManualAsyncDriver(AsyncDriver):
    """A driver whose time is the test's."""

    def _make_timers(self, loop: asyncio.AbstractEventLoop) -> Any:
        return ManualTimers()


class _ManualAsyncConversation(AsyncConversation):
    _driver_class = ManualAsyncDriver


class ManualHostedConversation(HostedConversation):
    """The same on virtual time."""

    _inner_class = _ManualAsyncConversation


async def settled(action: Callable[[], object] = lambda: None) -> None:
    """Do something behind all that is under way on the loop, and let it take effect."""
    for _ in range(10):
        await asyncio.sleep(0)
    action()
    for _ in range(10):
        await asyncio.sleep(0)
