"""Idle and connecting: from Start to the server's acceptance."""

from __future__ import annotations

import pytest

from convsm.machine import Session
from convsm.machine.effects import (
    AnnounceEnd,
    BeginPlayout,
    CancelTimer,
    CancelTool,
    CloseSocket,
    Diagnose,
    Notify,
    OpenSocket,
    Pong,
    Reject,
    RunTool,
    SendOpening,
    SetTimer,
    StartAudio,
    StateChanged,
    ToolResult,
    Transmit,
    Unexpected,
)
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    AudioStarted,
    AudioStopped,
    ConnectionFailed,
    End,
    Event,
    Informed,
    Interrupted,
    Malformed,
    Pinged,
    Played,
    Send,
    SessionReady,
    SocketClosed,
    SocketOpened,
    Start,
    TextPart,
    TimerFired,
    ToolCalled,
    ToolCompleted,
    UserAudio,
    UserTranscript,
)
from tests.helpers import (
    AUDIO,
    READY,
    assert_effects,
    assert_refused,
    assert_step,
    connecting_session,
    drive,
    moved,
    ready_session,
)


def test_start_opens_the_socket_and_limits_the_wait():
    assert_step(
        Session(),
        Start(at=7.5),
        StateChanged("idle", "connecting", "Start", 7.5),
        OpenSocket(),
        SetTimer("ready", 20.0, 1),
        state="connecting",
        socket="opening",
        timers={"ready": 1},
        last_token=1,
    )


def test_the_opening_goes_as_soon_as_the_socket_is_open():
    session = Session()
    drive(session, Start())
    assert_step(session, SocketOpened(), SendOpening(), socket="open")


def test_the_acceptance_starts_audio_in_the_servers_formats_and_is_told():
    ready = SessionReady("conversation_1", "ulaw_8000", "pcm_8000")
    assert_step(
        connecting_session(),
        ready,
        moved("connecting", "listening", "SessionReady"),
        StartAudio("ulaw_8000", "pcm_8000"),
        Notify(ready),
        CancelTimer("ready"),
        state="listening",
        conversation_id="conversation_1",
        output_format="ulaw_8000",
        input_format="pcm_8000",
        audio="on",
        timers={},
    )


def test_a_text_only_session_starts_no_audio():
    assert_step(
        connecting_session(text_only=True),
        READY,
        moved("connecting", "listening", "SessionReady"),
        Notify(READY),
        CancelTimer("ready"),
        state="listening",
        conversation_id="conversation_1",
        timers={},
    )


def test_playout_begins_when_the_device_is_open():
    session = connecting_session()
    drive(session, READY)
    assert_step(session, AudioStarted(), BeginPlayout())


def test_a_second_acceptance_is_diagnosed_and_the_first_id_stays():
    assert_step(
        ready_session(),
        SessionReady("conversation_2", "pcm_44100", "pcm_44100"),
        Diagnose("the server sent its session parameters twice; the first ones stay"),
    )


def test_a_session_is_used_once():
    session = connecting_session()
    drive(session, End(), SocketClosed(1000), TimerFired("close", session.last_token))
    assert session.state == "idle"
    assert_step(session, Start(), Reject("this session was used already; make a new one for each start"))


@pytest.mark.parametrize("state", ["connecting", "listening", "closing"])
def test_start_is_refused_while_a_session_runs(state):
    session = connecting_session()
    drive(session, *{"connecting": (), "listening": (READY,), "closing": (End(),)}[state])
    assert session.state == state
    assert_refused(session, Start())


LATE = (
    AudioStarted(),
    AudioStopped(),
    ConnectionFailed("late"),
    End(),
    Played(1),
    SocketClosed(1000),
    TimerFired("close", 1),
    ToolCompleted("call_1", "late"),
    UserAudio(AUDIO),
)

FROM_AN_OPEN_SOCKET = (
    SocketOpened(),
    READY,
    Pinged(1),
    AgentAudio(AUDIO, 1),
    AgentResponse("hi"),
    TextPart("start"),
    UserTranscript("hi"),
    Interrupted(1, 1),
    ToolCalled("call_1", "tool"),
    Informed(None),
    Malformed("", "", ""),
)


@pytest.mark.parametrize("event", LATE)
def test_idle_ignores_what_is_late_and_has_nothing_to_end(event: Event):
    assert_step(Session(), event)


@pytest.mark.parametrize("event", FROM_AN_OPEN_SOCKET)
def test_idle_refuses_what_only_an_open_socket_brings(event: Event):
    assert_step(Session(), event, Unexpected(type(event).__name__, "idle"))


def test_connecting_refuses_what_only_a_running_device_brings():
    for event in (AudioStarted(), AudioStopped(), Played(1), UserAudio(AUDIO)):
        assert_step(connecting_session(), event, Unexpected(type(event).__name__, "connecting"))


# Messages that come before the acceptance


def test_connecting_answers_a_ping():
    ping = Pinged(3, 12.5)
    assert_step(connecting_session(), ping, Transmit(Pong(3)), Notify(ping))


