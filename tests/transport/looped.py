"""An event loop in a thread of its own, and an AsyncTransport on it that tests call from theirs."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from convsm.transport.asynchronous import AsyncTransport

PATIENCE = 10.0


# What went wrong on the loop of the running test; a test that expects something takes it out.
loop_errors: list[BaseException] = []


@contextlib.contextmanager
def running_loop():
    """A loop that nothing is left on, and that no callback failed on, in the end."""
    loop = asyncio.new_event_loop()
    loop_errors.clear()
    loop.set_exception_handler(lambda loop, context: loop_errors.append(context.get("exception", context)))
    thread = threading.Thread(target=loop.run_forever, name="test-loop", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        call = asyncio.run_coroutine_threadsafe
        left = call(_others(), loop).result(PATIENCE)
        call(loop.shutdown_default_executor(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
    assert left == []
    assert loop_errors == []


async def _others():
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


class LoopedTransport:
    """An AsyncTransport with the face of a ThreadedTransport."""

    def __init__(self, loop, post, decode, resolve_url, options):
        self._loop = loop

        async def resolve():
            return await loop.run_in_executor(None, resolve_url)

        self.inner = AsyncTransport(post, decode, resolve, options)

    @property
    def is_on_its_loop(self):
        """Whether the caller runs on the transport's event loop."""
        with contextlib.suppress(RuntimeError):
            return asyncio.get_running_loop() is self._loop
        return False

    def _on_loop(self, call, *arguments):
        if self.is_on_its_loop:
            return call(*arguments)

        async def run():
            return call(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE)

    def open(self):
        self._on_loop(self.inner.open)

    def send(self, message):
        self._on_loop(self.inner.send, message)

    def send_audio(self, message, seconds):
        self._on_loop(self.inner.send_audio, message, seconds)

    def close(self, code):
        self._on_loop(self.inner.close, code)

    def drop(self):
        self._on_loop(self.inner.drop)

    def join(self, timeout):
        return asyncio.run_coroutine_threadsafe(self.inner.join(timeout), self._loop).result(
            PATIENCE + timeout
        )

    def __getattr__(self, name):
        return getattr(self.inner, name)
