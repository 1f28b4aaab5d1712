"""What is asyncio's own: tasks and threads, callbacks, waiting from inside. All else runs over both."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import Any

import pytest

from convsm import (
    AsyncAudioInterface,
    ConfigurationError,
    Conversation,
    DisconnectionDetails,
    ElevenLabs,
    RefusedCommand,
    SessionOptions,
)
from convsm.machine.events import Pinged
from convsm.testing import (
    CallTool,
    Close,
    HoldHandshake,
    IgnoreClose,
    Interrupt,
    LoopbackAgent,
    Ping,
    Say,
    SendAudio,
    UserSaid,
)
from tests.runtime.helpers import BY_USER, PATIENCE, nothing_is_left  # noqa: F401 (a fixture)
from tests.runtime.on_loop import Interface, conversing, forever, on_loop, registered, until


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


# Tasks and threads


@on_loop
async def test_asynchronous_tools_and_callbacks_need_no_thread_and_leave_no_task(agent):
    before = set(threading.enumerate())
    heard: list[object] = []

    async def work(parameters: dict[str, Any]) -> str:
        await asyncio.sleep(0)
        return "done"

    async def hear(*told: object) -> None:
        await asyncio.sleep(0)
        heard.append(told)

    async with conversing(
        agent,
        client_tools=registered(work),
        audio_interface=Interface(),
        callback_agent_response=hear,
        callback_user_transcript=lambda *told: heard.append(told),
        callback_mcp_approval=hear,
    ) as talk:
        connection = await talk.start()
        connection.send(Say("Hello", seconds=0.02))
        connection.send(UserSaid("Hi"))
        connection.send(CallTool("work"))
        await until(lambda: connection.tool_results and len(heard) == 2)
        assert heard == [("Hello",), ("Hi",)]
        new = {thread for thread in threading.enumerate() if not thread.name.startswith("convsm-loopback")}
        assert new - before == set()


@pytest.mark.parametrize("is_async", [False, True])
def test_tools_of_both_kinds_are_answered(agent, is_async):
    def plain(parameters: dict[str, Any]) -> object:
        return {"loop": False, "number": parameters["number"]}

    async def waiting(parameters: dict[str, Any]) -> object:
        await asyncio.sleep(0)
        return {"loop": True, "number": parameters["number"]}

    @on_loop
    async def converse():
        handler = waiting if is_async else plain
        async with conversing(agent, client_tools=registered(handler)) as talk:
            connection = await talk.start()
            connection.send(CallTool(handler.__name__, parameters={"number": 7}))
            await until(lambda: connection.tool_results)
            [result] = connection.tool_results
            assert result["result"] == f'{{"loop":{str(is_async).lower()},"number":7}}'

    converse()


@on_loop
async def test_a_callback_that_raises_ends_nothing(agent, caplog):
    heard: list[str] = []

    async def hear(text: str) -> None:
        await asyncio.sleep(0)
        heard.append(text)
        raise ValueError("mine")

    def fail(details: DisconnectionDetails) -> None:
        raise ValueError("mine, too")

    async with conversing(agent, callback_agent_response=hear, callback_disconnect=fail) as talk:
        connection = await talk.start()
        connection.send(Say("one", b""))
        connection.send(Say("two", b""))
        await until(lambda: heard == ["one", "two"])
        await talk.finish()
    assert caplog.text.count("callback_agent_response raised; the conversation goes on") == 2
    assert "callback_disconnect raised; the conversation goes on" in caplog.text


@on_loop
async def test_a_callback_whose_awaited_task_is_cancelled_ends_nothing(agent, caplog):
    heard: list[str] = []

    async def hear(text: str) -> None:
        heard.append(text)
        task = asyncio.create_task(forever())
        task.cancel()
        await task

    async with conversing(agent, callback_agent_response=hear) as talk:
        connection = await talk.start()
        connection.send(Say("one", b""))
        connection.send(Say("two", b""))
        await until(lambda: heard == ["one", "two"])
        await talk.finish()
    assert talk.endings == [BY_USER]
    assert "callback_agent_response was cancelled" in caplog.text


def test_callbacks_see_the_context_of_the_start_whoever_brings_the_first():
    who = contextvars.ContextVar("who", default="nobody")
    seen: list[str] = []

    @on_loop
    async def converse():
        who.set("starter")
        # The end is brought by a timer that the ending task sets.
        with LoopbackAgent([IgnoreClose()]) as agent:
            async with conversing(
                agent,
                callback_state_change=None,
                callback_disconnect=lambda _: seen.append(who.get()),
                session_options=SessionOptions(close_seconds=0.05),
            ) as talk:
                connection = await talk.start()
                await until(connection.script_done.is_set)
                who.set("another")
                await talk.finish()

    converse()
    assert seen == ["starter"]


# Waiting from inside


@pytest.mark.parametrize(
    "name",
    ["callback_agent_response", "callback_state_change", "callback_disconnect", "callback_end_session"],
)
def test_the_end_may_be_waited_for_in_a_callback(agent, name):
    waited: list[float] = []

    @on_loop
    async def converse():
        async def wait(*told: object) -> None:
            started = time.monotonic()
            assert await talk.conversation.wait_for_session_end() == "conv_0"
            waited.append(time.monotonic() - started)

        # Nobody else listens, so that the callback's own event is the first that is told of.
        silent = {"callback_state_change": None, "callback_disconnect": None}
        async with conversing(agent, **{**silent, name: wait}) as talk:
            connection = await talk.start()
            connection.send(Say("Bye", b""))
            await asyncio.sleep(0.01)
            await talk.finish()
            await until(lambda: waited)

    converse()
    # It waits for no callback, hence not for itself until its patience is at an end.
    assert waited[-1] < 0.9


@on_loop
async def test_the_end_may_be_waited_for_in_a_tool_which_the_end_cancels(agent):
    log: list[str] = []

    async def wait(parameters: object) -> None:
        try:
            await talk.conversation.wait_for_session_end()
        finally:
            log.append(talk.conversation.state)

    async with conversing(agent, client_tools=registered(wait)) as talk:
        connection = await talk.start()
        connection.send(CallTool("wait"))
        await until(lambda: talk.conversation.state == "tool_running")
        started = time.monotonic()
        await talk.finish()
        assert time.monotonic() - started < 0.9
        assert len(log) == 1
    assert talk.endings == [BY_USER]


@on_loop
async def test_the_end_may_be_asked_for_and_waited_for_in_output(agent):
    left: list[type] = []

    async def end() -> None:
        try:
            await talk.conversation.end_session()
            await talk.conversation.wait_for_session_end()
        except asyncio.CancelledError as error:
            left.append(type(error))
            raise

    async with conversing(agent, audio_interface=Interface(output=end)) as talk:
        connection = await talk.start()
        started = time.monotonic()
        connection.send(SendAudio(bytes(320), 1))
        await until(lambda: talk.endings)
        assert time.monotonic() - started < 0.9
        assert talk.endings == [BY_USER]
        assert talk.conversation.audio_interface.log == ["start", 320, "interrupt", "stop"]
        # The end silences: an output that waits is cancelled, for this one too.
        assert left == [asyncio.CancelledError]


@pytest.mark.parametrize("method", ["start", "stop", "output", "interrupt"])
def test_a_method_of_the_interface_may_call_anything(agent, method):
    @on_loop
    async def converse():
        async def call() -> None:
            for action in (talk.conversation.interrupt, talk.conversation.end_session):
                try:
                    await action()
                except RefusedCommand:  # it is over already
                    assert method == "stop"

        async with conversing(agent, audio_interface=Interface(**{method: call})) as talk:
            connection = await talk.start()
            log = talk.conversation.audio_interface.log
            await until(lambda: "start" in log)
            if method in ("output", "interrupt"):
                connection.send(SendAudio(bytes(320), 1))
                await until(lambda: 320 in log)
            if method == "interrupt":
                connection.send(Interrupt(1))
            if method == "stop":
                await talk.conversation.end_session()
            await until(lambda: talk.endings)
            assert talk.endings == [BY_USER]
            assert log[-1] == "stop"
            assert log.count("stop") == 1

    converse()


# Streams and wrong states


@on_loop
async def test_events_are_read_while_the_conversation_goes_on_and_end_with_it(agent):
    async def read() -> list[type]:
        return [type(event) async for event in talk.conversation.events(Pinged, DisconnectionDetails)]

    async with conversing(agent) as talk:
        reading = asyncio.create_task(read())
        connection = await talk.start()
        connection.send(Ping(1))
        connection.send(Ping(2))
        connection.send(Close(1000))
        assert await reading == [Pinged, Pinged, DisconnectionDetails]
        assert await talk.conversation.wait_for_session_end() == "conv_0"


@on_loop
async def test_calls_in_the_wrong_state_are_refused(agent):
    async with conversing(agent) as talk:
        conversation = talk.conversation
        for call in (
            lambda: conversation.send_user_message("Hi"),
            lambda: conversation.send_feedback(1, "like"),
            lambda: conversation.send_tool_result("call_1", "done"),
            lambda: conversation.send_mcp_approval("call_1", True),
            conversation.wait_until_ready,
            conversation.wait_for_session_end,
            conversation.interrupt,
        ):
            with pytest.raises(RefusedCommand, match="Session not started"):
                await call()
        await conversation.end_session()  # that is all right everywhere
        await talk.start()
        with pytest.raises(RefusedCommand, match="Start is not possible in state 'listening'"):
            await conversation.start_session()
        await talk.finish()
        with pytest.raises(RefusedCommand, match="Send is not possible in state 'idle'"):
            await conversation.send_user_message("Hi")
    assert talk.endings == [BY_USER]


@on_loop
async def test_a_wait_for_readiness_that_takes_too_long_leaves_the_session_connecting():
    with LoopbackAgent([HoldHandshake()]) as agent:
        async with conversing(agent) as talk:
            await talk.conversation.start_session()
            with pytest.raises(TimeoutError, match=r"not accepted the conversation within 0\.01 s"):
                await talk.conversation.wait_until_ready(0.01)
            assert talk.conversation.state == "connecting"


def test_a_conversation_on_threads_takes_no_interface_for_loops(agent):
    interface: AsyncAudioInterface = Interface()
    conversation = Conversation(
        ElevenLabs(base_url=agent.base_url), "agent_1", requires_auth=False, audio_interface=interface
    )
    with pytest.raises(ConfigurationError, match="use AsyncConversation"):
        conversation.start_session()
