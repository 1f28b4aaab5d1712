from __future__ import annotations

from typing import Any

import attrs
import pytest

from convsm.errors import ConfigurationError
from convsm.machine import Session
from convsm.machine.events import (
    AgentAudio,
    AgentHungUp,
    AgentResponse,
    AudioFailed,
    AudioStopped,
    End,
    Event,
    Informed,
    Interrupt,
    Interrupted,
    InterruptionDismissed,
    InterruptionSuspected,
    Played,
    ResponseEnded,
    ResponseStarted,
    Send,
    SessionReady,
    SocketClosed,
    SocketOpened,
    Start,
    TextPart,
    ToolCalled,
    ToolCompleted,
    UserTranscript,
)
from convsm.observation import Transcript, TranscriptChanged
from convsm.protocols.messages import (
    AgentResponseCorrection,
    ContextualUpdate,
    MultimodalMessage,
    TentativeTranscript,
    UserActivity,
    UserMessage,
    VadScore,
)
from tests.observation.steps import Watched, watch

AUDIO = b"\1\0"


@pytest.fixture
def transcript() -> Transcript:
    return Transcript()


@pytest.fixture
def voice(transcript: Transcript) -> Watched:
    return watch(transcript)


@pytest.fixture
def text(transcript: Transcript) -> Watched:
    return watch(transcript, text_only=True)


def guess(text: str, turn: int | None = None) -> Event:
    return Informed(TentativeTranscript(text, turn))


def correction(original: str, corrected: str, turn: int | None = None) -> Event:
    return Informed(AgentResponseCorrection(original, corrected, turn))


def said(transcript: Transcript, *names: str) -> list[Any]:
    """Return these attributes of all entries, by default who and what."""
    wanted = names or ("who", "text")
    return [tuple(getattr(entry, name) for name in wanted) for entry in transcript.entries]


def mirror(changes: list[object]) -> tuple[object, ...]:
    copy: list[object] = []
    for change in changes:
        assert isinstance(change, TranscriptChanged)
        if change.change == "added":
            copy.insert(change.position, change.entry)
        elif change.change == "changed":
            copy[change.position] = change.entry
        else:
            assert copy.pop(change.position) == change.entry
    return tuple(copy)


# The canonical traces


def test_a_turn_of_voice_has_both_sides_in_order_with_their_times(voice, transcript):
    voice.steps(1.0, AgentResponse("Hi", 1))
    voice.steps(1.5, AgentAudio(AUDIO, 1), AgentAudio(AUDIO, 1, is_final=True))
    voice.steps(3.0, Played(1), Played(2))
    voice.steps(4.0, Informed(VadScore(0.9)), guess("what's", 2))
    voice.steps(5.0, UserTranscript("What's the time?", 2))
    voice.steps(6.0, AgentResponse("It is noon", 2), AgentAudio(AUDIO, 2))
    assert said(transcript, "who", "text", "turn", "is_final", "began_at", "ended_at") == [
        ("agent", "Hi", 1, True, 1.5, 3.0),
        ("user", "What's the time?", 2, True, 4.0, 5.0),
        ("agent", "It is noon", 2, True, 6.0, None),
    ]
    assert mirror(voice.told) == transcript.entries


def test_a_cut_turn_tells_what_was_generated_and_what_was_spoken(voice, transcript):
    voice.steps(1.0, AgentResponse("It is twelve", 2), AgentAudio(AUDIO, 2))
    voice.steps(2.0, Interrupted(3, 3))
    assert said(transcript, "spoken", "is_interrupted", "ended_at") == [("It is twelve", True, 2.0)]
    voice.steps(3.0, AgentAudio(AUDIO, 2), correction("It is twelve", "It is...", 2))
    voice.steps(4.0, UserTranscript("stop", 3), AgentResponse("OK", 3), AgentAudio(AUDIO, 3))
    voice.steps(5.0, Played(2))
    assert said(transcript, "text", "spoken", "is_interrupted", "began_at", "ended_at") == [
        ("It is twelve", "It is...", True, 1.0, 2.0),
        ("stop", "stop", False, 4.0, 4.0),
        ("OK", "OK", False, 4.0, 5.0),
    ]


