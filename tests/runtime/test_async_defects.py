"""The reference's defects that concern AsyncConversation and no test over both shells shows, by number."""

from __future__ import annotations

import asyncio
import threading
import warnings
from typing import Any

import pytest

from convsm import (
    AsyncConversation,
    AsyncElevenLabs,
    ClientTools,
    ConnectionFailed,
    ElevenLabs,
    SessionOptions,
)
from convsm.testing import (
    CallTool,
    HoldHandshake,
    IgnoreClose,
    Interrupt,
    LoopbackAgent,
    Ping,
    SendAudio,
)
from tests.runtime.helpers import BY_USER, PATIENCE, nothing_is_left  # noqa: F401 (a fixture)
from tests.runtime.on_loop import Interface, Talk, conversing, forever, on_loop, registered, until

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import elevenlabs

KEY = "key"


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


@on_loop
async def test_d22_a_busy_tool_freezes_neither_the_loop_nor_the_end(agent):
    may_end, running = threading.Event(), threading.Event()

    def busy(parameters: object) -> None:
        running.set()
        may_end.wait(PATIENCE)

    try:
        async with conversing(agent, client_tools=registered(busy)) as talk:
            connection = await talk.start()
            connection.send(CallTool("busy"))
            await until(running.is_set)
            connection.send(Ping(1))
            await until(lambda: connection.pongs == [1])
            await talk.finish()
            assert not may_end.is_set()
            assert talk.endings == [BY_USER]
    finally:
        may_end.set()


@pytest.mark.parametrize("is_async", [False, True])
def test_d24_a_tools_result_is_sent_on_the_sessions_loop_by_no_task_of_its_own(agent, is_async, monkeypatch):
    sent_on: list[threading.Thread] = []

    def plain(parameters: object) -> str:
        return "done"

    async def waiting(parameters: object) -> str:
        await asyncio.sleep(0)
        return "done"

    @on_loop
    async def converse():
        async with conversing(
            agent, client_tools=ClientTools(), callback_message_sent=lambda frame: None
        ) as talk:
            talk.conversation.client_tools.register("work", waiting if is_async else plain)
            connection = await talk.start()
            driver = talk.conversation._driver
            assert driver is not None
            send = driver.transport.send

            def note(frame: bytes) -> None:
                sent_on.append(threading.current_thread())
                send(frame)

            monkeypatch.setattr(driver.transport, "send", note)
            tasks = asyncio.all_tasks()
            connection.send(CallTool("work"))
            await until(lambda: connection.tool_results)
            assert [result["result"] for result in connection.tool_results] == ["done"]
            assert sent_on == [threading.current_thread()]
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == tasks

    converse()


@pytest.mark.parametrize(
    "kind", [ElevenLabs, AsyncElevenLabs, elevenlabs.ElevenLabs, elevenlabs.AsyncElevenLabs]
)
def test_d25_every_client_fetches_the_signed_url(kind, monkeypatch):
    for name in ("ELEVENLABS_API_KEY", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)

    async def converse(agent: LoopbackAgent) -> None:
        client = kind(api_key=KEY, base_url=agent.base_url)
        async with conversing(agent, client=client, requires_auth=True) as talk:
            await talk.start()
            assert talk.conversation.conversation_id == "conv_0"
            assert "conversation_signature=" in agent.requests[-1].path

    with LoopbackAgent(requires_auth=True, api_key=KEY) as agent:
        asyncio.run(converse(agent))


@pytest.mark.parametrize("kind", [ElevenLabs, AsyncElevenLabs])
def test_d25_a_refused_key_is_a_failed_connection(kind):
    @on_loop
    async def converse(agent: LoopbackAgent) -> None:
        client = kind(api_key="another", base_url=agent.base_url)
        async with conversing(agent, client=client, requires_auth=True) as talk:
            await talk.conversation.start_session()
            with pytest.raises(ConnectionFailed, match="401") as failed:
                await talk.conversation.wait_for_session_end()
            assert "another" not in str(failed.value)

    with LoopbackAgent(requires_auth=True, api_key=KEY) as agent:
        converse(agent)


@on_loop
async def test_d26_the_microphone_arrives(agent):
    async with conversing(agent, audio_interface=Interface()) as talk:
        connection = await talk.start()
        interface = talk.conversation.audio_interface
        await until(lambda: interface.microphone)
        await until(lambda: "start" in interface.log)
        for _ in range(20):
            await interface.microphone(b"\x01\x02" * 100)
        await until(lambda: connection.user_audio == b"\x01\x02" * 2000)
        await talk.finish()
        await interface.microphone(b"\x01\x02")  # too late: dropped, and nothing is raised


@on_loop
async def test_d27_an_output_that_takes_its_time_delays_no_pong_and_no_interruption(agent):
    async with conversing(agent, audio_interface=Interface(output=forever)) as talk:
        connection = await talk.start()
        log = talk.conversation.audio_interface.log
        connection.send(SendAudio(bytes(64000), 1))
        await until(lambda: 64000 in log)
        connection.send(Ping(1))
        await until(lambda: connection.pongs == [1])
        connection.send(Interrupt(1))
        await until(lambda: log == ["start", 64000, "interrupt"])
        connection.send(SendAudio(bytes(320), 2))
        await until(lambda: log[-1:] == [320])
        assert talk.conversation.state == "agent_speaking"


