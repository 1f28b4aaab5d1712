"""A model of the adapters and of the server: it knows what they owe and what they may send next.

It is the contract between the core and whoever performs its effects, written down so that random
sequences, exhaustive searches and state machine tests can walk inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any, TypeVar, cast

import attrs

from convsm.machine import Session, effects
from convsm.machine.effects import Effect
from convsm.machine.events import (
    COMMANDS,
    ApprovalDecided,
    AudioFailed,
    AudioStarted,
    AudioStopped,
    ConnectionFailed,
    End,
    Event,
    Interrupted,
    Played,
    ResponseEnded,
    ResponseRefused,
    ResponseStarted,
    SessionReady,
    SocketClosed,
    SocketOpened,
    Start,
    TimerFired,
    ToolCompleted,
    UserAudio,
)
from convsm.testing.frequencies import random_kind
from convsm.testing.observation import perform
from convsm.testing.reported_playout import may_report
from convsm.testing.served_replies import may_say, take_refusal, take_response
from convsm.testing.vocabulary import sayings

__all__ = ["World"]

E = TypeVar("E", bound=Event)


@attrs.define
class World:
    """Everything around one session that keeps the adapter contract.

    Ask it for an event (``offer``, ``pick``), let the session handle that, then tell the world both
    (``note``). The contract, adapter by adapter:

    * OpenSocket is answered by ConnectionFailed, or by SocketOpened and later one SocketClosed, also
      after CloseSocket and DropSocket. Frames come only in between, and so does evidence of an interruption.
    * StartAudio is answered by AudioStarted or AudioFailed, StopAudio by AudioStopped, which may
      overtake an answer to StartAudio. A fault may come at any time in between.
    * Played reports never go back and never beyond what was handed over; a flush does not recall them.
    * A pause takes hold later: what was handed over before it may still be heard, and the piece behind it.
    * A tool completes at most once, perhaps after it was cancelled or released.
    * An approval handler decides at most once, perhaps after its question was withdrawn.
    * A timer fires at most once, and when it is cancelled or replaced perhaps all the same.
    * A server that replies when asked (``asks_replies``) generates one response at a time and says when
      it begins and ends; only such a one names the items of its audio and refuses to reply.
    * A prompt world answers StopAudio and DropSocket before the close timer would give them up.

    Not thread-safe; ``snapshot`` gives an independent twin.

    Attributes:
        is_prompt: Whether adapters answer before the close timer gives them up. When not, answers
            may come after the session reached idle, and invariant 3 is not promised.
        asks_replies: Whether the server replies only when asked, as in the session's options.
        is_generating: Whether it generates a response.
        was_asked: Whether it was asked for one that has not begun.
        socket: ``none``, ``opening``, ``open`` or ``closed``.
        is_dropped: Whether DropSocket was asked for.
        is_ready: Whether the server sent its acceptance.
        owes_start: Whether StartAudio waits for its answer.
        owes_stop: Whether StopAudio waits for its answer.
        has_audio: Whether the audio interface is open or opening.
        has_microphone: Whether the microphone ever ran; its last pieces may be late.
        handed: Number of the last Play.
        reported: Number of the last Played.
        paused_at: Number of the last Play before playout was paused; None while it plays.
        fresh_from: Highest ``fresh_from`` that the server sent, or was told by an Interruption.
        timers: Armed timers: name and token.
        late_timers: Timers cancelled or replaced that may still fire.
        tools: Ids of the tools that run, cancelled ones too.
        asked: Ids of the calls that the approval handler decides on, withdrawn ones too.
        call_ids: Ids that the server uses.
        approval_ids: Ids that the server uses for what it wants approved.
        close_codes: Codes that the server closes with.
    """

    is_prompt: bool = True
    asks_replies: bool = False
    is_generating: bool = False
    was_asked: bool = False
    socket: str = "none"
    is_dropped: bool = False
    is_ready: bool = False
    owes_start: bool = False
    owes_stop: bool = False
    has_audio: bool = False
    has_microphone: bool = False
    handed: int = 0
    reported: int = 0
    paused_at: int | None = None
    fresh_from: int = 1
    timers: frozenset[tuple[str, int]] = frozenset()
    late_timers: frozenset[tuple[str, int]] = frozenset()
    tools: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()
    call_ids: tuple[str, ...] = ("call_1", "call_2", "call_3")
    approval_ids: tuple[str, ...] = ("call_1", "call_8")
    close_codes: tuple[int, ...] = (1000, 1001, 1006, 1008, 1011)

    # What may come

    def offer(self, kind: type[E]) -> Sequence[E]:
        """Return the events of one class that may come now, from a small vocabulary.

        Args:
            kind: A class of the input alphabet.

        Returns:
            The events; none if the contract forbids this class now.
        """
        offering = _OFFERS.get(kind)
        if offering is not None:
            return cast("Sequence[E]", offering(self))
        if kind not in COMMANDS and self.socket != "open":
            return ()
        return sayings(kind, self.fresh_from, self.call_ids, self.approval_ids, self.asks_replies)

    def owed(self) -> list[Event]:
        """Return what is to be expected next: answers to effects, and the server's acceptance."""
        kinds: list[type[Event]] = (
            [Start] if self.socket == "none" else [SocketOpened, AudioStarted, AudioStopped]
        )
        if not self.is_ready:
            kinds.append(SessionReady)
        return [event for kind in kinds for event in self.offer(kind)]

    def pick(self, random: Random) -> Event:
        """Return a random event that may come now.

        Args:
            random: The source of randomness; the same seed gives the same events.

        Returns:
            The event. What is owed comes more often than a fair choice would have it, and what
            ends a session more rarely, so that sequences get somewhere and stay there for a while.
        """
        if random.random() < 0.25:
            owed = self.owed()
            if owed:
                return random.choice(owed)
        while True:  # a command is always on offer, so this ends
            events = self.offer(random_kind(random))
            if events:
                return random.choice(events)

    # What came

    def note(self, event: Event, asked: Iterable[Effect]) -> None:
        """Take in what happened and what the session asked for in return.

        Args:
            event: The event that the session handled.
            asked: The effects that it returned; none if it refused a command.
        """
        taking = _TAKEN.get(type(event))
        if taking is not None:
            taking(self, event)
        for effect in asked:
            asking = _ASKED.get(type(effect))
            if asking is not None:
                asking(self, effect)

    def settle(self, session: Session, limit: int = 20) -> list[Event]:
        """End a session, answer all that it waits for, fire its timers, until it is idle.

        Args:
            session: The session that this world belongs to.
            limit: The most events that it may take.

        Returns:
            The events that it took.

        Raises:
            AssertionError: The session was not idle after that many events.
        """
        taken: list[Event] = []
        event: Event | None = End()
        while event is not None:
            if len(taken) == limit:
                raise AssertionError(f"the session did not reach idle within {limit} events: {taken}")
            self.note(event, perform(session, event))
            taken.append(event)
            event = None if session.state == "idle" else next(iter(self._answers()), None)
        if session.state != "idle":
            raise AssertionError(f"the session waits in {session.state!r}, but nothing is owed to it")
        return taken

    def _answers(self) -> list[Event]:
        kinds: tuple[type[Event], ...] = (AudioStarted, AudioStopped, SocketOpened, SocketClosed)
        answers = [event for kind in kinds for event in self.offer(kind)]
        return answers or [TimerFired(name, token) for name, token in sorted(self.timers)]

    # One method an event class, and one an effect class

    def _offer_opened(self) -> Sequence[Event]:
        return (SocketOpened(),) if self.socket == "opening" else ()

    def _offer_failed(self) -> Sequence[Event]:
        if self.socket != "opening":
            return ()
        return (ConnectionFailed("connection refused"), ConnectionFailed("forbidden", 403))

    def _offer_closed(self) -> Sequence[Event]:
        if self.socket != "open":
            return ()
        return [SocketClosed(code, "") for code in self.close_codes]

    def _offer_audio_started(self) -> Sequence[Event]:
        return (AudioStarted(),) if self.owes_start else ()

    def _offer_audio_stopped(self) -> Sequence[Event]:
        return (AudioStopped(),) if self.owes_stop else ()

    def _offer_audio_failed(self) -> Sequence[Event]:
        return (AudioFailed("the device is gone"),) if self.has_audio else ()

    def _offer_user_audio(self) -> Sequence[Event]:
        return (UserAudio(b"cd"),) if self.has_microphone else ()

    def _offer_completed(self) -> Sequence[Event]:
        return [
            ToolCompleted(call_id, "done", is_error)
            for call_id in sorted(self.tools)
            for is_error in (False, True)
        ]

    def _offer_decided(self) -> Sequence[Event]:
        return [
            ApprovalDecided(call_id, is_approved)
            for call_id in sorted(self.asked)
            for is_approved in (False, True)
        ]

    def _offer_timer(self) -> Sequence[Event]:
        return [
            TimerFired(name, token)
            for name, token in sorted(self.timers | self.late_timers)
            if name != "close" or (name, token) in self.late_timers or self._may_close()
        ]

    def _may_close(self) -> bool:
        """Whether the close timer finds nothing that a prompt adapter should have answered before."""
        will_drop = self.socket in ("opening", "open") and not self.is_dropped
        owes_nothing = self.socket == "closed" and not self.owes_stop
        return will_drop or owes_nothing or not self.is_prompt

    def _take_opened(self, event: Event) -> None:
        self.socket = "open"

    def _take_closed(self, event: Event) -> None:
        self.socket = "closed"

    def _take_ready(self, event: Event) -> None:
        self.is_ready = True

    def _take_interruption(self, event: Interrupted) -> None:
        self.fresh_from = max(self.fresh_from, event.fresh_from)

    def _take_audio_started(self, event: Event) -> None:
        self.owes_start, self.has_microphone = False, True

    def _take_audio_failed(self, event: Event) -> None:
        self.owes_start, self.paused_at = False, None

    def _take_audio_stopped(self, event: Event) -> None:
        self.owes_start = self.owes_stop = self.has_audio = False

    def _take_played(self, event: Played) -> None:
        self.reported = event.through

    def _take_completed(self, event: ToolCompleted) -> None:
        self.tools -= {event.call_id}

    def _take_decided(self, event: ApprovalDecided) -> None:
        self.asked -= {event.call_id}

    def _take_timer(self, event: TimerFired) -> None:
        fired = {(event.name, event.token)}
        self.timers, self.late_timers = self.timers - fired, self.late_timers - fired

    def _open_socket(self, effect: Effect) -> None:
        self.socket = "opening"

    def _transmit(self, effect: effects.Transmit) -> None:
        if type(effect.message) is effects.RequestReply:
            self.was_asked = True
        elif type(effect.message) is effects.Interruption and effect.message.turn is not None:
            self.fresh_from = max(self.fresh_from, effect.message.turn + 1)

    def _drop_socket(self, effect: Effect) -> None:
        self.is_dropped = True

    def _start_audio(self, effect: Effect) -> None:
        self.has_audio = self.owes_start = True

    def _stop_audio(self, effect: Effect) -> None:
        self.owes_stop = True

    def _play(self, effect: effects.Play) -> None:
        self.handed = effect.number

    def _pause(self, effect: Effect) -> None:
        self.paused_at = self.handed

    def _resume(self, effect: Effect) -> None:
        self.paused_at = None

    def _run_tool(self, effect: effects.RunTool) -> None:
        self.tools |= {effect.call_id}

    def _ask_approval(self, effect: effects.AskApproval) -> None:
        self.asked |= {effect.call_id}

    def _set_timer(self, effect: effects.SetTimer) -> None:
        self._disarm(effect.name)
        self.timers |= {(effect.name, effect.token)}

    def _cancel_timer(self, effect: effects.CancelTimer) -> None:
        self._disarm(effect.name)

    def _disarm(self, name: str) -> None:
        armed = {timer for timer in self.timers if timer[0] == name}
        self.timers, self.late_timers = self.timers - armed, self.late_timers | armed


