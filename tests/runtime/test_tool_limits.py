"""What limits a tool call: its time, its place, the loop it is given, and an answer by hand."""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from convsm.machine.effects import AskApproval, RunTool
from convsm.machine.events import ApprovalDecided, Event, ToolCompleted
from convsm.runtime import tool_loop
from convsm.runtime.tool_runner import ToolRunner
from convsm.runtime.tool_workers import STUCK_FACTOR
from convsm.runtime.tools import ClientTools
from convsm.testing.clock import ManualTimers

if TYPE_CHECKING:
    from typing_extensions import Self

PATIENCE = 10.0  # seconds until a test that waits for a fault gives up


def session_threads() -> list[threading.Thread]:
    names = ("convsm-tool", "convsm-timers")
    return [thread for thread in threading.enumerate() if thread.name.startswith(names)]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    for thread in session_threads():
        thread.join(PATIENCE)
    assert session_threads() == []


class Bench:
    """A session's runner on virtual time, with what it posted."""

    def __init__(self, tools: ClientTools | None = None, **options: Any) -> None:
        self.posted: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.timers = ManualTimers()
        self.tools = tools or ClientTools()
        self.runner = ToolRunner(self.tools, self.posted.put, **{"timers": self.timers, **options})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.close()
        assert self.posted.empty()
        assert self.timers.armed == {}

    def call(self, name: str, call_id: str = "call_1", expects_response: bool = True) -> None:
        self.runner.run(RunTool(call_id, name, {}, expects_response))

    def answer(self) -> Event:
        return self.posted.get(timeout=PATIENCE)


class Blocking:
    """A plain handler that tells when it runs and goes on when it may."""

    def __init__(self) -> None:
        self.running = threading.Semaphore(0)
        self.may_end = threading.Event()

    def __call__(self, parameters: object) -> str:
        self.running.release()
        assert self.may_end.wait(PATIENCE)
        return "ended"

    def wait_until_running(self) -> None:
        assert self.running.acquire(timeout=PATIENCE)


