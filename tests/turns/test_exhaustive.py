"""Every state and datum that a user's turn can have beside a conversation, and every event there."""

from __future__ import annotations

import functools

import attrs
import pytest

from convsm.turns import TurnHandling, TurnServer
from convsm.turns.table import STATES
from tests.turns.search import Search
from tests.turns.sequences import LISTENER, READER
from tests.turns.stage import SERVER, SERVER_OWNED, handling

ASKED = attrs.evolve(SERVER, protocol="one response at a time")
CONFIGURATIONS: dict[str, tuple[TurnHandling, TurnServer]] = {
    "the server's turns": (handling(turn_detection="server", aec_warmup_duration=3.0), SERVER_OWNED),
    "this side's turns": (handling(), SERVER),
    "few words": (handling(interruption={"min_words": 3}), SERVER),
    "never interrupted": (handling(interruption={"enabled": False}), SERVER),
    "never paused": (handling(interruption={"resume_false_interruption": False}), SERVER),
    "a detector that reads": (handling(turn_detection=READER), SERVER),
    "a detector that listens": (handling(turn_detection=LISTENER), SERVER),
    "recognition": (handling(turn_detection="stt"), attrs.evolve(SERVER, speech_events=True)),
    "replies that are asked for": (handling(), ASKED),
    "by hand, the server's turns": (handling(turn_detection="manual"), SERVER_OWNED),
    "by hand": (handling(turn_detection="manual"), attrs.evolve(SERVER, transcribes_open_turns=False)),
}
QUICK = ("the server's turns", "this side's turns", "recognition", "by hand")
in_every_configuration = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in CONFIGURATIONS],
)


@functools.cache
def search(name: str) -> Search:
    """Search a configuration once; what must hold everywhere is checked on every edge."""
    settings, server = CONFIGURATIONS[name]
    return Search.of(settings, server, asks_replies=server is ASKED)


@in_every_configuration
def test_nothing_is_left_undecided_or_unanswered_anywhere(name):
    assert search(name).edges > 1_000


@in_every_configuration
def test_every_state_is_reached_that_can_be(name):
    found = {node.taking.turn.state for node in search(name).nodes}
    missing = {state.name for state in STATES} - found
    # Where the server or the program ends turns, this side never waits for the end of one.
    settings, _ = CONFIGURATIONS[name]
    assert missing == ({"endpointing"} if settings.is_servers or settings.is_manual else set())
