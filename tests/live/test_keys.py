"""Keys of a pseudo-terminal, and the terminal afterwards."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from convsm.live.keys import NoKeys, keys_of

termios = pytest.importorskip("termios")

PATIENCE = 10.0


@pytest.fixture
def terminal():
    """A pseudo-terminal: the end where keys are pressed, and the stream from which they are read."""
    pressing, reading = os.openpty()
    with os.fdopen(reading, encoding="utf-8") as stream:
        yield pressing, stream
    with suppress(OSError):
        os.close(pressing)


def is_key_by_key(stream):
    return not termios.tcgetattr(stream)[3] & (termios.ICANON | termios.ECHO)


def test_a_key_is_read_as_it_is_pressed_and_the_terminal_is_as_before_afterwards(terminal):
    pressing, stream = terminal
    before = termios.tcgetattr(stream)
    with keys_of(stream) as keys:
        assert keys.are_there
        assert is_key_by_key(stream)
        os.write(pressing, b"m")
        assert keys.read(PATIENCE) == "m"
        os.write(pressing, "q é".encode())
        assert keys.read(PATIENCE) == "q é"
        assert keys.read(0) == ""
    assert termios.tcgetattr(stream) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_the_terminal_is_as_before_after_an_exception(terminal, error):
    _, stream = terminal
    before, handler = termios.tcgetattr(stream), signal.getsignal(signal.SIGTERM)
    with pytest.raises(error), keys_of(stream):
        raise error
    assert termios.tcgetattr(stream) == before
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.parametrize("cursor", [b"\x1b[A", b"\x1bOQ", b"\x1b"])
def test_cursor_keys_are_no_letters(terminal, cursor):
    pressing, stream = terminal
    with keys_of(stream) as keys:
        os.write(pressing, cursor)
        assert keys.read(PATIENCE) == ""
        os.write(pressing, b"q")
        assert keys.read(PATIENCE) == "q"


def test_a_terminal_that_has_gone_presses_no_keys_and_is_not_asked_again_and_again(terminal):
    pressing, stream = terminal
    with keys_of(stream) as keys:
        os.close(pressing)
        assert keys.read(PATIENCE) == ""
        assert not keys.are_there
        began = time.monotonic()
        assert keys.read(0.05) == ""
        assert time.monotonic() - began >= 0.05


def test_another_thread_may_read_keys_and_leaves_the_signals_alone(terminal):
    pressing, stream = terminal
    handler, found, is_ready = signal.getsignal(signal.SIGTERM), [], threading.Event()

    def read():
        with keys_of(stream) as keys:
            is_ready.set()
            found.append((keys.read(PATIENCE), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=read)
    thread.start()
    assert is_ready.wait(PATIENCE)
    os.write(pressing, b"m")
    thread.join(PATIENCE)
    assert found == [("m", handler)]


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


class NoDescriptor(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    "stream", [io.StringIO("q"), closed(), NoDescriptor()], ids=["text", "closed", "odd"]
)
def test_without_a_terminal_there_are_no_keys(stream):
    with keys_of(stream) as keys:
        assert isinstance(keys, NoKeys)
        assert not keys.are_there
        assert keys.read(0) == ""


def test_without_standard_input_there_are_no_keys(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with keys_of() as keys:
        assert not keys.are_there


def test_in_the_background_the_terminal_is_left_alone(terminal, monkeypatch):
    _, stream = terminal
    before = termios.tcgetattr(stream)
    monkeypatch.setattr("os.tcgetpgrp", lambda descriptor: os.getpgrp() + 1)
    with keys_of(stream) as keys:
        assert not keys.are_there
        assert termios.tcgetattr(stream) == before


def test_a_kill_leaves_the_terminal_as_before(terminal):
    _, stream = terminal
    before = termios.tcgetattr(stream)
    program = (
        "import sys, time; from convsm.live.keys import keys_of\n"
        "with keys_of() as keys:\n    print('ready', flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=stream, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert is_key_by_key(stream)
        process.terminate()
        assert process.wait(PATIENCE) == 143
    assert termios.tcgetattr(stream) == before
