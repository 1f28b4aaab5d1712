"""The metrics of a session, as a reducer over its steps and what the driver counts beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convsm.machine.effects import (
    AnnounceEnd,
    CancelTool,
    Diagnose,
    Effect,
    Flush,
    Notify,
    PauseAudio,
    Play,
    ResumeAudio,
    RunTool,
    StateChanged,
    StopAudio,
    Transmit,
    Unexpected,
)
from convsm.machine.events import (
    AgentAudio,
    Event,
    InterruptionDismissed,
    Pinged,
    ToolCompleted,
    UserAudio,
    UserTranscript,
)
from convsm.observation.series import SeriesCollector
from convsm.observation.session_metrics import Measured, SessionMeasured, SessionMetrics, ToolMetrics
from convsm.protocols.messages import MultimodalMessage, UserMessage

__all__ = ["Measured", "Metrics", "SessionMeasured"]

Asked = tuple[Effect, ...]

# Different tools that are told apart; their names may be a server's.
_TOOL_LIMIT = 256
_OTHERS = "(others)"
# What a server may call a round trip, in milliseconds: eleven days are not one.
_LONGEST_PING = 1e9


class _Tool:
    __slots__ = ("errors", "seconds")

    def __init__(self) -> None:
        self.seconds = SeriesCollector()
        self.errors = 0


class Metrics:
    """Gathers the metrics of one session.

    Feed it every step, in order, from one thread at a time, before the step's effects are performed.
    ``note_received``, ``note_sent`` and ``note_silenced`` may each be called from a thread of its own.
    Take snapshots from any thread. Times are in seconds of the events' clock; what a clock that runs
    backwards would make negative is left out.
    """

    __slots__ = (
        "_agent_turns",
        "_answer_turn",
        "_bytes_received",
        "_bytes_sent",
        "_calls",
        "_cut_at",
        "_diagnostics",
        "_dry_at",
        "_entered_at",
        "_false_interruptions",
        "_gaps",
        "_held_turn",
        "_interruption_seconds",
        "_interruptions",
        "_is_paused",
        "_is_suspected",
        "_messages_received",
        "_messages_sent",
        "_pings",
        "_response_seconds",
        "_seconds",
        "_seconds_in",
        "_seconds_to_ready",
        "_silent_after",
        "_started_at",
        "_state",
        "_told",
        "_tools",
        "_turn",
        "_user_turns",
        "_waiting_since",
    )

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._seconds_to_ready: float | None = None
        self._response_seconds = SeriesCollector()
        self._interruption_seconds = SeriesCollector()
        self._gaps = SeriesCollector()
        self._pings = SeriesCollector()
        self._tools: dict[str, _Tool] = {}
        self._seconds_in: dict[str, float] = {}
        self._user_turns = 0
        self._agent_turns = 0
        self._interruptions = 0
        self._false_interruptions = 0
        self._diagnostics = 0
        self._messages_received = 0
        self._bytes_received = 0
        self._messages_sent = 0
        self._bytes_sent = 0
        # What is going on
        self._started_at: float | None = None
        self._state: str | None = None
        self._entered_at = 0.0
        self._turn: int | None = None  # of the last Play
        self._dry_at: float | None = None  # since when that turn is heard to its end
        self._waiting_since: float | None = None  # when the transcript came that is not answered
        self._answer_turn: int | None = None  # the turn whose audio is no answer to it
        self._cut_at: float | None = None  # when the interruption came that is not silent yet
        self._is_paused = False
        self._held_turn: int | None = None  # the turn whose audio came first during the pause
        self._is_suspected = False  # whether the pause silenced the agent and nothing decided on it yet
        self._silent_after: float | None = None  # how long it took that pause to silence the agent
        self._calls: dict[str, tuple[str, float]] = {}  # bounded by the machine's own open calls
        self._told: list[Measured | SessionMeasured] = []

    def observe(self, event: Event, asked: Asked) -> tuple[Measured | SessionMeasured, ...]:
        """Take one step of the session.

        Args:
            event: What the machine took.
            asked: What it asked for.

        Returns:
            What was measured by it; mostly nothing. With the end, one SessionMeasured.
        """
        kind = type(event)
        if kind is AgentAudio:
            # Speech that goes on is nearly all that ever comes.
            is_usual = self._waiting_since is None and not self._is_paused
            if is_usual and asked and type(asked[0]) is Play:
                self._turn = event.turn  # type: ignore[attr-defined]
                return ()
        elif kind is UserAudio:
            if asked and type(asked[0]) is Unexpected:
                self._diagnostics += 1
            return ()
        for effect in asked:
            take = _TAKE_EFFECT.get(type(effect))
            if take is not None:
                take(self, event, effect)
        take_event = _TAKE_EVENT.get(kind)
        if take_event is not None:
            take_event(self, event)
        told = self._told
        if not told:
            return ()
        self._told = []
        return tuple(told)

    def note_silenced(self, at: float) -> tuple[Measured, ...]:
        """Take that the audio interface's ``interrupt`` or ``pause`` returned, whyever it was called.

        Args:
            at: When, in seconds of the events' clock.

        Returns:
            The interruption that this was the end of, measured; or nothing. One that only pauses is
            measured by ``observe``, once it is confirmed.
        """
        cut_at, self._cut_at = self._cut_at, None
        if cut_at is None or at < cut_at:
            return ()
        if self._is_suspected:
            self._silent_after = at - cut_at
            return ()
        self._interruption_seconds.add(at - cut_at)
        return (Measured("interruption_seconds", at - cut_at),)

    def note_received(self, size: int) -> None:
        """Take that a message of so many bytes came from the server."""
        self._messages_received += 1
        self._bytes_received += size

    def note_sent(self, size: int) -> None:
        """Take that a message of so many bytes went to the server."""
        self._messages_sent += 1
        self._bytes_sent += size

    def snapshot(self, at: float | None = None) -> SessionMetrics:
        """Return what is measured so far.

        Taken while the session runs on another thread, its fields may be one step apart.

        Args:
            at: Now, in seconds of the events' clock, to have the time in the current state counted;
                None counts it once the state is left.
        """
        seconds_in = self._seconds_in.copy()
        state, entered_at = self._state, self._entered_at
        if at is not None and state is not None and at > entered_at and self._seconds is None:
            seconds_in[state] = seconds_in.get(state, 0.0) + at - entered_at
        tools = {
            name: ToolMetrics(tool.seconds.snapshot(), tool.errors)
            for name, tool in self._tools.copy().items()
        }
        return SessionMetrics(
            seconds=self._seconds,
            seconds_to_ready=self._seconds_to_ready,
            response_seconds=self._response_seconds.snapshot(),
            interruption_seconds=self._interruption_seconds.snapshot(),
            gap_seconds=self._gaps.snapshot(),
            tools=tools,
            ping_milliseconds=self._pings.snapshot(),
            seconds_in=seconds_in,
            user_turns=self._user_turns,
            agent_turns=self._agent_turns,
            interruptions=self._interruptions,
            false_interruptions=self._false_interruptions,
            diagnostics=self._diagnostics,
            messages_received=self._messages_received,
            bytes_received=self._bytes_received,
            messages_sent=self._messages_sent,
            bytes_sent=self._bytes_sent,
        )

    # Effects

    def _take_change(self, event: Event, change: StateChanged) -> None:
        at, source, target = change.at, change.source, change.target
        if change.event == "Start":
            self._started_at = at
        elif at >= self._entered_at:
            self._seconds_in[source] = self._seconds_in.get(source, 0.0) + at - self._entered_at
        self._state, self._entered_at = target, at
        started_at = self._started_at
        if change.event == "SessionReady" and started_at is not None and at >= started_at:
            self._seconds_to_ready = at - started_at
            self._told.append(Measured("seconds_to_ready", at - started_at))
        if target == "agent_speaking":
            self._take_floor(event)
        elif source == "agent_speaking":
            self._dry_at = at if change.event == "Played" and target == "listening" else None
            if target == "interrupted":
                self._cut_at, self._silent_after = at, None
                self._is_suspected = change.event == "InterruptionSuspected"
                self._interruptions += not self._is_suspected
        elif target != "listening":
            self._dry_at = None
        if target == "closing":
            # What is paused then is cut by the end, which is no interruption.
            self._is_suspected = False

    def _take_floor(self, event: Event) -> None:
        dry_at, self._dry_at = self._dry_at, None
        if self._is_suspected and type(event) is InterruptionDismissed:
            self._is_suspected, self._cut_at = False, None
            self._false_interruptions += 1
        elif type(event) is InterruptionDismissed:
            # What was held back belongs to the turn that had run dry, or else it is another.
            self._agent_turns += dry_at is None
        elif dry_at is None or type(event) is not AgentAudio or event.turn != self._turn:
            self._agent_turns += 1
        elif event.at >= dry_at:
            self._gaps.add(event.at - dry_at)
            self._told.append(Measured("gap_seconds", event.at - dry_at))

    def _take_play(self, event: Event, play: Play) -> None:
        former, self._turn = self._turn, play.turn
        if not self._is_paused:
            self._take_answer(play.turn, event.at)
        elif self._held_turn is None:
            self._held_turn = play.turn
            if play.turn != former:
                self._dry_at = None

    def _take_answer(self, turn: int, at: float) -> None:
        since = self._waiting_since
        if since is not None and turn != self._answer_turn:
            self._waiting_since = None
            if at >= since:
                self._response_seconds.add(at - since)
                self._told.append(Measured("response_seconds", at - since))

    def _take_pause(self, event: Event, effect: Effect) -> None:
        self._is_paused = True

    def _take_resumption(self, event: Event, effect: Effect) -> None:
        self._is_paused = False
        if self._is_suspected:
            # Neither dismissed nor confirmed: it was heard out before the pause took hold.
            self._is_suspected, self._cut_at = False, None
            self._dry_at = None if self._calls else event.at
        turn, self._held_turn = self._held_turn, None
        if turn is not None:
            self._take_answer(turn, event.at)

    def _take_flush(self, event: Event, effect: Effect) -> None:
        self._dry_at = self._held_turn = None
        if self._is_suspected:
            self._take_confirmation()
        elif self._cut_at != event.at:
            # Only the flush of this very step answers an interruption, and the change of state came before
            # it. One whose interface failed is not measured by a later one's silence.
            self._cut_at = None

    def _take_confirmation(self) -> None:
        self._is_suspected = False
        self._interruptions += 1
        if self._silent_after is not None:
            self._interruption_seconds.add(self._silent_after)
            self._told.append(Measured("interruption_seconds", self._silent_after))

    def _take_stop(self, event: Event, effect: Effect) -> None:
        # After a fault a pause is over without a word, and what it held is lost.
        self._is_paused = self._is_suspected = False
        self._take_flush(event, effect)

    def _take_message(self, event: Event, effect: Transmit) -> None:
        if type(effect.message) is UserMessage or type(effect.message) is MultimodalMessage:
            self._user_turns += 1
            self._dry_at = None

    def _take_call(self, event: Event, effect: RunTool) -> None:
        self._calls[effect.call_id] = (effect.name, event.at)
        self._dry_at = None

    def _drop_call(self, event: Event, effect: CancelTool) -> None:
        self._calls.pop(effect.call_id, None)

    def _count_diagnostic(self, event: Event, effect: Effect) -> None:
        self._diagnostics += 1

    def _take_notice(self, event: Event, notice: Notify) -> None:
        if type(event) is UserTranscript:
            self._take_transcript(event)
        elif type(event) is Pinged:
            latency = event.latency_ms
            if latency is not None and 0 <= latency <= _LONGEST_PING:
                self._pings.add(float(latency))

    def _take_transcript(self, event: UserTranscript) -> None:
        self._user_turns += 1
        self._dry_at = None
        if event.turn is not None and self._turn is not None and event.turn <= self._turn:
            return  # late: its answer began before
        self._waiting_since = event.at
        is_saying = self._state == "agent_speaking" or self._is_suspected or self._held_turn is not None
        self._answer_turn = self._turn if is_saying else None

    def _take_end(self, event: Event, end: AnnounceEnd) -> None:
        if self._started_at is not None and event.at >= self._started_at:
            self._seconds = event.at - self._started_at
        self._told.append(SessionMeasured(self.snapshot()))

    # Events

    def _take_completion(self, event: ToolCompleted) -> None:
        # Whether the result is still wanted shows in the open calls: one that is cancelled is not among them.
        call = self._calls.pop(event.call_id, None)
        if call is None or event.at < call[1]:
            return
        name, began_at = call
        if name not in self._tools and len(self._tools) >= _TOOL_LIMIT:
            name = _OTHERS
        tool = self._tools.setdefault(name, _Tool())
        tool.seconds.add(event.at - began_at)
        tool.errors += event.is_error
        self._told.append(Measured("tools", event.at - began_at, name))


# Kept off the instances: of bound methods, each would hold a cycle.
_TAKE_EFFECT: dict[type[Effect], Callable[[Metrics, Event, Any], None]] = {
    AnnounceEnd: Metrics._take_end,
    CancelTool: Metrics._drop_call,
    Diagnose: Metrics._count_diagnostic,
    Flush: Metrics._take_flush,
    Notify: Metrics._take_notice,
    PauseAudio: Metrics._take_pause,
    Play: Metrics._take_play,
    ResumeAudio: Metrics._take_resumption,
    RunTool: Metrics._take_call,
    StateChanged: Metrics._take_change,
    StopAudio: Metrics._take_stop,
    Transmit: Metrics._take_message,
    Unexpected: Metrics._count_diagnostic,
}
_TAKE_EVENT: dict[type[Event], Callable[[Metrics, Any], None]] = {
    ToolCompleted: Metrics._take_completion,
}
