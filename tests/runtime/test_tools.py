from __future__ import annotations

import asyncio
import math
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from convsm import ToolError
from convsm.runtime.tools import ClientTools

PATIENCE = 10.0  # seconds until a test that waits for a fault gives up

any_text = st.text(st.characters() | st.characters(categories=["Cs"]))
sendable_text = st.text()
json_values: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | sendable_text,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(sendable_text, children, max_size=3),
    max_leaves=8,
)


def tool_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("convsm-tool")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    for thread in tool_threads():
        thread.join(PATIENCE)
    assert tool_threads() == []


def execute(tools: ClientTools, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    tools.execute_tool(name, parameters, messages.put)
    return messages.get(timeout=PATIENCE)


class LoopThread:
    """A user's own event loop, idle on a thread until something is scheduled on it."""

    def __enter__(self) -> asyncio.AbstractEventLoop:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self.loop

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        self.loop.close()


async def asynchronous(parameters: dict[str, Any]) -> str:
    return "later"


# Registry


def test_a_handler_must_be_callable_and_its_name_free():
    tools = ClientTools()
    not_callable: Any = "text"
    with pytest.raises(ValueError, match=r"^Handler must be callable$"):
        tools.register("x", not_callable)
    tools.register("x", str)
    with pytest.raises(ValueError, match=r"^Tool 'x' is already registered$"):
        tools.register("x", str)
    tools.register(tool_name="y", handler=asynchronous, is_async=True)
    assert tools.tools == {"x": (str, False), "y": (asynchronous, True)}


def test_a_tool_can_be_unregistered_once_and_its_name_used_again():
    tools = ClientTools()
    tools.register("x", str)
    tools.unregister("x")
    with pytest.raises(ValueError, match=r"^Tool 'x' is not registered$"):
        tools.unregister("x")
    tools.register("x", len)
    assert tools.tools == {"x": (len, False)}


def test_of_many_threads_that_register_a_name_exactly_one_succeeds():
    tools = ClientTools()
    barrier = threading.Barrier(8)
    outcomes: queue.SimpleQueue[str] = queue.SimpleQueue()

    def register() -> None:
        barrier.wait(PATIENCE)
        try:
            tools.register("x", str)
        except ValueError:
            outcomes.put("refused")
        else:
            outcomes.put("registered")

    threads = [threading.Thread(target=register) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert sorted(outcomes.get(timeout=PATIENCE) for _ in threads) == ["refused"] * 7 + ["registered"]
    for thread in threads:
        thread.join(PATIENCE)


def test_d19_tools_that_are_only_made_start_no_thread():
    before = set(threading.enumerate())
    made = [ClientTools() for _ in range(5)]
    for tools in made:
        tools.register("x", str)
        tools.start()
        tools.start()
    assert set(threading.enumerate()) == before


def test_the_loop_is_kept_and_neither_start_nor_stop_touches_it():
    loop = asyncio.new_event_loop()
    tools = ClientTools(loop)
    assert tools.loop is loop
    tools.start()
    tools.stop()
    tools.stop()
    assert not loop.is_closed()
    loop.close()
    assert ClientTools(loop=None).loop is None


# handle


def test_handle_returns_the_value_of_the_handler_unchanged():
    tools = ClientTools()
    parameters = {"a": 1}
    tools.register("plain", lambda given: given)
    tools.register("asynchronous", asynchronous)
    tools.register("flagged", lambda _: "flagged", is_async=True)
    tools.register("awaitable", lambda given: asynchronous(given))
    assert asyncio.run(tools.handle("plain", parameters)) is parameters
    assert asyncio.run(tools.handle("asynchronous", {})) == "later"
    assert asyncio.run(tools.handle("flagged", {})) == "flagged"
    assert asyncio.run(tools.handle("awaitable", {})) == "later"


def test_handle_refuses_an_unknown_tool_and_passes_on_what_a_handler_raises():
    tools = ClientTools()
    tools.register("broken", lambda given: given["city"])
    with pytest.raises(ValueError, match=r"^Tool 'x' is not registered$"):
        asyncio.run(tools.handle("x", {}))
    with pytest.raises(KeyError, match="city"):
        asyncio.run(tools.handle("broken", {}))


def test_handle_does_not_hold_up_the_loop_that_awaits_it():
    tools = ClientTools()
    gate = threading.Event()
    tools.register("blocking", lambda _: gate.wait(PATIENCE))

    async def main() -> bool:
        call = asyncio.create_task(tools.handle("blocking", {}))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not call.done()
        gate.set()
        return bool(await call)

    assert asyncio.run(main())


def start_blocking(tools: ClientTools, gate: threading.Event, inside: Callable[[], object]) -> None:
    def blocking(_: object) -> None:
        inside()
        gate.wait(PATIENCE)

    tools.register("blocking", blocking)


def test_handle_can_be_cancelled_while_a_plain_handler_runs():
    tools = ClientTools()
    gate = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        running = asyncio.Event()
        start_blocking(tools, gate, lambda: loop.call_soon_threadsafe(running.set))
        call = asyncio.create_task(tools.handle("blocking", {}))
        await running.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        gate.set()
        for thread in tool_threads():
            thread.join(PATIENCE)
        await asyncio.sleep(0)  # what the thread had scheduled

    asyncio.run(main())


def test_a_plain_handler_may_outlive_the_loop_that_awaited_it():
    tools = ClientTools()
    gate = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        running = asyncio.Event()
        start_blocking(tools, gate, lambda: loop.call_soon_threadsafe(running.set))
        call = asyncio.create_task(tools.handle("blocking", {}))
        await running.wait()
        call.cancel()

    asyncio.run(main())
    assert [thread.name for thread in tool_threads()] == ["convsm-tool-handle"]
    gate.set()


# execute_tool


def test_execute_tool_answers_without_a_start():
    tools = ClientTools()
    tools.register("plain", lambda given: given["a"])
    tools.register("asynchronous", asynchronous)
    given = {"a": 0, "tool_call_id": "call_1"}
    assert execute(tools, "plain", given) == {
        "type": "client_tool_result",
        "tool_call_id": "call_1",
        "result": "0",
        "is_error": False,
    }
    assert execute(tools, "asynchronous", {})["result"] == "later"
    assert execute(tools, "asynchronous", {})["tool_call_id"] is None


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt])
def test_execute_tool_answers_failures_as_errors(raised: type[BaseException]):
    def broken(_: object) -> None:
        raise raised("broken")

    tools = ClientTools()
    tools.register("broken", broken)
    answer = execute(tools, "broken", {})
    assert (answer["result"], answer["is_error"]) == ("broken", True)
    answer = execute(tools, "x", {})
    assert (answer["result"], answer["is_error"]) == ("Tool 'x' is not registered", True)


