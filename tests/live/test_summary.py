"""The closing table, from sessions that nobody held."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from convsm.live.summary import Interruption, Summary
from convsm.machine.table import STATES
from convsm.observation.session_metrics import SessionMetrics

NAMES = [state.name for state in STATES]

SECONDS = {"connecting": 0.5, "listening": 3.5, "agent_speaking": 3.0, "closing": 0.25}


def test_the_table_shows_all_that_was_measured():
    summary = Summary(
        SessionMetrics(
            seconds_in=SECONDS,
            messages_received=1000,
            bytes_received=2_000_000,
            messages_sent=30,
            bytes_sent=400,
        ),
        Interruption(0.00012, 0.0004),
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
        "silenced        0.40 ms after the agent began to send the message, 0.12 ms after",
        "                it was taken in (a WAV file is silent at once, a sound card in",
        "                some 5 ms)",
        "messages        1,000 in, 30 out",
        "bytes           2,000,000 in, 400 out (payload of the messages)",
        "speech heard    heard.wav",
    ]


def test_interruptions_that_came_to_nothing_are_told():
    lines = Summary(SessionMetrics(interruptions=1, false_interruptions=2), None).text().splitlines()
    assert "interruptions   1 in all, and 2 that only paused" in lines
    assert not any(
        line.startswith("interruptions") for line in Summary(SessionMetrics(), None).text().split("\n")
    )


def test_a_long_path_is_wrapped_beside_its_label():
    path = "/" + "long" * 30
    first, second = Summary(SessionMetrics(), None, [("recording", path)]).text().splitlines()[-2:]
    assert first == f"recording       {path[:64]}"
    assert second == f"                {path[64:]}"


@given(st.dictionaries(st.sampled_from(NAMES), st.floats(0, 100_000)))
def test_the_table_can_be_made_of_any_session_and_fits_the_page(seconds):
    text = Summary(SessionMetrics(seconds_in=seconds), None).text("█░")
    assert max(map(len, text.splitlines())) <= 80
    assert "silenced" not in text


def test_an_interruption_by_the_user_is_measured_from_the_event_only():
    text = Summary(SessionMetrics(), Interruption(0.00012, None)).text()
    assert "silenced 0.12 ms after it was taken in (" in " ".join(text.split())


def test_an_interruption_that_was_heard_here_first_is_told_as_the_time_it_gained():
    text = Summary(SessionMetrics(), Interruption(0.00012, -0.4)).text()
    assert text.splitlines()[-4:-2] == [
        "silenced        0.12 ms after it was suspected, 0.40 s before the agent said so",
        "                (a WAV file is silent at once, a sound card in some 65 ms)",
    ]
