"""What the keys do to a conversation with an agent on this machine, at times that the test says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from convsm import Conversation, ElevenLabs, RefusedCommand
from convsm.live.controls import Controls, PushToTalk
from convsm.live.narrator import Narrator
from convsm.live.timeline import Timeline
from convsm.testing import LoopbackAgent, UserSaid
from convsm.turns.events import SpeechStarted
from tests.audio.sound_card import PATIENCE, wait_until
from tests.live.streams import Stream
from tests.live.test_view import Card

MANUAL = {"turn_detection": "manual"}


class Sitting:
    """Somebody at the keys of an open conversation."""

    def __init__(self, conversation: Conversation, agent: LoopbackAgent, kind: type[Controls]) -> None:
        self.conversation = conversation
        self.agent = agent
        self.stream = Stream()
        self.card = Card()
        self.controls = kind(Narrator(Timeline(self.stream)), self.card, has_turns=True)

    def press(self, key: str, at: float = 0.0) -> None:
        self.controls.press(key, at, self.conversation)

    def attend(self, at: float) -> None:
        self.controls.attend(at, self.conversation)

    def is_answered(self) -> bool:
        self.attend(3.0)
        return self.remark() != "awaiting words"

    def begin_and_end(self) -> None:
        self.press(" ", 0.0)
        self.press(" ", 1.0)
        self.attend(2.0)
        assert self.remark() == "awaiting words"

    def hear(self, words: str) -> None:
        self.agent.connections[0].send(UserSaid(words))

    def is_held(self) -> bool:
        return self.conversation.user_state == "speaking"

    def remark(self) -> str:
        return self.controls.remark(self.conversation)

    @property
    def shown(self) -> str:
        return " ".join(self.stream.getvalue().split())


@contextmanager
def sitting(
    handling: dict[str, Any], controls: type[Controls], kind: type[Conversation] = Conversation
) -> Iterator[Sitting]:
    with LoopbackAgent() as agent:
        conversation = kind(
            ElevenLabs(base_url=agent.base_url), "agent", requires_auth=False, turn_handling=handling
        )
        with conversation:
            yield Sitting(conversation, agent, controls)


@pytest.fixture
def person() -> Iterator[Sitting]:
    with sitting(MANUAL, PushToTalk) as made:
        yield made


# Push-to-talk


def test_the_first_press_begins_the_turn_and_the_second_ends_it(person: Sitting):
    person.press(" ", 0.0)
    person.attend(60.0)
    assert person.is_held()
    assert person.remark() == "you hold the turn"
    person.press(" ", 60.0)
    person.attend(60.1)
    assert person.is_held(), "it may be the first repeat of a key that is held down"
    person.attend(60.2)
    assert not person.is_held()
    assert "holds the turn and is heard" in person.shown
    assert person.shown.endswith("ends the turn")


@pytest.mark.parametrize("period", [0.03, 0.1])
def test_a_key_that_is_held_down_holds_the_turn_until_it_is_let_go(person: Sitting, period: float):
    person.press(" ", 0.0)
    person.attend(0.0)
    at = 0.5
    while at < 4.0:
        person.press(" ", at)
        person.attend(at + period / 2)
        at += period
    assert person.is_held()
    person.attend(at + 0.3)
    assert not person.is_held()
    assert person.shown.count("holds the turn") == person.shown.count("ends the turn") == 1


def test_repeats_that_come_all_at_once_are_a_key_that_is_held_down(person: Sitting):
    for _ in range(7):
        person.press(" ", 1.0)
    person.attend(1.1)
    assert person.is_held()
    person.attend(1.4)
    assert not person.is_held()


@pytest.mark.parametrize("key", ["c", "\x7f", "\b"])
def test_a_turn_that_is_given_up_is_none(person: Sitting, key: str):
    person.press(key)
    assert person.shown == "", "there was none"
    person.press(" ")
    person.press(key)
    assert not person.is_held()
    assert person.shown.endswith("gives the turn up")
    person.press(" ", 9.0)
    assert person.is_held(), "the next press begins another"


def test_words_are_awaited_until_they_come(person: Sitting):
    person.begin_and_end()
    person.hear("What time is it?")
    wait_until(lambda: person.conversation.agent_state == "thinking", "the words")
    person.attend(3.0)
    assert person.remark() == "agent thinks"
    assert "no words" not in person.shown


def test_that_no_words_came_is_told(person: Sitting):
    person.begin_and_end()
    person.hear("")
    wait_until(person.is_answered, "the answer")
    assert person.shown.endswith("note no words came of that turn")


def test_words_of_a_turn_that_is_given_up_are_not_awaited(person: Sitting):
    person.begin_and_end()
    person.press("c")
    person.attend(3.0)
    assert person.remark() == ""
    assert person.shown.endswith("gives the turn up")


def test_a_turn_may_begin_while_the_words_of_the_one_before_are_awaited(person: Sitting):
    person.begin_and_end()
    person.press(" ", 3.0)
    assert person.remark() == "you hold the turn"
    person.attend(60.0)
    assert person.is_held()


def test_a_turn_that_nobody_hears_is_told(person: Sitting):
    person.press("m")
    person.press(" ")
    assert "holds the turn but is muted" in person.shown
    person.press("m")
    assert person.is_held()


def test_what_is_refused_is_a_line():
    conversation = Conversation(ElevenLabs(), "agent", requires_auth=False, turn_handling=MANUAL)
    stream = Stream()
    controls = PushToTalk(Narrator(Timeline(stream)), Card(), has_turns=True)
    controls.press(" ", 0.0, conversation)
    assert "note Session not started: start_user_turn" in " ".join(stream.getvalue().split())
    assert controls.remark(conversation) == ""


class Refusing(Conversation):
    """Ends no turn by hand."""

    def commit_user_turn(self, *arguments: Any, **options: Any) -> Future[str]:
        raise RefusedCommand("commit_user_turn", "closing", (), "not any more")


def test_a_turn_whose_end_is_refused_goes_on_and_that_is_told_once():
    with sitting(MANUAL, PushToTalk, Refusing) as person:
        person.press(" ", 0.0)
        person.press(" ", 1.0)
        for at in (2.0, 3.0, 4.0):
            person.attend(at)
        assert person.is_held()
        assert person.shown.count("note not any more") == 1


# Barge-in


def test_a_user_who_mutes_while_speaking_speaks_no_longer():
    with sitting({}, Controls) as person:
        assert person.conversation._driver is not None
        person.conversation._driver._inbox.post(SpeechStarted(time.monotonic()))
        wait_until(lambda: person.remark() == "you speak", "the speech", PATIENCE)
        person.press("m")
        wait_until(lambda: person.remark() == "", "the end of the speech", PATIENCE)
        assert person.card.muted
