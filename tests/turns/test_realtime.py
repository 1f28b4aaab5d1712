"""A server that ends turns and interrupts by itself: what is told of it, and what stays here."""

from __future__ import annotations

import attrs
import pytest

from convsm.machine.effects import Flush, PauseAudio, ResumeAudio
from convsm.machine.events import Interrupted, ResponseEnded, ResponseStarted, ToolCalled, ToolCompleted
from convsm.turns import WordListClassifier
from convsm.turns.events import InterruptAgent, RequestAgentReply, SpeechEnded, SpeechStarted, TurnReleased
from convsm.turns.reports import (
    AgentFalseInterruption,
    UserInterruptionDetected,
    UserStateChanged,
    UserTurnCommitted,
)
from convsm.turns.server import TurnServer
from tests.turns.stage import FLOOR, REPLY, SERVER, SERVER_OWNED, Stage, handling, near


def owned(**settings: object) -> Stage:
    """Return a stage whose server ends the turns; the agent speaks from 1.0 to 11.0."""
    return Stage(handling(turn_detection="server", **settings), SERVER_OWNED).agent(1.0, 10.0)


def interruptions(stage: Stage) -> list[tuple[bool, float, float]]:
    found = stage.facts(UserInterruptionDetected)
    return [(one.is_tentative, one.occurred_at, one.known_at) for one in found]


# Interruptions that the server declares


def test_an_interruption_that_only_the_server_heard_is_told_when_it_is_declared():
    stage = owned().at(5.0, Interrupted(2, 2)).run(9)
    assert stage.when(Flush) == near(5.0)
    assert interruptions(stage) == [(False, 5.0, 5.0)]


def test_speech_that_was_heard_here_dates_it():
    stage = owned().user(4.8, 6.0).at(5.0, Interrupted(2, 2)).run(9)
    assert interruptions(stage) == [(False, 4.8, 5.0)]


def test_speech_from_before_the_agent_began_does_not():
    stage = owned().user(0.1, 0.6, silence=0.2).at(5.0, Interrupted(2, 2)).run(9)
    assert interruptions(stage) == [(False, 5.0, 5.0)]


def test_what_was_told_as_tentative_is_not_told_again():
    stage = owned().user(4.0, 6.0).at(5.0, Interrupted(2, 2)).run(9)
    assert stage.when(PauseAudio) == near(4.5)
    assert interruptions(stage) == [(True, 4.0, 4.5)]


def test_an_interruption_by_hand_is_not_the_users_and_a_late_one_of_the_servers_cuts_nothing():
    stage = owned().at(5.0, InterruptAgent()).at(5.1, Interrupted(2, 2)).run(9)
    assert interruptions(stage) == []


def test_an_interruption_of_nobody_is_not_told():
    stage = owned().at(0.5, Interrupted(1, 1)).run(0.9)
    assert interruptions(stage) == []


# Protected speech, tools, and settings


def test_speech_that_the_server_hears_leaves_a_protected_agent_alone():
    server = attrs.evolve(SERVER, speech_events=True)
    stage = Stage(handling(), server, reply=5.0, asks_replies=True)
    stage.at(0.5, RequestAgentReply(FLOOR, allow_interruptions=False))
    stage.at(2.0, SpeechStarted(1.9, "server")).at(3.0, SpeechEnded(2.9, "server")).run(9)
    assert stage.when(Flush) == stage.when(PauseAudio) == []
    # Where nothing is protected it would pause.
    stage = Stage(handling(), server, reply=None).agent(1.0, 5.0)
    stage.at(2.0, SpeechStarted(1.9, "server")).at(3.0, SpeechEnded(2.9, "server")).run(9)
    assert stage.when(PauseAudio) == near(2.4)


def test_a_server_that_interrupts_all_the_same_ends_the_protection():
    stage = Stage(handling(), reply=5.0, asks_replies=True)
    stage.at(0.5, RequestAgentReply(FLOOR, allow_interruptions=False)).at(2.0, Interrupted(1, 2)).run(3.0)
    assert stage.when(Flush) == near(2.0)
    assert stage.taking.turn.promises == []
    assert interruptions(stage) == [(False, 2.0, 2.0)]


def test_an_interruption_before_any_sound_leaves_the_agent_listening():
    stage = Stage(handling(), reply=None, asks_replies=True).at(0.5, RequestAgentReply(REPLY))
    stage.at(0.7, ResponseStarted(1)).at(1.0, Interrupted(1, 2)).at(1.2, ResponseEnded(1, "cancelled")).run(5)
    assert list(stage.agent_path()) == [("thinking", *near(0.5)), ("listening", *near(1.0))]
    assert interruptions(stage) == []


