"""Away, transcription timeout and turn limit, on a virtual clock."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from convsm.machine.events import Interrupt, Send, ToolCalled, UserTranscript
from convsm.turns.events import (
    ClearUserTurn,
    InterimTranscript,
    SpeechStarted,
    TakeFloor,
)
from convsm.turns.reports import UserStateChanged, UserTranscriptionTimeout, UserTurnExceeded
from tests.turns.stage import COMMIT, FLOOR, SERVER_OWNED, Stage, handling, near


def away(stage: Stage) -> list[float]:
    return [one.known_at for one in stage.facts(UserStateChanged) if one.new_state == "away"]


def owned(**settings: Any) -> Stage:
    return Stage(handling(turn_detection="server", **settings), SERVER_OWNED)


# Away


def test_silence_on_both_sides_is_being_away_once():
    stage = owned(user_away_timeout=3.0).run(20)
    assert away(stage) == near(3.0)


def test_the_agent_puts_it_off_and_does_not_bring_the_user_back():
    stage = owned(user_away_timeout=3.0).agent(2.0, 2.0).agent(9.0, 1.0).run(30)
    assert away(stage) == near(7.0)


def test_speech_brings_the_user_back():
    stage = owned(user_away_timeout=3.0).user(5.0, 6.0).run(8.0)
    assert [one.new_state for one in stage.facts(UserStateChanged)] == ["away", "speaking", "listening"]


def test_s21_final_words_put_it_off_and_interim_ones_do_not():
    stage = owned(user_away_timeout=3.0).at(2.0, InterimTranscript("uh")).run(4)
    assert away(stage) == near(3.0)
    stage = owned(user_away_timeout=3.0).at(2.0, UserTranscript("hello")).run(7.9)
    assert away(stage) == []


def test_a_user_whom_nobody_answers_is_away_in_the_end():
    stage = owned(user_away_timeout=3.0).at(2.0, UserTranscript("hello")).run(20)
    assert away(stage) == near(8.0)


def test_never_away_without_a_timeout():
    assert away(owned(user_away_timeout=None).run(100)) == []


# Words that do not come


def timeouts(stage: Stage) -> list[tuple[float, float, float]]:
    found = stage.facts(UserTranscriptionTimeout)
    return [(one.known_at, one.speech_duration, one.speech_started_at) for one in found]


def rows(*expected: tuple[float, float, float]) -> list[Any]:
    return [pytest.approx(one, abs=0.02) for one in expected]


def waiting(**settings: Any) -> Stage:
    return owned(transcription_timeout=2.0, **settings)


def test_t1_a_noise_is_told():
    assert timeouts(waiting().user(0.5, 2.5).run(9)) == rows((4.5, 2.0, 0.5))


def test_t2_words_in_time_are_not():
    assert timeouts(waiting().user(0.5, 2.5, "hello").run(9)) == []


def test_t3_interim_words_do_not_count():
    assert len(timeouts(waiting().user(0.5, 2.5).at(2.0, InterimTranscript("uh")).run(9))) == 1


def test_t4_it_is_off_unless_asked_for():
    assert timeouts(owned().user(0.5, 2.5).run(9)) == []


def test_t5_it_holds_while_a_protected_agent_speaks():
    stage = waiting(interruption={"enabled": False}).agent(0.1, 8.0).user(0.5, 2.5).run(9)
    assert timeouts(stage) == rows((4.5, 2.0, 0.5))


def test_t7_bursts_add_up():
    assert timeouts(waiting().user(0.5, 1.5).user(2.0, 3.0).run(9)) == rows((5.0, 2.0, 0.5))


def test_t8_a_second_burst_is_told_with_the_first():
    assert timeouts(waiting().user(0.5, 1.5).user(5.0, 6.0).run(12)) == rows((3.5, 1.0, 0.5), (8.0, 2.0, 0.5))


def test_clearing_the_turn_ends_the_wait():
    assert timeouts(waiting().user(0.5, 2.5).at(3.5, ClearUserTurn()).run(9)) == []


# Turns that become too long


def exceeded(stage: Stage) -> list[UserTurnExceeded]:
    return stage.facts(UserTurnExceeded)


TEN = "one two three four five six seven eight nine ten"


def test_l1_too_many_words_are_told_once():
    stage = owned(user_turn_limit={"max_words": 5}).user(0.5, 2.0, TEN).user(3.0, 4.0, TEN).run(9)
    [fact] = exceeded(stage)
    assert (fact.accumulated_word_count, fact.transcript) == (10, TEN)
    assert [fact.known_at] == near(2.2)
    assert fact.duration == pytest.approx(1.7, abs=0.02)


def test_l2_a_monologue_without_words_is_told_too():
    stage = owned(user_turn_limit={"max_duration": 3.0}).at(0.55, SpeechStarted(0.5)).run(9)
    assert [fact.known_at for fact in exceeded(stage)] == near(3.5)


def test_l3_there_is_no_limit_unless_asked_for():
    assert exceeded(owned().user(0.5, 60.0, TEN * 20).run(70)) == []


def test_l4_speech_of_the_agent_starts_the_count_anew():
    stage = owned(user_turn_limit={"max_words": 5}).user(0.5, 1.5, "one two three").agent(2.5, 1.0)
    assert exceeded(stage.user(5.0, 6.0, "one two three").run(9)) == []


def test_l5_so_does_clearing_the_turn():
    stage = owned(user_turn_limit={"max_words": 5}).user(0.5, 1.5, "one two three")
    assert exceeded(stage.at(3.0, ClearUserTurn()).user(5.0, 6.0, "one two three").run(9)) == []


def test_l6_it_adds_up_over_turns_that_nobody_answered():
    stage = owned(user_turn_limit={"max_words": 5}).user(0.5, 1.5, "one two three")
    [fact] = exceeded(stage.user(4.0, 5.0, "four five six").run(9))
    assert (fact.transcript, fact.accumulated_transcript) == ("four five six", "one two three four five six")


def test_tools_and_calls_leave_the_timers_of_the_conversation_alone():
    stage = (
        owned(user_away_timeout=3.0).agent(0.5, 5.0).at(1.0, ToolCalled("call_1", "x")).at(2.0, Interrupt())
    )
    stage.run(3.9)
    assert "settle" in stage.timers
    stage.run(4.1)
    assert stage.taking.state == "tool_running"


def test_t6_a_server_that_tells_no_words_is_not_waited_for():
    silent = attrs.evolve(SERVER_OWNED, user_transcripts=False)
    stage = Stage(handling(turn_detection="server", transcription_timeout=2.0), silent).user(0.5, 2.5).run(9)
    assert timeouts(stage) == []


def test_l7_the_report_has_the_turn_all_that_was_said_and_for_how_long():
    stage = owned(user_turn_limit={"max_words": 5}).user(0.5, 1.5, "one two three").user(4.0, 5.0, TEN)
    [fact] = exceeded(stage.run(9))
    assert fact.transcript == TEN
    assert fact.accumulated_transcript == f"one two three {TEN}"
    assert fact.accumulated_word_count == 13
    assert [fact.duration, fact.occurred_at, fact.known_at] == near(4.7, 5.2, 5.2)


def test_the_usual_answer_to_it_is_that_the_agent_takes_the_floor():
    limit = {"max_duration": 3.0}
    stage = Stage(handling(user_turn_limit=limit), reply=2.0).at(0.55, SpeechStarted(0.5))
    stage.at(2.0, UserTranscript("and so on")).run(3.5)
    assert len(exceeded(stage)) == 1
    stage.post(TakeFloor(FLOOR))
    stage.run(9)
    assert (stage.sent(COMMIT), stage.sent(FLOOR)) == (near(3.5), near(3.5))
    # Counted anew once the agent was heard.
    stage.user(10.0, 11.0, "and more").run(14)
    assert len(exceeded(stage)) == 1


def test_a_noise_opens_no_turn_that_could_become_too_long():
    stage = owned(user_turn_limit={"max_duration": 5.0}).user(0.5, 0.7).user(20.0, 22.0, "Hello").run(24)
    assert exceeded(stage) == []


def test_a_turn_that_is_over_does_not_become_too_long_unless_the_user_goes_on():
    stage = owned(user_turn_limit={"max_duration": 5.0}).user(0.5, 2.0, "Hello").run(9)
    assert exceeded(stage) == []
    [fact] = exceeded(stage.user(10.0, 11.0, "are you there").run(12))
    assert fact.accumulated_transcript == "Hello"
    assert [fact.duration] == near(9.55)


def test_words_that_come_behind_their_sound_count_from_its_beginning():
    stage = owned(user_turn_limit={"max_words": 2}).user(0.5, 2.0, "Hello there", stt_delay=1.0).run(9)
    assert [fact.duration for fact in exceeded(stage)] == near(2.5)


def test_late_words_of_a_turn_that_the_agent_replies_to_do_not_count_for_the_next():
    stage = owned(user_turn_limit={"max_words": 5}).user(0.5, 2.0, "one two three", stt_delay=2.0)
    assert exceeded(stage.agent(3.0, 4.0).user(8.0, 9.0, "four five six").run(12)) == []


def test_whoever_writes_is_not_away():
    stage = owned(user_away_timeout=3.0).at(2.0, Send("Hello", "turn")).at(9.0, Send("Hello?", "turn"))
    stage.at(11.0, Send("a picture's name", "message")).run(20)
    changes = [(one.new_state, one.known_at) for one in stage.facts(UserStateChanged)]
    assert [name for name, _ in changes] == ["away", "listening", "away"]
    assert [time for _, time in changes] == near(5.0, 9.0, 12.0)
