"""The registry of client tools, and the rules of calling one: its arguments, its answer, its failure.

The rules are pure and shared by every runtime; threads belong to the runners, but for the two calls
of ``ClientTools`` itself that work without any session.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import orjson

if TYPE_CHECKING:
    # At run time it is imported by what needs it: 15 ms that most sessions never pay.
    import asyncio

__all__ = [
    "ClientTools",
    "Outcome",
    "ToolHandler",
    "await_outcome",
    "call_arguments",
    "call_handler",
    "dismiss",
    "error_text",
    "not_registered_text",
    "not_run_text",
    "result_text",
    "runs_on_loop",
]

logger = logging.getLogger(__name__)

ToolHandler = Callable[[dict[str, Any]], Any]


class Outcome(NamedTuple):
    """What a tool call came to, as the wire allows it.

    Attributes:
        text: The result or the error, always encodable as UTF-8.
        is_error: Whether the call failed.
    """

    text: str
    is_error: bool


# Rules


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
        return Outcome(_sendable(problem), True)


def error_text(exception: BaseException) -> str:
    """Return the text of an exception, or the name of its class if it has none or cannot tell it."""
    try:
        text = str(exception)
    except BaseException:  # its __str__ is user code and may raise anything
        text = ""
    return _sendable(text or type(exception).__name__)


def not_registered_text(name: str) -> str:
    """Return the error for a tool that nobody registered."""
    return _sendable(f"Tool '{name}' is not registered")


def not_run_text(name: str, reason: str) -> str:
    """Return the error for a call whose handler could not be called."""
    return _sendable(f"Tool '{name}' was not run: {reason}")


def runs_on_loop(handler: ToolHandler, is_async: bool) -> bool:
    """Whether a handler is to be called on an event loop rather than on a thread of its own."""
    return is_async or inspect.iscoroutinefunction(handler)


def call_handler(name: str, handler: ToolHandler, arguments: dict[str, Any]) -> Outcome | Awaitable[Any]:
    """Call a handler here and now; return its outcome, or the awaitable that will have it.

    Never raises: whatever the handler raises is the outcome, SystemExit and KeyboardInterrupt too,
    so that a tool ends neither its thread nor the program.
    """
    try:
        value = handler(arguments)
        if inspect.isawaitable(value):
            return value
        return result_text(name, value)
    except BaseException as error:
        return Outcome(error_text(error), True)


async def await_outcome(name: str, started: Outcome | Awaitable[Any]) -> Outcome:
    """Return the outcome of a call that was begun by ``call_handler``, awaiting it if need be.

    A cancellation is an outcome as well: whoever cancelled does not want it, and everybody else
    has to be answered.
    """
    if isinstance(started, Outcome):
        return started
    try:
        return result_text(name, await started)
    except GeneratorExit:
        # Not a failure of the tool: the loop went away and the garbage collector closes what is left.
        raise
    except BaseException as error:
        return Outcome(error_text(error), True)


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


# Registry


@attrs.define(eq=False)
class ClientTools:
    """The tools that an agent may call in the client.

    One ClientTools serves any number of conversations, one after another and at once. All methods
    may be called from any thread at any time; the constructor starts no thread.

    A handler takes one positional argument, the dict of its parameters with the id of the call
    under ``tool_call_id``. Its result is sent as text, see ``result_text``; what it raises is sent
    as an error.

    Attributes:
        loop: The event loop that asynchronous handlers run on; without it each conversation brings
            its own. A loop that is not running yet is waited for; handlers on a closed one fail.
        tools: Name to handler and whether it was registered as asynchronous.
    """

    # Single operations on a dict are atomic; with no lock a signal handler cannot meet a held one.
    loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, repr=False)
    tools: dict[str, tuple[ToolHandler, bool]] = attrs.field(factory=dict, init=False)

    def register(self, tool_name: str, handler: ToolHandler, is_async: bool = False) -> None:
        """Add a tool; it can be called from now on, also by conversations that are running.

        Args:
            tool_name: The name by which the agent calls it.
            handler: Function or coroutine function of one dict. A coroutine function is recognised;
                also a plain function may return an awaitable.
            is_async: Whether to call the handler on the event loop in any case.

        Raises:
            ValueError: The handler is not callable, or the name is taken.
        """
        if not callable(handler):
            raise ValueError("Handler must be callable")
        entry = (handler, is_async)
        if self.tools.setdefault(tool_name, entry) is not entry:
            raise ValueError(f"Tool '{tool_name}' is already registered")

    def unregister(self, tool_name: str) -> None:
        """Remove a tool; calls of it that are running go on.

        Raises:
            ValueError: There is no such tool.
        """
        if self.tools.pop(tool_name, None) is None:
            raise ValueError(not_registered_text(tool_name))

    def start(self) -> None:
        """Do nothing: tools need no start. Kept for callers that were written for others."""

    def stop(self) -> None:
        """Do nothing: a conversation ends its own calls, and the tools stay usable."""

    async def handle(self, tool_name: str, parameters: dict[str, Any]) -> Any:
        """Call a tool and return what its handler returned, unchanged.

        An asynchronous handler runs on the event loop that awaits this. A plain one runs on a
        daemon thread of its own, so that the loop is not held up; how many calls are open at once
        is the caller's affair. Cancelling does not stop a plain handler.

        Raises:
            ValueError: There is no such tool.
            BaseException: Whatever the handler raises.
        """
        entry = self.tools.get(tool_name)
        if entry is None:
            raise ValueError(not_registered_text(tool_name))
        handler, is_async = entry
        if runs_on_loop(handler, is_async):
            value = handler(parameters)
        else:
            value = await _call_on_thread(handler, parameters)
        return await value if inspect.isawaitable(value) else value

    def execute_tool(
        self,
        tool_name: str,
        parameters: dict[str, Any],
        callback: Callable[[dict[str, Any]], object],
    ) -> None:
        """Call a tool outside any conversation and hand its result message to a callback.

        Returns at once. The callback gets ``type``, ``tool_call_id`` (as in the parameters, or
        None), ``result`` and ``is_error``, on the thread of the event loop that ran the tool; what
        it raises is logged. No ``start()`` is needed.

        Raises:
            RuntimeError: The event loop given to the constructor is closed.
        """
        import asyncio

        arguments = dict(parameters)

        async def execute() -> None:
            outcome = await await_outcome(tool_name, self.handle(tool_name, arguments))
            message = {
                "type": "client_tool_result",
                "tool_call_id": parameters.get("tool_call_id"),
                "result": outcome.text,
                "is_error": outcome.is_error,
            }
            try:
                callback(message)
            except Exception:
                logger.exception("The callback for the result of tool '%s' raised.", tool_name)

        if self.loop is None:
            threading.Thread(
                target=lambda: asyncio.run(execute()), name="convsm-tool-execute", daemon=True
            ).start()
            return
        running = execute()
        try:
            asyncio.run_coroutine_threadsafe(running, self.loop)
        except RuntimeError:
            running.close()
            raise


async def _call_on_thread(handler: ToolHandler, parameters: dict[str, Any]) -> Any:
    """Call on a daemon thread: those of an executor are joined at exit, and one tool could hold that up."""
    import asyncio

    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if not answer.done():
            answer.set_result((value, error))

    def call() -> None:
        value, failure = None, None
        try:
            value = handler(parameters)
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any longer
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=call, name="convsm-tool-handle", daemon=True).start()
    value, failure = await answer
    if failure is not None:
        raise failure
    return value
