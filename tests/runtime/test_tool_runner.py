from __future__ import annotations

import asyncio
import gc
import itertools
import queue
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from convsm.machine.effects import RunTool
from convsm.machine.events import Event, ToolCompleted
from convsm.runtime import tool_loop
from convsm.runtime.tool_runner import ToolRunner
from convsm.runtime.tools import ClientTools

PATIENCE = 10.0  # seconds until a test that waits for a fault gives up


def tool_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("convsm-tool")]


def assert_no_thread_is_left() -> None:
    for thread in tool_threads():
        thread.join(PATIENCE)
    assert tool_threads() == []


class Bench:
    """A session's runner, with what it posted."""

    def __init__(self, tools: ClientTools, **options: Any) -> None:
        self.posted: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.runner = ToolRunner(tools, self.posted.put, **options)

    def call(self, name: str, call_id: str = "call_1", /, **parameters: object) -> Bench:
        self.runner.run(RunTool(call_id, name, parameters, expects_response=True))
        return self

    def answer(self) -> ToolCompleted:
        event = self.posted.get(timeout=PATIENCE)
        assert isinstance(event, ToolCompleted)
        return event

    def result(self) -> str:
        answer = self.answer()
        assert not answer.is_error, answer
        return answer.result

    def error(self) -> str:
        answer = self.answer()
        assert answer.is_error, answer
        return answer.result

    def close_and_wait(self) -> None:
        """Close; every thread ends and nothing more is posted."""
        self.runner.close()
        assert_no_thread_is_left()
        assert self.posted.empty()


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench() -> Iterator[MakeBench]:
    benches = []

    def make(tools: ClientTools, **options: Any) -> Bench:
        benches.append(Bench(tools, **options))
        return benches[-1]

    yield make
    for each in benches:
        each.runner.close()
    assert_no_thread_is_left()
    assert all(each.posted.empty() for each in benches)


@pytest.fixture
def user_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A user's own event loop, idle on a thread until something is scheduled on it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    loop.close()


