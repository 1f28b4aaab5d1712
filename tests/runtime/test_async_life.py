"""Conversations on an event loop one after another, two at once, and left open when the loop ends."""

from __future__ import annotations

import asyncio
import time
import warnings
from typing import Any

import pytest

from convsm import (
    AsyncConversation,
    DisconnectionDetails,
    ElevenLabs,
)
from convsm.testing import (
    CallTool,
    LoopbackAgent,
    Ping,
    Say,
)
from tests.runtime.helpers import BY_USER, PATIENCE, nothing_is_left  # noqa: F401 (a fixture)
from tests.runtime.on_loop import Interface, Talk, conversing, forever, on_loop, registered, until


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


@on_loop
async def test_it_can_be_started_again_also_in_the_callback_of_its_end(agent):
    async def again(details: DisconnectionDetails) -> None:
        endings.append(details.reason)
        if len(endings) == 1:
            await talk.conversation.start_session()

    endings: list[str] = []
    async with conversing(agent, callback_disconnect=again) as talk:
        await talk.start()
        await talk.finish()
        await talk.conversation.wait_until_ready(PATIENCE)
        assert talk.conversation.conversation_id == "conv_1"
        await talk.finish()
        await talk.start(2)
        await talk.finish()
    assert endings == ["user"] * 3


def test_it_can_be_started_again_on_another_loop(agent):
    endings: list[str] = []
    interface = Interface()
    conversation = AsyncConversation(
        ElevenLabs(base_url=agent.base_url),
        "agent_1",
        requires_auth=False,
        audio_interface=interface,
        callback_disconnect=lambda details: endings.append(details.reason),
    )

    async def leave_open() -> None:
        await conversation.start_session()
        await conversation.wait_until_ready(PATIENCE)

    async def end() -> None:
        await leave_open()
        await conversation.end_session()
        await conversation.wait_for_session_end()

    for converse in (leave_open, end, leave_open):
        asyncio.run(converse())
    assert endings == ["error", "user", "error"]
    assert conversation.conversation_id == "conv_2"
    assert interface.log.count("start") == interface.log.count("stop")


@on_loop
async def test_two_sessions_on_one_loop_share_tools_and_nothing_else(agent):
    met: list[str] = []

    async def meet(parameters: dict[str, Any]) -> str:
        met.append(parameters["name"])
        await until(lambda: len(met) == 2)
        return str(parameters["name"])

    tools = registered(meet)
    async with conversing(agent, client_tools=tools) as one, conversing(agent, client_tools=tools) as other:
        first, second = await one.start(), await other.start(1)
        for connection, name in ((first, "a"), (second, "b")):
            connection.send(CallTool("meet", parameters={"name": name}))
        await until(lambda: first.tool_results and second.tool_results)
        for connection, name in ((first, "a"), (second, "b")):
            assert [result["result"] for result in connection.tool_results] == [name]
        await one.finish()
        second.send(Ping(1))
        await until(lambda: second.pongs == [1])
        assert other.endings == []


@pytest.mark.parametrize("has_callbacks", [True, False])
@pytest.mark.parametrize("has_audio", [True, False])
def test_a_session_that_is_left_open_when_the_loop_ends_is_closed_and_announced(
    agent, has_audio, has_callbacks
):
    endings: list[DisconnectionDetails] = []

    async def tell(details: DisconnectionDetails) -> None:
        await asyncio.sleep(0)
        endings.append(details)

    interface = Interface() if has_audio else None
    talks = []

    async def converse() -> None:
        options: dict[str, Any] = {} if has_callbacks else {"callback_state_change": None}
        talk = Talk(agent, audio_interface=interface, callback_disconnect=tell, **options)
        talks.append(talk)
        await talk.start()
        if interface is not None:
            await until(lambda: "start" in interface.log)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(converse(), debug=True)
    assert [ending.reason for ending in endings] == ["error"]
    assert talks[0].conversation.state == "idle"
    assert interface is None or interface.log[-1] == "stop"
    assert agent.connections[0].closed.wait(PATIENCE)


def test_a_session_without_its_audio_that_is_left_open_is_announced(agent):
    def fail() -> Any:
        raise OSError("no device")

    endings: list[DisconnectionDetails] = []

    async def converse() -> None:
        talk = Talk(
            agent,
            audio_interface=Interface(start=fail),
            audio_required=False,
            callback_disconnect=endings.append,
        )
        connection = await talk.start()
        connection.send(Ping(1))
        await until(lambda: connection.pongs)

    asyncio.run(converse())
    assert [ending.reason for ending in endings] == ["error"]


def test_callbacks_that_wait_for_ever_do_not_hold_a_loop_that_ends(agent):
    called: list[str] = []

    async def wait(*_: object) -> None:
        called.append("response")
        await forever()

    async def tell(_: object) -> None:
        called.append("end")
        await forever()

    async def converse() -> None:
        talk = Talk(agent, callback_agent_response=wait, callback_disconnect=tell)
        connection = await talk.start()
        for text in ("one", "two", "three"):
            connection.send(Say(text, b""))
        await until(lambda: called)

    started = time.monotonic()
    asyncio.run(converse())
    assert time.monotonic() - started < PATIENCE
    assert called[-1] == "end"
