from __future__ import annotations

import asyncio

from convsm.runtime import async_notifier as async_notifier_module
from convsm.runtime.async_notifier import AsyncNotifier
from tests.runtime.helpers import PATIENCE


async def finish(notifier: AsyncNotifier) -> None:
    notifier.close()
    await notifier.join(PATIENCE)


def test_callbacks_run_in_order_one_at_a_time_and_what_can_be_awaited_is():
    async def main() -> None:
        notifier, log = AsyncNotifier(asyncio.get_running_loop()), list[object]()

        async def slow(number: int) -> None:
            log.append(("begin", number))
            await asyncio.sleep(0)
            log.append(("end", number))

        notifier.notify("slow", slow, 1)
        notifier.notify("plain", log.append, 2)
        assert log == []
        await asyncio.sleep(0)
        notifier.notify("slow", slow, 3)
        notifier.close([("last", log.append, (4,))])
        await notifier.join(PATIENCE)
        assert log == [("begin", 1), ("end", 1), 2, ("begin", 3), ("end", 3), 4]
        notifier.notify("late", log.append, 5)
        notifier.close([("late", log.append, (6,))])
        await notifier.join(PATIENCE)
        assert log[-1] == 4

    asyncio.run(main())


def test_a_callback_that_raises_or_is_cancelled_ends_nothing(caplog):
    async def main() -> None:
        notifier, log = AsyncNotifier(asyncio.get_running_loop()), list[object]()

        def fail() -> None:
            raise ValueError("mine")

        async def give_up() -> None:
            raise asyncio.CancelledError

        notifier.notify("failing", fail)
        notifier.notify("cancelled", give_up)
        notifier.notify("next", log.append, "next")
        await finish(notifier)
        assert log == ["next"]

    asyncio.run(main())
    assert "failing raised; the conversation goes on" in caplog.text


def test_a_loop_that_is_shut_down_is_told_the_end_and_waits_for_no_more(caplog, monkeypatch):
    monkeypatch.setattr(async_notifier_module, "FAREWELL_SECONDS", 0.02)
    log: list[object] = []

    async def wait(entry: object) -> None:
        log.append(entry)
        await asyncio.Event().wait()

    async def main() -> None:
        notifier = AsyncNotifier(asyncio.get_running_loop())
        notifier.notify("first", log.append, 1)
        await asyncio.sleep(0)
        # As a session does that the shutdown of the loop ends.
        last = [("slow", wait, (2,)), ("late", wait, (3,)), ("plain", log.append, (4,))]
        asyncio.get_running_loop().call_later(0.01, notifier.close, last)

    asyncio.run(main())
    assert log == [1, 2, 3, 4]
    assert "slow was given up, for the loop is shut down" in caplog.text


def test_without_a_callback_there_is_no_task():
    async def main() -> None:
        await finish(AsyncNotifier(asyncio.get_running_loop()))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_callbacks_that_are_far_behind_lose_events_but_never_the_end(caplog, monkeypatch):
    monkeypatch.setattr(async_notifier_module, "LIMIT", 3)

    async def main() -> None:
        notifier, log = AsyncNotifier(asyncio.get_running_loop()), list[object]()
        for number in range(10):
            notifier.notify("log", log.append, number)
        notifier.close([("last", log.append, ("end",))])
        await notifier.join(PATIENCE)
        assert log == [0, 1, 2, "end"]

    asyncio.run(main())
    assert caplog.text.count("further events are dropped") == 1