@on_loop
async def test_d27_two_interruptions_at_once_cut_one_output_and_fail_nothing(agent):
    async with conversing(agent, audio_interface=Interface(output=forever)) as talk:
        connection = await talk.start()
        log = talk.conversation.audio_interface.log
        for turn in range(1, 4):
            connection.send(SendAudio(bytes(320), turn))
            await until(lambda: log[-1:] == [320])
            driver = talk.conversation._driver
            assert driver is not None
            for _ in range(2):  # as when both come in one read of the socket
                for event in driver._wiring.codec.decode(
                    b'{"type": "interruption", "interruption_event": {"event_id": %d}}' % turn
                ):
                    driver._inbox.post(event)
            await until(lambda: log[-1:] == ["interrupt"])
        await asyncio.sleep(0.01)
        assert talk.endings == []
        await talk.finish()
    assert talk.endings == [BY_USER]
    assert log[-1:] == ["stop"]


@on_loop
async def test_d36_a_peer_that_never_answers_the_close_frame_holds_nothing_longer_than_configured():
    with LoopbackAgent([IgnoreClose()]) as agent:
        options = SessionOptions(close_seconds=0.05)
        async with conversing(agent, session_options=options) as talk:
            connection = await talk.start()
            await until(connection.script_done.is_set)
            await asyncio.wait_for(talk.finish(), 1)
            assert talk.endings == [BY_USER]


class Cancellation:
    """A conversation with all that has to be cleaned up, for a task that is cancelled."""

    def __init__(self, agent: LoopbackAgent, **options: Any) -> None:
        self.tool_log: list[str] = []
        tools = ClientTools()
        tools.register("work", self.work)
        self.talk = Talk(agent, audio_interface=Interface(), client_tools=tools, **options)

    async def work(self, parameters: object) -> None:
        self.tool_log.append("begin")
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            self.tool_log.append("cleaned up")

    async def get_going(self) -> None:
        """Wait until audio and tool are at work."""
        connection = await self.talk.connection()
        await until(lambda: "start" in self.talk.conversation.audio_interface.log)
        connection.send(CallTool("work"))
        await until(lambda: self.tool_log)

    def assert_over(self) -> None:
        talk = self.talk
        assert talk.endings == [BY_USER]
        assert talk.conversation.state == "idle"
        assert [entry for entry in talk.conversation.audio_interface.log if entry != "interrupt"] == [
            "start",
            "stop",
        ]
        assert self.tool_log == ["begin", "cleaned up"]


async def in_the_body(conversation: AsyncConversation) -> None:
    async with conversation:
        await forever()


async def in_the_wait(conversation: AsyncConversation) -> None:
    await conversation.start_session()
    await conversation.wait_for_session_end()


async def in_the_wait_within_the_body(conversation: AsyncConversation) -> None:
    async with conversation:
        await conversation.wait_for_session_end()


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("place", [in_the_body, in_the_wait, in_the_wait_within_the_body])
def test_d37_a_task_that_is_cancelled_cleans_up_first(agent, place, times):
    @on_loop
    async def converse():
        cancellation = Cancellation(agent)
        task = asyncio.create_task(place(cancellation.talk.conversation))
        await cancellation.get_going()
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        cancellation.assert_over()

    converse()


@pytest.mark.parametrize("times", [1, 2])
def test_d37_a_task_that_is_cancelled_while_it_connects_cleans_up_first(times):
    @on_loop
    async def converse():
        async def enter():
            async with talk.conversation:
                raise AssertionError("the handshake was not answered")

        with LoopbackAgent([HoldHandshake()]) as agent:
            talk = Talk(agent)
            task = asyncio.create_task(enter())
            await talk.connection()
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert talk.endings == [BY_USER]
            assert talk.conversation.state == "idle"

    converse()


@on_loop
async def test_d37_a_task_that_is_cancelled_while_the_interface_opens_closes_it(agent):
    may_open = asyncio.Event()
    async with conversing(agent, audio_interface=Interface(start=may_open.wait)) as talk:
        task = asyncio.create_task(in_the_body(talk.conversation))
        log = talk.conversation.audio_interface.log
        await until(lambda: log == ["start"])
        task.cancel()
        asyncio.get_running_loop().call_later(0.02, may_open.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [entry for entry in log if entry != "interrupt"] == ["start", "stop"]
        assert talk.endings == [BY_USER]


@on_loop
async def test_d37_a_deadline_around_the_conversation_ends_it(agent):
    cancellation = Cancellation(agent)
    waiting = asyncio.create_task(asyncio.wait_for(in_the_wait(cancellation.talk.conversation), 0.3))
    await cancellation.get_going()
    with pytest.raises(asyncio.TimeoutError):
        await waiting
    cancellation.assert_over()
