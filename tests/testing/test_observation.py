"""Looking at a session from outside changes nothing in it."""

from __future__ import annotations

import pytest

from convsm.machine import ROWS, Session
from convsm.machine.events import End, Pinged, Send, SocketOpened, Start, ToolCalled
from convsm.testing.observation import ObservedStep, perform, row_for, snapshot
from convsm.testing.world import World
from tests.helpers import connecting_session, drive, ready_session
from tests.machine.sequences import walk


def test_a_snapshot_is_equal_and_goes_its_own_way():
    session = connecting_session()
    drive(session, Send("held"), ToolCalled("call_1", "weather"))
    twin = snapshot(session)
    assert twin == session
    drive(twin, Send("more"), ToolCalled("call_2", "weather"), End())
    assert (session.held, session.calls, session.seen_calls, set(session.timers)) == (
        ["held"],
        {"call_1": True},
        {"call_1"},
        {"ready"},
    )


def test_a_snapshot_of_a_world_is_independent_too():
    world = World()
    twin = snapshot(world)
    twin.note(Start(), Session().handle(Start()))
    assert (world.socket, twin.socket) == ("none", "opening")


def test_the_row_of_an_event_is_the_one_that_is_taken():
    def compare(session, event):
        row, before = row_for(session, event), session.state
        effects = session.handle(event)
        assert row is not None or len(effects) == 1
        assert session.state == (before if row is None or row.target is None else row.target)
        return effects

    for seed in range(50):
        walk(seed, compare, noise=0.3)


def test_an_event_that_would_be_refused_has_no_row():
    assert row_for(Session(), Pinged(1)) is None
    assert row_for(Session(), Start()) is ROWS[0]


def test_a_refused_command_performs_nothing():
    session = ready_session()
    assert perform(session, Start()) == ()
    assert perform(session, Pinged(1)) == ready_session().handle(Pinged(1))


@pytest.mark.parametrize(("event", "is_refused"), [(Start(), False), (SocketOpened(), True)])
def test_a_step_knows_its_row(event, is_refused):
    session = Session()
    before = snapshot(session)
    step = ObservedStep(before, event, session.handle(event), session)
    assert (step.row is None) == is_refused
