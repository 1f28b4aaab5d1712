from __future__ import annotations

import json
from typing import Any

import pytest

from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    AudioFailed,
    AudioStopped,
    End,
    Interrupt,
    Interrupted,
    InterruptionDismissed,
    InterruptionSuspected,
    Malformed,
    Pinged,
    Played,
    Send,
    SessionReady,
    SocketClosed,
    SocketOpened,
    Start,
    TextPart,
    TimerFired,
    ToolCalled,
    ToolCompleted,
    UserAudio,
    UserTranscript,
)
from convsm.observation import Measured, Metrics, Series, SessionMeasured, SessionMetrics
from convsm.observation.series import SeriesCollector
from convsm.protocols.messages import ContextualUpdate, MultimodalMessage, UserMessage
from tests.observation.steps import Watched, watch

AUDIO = b"\1\0"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def voice(metrics: Metrics) -> Watched:
    return watch(metrics)


def test_readiness_is_measured_from_the_start(metrics):
    watched = Watched(metrics)
    watched.steps(10.0, Start())
    watched.steps(10.25, SocketOpened())
    assert metrics.snapshot().seconds_to_ready is None
    watched.steps(10.5, SessionReady("conversation_1"), SessionReady("again"))
    assert watched.told == [Measured("seconds_to_ready", 0.5)]
    assert metrics.snapshot().seconds_to_ready == 0.5
    assert metrics.snapshot().diagnostics == 1


def test_a_response_is_measured_from_the_transcript_to_the_first_audio(voice, metrics):
    voice.steps(1.0, UserTranscript("Hello", 2), AgentResponse("Hi", 2))
    voice.steps(1.5, AgentAudio(b"", 2), AgentAudio(AUDIO, 2), AgentAudio(AUDIO, 2))
    voice.steps(2.0, Played(2), UserTranscript("And?"))
    voice.steps(2.75, AgentAudio(AUDIO, 3), AgentAudio(AUDIO, 4))
    assert voice.told == [Measured("response_seconds", 0.5), Measured("response_seconds", 0.75)]
    responses = metrics.snapshot().response_seconds
    assert (responses.values, responses.last, responses.median) == ((0.5, 0.75), 0.75, 0.625)


@pytest.mark.parametrize("played", [(), (Played(1),)])
def test_an_answer_that_began_before_its_transcript_came_is_not_measured(voice, metrics, played):
    voice.steps(1.0, AgentAudio(AUDIO, 2), *played, UserTranscript("late", 2))
    voice.steps(2.0, AgentAudio(AUDIO, 2), AgentAudio(AUDIO, 3))
    assert metrics.snapshot().response_seconds.count == 0


@pytest.mark.parametrize("turn", [3, None])
def test_what_the_agent_was_saying_is_no_answer(voice, metrics, turn):
    voice.steps(1.0, AgentAudio(AUDIO, 2), UserTranscript("mhm", turn))
    voice.steps(2.0, AgentAudio(AUDIO, 2))
    voice.steps(3.0, AgentAudio(AUDIO, 3))
    assert metrics.snapshot().response_seconds.values == (2.0,)


def test_an_interruption_is_measured_until_the_interface_is_silent(voice, metrics):
    voice.steps(1.0, AgentAudio(AUDIO, 1))
    voice.steps(2.0, Interrupted(2, 2))
    assert metrics.note_silenced(2.25) == (Measured("interruption_seconds", 0.25),)
    assert metrics.note_silenced(3.0) == ()
    found = metrics.snapshot()
    assert (found.interruptions, found.interruption_seconds.values) == (1, (0.25,))


def test_an_interruption_of_nothing_audible_is_none(voice, metrics):
    voice.steps(1.0, Interrupted(2, 2))
    assert metrics.note_silenced(1.25) == ()
    assert metrics.snapshot().interruptions == 0


@pytest.mark.parametrize("later", [Interrupted(3, 3), End(), AudioFailed("interrupt raised")])
def test_an_interruption_that_never_got_silent_is_not_measured_by_another_silence(voice, metrics, later):
    voice.steps(1.0, AgentAudio(AUDIO, 1), Interrupted(2, 2))
    voice.steps(5.0, later)
    assert metrics.note_silenced(5.5) == ()


@pytest.mark.parametrize("event", [Interrupt(), Send("hello", "turn")])
def test_an_interruption_from_this_side_is_one(metrics, event):
    voice = watch(metrics, asks_replies=True)
    voice.steps(1.0, AgentAudio(AUDIO, 1))
    voice.steps(2.0, event)
    assert metrics.note_silenced(2.25) == (Measured("interruption_seconds", 0.25),)
    assert metrics.snapshot().interruptions == 1


