"""The world keeps the adapter contract that it models."""

from __future__ import annotations

from random import Random

import pytest

from convsm.machine import Session, SessionOptions
from convsm.machine.events import (
    COMMANDS,
    EVENTS,
    AgentAudio,
    AudioFailed,
    AudioStarted,
    AudioStopped,
    ConnectionFailed,
    End,
    Event,
    Interrupted,
    Pinged,
    Played,
    ResponseEnded,
    ResponseRefused,
    ResponseStarted,
    Send,
    SessionReady,
    SocketClosed,
    SocketOpened,
    Start,
    TimerFired,
    ToolCalled,
    ToolCompleted,
    UserAudio,
)
from convsm.testing.world import World
from tests.helpers import AUDIO, READY
from tests.machine.sequences import walk

START = (Start(), SocketOpened(), READY, AudioStarted())


def lead(*events: Event, is_prompt: bool = True, **options: bool) -> tuple[Session, World]:
    """Return a session and its world after events that the world offered."""
    session, world = Session(SessionOptions(**options)), World(is_prompt=is_prompt)
    for event in events:
        assert world.offer(type(event)), f"{event} is not on offer"
        world.note(event, session.handle(event))
    return session, world


def test_commands_are_always_on_offer_and_nothing_else_before_start():
    world = World()
    assert {kind for kind in EVENTS.values() if world.offer(kind)} == set(COMMANDS)
    assert world.owed() == [Start()]


def test_an_opening_socket_opens_or_fails():
    _, world = lead(Start())
    assert world.offer(SocketOpened) == (SocketOpened(),)
    assert {event.status for event in world.offer(ConnectionFailed)} == {None, 403}
    assert not world.offer(SocketClosed)
    assert not world.offer(Pinged)
    assert world.owed() == [SocketOpened()]


def test_an_open_socket_brings_frames_until_it_is_closed_once():
    session, world = lead(Start(), SocketOpened())
    assert world.offer(Pinged)
    assert not world.offer(SocketOpened)
    assert not world.offer(ConnectionFailed)
    assert world.owed() == [SessionReady("conversation_1")]
    assert [event.code for event in world.offer(SocketClosed)] == list(world.close_codes)
    world.note(SocketClosed(), session.handle(SocketClosed()))
    assert not world.offer(SocketClosed)
    assert not world.offer(Pinged)


def test_an_attempt_that_was_given_up_may_still_open():
    _, world = lead(Start(), End())
    assert world.offer(SocketOpened)
    assert world.offer(ConnectionFailed)


def test_an_audio_interface_starts_once_and_may_fail_until_it_stopped():
    _, world = lead(*START[:3])
    assert world.offer(AudioStarted)
    assert world.offer(AudioFailed)
    assert not world.offer(AudioStopped)
    assert not world.offer(UserAudio)
    _, world = lead(*START)
    assert not world.offer(AudioStarted)
    assert world.offer(UserAudio)
    _, world = lead(*START, End())
    assert world.offer(AudioStopped)
    _, world = lead(*START, End(), AudioStopped())
    assert not world.offer(AudioStopped)
    assert not world.offer(AudioFailed)


def test_a_stop_may_overtake_a_start_and_a_failed_start_is_an_answer():
    _, world = lead(*START[:3], End(), AudioStopped())
    assert not world.offer(AudioStarted)
    _, world = lead(*START[:3], AudioFailed("busy"))
    assert not world.offer(AudioStarted)
    assert world.offer(AudioStopped)


def test_reports_never_go_back_nor_beyond_and_survive_a_flush():
    session, world = lead(*START, *[AgentAudio(AUDIO, 1)] * 5)
    assert world.offer(Played) == [Played(number) for number in (2, 3, 4, 5)]
    world.note(Played(4), session.handle(Played(4)))
    assert world.offer(Played) == [Played(4), Played(5)]
    world.note(Interrupted(2, 2), session.handle(Interrupted(2, 2)))
    assert world.offer(Played) == [Played(4), Played(5)]
    assert not lead(*START)[1].offer(Played)


def test_a_tool_completes_once_and_after_its_cancelling_too():
    session, world = lead(*START, ToolCalled("call_1", "tool"), End())
    assert session.calls == {}
    [done, failed] = world.offer(ToolCompleted)
    assert (done, failed) == (ToolCompleted("call_1", "done"), ToolCompleted("call_1", "done", True))
    world.note(done, session.handle(done))
    assert not world.offer(ToolCompleted)


