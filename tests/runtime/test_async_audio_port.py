from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from convsm import AsyncAudioInterface, AsyncReportingAudioInterface, AudioError
from convsm.machine.effects import Play, StartAudio
from convsm.machine.events import AudioFailed, AudioStarted, AudioStopped, Event, Played, UserAudio
from convsm.runtime.async_audio_port import AsyncAudioPort
from convsm.runtime.audio_port import HELD_BYTES
from convsm.testing.clock import ManualTimers
from tests.runtime.helpers import PATIENCE

SECOND = bytes(32000)


class Interface(AsyncAudioInterface):
    """Logs what it is asked; each method may be made to wait or to raise."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.errors: dict[str, Exception] = {}
        self.input_callback: Any = None

    async def _do(self, name: str, entry: Any) -> None:
        if name in self.gates:
            await self.gates[name].wait()
        if name in self.errors:
            raise self.errors[name]
        self.log.append(entry)

    async def start(self, input_callback: Any) -> None:
        self.input_callback = input_callback
        await self._do("start", "start")

    async def stop(self) -> None:
        await self._do("stop", "stop")

    async def output(self, audio: bytes) -> None:
        await self._do("output", len(audio))

    async def interrupt(self) -> None:
        await self._do("interrupt", "interrupt")


class Reporting(Interface, AsyncReportingAudioInterface):
    def configure(self, output_format: Any, input_format: Any, listener: Any) -> None:
        self.log.append((output_format.name, input_format.name))
        self.listener = listener

    async def play(self, number: int, audio: bytes) -> None:
        await self._do("output", (number, len(audio)))

    output = AsyncReportingAudioInterface.output


class Stage:
    def __init__(self, interface: Any) -> None:
        self.posted: list[Event] = []
        self.silences = 0
        self.timers = ManualTimers()
        self.port = AsyncAudioPort(interface, self.posted.append, self.timers, self.note_silence)

    def note_silence(self) -> None:
        self.silences += 1

    async def open(self, output: str = "pcm_16000", recording: str = "pcm_16000") -> None:
        self.port.start(StartAudio(output, recording))
        await settled()
        self.port.begin()

    async def close(self) -> None:
        self.port.stop()
        await self.port.join(PATIENCE)
        assert self.posted[-1] == AudioStopped()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def on_stage(interface: type[Interface] = Interface) -> Callable[[Any], Callable[[], None]]:
    """Run an async test with a stage and its interface; nothing of it is left running."""

    def decorate(test: Any) -> Callable[[], None]:
        def run_test() -> None:
            async def main() -> None:
                audio = interface()
                await asyncio.wait_for(test(Stage(audio), audio), PATIENCE)
                await settled()
                assert asyncio.all_tasks() == {asyncio.current_task()}

            asyncio.run(main())

        run_test.__name__ = test.__name__
        return run_test

    return decorate


@on_stage()
async def test_what_comes_while_it_opens_is_handed_over_in_order(stage, audio):
    audio.gates["start"] = asyncio.Event()
    stage.port.start(StartAudio("pcm_16000", "pcm_16000"))
    stage.port.play(Play(1, bytes(2), 1))
    stage.port.play(Play(2, bytes(4), 1))
    await settled()
    assert stage.posted == []
    audio.gates["start"].set()
    await settled()
    assert stage.posted == [AudioStarted()]
    assert audio.log == ["start"]
    stage.port.begin()
    await settled()
    await stage.close()
    assert audio.log == ["start", 2, 4, "stop"]


@on_stage()
async def test_playout_is_reckoned_by_duration(stage, audio):
    await stage.open()
    stage.port.play(Play(1, SECOND, 1))
    stage.port.play(Play(2, SECOND, 1))
    await settled()
    stage.timers.advance(1.99)
    assert stage.posted == [AudioStarted()]
    stage.timers.advance(0.02)
    assert stage.posted[-1] == Played(2)
    await stage.close()


@on_stage(Reporting)
async def test_one_that_reports_gets_formats_and_numbers_and_is_believed(stage, audio):
    await stage.open("pcm_24000", "ulaw_8000")
    stage.port.play(Play(7, bytes(2), 1))
    await settled()
    audio.listener.played(7)
    audio.listener.failed("unplugged")
    assert stage.posted == [AudioStarted(), Played(7), AudioFailed("unplugged")]
    assert stage.timers.armed == {}
    await stage.close()
    assert audio.log == [("pcm_24000", "ulaw_8000"), "start", (7, 2), "stop"]


@on_stage()
async def test_silence_waits_for_no_output_and_what_was_queued_is_forgotten(stage, audio):
    await stage.open()
    audio.gates["output"] = asyncio.Event()
    stage.port.play(Play(1, SECOND, 1))
    stage.port.play(Play(2, SECOND, 1))
    await settled()
    stage.port.flush()
    stage.port.play(Play(3, bytes(2), 2))
    await settled()
    assert audio.log == ["start", "interrupt"]
    assert stage.silences == 1
    audio.gates["output"].set()
    await settled()
    assert audio.log == ["start", "interrupt", 2]
    stage.timers.advance(1.0)
    assert stage.posted == [AudioStarted(), Played(3)]
    await stage.close()


@on_stage()
async def test_before_it_has_begun_there_is_nothing_to_interrupt(stage, audio):
    stage.port.start(StartAudio("pcm_16000", "pcm_16000"))
    stage.port.play(Play(1, SECOND, 1))
    stage.port.flush()
    await settled()
    stage.port.begin()
    await settled()
    await stage.close()
    assert audio.log == ["start", "stop"]
    assert stage.silences == 1


@on_stage()
async def test_the_microphone_is_awaited_and_ends_with_the_stop(stage, audio):
    await stage.open()
    await audio.input_callback(b"\1\2")
    await stage.close()
    await audio.input_callback(b"\3\4")
    assert stage.posted == [AudioStarted(), UserAudio(b"\1\2"), AudioStopped()]


@on_stage()
async def test_an_interface_that_does_not_start_is_not_stopped(stage, audio):
    audio.errors["start"] = AudioError("no loudspeaker")
    stage.port.start(StartAudio("pcm_16000", "pcm_16000"))
    await settled()
    assert stage.posted == [AudioFailed("no loudspeaker")]
    await stage.close()
    assert audio.log == []


@on_stage()
async def test_what_output_and_interrupt_raise_is_a_fault_and_what_stop_raises_is_not(stage, audio):
    await stage.open()
    audio.errors = {name: ValueError("mine") for name in ("output", "interrupt", "stop")}
    stage.port.play(Play(1, bytes(2), 1))
    await settled()
    stage.port.flush()
    await settled()
    assert stage.posted[1:] == [
        AudioFailed("Interface.output raised ValueError: mine"),
        AudioFailed("Interface.interrupt raised ValueError: mine"),
    ]
    await stage.close()


@on_stage()
async def test_an_unknown_format_is_a_fault_before_any_noise(stage, audio):
    await stage.open("opus")
    assert "'opus' is unknown" in stage.posted[0].message
    await stage.close()
    assert audio.log == []


@on_stage()
async def test_an_interface_that_takes_no_speech_does_not_fill_the_memory(stage, audio):
    await stage.open()
    audio.gates["output"] = asyncio.Event()
    for number in range(1, 5):
        stage.port.play(Play(number, bytes(HELD_BYTES // 2), 1))
        await settled()
    assert "no more can wait" in stage.posted[-1].message
    audio.gates["output"].set()
    await stage.close()


@on_stage()
async def test_a_stop_waits_for_no_output(stage, audio):
    await stage.open()
    audio.gates["output"] = asyncio.Event()
    for number in (1, 2):
        stage.port.play(Play(number, SECOND, 1))
    await settled()
    await stage.close()
    assert audio.log == ["start", "stop"]
    assert stage.timers.armed == {}
    assert AudioFailed("the audio interface was cancelled") not in stage.posted


@on_stage()
async def test_an_output_that_is_cut_may_clean_up_or_go_on_and_nothing_fails(stage, audio):
    ends: list[Any] = [None, asyncio.CancelledError, None, asyncio.CancelledError]

    async def output(piece: bytes) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            if ends.pop() is not None:
                raise

    audio.output = output
    await stage.open()
    for number in range(1, 5):
        stage.port.play(Play(number, SECOND, number))
        await settled()
        stage.port.flush()
        await asyncio.sleep(0)
        stage.port.flush()  # while the first is being cleaned up after
        await settled()
        assert audio.log[-1] == "interrupt"
    await stage.close()
    assert stage.posted == [AudioStarted(), AudioStopped()]


@on_stage()
async def test_an_output_that_interrupts_itself_is_cut_where_it_waits_and_nothing_behind_it(stage, audio):
    left: list[str] = []

    async def output(piece: bytes) -> None:
        stage.port.flush()
        if piece == SECOND:
            try:
                await asyncio.Event().wait()
            finally:
                left.append("waiting")
        left.append("returning")

    audio.output = output
    await stage.open()
    for number, piece in ((1, SECOND), (2, b"")):
        stage.port.play(Play(number, piece, number))
        await settled()
    assert left == ["waiting", "returning"]
    await stage.close()
    assert audio.log == ["start", "interrupt", "interrupt", "stop"]
    assert stage.posted == [AudioStarted(), AudioStopped()]


@on_stage()
async def test_a_loop_that_is_shut_down_closes_the_devices(stage, audio):
    await stage.open()
    stage.port._task.cancel()
    await stage.port.join(PATIENCE)
    assert audio.log == ["start", "stop"]
    assert stage.posted[1:] == [AudioFailed("the audio interface was cancelled"), AudioStopped()]
