"""The rules of calling a tool: its arguments, its answer, its failure. Pure, and shared by every runtime."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import attrs
import orjson

from convsm.errors import ToolError

__all__ = [
    "Outcome",
    "ToolHandler",
    "await_outcome",
    "call_arguments",
    "call_handler",
    "dismiss",
    "error_text",
    "failure",
    "not_registered_text",
    "not_run_text",
    "result_text",
    "runs_on_loop",
    "timed_out_text",
]

ToolHandler = Callable[[dict[str, Any]], Any]

# What the protocols call the failure of a handler, of one that took too long, and any other.
HANDLER_FAILED = "external_client"
TIMED_OUT = "client_timeout"
NOT_RUN = "unknown"


class Outcome(NamedTuple):
    """What a tool call came to, as the wire allows it.

    Attributes:
        text: The result or the error, always encodable as UTF-8.
        is_error: Whether the call failed.
        error_type: The protocol's class of the failure, if it failed.
    """

    text: str
    is_error: bool
    error_type: str | None = None


def call_arguments(call_id: str, parameters: Mapping[str, object]) -> dict[str, Any]:
    """Return the one argument of a handler: a fresh dict of the parameters and the id of the call.

    The id of the call wins over a parameter named ``tool_call_id``. The mapping given is not
    touched; values inside it are shared, not copied.
    """
    return {**parameters, "tool_call_id": call_id}


def result_text(name: str, value: object) -> Outcome:
    """Return what a handler returned as the one string that the wire allows.

    A string goes as it is, also an empty one. None becomes a sentence that says that the tool was
    called. Everything else becomes compact JSON: numbers, booleans, lists, dicts, dataclasses and
    attrs classes (without their private fields), dates, UUIDs, enums. NaN and the infinities become
    ``null``, as in JavaScript; half of a surrogate pair becomes U+FFFD. What JSON cannot hold
    (bytes, sets, circular structures, other objects) is an error that names tool and type.

    Never raises for a fault of the value.
    """
    if isinstance(value, str):
        return Outcome(_sendable(value), False)
    if value is None:
        return Outcome(_sendable(f"Client tool: {name} called successfully."), False)
    try:
        return Outcome(_sendable(_json_text(value)), False)
    except Exception as error:
        problem = (
            f"Tool '{name}' returned a value of type {type(value).__name__} that JSON cannot hold "
            f"({error_text(error)}). Let it return a string or plain data."
        )
        return Outcome(_sendable(problem), True, HANDLER_FAILED)


def error_text(exception: BaseException) -> str:
    """Return the text of an exception, or the name of its class if it has none or cannot tell it."""
    try:
        text = str(exception)
    except BaseException:  # its __str__ is user code and may raise anything
        text = ""
    return _sendable(text or type(exception).__name__)


def failure(exception: BaseException) -> Outcome:
    """Return the outcome of a call whose handler raised; a ToolError says itself what it is."""
    kind = exception.error_type if isinstance(exception, ToolError) else HANDLER_FAILED
    return Outcome(error_text(exception), True, kind)


def not_registered_text(name: str) -> str:
    """Return the error for a tool that nobody registered."""
    return _sendable(f"Tool '{name}' is not registered")


def not_run_text(name: str, reason: str) -> str:
    """Return the error for a call whose handler could not be called."""
    return _sendable(f"Tool '{name}' was not run: {reason}")


def timed_out_text(name: str, seconds: float) -> str:
    """Return the error for a call that was given up."""
    return _sendable(f"Tool '{name}' did not answer within {seconds:g} s")


def runs_on_loop(handler: Callable[..., Any], is_async: bool) -> bool:
    """Whether a handler is to be called on an event loop rather than on a thread of its own."""
    return is_async or inspect.iscoroutinefunction(handler)


def call_handler(
    name: str,
    handler: Callable[[Any], Any],
    argument: Any,
    read: Callable[[str, object], Outcome] = result_text,
) -> Outcome | Awaitable[Any]:
    """Call a handler here and now; return its outcome, or the awaitable that will have it.

    Args:
        name: Name of the tool.
        handler: The handler.
        argument: Its one argument.
        read: Makes the outcome of the name and of what the handler returned.

    Never raises: whatever the handler raises is the outcome, SystemExit and KeyboardInterrupt too,
    so that a tool ends neither its thread nor the program.
    """
    try:
        value = handler(argument)
        if inspect.isawaitable(value):
            return value
        return read(name, value)
    except BaseException as error:
        return failure(error)


async def await_outcome(
    name: str, started: Outcome | Awaitable[Any], read: Callable[[str, object], Outcome] = result_text
) -> Outcome:
    """Return the outcome of a call that was begun by ``call_handler``, awaiting it if need be.

    A cancellation is an outcome as well: whoever cancelled does not want it, and everybody else
    has to be answered.
    """
    if isinstance(started, Outcome):
        return started
    try:
        return read(name, await started)
    except GeneratorExit:
        # Not a failure of the tool: the loop went away and the garbage collector closes what is left.
        raise
    except BaseException as error:
        return failure(error)


def dismiss(awaitable: Awaitable[Any] | None) -> None:
    """Give up an awaitable that nobody will await; a coroutine would warn about that."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def _sendable(text: str) -> str:
    """Return the text with surrogate pairs joined and lone surrogates replaced by U+FFFD."""
    text = str.__str__(text)  # the characters of a string enum, not what its own __str__ makes of them
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _json_text(value: object) -> str:
    try:
        return _orjson_bytes(value).decode()
    except TypeError:
        # Integers beyond 64 bits, named tuples, surrogates, nesting deeper than 254: json takes them.
        # The round trip turns its NaN, which is not JSON, into null.
        text = json.dumps(value, default=_plain)
        value = json.loads(text, parse_constant=lambda _: None)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _orjson_bytes(value: object) -> bytes:
    return orjson.dumps(value, default=_public_fields, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: object) -> object:
    return orjson.loads(_orjson_bytes(value))


def _public_fields(value: object) -> dict[str, object]:
    kind = type(value)
    if not attrs.has(kind):
        raise TypeError(f"{kind.__name__} is neither plain data nor a dataclass")
    return {
        field.name: getattr(value, field.name)
        for field in attrs.fields(kind)
        if not field.name.startswith("_")
    }
