"""The rules of a call: one argument, one text, one failure."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import functools
import json
import math
import queue
import threading
import types
from collections import namedtuple
from collections.abc import Generator, Iterator
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from convsm.runtime.tool_outcome import (
    Outcome,
    await_outcome,
    call_arguments,
    call_handler,
    dismiss,
    error_text,
    not_run_text,
    result_text,
    runs_on_loop,
)
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


# Arguments


@given(st.dictionaries(sendable_text, st.integers() | st.lists(st.integers())), sendable_text)
def test_arguments_are_the_parameters_and_the_id_of_the_call(parameters: dict[str, Any], call_id: str):
    before = dict(parameters)
    arguments = call_arguments(call_id, types.MappingProxyType(parameters))
    assert type(arguments) is dict
    assert arguments == {**before, "tool_call_id": call_id}
    assert parameters == before


def test_d15_a_parameter_named_tool_call_id_cannot_replace_the_real_id():
    parameters = {"tool_call_id": "made up", "city": "Oslo"}
    assert call_arguments("real", parameters) == {"tool_call_id": "real", "city": "Oslo"}
    assert parameters == {"tool_call_id": "made up", "city": "Oslo"}


# Results


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (False, "false"),
        ("", ""),
        ([], "[]"),
        ({}, "{}"),
        (0.0, "0.0"),
        (None, "Client tool: x called successfully."),
    ],
)
def test_d11_a_falsy_result_is_sent_and_only_none_is_replaced(value: object, text: str):
    assert result_text("x", value) == Outcome(text, False)


@given(json_values)
def test_d12_a_result_that_is_no_string_is_sent_as_json(value: Any):
    text, is_error, _ = result_text("x", value)
    assert not is_error
    if isinstance(value, str):
        assert text == value
    else:
        assert json.loads(text) == value


@given(any_text)
@example("\ud83d\ude00 and half a pair \ud83d")
def test_any_text_becomes_one_that_can_be_sent(text: str):
    # A pair of surrogates is one character, of which half would be lost.
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert result_text("x", text) == Outcome(joined, False)
    assert json.loads(result_text("x", [text]).text) == [joined]
    assert error_text(ValueError(text)) == (joined or "ValueError")
    for outcome in (result_text(text, None), result_text(text, object())):
        assert outcome.text.encode()
    assert not_run_text(text, text).encode()


class Colour(str, enum.Enum):
    RED = "red"


class Severity(enum.Enum):
    HIGH = 3


@dataclasses.dataclass
class Weather:
    city: str
    degrees: float
    _source: str = "private"


@attrs.frozen
class Forecast:
    days: list[Weather]
    _source: str = "private"


Point = namedtuple("Point", "x y")  # noqa: PYI024 - the untyped one is met in the wild too
DEEP: list[object] = []
for _ in range(300):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({2: "a", None: "b", True: "c"}, {"2": "a", "null": "b", "true": "c"}),
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        (2**70, 2**70),
        ({"n": -(2**70), "point": Point(1, None)}, {"n": -(2**70), "point": [1, None]}),
        (Weather("Oslo", -3.5), {"city": "Oslo", "degrees": -3.5}),
        (Forecast([Weather("Oslo", -3.5)]), {"days": [{"city": "Oslo", "degrees": -3.5}]}),
        ([2**70, Forecast([Weather("Oslo", 1.0)])], [2**70, {"days": [{"city": "Oslo", "degrees": 1.0}]}]),
        (Severity.HIGH, 3),
        (datetime.date(2025, 1, 2), "2025-01-02"),
        (DEEP, DEEP),
        (math.nan, None),
        ([math.inf, -math.inf], [None, None]),
        ({"n": 2**70, "m": math.nan}, {"n": 2**70, "m": None}),
    ],
)
def test_everything_that_json_can_hold_is_sent_as_compact_json(value: object, expected: object):
    text, is_error, _ = result_text("x", value)
    assert not is_error
    assert json.loads(text) == expected
    assert ": " not in text
    assert ", " not in text


def test_a_string_enum_is_sent_as_its_characters():
    text = result_text("x", Colour.RED).text
    assert text == "red"
    assert type(text) is str


CIRCULAR: list[object] = []
CIRCULAR.append(CIRCULAR)


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@attrs.define
class Broken:
    number: int = attrs.field(init=False)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        b"bytes",
        bytearray(b"b"),
        {1, 2},
        CIRCULAR,
        {"a": object()},
        Hostile(),
        Broken(),
        {(1, 2): 3},
        1j,
    ],
)
def test_d13_an_unserialisable_result_is_an_error_that_names_tool_and_type(value: object):
    text, is_error, error_type = result_text("lookup", value)
    assert is_error
    assert error_type == "external_client"
    assert text.startswith(f"Tool 'lookup' returned a value of type {type(value).__name__} ")


def test_an_unserialisable_result_names_the_type_inside_too():
    assert "object" in result_text("lookup", {"a": [object()]}).text


# Errors


@pytest.mark.parametrize(
    ("exception", "text"),
    [
        (KeyError(), "KeyError"),
        (AssertionError(), "AssertionError"),
        (asyncio.CancelledError(), "CancelledError"),
        (ValueError("no such city"), "no such city"),
        (KeyError("city"), "'city'"),
    ],
)
def test_d14_an_exception_without_a_text_is_told_by_its_class(exception: BaseException, text: str):
    assert error_text(exception) == text


@pytest.mark.parametrize("raised", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_an_exception_that_cannot_tell_its_text_is_told_by_its_class(raised: type[BaseException]):
    class Mute(Exception):
        def __str__(self) -> str:
            raise raised

    assert error_text(Mute()) == "Mute"


# Calling


async def asynchronous(parameters: dict[str, Any]) -> str:
    return "later"


def test_a_coroutine_function_runs_on_the_loop_without_being_told():
    assert runs_on_loop(asynchronous, False)
    assert runs_on_loop(functools.partial(asynchronous), False)
    assert runs_on_loop(str, True)
    assert not runs_on_loop(str, False)


@pytest.mark.parametrize(
    "raised",
    [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, StopIteration, GeneratorExit],
)
def test_whatever_a_handler_raises_is_its_outcome(raised: type[BaseException]):
    def handler(_: object) -> None:
        raise raised("told")

    assert call_handler("x", handler, {}) == Outcome("told", True, "external_client")


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_whatever_a_coroutine_raises_is_its_outcome(raised: type[BaseException]):
    async def handler(_: object) -> None:
        await asyncio.sleep(0)
        raise raised("told")

    async def call() -> Outcome:
        return await await_outcome("x", call_handler("x", handler, {}))

    assert asyncio.run(call()) == Outcome("told", True, "external_client")


def test_a_coroutine_has_the_outcome_of_what_it_returns():
    async def call() -> tuple[Outcome, Outcome]:
        at_once = await await_outcome("x", call_handler("x", lambda parameters: parameters, {"a": 1}))
        return at_once, await await_outcome("x", call_handler("x", asynchronous, {}))

    assert asyncio.run(call()) == (Outcome('{"a":1}', False), Outcome("later", False))


def test_a_result_whose_class_cannot_be_asked_is_an_error():
    class Unaskable:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            raise SystemExit("unaskable")

    assert call_handler("x", lambda _: Unaskable(), {}) == Outcome("unaskable", True, "external_client")


def test_a_call_whose_loop_is_gone_ends_without_an_outcome():
    class Forever:
        def __await__(self) -> Generator[None, None, None]:
            yield

    ended = []

    async def handler(_: object) -> None:
        try:
            await Forever()
        finally:
            ended.append("handler")

    call = await_outcome("x", handler({}))
    call.send(None)
    call.close()
    assert ended == ["handler"]


def test_a_dismissed_coroutine_does_not_warn():
    coroutine = asynchronous({})
    dismiss(coroutine)
    dismiss(None)
    with pytest.raises(RuntimeError):
        coroutine.send(None)