# Tentative interruptions


CONFIRMATIONS = [Interrupted(2, 2), Interrupt(), AgentAudio(AUDIO, 2)]


def counts(metrics: Metrics) -> tuple[int, int, int]:
    found = metrics.snapshot()
    return found.agent_turns, found.interruptions, found.false_interruptions


def test_a_false_interruption_is_counted_apart_and_its_turn_goes_on(voice, metrics):
    voice.steps(1.0, AgentAudio(AUDIO, 1))
    voice.steps(2.0, InterruptionSuspected())
    assert metrics.note_silenced(2.01) == ()
    voice.steps(2.5, AgentAudio(AUDIO, 1))
    voice.steps(3.0, InterruptionDismissed(), AgentAudio(AUDIO, 1))
    voice.steps(4.0, Played(3))
    assert counts(metrics) == (1, 0, 1)
    assert voice.told == []
    assert metrics.note_silenced(5.0) == ()
    seconds_in = metrics.snapshot().seconds_in
    assert (seconds_in["agent_speaking"], seconds_in["interrupted"]) == (2.0, 1.0)


@pytest.mark.parametrize("event", CONFIRMATIONS)
def test_a_confirmed_interruption_counts_once_and_was_over_when_playout_paused(voice, metrics, event):
    voice.steps(1.0, AgentAudio(AUDIO, 1))
    voice.steps(2.0, InterruptionSuspected())
    assert metrics.note_silenced(2.25) == ()
    voice.steps(3.0, event)
    assert voice.told == [Measured("interruption_seconds", 0.25)]
    assert metrics.note_silenced(3.5) == ()
    assert counts(metrics) == (1 + isinstance(event, AgentAudio), 1, 0)
    assert metrics.snapshot().interruption_seconds.values == (0.25,)


def test_a_pause_that_took_hold_too_late_is_measured_from_the_suspicion_all_the_same(voice, metrics):
    voice.steps(1.0, AgentAudio(AUDIO, 1))
    voice.steps(2.0, InterruptionSuspected())
    voice.steps(2.5, Interrupt())
    assert metrics.note_silenced(2.75) == (Measured("interruption_seconds", 0.75),)
    assert counts(metrics) == (1, 1, 0)


def test_more_speech_than_may_wait_confirms(metrics):
    voice = watch(metrics, pause_limit=0)
    voice.steps(1.0, AgentAudio(AUDIO, 1), InterruptionSuspected(), AgentAudio(AUDIO, 1))
    assert counts(metrics) == (1, 1, 0)


def test_one_turn_may_be_held_up_again_and_again(voice, metrics):
    voice.steps(1.0, AgentAudio(AUDIO, 1))
    for at in (2.0, 3.0):
        voice.steps(at, InterruptionSuspected())
        voice.steps(at + 0.5, InterruptionDismissed())
    voice.steps(4.0, InterruptionSuspected(), Interrupt())
    assert counts(metrics) == (1, 1, 2)


@pytest.mark.parametrize("end", [End(), SocketClosed(1000), AudioFailed("unplugged")])
@pytest.mark.parametrize("needs_audio", [False, True])
def test_what_the_end_or_a_fault_cuts_during_a_pause_is_no_interruption(metrics, end, needs_audio):
    voice = watch(metrics, needs_audio=needs_audio)
    voice.steps(1.0, AgentAudio(AUDIO, 1), InterruptionSuspected())
    voice.steps(2.0, end)
    assert metrics.note_silenced(2.5) == ()
    assert counts(metrics) == (1, 0, 0)
    assert voice.told == []


@pytest.mark.parametrize("settles", [False, True])
def test_a_turn_that_was_heard_out_before_the_pause_took_hold_was_not_interrupted(voice, metrics, settles):
    voice.steps(1.0, AgentAudio(AUDIO, 1))
    voice.steps(2.0, InterruptionSuspected())
    voice.steps(2.5, Played(1))
    if settles:
        voice.steps(2.5, TimerFired("settle", voice.session.timers["settle"]))
    voice.steps(3.0, AgentAudio(AUDIO, 1))
    assert counts(metrics) == (1, 0, 0)
    assert voice.told == [Measured("gap_seconds", 0.5)]
    assert metrics.note_silenced(4.0) == ()


def test_speech_that_is_held_back_takes_the_floor_when_it_is_let_through(voice, metrics):
    voice.steps(1.0, UserTranscript("Hello", 1))
    voice.steps(2.0, InterruptionSuspected())
    voice.steps(3.0, AgentAudio(AUDIO, 2), AgentAudio(AUDIO, 2))
    assert counts(metrics) == (0, 0, 0)
    voice.steps(4.0, InterruptionDismissed())
    assert counts(metrics) == (1, 0, 0)
    assert voice.told == [Measured("response_seconds", 3.0)]