class Blocking:
    """A plain handler that tells when it runs and goes on when it may."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, parameters: dict[str, Any]) -> str:
        self.running.set()
        assert self.may_end.wait(PATIENCE)
        return "ended"

    def wait_until_running(self) -> None:
        assert self.running.wait(PATIENCE)


class Suspended:
    """An asynchronous handler that awaits what never comes, and has a cleanup to do."""

    def __init__(self, slow_cleanup: bool = False) -> None:
        self.running = threading.Event()
        self.cancelled = threading.Event()
        self.cleaned_up = threading.Event()
        self.slow_cleanup = slow_cleanup

    async def __call__(self, parameters: dict[str, Any]) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            if self.slow_cleanup:
                for _ in range(5):
                    await asyncio.sleep(0)
            self.cleaned_up.set()

    def wait_until_running(self) -> None:
        assert self.running.wait(PATIENCE)


def tools_with(loop: asyncio.AbstractEventLoop | None = None, **handlers: Callable[..., Any]) -> ClientTools:
    tools = ClientTools(loop)
    for name, handler in handlers.items():
        tools.register(name, handler, is_async=isinstance(handler, Suspended))
    return tools


def run_briefly(loop: asyncio.AbstractEventLoop) -> None:
    """Run what is ready on a loop, and what follows from it within a few steps."""
    for _ in range(10):
        loop.call_soon(loop.stop)
        loop.run_forever()


def where(parameters: dict[str, Any]) -> str:
    return threading.current_thread().name


async def where_async(parameters: dict[str, Any]) -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


async def greet(parameters: dict[str, Any]) -> str:
    await asyncio.sleep(0)
    return f"hello {parameters['name']}"


# Answers


def test_a_plain_handler_runs_on_a_worker_thread_and_is_answered_once(bench: MakeBench):
    session = bench(tools_with(where=where)).call("where", "call_7")
    assert session.answer() == ToolCompleted("call_7", "convsm-tool-worker-1", is_error=False)
    session.close_and_wait()


def test_a_coroutine_function_runs_on_the_runners_loop_and_is_answered_once(bench: MakeBench):
    session = bench(tools_with(where=where_async)).call("where", "call_7")
    assert session.answer() == ToolCompleted("call_7", "convsm-tool-loop", is_error=False)
    session.close_and_wait()


def test_a_handler_flagged_asynchronous_runs_on_the_loop_whatever_it_returns(bench: MakeBench):
    tools = ClientTools()
    tools.register("plain", where, is_async=True)
    tools.register("awaitable", lambda parameters: greet(parameters), is_async=True)
    session = bench(tools)
    assert session.call("plain").result() == "convsm-tool-loop"
    assert session.call("awaitable", name="Ada").result() == "hello Ada"


def test_an_awaitable_that_a_plain_handler_returns_is_awaited(bench: MakeBench):
    session = bench(tools_with(greet=lambda parameters: greet(parameters)))
    assert session.call("greet", name="Ada").result() == "hello Ada"


def test_a_call_that_expects_no_response_is_run_and_posted_likewise(bench: MakeBench):
    session = bench(tools_with(where=where))
    session.runner.run(RunTool("call_1", "where", {}, expects_response=False))
    assert session.result() == "convsm-tool-worker-1"


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_raising_handler_is_answered_and_ends_no_thread(bench: MakeBench, raised: type[BaseException]):
    def broken(_: object) -> None:
        raise raised("broken")

    async def broken_async(_: object) -> None:
        raise raised("broken")

    session = bench(tools_with(a=broken, b=broken_async, where=where, where_async=where_async), max_workers=1)
    for name in ("a", "b", "a", "b"):
        assert session.call(name).error() == "broken"
    assert session.call("where").result() == "convsm-tool-worker-1"
    assert session.call("where_async").result() == "convsm-tool-loop"


def test_a_coroutine_that_raises_generator_exit_is_answered(bench: MakeBench):
    async def broken(_: object) -> None:
        raise GeneratorExit

    assert bench(tools_with(broken=broken)).call("broken").error() == "GeneratorExit"


def test_an_unknown_tool_is_answered_with_an_error_inside_run(bench: MakeBench):
    session = bench(ClientTools()).call("missing")
    assert session.posted.get_nowait() == ToolCompleted(
        "call_1", "Tool 'missing' is not registered", is_error=True, error_type="unknown"
    )
    assert tool_threads() == []


def test_a_tool_that_is_registered_while_the_session_runs_is_found(bench: MakeBench):
    tools = ClientTools()
    session = bench(tools)
    session.call("late").error()
    tools.register("late", lambda _: "found")
    assert session.call("late").result() == "found"
    tools.unregister("late")
    session.call("late").error()


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (False, "false"), ("", ""), ([], "[]")])
def test_d11_a_falsy_result_is_posted_as_it_is(bench: MakeBench, value: object, text: str):
    async def later(_: object) -> object:
        return value

    session = bench(tools_with(now=lambda _: value, later=later))
    assert session.call("now").result() == text
    assert session.call("later").result() == text


def test_d12_a_dict_result_is_posted_as_json_text(bench: MakeBench):
    session = bench(tools_with(weather=lambda given: {"city": given["city"], "degrees": 3.5}))
    assert session.call("weather", city="Oslo").result() == '{"city":"Oslo","degrees":3.5}'


def test_d13_an_unserialisable_result_is_posted_as_an_error(bench: MakeBench):
    async def later(_: object) -> object:
        return b"bytes"

    session = bench(tools_with(now=lambda _: object(), later=later))
    assert session.call("now").error().startswith("Tool 'now' returned a value of type object ")
    assert session.call("later").error().startswith("Tool 'later' returned a value of type bytes ")


def test_d14_an_exception_without_a_text_is_posted_by_its_class(bench: MakeBench):
    def broken(_: object) -> None:
        raise KeyError

    assert bench(tools_with(broken=broken)).call("broken").error() == "KeyError"


def test_d15_the_result_is_posted_under_the_real_id_whatever_the_parameters_say(bench: MakeBench):
    session = bench(tools_with(echo=lambda given: given))
    parameters = {"tool_call_id": "made up"}
    session.runner.run(RunTool("real", "echo", parameters, expects_response=True))
    assert session.answer() == ToolCompleted("real", '{"tool_call_id":"real"}')
    assert parameters == {"tool_call_id": "made up"}


# Many sessions


def test_d17_tools_serve_one_session_after_another(bench: MakeBench):
    tools = tools_with(where=where, greet=greet)
    for _ in range(3):
        tools.start()
        session = bench(tools)
        assert session.call("where").result() == "convsm-tool-worker-1"
        assert session.call("greet", name="Ada").result() == "hello Ada"
        session.close_and_wait()
        tools.stop()


def test_d18_the_end_of_one_session_leaves_the_tools_of_another_alone(bench: MakeBench):
    blocking, suspended = Blocking(), Suspended()
    tools = tools_with(blocking=blocking, suspended=suspended, where=where, greet=greet)
    ending, living = bench(tools), bench(tools)
    living.call("blocking", "call_a").call("suspended", "call_b")
    blocking.wait_until_running()
    suspended.wait_until_running()
    assert ending.call("where").result() == "convsm-tool-worker-1"
    assert ending.call("greet", name="Ada").result() == "hello Ada"
    ending.runner.close()
    tools.stop()
    assert living.call("greet", "call_c", name="Ada").result() == "hello Ada"
    assert not suspended.cancelled.is_set()
    blocking.may_end.set()
    assert living.answer() == ToolCompleted("call_a", "ended")


def test_d19_a_runner_that_runs_nothing_starts_no_thread():
    before = set(threading.enumerate())
    sessions = [Bench(tools_with(where=where, greet=greet)) for _ in range(5)]
    assert set(threading.enumerate()) == before
    for session in sessions:
        session.runner.close()
    assert set(threading.enumerate()) == before


# Bounds


def test_plain_handlers_run_at_once_up_to_the_limit_and_further_ones_wait(bench: MakeBench):
    at_once = threading.Barrier(3)
    may_end = threading.Event()

    def together(_: object) -> str:
        at_once.wait(PATIENCE)
        may_end.wait(PATIENCE)
        return threading.current_thread().name

    session = bench(tools_with(together=together, where=where), max_workers=2)
    session.call("together", "call_1").call("together", "call_2").call("where", "call_3")
    at_once.wait(PATIENCE)
    assert session.posted.empty()
    assert len(tool_threads()) == 2
    may_end.set()
    answers = {answer.call_id: answer.result for answer in (session.answer() for _ in range(3))}
    assert answers.keys() == {"call_1", "call_2", "call_3"}
    assert set(answers.values()) == {"convsm-tool-worker-1", "convsm-tool-worker-2"}


def wait_until_idle(session: Bench, workers: int) -> None:
    """Wait until so many workers are idle; a worker is shortly after its post, and nothing tells."""
    runner: Any = session.runner
    with runner._lock:
        while runner._workers.idle < workers:
            runner._workers._changed.wait(0.001)


def test_an_idle_worker_is_used_again(bench: MakeBench):
    session = bench(tools_with(where=where))
    for _ in range(5):
        assert session.call("where").result() == "convsm-tool-worker-1"
        wait_until_idle(session, 1)
    assert len(tool_threads()) == 1


def test_an_idle_worker_keeps_nothing_of_its_last_call(bench: MakeBench):
    class Document:
        pass

    seen: list[weakref.ref[Document]] = []

    def read(parameters: dict[str, Any]) -> str:
        parameters["document"] = Document()
        seen.append(weakref.ref(parameters["document"]))
        return "read"

    session = bench(tools_with(read=read))
    assert session.call("read").result() == "read"
    wait_until_idle(session, 1)
    gc.collect()
    assert seen[0]() is None


def test_too_many_open_calls_are_refused_at_once_and_room_is_used_again(bench: MakeBench):
    blocking, suspended = Blocking(), Suspended()
    tools = tools_with(blocking=blocking, suspended=suspended, where=where)
    session = bench(tools, max_workers=1, max_open=3)
    session.call("blocking", "call_1").call("suspended", "call_2").call("where", "call_3").call(
        "where", "call_4"
    )
    refused = session.posted.get_nowait()
    assert refused == ToolCompleted(
        "call_4", "Tool 'where' was not run: too many calls are open, the limit is 3", True, "unknown"
    )
    session.runner.cancel("call_2")
    session.call("where", "call_5")
    blocking.may_end.set()
    assert [session.answer().call_id for _ in range(3)] == ["call_1", "call_3", "call_5"]


@pytest.mark.parametrize("limit", ["max_workers", "max_open"])
def test_a_limit_below_one_is_refused(limit: str):
    with pytest.raises(ValueError, match=f"{limit} must be at least 1, not 0"):
        Bench(ClientTools(), **{limit: 0})


def test_a_call_for_which_no_thread_can_be_had_is_answered(bench: MakeBench, monkeypatch: pytest.MonkeyPatch):
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    tools = tools_with(where=where, greet=greet)
    session = bench(tools)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert session.call("where").error() == "Tool 'where' was not run: can't start new thread"
        assert session.call("greet").error() == "Tool 'greet' was not run: can't start new thread"
    gc.collect()  # a loop that was left open would warn
    assert session.call("where").result().startswith("convsm-tool-worker")
    assert session.call("greet", name="Ada").result() == "hello Ada"


# Cancelling


def test_d21_a_cancelled_coroutine_sees_the_cancellation_and_cleans_up(bench: MakeBench):
    suspended = Suspended(slow_cleanup=True)
    session = bench(tools_with(suspended=suspended)).call("suspended")
    suspended.wait_until_running()
    session.runner.cancel("call_1")
    assert suspended.cleaned_up.wait(PATIENCE)
    assert suspended.cancelled.is_set()
    session.close_and_wait()


def test_d21_closing_cancels_coroutines_and_lets_them_clean_up(bench: MakeBench):
    suspended = [Suspended(slow_cleanup=True) for _ in range(3)]
    session = bench(tools_with(a=suspended[0], b=suspended[1], c=suspended[2]))
    session.call("a", "call_1").call("b", "call_2").call("c", "call_3")
    for handler in suspended:
        handler.wait_until_running()
    session.runner.cancel("call_1")  # its cleanup may still be going on when the session closes
    session.close_and_wait()
    assert all(handler.cancelled.is_set() and handler.cleaned_up.is_set() for handler in suspended)


def test_d21_closing_cancels_coroutines_on_a_loop_of_the_users(
    bench: MakeBench, user_loop: asyncio.AbstractEventLoop
):
    suspended = Suspended()
    session = bench(tools_with(user_loop, suspended=suspended)).call("suspended")
    suspended.wait_until_running()
    session.runner.close()
    assert suspended.cleaned_up.wait(PATIENCE)
    assert user_loop.is_running()


def test_d21_what_a_coroutine_started_besides_is_cancelled_after_its_own_cleanup(bench: MakeBench):
    steps = []
    kept: list[object] = []
    running = threading.Event()

    async def helper(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append(name)

    async def count() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            steps.append("generator")

    async def handler(_: object) -> None:
        gathered = asyncio.create_task(helper("gathered"))
        numbers = count()
        await anext(numbers)
        kept.extend([numbers, asyncio.create_task(helper("background"))])
        running.set()
        try:
            await asyncio.gather(gathered)
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            steps.append("handler")

    session = bench(tools_with(handler=handler)).call("handler")
    assert running.wait(PATIENCE)
    session.close_and_wait()
    assert steps == ["gathered", "handler", "background", "generator"]


def test_a_waiting_call_that_is_cancelled_never_runs(bench: MakeBench):
    blocking = Blocking()
    ran = threading.Event()
    session = bench(tools_with(blocking=blocking, mark=lambda _: ran.set(), where=where), max_workers=1)
    session.call("blocking", "call_1").call("mark", "call_2").call("where", "call_3")
    session.runner.cancel("call_2")
    blocking.may_end.set()
    assert [session.answer().call_id for _ in range(2)] == ["call_1", "call_3"]
    assert not ran.is_set()


def test_a_plain_handler_that_is_cancelled_goes_on_unheard(bench: MakeBench):
    blocking = Blocking()
    session = bench(tools_with(blocking=blocking)).call("blocking")
    blocking.wait_until_running()
    session.runner.cancel("call_1")
    session.runner.cancel("call_1")
    session.runner.cancel("unknown")
    blocking.may_end.set()
    session.close_and_wait()


def test_a_call_that_is_cancelled_before_the_loop_takes_it_up_never_runs(bench: MakeBench):
    ran = threading.Event()
    loop = asyncio.new_event_loop()

    async def mark(_: object) -> None:
        ran.set()

    tools = tools_with(loop, mark=mark, plain=lambda given: mark(given), where=where)
    session = bench(tools, max_workers=1)
    session.call("mark", "call_1").call("plain", "call_2")
    session.call("where", "call_3").result()  # by the one worker: the loop has been given call_2 as well
    session.runner.cancel("call_1")
    session.runner.cancel("call_2")
    run_briefly(loop)
    loop.close()
    assert not ran.is_set()


def test_an_awaitable_that_comes_after_the_cancellation_is_dismissed(bench: MakeBench):
    blocking = Blocking()

    def handler(parameters: dict[str, Any]) -> object:
        blocking(parameters)
        return greet(parameters)

    session = bench(tools_with(handler=handler)).call("handler")
    blocking.wait_until_running()
    session.runner.cancel("call_1")
    blocking.may_end.set()
    session.close_and_wait()
    gc.collect()  # a coroutine that was never awaited would warn


def test_the_id_of_an_open_call_is_not_run_again(bench: MakeBench):
    blocking = Blocking()
    session = bench(tools_with(blocking=blocking, where=where))
    session.call("blocking").call("where").call("missing")
    blocking.may_end.set()
    assert session.result() == "ended"
    session.close_and_wait()


# Loops


def test_d23_a_call_wakes_an_idle_loop_of_the_users(bench: MakeBench, user_loop: asyncio.AbstractEventLoop):
    async def is_users_loop(_: object) -> bool:
        return asyncio.get_running_loop() is user_loop

    tools = tools_with(user_loop, direct=is_users_loop, returned=lambda given: is_users_loop(given))
    session = bench(tools)
    assert session.call("direct").result() == "true"
    assert session.call("returned").result() == "true"


def test_a_call_on_a_loop_that_is_not_running_yet_waits_for_it(bench: MakeBench):
    loop = asyncio.new_event_loop()
    session = bench(tools_with(loop, greet=greet)).call("greet", name="Ada")
    assert session.posted.empty()
    run_briefly(loop)
    loop.close()
    assert session.result() == "hello Ada"


def test_a_call_on_a_closed_loop_is_answered_with_an_error(bench: MakeBench):
    loop = asyncio.new_event_loop()
    loop.close()
    session = bench(tools_with(loop, greet=greet, plain=lambda given: greet(given), where=where))
    assert session.call("greet").error() == "Tool 'greet' was not run: Event loop is closed"
    assert session.call("plain").error() == "Tool 'plain' was not run: Event loop is closed"
    assert session.call("where").result().startswith("convsm-tool-worker")


def test_a_loop_that_closes_under_a_call_does_not_disturb_its_cancellation(bench: MakeBench):
    loop = asyncio.new_event_loop()
    session = bench(tools_with(loop, greet=greet)).call("greet", "call_1").call("greet", "call_2")
    loop.close()
    session.runner.cancel("call_1")
    session.close_and_wait()


def test_a_call_that_a_shut_down_loop_cancels_is_answered(bench: MakeBench):
    loop = asyncio.new_event_loop()
    session = bench(tools_with(loop, greet=greet)).call("greet")

    def cancel_all() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel()

    loop.call_soon(cancel_all)  # before the first step of the call's task
    run_briefly(loop)
    loop.close()
    assert session.error() == "CancelledError"


def test_a_handler_can_neither_stop_nor_break_the_runners_loop(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
):
    async def leave() -> None:
        raise SystemExit("leaving")

    async def stop(_: object) -> None:
        asyncio.get_running_loop().stop()

    async def break_out(_: object) -> str:
        task = asyncio.create_task(leave())
        while not task.done():
            await asyncio.sleep(0)
        return str(task.exception())

    session = bench(tools_with(stop=stop, break_out=break_out, where=where_async))
    session.call("stop").result()
    assert session.call("break_out").result() == "leaving"
    assert session.call("where").result() == "convsm-tool-loop"
    assert "broke out of the event loop" in caplog.text


# Closing


def test_d20_a_plain_tool_can_end_its_session(bench: MakeBench):
    ended = threading.Event()

    def end(_: object) -> None:
        session.runner.close()
        ended.set()

    session = bench(tools_with(end=end, greet=greet, where=where))
    session.call("greet", "call_0", name="Ada").result()
    session.call("end")
    assert ended.wait(PATIENCE)
    session.close_and_wait()


@pytest.mark.parametrize("own_loop", [True, False], ids=["runner's loop", "user's loop"])
def test_d20_an_asynchronous_tool_can_end_its_session(
    bench: MakeBench, user_loop: asyncio.AbstractEventLoop, own_loop: bool
):
    ended, cleaned_up = threading.Event(), threading.Event()

    async def end(_: object) -> None:
        session.runner.close()
        ended.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    session = bench(tools_with(None if own_loop else user_loop, end=end))
    session.call("end")
    assert ended.wait(PATIENCE)
    session.close_and_wait()
    assert cleaned_up.wait(PATIENCE)


def test_d22_closing_waits_for_no_busy_tool(bench: MakeBench):
    blocking, blocking_the_loop = Blocking(), Blocking()
    tools = tools_with(blocking=blocking)
    tools.register("blocking_the_loop", blocking_the_loop, is_async=True)
    session = bench(tools)
    session.call("blocking", "call_1").call("blocking_the_loop", "call_2")
    blocking.wait_until_running()
    blocking_the_loop.wait_until_running()
    session.runner.close()
    session.runner.close()
    assert len(tool_threads()) == 2  # still busy, so close has not waited
    blocking.may_end.set()
    blocking_the_loop.may_end.set()
    session.close_and_wait()


def test_d22_closing_on_an_event_loop_does_not_hold_it_up(bench: MakeBench):
    blocking = Blocking()

    async def main() -> None:
        session = bench(tools_with(asyncio.get_running_loop(), blocking=blocking, greet=greet))
        session.call("blocking")
        while not blocking.running.is_set():
            await asyncio.sleep(0)
        session.runner.close()
        assert not blocking.may_end.is_set()

    asyncio.run(main())
    blocking.may_end.set()


def test_a_handler_that_never_ends_leaves_only_its_own_thread(bench: MakeBench):
    blocking = Blocking()
    session = bench(tools_with(blocking=blocking, where=where, greet=greet))
    session.call("blocking", "call_1")
    blocking.wait_until_running()
    session.call("where", "call_2").result()
    session.call("greet", "call_3", name="Ada").result()
    others = [thread for thread in tool_threads() if thread.name != "convsm-tool-worker-1"]
    assert len(others) == 2
    session.runner.close()
    for thread in others:
        thread.join(PATIENCE)
    assert [thread.name for thread in tool_threads()] == ["convsm-tool-worker-1"]
    blocking.may_end.set()


def test_a_coroutine_that_ignores_its_cancellation_does_not_keep_the_thread(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(tool_loop, "CLEANUP_SECONDS", 0.01)
    running = threading.Event()

    async def stubborn(_: object) -> None:
        running.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    session = bench(tools_with(stubborn=stubborn)).call("stubborn")
    assert running.wait(PATIENCE)
    session.close_and_wait()
    assert "did not end in time and is abandoned: convsm-tool stubborn" in caplog.text


def test_cleanup_may_take_a_second_by_default():
    assert tool_loop.CLEANUP_SECONDS == 1.0


def test_nothing_runs_and_nothing_is_posted_after_closing(bench: MakeBench):
    session = bench(tools_with(where=where, greet=greet))
    session.runner.close()
    session.call("where").call("greet").call("missing")
    session.runner.cancel("call_1")
    assert tool_threads() == []
    assert session.posted.empty()


def test_waiting_calls_never_run_after_closing(bench: MakeBench):
    blocking = Blocking()
    ran = threading.Event()
    session = bench(tools_with(blocking=blocking, mark=lambda _: ran.set()), max_workers=1)
    session.call("blocking", "call_1").call("mark", "call_2")
    blocking.wait_until_running()
    session.runner.close()
    blocking.may_end.set()
    session.close_and_wait()
    assert not ran.is_set()


@pytest.mark.parametrize("handler", [where, where_async])
def test_a_call_that_another_thread_closes_while_it_starts_is_dropped(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, handler: Callable[..., Any]
):
    session = bench(tools_with(where=handler))
    monkeypatch.setattr(ToolRunner, "_set_timer", lambda runner, _: runner.close())
    session.call("where")
    assert tool_threads() == []
    assert session.posted.empty()


# The runner and those who use it


def test_no_lock_is_held_while_a_handler_runs(bench: MakeBench):
    """While a handler runs, another thread gets through with anything."""

    def busy(_: object) -> bool:
        def meddle() -> None:
            session.call("where", "call_2")
            session.runner.cancel("call_2")
            tools.register("further", where)
            tools.unregister("further")

        meddling = threading.Thread(target=meddle, daemon=True)
        meddling.start()
        meddling.join(PATIENCE)
        return not meddling.is_alive()

    async def busy_async(parameters: object) -> bool:
        return busy(parameters)

    tools = tools_with(busy=busy, busy_async=busy_async, where=Blocking())
    session = bench(tools)
    assert session.call("busy").result() == "true"
    assert session.call("busy_async").result() == "true"
    handler: Any = tools.tools["where"][0]
    handler.may_end.set()


@pytest.mark.parametrize("handler", [where, where_async])
def test_post_may_use_the_runner(handler: Callable[..., Any]):
    done = threading.Event()
    seen: list[str] = []

    def post(event: Event) -> None:
        assert isinstance(event, ToolCompleted)
        seen.append(event.call_id)
        if len(seen) < 5:
            runner.run(RunTool("unheard", "unheard", {}, expects_response=True))
            runner.cancel("unheard")
            runner.run(RunTool(f"call_{len(seen)}", "again", {}, expects_response=True))
        else:
            runner.close()
            done.set()

    runner = ToolRunner(tools_with(again=handler, unheard=Suspended()), post)
    runner.run(RunTool("call_0", "again", {}, expects_response=True))
    assert done.wait(PATIENCE)
    assert_no_thread_is_left()
    assert seen == [f"call_{number}" for number in range(5)]


@pytest.mark.parametrize("handler", [where, where_async])
def test_a_signal_handler_may_close_a_runner_that_is_starting_a_thread(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, handler: Callable[..., Any]
):
    start = threading.Thread.start

    def close_and_start(thread: threading.Thread) -> None:
        session.runner.close()
        start(thread)

    session = bench(tools_with(handler=handler))
    monkeypatch.setattr(threading.Thread, "start", close_and_start)
    session.call("handler")
    monkeypatch.undo()
    session.close_and_wait()


def test_what_post_raises_is_never_swallowed(caplog: pytest.LogCaptureFixture):
    posting = threading.Semaphore(0)

    def post(event: Event) -> None:
        assert isinstance(event, ToolCompleted)
        posting.release()
        raise ValueError(f"cannot post {event.call_id}")

    runner = ToolRunner(tools_with(where=where, greet=greet), post)
    with pytest.raises(ValueError, match="cannot post call_0"):
        runner.run(RunTool("call_0", "missing", {}, expects_response=True))
    runner.run(RunTool("call_1", "where", {}, expects_response=True))
    runner.run(RunTool("call_2", "greet", {}, expects_response=True))
    for _ in range(3):
        assert posting.acquire(timeout=PATIENCE)
    runner.close()
    assert_no_thread_is_left()
    assert "cannot post call_1" in caplog.text
    assert "cannot post call_2" in caplog.text


def test_many_calls_from_many_threads_are_each_answered_once(bench: MakeBench):
    tools = tools_with(echo=lambda given: given["number"], greet=greet)
    session = bench(tools, max_workers=4, max_open=1000)
    numbers = itertools.count()
    barrier = threading.Barrier(4)
    cancelled = set()

    def caller() -> None:
        barrier.wait(PATIENCE)
        for turn in range(50):
            number = next(numbers)
            session.call("greet" if turn % 2 else "echo", f"call_{number}", name="Ada", number=number)
            tools.register(f"further {number}", where)
            if turn % 10 == 0:
                cancelled.add(f"call_{number}")
                session.runner.cancel(f"call_{number}")

    threads = [threading.Thread(target=caller, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    wanted = {f"call_{number}" for number in range(200)} - cancelled
    answered: list[str] = []
    while not wanted <= set(answered):
        answered.append(session.answer().call_id)
    session.runner.close()
    assert_no_thread_is_left()
    while not session.posted.empty():
        answered.append(session.answer().call_id)
    assert len(answered) == len(set(answered))


def test_the_interpreter_exits_while_tools_run():
    script = """
        import asyncio, threading, time
        from convsm.machine.effects import RunTool
        from convsm.runtime.tool_runner import ToolRunner
        from convsm.runtime.tools import ClientTools

        running = threading.Barrier(5)

        def plain(parameters):
            running.wait()
            threading.Event().wait()

        async def suspended(parameters):
            loop = asyncio.get_running_loop()
            threading.Thread(target=running.wait, daemon=True).start()
            await asyncio.Event().wait()

        tools = ClientTools()
        tools.register("plain", plain)
        tools.register("suspended", suspended)
        tools.execute_tool("plain", {}, print)
        tools.execute_tool("suspended", {}, print)
        runner = ToolRunner(tools, print)
        runner.run(RunTool("call_1", "plain", {}, True))
        runner.run(RunTool("call_2", "suspended", {}, True))
        running.wait()
        print("leaving")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")
