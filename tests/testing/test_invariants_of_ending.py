"""The invariants of a session's end find what they are there to find."""

from __future__ import annotations

import attrs
import pytest

from convsm.machine import effects, events
from convsm.testing.invariants import (
    EndIsAnnouncedOnce,
    EndReachesIdle,
    IdleHoldsNothing,
    SendsOnlyWhileOpen,
    check_all,
)
from tests.helpers import AUDIO
from tests.testing.recorded_steps import CALL, ENDED, START, fails, spoil, steps, with_, without

# 2


def test_a_closing_session_that_no_timer_would_end_is_found():
    taken = steps(*START, events.End())
    step = spoil(taken[-1], *taken[-1].effects, timers={})
    fails(EndReachesIdle, taken, step, "no timer, or more than 4, would end the session")


def test_an_end_that_moves_away_is_found():
    taken = steps(*START, events.End(), events.SocketClosed(1000))
    step = spoil(taken[-1], socket="closing", audio="on", handed=1, timers={"drain": 7, "close": 8})
    fails(EndReachesIdle, taken, step, "the end moved away")


def test_a_timer_that_fires_and_brings_the_end_no_nearer_is_found():
    taken = steps(*START, events.End(), events.TimerFired("close", 2))
    step = spoil(taken[-1], *taken[-1].effects, socket="closing")
    fails(EndReachesIdle, taken, step, "a timer fired and the end is no nearer")


def test_an_open_session_that_end_would_not_end_soon_is_found(monkeypatch):
    monkeypatch.setattr(EndReachesIdle, "firings_after_end", 1)
    with pytest.raises(AssertionError, match="after End more than 1 timers would have to fire"):
        check_all(steps(*START), [EndReachesIdle])


# 3


@pytest.mark.parametrize(
    "kept",
    [
        effects.OpenSocket(),
        effects.StartAudio("pcm_16000", "pcm_16000"),
        effects.SetTimer("close", 1.0, 9),
        effects.RunTool("call_1", "weather", {}, True),
    ],
)
def test_whatever_idle_still_holds_is_found(kept):
    taken = steps(*ENDED)
    fails(IdleHoldsNothing, taken, with_(taken[-1], kept), "it still has IdleHoldsNothing(")


def test_a_failed_connection_a_fired_timer_and_an_ended_tool_hold_nothing():
    check_all(steps(events.Start(), events.ConnectionFailed("refused"), events.TimerFired("close", 2)))
    check_all(steps(*START, CALL, events.ToolCompleted("call_1", "rain"), *ENDED[len(START) :]))
    check_all(steps(*START, CALL, *ENDED[len(START) :]))


# 4


def test_an_end_that_is_not_announced_or_twice_is_found():
    taken = steps(*ENDED)
    fails(
        EndIsAnnouncedOnce,
        taken,
        without(taken[-1], effects.AnnounceEnd),
        "it was not announced, or not once",
    )
    fails(
        EndIsAnnouncedOnce,
        taken,
        with_(taken[-1], taken[-1].effects[-1]),
        "it was not announced, or not once",
    )
    fails(
        EndIsAnnouncedOnce,
        taken[:-1],
        with_(taken[-2], taken[-1].effects[-1]),
        "it was announced by another row than the one into idle",
    )
    with pytest.raises(AssertionError, match="or not once"):
        check_all([*taken, *taken], [EndIsAnnouncedOnce])


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"reason": "agent"}, "the first cause was ('user', None, None, None)"),
        ({"close_code": 1000}, "the first cause was ('user', None, None, None)"),
        ({"close_reason": "bye"}, "the first cause was ('user', None, None, None)"),
        ({"status": 403}, "the first cause was ('user', None, None, None)"),
        ({"was_ready": False}, "it tells wrongly what the server had accepted, or gives no message"),
        ({"message": ""}, "it tells wrongly what the server had accepted, or gives no message"),
    ],
)
def test_a_wrong_cause_is_found(changes, detail):
    taken = steps(*ENDED)
    *rest, end = taken[-1].effects
    fails(EndIsAnnouncedOnce, taken, spoil(taken[-1], *rest, attrs.evolve(end, **changes)), detail)


@pytest.mark.parametrize(
    "cause",
    [
        (events.SocketClosed(1000, "bye"),),
        (events.SocketClosed(1006, ""),),
        (events.AudioFailed("unplugged"), events.SocketClosed(1000)),
        (events.AgentHungUp(), events.SocketClosed(1011)),
        (events.AgentHungUp(), events.TimerFired("hang_up", 2), events.SocketClosed(1011)),
    ],
)
def test_every_cause_is_known(cause):
    check_all(steps(*START, *cause, events.AudioStopped()))


def test_causes_before_the_acceptance_are_known():
    check_all(steps(events.Start(), events.ConnectionFailed("no", 403), events.TimerFired("close", 2)))
    check_all(steps(events.Start(), events.TimerFired("ready", 1), events.ConnectionFailed("no")))


# 10


def test_what_is_sent_before_the_socket_opened_is_found():
    taken = steps(events.Start())
    step = with_(taken[-1], effects.Transmit("early"))
    fails(SendsOnlyWhileOpen, taken, step, "something was sent outside")


def test_what_is_sent_before_the_opening_or_instead_of_it_is_found():
    taken = steps(*START[:2])
    detail = "the opening goes once, and first"
    fails(SendsOnlyWhileOpen, taken, spoil(taken[-1], effects.Transmit("early")), detail)
    fails(SendsOnlyWhileOpen, taken, with_(taken[-1], effects.SendOpening()), detail)


def test_what_is_sent_in_closing_is_found():
    taken = steps(*START, events.End(), events.Pinged(1))
    step = with_(taken[-1], effects.Transmit(effects.Pong(1)))
    fails(SendsOnlyWhileOpen, taken, step, "something was sent outside")
    step = with_(taken[-2], effects.TransmitAudio(AUDIO))
    fails(SendsOnlyWhileOpen, taken[:-1], step, "something was sent outside")


def test_sockets_and_close_frames_beyond_the_one_are_found():
    taken = steps(events.Start())
    step = with_(taken[-1], effects.OpenSocket())
    fails(SendsOnlyWhileOpen, taken, step, "a second socket was opened")
    taken = steps(*START, events.End())
    step = with_(taken[-1], effects.CloseSocket())
    fails(SendsOnlyWhileOpen, taken, step, "the close frame goes once, on entering closing")
    taken = steps(*START)
    step = with_(taken[-1], effects.DropSocket())
    fails(SendsOnlyWhileOpen, taken, step, "the socket is dropped once, in closing")
