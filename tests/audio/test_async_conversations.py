"""Whole conversations on an event loop, over a real socket and the virtual sound card."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from convsm import AsyncDefaultAudioInterface
from convsm.audio.formats import audio_format
from convsm.testing import HangUp, Interrupt, LoopbackAgent, SendAudio, UserSaid
from tests.audio.sound_card import PATIENCE, SoundCard, wait_until
from tests.audio.sounds import samples
from tests.runtime.on_loop import Talk, conversing

# How long the loop may stand still: far above the milliseconds that it takes, for the machine is shared,
# and far below the half second and more of a blocking write.
MOST_LAG = 0.15


class Ticker:
    """Notes how late a loop comes to what is due every two milliseconds."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._task = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.002
            await asyncio.sleep(0.002)
            self.worst = max(self.worst, loop.time() - due)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test on a loop that is never held up, and on which nothing is left."""

    async def main() -> None:
        ticker = Ticker()
        await asyncio.wait_for(test(), 2 * PATIENCE)
        await ticker.stop()
        assert ticker.worst < MOST_LAG
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert not [each.name for each in threading.enumerate() if each.name.startswith("convsm-audio")]


async def soon(is_so: Callable[[], object], what: str) -> None:
    """Wait for something that nothing else announces, without holding the loop up."""
    await asyncio.to_thread(wait_until, is_so, what)


async def state(talk: Talk, name: str) -> None:
    await soon(lambda: talk.conversation.state == name, f"the state {name}")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


def test_the_user_is_heard_by_the_agent_and_the_agent_by_the_user_to_the_sample(sound_card: SoundCard, agent):
    voice, speech = samples(1, 16000), samples(10001, 16000)

    async def converse() -> None:
        async with conversing(agent, audio_interface=AsyncDefaultAudioInterface()) as talk:
            connection = await talk.start()
            await soon(lambda: connection.user_audio, "the microphone")
            await asyncio.to_thread(sound_card.speak, voice)
            await soon(lambda: voice in connection.user_audio, "the user's words")
            for start in range(0, len(speech), 8001):
                connection.send(SendAudio(speech[start : start + 8001]))
            await state(talk, "agent_speaking")
            await state(talk, "listening")
            assert await asyncio.to_thread(monitor.wait_for_silence) == speech
        assert talk.states == ["connecting", "listening", "agent_speaking", "listening", "closing", "idle"]

    with sound_card.monitor() as monitor:
        run(converse)
    assert sound_card.streams == []


def test_an_interruption_is_silence_and_the_next_turn_is_heard_whole(sound_card: SoundCard, agent):
    speech, answer = samples(1, 16000), samples(20001, 8000)

    async def converse() -> None:
        async with conversing(agent, audio_interface=AsyncDefaultAudioInterface()) as talk:
            connection = await talk.start()
            connection.send(SendAudio(speech, turn=1))
            await asyncio.to_thread(monitor.wait_for, 3200)
            connection.send(Interrupt(1))
            await state(talk, "interrupted")
            heard = await asyncio.to_thread(monitor.wait_for_silence)
            assert speech.startswith(heard)
            assert len(heard) < 24000
            connection.send(UserSaid("And then?", turn=2))
            connection.send(SendAudio(answer, turn=2))
            await state(talk, "agent_speaking")
            await state(talk, "listening")
            assert await asyncio.to_thread(monitor.wait_for_silence) == heard + answer

    with sound_card.monitor() as monitor:
        run(converse)


def test_the_farewell_of_an_agent_that_hangs_up_is_heard_whole(sound_card: SoundCard, agent):
    farewell = samples(1, 32000)

    async def converse() -> None:
        async with conversing(agent, audio_interface=AsyncDefaultAudioInterface()) as talk:
            connection = await talk.start()
            connection.send(SendAudio(farewell))
            connection.send(HangUp())
            assert await talk.conversation.wait_for_session_end() == "conv_0"
            assert await asyncio.to_thread(monitor.wait_for_silence) == farewell
        assert [ending.reason for ending in talk.endings] == ["agent"]

    with sound_card.monitor() as monitor:
        run(converse)


def test_the_user_who_ends_it_hears_no_more(sound_card: SoundCard, agent):
    speech = samples(1, 32000)

    async def converse() -> None:
        async with conversing(agent, audio_interface=AsyncDefaultAudioInterface()) as talk:
            connection = await talk.start()
            connection.send(SendAudio(speech))
            await asyncio.to_thread(monitor.wait_for, 3200)
            await talk.finish()
            heard = await asyncio.to_thread(monitor.wait_for_silence)
            assert speech.startswith(heard)
            assert len(heard) < 32000

    with sound_card.monitor() as monitor:
        run(converse)
    assert sound_card.streams == []


@pytest.mark.parametrize("steps", [0, 1, 5, 20])
def test_an_end_while_it_opens_leaves_nothing_open(sound_card: SoundCard, agent, steps: int):
    async def converse() -> None:
        async with conversing(agent, audio_interface=AsyncDefaultAudioInterface()) as talk:
            await talk.conversation.start_session()
            await talk.conversation.wait_until_ready()
            for _ in range(steps):
                await asyncio.sleep(0)
            await talk.finish()

    run(converse)
    assert sound_card.streams == []


class Nobody:
    def played(self, through: int) -> None:
        pass

    def failed(self, message: str) -> None:
        pass


@pytest.mark.parametrize("times", [1, 3])
def test_a_start_that_is_cancelled_leaves_nothing_open(sound_card: SoundCard, times: int):
    async def ignore(audio: bytes) -> None:
        pass

    async def cancel() -> None:
        interface = AsyncDefaultAudioInterface()
        interface.configure(audio_format("pcm_16000"), audio_format("pcm_16000"), Nobody())
        starting = asyncio.create_task(interface.start(ignore))
        for _ in range(times):
            await asyncio.sleep(0.001)
            starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert await asyncio.to_thread(lambda: sound_card.streams) == []
        await interface.start(ignore)  # it is as good as new
        await interface.stop()

    run(cancel)
    assert sound_card.streams == []


@pytest.mark.parametrize("is_open", [True, False])
def test_a_loop_that_ends_closes_the_card(sound_card: SoundCard, agent, is_open: bool):
    async def converse() -> None:
        talk = Talk(agent, audio_interface=AsyncDefaultAudioInterface())
        talks.append(talk)
        connection = await talk.start()
        if is_open:
            await soon(lambda: connection.user_audio, "the microphone")

    talks: list[Talk] = []
    asyncio.run(converse())
    assert sound_card.streams == []
    assert [ending.reason for ending in talks[0].endings] == ["error"]


def test_a_stop_that_is_cancelled_closes_the_card_all_the_same(sound_card: SoundCard):
    async def cancel() -> None:
        interface = AsyncDefaultAudioInterface()
        await interface.start(lambda audio: asyncio.sleep(0))
        stopping = asyncio.create_task(interface.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping

    run(cancel)
    assert sound_card.streams == []


def test_draining_waits_for_the_last_sample(sound_card: SoundCard):
    speech = samples(1, 8000)

    async def play() -> None:
        interface = AsyncDefaultAudioInterface()
        await interface.start(lambda audio: asyncio.sleep(0))
        await interface.output(speech)
        await interface.drain()
        await interface.stop()
        assert await asyncio.to_thread(monitor.wait_for_silence) == speech

    with sound_card.monitor() as monitor:
        run(play)


def test_a_card_that_cannot_be_opened_is_a_fault_that_is_told(sound_card: SoundCard, agent):
    async def converse() -> None:
        options: dict[str, Any] = {
            "audio_interface": AsyncDefaultAudioInterface(output_device="no such card")
        }
        async with conversing(agent, **options) as talk:
            await talk.conversation.start_session()
            await talk.conversation.wait_for_session_end()
        assert [ending.reason for ending in talk.endings] == ["error"]
        assert "no such card" in str(talk.endings[0].message)

    run(converse)