def test_speech_that_is_held_back_and_never_heard_was_neither_said_nor_cut(voice, metrics):
    voice.steps(1.0, UserTranscript("Hello", 1), InterruptionSuspected(), AgentAudio(AUDIO, 2))
    voice.steps(2.0, Interrupt())
    assert counts(metrics) == (0, 0, 0)
    voice.steps(3.0, UserTranscript("Stop", 3))
    voice.steps(3.5, AgentAudio(AUDIO, 4))
    assert voice.told == [Measured("response_seconds", 0.5)]
    assert counts(metrics) == (1, 0, 0)


def test_a_turn_that_ran_dry_and_was_held_up_goes_on(voice, metrics):
    voice.steps(1.0, AgentAudio(AUDIO, 1), Played(1), InterruptionSuspected())
    voice.steps(2.0, AgentAudio(AUDIO, 1))
    voice.steps(3.0, InterruptionDismissed(), Played(2))
    voice.steps(4.0, InterruptionSuspected(), AgentAudio(AUDIO, 2), InterruptionDismissed())
    assert counts(metrics) == (2, 0, 0)
    assert metrics.snapshot().gap_seconds.count == 0


@pytest.mark.parametrize("turn", [3, None])
def test_what_is_paused_is_no_answer_to_what_is_said_meanwhile(voice, metrics, turn):
    voice.steps(1.0, AgentAudio(AUDIO, 2), InterruptionSuspected(), UserTranscript("mhm", turn))
    voice.steps(2.0, AgentAudio(AUDIO, 2), InterruptionDismissed(), AgentAudio(AUDIO, 2))
    voice.steps(3.0, AgentAudio(AUDIO, 3))
    assert metrics.snapshot().response_seconds.values == (2.0,)


def test_a_gap_is_the_time_the_loudspeaker_was_dry_within_a_turn(voice, metrics):
    voice.steps(1.0, AgentAudio(AUDIO, 1))
    voice.steps(2.0, Played(1))
    voice.steps(2.5, AgentAudio(AUDIO, 1))
    voice.steps(3.0, Played(2))
    voice.steps(4.0, AgentAudio(AUDIO, 2))
    assert voice.told == [Measured("gap_seconds", 0.5)]
    found = metrics.snapshot()
    assert (found.gap_seconds.values, found.gap_seconds.total, found.agent_turns) == ((0.5,), 0.5, 2)


@pytest.mark.parametrize(
    "between",
    [
        (UserTranscript("Hm", 1),),
        (ToolCalled("call_1", "weather"), ToolCompleted("call_1", "sun")),
        (ToolCalled("call_1", "note", {}, False),),
        (Interrupted(1, 1),),
        (Send(UserMessage("go on")),),
    ],
)
def test_a_pause_in_which_something_happened_is_no_gap(voice, metrics, between):
    voice.steps(1.0, AgentAudio(AUDIO, 1), Played(1), *between)
    voice.steps(2.0, AgentAudio(AUDIO, 1))
    assert metrics.snapshot().gap_seconds.count == 0
    assert metrics.snapshot().agent_turns == 2


def test_speech_that_waits_for_a_tool_has_no_gap(voice, metrics):
    voice.steps(1.0, ToolCalled("call_1", "weather"), AgentAudio(AUDIO, 1), Played(1))
    voice.steps(2.0, AgentAudio(AUDIO, 1))
    assert metrics.snapshot().gap_seconds.count == 0


def test_tools_are_measured_by_name(voice, metrics):
    voice.steps(1.0, ToolCalled("call_1", "weather"), ToolCalled("call_2", "note", {}, False))
    voice.steps(1.5, ToolCompleted("call_1", "sun"), ToolCompleted("call_1", "again"))
    voice.steps(2.0, ToolCompleted("call_2", "failed", is_error=True), ToolCompleted("call_9", "unknown"))
    assert voice.told == [Measured("tools", 0.5, "weather"), Measured("tools", 1.0, "note")]
    tools = metrics.snapshot().tools
    assert (tools["weather"].seconds.values, tools["weather"].errors) == ((0.5,), 0)
    assert (tools["note"].seconds.values, tools["note"].errors) == ((1.0,), 1)


def test_a_call_that_the_end_cancelled_is_not_measured(voice, metrics):
    voice.steps(1.0, ToolCalled("call_1", "weather"), End())
    voice.steps(2.0, ToolCompleted("call_1", "late"))
    assert metrics.snapshot().tools == {}


