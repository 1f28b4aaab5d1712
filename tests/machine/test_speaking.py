"""The floor: who is heard, freshness, playout numbers, and text-only responses."""

from __future__ import annotations

import pytest

from convsm.machine.effects import (
    Diagnose,
    Flush,
    Notify,
    Play,
    SetTimer,
    Transmit,
    TransmitAudio,
    Unexpected,
)
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    Informed,
    Interrupted,
    Malformed,
    Pinged,
    Played,
    Send,
    SocketOpened,
    TextPart,
    ToolCalled,
    UserAudio,
    UserTranscript,
)
from tests.helpers import (
    AUDIO,
    OPEN,
    READY,
    assert_effects,
    assert_step,
    connecting_session,
    drive,
    interrupted_session,
    moved,
    ready_session,
    session_in,
    speaking_session,
    tool_session,
)

in_every_open_state = pytest.mark.parametrize("state", OPEN)


# The floor


@pytest.mark.parametrize("state", ["listening", "tool_running"])
def test_the_first_audio_takes_the_floor(state):
    audio = AgentAudio(AUDIO, 1)
    assert_step(
        session_in(state),
        audio,
        moved(state, "agent_speaking", "AgentAudio"),
        Play(1, AUDIO, 1),
        Notify(audio),
        state="agent_speaking",
        spoken_turn=1,
        handed=1,
    )


def test_fresh_audio_ends_an_interruption_and_its_timer():
    session = interrupted_session()
    drive(session, AgentAudio(AUDIO, 2))
    assert (session.state, session.timers, session.handed, session.heard) == ("agent_speaking", {}, 2, 1)


def test_more_audio_is_handed_over_under_the_next_number():
    audio = AgentAudio(b"more", 1)
    assert_step(speaking_session(), audio, Play(2, b"more", 1), Notify(audio), handed=2)


def test_speaking_ends_when_the_last_piece_was_heard():
    session = speaking_session()
    drive(session, AgentAudio(AUDIO, 1))
    assert_step(session, Played(1), heard=1)
    assert_step(
        session, Played(2), moved("agent_speaking", "listening", "Played"), state="listening", heard=2
    )


def test_a_report_of_something_flushed_meanwhile_is_harmless():
    session = speaking_session()
    drive(session, AgentAudio(AUDIO, 1), Interrupted(2, 2), AgentAudio(AUDIO, 2))
    for late in (1, 2):
        assert_step(session, Played(late))
    assert_step(
        session, Played(3), moved("agent_speaking", "listening", "Played"), state="listening", heard=3
    )


@pytest.mark.parametrize("number", [-1, 0, 2, 10**30])
def test_a_report_beyond_what_was_handed_over_is_ignored(number):
    assert_step(speaking_session(), Played(number))


def test_the_loudspeaker_runs_dry_before_the_last_message_and_speaking_goes_on_with_it():
    session = speaking_session()
    drive(session, Played(1))
    assert session.state == "listening"
    drive(session, AgentAudio(AUDIO, 1))
    assert session.state == "agent_speaking"


def test_audible_wins_over_tool_and_tool_over_listening():
    session = speaking_session()
    drive(session, ToolCalled("call_1", "weather"))
    assert session.state == "agent_speaking"
    assert_step(
        session, Played(1), moved("agent_speaking", "tool_running", "Played"), state="tool_running", heard=1
    )


def test_speaking_goes_on_over_an_open_call_until_all_was_heard():
    session = speaking_session()
    drive(session, AgentAudio(AUDIO, 1), ToolCalled("call_1", "weather"))
    assert_step(session, Played(1), heard=1)
    assert_step(session, Played(1))


def test_a_response_goes_on_over_an_open_call_until_it_ends():
    session = speaking_session(text_only=True)
    drive(session, TextPart("delta", "h", 2), ToolCalled("call_1", "weather"))
    for event in (TextPart("stop", turn=1), AgentResponse("older", 1)):
        assert_step(session, event, Notify(event))


