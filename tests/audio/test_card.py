from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from itertools import pairwise

import pytest

from convsm.audio import card, portaudio
from convsm.audio.device import DefaultAudioInterface
from convsm.errors import AudioError
from tests.audio.sessions import messages, own_threads, running
from tests.audio.sound_card import PATIENCE, SoundCard, wait_until
from tests.audio.sounds import samples

# Longer than the machine ever stands still, shorter than anybody wants to wait.
WATCHDOG = 0.6


# The samples that a suspended sink has sounded and its monitor has not told: 5 ms, or 10.
UNTOLD = 160


def in_order(heard: bytes, first: int, last: int) -> bool:
    """Whether these counting samples came in their order, though some came twice and few are missing."""
    values = memoryview(heard).cast("h").tolist()
    missing = set(range(first, last + 1)) - set(values)
    jumps = [after - before for before, after in pairwise(values) if after > before + 1]
    return values[-1] == last and len(missing) <= UNTOLD and sum(jumps) <= 2 * UNTOLD


# A loudspeaker that stands still


def test_a_short_standstill_loses_nothing(sound_card: SoundCard):
    speech = samples(1, 24000)
    with sound_card.monitor() as monitor, running() as session:
        session.interface.play(1, speech)
        monitor.wait_for(3200)
        sound_card.suspend()
        position = session.interface.position
        time.sleep(0.3)
        assert session.interface.position - position < 2000
        assert session.reported == []
        sound_card.wake()
        assert session.interface.drain(PATIENCE)
        heard = monitor.wait_for_silence()
        assert session.interface.position == 24000
    assert in_order(heard, 1, 24000)
    assert len(heard) <= len(speech)
    assert session.reported == [1]
    assert session.failures == []


def test_after_a_long_standstill_the_agent_goes_on_where_it_was(
    sound_card: SoundCard, caplog: pytest.LogCaptureFixture
):
    speech = samples(1, 24000)
    interface = DefaultAudioInterface(watchdog_seconds=WATCHDOG, reopen_seconds=PATIENCE)
    with sound_card.monitor() as monitor, running(interface) as session:
        for number, audio in messages(speech, 5):
            interface.play(number, audio)
        monitor.wait_for(3200)
        sound_card.suspend()
        time.sleep(2 * WATCHDOG)
        reported = len(session.reports)
        sound_card.wake()
        assert interface.drain(PATIENCE)
        heard = monitor.wait_for_silence()
        wait_until(lambda: "it is back" in caplog.text, "the interface to recover")
    assert in_order(heard, 1, 24000)
    # What is heard twice is what the device held.
    assert len(heard) - len(speech) < 2 * 2000
    assert reported < 5
    assert session.reported == [1, 2, 3, 4, 5]
    assert session.failures == []


def test_a_loudspeaker_that_stands_still_for_good_is_reported_once(sound_card: SoundCard):
    interface = DefaultAudioInterface(watchdog_seconds=WATCHDOG, reopen_seconds=1.5)
    with running(interface) as session:
        interface.play(1, samples(1, 24000))
        wait_until(lambda: interface.position, "speech")
        sound_card.suspend()
        began = time.monotonic()
        assert session.has_failed.wait(PATIENCE)
        assert time.monotonic() - began > 1.5
        wait_until(lambda: not own_threads(), "the threads to end")
        interface.play(2, samples(1, 100))
        interface.interrupt()
        assert interface.drain(0)
    assert session.failures == [f"The loudspeaker has stood still for 0.6 s; {card.ADVICE}."]
    assert session.reported == []


def test_a_microphone_that_stands_still_for_good_is_reported(sound_card: SoundCard):
    interface = DefaultAudioInterface(watchdog_seconds=WATCHDOG, reopen_seconds=0)
    with running(interface) as session:
        wait_until(lambda: session.pieces, "the microphone")
        sound_card.suspend("mic")
        assert session.has_failed.wait(PATIENCE)
    assert session.failures[0].startswith("The microphone has stood still")


def test_an_interruption_during_a_standstill_returns_at_once_and_holds(sound_card: SoundCard):
    after = samples(20001, 4000)
    with sound_card.monitor() as monitor, running() as session:
        session.interface.play(1, samples(1, 16000))
        monitor.wait_for(3200)
        sound_card.suspend()
        began = time.monotonic()
        session.interface.interrupt()
        session.interface.play(2, after)
        assert time.monotonic() - began < 0.1
        sound_card.wake()
        assert session.interface.drain(PATIENCE)
        heard = monitor.wait_for_silence()
    told = memoryview(heard).cast("h").tolist()
    last_of_before = max(index for index, value in enumerate(told) if value <= 16000)
    assert in_order(heard[2 * last_of_before + 2 :], 20001, 24000)
    assert last_of_before < 3200
    assert session.reported == [2]


