from __future__ import annotations

import logging
import threading

import pytest

from convsm.runtime import notifier as notifier_module
from convsm.runtime.notifier import Notifier
from tests.runtime.helpers import PATIENCE, Log, nothing_is_left  # noqa: F401 (a fixture)


@pytest.fixture
def notifier():
    notifier = Notifier()
    yield notifier
    notifier.close()


class Busy:
    """A callback that goes on until the test lets it return."""

    def __init__(self):
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self):
        self.reached.set()
        assert self.released.wait(PATIENCE)


@pytest.fixture
def busy(notifier):
    busy = Busy()
    notifier.notify("busy", busy)
    assert busy.reached.wait(PATIENCE)
    yield busy
    busy.released.set()


def test_callbacks_run_one_at_a_time_in_order_on_one_thread_of_their_own(notifier):
    log = Log()
    for number in range(200):
        notifier.notify("callback", lambda number: log.add((number, threading.current_thread().name)), number)
    notifier.close()
    assert notifier.join(PATIENCE)
    assert log.entries == [(number, "convsm-callbacks") for number in range(200)]


def test_a_callback_gets_its_arguments(notifier):
    log = Log()
    notifier.notify("callback", lambda *arguments: log.add(arguments), 1, "two")
    log.wait_for((1, "two"))


def test_no_thread_starts_before_the_first_callback():
    notifier = Notifier()
    assert not notifier._thread.is_alive()
    assert notifier.join(0)
    notifier.close()
    assert notifier.join(0)


def test_telling_does_not_wait_for_a_busy_callback(notifier, busy):
    log = Log()
    notifier.notify("callback", log.add, "next")
    assert log.entries == []
    busy.released.set()
    log.wait_for("next")


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt()])
def test_a_callback_that_raises_is_logged_with_its_name_and_ends_nothing(notifier, caplog, error):
    def callback():
        raise error

    log = Log()
    notifier.notify("callback_user_transcript", callback)
    notifier.notify("callback", log.add, "next")
    log.wait_for("next")
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "callback_user_transcript raised" in record.message
    assert record.exc_info[0] is type(error)


def test_what_was_told_before_the_close_still_runs_and_nothing_after(notifier, busy):
    log = Log()
    notifier.notify("callback", log.add, "before")
    notifier.close([("last", log.add, ("last",)), ("very last", log.add, ("very last",))])
    notifier.notify("callback", log.add, "after")
    notifier.close([("again", log.add, ("again",))])
    busy.released.set()
    assert notifier.join(PATIENCE)
    assert log.entries == ["before", "last", "very last"]


def test_the_last_callbacks_run_even_if_they_are_the_only_ones(notifier):
    log = Log()
    notifier.close([("last", log.add, ("last",))])
    assert notifier.join(PATIENCE)
    assert log.entries == ["last"]


def test_a_callback_that_never_catches_up_loses_events_but_not_the_end(notifier, busy, monkeypatch, caplog):
    monkeypatch.setattr(notifier_module, "LIMIT", 10)
    log = Log()
    for number in range(15):
        notifier.notify("callback", log.add, number)
    notifier.close([("last", log.add, ("end",))])
    busy.released.set()
    assert notifier.join(PATIENCE)
    assert log.entries == [*range(10), "end"]
    assert [record.message for record in caplog.records] == [
        "callbacks are 10 events behind; further events are dropped"
    ]


def test_joining_does_not_wait_beyond_its_timeout(notifier, busy):
    notifier.close()
    assert not notifier.join(0)
    busy.released.set()
    assert notifier.join(PATIENCE)


def test_a_callback_knows_that_it_is_one_and_does_not_wait_for_itself(notifier):
    log = Log()
    notifier.notify("callback", lambda: log.add((notifier.is_current, notifier.join(PATIENCE))))
    log.wait_for((True, False))
    assert not notifier.is_current


def test_a_coroutine_function_is_told_apart_and_not_left_in_the_air(notifier, caplog):
    async def callback():
        raise AssertionError("nobody awaits this")

    log = Log()
    notifier.notify("callback_error", callback)
    notifier.notify("next", log.add, "next")
    log.wait_for("next")
    assert "callback_error is a coroutine function; only AsyncConversation awaits it" in caplog.text
