from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from convsm import RefusedCommand, SessionOptions
from convsm.machine import effects
from convsm.machine.effects import EFFECTS, StateChanged
from convsm.machine.events import (
    AgentAudio,
    AudioFailed,
    ConnectionFailed,
    Event,
    Informed,
    Malformed,
    SessionReady,
    SocketOpened,
    UserAudio,
)
from convsm.protocols.elevenlabs import ElevenLabsCodec
from convsm.protocols.messages import ServerError, VadScore
from convsm.runtime import diagnostics as diagnostics_module
from convsm.runtime.tools import ClientTools
from convsm.runtime.wiring import Observer, Wiring
from convsm.transport.options import TransportOptions
from convsm.transport.uplink import UplinkDropped
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    FakeAudio,
    Log,
    ManualDriver,
    ReportingAudio,
    elsewhere,
    join_threads,
    nothing_is_left,
)


class Unconnected(ManualDriver):
    """A driver whose transport connects nowhere and logs what it is told."""

    def __init__(self, **changes: Any) -> None:
        self.log = Log()
        wiring: dict[str, Any] = {
            "options": SessionOptions(),
            "codec": ElevenLabsCodec([b"opening"]),
            "resolve_url": lambda: "",
            "transport": TransportOptions(),
            "audio": FakeAudio(),
            "tools": ClientTools(),
            "observers": {StateChanged: (Observer("callback_state_change", self.log.add),)},
            "streams": (),
            "on_end": (Observer("on_end", self.log.add),),
            "open_recorder": None,
        }
        super().__init__(Wiring(**{**wiring, **changes}))
        self.wire = Log()
        transport: Any = self.transport
        transport.open = lambda: self.wire.add("open")
        transport.send = self.wire.add
        transport.send_audio = lambda *audio: self.wire.add(audio)

    def post(self, *events: Event) -> None:
        for event in events:
            self._inbox.post(event)

    def finish(self) -> effects.AnnounceEnd:
        self.end()
        assert self.is_over.wait(PATIENCE)
        join_threads()
        assert self.ending is not None
        return self.ending


@pytest.fixture
def make():
    made = []

    def make(**changes: Any) -> Unconnected:
        made.append(Unconnected(**changes))
        return made[-1]

    yield make
    for driver in made:
        driver.end()
        driver.timers.advance(100)  # type: ignore[attr-defined]


@pytest.fixture
def ready(make):
    """A driver in state listening."""

    def ready(output_format="pcm_16000", input_format="pcm_16000", **changes):
        driver = make(**changes)
        driver.start()
        driver.post(SocketOpened(), SessionReady("conv_1", output_format, input_format))
        return driver

    return ready


def test_every_effect_has_somebody_who_performs_it(make):
    rejected_by_hand = {effects.Reject}
    assert {*EFFECTS.values()} - rejected_by_hand == {*make()._perform}


def test_nothing_starts_before_the_start(make):
    make()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("convsm-")] == []


def test_the_opening_goes_first(ready):
    assert ready().wire.entries == ["open", b"opening"]


def test_a_second_start_is_refused(ready):
    with pytest.raises(RefusedCommand, match="Start is not possible in state 'listening'"):
        ready().start()


def test_a_session_that_is_over_says_that_a_new_one_is_needed(make):
    driver = make()
    assert driver.start() is True
    driver.finish()
    assert driver.start() is False


def test_a_session_that_is_over_takes_nothing_any_more(make):
    driver = make()
    driver.start()
    ending = driver.finish()
    driver.post(SessionReady("late"), AudioFailed("late"), SocketOpened())
    assert driver.session.state == "idle"
    assert driver.session.conversation_id is None
    assert driver.log.entries[-1] is ending
    assert driver.diagnostics == 0


def test_an_effect_that_fails_is_logged_and_those_behind_it_are_performed(make, caplog):
    driver = make()

    def fail():
        raise OSError("no thread to be had")

    driver.transport.open = fail
    driver.start()
    assert driver.session.state == "connecting"
    assert driver.timers.armed.keys() == {"ready"}
    assert "performing OpenSocket failed" in caplog.text


def test_changes_of_state_are_told_in_order(ready):
    driver = ready()
    driver.log.wait_for(lambda entry: entry.target == "listening")
    assert driver.log.entries == [
        StateChanged("idle", "connecting", "Start", 0.0),
        StateChanged("connecting", "listening", "SessionReady", 0.0),
    ]