def test_a_call_without_response_does_not_hold_the_floor():
    session = speaking_session()
    drive(session, ToolCalled("call_1", "log", expects_response=False), Played(1))
    assert session.state == "listening"


def test_empty_audio_is_told_but_not_played():
    audio = AgentAudio(b"", 1, alignment="a")
    for session in (ready_session(), speaking_session(), tool_session()):
        assert_step(session, audio, Notify(audio))
    audio = AgentAudio(b"", 2)
    assert_step(interrupted_session(), audio, Notify(audio))


@in_every_open_state
def test_audio_in_a_session_without_a_device_is_diagnosed(state):
    text = f"agent audio came in state {state!r} without an open audio interface"
    assert_step(session_in(state, text_only=True), AgentAudio(AUDIO, 2), Diagnose(text))


# Freshness


@in_every_open_state
def test_audio_of_a_turn_that_was_cut_is_dropped_wherever_it_comes(state):
    session = session_in(state)
    drive(session, Interrupted(5, fresh_from=5))
    for audio in (AUDIO, b""):
        assert_step(session, AgentAudio(audio, 4))
    assert Play(session.handed + 1, AUDIO, 5) in drive(session, AgentAudio(AUDIO, 5))


def test_the_highest_cut_counts_not_the_last():
    session = ready_session()
    drive(session, Interrupted(5, fresh_from=5))
    older = Interrupted(3, fresh_from=3)
    assert_step(session, older, Flush(), Notify(older))
    assert_step(session, AgentAudio(AUDIO, 4))


def test_turn_zero_is_fresh_before_the_first_interruption():
    session = ready_session()
    drive(session, AgentAudio(AUDIO, 0))
    assert session.state == "agent_speaking"


def test_an_interruption_older_than_what_plays_flushes_all_and_lets_the_same_turn_go_on():
    session = ready_session()
    drive(session, AgentAudio(AUDIO, 9))
    interruption = Interrupted(8, fresh_from=8)
    assert_step(
        session,
        interruption,
        moved("agent_speaking", "interrupted", "Interrupted"),
        Flush(),
        SetTimer("settle", 2.0, 2),
        Notify(interruption),
        state="interrupted",
        fresh_from=8,
        heard=1,
        timers={"settle": 2},
        last_token=2,
    )
    assert_step(session, AgentAudio(AUDIO, 7))
    drive(session, AgentAudio(AUDIO, 9))
    assert session.state == "agent_speaking"


# Text


@in_every_open_state
def test_text_never_moves_a_session_that_has_audio(state):
    session = session_in(state)
    for event in (
        TextPart("start", turn=9),
        TextPart("delta", "hi", turn=9),
        TextPart("stop", turn=9),
        AgentResponse("hi", 9),
    ):
        assert_step(session, event, Notify(event))


@pytest.mark.parametrize("state", ["listening", "interrupted", "tool_running"])
@pytest.mark.parametrize("kind", ["start", "delta"])
def test_a_streamed_response_takes_the_floor_of_a_text_only_session(state, kind):
    session, part = session_in(state, text_only=True), TextPart(kind, turn=2)
    told = drive(session, part)
    assert told[:2] == (moved(state, "agent_speaking", "TextPart"), Notify(part))
    assert (session.state, session.response_open, session.timers) == ("agent_speaking", True, {})


@pytest.mark.parametrize("end", [TextPart("stop", turn=1), TextPart("stop"), AgentResponse("hi", 1)])
def test_the_end_of_a_streamed_response_gives_the_floor_back(end):
    session = speaking_session(text_only=True)
    assert_step(
        session,
        end,
        moved("agent_speaking", "listening", type(end).__name__),
        Notify(end),
        state="listening",
        response_open=False,
    )