def test_a_written_message_is_the_users_and_cuts_what_was_said_before_it(voice, transcript):
    voice.steps(1.0, AgentResponse("Once upon a time", 6), AgentAudio(AUDIO, 6))
    voice.steps(2.0, Send(MultimodalMessage("look", ("file_1",))), Interrupted(7, 7))
    voice.steps(3.0, AgentResponse("I see", 7), AgentAudio(AUDIO, 7))
    assert said(transcript, "text", "is_written", "file_ids", "is_interrupted", "turn") == [
        ("Once upon a time", False, (), True, 6),
        ("look", True, ("file_1",), False, None),
        ("I see", False, (), False, 7),
    ]


def test_a_reply_whose_text_overtook_its_interruption_is_not_cut(voice, transcript):
    voice.steps(1.0, AgentResponse("Old", 6), AgentAudio(AUDIO, 6))
    voice.steps(2.0, Send(UserMessage("hello")), AgentResponse("New", 7), Interrupted(7, 7))
    assert said(transcript, "text", "is_interrupted") == [("Old", True), ("hello", False), ("New", False)]


def test_a_late_interruption_marks_what_it_flushed_even_if_the_turn_goes_on(voice, transcript):
    voice.steps(1.0, AgentResponse("Nine", 9), AgentAudio(AUDIO, 9))
    voice.steps(2.0, Interrupted(8, 8))
    voice.steps(3.0, AgentAudio(AUDIO, 9))
    assert said(transcript, "is_interrupted", "began_at", "ended_at") == [(True, 1.0, None)]
    voice.steps(4.0, Played(2))
    assert said(transcript, "is_interrupted", "began_at", "ended_at") == [(True, 1.0, 4.0)]


def test_a_tool_call_leaves_no_line_between_what_was_said(voice, transcript):
    voice.steps(1.0, UserTranscript("Weather?", 4), ToolCalled("call_1", "weather"))
    voice.steps(2.0, ToolCompleted("call_1", "sun"), AgentResponse("Sunny", 5), AgentAudio(AUDIO, 5))
    assert said(transcript) == [("user", "Weather?"), ("agent", "Sunny")]


def test_a_farewell_is_heard_to_its_end_after_the_socket_is_gone(voice, transcript):
    voice.steps(1.0, AgentResponse("Bye", 3), AgentAudio(AUDIO, 3), AgentHungUp(), SocketClosed(1000))
    voice.steps(2.0, Played(1), AudioStopped())
    assert said(transcript, "text", "is_interrupted", "ended_at") == [("Bye", False, 2.0)]


@pytest.mark.parametrize("turn", [None, 1])
def test_streamed_text_builds_an_entry_that_the_full_text_replaces(text, transcript, turn):
    text.steps(1.0, TextPart("start", turn=turn))
    text.steps(2.0, TextPart("delta", "Hel", turn), TextPart("delta", "lo", turn))
    assert said(transcript, "text", "is_final", "ended_at") == [("Hello", False, None)]
    text.steps(3.0, TextPart("stop", turn=turn))
    assert said(transcript, "text", "is_final", "ended_at") == [("Hello", True, 3.0)]
    text.steps(4.0, AgentResponse("Hello!", turn), TextPart("stop", turn=turn))
    assert said(transcript, "text", "turn", "began_at", "ended_at") == [("Hello!", turn, 1.0, 3.0)]
    assert mirror(text.told) == transcript.entries


# The user


def test_guesses_replace_one_another_and_late_ones_are_dropped(voice, transcript):
    voice.steps(1.0, guess("wha", 2), guess("what", 2), guess("old", 1))
    assert said(transcript, "text", "is_final") == [("what", False)]
    voice.steps(2.0, UserTranscript("What?", 2), guess("what", 2), guess("wh", 1))
    assert said(transcript, "text", "is_final", "began_at") == [("What?", True, 1.0)]