def test_execute_tool_does_not_let_the_handler_touch_the_callers_parameters():
    tools = ClientTools()
    tools.register("greedy", lambda given: given.clear())
    given = {"tool_call_id": "call_1"}
    assert execute(tools, "greedy", given)["tool_call_id"] == "call_1"
    assert given == {"tool_call_id": "call_1"}


def test_d17_tools_answer_after_they_were_stopped():
    tools = ClientTools()
    tools.register("plain", lambda _: "done")
    for _ in range(2):
        tools.start()
        assert execute(tools, "plain", {})["result"] == "done"
        tools.stop()
        assert execute(tools, "plain", {})["result"] == "done"


def test_d23_execute_tool_wakes_an_idle_loop_of_the_users():
    with LoopThread() as loop:
        tools = ClientTools(loop)

        async def where(_: object) -> bool:
            return asyncio.get_running_loop() is loop

        tools.register("where", where)
        assert execute(tools, "where", {})["result"] == "true"


def test_execute_tool_on_a_closed_loop_raises():
    loop = asyncio.new_event_loop()
    loop.close()
    tools = ClientTools(loop)
    tools.register("x", str)
    with pytest.raises(RuntimeError, match="closed"):
        tools.execute_tool("x", {}, print)


def test_what_a_result_callback_raises_is_logged(caplog: pytest.LogCaptureFixture):
    tools = ClientTools()
    tools.register("x", str)

    def broken(_: object) -> None:
        raise ValueError("the callback is broken")

    tools.execute_tool("x", {}, broken)
    for thread in tool_threads():
        thread.join(PATIENCE)
    assert "The callback for the result of tool 'x' raised" in caplog.text
    assert "the callback is broken" in caplog.text


# The decorator


def test_a_decorated_function_is_registered_and_stays_as_it_was():
    tools = ClientTools()

    @tools.tool
    def weather(city: str, days: int = 1) -> str:
        return f"{city}: {days}"

    @tools.tool(name="time_in", timeout=2)
    async def time_in_city(city: str, tool_call_id: str) -> str:
        return f"{city} {tool_call_id}"

    assert weather("Oslo") == "Oslo: 1"
    assert tools.tools == {"weather": (weather, False), "time_in": (time_in_city, False)}
    assert tools.tools["time_in"].timeout == 2
    assert tools.tools["time_in"].runs_on_loop
    assert execute(tools, "weather", {"city": "Oslo", "days": 2})["result"] == "Oslo: 2"
    given = {"city": "Oslo", "tool_call_id": "call_1"}
    assert execute(tools, "time_in", given)["result"] == "Oslo call_1"


def test_a_wrong_argument_is_told_and_the_function_not_called():
    tools = ClientTools()
    called = []

    @tools.tool
    def weather(city: str) -> None:
        called.append(city)

    told = "parameter 'city' must be a string, not 7"
    assert execute(tools, "weather", {"city": 7, "tool_call_id": "call_1"}) == {
        "type": "client_tool_result",
        "tool_call_id": "call_1",
        "result": f"The call was not run: {told}. Correct it and call again.",
        "is_error": True,
        "error_type": "unknown",
    }
    assert called == []


def test_a_decorated_functions_name_must_be_free():
    tools = ClientTools()
    tools.register("x", str)
    with pytest.raises(ValueError, match=r"^Tool 'x' is already registered$"):
        tools.tool(name="x")(lambda: None)


@pytest.mark.parametrize("timeout", [0, -1, math.nan])
def test_a_timeout_is_above_zero(timeout: float):
    text = "give seconds above 0, or None for no limit"
    with pytest.raises(ValueError, match=text):
        ClientTools(default_timeout=timeout)
    with pytest.raises(ValueError, match=text):
        ClientTools().register("x", str, timeout=timeout)
    with pytest.raises(ValueError, match=text):
        ClientTools().tool(timeout=timeout)(lambda: None)


def test_a_tool_error_says_its_own_type():
    tools = ClientTools()

    def refuse(_: object) -> None:
        raise ToolError("the user said no", "user_rejected")

    tools.register("refuse", refuse)
    message = execute(tools, "refuse", {})
    assert (message["result"], message["is_error"], message["error_type"]) == (
        "the user said no",
        True,
        "user_rejected",
    )