class Suspended:
    """An asynchronous handler that awaits what never comes."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.cancelled = threading.Event()

    async def __call__(self, parameters: object) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


def timed_out(call_id: str, name: str, seconds: str) -> ToolCompleted:
    text = f"Tool '{name}' did not answer within {seconds} s"
    return ToolCompleted(call_id, text, is_error=True, error_type="client_timeout")


# Timeouts


def test_a_coroutine_that_takes_too_long_is_cancelled_and_answered_once():
    suspended = Suspended()
    with Bench() as session:
        session.tools.register("slow", suspended, is_async=True, timeout=2.5)
        session.call("slow")
        assert suspended.running.wait(PATIENCE)
        session.timers.advance(2.4)
        assert session.posted.empty()
        session.timers.advance(0.2)
        assert session.answer() == timed_out("call_1", "slow", "2.5")
        assert suspended.cancelled.wait(PATIENCE)


def test_a_plain_handler_that_takes_too_long_is_answered_once_and_its_result_ignored():
    blocking = Blocking()
    with Bench() as session:
        session.tools.register("slow", blocking, timeout=3)
        session.call("slow")
        blocking.wait_until_running()
        session.timers.advance(3)
        assert session.answer() == timed_out("call_1", "slow", "3")
        blocking.may_end.set()


def test_a_call_that_answers_in_time_leaves_no_timer():
    with Bench() as session:
        session.tools.register("quick", lambda _: "done", timeout=3)
        session.call("quick")
        assert session.answer() == ToolCompleted("call_1", "done")
        assert session.timers.armed == {}
        session.timers.advance(10)
        assert session.posted.empty()


def test_waiting_for_a_thread_counts_and_a_call_that_never_began_never_begins():
    blocking, began = Blocking(), threading.Event()
    with Bench(max_workers=1) as session:
        session.tools.register("blocking", blocking)
        session.tools.register("waiting", lambda _: began.set(), timeout=1)
        session.call("blocking")
        blocking.wait_until_running()
        session.call("waiting", "call_2")
        session.timers.advance(1)
        assert session.answer() == timed_out("call_2", "waiting", "1")
        blocking.may_end.set()
        assert session.answer() == ToolCompleted("call_1", "ended")
    assert not began.is_set()


def test_the_default_timeout_is_for_tools_without_their_own():
    blocking = Blocking()
    tools = ClientTools(default_timeout=5)
    for name, timeout in (("default", None), ("own", 1.0), ("endless", math.inf)):
        tools.register(name, blocking, timeout=timeout)
    with Bench(tools) as session:
        for name in ("default", "own", "endless"):
            session.call(name, name)
        assert session.timers.armed == {("tool", "default"): 5, ("tool", "own"): 1.0}
        session.timers.advance(5)
        assert session.answer() == timed_out("own", "own", "1")
        assert session.answer() == timed_out("default", "default", "5")
        blocking.may_end.set()
        assert session.answer() == ToolCompleted("endless", "ended")


@pytest.mark.parametrize("is_async", [True, False])
def test_without_timers_of_others_a_timeout_passes_in_real_time(is_async: bool):
    handler = Suspended() if is_async else Blocking()
    with Bench(timers=None) as session:
        session.tools.register("slow", handler, is_async=is_async, timeout=0.01)
        session.call("slow")
        assert session.answer() == timed_out("call_1", "slow", "0.01")
    if isinstance(handler, Blocking):
        handler.may_end.set()


def test_a_cancelled_call_leaves_no_timer():
    suspended = Suspended()
    with Bench() as session:
        session.tools.register("slow", suspended, is_async=True, timeout=5)
        session.call("slow")
        assert suspended.running.wait(PATIENCE)
        session.runner.cancel("call_1")
        assert session.timers.armed == {}


# Places


def test_a_handler_that_timed_out_leaves_its_place_to_another():
    blocking = Blocking()
    with Bench(max_workers=1) as session:
        session.tools.register("stuck", blocking, timeout=1)
        session.tools.register("where", lambda _: threading.current_thread().name)
        session.call("stuck")
        blocking.wait_until_running()
        session.call("where", "call_2")
        session.timers.advance(1)
        # The other thread may be quicker than the one that tells of the timeout.
        answers = [session.answer(), session.answer()]
        assert timed_out("call_1", "stuck", "1") in answers
        assert ToolCompleted("call_2", "convsm-tool-worker-2") in answers
        blocking.may_end.set()
        session.call("where", "call_3")
        assert session.answer() == ToolCompleted("call_3", "convsm-tool-worker-2")


def test_stuck_threads_are_replaced_up_to_a_bound():
    blocking = Blocking()
    most = STUCK_FACTOR + 1
    with Bench(max_workers=1) as session:
        session.tools.register("stuck", blocking, timeout=1)
        for number in range(most):
            session.call("stuck", f"call_{number}")
            blocking.wait_until_running()
            session.timers.advance(1)
            assert session.answer() == timed_out(f"call_{number}", "stuck", "1")
        session.call("stuck", "one more")
        session.timers.advance(1)
        assert session.answer() == timed_out("one more", "stuck", "1")
        assert len(session_threads()) == most
        assert not blocking.running.acquire(blocking=False)
        blocking.may_end.set()
        # The last one kept its place, and serves again when its handler has ended.
        session.tools.register("quick", lambda _: "done")
        session.call("quick", "quick")
        assert session.answer() == ToolCompleted("quick", "done")


# Tools that nobody registered, and answers by hand


def test_a_call_that_nobody_handles_is_told_and_stays_open_until_it_is_released():
    told: list[RunTool] = []
    with Bench(on_unhandled=told.append) as session:
        session.call("lookup")
        assert [call.call_id for call in told] == ["call_1"]
        assert session.posted.empty()
        session.runner.release("call_1")
        assert session.answer() == ToolCompleted("call_1", "")
        session.runner.release("call_1")
        session.runner.release("unknown")


def test_a_call_that_nobody_handles_ends_with_the_default_timeout():
    with Bench(ClientTools(default_timeout=5), on_unhandled=lambda _: None) as session:
        session.call("lookup")
        session.timers.advance(5)
        assert session.answer() == timed_out("call_1", "lookup", "5")


def test_a_call_that_nobody_handles_and_nobody_waits_for_completes_at_once():
    told: list[RunTool] = []
    with Bench(on_unhandled=told.append) as session:
        session.call("lookup", expects_response=False)
        assert session.answer() == ToolCompleted("call_1", "")
    assert len(told) == 1


def test_a_call_that_nobody_handles_can_be_cancelled_and_closed():
    with Bench(on_unhandled=lambda _: None) as session:
        session.call("lookup", "call_1")
        session.call("lookup", "call_2")
        session.runner.cancel("call_1")
        session.runner.release("call_1")


def test_a_handler_goes_on_when_its_call_is_released():
    blocking = Blocking()
    with Bench() as session:
        session.tools.register("slow", blocking)
        session.call("slow")
        blocking.wait_until_running()
        session.runner.release("call_1")
        assert session.posted.empty()
        blocking.may_end.set()
        assert session.answer() == ToolCompleted("call_1", "ended")


# Approvals


async def yes(request: object) -> bool:
    await asyncio.sleep(0)
    return True


def fails(request: object) -> bool:
    raise RuntimeError("no idea")


@pytest.mark.parametrize(
    ("handler", "is_approved"),
    [
        (lambda request: True, True),
        (lambda request: False, False),
        (yes, True),
        (lambda request: yes(request), True),
        (lambda request: request == "request", True),
    ],
)
def test_the_approval_handler_decides(handler: Callable[[Any], Any], is_approved: bool):
    with Bench(approve=handler) as session:
        session.runner.ask(AskApproval("call_9", "request"))
        assert session.answer() == ApprovalDecided("call_9", is_approved)


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (lambda request: 1, "it returned int, not a bool"),
        (lambda request: "true", "it returned str, not a bool"),
        (lambda request: None, "it returned NoneType, not a bool"),
        (fails, "no idea"),
    ],
)
def test_an_approval_handler_that_fails_or_returns_no_bool_is_a_logged_no(
    handler: Callable[[Any], Any], text: str, caplog: pytest.LogCaptureFixture
):
    with Bench(approve=handler) as session, caplog.at_level(logging.ERROR):
        session.runner.ask(AskApproval("call_9", "request"))
        assert session.answer() == ApprovalDecided("call_9", False)
    assert caplog.messages == [f"The approval handler failed for 'call_9', so it is not approved: {text}"]


def test_an_approval_without_a_handler_or_beyond_the_limit_of_calls():
    with Bench() as session:
        session.runner.ask(AskApproval("call_9", "request"))
    with Bench(approve=fails, max_open=1, on_unhandled=lambda _: None) as session:
        session.call("lookup")
        session.runner.ask(AskApproval("call_9", "request"))
        assert session.answer() == ApprovalDecided("call_9", False)


def test_a_withdrawn_question_to_a_coroutine_is_cancelled_and_not_answered():
    suspended = Suspended()
    with Bench(approve=suspended.__call__) as session:
        session.runner.ask(AskApproval("call_9", "request"))
        assert suspended.running.wait(PATIENCE)
        session.runner.withdraw("call_9")
        assert suspended.cancelled.wait(PATIENCE)


def test_a_withdrawn_question_to_a_plain_handler_is_not_answered():
    blocking = Blocking()
    with Bench(approve=blocking) as session:
        session.runner.ask(AskApproval("call_9", "request"))
        blocking.wait_until_running()
        session.runner.withdraw("call_9")
        blocking.may_end.set()


def test_a_tool_and_an_approval_may_have_the_same_id():
    with Bench(approve=lambda request: True) as session:
        blocking = Blocking()
        session.tools.register("slow", blocking)
        session.call("slow", "call_1")
        blocking.wait_until_running()
        session.runner.ask(AskApproval("call_1", "request"))
        assert session.answer() == ApprovalDecided("call_1", True)
        blocking.may_end.set()
        assert session.answer() == ToolCompleted("call_1", "ended")


# A loop that is given


def on_a_loop(test: Callable[[ToolRunner, asyncio.Queue[Event], ClientTools], Any], **options: Any) -> None:
    """Run a test inside a loop, with a runner that is given this loop and posts to it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        posted: asyncio.Queue[Event] = asyncio.Queue()
        tools = ClientTools()
        runner = ToolRunner(
            tools, lambda event: loop.call_soon_threadsafe(posted.put_nowait, event), loop=loop, **options
        )
        before = asyncio.all_tasks()
        await test(runner, posted, tools)
        await runner.aclose()
        assert asyncio.all_tasks() == before
        assert posted.empty()

    asyncio.run(main())


