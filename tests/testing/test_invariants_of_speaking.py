"""The invariants of an open session find what they are there to find."""

from __future__ import annotations

import attrs
import pytest

from convsm.machine import effects, events
from convsm.testing.invariants import (
    ApprovalsAreAnsweredOnce,
    AudioIsHandedOverInOrder,
    EveryPingIsAnswered,
    InterruptionIsDecided,
    SpeakingIsAudible,
    ToolsAreAnsweredOnce,
    check_all,
)
from tests.helpers import AUDIO
from tests.testing.recorded_steps import CALL, SPEAK, START, fails, spoil, steps, with_, without

# 5


def test_audio_lost_doubled_or_changed_is_found():
    taken = steps(*SPEAK)
    play = effects.Play(1, AUDIO, 1)
    detail = "audio was lost, doubled, reordered or revived"
    fails(AudioIsHandedOverInOrder, taken, without(taken[-1], effects.Play), detail)
    fails(AudioIsHandedOverInOrder, taken, with_(taken[-1], play), detail)
    for changes in ({"number": 2}, {"audio": b"xy"}, {"turn": 2}):
        step = with_(without(taken[-1], effects.Play), attrs.evolve(play, **changes))
        fails(AudioIsHandedOverInOrder, taken, step, detail)


def test_audio_of_a_turn_that_was_cut_is_found():
    for fresh_froms in ((2,), (2, 1), (1, 2)):
        cuts = [events.Interrupted(turn, turn) for turn in fresh_froms]
        for came in (cuts, [events.Interrupt()]):
            taken = steps(*SPEAK, *came, events.AgentAudio(AUDIO, 1))
            step = with_(taken[-1], effects.Play(2, AUDIO, 1))
            fails(AudioIsHandedOverInOrder, taken, step, "audio was lost, doubled, reordered or revived")


def test_a_flush_that_is_missing_or_without_need_is_found():
    detail = "playout was flushed without need, or was not"
    for event in (events.Interrupted(2, 2), events.Interrupt(), events.End()):
        taken = steps(*SPEAK, event)
        fails(AudioIsHandedOverInOrder, taken, without(taken[-1], effects.Flush), detail)
    taken = steps(*SPEAK, events.SocketClosed(1000))
    fails(AudioIsHandedOverInOrder, taken, with_(taken[-1], effects.Flush()), detail)


def test_a_playout_that_is_not_begun_is_found():
    taken = steps(*START)
    detail = "playout was begun without need, or was not"
    fails(AudioIsHandedOverInOrder, taken, without(taken[-1], effects.BeginPlayout), detail)
    fails(AudioIsHandedOverInOrder, taken[:-1], with_(taken[-2], effects.BeginPlayout()), detail)


# 6


def test_a_call_not_run_or_run_again_is_found():
    taken = steps(*START, CALL)
    detail = "a call was not run, or run again"
    fails(ToolsAreAnsweredOnce, taken, without(taken[-1], effects.RunTool), detail)
    fails(ToolsAreAnsweredOnce, taken, with_(taken[-1], *taken[-1].effects[1:]), detail)


def test_a_repeated_id_without_a_diagnostic_is_found():
    taken = steps(*START, CALL, CALL)
    detail = "a repeated id gave more or less than a diagnostic"
    fails(ToolsAreAnsweredOnce, taken, spoil(taken[-1]), detail)


def test_a_result_lost_doubled_or_changed_is_found():
    taken = steps(*START, CALL, events.ToolCompleted("call_1", "rain"))
    result = effects.Transmit(effects.ToolResult("call_1", "rain"))
    detail = "a result was lost, doubled or changed"
    fails(ToolsAreAnsweredOnce, taken, without(taken[-1], effects.Transmit), detail)
    fails(ToolsAreAnsweredOnce, taken, with_(taken[-1], result), detail)
    silent = attrs.evolve(CALL, expects_response=False)
    taken = steps(*START, silent, events.ToolCompleted("call_1", "rain"))
    fails(ToolsAreAnsweredOnce, taken, with_(taken[-1], result), detail)


def test_a_call_left_open_at_closing_is_found():
    taken = steps(*START, CALL, events.End())
    detail = "an open call was not cancelled, or another was"
    fails(ToolsAreAnsweredOnce, taken, without(taken[-1], effects.CancelTool), detail)
    fails(ToolsAreAnsweredOnce, taken, with_(taken[-1], effects.CancelTool("call_2")), detail)


# 7


def test_a_pong_that_is_missing_late_or_doubled_is_found():
    taken = steps(*START, events.Pinged(3))
    pong, notify = taken[-1].effects
    for asked in (
        (notify,),
        (notify, pong),
        (pong, notify, pong),
        (effects.Transmit(effects.Pong(4)), notify),
    ):
        fails(EveryPingIsAnswered, taken, spoil(taken[-1], *asked), "the pong is not first, or not alone")


# 8


def test_speaking_in_silence_and_silence_in_speech_are_found():
    taken = steps(*SPEAK, events.Played(1))
    step = spoil(taken[-1], state="agent_speaking")
    fails(SpeakingIsAudible, taken, step, "nothing is audible")
    taken = steps(*SPEAK)
    step = spoil(taken[-1], *taken[-1].effects, state="listening")
    fails(SpeakingIsAudible, taken, step, "the agent is audible")


