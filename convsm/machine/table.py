"""The whole automaton of a conversation: states and rows, literal data and nothing else.

Rule 1: every change of state is a row here, and a row is the only thing that changes a state.
Rule 2: this file knows no vendor, no thread and no clock; time and I/O are events and effects.
Rule 3: a row names its guards and its emitters. An emitter may find nothing to do (no audio in a
text-only session), but it may not choose to do something else.

An event in a state is *taken*, *ignored* by a row with neither target nor emitters, or *refused*
because it has no row. Rows of one trigger and source are tried in order; the last has no guard.
"""

from __future__ import annotations

import attrs

__all__ = ["GROUPS", "INITIAL", "ROWS", "STATES", "Row", "State"]


@attrs.frozen
class State:
    """A state of the conversation.

    Attributes:
        name: Its name.
        meaning: Its one meaning.
        on_leave: Emitters that run whenever it is left.
    """

    name: str
    meaning: str
    on_leave: tuple[str, ...] = ()


@attrs.frozen
class Row:
    """One fact of the automaton.

    Attributes:
        trigger: Name of an event class.
        sources: States in which the row applies.
        target: State it leads to; None stays, without leaving or entering anything.
        when: Names of guards that must all hold.
        do: Names of emitters, in order.
        why: The reason, for the documents.
    """

    trigger: str
    sources: tuple[str, ...]
    target: str | None
    when: tuple[str, ...]
    do: tuple[str, ...]
    why: str


def row(
    trigger: str,
    source: str | tuple[str, ...],
    target: str | None,
    *,
    when: tuple[str, ...] = (),
    do: tuple[str, ...] = (),
    why: str,
) -> Row:
    """Write down one row; a single source may stand without its tuple."""
    return Row(trigger, (source,) if isinstance(source, str) else source, target, when, do, why)


INITIAL = "idle"

STATES = (
    State("idle", "nothing is open; start and end of every session"),
    State(
        "connecting",
        "the socket opens, the opening is sent, the server's acceptance is awaited",
        on_leave=("cancel_ready_timer",),
    ),
    State("listening", "the user has the floor: nothing of the agent is audible, no call holds the floor"),
    State("agent_speaking", "agent output is audible (text-only: a streamed response is open)"),
    State(
        "interrupted",
        "the agent's turn was cut and the next turn is not yet known",
        on_leave=("cancel_settle_timer",),
    ),
    State("tool_running", "nothing is audible and the agent waits for one or more tool results"),
    State("closing", "shutting down what is still open"),
)

OPEN = ("listening", "agent_speaking", "interrupted", "tool_running")
SILENT = ("listening", "interrupted", "tool_running")
LIVE = ("connecting", *OPEN)
EVERYWHERE = ("idle", *LIVE, "closing")

# Drawn once, from a frame around their states.
GROUPS = {"open": OPEN}

