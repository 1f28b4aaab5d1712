from __future__ import annotations

import asyncio

from convsm.runtime.async_timers import AsyncTimers
from tests.runtime.helpers import PATIENCE


def test_timers_fire_in_the_order_of_their_deadlines_and_a_replaced_or_cancelled_one_does_not():
    async def main() -> None:
        timers, fired, is_done = AsyncTimers(asyncio.get_running_loop()), list[str](), asyncio.Event()

        def last() -> None:
            fired.append("last")
            is_done.set()

        timers.set("last", 0.03, last)
        timers.set("first", 0.01, lambda: fired.append("first"))
        timers.set("replaced", 0.001, lambda: fired.append("replaced"))
        timers.set("replaced", 0.02, lambda: fired.append("replacement"))
        timers.set("cancelled", 0.001, lambda: fired.append("cancelled"))
        timers.cancel("cancelled")
        timers.cancel("never set")
        timers.wake()
        await asyncio.wait_for(is_done.wait(), PATIENCE)
        assert fired == ["first", "replacement", "last"]

    asyncio.run(main())


def test_a_timer_may_set_itself_again_while_it_fires():
    async def main() -> None:
        timers, is_done = AsyncTimers(asyncio.get_running_loop()), asyncio.Event()
        timers.set("again", 0.0, lambda: timers.set("again", 0.0, is_done.set))
        await asyncio.wait_for(is_done.wait(), PATIENCE)

    asyncio.run(main())


def test_after_the_close_none_fires_and_none_is_set():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        timers, fired = AsyncTimers(loop), list[str]()
        timers.set("early", 0.0, lambda: fired.append("early"))
        timers.close()
        timers.set("late", 0.0, lambda: fired.append("late"))
        await asyncio.sleep(0.01)
        assert fired == []
        assert timers.clock() <= loop.time()

    asyncio.run(main())