@pytest.mark.parametrize(
    "event", [AgentResponse("hi", 1), TextPart("delta", "h", 1), UserTranscript("hi"), Informed("news")]
)
def test_connecting_delivers_text_and_news(event: Event):
    assert_step(connecting_session(), event, Notify(event))
    assert_step(connecting_session(text_only=True), event, Notify(event))


def test_connecting_drops_audio_with_a_diagnostic():
    text = "agent audio came in state 'connecting' without an open audio interface"
    assert_step(connecting_session(), AgentAudio(AUDIO, 1), Diagnose(text))


def test_an_interruption_while_connecting_counts_for_the_audio_after_the_acceptance():
    session, interruption = connecting_session(), Interrupted(5, fresh_from=5)
    assert_step(session, interruption, Notify(interruption), fresh_from=5)
    drive(session, READY)
    assert_step(session, AgentAudio(AUDIO, 4))


def test_a_tool_called_while_connecting_runs_and_is_answered():
    session = connecting_session()
    assert_step(
        session,
        ToolCalled("call_1", "weather", {"city": "Oslo"}),
        RunTool("call_1", "weather", {"city": "Oslo"}, True),
        calls={"call_1": True},
        seen_calls={"call_1"},
    )
    assert_step(
        session,
        ToolCompleted("call_1", "rain"),
        Transmit(ToolResult("call_1", "rain")),
        calls={},
    )
    drive(session, READY)
    assert session.state == "listening"


def test_the_acceptance_leads_to_tool_running_if_a_call_is_open():
    session = connecting_session()
    drive(session, ToolCalled("call_1", "weather"), Send("held"))
    assert_step(
        session,
        READY,
        moved("connecting", "tool_running", "SessionReady"),
        StartAudio("pcm_16000", "pcm_16000"),
        Transmit("held"),
        Notify(READY),
        CancelTimer("ready"),
        state="tool_running",
        conversation_id="conversation_1",
        audio="on",
        held=[],
        timers={},
    )


def test_a_call_without_response_does_not_hold_the_floor_at_the_acceptance():
    session = connecting_session()
    drive(session, ToolCalled("call_1", "log", expects_response=False), READY)
    assert session.state == "listening"


# Messages of the user's


def test_what_the_user_sends_while_connecting_goes_in_order_after_the_acceptance():
    session = connecting_session()
    assert_step(session, Send("one"), held=["one"])
    assert_step(session, Send("two"), held=["one", "two"])
    assert_effects(
        session,
        READY,
        moved("connecting", "listening", "SessionReady"),
        StartAudio("pcm_16000", "pcm_16000"),
        Transmit("one"),
        Transmit("two"),
        Notify(READY),
        CancelTimer("ready"),
    )
    assert session.held == []


def test_sixty_four_messages_are_held_and_the_next_is_rejected():
    session = connecting_session()
    for number in range(64):
        assert session.handle(Send(number)) == ()
    text = "64 messages already wait for the server's acceptance; wait until the session is ready"
    assert_step(session, Send("one too many"), Reject(text))
    assert session.held == list(range(64))


def test_messages_are_held_from_start_on_before_the_socket_opens():
    session = Session()
    drive(session, Start(), Send("early"))
    assert drive(session, SocketOpened()) == (SendOpening(),)
    assert Transmit("early") in drive(session, READY)


def test_send_is_refused_when_nothing_is_open():
    assert_refused(Session(), Send("text"))
    closing = ready_session()
    drive(closing, End())
    assert_refused(closing, Send("text"))


def test_a_refusal_says_what_would_be_accepted():
    session = ready_session()
    with pytest.raises(
        RuntimeError,
        match=r"Start is not possible in state 'listening' "
        r"\(accepted here: Send, Interrupt, AnswerCall, DecideApproval, End\)",
    ):
        session.handle(Start())


# No acceptance


def test_a_server_that_never_accepts_is_closed():
    session = connecting_session()
    drive(session, Send("held"), ToolCalled("call_1", "weather"))
    assert_step(
        session,
        TimerFired("ready", 1),
        moved("connecting", "closing", "TimerFired"),
        CancelTool("call_1"),
        CloseSocket(),
        SetTimer("close", 0.9, 2),
        state="closing",
        socket="closing",
        held=[],
        calls={},
        ending=AnnounceEnd("error", "the server did not accept the session within 20 s"),
        timers={"close": 2},
        last_token=2,
    )


def test_a_connection_that_fails_keeps_nothing_of_what_was_held():
    session = Session()
    drive(session, Start(), Send("held"))
    assert_step(
        session,
        ConnectionFailed("forbidden", 403),
        moved("connecting", "closing", "ConnectionFailed"),
        SetTimer("close", 0.0, 2),
        CancelTimer("ready"),
        state="closing",
        socket="closed",
        held=[],
        ending=AnnounceEnd("error", "forbidden", status=403),
        timers={"close": 2},
        last_token=2,
    )


def test_a_timer_that_is_not_due_does_not_end_the_wait():
    for late in (TimerFired("ready", 0), TimerFired("close", 1), TimerFired("settle", 1)):
        assert_step(connecting_session(), late)