def run(runner: ToolRunner, name: str, call_id: str = "call_1") -> None:
    runner.run(RunTool(call_id, name, {}, True))


def test_on_a_given_loop_asynchronous_handlers_approvals_and_timeouts_need_no_thread():
    async def test(runner: ToolRunner, posted: asyncio.Queue[Event], tools: ClientTools) -> None:
        async def where(parameters: object) -> str:
            return threading.current_thread().name

        suspended = Suspended()
        tools.register("where", where)
        tools.register("slow", suspended, is_async=True, timeout=0.01)
        run(runner, "where")
        assert posted.empty()
        assert await posted.get() == ToolCompleted("call_1", threading.current_thread().name)
        runner.ask(AskApproval("call_9", "request"))
        assert await posted.get() == ApprovalDecided("call_9", True)
        run(runner, "slow", "call_2")
        assert await posted.get() == timed_out("call_2", "slow", "0.01")
        assert suspended.cancelled.is_set()
        assert session_threads() == []

    on_a_loop(test, approve=yes)


def test_on_a_given_loop_a_plain_handler_runs_on_a_worker():
    async def test(runner: ToolRunner, posted: asyncio.Queue[Event], tools: ClientTools) -> None:
        tools.register("where", lambda _: threading.current_thread().name)
        run(runner, "where")
        assert await posted.get() == ToolCompleted("call_1", "convsm-tool-worker-1")

    on_a_loop(test)


