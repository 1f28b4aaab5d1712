"""AsyncConversation: the reference API on asyncio, a thin face on the session and its driver."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from convsm.errors import ConvsmError
from convsm.machine.events import DecideApproval
from convsm.protocols.messages import ContextualUpdate, Feedback, UserActivity, UserMessage
from convsm.runtime.answers import answer_by_hand
from convsm.runtime.async_driver import AsyncDriver
from convsm.runtime.base_conversation import AFTER_END_SECONDS, ConversationBase
from convsm.runtime.elevenlabs import upload_file
from convsm.runtime.stream import AsyncEventStream
from convsm.runtime.turn_calls import SAY, AsyncTurnCalls
from convsm.runtime.wiring import Opening
from convsm.transport.multipart import UploadSource

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncConversation"]


class AsyncConversation(ConversationBase[AsyncDriver], AsyncTurnCalls):
    """A voice or text conversation with an ElevenLabs agent or an OpenAI Realtime server, on an event loop.

    All methods belong to the thread of one running event loop, and may be called in every state, from any
    task, callback, tool or method of the audio interface there. The conversation can be started again after
    it ended. As a context manager it starts, waits until the server has accepted, and ends when the body
    is left, also by cancellation. One that is still on when ``asyncio.run`` ends is closed and announced, as
    an error.

    Callbacks and tools may be plain functions or coroutine functions. Callbacks run one at a time, in order,
    in a task of their own: one that waits delays only other callbacks, and one that raises is logged and ends
    nothing. A plain callback must not block; a plain tool may, it runs on a thread. Callbacks see the context
    variables of the call of ``start_session``.

    Attributes:
        client: As given to the constructor, like all attributes named as its arguments.
    """

    _driver_class = AsyncDriver

    # Life

    async def start_session(self) -> None:
        """Begin the conversation; returns before connecting and never raises for the connection.

        Raises:
            RefusedCommand: It was started already and has not ended.
            ConfigurationError: The options contradict each other.
            AudioError: Turn handling needs a voice detector, and there is none.
            OSError: The recording cannot be written.
        """
        is_started = False
        while not is_started:
            driver = self._driver
            if driver is None or driver.ending is not None:
                driver = self._driver_class(self._wiring())
                self._driver = driver
            is_started = driver.start()

    async def end_session(self) -> None:
        """End the conversation; returns once that is accepted, in every state.

        Queued speech is silenced. Does and announces nothing when there is no session.
        """
        if self._driver is not None:
            self._driver.end()

    async def wait_until_ready(self, timeout: float | None = None) -> str:
        """Wait until the server has accepted the conversation.

        Args:
            timeout: Seconds; None waits as long as connecting may take.

        Returns:
            The conversation's id.

        Raises:
            RuntimeError: The session was not started.
            ConnectionFailed: It ended before the server accepted.
            TimeoutError: The timeout passed; the session goes on connecting.
        """
        driver = self._started("wait_until_ready")
        try:
            await asyncio.wait_for(driver.is_ready.wait(), timeout)
        except asyncio.TimeoutError:
            raise TimeoutError(
                f"the server has not accepted the conversation within {timeout:g} s; still connecting"
            ) from None
        return self._readiness(driver)

    async def wait_for_session_end(self) -> str | None:
        """Wait until the conversation is over.

        Returns once the session is idle, the audio interface has stopped and the callbacks have run, or
        one second after it became idle; from a callback or a tool it waits for idle only. If the waiting
        task is cancelled, however often, the conversation is ended as by ``end_session`` and cleaned up
        before CancelledError goes on; a callback or a tool that is cancelled does not wait for that.

        Returns:
            The conversation's id; None if it ended before the server accepted.

        Raises:
            RuntimeError: The session was not started.
            ConnectionFailed: The connection failed before the server accepted.
        """
        driver = self._started("wait_for_session_end")
        try:
            await self._settle(driver)
        except asyncio.CancelledError:
            driver.end()
            if not driver.is_current:
                await _undisturbed(self._settle(driver))
            raise
        return self._outcome(driver)

    async def _settle(self, driver: AsyncDriver) -> None:
        await driver.is_over.wait()
        # Callbacks, tools and audio methods run in tasks of ours: none waits for itself.
        if not driver.is_current:
            await driver.join(AFTER_END_SECONDS)

    async def __aenter__(self) -> Self:
        await self.start_session()
        try:
            await self.wait_until_ready()
        except BaseException as error:
            await self._leave(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave(error)

    async def _leave(self, error: BaseException | None) -> None:
        await self.end_session()
        try:
            await self.wait_for_session_end()
        except ConvsmError:
            if error is None:
                raise

    async def interrupt(self, force: bool = False) -> None:
        """Silence the agent, a farewell too; does nothing while nothing of it is audible.

        What the server still sends of that turn is dropped. ElevenLabs is told no more than that the user is
        active: the agent stays quiet for a while, and believes that it was heard. OpenAI Realtime is told to
        stop, and how much was heard.

        Args:
            force: Whether to do so though turn handling protects what the agent says.

        Raises:
            RuntimeError: There is no session, or turn handling protects the agent.
        """
        self._started("interrupt").interrupt(force)

    # Sending

    async def send_user_message(self, text: str) -> None:
        """Say something in writing; counts as a turn of the user and interrupts the agent.

        While connecting it is held and sent once the server has accepted.

        Raises:
            RuntimeError: There is no session, it is ending, or too much waits to be sent.
        """
        self._started("send_user_message").send(UserMessage(text))

    async def generate_reply(
        self, instructions: str | None = None, *, allow_interruptions: bool = True
    ) -> None:
        """Have the agent reply now, where the protocol can (OpenAI Realtime).

        It is asked for once the server is free: a running response and open tool calls come first.

        Args:
            instructions: What holds for this reply in place of the session's instructions.
            allow_interruptions: Whether it may be interrupted, but for ``interrupt(force=True)`` and a
                written message; False needs turn handling.

        Raises:
            RuntimeError: As for send_user_message.
            ProtocolError: The protocol's agents reply by themselves.
            ConfigurationError: It may not be interrupted, and the conversation has no turn handling.
        """
        self._reply("generate_reply", instructions, allow_interruptions)

    async def say(self, text: str, *, allow_interruptions: bool = True) -> None:
        """Have the agent say something word for word, where the protocol can (OpenAI Realtime).

        The model is told to; nothing makes it.

        Args:
            text: What to say.
            allow_interruptions: As for generate_reply.

        Raises:
            RuntimeError: As for send_user_message.
            ProtocolError: As for generate_reply.
            ConfigurationError: As for generate_reply.
        """
        self._reply("say", SAY + text, allow_interruptions)

    async def send(self, message: object) -> None:
        """Send any typed message that the protocol knows, such as CommitAudio of OpenAI Realtime.

        Args:
            message: A value of ``convsm.protocols.messages`` or ``convsm.protocols.turn_messages``.

        Raises:
            RuntimeError: As for send_user_message.
            ProtocolError: The protocol has no such message.
        """
        self._started("send").send(message)

    async def send_contextual_update(self, text: str, context_id: str | None = None) -> None:
        """Tell the agent something without taking a turn.

        Args:
            text: What to tell.
            context_id: A newer update of the same id supersedes this one.

        Raises:
            RuntimeError: As for send_user_message.
        """
        self._started("send_contextual_update").send(ContextualUpdate(text, context_id))

    async def register_user_activity(self) -> None:
        """Tell the server that the user is busy: its turn timeout begins anew, the agent stays quiet.

        Raises:
            RuntimeError: As for send_user_message.
        """
        self._started("register_user_activity").send(UserActivity())

    async def send_feedback(self, event_id: int, score: Literal["like", "dislike"] | None) -> None:
        """Rate a turn of the agent's.

        Args:
            event_id: Number of the turn.
            score: ``like``, ``dislike``, or None to take a rating back.

        Raises:
            RuntimeError: As for send_user_message.
            ValueError: The score is something else.
        """
        self._started("send_feedback").send(Feedback(event_id, score))

    async def send_multimodal_message(
        self, text: str | None = None, file_id: str | None = None, file_ids: list[str] | None = None
    ) -> None:
        """Say something in writing with files that were uploaded before.

        Args:
            text: What to say.
            file_id: Id of one file; ``file_ids`` wins.
            file_ids: Ids of files.

        Raises:
            RuntimeError: As for send_user_message.
            ValueError: Neither text nor file was given.
        """
        driver = self._started("send_multimodal_message")
        driver.send(self._multimodal(driver, text, file_id, file_ids))

    async def send_tool_result(
        self, tool_call_id: str, result: object, is_error: bool = False, error_type: str | None = None
    ) -> None:
        """Answer an open tool call by hand; what its handler still returns is ignored.

        Args:
            tool_call_id: Id of the call.
            result: Whatever a handler may return; what JSON cannot hold is sent as an error.
            is_error: Whether the tool failed.
            error_type: Class of the failure, as in ToolError; makes it one.

        Raises:
            RuntimeError: There is no session, it is ending, or no result is awaited under that id.
            ValueError: There is no such class of failures.
        """
        driver = self._started("send_tool_result")
        driver.command(answer_by_hand(tool_call_id, result, is_error, error_type))

    async def send_mcp_approval(self, tool_call_id: str, is_approved: bool) -> None:
        """Decide by hand whether a tool of an MCP server may run; a handler's decision is ignored then.

        Raises:
            RuntimeError: There is no session, it is ending, or that call does not await approval.
        """
        self._started("send_mcp_approval").command(DecideApproval(tool_call_id, is_approved is True))

    async def upload_file(
        self, file: UploadSource, name: str | None = None, content_type: str | None = None
    ) -> str:
        """Upload a file for ``send_multimodal_message``; a client that blocks does so on a thread.

        Args:
            file: Bytes, a path, or a binary file object, which is read to its end and left open.
            name: Name for the server; None takes the path's or the file object's.
            content_type: Such as ``image/png``; None guesses by the name.

        Returns:
            The file's id.

        Raises:
            RuntimeError: There was no session.
            ConfigurationError: The server has not accepted yet, the client cannot upload, or the file is too
                big.
            ConnectionFailed: The API did not answer, or refused.
            OSError: The file cannot be read.
        """
        self._started("upload_file")
        ask = partial(upload_file, self.client, self.conversation_id, file, name, content_type)
        return str(await _answered(ask, self._opening().asks_asynchronously))

    # Reading

    def events(self, *kinds: type) -> AsyncEventStream:
        """Return an async iterator over what happens in this session, or in the next if none is on.

        Args:
            kinds: Classes that are wanted; none stands for all but raw frames.
        """
        stream = AsyncEventStream(kinds)
        self._attach(stream)
        return stream

    # Putting it together

    def _resolver(self, opening: Opening) -> Callable[[], Awaitable[str]]:
        async def resolve_url() -> str:
            if not opening.needs_signature():
                return opening.url()
            answer = await _answered(opening.ask_signature, opening.asks_asynchronously)
            return opening.url(str(answer.signed_url))

        return resolve_url


async def _undisturbed(cleanup: Coroutine[Any, Any, None]) -> None:
    """Wait for something that ends soon, through all cancellations; the caller passes on the first."""
    task = asyncio.get_running_loop().create_task(cleanup, name="convsm-cleanup")
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])


async def _answered(ask: Callable[[], Any], is_asynchronous: bool) -> Any:
    """Ask a client, on a thread if it blocks, and return its answer."""
    answer = ask() if is_asynchronous else await asyncio.get_running_loop().run_in_executor(None, ask)
    return await answer if inspect.isawaitable(answer) else answer
