"""What a session knows beside its state: data for guards to read and emitters to write."""

from __future__ import annotations

import attrs

from convsm.machine.effects import AnnounceEnd, Effect
from convsm.machine.table import INITIAL

__all__ = ["Context", "SessionOptions"]


@attrs.frozen
class SessionOptions:
    """The settings of a session; all times in seconds.

    Attributes:
        text_only: No audio either way; a streamed text response counts as speaking.
        needs_audio: End with an error when the audio interface fails, instead of going on silent.
        can_pause: Whether the audio interface can pause; else an interruption cannot be tentative.
        asks_replies: The server replies to messages and tool results only when it is asked to, and
            generates one response at a time.
        ready_seconds: From Start to the server's acceptance. 20: ten to open, as WebSocket clients
            commonly grant, and ten for the server to answer.
        settle_seconds: How long an interruption waits for what follows it.
        hang_up_seconds: How long the server may take to close after the agent's hang-up tool.
        close_seconds: How long the peer has for its close frame, and the audio interface for its
            stop. 0.9: with the drop that follows, an end fits into the second users are promised.
        drain_seconds: How long a farewell may play after the socket is gone.
        hold_limit: Messages that may wait for the server's acceptance.
        approval_limit: Approvals that may be undecided at once; further ones are not asked for.
        pause_limit: Bytes that may queue while playout is paused; what comes then decides that the
            agent is interrupted. 16 MiB are over eight minutes of pcm_16000.
    """

    text_only: bool = False
    needs_audio: bool = True
    can_pause: bool = True
    asks_replies: bool = False
    ready_seconds: float = 20.0
    settle_seconds: float = 2.0
    hang_up_seconds: float = 5.0
    close_seconds: float = 0.9
    drain_seconds: float = 10.0
    hold_limit: int = 64
    approval_limit: int = 64
    pause_limit: int = 16 * 1024 * 1024


@attrs.define
class Context:
    """The data of one session.

    Attributes:
        options: The settings.
        state: Name of the current state; only the table's interpreter writes it.
        conversation_id: The server's id, once it accepted.
        output_format: Negotiated format of the agent's audio.
        input_format: Negotiated format of the user's audio.
        socket: ``none``, ``opening``, ``open``, ``closing``, ``dropped`` or ``closed``.
        audio: ``none``, ``on``, ``stopping`` or ``stopped``.
        fresh_from: Lowest turn whose audio may play; None before the first interruption.
        spoken_turn: Highest turn of which audio was handed over; None before the first.
        handed: Number of the last Play.
        heard: Number of the last Play that was heard or flushed.
        is_paused: Whether playout is paused. With something unheard an interruption is undecided: in
            interrupted it is tentative, elsewhere speech is held back before its first sample.
        paused_bytes: Bytes handed over since the pause.
        beyond: Bytes heard of the Play behind that.
        unheard: What was played of items that the server wants to be told about and was not heard:
            number of the Play, item, bytes. Bounded by what the audio interface holds.
        heard_bytes: Bytes heard of each such item since the last cut.
        latest_item: The item that audio came of last.
        generated_turn: Highest turn that the server said it generates.
        generation: ``none``, ``asked`` or ``running``: the server's response.
        is_stopping: Whether the server gives that response up.
        asked: What it was last asked for.
        wanted: What it will be asked for once it generates nothing and no tool result is awaited.
        response_open: Whether a streamed text response is open (text-only).
        response_turn: Highest turn of that response, if parts carry one.
        calls: Tool calls that run: id and whether a result is still awaited.
        seen_calls: Every call id of the session. Not bounded: one short string a call, and
            forgetting one would let a repeated id run a tool twice.
        approvals: Ids of the calls that await approval.
        seen_approvals: Every id that was ever asked about; not bounded, as seen_calls.
        held: Messages waiting for the server's acceptance.
        timers: Armed timers: name and token.
        last_token: Token of the timer armed last.
        has_hung_up: Whether the agent's own hang-up tool was seen.
        failure: Why the server said that the session cannot go on; None if it did not.
        ending: The end to be announced; the first cause stands.
    """

    options: SessionOptions = attrs.field(factory=SessionOptions)
    state: str = INITIAL
    conversation_id: str | None = None
    output_format: str = "pcm_16000"
    input_format: str = "pcm_16000"
    socket: str = "none"
    audio: str = "none"
    fresh_from: int | None = None
    spoken_turn: int | None = None
    handed: int = 0
    heard: int = 0
    is_paused: bool = False
    paused_bytes: int = 0
    beyond: int = 0
    unheard: list[tuple[int, str, int]] = attrs.field(factory=list)
    heard_bytes: dict[str, int] = attrs.field(factory=dict)
    latest_item: str | None = None
    generated_turn: int | None = None
    generation: str = "none"
    is_stopping: bool = False
    asked: object = None
    wanted: object = None
    response_open: bool = False
    response_turn: int | None = None
    calls: dict[str, bool] = attrs.field(factory=dict)
    seen_calls: set[str] = attrs.field(factory=set)
    approvals: set[str] = attrs.field(factory=set)
    seen_approvals: set[str] = attrs.field(factory=set)
    held: list[object] = attrs.field(factory=list)
    timers: dict[str, int] = attrs.field(factory=dict)
    last_token: int = 0
    has_hung_up: bool = False
    failure: str | None = None
    ending: AnnounceEnd | None = None
    _effects: list[Effect] = attrs.field(factory=list, init=False, repr=False, eq=False)