def test_a_timer_fires_once_and_perhaps_after_it_was_cancelled_or_replaced():
    session, world = lead(*START)
    assert world.offer(TimerFired) == [TimerFired("ready", 1)]
    world.note(TimerFired("ready", 1), session.handle(TimerFired("ready", 1)))
    assert not world.offer(TimerFired)
    cuts = (AgentAudio(AUDIO, 1), Interrupted(2, 2), Interrupted(3, 3))
    _, world = lead(*START, *cuts)
    assert world.timers == frozenset({("settle", 3)})
    assert world.late_timers == frozenset({("ready", 1), ("settle", 2)})


def test_a_prompt_world_answers_before_the_close_timer_gives_it_up():
    def closes(*events: Event, is_prompt: bool = True) -> bool:
        _, world = lead(*events, is_prompt=is_prompt)
        return any(event.name == "close" for event in world.offer(TimerFired))

    drop = TimerFired("close", 2)
    assert closes(*START, End())
    assert not closes(*START, End(), SocketClosed())
    assert closes(*START, End(), SocketClosed(), is_prompt=False)
    assert not closes(*START, End(), AudioStopped(), drop)
    assert closes(*START, End(), AudioStopped(), drop, is_prompt=False)
    assert closes(Start(), ConnectionFailed("refused"))


def test_turns_are_offered_around_the_highest_cut():
    world = World(socket="open")
    assert {event.fresh_from for event in world.offer(Interrupted)} == {0, 1, 2}
    world.note(Interrupted(7, 7), ())
    world.note(Interrupted(3, 3), ())
    assert {event.turn for event in world.offer(AgentAudio)} == {6, 7, 8}


@pytest.mark.parametrize("events", [START, (*START, AgentAudio(AUDIO, 1)), START[:1], START[:2]])
def test_a_session_is_settled_by_its_end_and_the_answers(events):
    session, world = lead(*events)
    taken = world.settle(session)
    assert taken[0] == End()
    assert len(taken) <= 5
    assert (session.state, session.timers, world.timers) == ("idle", {}, frozenset())


def test_a_session_that_does_not_settle_fails():
    session, world = lead(*START)
    with pytest.raises(AssertionError, match="did not reach idle within 2 events"):
        world.settle(session, limit=2)
    with pytest.raises(AssertionError, match="waits in 'closing', but nothing is owed to it"):
        World().settle(Session(state="closing"))


def test_a_random_event_is_one_that_is_on_offer():
    random, world = Random(0), World()
    session = Session()
    for _ in range(300):
        event = world.pick(random)
        assert event in world.offer(type(event))
        try:
            world.note(event, session.handle(event))
        except RuntimeError:
            continue


def test_the_same_seed_gives_the_same_sequence():
    def path(seed: int) -> list[Event]:
        taken: list[Event] = []

        def collect(session, event):
            taken.append(event)
            return session.handle(event)

        walk(seed, collect)
        return taken

    assert path(3) == path(3)
    assert path(3) != path(4)


def test_a_server_that_replies_when_asked_generates_one_response_at_a_time():
    def offers(world: World) -> set[type[Event]]:
        kinds = (ResponseStarted, ResponseEnded, ResponseRefused)
        return {kind for kind in kinds if world.offer(kind)}

    session, world = Session(SessionOptions(asks_replies=True)), World(asks_replies=True)
    for event, expected in (
        (Start(), set()),
        (SocketOpened(), {ResponseStarted}),
        (READY, {ResponseStarted}),
        (Send("hello", "turn"), {ResponseStarted, ResponseRefused}),
        (ResponseStarted(1), {ResponseEnded, ResponseRefused}),
        (ResponseRefused(is_busy=True), {ResponseEnded}),
        (ResponseEnded(1), {ResponseStarted, ResponseRefused}),
        (SocketClosed(), set()),
    ):
        world.note(event, session.handle(event))
        assert offers(world) == expected, event
    assert not offers(lead(*START)[1])


def test_only_a_server_that_replies_when_asked_names_items():
    _, world = lead(*START)
    assert {audio.item for audio in world.offer(AgentAudio)} == {None}
    world = World(asks_replies=True, socket="open")
    assert None not in {audio.item for audio in world.offer(AgentAudio)}
    assert {cut.is_cancelled for cut in world.offer(Interrupted)} == {True, False}