def test_aclose_cancels_and_awaits_what_runs():
    suspended, cleaned = Suspended(), []

    async def careful(parameters: object) -> None:
        try:
            await suspended(parameters)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(True)

    async def test(runner: ToolRunner, posted: asyncio.Queue[Event], tools: ClientTools) -> None:
        tools.register("careful", careful)
        tools.register("timed", suspended, is_async=True, timeout=60)
        run(runner, "careful")
        run(runner, "timed", "call_2")
        while not suspended.running.is_set():
            await asyncio.sleep(0)
        run(runner, "careful", "never begun")
        await runner.aclose()
        assert cleaned == [True]

    on_a_loop(test)


def test_aclose_gives_up_on_a_task_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(tool_loop, "CLEANUP_SECONDS", 0.01)
    may_end = asyncio.Event()

    async def stubborn(parameters: object) -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    async def test(runner: ToolRunner, posted: asyncio.Queue[Event], tools: ClientTools) -> None:
        tools.register("stubborn", stubborn)
        run(runner, "stubborn")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await runner.aclose()
        may_end.set()
        for _ in range(5):
            await asyncio.sleep(0)

    on_a_loop(test)
    assert "did not end in time and is abandoned: convsm-tool stubborn" in caplog.text


def test_the_loop_of_the_tools_wins_over_the_given_one_and_aclose_awaits_it():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    suspended = Suspended()

    async def main() -> None:
        tools = ClientTools(loop)
        tools.register("slow", suspended, is_async=True)
        runner = ToolRunner(tools, lambda _: None, loop=asyncio.get_running_loop())
        run(runner, "slow")
        while not suspended.running.is_set():
            await asyncio.sleep(0.001)
        await runner.aclose()
        assert suspended.cancelled.is_set()

    asyncio.run(main())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    loop.close()


def test_aclose_of_a_runner_that_ran_nothing_does_nothing():
    async def test(runner: ToolRunner, posted: asyncio.Queue[Event], tools: ClientTools) -> None:
        await runner.aclose()

    on_a_loop(test)


def test_a_timer_thread_that_cannot_be_had_refuses_the_call(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with Bench(timers=None) as session:
        session.tools.register("slow", lambda _: "done", timeout=5)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        session.call("slow")
        monkeypatch.undo()
        text = "Tool 'slow' was not run: can't start new thread"
        assert session.answer() == ToolCompleted("call_1", text, True, "unknown")


def test_a_call_that_answered_while_its_time_ran_out_is_answered_once(monkeypatch: pytest.MonkeyPatch):
    with Bench() as session:
        session.tools.register("quick", lambda _: "done", timeout=5)
        fire: list[Callable[[], None]] = []
        monkeypatch.setattr(session.timers, "set", lambda key, seconds, due: fire.append(due))
        session.call("quick")
        assert session.answer() == ToolCompleted("call_1", "done")
        fire[0]()


def test_aclose_does_not_wait_for_a_closed_or_stopped_loop_of_the_tools(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tool_loop, "CLEANUP_SECONDS", 0.01)

    async def never(parameters: object) -> None:
        raise AssertionError("its loop never ran")

    async def main(loop: asyncio.AbstractEventLoop, is_closed: bool) -> None:
        tools = ClientTools(loop)
        tools.register("never", never)
        runner = ToolRunner(tools, lambda _: None, loop=asyncio.get_running_loop())
        run(runner, "never")
        if is_closed:
            loop.close()
        await runner.aclose()

    for is_closed in (True, False):
        loop = asyncio.new_event_loop()
        asyncio.run(main(loop, is_closed))
        if not is_closed:
            # What was left there is taken off, as its owner would.
            for _ in range(5):
                loop.call_soon(loop.stop)
                loop.run_forever()
            loop.close()