def test_a_guess_that_came_to_nothing_gives_way_to_the_next_turns(voice, transcript):
    voice.steps(1.0, guess("ehm", 2), guess("so", 3))
    assert said(transcript) == [("user", "so")]
    voice.steps(2.0, UserTranscript("Hello", 4))
    assert said(transcript) == [("user", "Hello")]
    voice.steps(3.0, UserTranscript("ehm", 2))
    assert said(transcript) == [("user", "ehm"), ("user", "Hello")]
    assert mirror(voice.told) == transcript.entries


def test_a_late_final_text_leaves_the_next_turns_guess(voice, transcript):
    voice.steps(1.0, guess("two", 2), guess("thr", 3), UserTranscript("Two", 2))
    assert said(transcript) == [("user", "Two"), ("user", "thr")]
    voice.steps(2.0, UserTranscript("Three", 3))
    assert said(transcript) == [("user", "Two"), ("user", "Three")]


def test_without_numbers_the_order_tells_what_belongs_together(voice, transcript):
    voice.steps(1.0, guess("on"), guess("one"), UserTranscript("One"), AgentResponse("I"))
    voice.steps(2.0, guess("two"), UserTranscript("Two", 5), UserTranscript("Three"))
    assert said(transcript, "who", "text", "turn") == [
        ("user", "One", None),
        ("agent", "I", None),
        ("user", "Two", 5),
        ("user", "Three", None),
    ]


def test_the_answer_may_come_before_what_it_answers(voice, transcript):
    voice.steps(1.0, AgentResponse("Fine", 3), AgentAudio(AUDIO, 3))
    voice.steps(2.0, UserTranscript("How are you?", 3), UserTranscript("Hello", 2))
    assert said(transcript, "text", "turn") == [("Hello", 2), ("How are you?", 3), ("Fine", 3)]
    assert mirror(voice.told) == transcript.entries


def test_a_late_line_goes_before_its_answer_and_leaves_what_was_written_where_it_was(voice, transcript):
    voice.steps(1.0, AgentResponse("Two", 2), Send(UserMessage("written")), AgentResponse("Three", 3))
    voice.steps(2.0, UserTranscript("three?", 3))
    assert [text for _, text in said(transcript)] == ["Two", "written", "three?", "Three"]


def test_what_is_held_until_the_server_accepts_counts_from_when_it_goes_out(transcript):
    watched = Watched(transcript)
    watched.steps(0.0, Start(), SocketOpened(), Send(UserMessage("early")), Send(UserActivity()))
    assert transcript.entries == ()
    watched.steps(3.0, SessionReady("conversation_1"), Send(ContextualUpdate("no turn")))
    assert said(transcript, "text", "began_at", "ended_at") == [("early", 3.0, 3.0)]


# The agent


def test_parts_after_the_full_text_are_dropped(voice, transcript):
    voice.steps(1.0, TextPart("start", turn=1), TextPart("delta", "Hel", 1), AgentResponse("Hello", 1))
    voice.steps(2.0, TextPart("delta", "lo", 1), TextPart("stop", turn=1), TextPart("start", turn=1))
    assert said(transcript) == [("agent", "Hello")]


def test_a_stop_without_a_start_says_nothing(text, transcript):
    text.steps(1.0, TextPart("stop"), TextPart("stop", turn=1))
    assert transcript.entries == ()


def test_a_new_start_without_numbers_begins_a_new_entry(text, transcript):
    text.steps(1.0, TextPart("start"), TextPart("start"), TextPart("delta", "One"), TextPart("stop"))
    text.steps(
        2.0, TextPart("start"), TextPart("delta", "Two"), TextPart("start"), TextPart("delta", "Three")
    )
    text.steps(3.0, AgentResponse("Three!"), AgentResponse("Four"))
    assert said(transcript) == [("agent", line) for line in ("One", "Two", "Three!", "Four")]


