from __future__ import annotations

import logging
import threading

import pytest

from convsm.errors import AudioError
from convsm.machine.effects import Play, StartAudio
from convsm.machine.events import AudioFailed, AudioStarted, AudioStopped, Played, UserAudio
from convsm.runtime import audio_port as audio_port_module
from convsm.runtime.audio_port import AudioPort
from convsm.testing.clock import ManualTimers
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    FakeAudio,
    Log,
    ReportingAudio,
    nothing_is_left,
)

SECOND = b"\x00\x01" * 16000


class Stage:
    """A port, its interface, and what it posted; time is the test's."""

    def __init__(self, interface, output_format="pcm_16000", input_format="pcm_16000"):
        self.interface = interface
        self.posted = Log()
        self.posted_aside = Log()
        self.timers = ManualTimers()
        self.port = AudioPort(interface, self.posted.add, self.posted_aside.add, self.timers)
        self.start = StartAudio(output_format, input_format)
        self.number = 0

    def open(self):
        self.port.start(self.start)
        self.posted.wait_for(AudioStarted())
        self.port.begin()
        return self

    def play(self, audio=SECOND):
        self.number += 1
        self.port.play(Play(self.number, audio, turn=1))

    @property
    def failures(self):
        return [event.message for event in self.posted.entries if isinstance(event, AudioFailed)]

    @property
    def heard(self):
        return [event.through for event in self.posted.entries if isinstance(event, Played)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.port.stop()
        assert self.port.join(PATIENCE)


# Opening and closing


def test_start_and_stop_run_on_a_worker_and_are_answered():
    names = []
    interface = FakeAudio(
        on_start=lambda: names.append(threading.current_thread().name),
        on_stop=lambda: names.append(threading.current_thread().name),
    )
    with Stage(interface) as stage:
        stage.open()
        stage.port.stop()
        stage.posted.wait_for(AudioStopped())
    assert names == ["convsm-audio", "convsm-audio"]
    assert stage.posted.entries == [AudioStarted(), AudioStopped()]
    assert interface.log.entries == ["start", "stop"]


def test_a_port_that_never_started_has_nothing_to_wait_for():
    assert AudioPort(None, lambda event: None, lambda event: None, ManualTimers()).join(0)


def test_a_stop_that_is_asked_for_while_the_start_runs_comes_behind_it():
    go_on = threading.Event()
    interface = FakeAudio(on_start=lambda: go_on.wait(PATIENCE))
    with Stage(interface) as stage:
        stage.port.start(stage.start)
        stage.port.stop()
        go_on.set()
        stage.posted.wait_for(AudioStopped())
    assert interface.log.entries == ["start", "stop"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("device busy"), "FakeAudio.start raised OSError: device busy"),
        (AudioError("No microphone; choose one."), "No microphone; choose one."),
        (SystemExit(1), "FakeAudio.start raised SystemExit: 1"),
    ],
)
def test_a_start_that_raises_has_failed_and_is_not_stopped(error, message):
    def fail():
        raise error

    interface = FakeAudio(on_start=fail)
    with Stage(interface) as stage:
        stage.port.start(stage.start)
        stage.posted.wait_for(AudioFailed(message))
    assert stage.posted.entries == [AudioFailed(message), AudioStopped()]
    assert interface.log.entries == []


def test_a_stop_that_raises_is_logged_and_over_all_the_same(caplog):
    def fail():
        raise OSError("gone")

    with Stage(FakeAudio(on_stop=fail)) as stage:
        stage.open()
        stage.port.stop()
        stage.posted.wait_for(AudioStopped())
    assert "FakeAudio.stop raised" in caplog.text


def test_joining_does_not_wait_beyond_its_timeout_nor_for_itself():
    go_on = threading.Event()
    answers = []

    def stop():
        answers.append(stage.port.join(PATIENCE))
        assert go_on.wait(PATIENCE)

    with Stage(FakeAudio(on_stop=stop)) as stage:
        stage.open()
        stage.port.stop()
        assert not stage.port.join(0)
        go_on.set()
    assert answers == [False]


def test_an_unknown_format_fails_by_name_before_the_interface_is_touched():
    interface = FakeAudio()
    with Stage(interface, output_format="mp3_44100") as stage:
        stage.port.start(stage.start)
        stage.posted.wait_for(lambda event: isinstance(event, AudioFailed))
    assert "'mp3_44100' is unknown" in stage.failures[0]
    assert interface.log.entries == []


# The four reference methods


def test_what_comes_before_the_start_returned_is_held_and_handed_over_in_order():
    interface = FakeAudio()
    with Stage(interface) as stage:
        stage.play(b"11")
        stage.play(b"22")
        assert interface.log.entries == []
        stage.open()
        stage.play(b"33")
        assert interface.log.entries == ["start", b"11", b"22", b"33"]


def test_an_interruption_while_the_interface_opens_drops_what_is_held():
    interface = FakeAudio()
    with Stage(interface) as stage:
        stage.play(b"11")
        stage.port.flush()
        stage.play(b"22")
        stage.open()
        assert interface.log.entries == ["start", b"22"]


def test_what_may_be_held_is_bounded(monkeypatch):
    monkeypatch.setattr(audio_port_module, "HELD_BYTES", 4)
    with Stage(FakeAudio()) as stage:
        stage.play(b"1111")
        stage.play(b"22")
        assert len(stage.failures) == 1
        assert "does not open" in stage.failures[0]
        stage.open()
        assert stage.interface.heard == b"1111"


