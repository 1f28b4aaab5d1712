"""Keys of a terminal, one at a time, without waiting for the end of a line."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Protocol, TextIO

__all__ = ["Keys", "keys_of"]

# More is a paste, not typing; the rest comes with the next read.
MOST_BYTES = 64
# How often the console of Windows is looked at, in seconds.
CONSOLE_PERIOD = 0.02
# What a shell reports of a program that SIGTERM ended.
TERMINATED = 128 + 15


class Keys(Protocol):
    """Where keys come from."""

    @property
    def are_there(self) -> bool:
        """Whether anybody can press one."""

    def read(self, timeout: float) -> str:
        """Wait for keys, and return those that were pressed; none after so many seconds."""


class NoKeys:
    """Nobody is at the keyboard."""

    are_there = False

    def read(self, timeout: float) -> str:
        """Wait, in vain."""
        time.sleep(timeout)
        return ""


class TerminalKeys:
    """The keys of a terminal that hands over each as it is pressed."""

    def __init__(self, descriptor: int) -> None:
        """Read from a file descriptor."""
        self.are_there = True
        self._descriptor = descriptor

    def read(self, timeout: float) -> str:
        """Wait for keys; of cursor keys and the like, nothing is returned."""
        if not self.are_there:
            time.sleep(timeout)
            return ""
        if not select.select([self._descriptor], [], [], timeout)[0]:
            return ""
        pressed = b""
        with suppress(OSError):
            pressed = os.read(self._descriptor, MOST_BYTES)
        # Ready and empty: the terminal has gone, and would be ready for ever.
        self.are_there = bool(pressed)
        return "" if pressed.startswith(b"\x1b") else pressed.decode("utf-8", "ignore")


class ConsoleKeys:  # pragma: no cover (Windows)
    """The keys of a console of Windows."""

    are_there = True

    def read(self, timeout: float) -> str:
        """Look again and again."""
        import msvcrt

        console: Any = msvcrt
        deadline = time.monotonic() + timeout
        while not console.kbhit():
            if time.monotonic() >= deadline:
                return ""
            time.sleep(CONSOLE_PERIOD)
        pressed: str = console.getwch()
        if pressed in "\x00\xe0":  # a cursor key or the like: its second half says which
            console.getwch()
            return ""
        if pressed == "\x03":
            raise KeyboardInterrupt
        return pressed


@contextmanager
def keys_of(stream: TextIO | None = None) -> Iterator[Keys]:
    """Take the keys of a terminal for a while; whatever happens meanwhile, it is afterwards as before.

    To be used by the main thread. If the stream is no terminal, or belongs to another program at the moment,
    there are no keys.

    Args:
        stream: The terminal; None takes standard input.
    """
    stream = sys.stdin if stream is None else stream
    descriptor = _terminal(stream)
    if descriptor is None:
        yield NoKeys()
    elif os.name == "nt":  # pragma: no cover
        yield ConsoleKeys()
    else:
        with _key_by_key(descriptor):
            yield TerminalKeys(descriptor)


def _terminal(stream: TextIO | None) -> int | None:
    # There may be no standard input at all, or a closed one, or one without a descriptor.
    try:
        if stream is None or not stream.isatty():
            return None
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return None
    if os.name != "nt":
        # In the background, to touch the terminal would stop the program, if it is the controlling one.
        with suppress(OSError):
            return descriptor if os.tcgetpgrp(descriptor) == os.getpgrp() else None
    return descriptor


@contextmanager
def _key_by_key(descriptor: int) -> Iterator[None]:
    import termios
    import tty

    with ExitStack() as afterwards:
        before = termios.tcgetattr(descriptor)
        afterwards.callback(_restore, descriptor, before)
        if threading.current_thread() is threading.main_thread():
            # Else a kill would leave the user's shell without an echo.
            former = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
            afterwards.callback(signal.signal, signal.SIGTERM, former)
        tty.setcbreak(descriptor)
        yield


def _restore(descriptor: int, before: list[Any]) -> None:
    import termios

    # It fails if the terminal has gone.
    with suppress(termios.error):
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