@pytest.mark.parametrize(
    "came",
    [
        (events.TextPart("start", "", 1), events.TextPart("delta", "h", 2), events.TextPart("stop", "", 1)),
        (events.TextPart("start"), events.TextPart("delta", "h", 2), events.AgentResponse("older", 1)),
        (events.Interrupted(2, 2), events.TextPart("delta", "h", 1), events.TextPart("start", "", 2)),
        (
            events.TextPart("start", "", 1),
            events.Interrupt(),
            events.TextPart("delta", "h", 1),
            events.TextPart("start", "", 2),
        ),
    ],
)
def test_speaking_follows_the_turns_of_streamed_text(came):
    taken = steps(*START[:3], *came, text_only=True)
    assert taken[-1].after.state == "agent_speaking"
    step = spoil(taken[-1], *taken[-1].effects, state="listening")
    fails(SpeakingIsAudible, taken, step, "the agent is audible")


@pytest.mark.parametrize("end", [events.TextPart("stop"), events.AgentResponse("hi", 1)])
def test_speaking_on_after_the_end_of_streamed_text_is_found(end):
    taken = steps(*START[:3], events.TextPart("start", "", 1), end, text_only=True)
    step = spoil(taken[-1], *taken[-1].effects, state="agent_speaking")
    fails(SpeakingIsAudible, taken, step, "nothing is audible")


def test_speaking_ends_with_the_audio_interface_and_with_a_late_report_only_of_the_last():
    check_all(steps(*SPEAK, events.AudioFailed("unplugged"), needs_audio=False))
    again = (events.Interrupted(2, 2), events.AgentAudio(AUDIO, 2), events.Played(1), events.Played(9))
    taken = steps(*SPEAK, *again)
    assert taken[-1].after.state == "agent_speaking"
    check_all(taken)


# 11


def test_an_interruption_that_neither_pauses_nor_flushes_is_found():
    taken = steps(*SPEAK, events.Interrupted(2, 2))
    step = without(taken[-1], effects.Flush)
    fails(InterruptionIsDecided, taken, step, "what was handed over was not flushed")


def test_an_interruption_by_anything_else_is_found():
    taken = steps(*SPEAK, events.Pinged(1))
    step = spoil(taken[-1], *taken[-1].effects, state="interrupted")
    fails(InterruptionIsDecided, taken, step, "nothing interrupted")


def test_a_server_that_is_not_told_of_the_users_own_interruption_is_found():
    taken = steps(*SPEAK, events.Interrupt())
    detail = "the server was told without need, or was not"
    fails(InterruptionIsDecided, taken, without(taken[-1], effects.Transmit), detail)
    taken = steps(*SPEAK, events.Interrupted(2, 2))
    fails(InterruptionIsDecided, taken, with_(taken[-1], effects.Transmit(effects.Interruption(1))), detail)


# 12


ASKED = events.ApprovalAsked("call_9", "request")
TIMER = "approval call_9"


def test_an_approval_not_asked_for_or_asked_for_again_is_found():
    taken = steps(*START, ASKED)
    detail = "an approval was not asked for, or asked for again"
    fails(ApprovalsAreAnsweredOnce, taken, without(taken[-1], effects.AskApproval), detail)
    question = effects.AskApproval("call_9", "request")
    for again in (ASKED, attrs.evolve(ASKED, call_id="call_8")):
        taken = steps(*START, ASKED, again, approval_limit=1)
        fails(ApprovalsAreAnsweredOnce, taken, with_(taken[-1], question), detail)
    taken = steps(*START, events.Pinged(1))
    detail = "an approval was asked for that the server did not want"
    fails(ApprovalsAreAnsweredOnce, taken, with_(taken[-1], question), detail)


@pytest.mark.parametrize("kind", [events.ApprovalDecided, events.DecideApproval])
def test_a_decision_lost_doubled_changed_or_late_is_found(kind):
    answer = effects.Transmit(effects.Approval("call_9", True))
    detail = "a decision was lost, doubled, late or changed"
    taken = steps(*START, ASKED, kind("call_9", True))
    fails(ApprovalsAreAnsweredOnce, taken, without(taken[-1], effects.Transmit), detail)
    fails(ApprovalsAreAnsweredOnce, taken, with_(taken[-1], answer), detail)
    changed = effects.Transmit(effects.Approval("call_9", False))
    fails(ApprovalsAreAnsweredOnce, taken, with_(without(taken[-1], effects.Transmit), changed), detail)
    over = (
        events.ApprovalDecided("call_9", True),
        events.ApprovalWithdrawn("call_9"),
        events.TimerFired(TIMER, 2),
        events.End(),
    )
    for former in over:
        taken = steps(*START, ASKED, former, kind("call_9", True))
        fails(ApprovalsAreAnsweredOnce, taken, with_(taken[-1], answer), detail)


@pytest.mark.parametrize(
    "event",
    [
        events.ApprovalWithdrawn("call_9"),
        events.DecideApproval("call_9", True),
        events.TimerFired(TIMER, 2),
        events.End(),
    ],
)
def test_a_question_that_is_not_withdrawn_is_found(event):
    taken = steps(*START, ASKED, event)
    detail = "a handler was left with a question that is none, or lost its own"
    fails(ApprovalsAreAnsweredOnce, taken, without(taken[-1], effects.WithdrawApproval), detail)
    taken = steps(*START, ASKED, events.Pinged(1))
    withdrawn = with_(taken[-1], effects.WithdrawApproval("call_9"))
    fails(ApprovalsAreAnsweredOnce, taken, withdrawn, detail)


def test_a_handler_released_without_an_answer_by_hand_is_found():
    detail = "a handler was released without an answer by hand, or was not"
    taken = steps(*START, CALL, events.AnswerCall("call_1", "rain"))
    fails(ToolsAreAnsweredOnce, taken, without(taken[-1], effects.ReleaseTool), detail)
    taken = steps(*START, CALL, events.ToolCompleted("call_1", "rain"))
    fails(ToolsAreAnsweredOnce, taken, with_(taken[-1], effects.ReleaseTool("call_1")), detail)