def test_a_cut_stream_is_marked_and_the_next_one_is_another(text, transcript):
    text.steps(1.0, TextPart("start"), TextPart("delta", "On"))
    text.steps(2.0, Interrupted(2, 2), TextPart("start"), TextPart("delta", "Two"))
    assert said(transcript, "text", "is_interrupted", "ended_at") == [("On", True, 2.0), ("Two", False, None)]


def test_text_that_is_complete_cannot_be_cut_where_nothing_is_spoken(text, transcript):
    text.steps(1.0, AgentResponse("Read me", 1), Interrupted(2, 2))
    assert said(transcript, "is_interrupted") == [(False,)]


def test_a_text_that_was_cut_before_its_voice_came_is_interrupted(voice, transcript):
    voice.steps(1.0, AgentResponse("Never heard", 1), Interrupted(2, 2), AgentResponse("Late", 0))
    assert said(transcript, "text", "is_interrupted") == [("Late", True), ("Never heard", True)]


def test_what_was_heard_to_its_end_is_not_interrupted_later(voice, transcript):
    voice.steps(1.0, AgentAudio(AUDIO, 1), Played(1))
    voice.steps(2.0, Interrupted(3, 3), AgentResponse("Heard", 1), AgentResponse("Void", 2))
    assert said(transcript, "text", "is_interrupted", "began_at", "ended_at") == [
        ("Heard", False, 1.0, 1.0),
        ("Void", True, 2.0, 2.0),
    ]


def test_a_text_may_come_after_its_voice_was_cut(voice, transcript):
    voice.steps(1.0, AgentAudio(AUDIO, 2))
    voice.steps(2.0, Interrupted(3, 3))
    voice.steps(3.0, AgentResponse("Cut", 2))
    assert said(transcript, "is_interrupted", "began_at", "ended_at") == [(True, 1.0, 2.0)]


def test_turns_that_wait_behind_one_another_end_one_after_another_or_together(voice, transcript):
    voice.steps(1.0, *(AgentResponse(name, turn) for turn, name in enumerate(("a", "b", "c"))))
    voice.steps(2.0, *(AgentAudio(AUDIO, turn) for turn in range(3)))
    voice.steps(3.0, Played(1))
    voice.steps(4.0, Interrupted(9, 9))
    assert said(transcript, "text", "is_interrupted", "ended_at") == [
        ("a", False, 3.0),
        ("b", True, 4.0),
        ("c", True, 4.0),
    ]


def test_a_turn_that_ran_dry_goes_on(voice, transcript):
    voice.steps(1.0, AgentAudio(AUDIO, 1), AgentResponse("Well", 1))
    voice.steps(2.0, Played(1))
    assert said(transcript, "ended_at") == [(2.0,)]
    voice.steps(3.0, AgentAudio(AUDIO, 1))
    assert said(transcript, "began_at", "ended_at") == [(1.0, None)]


@pytest.mark.parametrize("last", [End(), AudioFailed("unplugged")])
def test_what_is_lost_at_the_end_or_by_a_fault_was_cut(voice, transcript, last):
    voice.steps(1.0, AgentResponse("Well", 1), AgentAudio(AUDIO, 1))
    voice.steps(2.0, last)
    assert said(transcript, "is_interrupted", "ended_at") == [(True, 2.0)]


def test_a_voice_belongs_to_the_text_without_a_number(voice, transcript):
    voice.steps(1.0, AgentResponse("First"))
    voice.steps(2.0, AgentAudio(AUDIO, 1), Interrupted(2, 2))
    voice.steps(3.0, AgentAudio(AUDIO, 2), AgentResponse("Second"), Played(2))
    assert said(transcript, "text", "is_interrupted", "began_at", "ended_at") == [
        ("First", True, 2.0, 2.0),
        ("Second", False, 3.0, 3.0),
    ]


