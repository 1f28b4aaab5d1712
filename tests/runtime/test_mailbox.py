from __future__ import annotations

import itertools
import sys
import threading

import pytest

from convsm.machine.events import AudioFailed, Event, Informed, Played, Send, UserAudio
from convsm.runtime.mailbox import CROWDED, DEVICE_LIMIT, Mailbox
from tests.runtime.helpers import PATIENCE, Log, elsewhere, join, run


class Inbox:
    """A mailbox and what it took; ``do`` is what taking an event does."""

    def __init__(self, do=lambda event: None, on_wake=lambda: None):
        self.taken: list[Event] = []
        self.longest = 0
        self.overlaps = 0
        self.woken = 0
        self.reports: list[str] = []
        self.do = do
        self.on_wake = on_wake
        self._inside = threading.Lock()
        ticks = itertools.count(1)
        self.mailbox = Mailbox(self.take, lambda: float(next(ticks)), self.wake, self.reports.append)

    def take(self, event):
        if not self._inside.acquire(blocking=False):
            self.overlaps += 1
            return
        try:
            self.longest = max(self.longest, len(self.mailbox._queue))
            self.taken.append(event)
            self.do(event)
        finally:
            self._inside.release()

    def wake(self):
        self.woken += 1
        self.on_wake()

    @property
    def payloads(self):
        return [event.message for event in self.taken if isinstance(event, Informed)]


class Gate:
    """Holds whoever takes the first event until the test opens it."""

    def __init__(self):
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, event):
        self.reached.set()
        assert self.opened.wait(PATIENCE)


class WatchedLock:
    """Tells when somebody is about to wait for it, and lets the test come before a release."""

    def __init__(self, lock, before_release=lambda: None):
        self.lock, self.is_wanted, self.before_release = lock, threading.Event(), before_release

    def acquire(self, blocking=True):
        if blocking:
            self.is_wanted.set()
        return self.lock.acquire(blocking)

    def release(self):
        self.before_release()
        self.lock.release()

    def __enter__(self):
        self.acquire()

    def __exit__(self, *_):
        self.release()


