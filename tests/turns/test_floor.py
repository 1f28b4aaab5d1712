"""The floor, taken from a user who does not stop: the usual answer to UserTurnExceeded."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from convsm.machine.effects import Flush, PauseAudio
from convsm.machine.events import (
    End,
    UserTranscript,
)
from convsm.turns.effects import CompleteTurn
from convsm.turns.events import (
    CommitUserTurn,
    InterruptAgent,
    SpeechEnded,
    SpeechStarted,
    StartUserTurn,
    TakeFloor,
)
from convsm.turns.reports import UserTurnCommitted
from tests.turns.stage import COMMIT, FLOOR, REPLY, SERVER, SERVER_OWNED, Stage, handling, near


@pytest.fixture(params=[True, False], ids=["one response at a time", "asked at once"])
def asks(request: Any) -> bool:
    """Whether the server says of its responses when they begin and end."""
    return bool(request.param)


def committed(stage: Stage) -> list[tuple[str, float]]:
    return [(turn.transcript, turn.known_at) for turn in stage.facts(UserTurnCommitted)]


def test_l_the_open_turn_ends_as_it_stands_and_the_agent_speaks_over_the_user(asks):
    stage = Stage(handling(), reply=3.0, asks_replies=asks).at(0.6, SpeechStarted(0.5))
    stage.at(2.0, UserTranscript("and then")).at(4.0, TakeFloor(FLOOR)).at(6.0, SpeechEnded(5.8)).run(12)
    assert committed(stage) == [("and then", 4.0)]
    assert (stage.sent(COMMIT), stage.sent(FLOOR), stage.sent(REPLY)) == (near(4.0), near(4.0), [])
    assert stage.when(CompleteTurn, skip_reply=True) == near(4.0)
    assert [time for _, time in stage.agent_path()] == near(4.0, 4.5, 7.5)
    assert [name for name, _ in stage.agent_path()] == ["thinking", "speaking", "listening"]
    assert stage.when(PauseAudio) == stage.when(Flush) == []
    assert stage.taking.turn.promises == []


def test_a_turn_whose_end_is_awaited_and_one_held_by_hand_end_too():
    stage = Stage(handling(endpointing={"min_delay": 3.0})).user(0.5, 1.0, "so")
    stage.at(2.0, TakeFloor(FLOOR)).run(9)
    assert committed(stage) == [("so", 2.0)]
    stage = Stage(handling(turn_detection="manual")).at(0.5, StartUserTurn()).at(2.0, TakeFloor(FLOOR)).run(9)
    assert committed(stage) == [("", 2.0)]
    assert (stage.sent(COMMIT), stage.sent(FLOOR)) == (near(2.0), near(2.0))


def test_words_that_were_kept_for_the_next_turn_are_kept_on():
    stage = Stage(handling(interruption={"enabled": False}), reply=None).agent(0.1, 3.0)
    stage.user(0.5, 1.5, "and what about").at(4.0, TakeFloor(FLOOR)).run(5)
    assert (committed(stage), stage.sent(FLOOR)) == ([], near(4.0))
    stage.user(8.0, 9.0, "tomorrow").run(10)
    assert committed(stage) == [("and what about tomorrow", 9.5)]


def test_without_an_open_turn_the_agent_is_only_asked_to_speak():
    stage = Stage(handling()).at(1.0, TakeFloor(FLOOR)).run(9)
    assert (stage.sent(COMMIT), stage.sent(FLOOR)) == ([], near(1.0))
    owning = attrs.evolve(SERVER, commit=None)
    stage = Stage(handling(turn_detection="server"), owning).at(0.5, SpeechStarted(0.4))
    stage.at(1.0, TakeFloor(FLOOR)).run(2.0)
    assert (committed(stage), stage.sent(FLOOR)) == ([], near(1.0))
    assert stage.taking.turn.is_agent_protected(InterruptAgent())


def test_what_was_paused_for_the_user_is_given_up():
    stage = Stage(handling(), reply=2.0, asks_replies=True).agent(0.5, 9.0).at(1.1, SpeechStarted(1.0))
    stage.at(4.0, TakeFloor(FLOOR)).run(9)
    assert stage.when(PauseAudio) == near(1.5)
    assert stage.when(Flush) == near(4.0)
    assert stage.sent(FLOOR) == near(4.0)


@pytest.mark.parametrize("is_twice", [False, True])
def test_nothing_happens_where_the_agent_has_the_floor_or_cannot_be_asked(is_twice):
    floor = [TakeFloor(FLOOR)] * (2 if is_twice else 1)
    stages = [
        Stage(handling(turn_detection="server"), SERVER_OWNED).at(1.0, *floor),
        Stage(handling(), reply=None).agent(0.5, 5.0).at(1.0, *floor),
        Stage(handling(), reply=None).user(0.1, 0.5, "so").at(1.1, *floor),
        Stage(handling()).at(0.5, End()).at(1.0, *floor),
    ]
    for stage in stages:
        stage.run(2.0)
        assert stage.sent(FLOOR) == []


def test_taking_the_floor_twice_is_taking_it_once(asks):
    stage = Stage(handling(), asks_replies=asks).at(1.0, TakeFloor(FLOOR)).at(1.2, TakeFloor(FLOOR)).run(9)
    assert stage.sent(FLOOR) == near(1.0)


def test_a_turn_that_is_over_without_a_reply_is_followed_by_one(asks):
    stage = Stage(handling(), asks_replies=asks).at(0.6, SpeechStarted(0.5)).at(1.0, UserTranscript("so"))
    stage.at(2.0, TakeFloor(FLOOR)).at(8.0, TakeFloor(FLOOR)).run(12)
    assert stage.sent(FLOOR) == near(2.0, 8.0)


def test_a_turn_that_is_over_and_not_to_be_replied_to_is_answered_all_the_same():
    stage = Stage(handling(turn_detection="manual"), hook_delay=None).at(0.5, StartUserTurn())
    stage.at(1.0, CommitUserTurn(1, skip_reply=True)).at(1.2, UserTranscript("so")).at(2.0, TakeFloor(FLOOR))
    assert stage.run(9).sent(FLOOR) == near(2.0)
    # Where it is to be replied to, the agent speaks soon.
    stage = Stage(handling(turn_detection="manual"), hook_delay=None).at(0.5, StartUserTurn())
    stage.at(1.0, CommitUserTurn(1)).at(1.2, UserTranscript("so")).at(2.0, TakeFloor(FLOOR))
    assert stage.run(9).sent(FLOOR) == []