def test_a_server_that_invents_tools_costs_no_memory(voice, metrics):
    for number in range(300):
        voice.steps(1.0, ToolCalled(str(number), str(number)), ToolCompleted(str(number), "unknown tool"))
    tools = metrics.snapshot().tools
    assert len(tools) == 257
    assert tools["(others)"].seconds.count == 44


def test_pings_are_kept_as_far_as_they_can_be_round_trips(voice, metrics):
    for latency in (None, 20, 30.5, -1.0, float("nan"), float("inf"), 10**400):
        voice.steps(1.0, Pinged(1, latency))
    assert metrics.snapshot().ping_milliseconds.values == (20, 30.5)


def test_turns_and_diagnostics_are_counted(voice, metrics):
    voice.steps(1.0, UserTranscript("a", 1), Send(UserMessage("b")), Send(MultimodalMessage("c")))
    voice.steps(1.0, Send(ContextualUpdate("no turn")), Malformed("audio", "", "bad"), SocketOpened())
    voice.steps(1.0, UserAudio(AUDIO), AgentAudio(AUDIO, 1), AgentAudio(AUDIO, 2))
    found = metrics.snapshot()
    assert (found.user_turns, found.agent_turns, found.diagnostics) == (3, 1, 2)


def test_audio_before_everything_is_a_diagnostic(metrics):
    watched = Watched(metrics)
    watched.steps(0.0, AgentAudio(AUDIO, 1), Start(), UserAudio(AUDIO), AgentAudio(AUDIO, 1))
    assert metrics.snapshot().diagnostics == 3


def test_a_streamed_response_takes_the_floor(metrics):
    text = watch(metrics, text_only=True)
    text.steps(1.0, TextPart("start"), TextPart("stop"), TextPart("start"))
    assert metrics.snapshot().agent_turns == 2


def test_what_comes_and_goes_is_counted(metrics):
    metrics.note_received(10)
    metrics.note_received(5)
    metrics.note_sent(7)
    found = metrics.snapshot()
    assert (found.messages_received, found.bytes_received) == (2, 15)
    assert (found.messages_sent, found.bytes_sent) == (1, 7)


def test_time_is_counted_by_state(voice, metrics):
    voice.steps(2.0, AgentAudio(AUDIO, 1))
    voice.steps(3.5, Played(1))
    assert metrics.snapshot().seconds_in == {"connecting": 0.0, "listening": 2.0, "agent_speaking": 1.5}
    assert metrics.snapshot(at=4.0).seconds_in["listening"] == 2.5


def test_the_end_tells_everything_as_plain_data(voice, metrics):
    voice.steps(1.0, UserTranscript("Hello", 1), AgentAudio(AUDIO, 1), ToolCalled("call_1", "weather"))
    voice.steps(2.0, Played(1), ToolCompleted("call_1", "sun"), Pinged(1, 12), End())
    voice.steps(3.0, SocketClosed(1000), AudioStopped())
    last = voice.told[-1]
    assert last == SessionMeasured(metrics.snapshot())
    assert isinstance(last, SessionMeasured)
    assert last.metrics.seconds == 3.0
    assert metrics.snapshot(at=99.0) == last.metrics
    plain: Any = json.loads(json.dumps(last.metrics.as_dict(), allow_nan=False))
    assert plain["seconds_in"]["closing"] == 1.0
    assert plain["tools"]["weather"]["seconds"]["values"] == [1.0]
    assert plain["response_seconds"]["median"] == 0.0
    assert list(plain) == [*SessionMetrics().as_dict()]


def test_a_clock_that_runs_backwards_measures_nothing(metrics):
    voice = Watched(metrics)
    voice.steps(9.0, Start(), SocketOpened())
    voice.steps(8.0, SessionReady("conversation_1"), ToolCalled("call_1", "weather"))
    voice.steps(7.0, ToolCompleted("call_1", "sun"), UserTranscript("Hello", 1))
    voice.steps(6.0, AgentAudio(AUDIO, 1), Interrupted(2, 2))
    assert metrics.note_silenced(5.0) == ()
    assert voice.told == []


def test_a_long_series_keeps_its_last_values_and_the_count_of_all():
    collector = SeriesCollector()
    assert collector.snapshot() == Series()
    assert (Series().last, Series().mean, Series().median) == (None, None, None)
    for number in range(5000):
        collector.add(float(number))
    series = collector.snapshot()
    assert (series.count, series.longest, series.mean) == (5000, 4999.0, 2499.5)
    assert series.values == tuple(map(float, range(4000, 5000)))
