from __future__ import annotations

import threading

import pytest

from convsm.runtime import timers as timers_module
from convsm.runtime.timers import ThreadedTimers
from tests.runtime.helpers import PATIENCE, Log, nothing_is_left  # noqa: F401 (a fixture)

FAR = 3600.0


class Clockwork:
    """Timers that log what fires, by key."""

    def __init__(self):
        self.log = Log()
        self.timers = ThreadedTimers(lambda: self.log.add("woken"))

    def set(self, key, seconds):
        self.timers.set(key, seconds, lambda: self.log.add(key))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.timers.close()


class Time:
    """In the place of the module ``time``: stands still until the test moves it."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(timers_module, "time", time)
    return time


def test_timers_fire_in_the_order_of_their_deadlines(time):
    with Clockwork() as clockwork:
        clockwork.set("late", 0.03)
        clockwork.set("early", 0.01)
        clockwork.set("middle", 0.02)
        time.now = 1.0
        clockwork.log.wait_for("late")
        assert clockwork.log.entries == ["early", "middle", "late"]


def test_timers_of_one_deadline_fire_in_the_order_they_were_set():
    with Clockwork() as clockwork:
        for key in range(20):
            clockwork.set(key, 0.0)
        clockwork.log.wait_for(19)
        assert clockwork.log.entries == list(range(20))


def test_an_earlier_timer_overtakes_one_that_is_waited_for():
    with Clockwork() as clockwork:
        clockwork.set("far", FAR)
        clockwork.timers.wake()
        clockwork.log.wait_for("woken")  # the thread waits for the far one from here on
        clockwork.set("near", 0.001)
        clockwork.log.wait_for("near")
        assert clockwork.log.entries == ["woken", "near"]


def test_a_later_timer_does_not_put_off_the_one_that_is_waited_for():
    with Clockwork() as clockwork:
        clockwork.set("near", 0.01)
        clockwork.set("far", FAR)
        clockwork.log.wait_for("near")


def test_a_cancelled_timer_does_not_fire(time):
    with Clockwork() as clockwork:
        clockwork.set("cancelled", 0.01)
        clockwork.timers.cancel("cancelled")
        clockwork.timers.cancel("never set")
        clockwork.set("other", 0.02)  # the same thread would have fired the cancelled one before
        time.now = 1.0
        clockwork.log.wait_for("other")
        assert clockwork.log.entries == ["other"]


def test_a_timer_of_the_same_key_replaces_the_former(time):
    with Clockwork() as clockwork:
        clockwork.set("replaced", 0.01)
        clockwork.timers.set("replaced", 0.02, lambda: clockwork.log.add("replacement"))
        clockwork.set("other", 0.03)
        time.now = 1.0
        clockwork.log.wait_for("other")
        assert clockwork.log.entries == ["replacement", "other"]


def test_a_timer_may_set_the_next_one():
    with Clockwork() as clockwork:
        clockwork.timers.set("first", 0.0, lambda: clockwork.set("second", 0.0))
        clockwork.log.wait_for("second")


def test_a_wake_up_is_answered_on_the_timers_thread_with_or_without_timers():
    names = Log()
    timers = ThreadedTimers(lambda: names.add(threading.current_thread().name))
    timers.wake()
    names.wait_for("convsm-timers")
    timers.set("far", FAR, lambda: None)
    timers.wake()
    names.wait_for("convsm-timers", 2)
    timers.close()
    assert timers.join(PATIENCE)


def test_a_wake_up_during_another_is_not_lost():
    first, go_on = threading.Event(), threading.Event()
    log = Log()

    def on_wake():
        first.set()
        assert go_on.wait(PATIENCE)
        log.add("woken")

    timers = ThreadedTimers(on_wake)
    timers.wake()
    assert first.wait(PATIENCE)
    timers.wake()
    go_on.set()
    log.wait_for("woken", 2)
    timers.close()


def test_cancelled_timers_do_not_pile_up():
    # A conversation sets and cancels a timer at each interruption, for hours.
    with Clockwork() as clockwork:
        for _ in range(1000):
            clockwork.set("settle", FAR)
            clockwork.timers.cancel("settle")
        assert len(clockwork.timers._heap) <= 65
        clockwork.set("still works", 0.0)
        clockwork.log.wait_for("still works")


def test_no_thread_starts_before_the_first_timer():
    timers = ThreadedTimers(lambda: None)
    assert not timers._thread.is_alive()
    assert timers.join(0)
    timers.close()
    assert timers.join(0)


def test_closed_timers_neither_fire_nor_take_new_ones():
    clockwork = Clockwork()
    clockwork.set("far", FAR)
    clockwork.timers.close()
    clockwork.set("new", 0.0)
    assert clockwork.timers.join(PATIENCE)
    clockwork.timers.wake()  # too late to be of use, and not an error
    clockwork.timers.close()
    assert clockwork.log.entries == []


def test_joining_does_not_wait_beyond_its_timeout_nor_for_itself():
    reached, go_on = threading.Event(), threading.Event()
    answers = Log()

    def fire():
        answers.add(timers.join(PATIENCE))
        reached.set()
        assert go_on.wait(PATIENCE)

    timers = ThreadedTimers(lambda: None)
    timers.set("timer", 0.0, fire)
    assert reached.wait(PATIENCE)
    timers.close()
    assert not timers.join(0)
    go_on.set()
    assert timers.join(PATIENCE)
    assert answers.entries == [False]


def test_the_clock_is_the_one_that_deadlines_are_reckoned_by(time):
    timers = ThreadedTimers(lambda: None)
    time.now = 7.0
    assert timers.clock() == 7.0


def test_a_timer_that_nobody_will_see_fire_disturbs_no_other():
    fired = Log()
    timers = ThreadedTimers(lambda: fired.add("woken"))
    timers.set("for ever", 1e300, lambda: fired.add("for ever"))
    for _ in range(2):
        timers.wake()
    fired.wait_for("woken")
    timers.set("soon", 0.01, lambda: fired.add("soon"))
    fired.wait_for("soon")
    timers.close()
    timers.join(PATIENCE)