# A sound server that ends


def test_a_killed_sound_server_is_reported_at_once_if_so_configured(sound_card: SoundCard):
    interface = DefaultAudioInterface(reopen_seconds=0)
    with running(interface) as session:
        interface.play(1, samples(1, 24000))
        wait_until(lambda: interface.position, "speech")
        sound_card.kill()
        began = time.monotonic()
        assert session.has_failed.wait(PATIENCE)
        assert time.monotonic() - began < 1.5
    assert "has stopped; check that it is connected" in session.failures[0]
    assert len(session.failures) == 1


def test_with_a_new_sound_server_the_agent_goes_on_and_the_user_is_heard(sound_card: SoundCard):
    speech = samples(1, 16000)
    interface = DefaultAudioInterface(reopen_seconds=PATIENCE)
    with running(interface) as session:
        for number, audio in messages(speech, 4):
            interface.play(number, audio)
        wait_until(lambda: session.reported[-1:] == [2], "half of it")
        sound_card.kill()
        wait_until(lambda: not any(openings(interface)), "the fault to be seen")
        sound_card.restart()
        pieces = len(session.pieces)
        assert interface.drain(PATIENCE)
        wait_until(lambda: len(session.pieces) > pieces + 10, "the microphone")
    assert session.reported == [1, 2, 3, 4]
    assert interface.position == 16000
    assert session.failures == []


def openings(interface: DefaultAudioInterface) -> list[bool]:
    run = interface._run
    assert run is not None
    both = run.card._streams
    return [each.stream is not None for each in (both._output, both._input)]


def test_without_a_sound_server_the_start_says_so(sound_card: SoundCard):
    sound_card.kill()
    with pytest.raises(AudioError, match="No loudspeaker was found; connect one, or start"):
        DefaultAudioInterface().start(lambda audio: None)
    assert not own_threads()
    sound_card.restart()
    with running() as session:
        wait_until(lambda: session.pieces, "the microphone")


# A sound server that hangs


def test_nothing_hangs_with_the_sound_server(sound_card: SoundCard, caplog: pytest.LogCaptureFixture):
    interface = DefaultAudioInterface()
    interface.start(lambda audio: None)
    interface.output(samples(1, 16000))
    wait_until(lambda: interface.position, "speech")
    with sound_card.frozen():
        began = time.monotonic()
        interface.interrupt()
        interface.output(samples(1, 100))
        assert time.monotonic() - began < 0.1
        interface.stop()
        assert time.monotonic() - began < 3.0
        assert "it is left to itself" in caplog.text
    # What was left to itself cleans up once it can.
    wait_until(lambda: not own_threads(), "the device thread to end")
    wait_until(lambda: not sound_card.streams, "the streams to be closed")


def test_an_interruption_that_the_sound_server_never_answers_is_a_fault(sound_card: SoundCard):
    interface = DefaultAudioInterface(watchdog_seconds=WATCHDOG)
    with running(interface) as session:
        interface.play(1, samples(1, 16000))
        wait_until(lambda: interface.position, "speech")
        with sound_card.frozen():
            interface.interrupt()
            assert session.has_failed.wait(PATIENCE)
        wait_until(lambda: not own_threads(), "the device thread to end")
    assert session.failures == [
        f"The loudspeaker cannot be silenced, for PortAudio does not answer; {card.ADVICE}."
    ]


