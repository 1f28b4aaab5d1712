"""The closing table, from changes of state that nobody lived through."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from convsm.live.observing import Traffic
from convsm.live.summary import Interruption, Summary, seconds_in_states
from convsm.machine.effects import StateChanged
from convsm.machine.table import STATES

NAMES = [state.name for state in STATES]

CHANGES = [
    StateChanged("idle", "connecting", "Start", 100.0),
    StateChanged("connecting", "listening", "SessionReady", 100.5),
    StateChanged("listening", "agent_speaking", "AgentAudio", 102.0),
    StateChanged("agent_speaking", "listening", "Played", 105.0),
    StateChanged("listening", "closing", "End", 107.0),
    StateChanged("closing", "idle", "AudioStopped", 107.25),
]


@st.composite
def changes(draw):
    at, source, result = 0.0, "idle", []
    for target in draw(st.lists(st.sampled_from(NAMES), max_size=20)):
        at += draw(st.floats(0, 1000))
        result.append(StateChanged(source, target, "Event", at))
        source = target
    return result


def test_time_in_a_state_is_summed_over_its_visits():
    assert seconds_in_states(CHANGES) == {
        "idle": 0.0,
        "connecting": 0.5,
        "listening": 3.5,
        "agent_speaking": 3.0,
        "interrupted": 0.0,
        "tool_running": 0.0,
        "closing": 0.25,
    }


@given(changes())
def test_times_in_the_states_add_up_to_the_whole(history):
    seconds = seconds_in_states(history)
    assert list(seconds) == NAMES
    whole = history[-1].at - history[0].at if history else 0.0
    assert abs(sum(seconds.values()) - whole) < 1e-6


def test_the_table_shows_all_that_was_measured():
    summary = Summary(
        CHANGES,
        Interruption(0.00012, 0.0004),
        Traffic(1000, 2_000_000, 30, 400),
        [("speech heard", "heard.wav")],
    )
    assert summary.text().splitlines() == [
        "state            seconds   share",
        "connecting          0.50      7%  ####",
        "listening           3.50     48%  ##############################",
        "agent_speaking      3.00     41%  ##########################",
        "interrupted         0.00      0%",
        "tool_running        0.00      0%",
        "closing             0.25      3%  ##",
        "in all              7.25",
        "",
        "interruption    silenced 0.40 ms after the agent began to send the message, 0.12",
        "                ms after it was taken in (a WAV file is silent at once, a sound",
        "                card in some 5 ms)",
        "messages        1,000 in, 30 out",
        "bytes           2,000,000 in, 400 out (payload of the messages)",
        "speech heard    heard.wav",
    ]


def test_a_long_path_is_wrapped_beside_its_label():
    path = "/" + "long" * 30
    first, second = Summary([], None, Traffic(), [("recording", path)]).text().splitlines()[-2:]
    assert first == f"recording       {path[:64]}"
    assert second == f"                {path[64:]}"


@given(changes())
def test_the_table_can_be_made_of_any_history_and_fits_the_page(history):
    text = Summary(history, None, Traffic()).text("█░")
    assert max(map(len, text.splitlines())) <= 80
    assert "interruption" not in text


def test_an_interruption_by_the_user_is_measured_from_the_event_only():
    text = Summary([], Interruption(0.00012, None), Traffic()).text()
    assert "silenced 0.12 ms after it was taken in (" in " ".join(text.split())
