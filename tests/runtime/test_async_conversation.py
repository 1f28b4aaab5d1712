"""What is asyncio's own: the loop, its tasks and their cancellation. All else both shells are held to.

The suites that ask for the fixture ``shell`` run over AsyncConversation too; the defects that have a test
there are D1 to D23 and D28 to D45.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from convsm import (
    AsyncAudioInterface,
    AsyncConversation,
    AsyncElevenLabs,
    ClientTools,
    ConfigurationError,
    ConnectionFailed,
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
from tests.runtime.on_loop import Interface, Talk, conversing, on_loop, until

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import elevenlabs

KEY = "key"


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


def registered(*handlers: Callable[..., Any]) -> ClientTools:
    tools = ClientTools()
    for handler in handlers:
        tools.register(handler.__name__, handler)
    return tools


async def forever(*_: object) -> None:
    await asyncio.Event().wait()


# Defects


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
        await until(lambda: log[-1] == 320)
        assert talk.conversation.state == "agent_speaking"


@on_loop
async def test_d27_two_interruptions_at_once_cut_one_output_and_fail_nothing(agent):
    async with conversing(agent, audio_interface=Interface(output=forever)) as talk:
        connection = await talk.start()
        log = talk.conversation.audio_interface.log
        for turn in range(1, 4):
            connection.send(SendAudio(bytes(320), turn))
            await until(lambda: log[-1] == 320)
            driver = talk.conversation._driver
            assert driver is not None
            for _ in range(2):  # as when both come in one read of the socket
                for event in driver._wiring.codec.decode(
                    b'{"type": "interruption", "interruption_event": {"event_id": %d}}' % turn
                ):
                    driver._inbox.post(event)
            await until(lambda: log[-1] == "interrupt")
        await asyncio.sleep(0.01)
        assert talk.endings == []
        await talk.finish()
    assert talk.endings == [BY_USER]
    assert log[-1] == "stop"


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


# One after another, at once, and left open


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
