"""The registry of client tools: what the agent may call in the client, and with which arguments."""

from __future__ import annotations

import contextlib
import inspect
import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

import attrs

from convsm.errors import ConfigurationError
from convsm.runtime.tool_outcome import ToolHandler, await_outcome, not_registered_text, runs_on_loop

if TYPE_CHECKING:
    # At run time it is imported by what needs it: 15 ms that most sessions never pay.
    import asyncio

    from typing_extensions import Self

    from convsm.runtime.tool_arguments import Binder

__all__ = ["ClientTools", "Tool"]

logger = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])


class Tool(tuple[Callable[..., Any], bool]):  # noqa: SLOT001 - a tuple has no room for slots
    """A registered tool: the pair of handler and ``is_async`` of the reference API, and its settings.

    Attributes:
        timeout: Seconds that a call may take; None takes the default of the ClientTools.
    """

    timeout: float | None
    _check: Callable[[Mapping[str, Any]], None] | None
    _bind: Binder | None

    def __new__(
        cls,
        handler: Callable[..., Any],
        is_async: bool,
        timeout: float | None = None,
        check: Callable[[Mapping[str, Any]], None] | None = None,
        bind: Binder | None = None,
    ) -> Self:
        """Make the pair."""
        tool = super().__new__(cls, (handler, is_async))
        tool.timeout, tool._check, tool._bind = timeout, check, bind
        return tool

    @property
    def runs_on_loop(self) -> bool:
        """Whether it is to be called on an event loop."""
        return runs_on_loop(*self)

    def call(self, arguments: dict[str, Any]) -> Any:
        """Check the arguments and return what the handler returns.

        Raises:
            ToolError: An argument is wrong; the handler was not called.
            BaseException: Whatever the handler raises.
        """
        if self._check is not None:
            self._check({key: value for key, value in arguments.items() if key != "tool_call_id"})
        return self[0](arguments) if self._bind is None else self[0](**self._bind(arguments))


def _schema_check(name: str, schema: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], None]:
    from convsm.runtime.tool_arguments import schema_check

    return schema_check(name, schema)


def _checked_timeout(timeout: float | None) -> float | None:
    if timeout is not None and not timeout > 0:
        raise ConfigurationError(f"timeout is {timeout!r}; give seconds above 0, or None for no limit")
    return timeout


def _default_timeout(_: object, __: object, value: float | None) -> None:
    _checked_timeout(value)


@attrs.define(eq=False)
class ClientTools:
    """The tools that an agent may call in the client.

    One ClientTools serves any number of conversations, one after another and at once. All methods
    may be called from any thread at any time; the constructor starts no thread.

    A registered handler takes one positional argument, the dict of its parameters with the id of the
    call under ``tool_call_id``; a function decorated with ``tool`` takes them by their names. The result
    is sent as text, see ``result_text``; what is raised is sent as an error, a ToolError with its own
    type of failure.

    Attributes:
        loop: The event loop that asynchronous handlers run on; without it each conversation brings
            its own. A loop that is not running yet is waited for; handlers on a closed one fail.
        default_timeout: Seconds that a call of any tool may take, from the call on; None lets it take as
            long as the session. A tool's own timeout comes before it (``math.inf``: none).
        tools: Name to handler and whether it was registered as asynchronous.
    """

    # Single operations on a dict are atomic; with no lock a signal handler cannot meet a held one.
    loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, repr=False)
    default_timeout: float | None = attrs.field(default=None, kw_only=True, validator=_default_timeout)
    tools: dict[str, Tool] = attrs.field(factory=dict, init=False)

    def register(
        self,
        tool_name: str,
        handler: ToolHandler,
        is_async: bool = False,
        timeout: float | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a tool; it can be called from now on, also by conversations that are running.

        Args:
            tool_name: The name by which the agent calls it.
            handler: Function or coroutine function of one dict. A coroutine function is recognised;
                also a plain function may return an awaitable.
            is_async: Whether to call the handler on the event loop in any case.
            timeout: Seconds that a call may take, waiting for its turn included; then the agent is told
                so, a coroutine is cancelled, and what the handler still returns is ignored. None takes
                ``default_timeout``, ``math.inf`` sets no limit.
            schema: JSON schema that the parameters are checked against before the handler runs; needs
                the extra ``schema``.

        Raises:
            ValueError: The handler is not callable, the name is taken, the timeout is not above 0, or
                (ConfigurationError) the schema cannot be used.
        """
        if not callable(handler):
            raise ValueError("Handler must be callable")
        check = _schema_check(tool_name, schema) if schema is not None else None
        self._add(tool_name, Tool(handler, is_async, _checked_timeout(timeout), check))

    def _add(self, tool_name: str, tool: Tool) -> None:
        if self.tools.setdefault(tool_name, tool) is not tool:
            raise ValueError(f"Tool '{tool_name}' is already registered")

    @overload
    def tool(self, function: Function, /) -> Function: ...

    @overload
    def tool(
        self,
        /,
        *,
        name: str | None = None,
        timeout: float | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Callable[[Function], Function]: ...

    def tool(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        timeout: float | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Callable[..., Any]:
        """Register the function that this decorates, bare or with arguments; it stays as it was.

        The tool's parameters are those of the function, given by name; one called ``tool_call_id`` gets
        the id of the call, ``**rest`` what has no name of its own. Before it runs, the call is checked: a
        parameter that is missing, unknown, or no value of its annotation is told to the agent instead.
        Enums, dataclasses and attrs classes are made of what JSON holds.

        Args:
            function: The function or coroutine function.
            name: The name by which the agent calls it; the function's own by default.
            timeout: As for ``register``.
            schema: As for ``register``; it is checked instead of the annotations.

        Raises:
            ValueError: As for ``register``, or (ConfigurationError) an annotation cannot be checked.
        """
        from convsm.runtime.tool_arguments import keywords_of

        def register(function: Function) -> Function:
            tool_name = function.__name__ if name is None else name
            check = _schema_check(tool_name, schema) if schema is not None else None
            bind = keywords_of(tool_name, function, check_types=schema is None)
            self._add(tool_name, Tool(function, False, _checked_timeout(timeout), check, bind))
            return function

        return register if function is None else register(function)

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
            ToolError: An argument is wrong.
            BaseException: Whatever the handler raises.
        """
        tool = self.tools.get(tool_name)
        if tool is None:
            raise ValueError(not_registered_text(tool_name))
        call = tool.call
        value = call(parameters) if tool.runs_on_loop else await _call_on_thread(call, parameters)
        return await value if inspect.isawaitable(value) else value

    def execute_tool(
        self,
        tool_name: str,
        parameters: dict[str, Any],
        callback: Callable[[dict[str, Any]], object],
    ) -> None:
        """Call a tool outside any conversation and hand its result message to a callback.

        Returns at once. The callback gets ``type``, ``tool_call_id`` (as in the parameters, or
        None), ``result``, ``is_error`` and for an error ``error_type``, on the thread of the event loop
        that ran the tool; what it raises is logged. No ``start()`` is needed.

        Raises:
            RuntimeError: The event loop given to the constructor is closed.
        """
        import asyncio

        arguments = dict(parameters)

        async def execute() -> None:
            outcome = await await_outcome(tool_name, self.handle(tool_name, arguments))
            message: dict[str, Any] = {
                "type": "client_tool_result",
                "tool_call_id": parameters.get("tool_call_id"),
                "result": outcome.text,
                "is_error": outcome.is_error,
            }
            if outcome.error_type is not None:
                message["error_type"] = outcome.error_type
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
