"""Endpointing: golden vectors of the reference, the table of its own tests, and what it gets wrong."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.turns.endpointing import DelayEstimate
from convsm.turns.options import Endpointing


def estimate(min_delay: float, max_delay: float, alpha: float, mode: str = "dynamic") -> DelayEstimate:
    return DelayEstimate(
        Endpointing(mode=mode, min_delay=min_delay, max_delay=max_delay, alpha=alpha)  # type: ignore[arg-type]
    )


def with_pause(delays: DelayEstimate, pause: float) -> DelayEstimate:
    """Let the user go on after a pause; the numbers of the clock are small, so that they stay exact."""
    delays = attrs.evolve(delays, user_end=0.0)
    return delays.user_started(pause).user_ended(pause + 1)


def close(value: float) -> object:
    return pytest.approx(value, abs=1e-9)


def test_g1_pauses_within_a_turn_are_learned():
    delays, found = estimate(0.3, 2.5, 0.9), []
    for _ in range(5):
        delays = with_pause(delays, 0.8)
        found.append(delays.min_delay)
    assert found == [close(value) for value in (0.35, 0.395, 0.4355, 0.47195, 0.504755)]


def test_g2_short_pauses_lead_back_to_the_floor():
    delays = estimate(0.3, 2.5, 0.9)
    for pause in [0.8] * 5 + [0.1] * 10:
        delays = with_pause(delays, pause)
    assert delays.min_delay == close(0.3)


def test_g3_an_immediate_interruption_is_learned():
    delays = estimate(0.3, 1, 0.5).user_ended(100.0).agent_started(100.15)
    assert delays.user_started(100.4, True).user_ended(100.9).min_delay == close(0.35)


def test_g4_a_late_interruption_is_not_learned():
    delays = estimate(0.3, 1, 0.5).user_ended(100).agent_started(100.3)
    assert delays.user_started(101.0, True).user_ended(101.5).min_delay == close(0.3)


def test_g5_what_is_learned_is_clamped():
    delays = estimate(0.3, 1, 0.5).user_ended(100).user_started(105).user_ended(106)
    assert delays.min_delay == close(1.0)


def test_g6_speech_of_the_agent_in_between_is_no_pause():
    delays = estimate(0.3, 1, 0.5).user_ended(100).agent_started(100.5).agent_ended(101)
    delays = delays.user_started(101.5).user_ended(102)
    assert delays.min_delay == close(0.3)
    assert delays.user_started(102.6).user_ended(103).min_delay == close(0.45)


def test_g7_an_alpha_of_one_never_learns():
    assert with_pause(estimate(0.3, 1, 1.0), 0.9).min_delay == close(0.3)


def test_g8_a_minimum_above_the_maximum_counts_as_equal():
    delays = estimate(0.3, 1, 0.5)
    delays = delays.updated(attrs.evolve(delays.options, min_delay=1.5))
    assert delays.min_delay == close(1.0)


def test_g9_the_maximum_clamps_on_reading_and_a_new_minimum_starts_anew():
    delays = with_pause(estimate(0.3, 1, 0.5), 1.0)
    found = [delays.min_delay]
    changes: list[dict[str, Any]] = [{"max_delay": 0.5}, {"max_delay": 1.0}, {"min_delay": 0.2}]
    for change in changes:
        delays = delays.updated(attrs.evolve(delays.options, **change))
        found.append(delays.min_delay)
    assert found == [close(value) for value in (0.65, 0.5, 0.65, 0.2)]


def test_g10_the_rest_of_the_agents_speech_is_no_pause_of_the_user():
    delays = estimate(0.3, 1.4, 0.7).agent_started(0).user_started(0.5, True).user_ended(1)
    delays = delays.agent_ended(5).user_started(6).user_ended(8)
    assert delays.min_delay == close(0.3)


@pytest.mark.parametrize(
    ("agent", "is_overlapping", "is_backchannel", "user_start", "is_learned"),
    [
        ("none", False, False, 100.4, True),
        ("none", False, True, 100.4, True),
        ("none", True, False, 100.4, False),
        ("ended", False, False, 100.4, False),
        ("ended", False, True, 100.4, False),
        ("active", True, False, 100.4, True),
        ("active", True, True, 100.5, False),
        ("active", True, True, 100.3, True),
        ("active", False, False, 100.4, True),
    ],
)
def test_what_is_learned_with_the_agent_in_between(
    agent, is_overlapping, is_backchannel, user_start, is_learned
):
    delays = estimate(0.3, 1, 0.5).user_ended(100.0)
    if agent != "none":
        delays = delays.agent_started(100.15)
    if agent == "ended":
        delays = delays.agent_ended(100.2)
    delays = delays.user_started(user_start, is_overlapping).user_ended(100.9, is_backchannel)
    # Longer than the floor only if the pause of 0.4 s or 0.3 s counted.
    pause = user_start - 100.0
    expected = 0.5 * 0.3 + 0.5 * pause if is_learned else 0.3
    assert delays.min_delay == close(max(expected, 0.3))
    assert delays.max_delay == 1


def test_a_backchannel_is_forgotten():
    delays = estimate(0.3, 1, 0.5).user_ended(99.9).agent_started(100).user_started(101, True)
    delays = delays.user_ended(101.2, is_backchannel=True)
    assert (delays.user_start, delays.user_end, delays.agent_start) == (None, None, 100)


def test_a_second_start_in_an_overlap_changes_nothing():
    delays = estimate(0.3, 1, 0.5).agent_started(100).user_started(101, True)
    assert delays.user_started(102, True) is delays


def test_an_utterance_whose_end_is_missing_ended_before_the_agent_began():
    delays = estimate(0.3, 1, 0.5).user_started(98).user_ended(99).user_started(100).agent_started(101)
    assert delays.user_started(101.3, True).user_end == close(100.999)


def test_another_alpha_keeps_what_was_learned():
    delays = with_pause(estimate(0.3, 1, 0.5), 1.0)
    assert delays.updated(attrs.evolve(delays.options, alpha=0.9)).min_delay == close(0.65)


def test_fixed_delays_never_learn():
    assert with_pause(estimate(0.3, 1, 0.5, "fixed"), 0.9).min_delay == 0.3


moments = st.floats(0, 100)
steps = st.lists(
    st.tuples(
        st.sampled_from(("user_started", "user_ended", "agent_started", "agent_ended")),
        moments,
        st.booleans(),
    ),
    max_size=30,
)


@given(steps, st.floats(0, 3), st.floats(0, 3), st.floats(0.01, 1))
def test_what_is_learned_stays_between_the_bounds(taken, one, other, alpha):
    low, high = sorted((one, other))
    delays = estimate(low, high, alpha)
    for name, at, flag in taken:
        step = getattr(delays, name)
        delays = step(at, flag) if name.startswith("user") else step(at)
        assert low <= delays.min_delay <= delays.max_delay == high