@pytest.mark.parametrize("end", [TextPart("stop", turn=1), AgentResponse("hi")])
def test_the_end_of_a_streamed_response_gives_the_floor_to_an_open_call(end):
    session = speaking_session(text_only=True)
    drive(session, ToolCalled("call_1", "weather"))
    assert_step(
        session,
        end,
        moved("agent_speaking", "tool_running", type(end).__name__),
        Notify(end),
        state="tool_running",
        response_open=False,
    )


def test_the_late_end_of_an_older_response_does_not_close_the_one_that_is_open():
    session = speaking_session(text_only=True)
    for part, changes in (
        (TextPart("delta", "hi", turn=2), {"response_turn": 2}),
        (TextPart("delta", "hi", turn=1), {}),
        (TextPart("delta", "hi"), {}),
        (TextPart("stop", turn=1), {}),
    ):
        assert_step(session, part, Notify(part), **changes)
    response = AgentResponse("older", 1)
    assert_step(session, response, Notify(response))


def test_a_response_without_turns_takes_the_first_that_is_told():
    session = ready_session(text_only=True)
    drive(session, TextPart("start"))
    assert (session.response_open, session.response_turn) == (True, None)
    drive(session, TextPart("delta", "hi", turn=3))
    assert (session.response_open, session.response_turn) == (True, 3)


def test_parts_of_a_response_that_was_cut_are_told_and_open_nothing():
    session, part = interrupted_session(text_only=True), TextPart("delta", "late", turn=1)
    assert_step(session, part, Notify(part))


def test_the_full_text_alone_does_not_move_a_text_only_session():
    for state in ("listening", "interrupted", "tool_running"):
        response = AgentResponse("hi", 2)
        assert_step(session_in(state, text_only=True), response, Notify(response))


# What passes through


@in_every_open_state
def test_a_ping_is_answered_first_in_every_open_state(state):
    ping = Pinged(4)
    told = session_in(state).handle(ping)
    assert [type(effect) for effect in told] == [Transmit, Notify]
    assert_step(session_in(state), ping, *told)


@in_every_open_state
def test_the_server_hears_the_microphone_and_the_users_messages_at_once(state):
    assert_step(session_in(state), UserAudio(AUDIO), TransmitAudio(AUDIO))
    assert_step(session_in(state), Send("text"), Transmit("text"))


@in_every_open_state
def test_news_are_told_and_a_bad_frame_is_diagnosed(state):
    assert_step(session_in(state), Informed("news"), Notify(Informed("news")))
    assert_step(
        session_in(state),
        Malformed("audio", "event_id", "missing"),
        Diagnose("field 'event_id' of 'audio' was unreadable (missing); ignored"),
    )
    assert_step(
        session_in(state),
        Malformed("unknown", "", "not JSON"),
        Diagnose("frame 'unknown' was unreadable (not JSON); ignored"),
    )


@pytest.mark.parametrize("state", ["listening", "agent_speaking", "tool_running"])
def test_a_late_transcript_is_told_and_moves_nothing(state):
    transcript = UserTranscript("what's the time?")
    assert_step(session_in(state), transcript, Notify(transcript))


def test_a_voice_turn_goes_from_listening_to_speaking_and_back():
    session = connecting_session()
    path = []
    for event in (
        READY,
        Pinged(1),
        AgentResponse("Hi", 1),
        AgentAudio(AUDIO, 1),
        AgentAudio(AUDIO, 1, is_final=True),
        Played(2),
        UserAudio(AUDIO),
        UserTranscript("What's the time?", 2),
        AgentAudio(AUDIO, 2),
        Played(3),
    ):
        session.handle(event)
        path.append(session.state)
    assert path == [
        *("listening",) * 3,
        *("agent_speaking",) * 2,
        *("listening",) * 3,
        "agent_speaking",
        "listening",
    ]


def test_an_open_session_refuses_a_second_handshake():
    assert_effects(ready_session(), SocketOpened(), Unexpected("SocketOpened", "listening"))