@pytest.fixture
def hasty_switches():
    """Threads change every microsecond, so that races show."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def held():
    """An inbox whose owner, another thread, is in the middle of its first event."""
    gate = Gate()
    inbox = Inbox(gate)
    owner = run(lambda: inbox.mailbox.post(Informed("first")))
    assert gate.reached.wait(PATIENCE)
    yield inbox
    gate.opened.set()
    join(owner)


def release(inbox):
    inbox.do.opened.set()


# One owner, one order


@pytest.mark.usefixtures("hasty_switches")
def test_each_posters_order_is_kept_and_one_event_is_taken_at_a_time():
    inbox = Inbox()
    posters, each = 8, 1500
    barrier = threading.Barrier(posters)

    def post(poster):
        barrier.wait()
        for number in range(each):
            inbox.mailbox.post(Informed((poster, number)))

    join(run(*[lambda poster=poster: post(poster) for poster in range(posters)]))
    assert inbox.overlaps == 0
    assert len(inbox.payloads) == posters * each
    for poster in range(posters):
        assert [number for who, number in inbox.payloads if who == poster] == list(range(each))
    assert [event.at for event in inbox.taken] == sorted(event.at for event in inbox.taken)


@pytest.mark.usefixtures("hasty_switches")
def test_no_wake_up_is_lost_between_the_last_look_and_the_release():
    inbox = Inbox()
    rounds = 2000
    before, after = threading.Barrier(2), threading.Barrier(2)
    missing = []

    def post(poster):
        for number in range(rounds):
            before.wait()
            inbox.mailbox.post(Informed((poster, number)))
            after.wait()
            # Both have returned, so nobody is left to take what still waits.
            if inbox.mailbox._queue:
                missing.append(number)

    join(run(lambda: post(0), lambda: post(1)))
    assert missing == []
    assert len(inbox.taken) == 2 * rounds


def test_what_comes_between_the_owners_last_look_and_its_release_is_taken(monkeypatch):
    inbox = Inbox()
    late = ["late", "later"]

    def post_late():
        if late:
            event = Informed(late.pop(0))
            elsewhere(lambda: inbox.mailbox.post(event))

    monkeypatch.setattr(inbox.mailbox, "_owner", WatchedLock(inbox.mailbox._owner, before_release=post_late))
    elsewhere(lambda: inbox.mailbox.post(Informed("first")))
    assert inbox.payloads == ["first", "late", "later"]


@pytest.mark.usefixtures("hasty_switches")
def test_every_kind_of_poster_is_served_to_the_end():
    inbox = Inbox()
    inbox.on_wake = lambda: run(inbox.mailbox.drain)
    each = 300
    barrier = threading.Barrier(4)

    def repeat(post):
        barrier.wait()
        for number in range(each):
            post(Informed(number))

    mailbox = inbox.mailbox
    join(
        run(
            *[
                lambda post=post: repeat(post)
                for post in (mailbox.post, mailbox.post_at_once, mailbox.post_aside, mailbox.call)
            ]
        )
    )
    elsewhere(lambda: mailbox.call(Informed("last")))  # behind all that still waited for a wake-up
    assert len(inbox.taken) == 4 * each + 1
    assert inbox.overlaps == 0


def test_what_an_effect_posts_comes_behind_what_waits_and_not_inside_it():
    order = []

    def do(event):
        order.append(("begin", event.message))
        if event.message == "first":
            inbox.mailbox.post(Informed("second"))
            inbox.mailbox.post_at_once(Informed("third"))
        order.append(("end", event.message))

    inbox = Inbox(do)
    elsewhere(lambda: inbox.mailbox.post(Informed("first")))
    assert order == [(when, name) for name in ("first", "second", "third") for when in ("begin", "end")]


def test_a_second_drain_leaves_the_work_to_the_owner(held):
    held.mailbox.post_aside(Informed("second"))
    elsewhere(held.mailbox.drain)
    assert held.payloads == ["first"]


def test_an_owner_that_breaks_out_lets_the_next_one_in():
    def do(event):
        if event.message == "bad":
            raise SystemExit

    inbox = Inbox(do)

    def post_bad():
        with pytest.raises(SystemExit):
            inbox.mailbox.call(Informed("bad"))

    elsewhere(post_bad)
    elsewhere(lambda: inbox.mailbox.post(Informed("good")))
    assert inbox.payloads == ["bad", "good"]


def test_time_never_runs_back_in_the_stream_whoever_looked_at_the_clock_first(held):
    held.mailbox.post_aside(Informed("microphone"))
    elsewhere(lambda: held.mailbox.post_at_once(Informed("timer")))
    release(held)
    elsewhere(lambda: held.mailbox.call(Informed("last")))
    assert [event.at for event in held.taken] == [1.0, 2.0, 3.0, 4.0]


# Commands


def test_a_call_returns_once_its_command_is_taken(held):
    states = Log()

    def send():
        states.add("calls")
        held.mailbox.call(Send("message"))
        states.add(("returned", len(held.taken)))

    caller = run(send)
    states.wait_for("calls")
    release(held)
    join(caller)
    assert states.entries == ["calls", ("returned", 2)]


def test_a_call_raises_what_taking_it_raised():
    def do(event):
        raise ValueError("no")

    inbox = Inbox(do)

    def send():
        with pytest.raises(ValueError, match="no"):
            inbox.mailbox.call(Send("message"))

    elsewhere(send)
    assert inbox.reports == []


def test_a_refusal_that_nobody_waits_for_is_reported():
    def do(event):
        raise ValueError("no")

    inbox = Inbox(do)
    elsewhere(lambda: inbox.mailbox.post(Send("message")))
    assert inbox.reports == ["no"]


def test_a_call_from_inside_an_effect_returns_at_once_and_its_refusal_is_reported():
    returned: list[int] = []

    def do(event):
        if isinstance(event, Informed):
            assert inbox.mailbox.is_owned_here
            inbox.mailbox.call(Send("message"))
            returned.append(len(inbox.taken))
        else:
            raise ValueError("refused")

    inbox = Inbox(do)
    assert not inbox.mailbox.is_owned_here
    elsewhere(lambda: inbox.mailbox.post(Informed("first")))
    assert returned == [1]
    assert inbox.reports == ["refused"]


# Crowds


def test_in_a_crowd_a_poster_waits_for_its_turn_to_work(held, monkeypatch):
    lock = WatchedLock(held.mailbox._owner)
    monkeypatch.setattr(held.mailbox, "_owner", lock)
    poster = run(lambda: [held.mailbox.post(Informed(number)) for number in range(5 * CROWDED)])
    assert lock.is_wanted.wait(PATIENCE)
    assert len(held.mailbox._queue) == CROWDED + 1
    release(held)
    join(poster)
    assert held.payloads == ["first", *range(5 * CROWDED)]
    assert held.longest <= CROWDED + 1


def test_an_effect_posts_in_a_crowd_without_waiting_for_itself():
    def do(event):
        if event.message == "first":
            for number in range(2 * CROWDED):
                inbox.mailbox.post(Informed(number))

    inbox = Inbox(do)
    elsewhere(lambda: inbox.mailbox.post(Informed("first")))
    assert inbox.payloads == ["first", *range(2 * CROWDED)]


def test_what_must_not_wait_does_not_wait_in_a_crowd(held):
    for number in range(2 * CROWDED):
        held.mailbox.post_aside(Informed(number))
    elsewhere(lambda: held.mailbox.post_at_once(Informed("last")))
    release(held)
    elsewhere(lambda: held.mailbox.call(Informed("call")))
    assert held.payloads == ["first", *range(2 * CROWDED), "last", "call"]


def test_a_device_posts_without_working_and_wakes_somebody_who_does():
    inbox = Inbox()
    elsewhere(lambda: inbox.mailbox.post_aside(UserAudio(b"12")))
    assert inbox.taken == []
    assert inbox.woken == 1
    elsewhere(inbox.mailbox.drain)
    assert inbox.taken == [UserAudio(b"12", at=1.0)]


def test_the_microphone_is_dropped_beyond_its_bound_and_that_is_reported_once(held):
    for number in range(DEVICE_LIMIT + 10):
        held.mailbox.post_aside(UserAudio(bytes([number % 256])))
    assert len(held.mailbox._queue) == DEVICE_LIMIT
    release(held)
    elsewhere(lambda: held.mailbox.call(Informed("last")))
    assert len(held.taken) == 1 + DEVICE_LIMIT + 1
    [report] = held.reports
    assert "microphone" in report
    elsewhere(lambda: held.mailbox.post_aside(UserAudio(b"12")))
    elsewhere(held.mailbox.drain)
    assert held.reports == [report]


def test_what_was_played_and_what_failed_is_told_however_full_the_inbox_is(held):
    for _ in range(DEVICE_LIMIT):
        held.mailbox.post_aside(UserAudio(b"12"))
    held.mailbox.post_aside(Played(7))
    held.mailbox.post_aside(AudioFailed("unplugged"))
    release(held)
    elsewhere(lambda: held.mailbox.call(Informed("last")))
    assert [type(event) for event in held.taken[-3:]] == [Played, AudioFailed, Informed]
    assert held.reports == []


# The main thread, which runs this test


def test_the_main_thread_posts_and_wakes_but_never_takes():
    # A KeyboardInterrupt in the middle of an effect would leave the rest of it undone for good.
    takers = []
    inbox = Inbox(lambda event: takers.append(threading.current_thread()))
    inbox.on_wake = lambda: run(inbox.mailbox.drain)
    inbox.mailbox.post(Informed(1))
    inbox.mailbox.post_at_once(Informed(2))
    inbox.mailbox.call(Informed(3))
    assert inbox.payloads == [1, 2, 3]
    assert threading.main_thread() not in takers


def test_the_main_thread_waits_for_no_crowd(held):
    for number in range(2 * CROWDED):
        held.mailbox.post(Informed(number))
    assert held.payloads == ["first"]
    assert held.woken == 2 * CROWDED


def test_after_the_end_the_main_thread_takes_for_itself_because_nobody_is_left_to_wake():
    inbox = Inbox()
    inbox.mailbox.close()
    inbox.mailbox.call(Send("late"))
    assert [type(event) for event in inbox.taken] == [Send]
    assert inbox.woken == 0