# Pauses and cuts from this side


def test_a_turn_that_was_paused_goes_on_and_is_heard_to_its_end(voice, transcript):
    voice.steps(1.0, AgentResponse("Well", 1), AgentAudio(AUDIO, 1))
    voice.steps(2.0, InterruptionSuspected(), AgentAudio(AUDIO, 1))
    voice.told.clear()
    voice.steps(3.0, InterruptionDismissed(), AgentAudio(AUDIO, 1))
    assert voice.told == []
    voice.steps(4.0, Played(3))
    assert said(transcript, "is_interrupted", "began_at", "ended_at") == [(False, 1.0, 4.0)]


@pytest.mark.parametrize(
    "event", [Interrupted(2, 2), Interrupt(), AgentAudio(AUDIO, 2), End(), AudioFailed("unplugged")]
)
def test_a_turn_that_was_paused_and_cut_was_heard_until_the_pause(voice, transcript, event):
    voice.steps(1.0, AgentResponse("Well", 1), AgentAudio(AUDIO, 1))
    voice.steps(2.0, InterruptionSuspected())
    voice.steps(3.0, AgentAudio(AUDIO, 1), event)
    assert said(transcript, "is_interrupted", "began_at", "ended_at") == [(True, 1.0, 2.0)]
    voice.steps(4.0, Played(3))
    assert said(transcript, "is_interrupted", "ended_at") == [(True, 2.0)]


def test_of_two_turns_only_the_one_that_was_not_heard_out_is_cut(voice, transcript):
    voice.steps(1.0, AgentResponse("a", 1), AgentResponse("b", 2))
    voice.steps(1.0, AgentAudio(AUDIO, 1), AgentAudio(AUDIO, 2))
    voice.steps(2.0, InterruptionSuspected())
    voice.steps(2.5, Played(1))
    voice.steps(3.0, Interrupt())
    assert said(transcript, "text", "is_interrupted", "ended_at") == [("a", False, 2.5), ("b", True, 2.0)]


def test_a_turn_that_was_heard_out_before_the_pause_took_hold_is_not_cut_later(voice, transcript):
    voice.steps(1.0, AgentResponse("Well", 1), AgentAudio(AUDIO, 1))
    voice.steps(2.0, InterruptionSuspected())
    voice.steps(2.5, Played(1))
    voice.steps(3.0, Interrupted(2, 2), AgentResponse("No", 2), AgentAudio(AUDIO, 2))
    voice.steps(4.0, Interrupt())
    assert said(transcript, "is_interrupted", "ended_at") == [(False, 2.5), (True, 4.0)]


@pytest.mark.parametrize("is_early", [True, False])
def test_speech_that_is_held_back_begins_when_it_is_let_through(voice, transcript, is_early):
    text, audio = AgentResponse("Well", 1), AgentAudio(AUDIO, 1)
    voice.steps(1.0, InterruptionSuspected())
    voice.steps(2.0, *((text, audio) if is_early else (audio, text)))
    voice.steps(3.0, InterruptionDismissed())
    voice.steps(4.0, Played(1))
    assert said(transcript, "is_interrupted", "began_at", "ended_at") == [(False, 3.0, 4.0)]
    assert mirror(voice.told) == transcript.entries


def test_a_text_that_comes_after_its_held_back_voice_was_let_through_begins_with_that(voice, transcript):
    voice.steps(1.0, InterruptionSuspected(), AgentAudio(AUDIO, 1))
    voice.steps(2.0, InterruptionDismissed())
    voice.steps(3.0, AgentResponse("Well", 1))
    assert said(transcript, "began_at") == [(2.0,)]


def test_speech_that_is_held_back_and_cut_was_not_heard_at_all(voice, transcript):
    voice.steps(1.0, InterruptionSuspected())
    voice.steps(2.0, AgentResponse("Well", 1), AgentAudio(AUDIO, 1))
    voice.steps(3.0, Interrupt())
    assert said(transcript, "is_interrupted", "began_at", "ended_at") == [(True, 2.0, 2.0)]


