"""What a card does whatever the system, on streams that are not PortAudio's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from convsm.audio import card, streams
from convsm.audio.device import DefaultAudioInterface
from convsm.audio.formats import audio_format
from convsm.errors import AudioError
from tests.audio.fake_streams import FakePortAudio, Status, fake_portaudio
from tests.audio.sessions import own_threads, running
from tests.audio.sound_card import PATIENCE, wait_until, without_zeros
from tests.audio.sounds import samples, tone


@pytest.fixture
def portaudio() -> Iterator[FakePortAudio]:
    with fake_portaudio() as fake:
        yield fake


def test_speech_goes_out_and_the_voice_comes_in(portaudio: FakePortAudio):
    speech = samples(1, 4000)
    portaudio.voice = tone(7, 480)
    with running() as session:
        session.interface.play(1, speech)
        assert session.interface.drain(PATIENCE)
        wait_until(lambda: session.reported == [1], "the report")
        wait_until(lambda: len(session.pieces) > 3, "the microphone")
    assert without_zeros(bytes(portaudio.heard)) == speech
    assert set(session.recorded[::2]) == {7}
    assert portaudio.openings == 2


def test_an_interruption_empties_the_device_once(portaudio: FakePortAudio):
    after = samples(20001, 1600)
    with running() as session:
        session.interface.play(1, samples(1, 16000))
        wait_until(lambda: session.interface.position > 100, "speech")
        session.interface.interrupt()
        session.interface.interrupt()
        session.interface.play(2, after)
        assert session.interface.drain(PATIENCE)
        wait_until(lambda: session.reported == [2], "the report")
    assert without_zeros(bytes(portaudio.heard)).endswith(after)


def test_a_device_that_does_not_start_again_after_an_interruption_is_reopened(portaudio: FakePortAudio):
    interface = DefaultAudioInterface(reopen_seconds=PATIENCE)
    with running(interface) as session:
        interface.play(1, samples(1, 16000))
        wait_until(lambda: interface.position > 100, "speech")
        portaudio.refuses_to_start = True
        interface.interrupt()
        wait_until(lambda: portaudio.openings > 4, "attempts to reopen")
        portaudio.refuses_to_start = False
        interface.play(2, samples(1, 160))
        wait_until(lambda: session.reported == [2], "the report")
    assert session.failures == []


def test_a_fault_in_reopening_is_reported(portaudio: FakePortAudio):
    interface = DefaultAudioInterface(watchdog_seconds=0.1, reopen_seconds=PATIENCE)
    with running(interface) as session:
        portaudio.refuses_to_open = ZeroDivisionError("odd")
        portaudio.stands_still = {"input"}
        assert session.has_failed.wait(PATIENCE)
    assert session.failures == ["The sound card failed on ZeroDivisionError: odd."]


def test_a_device_that_stays_away_is_given_up_in_time(portaudio: FakePortAudio):
    interface = DefaultAudioInterface(watchdog_seconds=0.1, reopen_seconds=0.4)
    with running(interface) as session:
        portaudio.refuses_to_open = AudioError("gone")
        portaudio.stands_still = {"input", "output"}
        assert session.has_failed.wait(PATIENCE)
    assert session.failures == [f"The loudspeaker has stood still for 0.1 s; {card.ADVICE}."]
    assert portaudio.openings > 3


def test_a_start_that_fails_is_tried_again_with_a_new_list_of_devices(portaudio: FakePortAudio):
    portaudio.refuses_to_open = AudioError("no such device")
    with pytest.raises(AudioError, match="no such device"):
        DefaultAudioInterface().start(lambda audio: None)
    assert portaudio.openings == 2
    assert not own_threads()


def test_a_start_that_fails_oddly_says_what_happened(portaudio: FakePortAudio):
    portaudio.refuses_to_open = ZeroDivisionError("odd")
    with pytest.raises(AudioError, match="The sound card does not open: ZeroDivisionError: odd"):
        DefaultAudioInterface().start(lambda audio: None)
    assert not own_threads()


def test_a_stream_that_does_not_close_is_logged_and_ends_nothing(
    portaudio: FakePortAudio, caplog: pytest.LogCaptureFixture
):
    with running():
        portaudio.refuses_to_close = True
    portaudio.open.clear()
    assert [record.getMessage() for record in caplog.records] == [
        "closing the loudspeaker failed: no close",
        "closing the microphone failed: no close",
    ]


def test_lost_blocks_are_counted(portaudio: FakePortAudio):
    portaudio.status = Status(output_underflow=True, input_overflow=True)
    with running() as session:
        wait_until(lambda: session.interface.overflows > 2, "the microphone's losses")
        wait_until(lambda: session.interface.underflows > 2, "the loudspeaker's losses")


def test_neither_the_voice_nor_the_echo_fill_the_memory(
    portaudio: FakePortAudio, monkeypatch: pytest.MonkeyPatch
):
    class Processing:
        def __init__(self, *rates: int, **switches: bool) -> None:
            pass

        def played(self, audio: bytes) -> None:
            pass

        def cleaned(self, audio: bytes) -> bytes:
            return audio

    monkeypatch.setattr(card, "VoiceProcessing", Processing)
    monkeypatch.setattr(card, "WAITING_BLOCKS", 5)
    may_go_on = threading.Event()
    interface = DefaultAudioInterface(echo_cancellation=True)

    def take(audio: bytes) -> None:
        may_go_on.wait(PATIENCE)

    interface.start(take)
    try:
        wait_until(lambda: interface.overflows > 3, "losses")
        assert interface._run is not None
        assert interface._run.card._news.qsize() <= 6
    finally:
        may_go_on.set()
        interface.stop()


@pytest.mark.parametrize(("cancels", "suppresses"), [(True, True), (True, False), (False, True)])
def test_only_the_echo_needs_what_the_loudspeaker_plays(
    portaudio: FakePortAudio, monkeypatch: pytest.MonkeyPatch, cancels: bool, suppresses: bool
):
    made: list[dict[str, bool]] = []
    played: list[bytes] = []

    class Processing:
        def __init__(self, *rates: int, **switches: bool) -> None:
            made.append(switches)

        def played(self, audio: bytes) -> None:
            played.append(audio)

        def cleaned(self, audio: bytes) -> bytes:
            return tone(7, len(audio) // 2)

    monkeypatch.setattr(card, "VoiceProcessing", Processing)
    interface = DefaultAudioInterface(echo_cancellation=cancels, noise_suppression=suppresses)
    with running(interface) as session:
        interface.play(1, samples(1, 1600))
        wait_until(lambda: session.reported == [1], "the report")
        wait_until(lambda: len(session.pieces) > 3, "the microphone")
    assert made == [{"echo_cancellation": cancels, "noise_suppression": suppresses}]
    assert set(session.recorded[::2]) == {7}
    assert bool(played) == cancels


def test_a_callback_that_never_returns_does_not_hold_the_stop(
    portaudio: FakePortAudio, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(card, "CLOSE_LIMIT", 0.1)
    may_go_on = threading.Event()
    is_taken = threading.Event()
    interface = DefaultAudioInterface()

    def take(audio: bytes) -> None:
        is_taken.set()
        may_go_on.wait(PATIENCE)

    interface.start(take)
    assert is_taken.wait(PATIENCE)
    began = time.monotonic()
    interface.stop()
    assert time.monotonic() - began < 2.0
    may_go_on.set()
    wait_until(lambda: not own_threads(), "the threads to end")


class Moody:
    """A listener that breaks its contract."""

    def played(self, through: int) -> None:
        raise ValueError("not my day")

    def failed(self, message: str) -> None:
        raise ValueError(message)


def test_a_listener_that_raises_ends_nothing(portaudio: FakePortAudio, caplog: pytest.LogCaptureFixture):
    pieces: list[bytes] = []
    interface = DefaultAudioInterface()
    interface.configure(audio_format("pcm_16000"), audio_format("pcm_16000"), Moody())
    interface.start(pieces.append)
    try:
        for number in (1, 2):
            interface.play(number, samples(1, 160))
            wait_until(lambda: interface.position == 160 * number, "speech")  # noqa: B023
        seen = len(pieces)
        wait_until(lambda: len(pieces) > seen + 3, "the microphone")
    finally:
        interface.stop()
    assert len(caplog.records) == 1


def test_an_interruption_of_the_start_leaves_nothing_open(
    portaudio: FakePortAudio, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(self: threading.Event, timeout: float | None = None) -> bool:
        monkeypatch.undo()
        raise KeyboardInterrupt

    opened = threading.Event()
    real_open = portaudio.open_stream

    def open_late(*arguments: object, **options: object) -> object:
        opened.wait(PATIENCE)
        return real_open(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(card, "CLOSE_LIMIT", 0.1)
    monkeypatch.setattr(streams, "open_stream", open_late)
    made = DefaultAudioInterface()
    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.start(lambda audio: None)
    opened.set()
    wait_until(lambda: not own_threads(), "the device thread to end")