_OFFERS: dict[type[Event], Callable[[World], Sequence[Event]]] = {
    ResponseStarted: lambda world: may_say(world, ResponseStarted),
    ResponseEnded: lambda world: may_say(world, ResponseEnded),
    ResponseRefused: lambda world: may_say(world, ResponseRefused),
    SocketOpened: World._offer_opened,
    ConnectionFailed: World._offer_failed,
    SocketClosed: World._offer_closed,
    AudioStarted: World._offer_audio_started,
    AudioStopped: World._offer_audio_stopped,
    AudioFailed: World._offer_audio_failed,
    UserAudio: World._offer_user_audio,
    Played: lambda world: may_report(world),
    ToolCompleted: World._offer_completed,
    ApprovalDecided: World._offer_decided,
    TimerFired: World._offer_timer,
}

_TAKEN: dict[type[Event], Callable[[World, Any], None]] = {
    SocketOpened: World._take_opened,
    ConnectionFailed: World._take_closed,
    SocketClosed: World._take_closed,
    SessionReady: World._take_ready,
    Interrupted: World._take_interruption,
    ResponseStarted: take_response,
    ResponseEnded: take_response,
    ResponseRefused: take_refusal,
    AudioStarted: World._take_audio_started,
    AudioFailed: World._take_audio_failed,
    AudioStopped: World._take_audio_stopped,
    Played: World._take_played,
    ToolCompleted: World._take_completed,
    ApprovalDecided: World._take_decided,
    TimerFired: World._take_timer,
}

_ASKED: dict[type[Effect], Callable[[World, Any], None]] = {
    effects.OpenSocket: World._open_socket,
    effects.Transmit: World._transmit,
    effects.DropSocket: World._drop_socket,
    effects.StartAudio: World._start_audio,
    effects.StopAudio: World._stop_audio,
    effects.Play: World._play,
    effects.PauseAudio: World._pause,
    effects.ResumeAudio: World._resume,
    effects.RunTool: World._run_tool,
    effects.AskApproval: World._ask_approval,
    effects.SetTimer: World._set_timer,
    effects.CancelTimer: World._cancel_timer,
}