def test_a_turn_that_ran_dry_and_was_held_back_was_heard_until_it_ran_dry(voice, transcript):
    voice.steps(1.0, AgentResponse("Well", 1), AgentAudio(AUDIO, 1))
    voice.steps(2.0, Played(1))
    voice.steps(3.0, InterruptionSuspected(), AgentAudio(AUDIO, 1))
    assert said(transcript, "began_at", "ended_at") == [(1.0, None)]
    voice.steps(4.0, Interrupt())
    assert said(transcript, "is_interrupted", "began_at", "ended_at") == [(True, 1.0, 2.0)]


def test_a_turn_that_sounded_before_a_pause_could_hold_it_back_is_heard_once(voice, transcript):
    voice.steps(1.0, InterruptionSuspected(), *(AgentResponse(str(turn), turn) for turn in (1, 2)))
    voice.steps(2.0, AgentAudio(AUDIO, 2), AgentAudio(AUDIO, 1))
    voice.steps(3.0, Played(1))
    voice.steps(4.0, InterruptionDismissed())
    assert said(transcript, "text", "began_at", "ended_at") == [("1", 4.0, None), ("2", 2.0, 3.0)]


def test_a_turn_that_was_held_back_and_went_on_is_cut_when_it_is_cut(voice, transcript):
    voice.steps(1.0, InterruptionSuspected(), AgentResponse("Well", 1), AgentAudio(AUDIO, 1))
    voice.steps(2.0, InterruptionDismissed())
    voice.steps(3.0, InterruptionSuspected())
    voice.steps(4.0, Interrupt())
    assert said(transcript, "is_interrupted", "began_at", "ended_at") == [(True, 2.0, 3.0)]


def test_a_later_turn_cuts_what_is_paused_and_is_not_cut_with_it(voice, transcript):
    voice.steps(1.0, AgentResponse("Well", 1), AgentAudio(AUDIO, 1), InterruptionSuspected())
    voice.steps(2.0, AgentResponse("Now", 2))
    voice.steps(3.0, AgentAudio(AUDIO, 2))
    voice.steps(4.0, Played(2), AgentResponse("Before", 1))
    assert said(transcript, "text", "is_interrupted", "began_at", "ended_at") == [
        ("Before", True, 1.0, 1.0),
        ("Now", False, 3.0, 4.0),
    ]


def test_more_speech_than_may_wait_was_cut_by_the_pause(transcript):
    voice = watch(transcript, pause_limit=0)
    voice.steps(1.0, AgentResponse("Well", 1), AgentAudio(AUDIO, 1))
    voice.steps(2.0, InterruptionSuspected())
    voice.steps(3.0, AgentAudio(AUDIO, 1))
    assert said(transcript, "is_interrupted", "ended_at") == [(True, 2.0)]


@pytest.mark.parametrize("event", [Interrupt(), Send(UserMessage("No"), "turn")])
def test_a_cut_from_this_side_ends_what_is_said_and_what_is_still_to_come_of_it(transcript, event):
    voice = watch(transcript, asks_replies=True)
    voice.steps(1.0, ResponseStarted(1), AgentResponse("One", 1), AgentAudio(AUDIO, 1), ResponseStarted(2))
    voice.steps(2.0, event)
    voice.steps(3.0, AgentResponse("Two", 2), ResponseStarted(3), AgentAudio(AUDIO, 3))
    voice.steps(4.0, AgentResponse("Three", 3), Played(2))
    agent = [line[1:] for line in said(transcript, "who", "text", "is_interrupted") if line[0] == "agent"]
    assert agent == [("One", True), ("Two", True), ("Three", False)]