# fmt: off
ROWS = (
    # Opening
    row("Start", "idle", "connecting", when=("is_unused",), do=("open_socket", "arm_ready_timer"),
        why="a conversation begins"),
    row("Start", "idle", None, do=("reject_reuse",),
        why="a session is used once, so that nothing late of a former one reaches the next"),
    row("SocketOpened", "connecting", None, do=("send_opening",), why="the opening goes before all else"),
    row("SocketOpened", "closing", None, why="the attempt was given up; its close follows"),
    row("SessionReady", "connecting", "tool_running", when=("has_open_calls",),
        do=("accept_session", "start_audio", "release_held", "notify"),
        why="a tool was called before the server's acceptance came"),
    row("SessionReady", "connecting", "listening",
        do=("accept_session", "start_audio", "release_held", "notify"),
        why="the server accepted: microphone on, held messages go out in order"),
    row("SessionReady", OPEN, None, do=("diagnose_second_ready",), why="the first id stays"),
    row("SessionReady", "closing", None, why="too late to be of use"),

    # The agent speaks
    row("AgentAudio", SILENT, "agent_speaking", when=("is_playable",), do=("play", "notify"),
        why="first audio takes the floor"),
    row("AgentAudio", "agent_speaking", None, when=("is_playable",), do=("play", "notify"),
        why="speech goes on"),
    row("AgentAudio", OPEN, None, when=("is_stale", "is_unseen_item"), do=("withdraw_item",),
        why="begun when its turn was cut: the server shall know that nothing of it is heard"),
    row("AgentAudio", OPEN, None, when=("is_stale",), why="late audio of a turn already cut"),
    row("AgentAudio", OPEN, None, when=("is_empty",), do=("notify",), why="alignment may come without sound"),
    row("AgentAudio", LIVE, None, do=("diagnose_unplayable",), why="there is nothing to play it on"),
    row("AgentAudio", "closing", None, why="no further speech once the session ends"),
    row("Played", "agent_speaking", "tool_running", when=("is_last_heard", "has_open_calls"),
        do=("note_heard",), why="the loudspeaker ran dry and the agent waits for a tool"),
    row("Played", "agent_speaking", "listening", when=("is_last_heard",), do=("note_heard",),
        why="the turn ends when the loudspeaker runs dry, not when the last message arrives"),
    row("Played", "agent_speaking", None, when=("is_progress",), do=("note_heard",), why="more is queued"),
    row("Played", "agent_speaking", None, when=("is_finer",), do=("note_heard",),
        why="how far it came into what plays is what the server is told if that is cut"),
    row("Played", "closing", None, when=("is_last_heard",),
        do=("note_heard", "cancel_closing_timers", "stop_audio", "arm_close_timer"),
        why="the farewell was heard to its end"),
    row("Played", "closing", None, when=("is_progress",), do=("note_heard",), why="the farewell goes on"),
    row("Played", ("idle", *OPEN, "closing"), None, why="a late report of something flushed meanwhile"),

    # Text of the agent
    row("TextPart", SILENT, "agent_speaking", when=("opens_response",), do=("open_response", "notify"),
        why="text-only: a streamed response takes the floor"),
    row("TextPart", "agent_speaking", None, when=("opens_response",), do=("open_response", "notify"),
        why="text-only: the response goes on"),
    row("TextPart", "agent_speaking", "tool_running", when=("closes_response", "has_open_calls"),
        do=("close_response", "notify"), why="text-only: the response ended and the agent waits for a tool"),
    row("TextPart", "agent_speaking", "listening", when=("closes_response",), do=("close_response", "notify"),
        why="text-only: the response ended"),
    row("TextPart", LIVE, None, do=("notify",), why="text never moves a session that has audio"),
    row("TextPart", "closing", None, why="too late to be of use"),
    row("AgentResponse", "agent_speaking", "tool_running", when=("closes_response", "has_open_calls"),
        do=("close_response", "notify"),
        why="text-only: the full text ends the response; the agent waits for a tool"),
    row("AgentResponse", "agent_speaking", "listening", when=("closes_response",),
        do=("close_response", "notify"), why="text-only: the full text ends the response"),
    row("AgentResponse", LIVE, None, do=("notify",), why="it may come before, with or after its audio"),
    row("AgentResponse", "closing", None, why="too late to be of use"),

    # Interruption
    row("Interrupted", "agent_speaking", "interrupted",
        do=("void_turn", "arm_settle_timer", "notify"),
        why="the user cut in: silence now, whatever is queued"),
    row("Interrupted", "interrupted", None,
        do=("void_turn", "arm_settle_timer", "notify"),
        why="cut again before the next turn was known"),
    row("Interrupted", ("connecting", "listening", "tool_running"), None,
        do=("void_turn", "notify"),
        why="nothing is audible, but older audio still on its way is void; a running tool goes on"),
    row("Interrupted", "closing", None, why="a farewell is not interrupted by a late message"),
    row("Interrupt", "agent_speaking", "interrupted",
        do=("cut_in", "arm_settle_timer"),
        why="the user wants silence now, whatever the server thinks"),
    row("Interrupt", ("connecting", *SILENT), None, why="nothing is audible"),
    row("Interrupt", "closing", None, when=("is_draining",),
        do=("flush", "cancel_closing_timers", "stop_audio", "arm_close_timer"),
        why="the user does not want to hear the farewell"),
    row("Interrupt", "closing", None, why="nothing is audible"),
    row("UserTranscript", "interrupted", "tool_running", when=("has_open_calls",), do=("notify",),
        why="the user finished; the agent still waits for a tool"),
    row("UserTranscript", "interrupted", "listening", do=("notify",),
        why="the user finished; the agent is next"),
    row("UserTranscript", ("connecting", "listening", "agent_speaking", "tool_running"), None, do=("notify",),
        why="may come late, after the answer began"),
    row("UserTranscript", "closing", None, why="too late to be of use"),
    row("TimerFired", "interrupted", "tool_running", when=("is_settle_due", "has_open_calls"),
        do=("take_timer",), why="nothing followed the interruption; the agent still waits for a tool"),
    row("TimerFired", "interrupted", "listening", when=("is_settle_due",), do=("take_timer",),
        why="nothing followed the interruption"),

    # Replies that have to be asked for
    row("ResponseStarted", LIVE, None, do=("note_response_started", "notify"),
        why="one response is generated at a time"),
    row("ResponseStarted", "closing", None, why="too late to be of use"),
    row("ResponseEnded", LIVE, None, do=("note_response_ended", "ask_reply", "notify"),
        why="what waited for its end is asked for now"),
    row("ResponseEnded", "closing", None, why="too late to be of use"),
    row("ResponseRefused", LIVE, None, do=("note_response_refused", "ask_reply"),
        why="another one came first, or it cannot be had"),
    row("ResponseRefused", "closing", None, why="too late to be of use"),

    # Tools
    row("ToolCalled", ("listening", "interrupted"), "tool_running", when=("is_new_call", "expects_response"),
        do=("run_tool",), why="the agent waits for a result"),
    row("ToolCalled", LIVE, None, when=("is_new_call",), do=("run_tool",),
        why="runs without taking the floor"),
    row("ToolCalled", LIVE, None, do=("diagnose_repeated_call",),
        why="one id is one call, answered at most once"),
    row("ToolCalled", "closing", None, why="it could no longer be answered"),
    row("ToolCompleted", "tool_running", "listening", when=("is_last_open_call",),
        do=("note_reply_to_call", "answer_call"), why="the last awaited result is in"),
    row("ToolCompleted", "interrupted", None, when=("is_open_call",), do=("answer_call",),
        why="the user has the floor; the reply to them will know the result"),
    row("ToolCompleted", ("connecting", "listening", "agent_speaking", "tool_running"), None,
        when=("is_open_call",), do=("note_reply_to_call", "answer_call"),
        why="each result goes out at once"),
    row("ToolCompleted", EVERYWHERE, None, why="cancelled or answered before"),

    row("AnswerCall", "tool_running", "listening", when=("is_last_open_call",),
        do=("note_reply_to_call", "answer_by_hand"),
        why="the last awaited result is in, by hand"),
    row("AnswerCall", "interrupted", None, when=("is_awaited_call",), do=("answer_by_hand",),
        why="the user has the floor; the reply to them will know the result"),
    row("AnswerCall", ("connecting", "listening", "agent_speaking", "tool_running"), None,
        when=("is_awaited_call",), do=("note_reply_to_call", "answer_by_hand"),
        why="answered by hand; the handler's own result will be ignored"),
    row("AnswerCall", LIVE, None, do=("reject_answer",), why="one call is answered at most once"),

    # Approvals
    row("ApprovalAsked", LIVE, None, when=("is_new_approval", "can_ask_approval"),
        do=("ask_approval", "arm_approval_timer"), why="somebody decides, and nobody waits for it"),
    row("ApprovalAsked", LIVE, None, when=("is_new_approval",), do=("diagnose_crowded_approval",),
        why="a bound on what is undecided; unanswered is not approved"),
    row("ApprovalAsked", LIVE, None, why="one call is asked about once"),
    row("ApprovalAsked", "closing", None, why="it could no longer be answered"),
    row("ApprovalDecided", LIVE, None, when=("is_open_approval",), do=("answer_approval",),
        why="the decision goes out at once"),
    row("ApprovalDecided", EVERYWHERE, None, why="withdrawn or answered before"),
    row("DecideApproval", LIVE, None, when=("is_open_approval",), do=("answer_approval", "withdraw_approval"),
        why="decided by hand; the handler is not needed"),
    row("DecideApproval", LIVE, None, do=("reject_decision",), why="one call is answered at most once"),
    row("ApprovalWithdrawn", LIVE, None, when=("is_open_approval",), do=("withdraw_approval",),
        why="the server went on without an answer"),
    row("ApprovalWithdrawn", LIVE, None, why="nobody is being asked"),
    row("ApprovalWithdrawn", "closing", None, why="too late to be of use"),
    row("TimerFired", LIVE, None, when=("is_approval_due",),
        do=("take_timer", "withdraw_approval", "diagnose_undecided"),
        why="the server waits no longer; unanswered is not approved"),

    # What needs an answer or only informs
    row("Pinged", LIVE, None, do=("answer_ping", "notify"), why="the pong waits for nobody"),
    row("Pinged", "closing", None, why="nothing but the close frame is sent any more"),
    row("Informed", LIVE, None, do=("notify",), why="thirty kinds of message, none moves the session"),
    row("Informed", "closing", None, why="too late to be of use"),
    row("Malformed", LIVE, None, do=("diagnose_malformed",), why="one bad frame ends no conversation"),
    row("Malformed", "closing", None, why="too late to be of use"),

    # The user sends
    row("Send", "connecting", None, when=("is_reply_request",), do=("note_wanted_reply",),
        why="asked for once the server accepts"),
    row("Send", "connecting", None, when=("must_ask_reply", "can_hold"), do=("hold", "note_wanted_reply"),
        why="held until the server accepts, and asked for a reply then"),
    row("Send", OPEN, None, when=("is_reply_request",), do=("note_wanted_reply", "ask_reply"),
        why="asked for once the server is free"),
    row("Send", "agent_speaking", "interrupted", when=("must_ask_reply",),
        do=("cut_in", "arm_settle_timer", "transmit", "note_wanted_reply",
            "ask_reply"),
        why="a message of the user's interrupts, and this server cuts nothing by itself"),
    row("Send", SILENT, None, when=("must_ask_reply",),
        do=("cut_in", "transmit", "note_wanted_reply", "ask_reply"),
        why="the reply is to this message, not to what came before"),
    row("Send", OPEN, None, do=("transmit",), why="messages go out in the order of the calls"),
    row("Send", "connecting", None, when=("can_hold",), do=("hold",), why="held until the server accepts"),
    row("Send", "connecting", None, do=("reject_overflow",), why="a bound on what is held"),
    row("UserAudio", OPEN, None, do=("transmit_audio",), why="the server always hears the microphone"),
    row("UserAudio", ("idle", "closing"), None, why="the microphone's last piece may come late"),

    # Audio device
    row("AudioStarted", OPEN, None, do=("begin_playout",),
        why="what came while the device opened is played in order"),
    row("AudioStarted", "closing", None, when=("is_draining",), do=("begin_playout",),
        why="a short farewell"),
    row("AudioStarted", ("idle", "closing"), None, why="its stop is already on its way"),
    row("AudioFailed", OPEN, "closing", when=("needs_audio",),
        do=("blame_audio", "lose_playout", "wind_down", "close_socket", "stop_audio", "arm_close_timer"),
        why="configured to end without audio"),
    row("AudioFailed", "agent_speaking", "tool_running", when=("has_open_calls",),
        do=("lose_playout", "stop_audio", "diagnose_audio"), why="silent now; the agent waits for a tool"),
    row("AudioFailed", "agent_speaking", "listening", do=("lose_playout", "stop_audio", "diagnose_audio"),
        why="silent now; configured to go on without audio"),
    row("AudioFailed", SILENT, None, do=("lose_playout", "stop_audio", "diagnose_audio"),
        why="configured to go on without audio"),
    row("AudioFailed", "closing", None, when=("is_draining",),
        do=("lose_playout", "cancel_closing_timers", "stop_audio", "arm_close_timer"),
        why="the farewell cannot be heard any more"),
    row("AudioFailed", ("idle", "closing"), None, why="its stop is already on its way"),
    row("AudioStopped", OPEN, None, when=("is_audio_stopping",), do=("note_audio_stopped",),
        why="gone after its fault"),
    row("AudioStopped", "closing", "idle", when=("is_audio_last",),
        do=("note_audio_stopped", "cancel_closing_timers", "announce_end"),
        why="the last thing that was open"),
    row("AudioStopped", "closing", None, when=("is_audio_stopping",), do=("note_audio_stopped",),
        why="the socket is still open"),
    row("AudioStopped", ("idle", *OPEN, "closing"), None, why="nobody asked for it"),

    # Ending
    row("End", "idle", None, why="there is nothing to end"),
    row("End", LIVE, "closing",
        do=("blame_user", "flush", "wind_down", "close_socket", "stop_audio", "arm_close_timer"),
        why="the user ends it: silence at once"),
    row("End", "closing", None, when=("is_draining",),
        do=("flush", "cancel_closing_timers", "stop_audio", "arm_close_timer"),
        why="the user does not want to hear the farewell"),
    row("End", "closing", None, why="ending already; the first cause stands"),
    row("ConnectionFailed", "connecting", "closing",
        do=("note_socket_closed", "blame_connection", "wind_down", "arm_close_timer"),
        why="refused, unreachable or timed out"),
    row("ConnectionFailed", "closing", "idle", when=("is_socket_last",),
        do=("note_socket_closed", "cancel_closing_timers", "announce_end"),
        why="the attempt that was given up is over"),
    row("ConnectionFailed", "closing", None, do=("note_socket_closed",), why="audio is still open"),
    row("ConnectionFailed", "idle", None, why="it was waited for long enough"),
    row("SocketClosed", OPEN, "closing", when=("is_unheard",),
        do=("note_socket_closed", "blame_peer", "wind_down", "arm_drain_timer"),
        why="the server hung up; what it said is heard to its end"),
    row("SocketClosed", LIVE, "closing",
        do=("note_socket_closed", "blame_peer", "wind_down", "stop_audio", "arm_close_timer"),
        why="the server hung up or the network broke"),
    row("SocketClosed", "closing", "idle", when=("is_socket_last",),
        do=("note_socket_closed", "cancel_closing_timers", "announce_end"),
        why="the last thing that was open"),
    row("SocketClosed", "closing", None, do=("note_socket_closed",), why="audio is still open"),
    row("SocketClosed", "idle", None, why="it was waited for long enough"),
    row("SessionFailed", "connecting", "closing",
        do=("blame_server", "wind_down", "close_socket", "arm_close_timer"),
        why="the server does not accept the session"),
    row("SessionFailed", OPEN, None, do=("note_failure", "arm_hang_up_timer"),
        why="the server is about to close"),
    row("SessionFailed", "closing", None, why="ending already; the first cause stands"),
    row("AgentHungUp", LIVE, None, do=("note_hang_up", "arm_hang_up_timer"),
        why="the server is about to close"),
    row("AgentHungUp", "closing", None, why="ending already; the first cause stands"),
    row("TimerFired", "connecting", "closing", when=("is_ready_due",),
        do=("take_timer", "blame_silence", "wind_down", "close_socket", "arm_close_timer"),
        why="the server never accepted"),
    row("TimerFired", OPEN, "closing", when=("is_hang_up_due", "is_unheard"),
        do=("take_timer", "blame_hang_up", "wind_down", "close_socket", "arm_drain_timer", "arm_close_timer"),
        why="the agent hung up and the server forgot to close; the farewell is heard"),
    row("TimerFired", LIVE, "closing", when=("is_hang_up_due",),
        do=("take_timer", "blame_hang_up", "wind_down", "close_socket", "stop_audio", "arm_close_timer"),
        why="the agent hung up and the server forgot to close"),
    row("TimerFired", "closing", None, when=("is_drain_due",),
        do=("take_timer", "flush", "cancel_closing_timers", "stop_audio", "arm_close_timer"),
        why="the farewell is too long"),
    row("TimerFired", "closing", None, when=("is_close_due", "can_drop_socket"),
        do=("take_timer", "drop_socket", "arm_close_timer"), why="the peer does not answer the close frame"),
    row("TimerFired", "closing", None, when=("is_close_due", "is_draining"), do=("take_timer",),
        why="the farewell has a limit of its own"),
    row("TimerFired", "closing", "idle", when=("is_close_due",),
        do=("take_timer", "abandon", "cancel_closing_timers", "announce_end"),
        why="nothing is left to wait for, or it was waited for long enough"),
    row("TimerFired", EVERYWHERE, None, why="a timer cancelled or replaced while it fired"),
)
# fmt: on