def test_filler_speech_during_a_tool_keeps_the_user_from_being_away():
    stage = Stage(handling(turn_detection="server", user_away_timeout=3.0), SERVER_OWNED)
    stage.at(0.5, ToolCalled("call_1", "slow")).agent(2.0, 1.0).at(9.0, ToolCompleted("call_1", "done")).run(
        20
    )
    assert list(stage.agent_path()) == [
        ("thinking", *near(0.5)),
        ("speaking", *near(2.0)),
        ("thinking", *near(3.0)),
        ("listening", *near(9.0)),
    ]
    away = [one.known_at for one in stage.facts(UserStateChanged) if one.new_state == "away"]
    assert away == near(12.0)


def test_a_backchannel_that_the_server_takes_for_an_interruption_is_one():
    stage = Stage(handling(turn_detection="server"), SERVER_OWNED, WordListClassifier()).agent(1.0, 10.0)
    stage.user(5.0, 5.8, "uh-huh").at(7.0, Interrupted(2, 2)).run(9)
    assert stage.when(PauseAudio) == near(5.5)
    assert len(stage.facts(AgentFalseInterruption)) == 1
    assert stage.when(Flush) == near(7.0)
    # What began before the agent went on did not interrupt it.
    assert interruptions(stage) == [(True, 5.0, 5.5), (False, 7.0, 7.0)]


def test_words_that_come_while_a_noise_holds_back_the_reply_to_them_do_not_cut_it():
    stage = Stage(handling(turn_detection="server"), SERVER_OWNED).user(0.5, 2.0, "Hello", stt_delay=1.3)
    stage.user(3.0, 3.3).agent(3.2, 2.0).run(12)
    assert (stage.when(Flush), stage.when(ResumeAudio)) == ([], near(3.8))
    assert [stage.speaker.position] == near(2.0)
    assert [turn.transcript for turn in stage.facts(UserTurnCommitted)] == ["Hello"]
    assert list(stage.agent_path())[-2:] == [("speaking", *near(3.8)), ("listening", *near(5.8))]


# Noises while the agent is about to reply

ASKED = TurnServer(speech_events=True, reply=REPLY)


def test_a_noise_while_the_agent_thinks_leaves_it_thinking():
    stage = Stage(handling(turn_detection="server"), SERVER_OWNED).user(0.5, 2.0, "Hello").user(3.0, 3.3)
    stage.agent(5.0, 2.0).run(12)
    assert list(stage.agent_path()) == [
        ("thinking", *near(2.5)),
        ("speaking", *near(5.0)),
        ("listening", *near(7.0)),
    ]


def test_a_reply_that_does_not_come_behind_a_noise_is_not_waited_for_for_ever():
    stage = Stage(handling(turn_detection="server"), SERVER_OWNED).user(0.5, 2.0, "Hello").user(3.0, 3.3)
    stage.run(30)
    assert list(stage.agent_path()) == [("thinking", *near(2.5)), ("listening", *near(3.8 + 15.0))]


@pytest.mark.parametrize("delay", [0.7, 3.0])
def test_a_noise_while_the_program_is_asked_about_a_turn_loses_no_reply(delay):
    stage = Stage(handling(turn_detection="server"), ASKED, hook_delay=delay)
    stage.user(0.5, 2.0, "Hello").user(3.0, 3.3).run(12)
    # The turn was told at 2.5, and the noise was over at 3.8.
    assert stage.sent(REPLY) == near(max(2.5 + delay, 3.8))
    assert [name for name, _ in stage.agent_path()] == ["thinking", "speaking", "listening"]


def test_words_while_the_program_is_asked_about_a_turn_are_replied_to_once():
    stage = Stage(handling(turn_detection="server"), ASKED, hook_delay=1.0)
    stage.user(0.5, 2.0, "Hello").user(3.0, 4.0, "and more").run(12)
    assert stage.sent(REPLY) == near(4.5 + 1.0)


def test_no_reply_is_waited_for_behind_a_noise_if_the_program_wants_none():
    stage = Stage(handling(turn_detection="server"), ASKED, hook_delay=None)
    stage.user(0.5, 2.0, "Hello").user(3.0, 3.3).at(3.2, TurnReleased(1, wants_reply=False)).run(12)
    assert stage.sent(REPLY) == []
    assert list(stage.agent_path()) == [("thinking", *near(2.5)), ("listening", *near(3.2))]