def test_a_message_cuts_nothing_where_nothing_is_said(transcript):
    voice = watch(transcript, asks_replies=True)
    voice.steps(1.0, ResponseStarted(1), AgentResponse("Read me", 1), ResponseEnded(1))
    voice.steps(2.0, Send(UserMessage("I did"), "turn"))
    assert said(transcript, "text", "is_interrupted") == [("Read me", False), ("I did", False)]


@pytest.mark.parametrize("turn", [None, 1])
def test_a_key_cuts_a_stream(text, transcript, turn):
    text.steps(1.0, TextPart("start", turn=turn), TextPart("delta", "On", turn))
    text.steps(2.0, Interrupt())
    text.steps(3.0, TextPart("start", turn=turn and 2), TextPart("delta", "Two", turn and 2))
    assert said(transcript, "text", "is_interrupted", "ended_at") == [("On", True, 2.0), ("Two", False, None)]


# Corrections


@pytest.mark.parametrize("turn", [None, 2])
def test_a_correction_may_come_before_the_text(voice, transcript, turn):
    voice.steps(1.0, correction("It is twelve", "It is", turn))
    assert said(transcript, "text", "spoken") == [("It is twelve", "It is")]
    voice.steps(2.0, AgentResponse("It is twelve.", turn))
    assert said(transcript, "text", "spoken", "is_interrupted") == [("It is twelve.", "It is", True)]


def test_a_correction_completes_what_was_streamed(voice, transcript):
    voice.steps(1.0, TextPart("start", turn=1), TextPart("delta", "It is twel", 1))
    voice.steps(2.0, correction("It is twelve", "It is", 1), correction("It is twelve", "It", 1))
    assert said(transcript, "text", "spoken", "is_final") == [("It is twelve", "It", True)]


def test_a_correction_without_a_number_finds_what_was_cut(voice, transcript):
    voice.steps(1.0, AgentResponse("One", 1), AgentAudio(AUDIO, 1), Interrupted(2, 2))
    voice.steps(2.0, AgentResponse("Two", 2), correction("One!", "O"))
    assert said(transcript, "text", "spoken") == [("One", "O"), ("Two", "Two")]


# The list


def test_what_changes_nothing_tells_nothing(voice):
    assert voice.step(UserTranscript("Hello", 1))
    assert voice.step(UserTranscript("Hello", 1), 9.0) == ()
    assert voice.step(AgentAudio(b"", 1)) == ()


def test_what_the_machine_ignores_is_not_said(transcript):
    watched = Watched(transcript, Session())
    watched.steps(0.0, AgentResponse("too early", 1), UserTranscript("too early", 1))
    closing = watch(transcript)
    closing.steps(1.0, End(), AgentResponse("late", 1), UserTranscript("late", 1), guess("late", 2))
    closing.steps(2.0, correction("late", "la", 1), Interrupted(2, 2), TextPart("delta", "late"))
    assert transcript.entries == ()


def test_a_limit_keeps_the_last_entries():
    transcript = Transcript(limit=2)
    voice = watch(transcript)
    voice.steps(1.0, *(UserTranscript(str(turn), turn) for turn in range(5)), guess("six", 6))
    voice.steps(2.0, UserTranscript("late", 0), UserTranscript("6", 6), UserTranscript("7", 7))
    assert said(transcript) == [("user", "6"), ("user", "7")]
    assert mirror(voice.told) == transcript.entries


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="at least 1"):
        Transcript(limit=0)


def test_entries_are_values(voice, transcript):
    voice.steps(1.0, UserTranscript("Hello", 1))
    before = transcript.entries
    voice.steps(2.0, UserTranscript("Goodbye", 1))
    assert before[0].text == "Hello"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        before[0].text = "changed"


def test_a_server_that_numbers_every_piece_of_audio_costs_no_memory(voice, transcript):
    voice.steps(1.0, AgentResponse("Long", 43), *(AgentAudio(AUDIO, piece) for piece in range(1000)))
    assert len(transcript.entries) == 1
    assert len(transcript._playout.waiting) == 64