def test_a_start_that_the_sound_server_never_answers_raises(
    sound_card: SoundCard, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(card, "OPEN_LIMIT", 0.3)
    with sound_card.frozen():
        with pytest.raises(AudioError, match=r"did not open within 0\.3 s"):
            DefaultAudioInterface().start(lambda audio: None)
        monkeypatch.setattr(portaudio, "PATIENCE", 0.1)
        with pytest.raises(AudioError, match="does not answer another call of this process"):
            portaudio.devices()
    wait_until(lambda: not own_threads(), "the device thread to end")
    wait_until(lambda: not sound_card.streams, "the streams to be closed")


FROZEN_AT_EXIT = """
import os, signal, time
from convsm.audio.device import DefaultAudioInterface

interface = DefaultAudioInterface()
interface.start(lambda audio: None)
interface.output(bytes(32000))
time.sleep(0.1)
os.kill({pid}, signal.SIGSTOP)
"""


def test_the_interpreter_exits_with_the_card_open_though_the_sound_server_hangs(sound_card: SoundCard):
    pid = sound_card._pid
    with sound_card.frozen():
        # The process freezes the server once it is open; until then it has to run.
        subprocess.run(["kill", "-CONT", str(pid)], check=True)
        done = subprocess.run([sys.executable, "-c", FROZEN_AT_EXIT.format(pid=pid)], timeout=PATIENCE)
    assert done.returncode == 0


# Nothing is left


def test_a_card_that_is_started_often_leaves_nothing_open(sound_card: SoundCard):
    interface = DefaultAudioInterface()
    for number in range(8):
        interface.start(lambda audio: None)
        interface.output(samples(1, 1600))
        if number % 2:
            interface.interrupt()
        began = time.monotonic()
        interface.stop()
        assert time.monotonic() - began < 1.0
        assert not own_threads()
    assert portaudio._open_streams == 0
    wait_until(lambda: not sound_card.streams, "the streams to be closed")


def test_a_start_whose_microphone_does_not_exist_leaves_nothing_open(sound_card: SoundCard):
    with pytest.raises(AudioError, match="No microphone has a name like 'harp'; choose input_device from"):
        DefaultAudioInterface(input_device="harp").start(lambda audio: None)
    assert portaudio._open_streams == 0
    assert not own_threads()
    wait_until(lambda: not sound_card.streams, "the streams to be closed")


def test_a_microphone_that_is_unplugged_is_replaced_by_the_server(sound_card: SoundCard):
    with running() as session:
        wait_until(lambda: session.pieces, "the microphone")
        sound_card.unplug("mic")
        pieces = len(session.pieces)
        wait_until(lambda: len(session.pieces) > pieces + 20, "another microphone")
        session.interface.play(1, samples(1, 1600))
        assert session.interface.drain(PATIENCE)
    assert session.failures == []


# Whoever listens


def test_a_callback_that_raises_is_logged_once_and_ends_nothing(
    sound_card: SoundCard, caplog: pytest.LogCaptureFixture
):
    calls = []

    def take(audio: bytes) -> None:
        calls.append(audio)
        raise ValueError("not my day")

    interface = DefaultAudioInterface()
    interface.start(take)
    try:
        interface.output(samples(1, 1600))
        assert interface.drain(PATIENCE)
        wait_until(lambda: len(calls) > 5, "the microphone")
    finally:
        interface.stop()
    assert len(caplog.records) == 1


def test_a_callback_may_stop_the_card(sound_card: SoundCard):
    interface = DefaultAudioInterface()
    is_stopped = threading.Event()

    def take(audio: bytes) -> None:
        assert not is_stopped.is_set()
        interface.stop()
        is_stopped.set()

    interface.start(take)
    assert is_stopped.wait(PATIENCE)
    wait_until(lambda: not own_threads(), "the threads to end")


def test_a_callback_that_blocks_costs_the_oldest_but_not_the_memory(
    sound_card: SoundCard, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(card, "WAITING_BLOCKS", 5)
    may_go_on = threading.Event()
    interface = DefaultAudioInterface()

    def take(audio: bytes) -> None:
        may_go_on.wait(PATIENCE)

    interface.start(take)
    try:
        wait_until(lambda: interface.overflows > 5, "blocks to be dropped")
        assert interface._run is not None
        assert interface._run.card._news.qsize() <= 5
    finally:
        may_go_on.set()
        interface.stop()


def test_a_fault_of_our_own_is_reported_and_silent(sound_card: SoundCard, monkeypatch: pytest.MonkeyPatch):
    with running() as session:
        assert session.interface._run is not None
        monkeypatch.setattr(session.interface._run.speaker, "volume", "loud")
        session.interface.play(1, samples(1, 16000))
        assert session.has_failed.wait(PATIENCE)
    assert session.failures[0].startswith("Playing failed on ")


def test_the_log_says_nothing_of_an_ordinary_session(sound_card: SoundCard, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO), running() as session:
        session.interface.play(1, samples(1, 1600))
        assert session.interface.drain(PATIENCE)
    assert caplog.records == []


# Pace

BUSY = "while True: pass"
# The machine may stand still for longer than any buffer holds, as virtual ones do now and then.
ATTEMPTS = 3


def test_the_card_keeps_its_pace_with_all_cores_busy(sound_card: SoundCard, request: pytest.FixtureRequest):
    seconds = 60 if request.config.getoption("--long") else 10
    speech = samples(1, 30000) * (seconds * 16000 // 30000)
    with ExitStack() as until_the_end:
        for _ in range(os.cpu_count() or 1):
            busy = subprocess.Popen([sys.executable, "-c", BUSY])
            until_the_end.callback(busy.wait)
            until_the_end.callback(busy.kill)
        for _ in range(ATTEMPTS):
            with sound_card.monitor() as monitor, running() as session:
                session.interface.play(1, speech)
                assert session.interface.drain(seconds + PATIENCE)
                heard = monitor.wait_for_silence()
                missed = session.interface.underflows + session.interface.overflows
            assert heard == speech
            if not missed:
                break
    assert missed == 0
    assert speech in monitor.audio
    assert len(session.recorded) > len(speech) - 32000 * 0.2
