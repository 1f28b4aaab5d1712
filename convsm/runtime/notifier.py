"""The ordered worker on which all user callbacks of a session run."""

from __future__ import annotations

import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from convsm.runtime.parts import Callback

__all__ = ["Notifier"]

logger = logging.getLogger("convsm.callbacks")

# A callback that is this many events behind will not catch up; memory is worth more.
LIMIT = 65536


class Notifier:
    """Runs callbacks one at a time, in order, on a daemon thread that starts with the first.

    A callback that sleeps delays only the callbacks behind it; one that raises is logged with its
    name and ends nothing.
    """

    def __init__(self) -> None:
        """Make a notifier without a thread."""
        self._queue: deque[Callback] = deque()
        self._condition = threading.Condition()
        self._is_closed = False
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="convsm-callbacks", daemon=True)

    def notify(self, name: str, callback: Callable[..., object], *arguments: Any) -> None:
        """Have a callback called; never blocks, any thread.

        Args:
            name: Its name for the log.
            callback: What to call.
            arguments: With what.
        """
        with self._condition:
            if self._is_closed:
                return
            if len(self._queue) >= LIMIT:
                self._dropped += 1
                if self._dropped == 1:
                    logger.error("callbacks are %d events behind; further events are dropped", LIMIT)
                return
            self._queue.append((name, callback, arguments))
            self._begin()

    def close(self, last: Iterable[Callback] = ()) -> None:
        """Take no more; the thread ends when all that was taken has run.

        Args:
            last: Callbacks behind all others, name, function and arguments each; they are never dropped.
        """
        with self._condition:
            if not self._is_closed:
                self._is_closed = True
                self._queue.extend(last)
                self._begin()

    def _begin(self) -> None:
        if self._queue and self._thread.ident is None:
            self._thread.start()
        self._condition.notify()

    @property
    def is_current(self) -> bool:
        """Whether the caller is one of the callbacks."""
        return threading.current_thread() is self._thread

    def join(self, timeout: float) -> bool:
        """Wait until all callbacks have run; return whether they have."""
        if self._thread.ident is not None and not self.is_current:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._queue:
                    if self._is_closed:
                        return
                    self._condition.wait()
                name, callback, arguments = self._queue.popleft()
            try:
                result = callback(*arguments)
                if inspect.iscoroutine(result):
                    result.close()
                    logger.error("%s is a coroutine function; only AsyncConversation awaits it", name)
            except BaseException:
                # Even SystemExit: a callback's thread is not the program.
                logger.exception("%s raised; the conversation goes on", name)