def test_a_flush_empties_the_account_of_what_is_held(monkeypatch):
    monkeypatch.setattr(audio_port_module, "HELD_BYTES", 4)
    with Stage(FakeAudio()) as stage:
        stage.play(b"1111")
        stage.port.flush()
        stage.play(b"2222")
        assert stage.failures == []
        stage.open()


@pytest.mark.parametrize("error", [OSError("unplugged"), SystemExit("unplugged")])
def test_an_output_that_raises_has_failed(error):
    def fail():
        raise error

    with Stage(FakeAudio(on_output=fail)) as stage:
        stage.open()
        stage.play()
        assert stage.failures == [f"FakeAudio.output raised {type(error).__name__}: unplugged"]
        assert stage.timers.armed == {}


@pytest.mark.parametrize("error", [OSError("unplugged"), SystemExit("unplugged")])
def test_an_interrupt_that_raises_has_failed(error):
    def fail():
        raise error

    with Stage(FakeAudio(on_interrupt=fail)) as stage:
        stage.open()
        stage.port.flush()
        assert stage.failures == [f"FakeAudio.interrupt raised {type(error).__name__}: unplugged"]


def test_a_plain_interface_for_other_formats_is_warned_about(caplog):
    with Stage(FakeAudio(), output_format="ulaw_8000") as stage:
        stage.open()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == (
        "the agent speaks ulaw_8000 and hears pcm_16000; FakeAudio gets and gives them unconverted"
    )


# Playout, reckoned


def test_speech_is_taken_as_heard_when_its_duration_has_passed():
    with Stage(FakeAudio()) as stage:
        stage.open()
        stage.play(SECOND)
        stage.timers.advance(0.99)
        assert stage.heard == []
        stage.timers.advance(0.02)
        assert stage.heard == [1]


def test_speech_that_is_added_meanwhile_is_waited_for():
    with Stage(FakeAudio()) as stage:
        stage.open()
        stage.play(SECOND)
        stage.timers.advance(0.5)
        stage.play(SECOND)
        stage.timers.advance(1.4)
        assert stage.heard == []
        stage.timers.advance(0.2)
        assert stage.heard == [2]


def test_after_a_silence_speech_is_reckoned_anew():
    with Stage(FakeAudio()) as stage:
        stage.open()
        stage.play(SECOND)
        stage.timers.advance(5)
        stage.play(SECOND)
        stage.timers.advance(0.9)
        assert stage.heard == [1]
        stage.timers.advance(0.2)
        assert stage.heard == [1, 2]


def test_speech_that_was_held_is_reckoned_from_the_moment_it_is_handed_over():
    with Stage(FakeAudio()) as stage:
        stage.play(SECOND)
        stage.timers.advance(5)
        stage.open()
        stage.timers.advance(0.9)
        assert stage.heard == []
        stage.timers.advance(0.2)
        assert stage.heard == [1]


def test_the_duration_is_reckoned_in_the_negotiated_format():
    with Stage(FakeAudio(), output_format="ulaw_8000") as stage:
        stage.open()
        stage.play(bytes(8000))
        stage.timers.advance(0.9)
        assert stage.heard == []
        stage.timers.advance(0.2)
        assert stage.heard == [1]


def test_after_an_interruption_nothing_is_owed():
    with Stage(FakeAudio()) as stage:
        stage.open()
        stage.play(SECOND)
        stage.port.flush()
        assert stage.timers.armed == {}
        stage.play(SECOND)
        stage.timers.advance(1.01)
        assert stage.heard == [2]


def test_a_timer_that_fires_while_speech_is_cut_reports_only_what_was_cut():
    with Stage(FakeAudio()) as stage:
        stage.open()
        stage.play(SECOND)
        stage.port.flush()
        stage.port._reckoning._reckon()  # it had fired already
        assert stage.heard == [1]


# Interfaces that report


def test_an_interface_that_reports_is_believed():
    interface = ReportingAudio()
    with Stage(interface, "pcm_24000", "ulaw_8000") as stage:
        stage.open()
        assert interface.formats == ("pcm_24000", "ulaw_8000")
        stage.play(SECOND)
        stage.play(SECOND)
        stage.timers.advance(100)
        assert stage.heard == []
        interface.hear(1)
        interface.listener.failed("unplugged")
        assert interface.log.entries == ["start", (1, 32000), (2, 32000)]
    # From a real-time thread: never worked on there.
    assert stage.posted_aside.entries == [Played(1), AudioFailed("unplugged")]


def test_an_interface_that_cannot_take_the_formats_fails_before_it_starts():
    def refuse():
        raise AudioError("No ulaw_8000 here; choose pcm_16000.")

    interface = ReportingAudio(on_configure=refuse)
    with Stage(interface, "ulaw_8000") as stage:
        stage.port.start(stage.start)
        stage.posted.wait_for(AudioFailed("No ulaw_8000 here; choose pcm_16000."))
    assert interface.log.entries == []


# The microphone


def test_the_microphones_chunks_are_copied_and_never_worked_on_by_its_thread():
    interface = FakeAudio()
    with Stage(interface) as stage:
        stage.open()
        buffer = bytearray(b"1234")
        interface.microphone(buffer)  # type: ignore[arg-type]
        buffer[:] = b"5678"  # as PortAudio does
        assert stage.posted_aside.entries == [UserAudio(b"1234")]


def test_the_microphone_is_unheard_once_the_stop_is_asked_for():
    interface = FakeAudio()
    with Stage(interface) as stage:
        stage.open()
        stage.port.stop()
        interface.microphone(b"1234")
    interface.microphone(b"5678")
    assert stage.posted_aside.entries == []