def test_a_timer_of_no_seconds_fires_behind_what_is_being_performed(make):
    # The end of a refused connection: closing and idle follow without a hop between threads.
    driver = make()
    driver.start()
    elsewhere(lambda: driver.post(ConnectionFailed("refused", 403)))
    assert driver.ending is not None
    assert driver.timers.armed == {}


def test_a_joined_driver_has_nothing_running(make):
    driver = make()
    driver.start()
    driver.finish()
    driver.join(PATIENCE)
    assert not driver.is_performing_here


def test_an_effect_knows_where_it_runs(ready):
    where = []
    audio = FakeAudio(on_output=lambda: where.append(driver.is_performing_here))
    driver = ready(audio=audio)
    audio.log.wait_for("start")
    driver.post(AgentAudio(b"12", 1))
    audio.log.wait_for(b"12")
    assert where == [True]


# Audio


@pytest.mark.parametrize(("input_format", "seconds"), [("pcm_16000", 0.25), ("ulaw_8000", 1.0)])
def test_the_microphones_time_is_reckoned_in_the_negotiated_format(ready, input_format, seconds):
    audio = ReportingAudio()
    driver = ready(input_format=input_format, audio=audio)
    driver.post(UserAudio(bytes(8000)))
    [(message, reckoned)] = driver.wire.entries[2:]
    assert message.startswith(b'{"user_audio_chunk":"AAAA')
    assert reckoned == seconds


def test_an_unknown_format_of_the_microphone_ends_the_session_by_name(ready):
    driver = ready(input_format="opus", audio=ReportingAudio())
    driver.log.wait_for(lambda entry: isinstance(entry, StateChanged) and entry.target == "closing")
    ending = driver.session.ending
    assert ending is not None
    assert "'opus' is unknown" in ending.message


# What the server and the network tell


def test_a_message_is_told_by_its_own_type_to_whom_it_may_concern(ready):
    scores = Log()
    driver = ready(observers={VadScore: (Observer("callback_vad_score", scores.add),)})
    driver.post(Informed(VadScore(0.5)))
    scores.wait_for(VadScore(0.5))
    driver.post(AgentAudio(b"", 1))  # nobody wants to know


def test_errors_of_the_server_are_logged_and_cut_to_a_line(ready, caplog):
    driver = ready()
    driver.post(
        Informed(ServerError("error", message="x" * 1000)),
        Informed(ServerError("error", error_type="llm_timeout")),
        Informed(ServerError("client_error")),
    )
    assert [record.message for record in caplog.records] == [
        "the server reports an error: " + "x" * 500,
        "the server reports an error: llm_timeout",
        "the server reports an error: no text",
    ]


def test_dropped_audio_is_reported(ready, caplog):
    ready().post(Informed(UplinkDropped(1.5)))
    assert "the network is slower than the microphone" in caplog.text


def test_each_diagnostic_is_counted_and_a_repeated_one_is_no_warning_again(ready, caplog):
    driver = ready()
    caplog.set_level(logging.DEBUG, "convsm.session")
    driver.post(*[Malformed("audio", "event_id", "missing")] * 3, Malformed("ping", "event_id", "missing"))
    assert driver.diagnostics == 4
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG", "DEBUG", "WARNING"]


def test_a_server_that_goes_on_is_no_warning_for_ever(ready, caplog, monkeypatch):
    monkeypatch.setattr(diagnostics_module, "DIAGNOSTIC_LIMIT", 3)
    driver = ready()
    driver.post(*[Malformed("audio", f"field {number}", "missing") for number in range(10)])
    assert driver.diagnostics == 10
    assert len(caplog.records) == 3


def test_what_comes_at_the_wrong_time_is_a_diagnostic(ready, caplog):
    driver = ready()
    driver.post(SocketOpened())
    assert driver.diagnostics == 1
    assert "SocketOpened came in state 'listening'; ignored" in caplog.text


# The end


def test_the_end_comes_even_where_no_thread_is_to_be_had_any_more(make, caplog):
    driver = make(observers={})

    def refuse():
        raise RuntimeError("can't create new thread at interpreter shutdown")

    driver._notifier._thread.start = refuse
    driver.start()
    driver.end()
    assert driver.is_over.is_set()
    assert driver.is_ready.is_set()
    assert "performing AnnounceEnd failed" in caplog.text


def test_the_end_is_told_last_and_threads_that_wait_are_released(make):
    driver = make()
    driver.start()
    ending = driver.finish()
    assert ending.reason == "user"
    assert driver.is_ready.is_set()
    assert driver.log.entries[-1] is ending
    assert [entry.target for entry in driver.log.entries[:-1]] == ["connecting", "closing", "idle"]
