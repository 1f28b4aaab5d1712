from __future__ import annotations

import asyncio
from typing import Any

import pytest

from convsm.machine.events import End, Event, Malformed, Pinged, Send, UserAudio
from convsm.runtime import async_inbox as async_inbox_module
from convsm.runtime.async_inbox import AsyncInbox
from convsm.runtime.mailbox import AUDIO_DROPPED, DEVICE_LIMIT
from tests.runtime.helpers import PATIENCE, join, run


class Stage:
    """An inbox that logs what is taken."""

    def __init__(self) -> None:
        self.taken: list[Event] = []
        self.reports: list[str] = []
        self.now = 0.0
        self.on_take: Any = lambda event: None
        self.inbox = AsyncInbox(self.take, self.clock, self.reports.append, asyncio.get_running_loop())

    def clock(self) -> float:
        self.now += 1.0
        return self.now

    def take(self, event: Event) -> None:
        self.taken.append(event)
        self.on_take(event)


def on_loop(test: Any) -> Any:
    """Run an async test with a stage."""

    def run_test() -> None:
        async def main() -> None:
            await asyncio.wait_for(test(Stage()), PATIENCE)

        asyncio.run(main())

    run_test.__name__ = test.__name__
    return run_test


@on_loop
async def test_what_is_posted_is_taken_at_once_and_stamped(stage):
    stage.inbox.post(Pinged(1))
    stage.inbox.post_at_once(Pinged(2))
    assert stage.taken == [Pinged(1, at=1.0), Pinged(2, at=2.0)]


@on_loop
async def test_what_an_effect_posts_comes_behind_what_waits(stage):
    def post_more(event: Event) -> None:
        if event == Pinged(1, at=1.0):
            stage.inbox.post(Pinged(2))
            stage.inbox.call(Pinged(3))
            assert len(stage.taken) == 1

    stage.on_take = post_more
    stage.inbox.post(Pinged(1))
    assert [event.ping_id for event in stage.taken] == [1, 2, 3]


@on_loop
async def test_a_command_that_is_refused_raises_to_its_caller_and_to_nobody_else(stage):
    def refuse(event: Event) -> None:
        if isinstance(event, Send):
            stage.inbox.post(Pinged(1))
            raise ValueError("no")

    stage.on_take = refuse
    with pytest.raises(ValueError, match="no"):
        stage.inbox.call(Send("x"))
    assert [type(event) for event in stage.taken] == [Send, Pinged]
    stage.inbox.post(Send("y"))
    assert stage.reports == ["no"]
    stage.inbox.post(End())
    assert type(stage.taken[-1]) is End
    stage.inbox.close()


@on_loop
async def test_a_thread_waits_until_its_event_was_taken(stage):
    threads = run(lambda: stage.inbox.post_from_thread(Pinged(1)))
    assert stage.taken == []
    while threads[0].is_alive():
        await asyncio.sleep(0.001)
    assert stage.taken == [Pinged(1, at=1.0)]
    stage.inbox.post_from_thread(Pinged(2))
    assert len(stage.taken) == 2


@on_loop
async def test_real_time_threads_never_wait_and_lose_only_audio(stage):
    join(
        run(
            lambda: [stage.inbox.post_aside(UserAudio(b"\0\0")) for _ in range(600)],
        )
    )
    join(run(lambda: stage.inbox.post_aside(Malformed("x", "y", "z"))))
    assert stage.taken == []
    await asyncio.sleep(0)
    assert len(stage.taken) == DEVICE_LIMIT + 1
    assert stage.reports == [AUDIO_DROPPED]
    stage.inbox.post_aside(UserAudio(b"\0\0"))
    await asyncio.sleep(0)
    assert len(stage.reports) == 1


def test_a_thread_that_comes_when_the_loop_is_gone_is_not_kept(monkeypatch):
    monkeypatch.setattr(async_inbox_module, "LOOK_SECONDS", 0.001)

    async def main() -> Stage:
        return Stage()

    stage = asyncio.run(main())
    join(run(lambda: stage.inbox.post_from_thread(Pinged(1)), lambda: stage.inbox.post_aside(Pinged(2))))
    assert stage.taken == []
