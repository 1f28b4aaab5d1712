"""A tentative interruption in the shells: which interfaces are asked to pause, and in which order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from convsm import (
    AsyncDefaultAudioInterface,
    DefaultAudioInterface,
    OnPremInitiationData,
    SessionOptions,
    WavAudioInterface,
)
from convsm.machine.effects import Play, StartAudio
from convsm.machine.events import (
    AudioFailed,
    AudioStarted,
    Event,
    InterruptionDismissed,
    InterruptionSuspected,
)
from convsm.runtime.async_inbox import AsyncInbox
from convsm.runtime.audio_port import AudioPort, can_pause
from convsm.testing import LoopbackAgent, SendAudio
from convsm.testing.clock import ManualTimers
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    PCM,
    Call,
    FakeAudio,
    ReportingAudio,
    conversation,
    nothing_is_left,
)
from tests.runtime.hosted import HOST
from tests.runtime.test_async_audio_port import Interface, Reporting, on_stage, settled


class PausingAudio(ReportingAudio):
    """An interface that reports and can pause."""

    def pause(self) -> None:
        self.log.add("pause")

    def resume(self) -> None:
        self.log.add("resume")


class AsyncPausing(Reporting):
    """The same on an event loop; may be made to raise."""

    def pause(self) -> None:
        self._tell("pause")

    def resume(self) -> None:
        self._tell("resume")

    def _tell(self, name: str) -> None:
        if name in self.errors:
            raise self.errors[name]
        self.log.append(name)


class Unnumbered(FakeAudio):
    """One that could pause, but reports nothing."""

    def pause(self) -> None:
        self.log.add("pause")

    def resume(self) -> None:
        self.log.add("resume")


ON_PREM = {"on_prem_config": OnPremInitiationData("wss://localhost/convai")}


# Who is asked


@pytest.mark.parametrize(
    ("make", "is_able"),
    [
        (DefaultAudioInterface, True),
        (AsyncDefaultAudioInterface, True),
        (WavAudioInterface, True),
        (PausingAudio, True),
        (AsyncPausing, True),
        (Unnumbered, False),
        (ReportingAudio, False),
        (Reporting, False),
        (FakeAudio, False),
        (Interface, False),
        (lambda: None, False),
    ],
)
def test_only_an_interface_that_reports_and_has_both_methods_can_pause(
    make: Callable[[], Any], is_able: bool
):
    assert can_pause(make()) is is_able


@pytest.mark.parametrize("audio", [PausingAudio, ReportingAudio, FakeAudio, None])
@pytest.mark.parametrize("options", [None, SessionOptions(), SessionOptions(can_pause=False)])
def test_the_machine_never_asks_for_a_pause_that_nobody_could_make(audio: Any, options: Any):
    call = Call(None, audio_interface=audio and audio(), session_options=options, **ON_PREM)
    wiring = call.conversation._wiring()
    is_wanted = options is None or options.can_pause
    assert wiring.options.can_pause is (audio is PausingAudio and is_wanted)


# A conversation


def post(call: Call, event: Event) -> None:
    """Bring local evidence, which no shell does by itself yet."""
    inbox = call.driver._inbox
    if isinstance(inbox, AsyncInbox):
        HOST.loop.call_soon_threadsafe(inbox.post, event)
    else:
        inbox.post(event)
    call.settle()


@pytest.fixture
def agent() -> Iterator[LoopbackAgent]:
    with LoopbackAgent() as agent:
        yield agent


@pytest.mark.usefixtures("shell")
def test_a_false_interruption_pauses_and_resumes_and_nothing_is_flushed(agent):
    with conversation(agent, audio_interface=PausingAudio()) as call:
        connection = call.start()
        connection.send(SendAudio(PCM))
        call.wait_for_state("agent_speaking")
        post(call, InterruptionSuspected())
        assert call.conversation.state == "interrupted"
        connection.send(SendAudio(PCM))
        call.audio.log.wait_for((2, len(PCM)))
        post(call, InterruptionDismissed())
        assert call.conversation.state == "agent_speaking"
        assert call.audio.log.entries == ["start", (1, len(PCM)), "pause", (2, len(PCM)), "resume"]


@pytest.mark.usefixtures("shell")
def test_a_confirmed_interruption_is_silenced_before_it_is_resumed(agent):
    with conversation(agent, audio_interface=PausingAudio()) as call:
        connection = call.start()
        connection.send(SendAudio(PCM))
        call.wait_for_state("agent_speaking")
        post(call, InterruptionSuspected())
        call.conversation.interrupt()
        call.audio.log.wait_for("resume")
        assert call.conversation.state == "interrupted"
        assert call.audio.log.entries == ["start", (1, len(PCM)), "pause", "interrupt", "resume"]


@pytest.mark.usefixtures("shell")
def test_an_interface_that_cannot_pause_speaks_on_whatever_is_suspected(agent):
    with conversation(agent, audio_interface=ReportingAudio()) as call:
        connection = call.start()
        connection.send(SendAudio(PCM))
        call.wait_for_state("agent_speaking")
        post(call, InterruptionSuspected())
        assert call.conversation.state == "agent_speaking"
        post(call, InterruptionDismissed())
        assert call.audio.log.entries == ["start", (1, len(PCM))]


@pytest.mark.usefixtures("shell")
def test_of_two_pauses_in_a_turn_one_was_false_and_one_an_interruption(agent):
    with conversation(agent, audio_interface=PausingAudio()) as call:
        connection = call.start()
        connection.send(SendAudio(PCM))
        call.wait_for_state("agent_speaking")
        post(call, InterruptionSuspected())
        post(call, InterruptionDismissed())
        post(call, InterruptionSuspected())
        call.conversation.interrupt()
        call.audio.log.wait_for("interrupt")
        call.conversation.end_session()
        call.finish()
        metrics = call.conversation.metrics
        assert metrics is not None
        assert (metrics.agent_turns, metrics.interruptions, metrics.false_interruptions) == (1, 1, 1)
        assert metrics.interruption_seconds.count == 1


# The ports


class Stage:
    """A port of threads, with an interface that has not begun."""

    def __init__(self, interface: Any) -> None:
        self.posted: list[Event] = []
        self.silences = 0
        self.has_started = threading.Event()
        self.port = AudioPort(interface, self.post, self.post, ManualTimers(), note_silence=self.note_silence)
        self.port.start(StartAudio("pcm_16000", "pcm_16000"))
        assert self.has_started.wait(PATIENCE)

    def post(self, event: Event) -> None:
        self.posted.append(event)
        self.has_started.set()

    def note_silence(self) -> None:
        self.silences += 1

    def close(self) -> None:
        self.port.stop()
        assert self.port.join(PATIENCE)


def test_a_pause_before_the_interface_has_begun_comes_before_its_first_sample():
    audio = PausingAudio()
    stage = Stage(audio)
    stage.port.pause()
    stage.port.play(Play(1, b"ab", 1))
    assert audio.log.entries == ["start"]
    stage.port.begin()
    stage.port.resume()
    stage.close()
    assert audio.log.entries == ["start", "pause", (1, 2), "resume", "stop"]


def test_a_pause_that_was_over_before_it_could_begin_is_not_asked_for():
    audio = PausingAudio()
    stage = Stage(audio)
    stage.port.pause()
    stage.port.resume()
    stage.port.begin()
    stage.close()
    assert audio.log.entries == ["start", "stop"]


def test_a_pause_that_took_hold_is_silence():
    stage = Stage(PausingAudio())
    stage.port.pause()
    assert stage.silences == 1, "nothing sounds before the interface has begun"
    stage.port.resume()
    stage.port.begin()
    stage.port.pause()
    assert stage.silences == 2
    stage.port.resume()
    stage.close()
    assert stage.silences == 2


def test_what_pause_raises_is_a_fault_of_the_audio():
    audio: Any = PausingAudio()
    audio.pause = lambda: 1 / 0
    stage = Stage(audio)
    stage.port.begin()
    stage.port.pause()
    stage.close()
    assert stage.silences == 0
    assert stage.posted[0] == AudioStarted()
    assert stage.posted[1] == AudioFailed("PausingAudio.pause raised ZeroDivisionError: division by zero")


@on_stage(AsyncPausing)
async def test_a_pause_waits_for_no_speech_that_is_still_being_handed_over(stage, audio):
    await stage.open()
    audio.gates["output"] = asyncio.Event()
    stage.port.play(Play(1, b"ab", 1))
    await settled()
    stage.port.pause()
    stage.port.resume()
    assert audio.log[1:] == ["start", "pause", "resume"]
    audio.gates["output"].set()
    await settled()
    await stage.close()
    assert audio.log[1:] == ["start", "pause", "resume", (1, 2), "stop"]


@on_stage(AsyncPausing)
async def test_what_is_to_be_forgotten_does_not_sound_before_it_is(stage, audio):
    await stage.open()
    audio.gates["interrupt"] = asyncio.Event()
    stage.port.pause()
    stage.port.flush()
    stage.port.resume()
    assert audio.log[2:] == ["pause"]
    await settled()
    assert audio.log[2:] == ["pause"]
    audio.gates["interrupt"].set()
    await settled()
    await stage.close()
    assert audio.log[2:] == ["pause", "interrupt", "resume", "stop"]


@on_stage(AsyncPausing)
async def test_a_pause_behind_an_interruption_outlives_it(stage, audio):
    await stage.open()
    stage.port.flush()
    stage.port.pause()
    assert stage.silences == 0
    await settled()
    assert stage.silences == 2
    await stage.close()
    assert audio.log[2:] == ["interrupt", "pause", "stop"]


@on_stage(AsyncPausing)
async def test_a_pause_before_the_interface_of_a_loop_has_begun_is_kept(stage, audio):
    stage.port.start(StartAudio("pcm_16000", "pcm_16000"))
    stage.port.pause()
    assert stage.silences == 1
    await settled()
    assert audio.log[1:] == ["start"]
    stage.port.play(Play(1, b"ab", 1))
    stage.port.begin()
    await settled()
    await stage.close()
    assert audio.log[1:] == ["start", "pause", (1, 2), "stop"]


@on_stage(AsyncPausing)
async def test_what_pause_raises_on_a_loop_is_a_fault_of_the_audio(stage, audio):
    await stage.open()
    audio.errors["pause"] = ValueError("mine")
    stage.port.pause()
    assert stage.silences == 0
    assert stage.posted[-1] == AudioFailed("AsyncPausing.pause raised ValueError: mine")
    await stage.close()


def test_a_sound_card_on_a_loop_pauses_as_its_device_does():
    interface: Any = AsyncDefaultAudioInterface()
    interface.device = PausingAudio()
    interface.pause()
    interface.resume()
    assert interface.device.log.entries == ["pause", "resume"]
