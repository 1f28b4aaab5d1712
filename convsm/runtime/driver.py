"""The driver: performs one session's effects and feeds its events back, by whatever parts a shell brings."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from convsm.audio.formats import audio_format
from convsm.errors import AudioError, RefusedCommand
from convsm.machine import Session, effects
from convsm.machine.effects import AnnounceEnd, Effect, StateChanged
from convsm.machine.events import (
    CUTTING,
    AnswerCall,
    DecideApproval,
    End,
    Event,
    Informed,
    Interrupt,
    Played,
    Send,
    Start,
    TimerFired,
)
from convsm.observation.metrics import Metrics
from convsm.observation.transcript import Transcript
from convsm.protocols.messages import MultimodalMessage, UserMessage
from convsm.runtime.diagnostics import Diagnostics
from convsm.runtime.parts import AudioPlayer, Flag, Inbox, Notifying, ToolCalls, Transport
from convsm.runtime.readers import Readers
from convsm.runtime.stream import FrameReceived, FrameSent, UnhandledTool
from convsm.runtime.timers import Timers
from convsm.runtime.wiring import DisconnectionDetails, Stream, Wiring

if TYPE_CHECKING:
    from convsm.runtime.turn_port import Commit, TurnPort
    from convsm.runtime.wiring import TurnSetup

__all__ = ["Driver"]

logger = logging.getLogger("convsm.session")

# What a message is to the machine, if not just a message.
KINDS: Mapping[type, Literal["turn", "request"]] = {
    UserMessage: "turn",
    MultimodalMessage: "turn",
    effects.RequestReply: "request",
}
# Commands whose callers are told that the session is over, beside those of turn handling.
ANSWERED = frozenset({Send, Interrupt, AnswerCall, DecideApproval})


class Over(Exception):
    """The session has ended: it cannot be started."""


class Driver(ABC):
    """One session and everything that runs for it; used for one conversation.

    What an effect means is written here, once; who does it (threads or tasks), how events come into
    one order and how callbacks are called is the shell's, which makes the parts.

    Attributes:
        session: The session.
        ending: How it ended; None before.
        transcript: What was said.
        metrics: What was measured.
    """

    is_ready: Flag
    is_over: Flag
    timers: Timers
    transport: Transport
    _inbox: Inbox
    _notifier: Notifying
    _tools: ToolCalls
    _audio: AudioPlayer

    def __init__(self, wiring: Wiring) -> None:
        """Put the parts together; nothing starts and nothing opens before ``start``."""
        self.session = Session(wiring.options)
        self._handle: Callable[[Event], tuple[Effect, ...]] = self._happen
        self._answered: frozenset[type] = ANSWERED
        self.turns: TurnPort | None
        self.ending: AnnounceEnd | None = None
        self.transcript = Transcript()
        self.metrics = Metrics()
        self._wiring = wiring
        self._readers = Readers(
            wiring.observers, wiring.streams, lambda *callback: self._notifier.notify(*callback)
        )
        self._publish = self._readers.publish
        # Before the parts, for it may raise and nothing else is to be cleaned up then.
        open_recorder = wiring.open_recorder
        self._recorder = open_recorder(wiring.options) if open_recorder is not None else None
        self._input_format = audio_format("pcm_16000")
        # The clock is one of the parts, which in turn have something to say.
        self._diagnostics = Diagnostics(lambda: self.timers.clock())
        self.turns = None if wiring.turns is None else self._take_turns(wiring.turns)
        self._make_parts(wiring)
        transport, audio, tools = self.transport, self._audio, self._tools
        self._perform: dict[type[Effect], Callable[[Any], None]] = {
            effects.OpenSocket: lambda _: transport.open(),
            effects.CloseSocket: lambda effect: transport.close(effect.code),
            effects.DropSocket: lambda _: transport.drop(),
            effects.SendOpening: self._send_opening,
            effects.Transmit: lambda effect: self._transmit(wiring.codec.encode(effect.message)),
            effects.TransmitAudio: self._transmit_audio,
            effects.StartAudio: self._start_audio,
            effects.BeginPlayout: lambda _: audio.begin(),
            effects.Play: audio.play,
            effects.PauseAudio: lambda _: audio.pause(),
            effects.ResumeAudio: lambda _: audio.resume(),
            effects.Flush: lambda _: audio.flush(),
            effects.StopAudio: self._stop_audio,
            effects.RunTool: tools.run,
            effects.CancelTool: lambda effect: tools.cancel(effect.call_id),
            effects.ReleaseTool: lambda effect: tools.release(effect.call_id),
            effects.AskApproval: tools.ask,
            effects.WithdrawApproval: lambda effect: tools.withdraw(effect.call_id),
            effects.SetTimer: self._set_timer,
            effects.CancelTimer: lambda effect: self.timers.cancel(effect.name),
            effects.StateChanged: self._state_changed,
            effects.Notify: self._notify,
            effects.Diagnose: lambda effect: self._diagnostics.say(effect.what),
            effects.Unexpected: lambda effect: self._diagnostics.say(
                f"{effect.event} came in state {effect.state!r}; ignored"
            ),
            effects.AnnounceEnd: self._announce_end,
        }
        if self.turns is not None:
            self._perform.update(self.turns.performers)

    @abstractmethod
    def _make_parts(self, wiring: Wiring) -> None:
        """Make flags, timers, inbox, notifier, tools, transport and audio; nothing of them starts."""

    def _post_from_thread(self, event: Event) -> None:
        self._inbox.post(event)

    def _take_turns(self, setup: TurnSetup) -> TurnPort:
        """Let the table of user and turn see each event first."""
        from convsm.runtime.turn_port import TurnPort  # on use: others do not pay for it

        turns = TurnPort(
            setup,
            self.session,
            happen=self._happen,
            clock=lambda: self.timers.clock(),
            post=lambda event: self._inbox.post(event),
            post_from_thread=self._post_from_thread,
            publish=self._publish,
            consult=lambda call: self._tools.consult(call),
        )
        self._handle, self._answered = turns.handle, ANSWERED | turns.commands
        return turns

    # Commands

    def start(self) -> bool:
        """Begin the conversation; returns before anything is connected.

        Returns:
            False if the session has ended, so that a new one is needed.

        Raises:
            RefusedCommand: The session was started already and has not ended.
        """
        try:
            self._inbox.call(Start())
        except Over:
            return False
        return True

    def send(self, message: object, command: Event | None = None) -> None:
        """Send a message of the user's, by a command of turn handling's own if one is given.

        Raises:
            RefusedCommand: The session is not open, or too much waits to be sent.
            ProtocolError: The protocol cannot say this message.
        """
        self._wiring.codec.encode(message)
        if not self.transport.has_room:
            raise RefusedCommand(
                "Send", self.session.state, ("End",), "the network does not keep up with what is sent"
            )
        self._inbox.call(command or Send(message, KINDS.get(type(message), "message")))

    def interrupt(self, force: bool = False) -> None:
        """Silence the agent; nothing happens while nothing of it is audible.

        Raises:
            RefusedCommand: There is no session, or turn handling protects the agent and force is missing.
        """
        self._inbox.call(Interrupt() if self.turns is None else self.turns.interruption(force))

    def command(self, event: Event) -> None:
        """Do what the user wants, such as to answer what the server waits for, or to begin a turn.

        Raises:
            RefusedCommand: It is not possible in this state, or nothing waits for that answer.
        """
        self._inbox.call(event)

    def commit(
        self, future: Commit, transcript_timeout: float, stt_flush_duration: float, skip_reply: bool
    ) -> None:
        """End the user's turn by hand; the future is settled whatever happens."""
        assert self.turns is not None
        event = self.turns.commit(future, transcript_timeout, stt_flush_duration, skip_reply)
        with suppress(RefusedCommand):  # the future says so
            self._inbox.call(event)

    def end(self) -> None:
        """End the conversation; accepted in every state, returns once accepted."""
        # Never refused, so there is nothing to wait for: whoever drains will take it next. The caller
        # may hold a lock that the audio interface wants, so it is not held back either.
        self._inbox.post_at_once(End())

    @property
    def diagnostics(self) -> int:
        """How often something was to be said about the session."""
        return self._diagnostics.count

    @property
    def is_recorded(self) -> bool:
        """Whether the session is recorded."""
        return self._recorder is not None

    def finish_recording(self, timeout: float) -> None:
        """Wait until the recording of a session that is over is written."""
        if self._recorder is not None:
            self._recorder.close(timeout)

    # Readers

    def add_stream(self, stream: Stream) -> None:
        """Have a stream read everything from now on; one that comes after the end reads that only."""
        self._readers.add(stream)
        if self.ending is not None:
            stream.close(DisconnectionDetails.of(self.ending))

    @property
    def _tell_unhandled(self) -> Callable[[effects.RunTool], None] | None:
        """Tell of a call of a tool that nobody registered; None if nobody would answer it by hand."""
        return self._publish_unhandled if self._readers.wants(UnhandledTool) else None

    def _publish_unhandled(self, call: effects.RunTool) -> None:
        self._publish(UnhandledTool(call.name, call.call_id, dict(call.parameters)))

    # The stream of events

    def _take(self, event: Event) -> None:
        if self.ending is not None and type(event) not in self._answered:
            if type(event) is Start:
                raise Over
            return  # what belongs to a session that is over ends here
        try:
            self._carry_out(event, self._handle(event))
        except RefusedCommand as refusal:
            if self.turns is not None:
                self.turns.refused(event, refusal)
            raise

    def _happen(self, event: Event) -> tuple[Effect, ...]:
        """Let an event happen to the conversation; return what is to be done about it."""
        if type(event) in CUTTING and self.session.unheard:
            heard = self._audio.heard
            if heard is not None:
                played = Played(*heard, at=event.at)
                # At once, for the event itself may be refused.
                self._carry_out(played, self._note(played))
        return self._note(event)

    def _note(self, event: Event) -> tuple[Effect, ...]:
        recorder = self._recorder
        try:
            asked = self.session.handle(event)
        except RefusedCommand:
            if recorder is not None and self.ending is None:
                recorder.refused(event)
            raise
        if recorder is not None:
            recorder.step(event, asked)
        # Before the effects, so that a callback finds in the transcript what it is called for.
        for change in self.transcript.observe(event, asked):
            self._publish(change)
        for measured in self.metrics.observe(event, asked):
            self._publish(measured)
        return asked

    def _carry_out(self, event: Event, asked: tuple[Effect, ...]) -> None:
        """Perform effects in order.

        Raises:
            RefusedCommand: A rejection was among them.
        """
        rejection = None
        perform = self._perform
        for effect in asked:
            kind = type(effect)
            if kind is effects.Reject:
                rejection = effect.reason  # type: ignore[attr-defined]
                continue
            try:
                perform[kind](effect)
            except Exception:
                logger.exception("performing %s failed; the session goes on", kind.__name__)
        if rejection is not None:
            raise RefusedCommand(type(event).__name__, self.session.state, self.session.accepts(), rejection)

    def _decode(self, frame: str | bytes) -> tuple[Event, ...]:
        self.metrics.note_received(len(frame))
        if self._readers.is_tapped:
            self._publish(FrameReceived(frame.encode() if isinstance(frame, str) else frame))
        return self._wiring.codec.decode(frame)

    # Effects

    def _transmit(self, frame: bytes) -> None:
        self.metrics.note_sent(len(frame))
        if self._readers.is_tapped:
            self._publish(FrameSent(frame))
        self.transport.send(frame)

    def _send_opening(self, effect: effects.SendOpening) -> None:
        for frame in self._wiring.codec.opening():
            self._transmit(frame)

    def _transmit_audio(self, effect: effects.TransmitAudio) -> None:
        frame = self._wiring.codec.encode_audio(effect.audio)
        self.metrics.note_sent(len(frame))
        if self._readers.is_tapped:
            self._publish(FrameSent(frame))
        self.transport.send_audio(frame, self._input_format.seconds_of(len(effect.audio)))

    def _start_audio(self, effect: effects.StartAudio) -> None:
        with suppress(AudioError):  # a format that nobody knows: the audio port says so
            self._input_format = audio_format(effect.input_format)
            if self.turns is not None:
                self.turns.listen(self._input_format)
        self._audio.start(effect)

    def _stop_audio(self, effect: effects.StopAudio) -> None:
        if self.turns is not None:
            self.turns.listen_no_more()
        self._audio.stop()

    def _hear(self, audio: bytes) -> None:
        """Take what the microphone hears; from any thread, never waits."""
        if self.turns is not None:
            self.turns.hear(audio)

    def _set_timer(self, effect: effects.SetTimer) -> None:
        fire = partial(self._inbox.post, TimerFired(effect.name, effect.token))
        if effect.seconds > 0:
            self.timers.set(effect.name, effect.seconds, fire)
        else:
            fire()  # behind what is being performed, without a hop between threads

    def _state_changed(self, effect: StateChanged) -> None:
        if effect.event == "SessionReady":
            self.is_ready.set()
        self._publish(effect)

    def _notify(self, effect: effects.Notify) -> None:
        subject: object = effect.event
        if type(subject) is Informed:
            subject = subject.message
            self._diagnostics.note(subject)
        self._publish(subject)

    def _note_silence(self) -> None:
        """Take note that the audio interface has been silenced."""
        for change in self.metrics.note_silenced(self.timers.clock()):
            self._publish(change)

    def _announce_end(self, effect: AnnounceEnd) -> None:
        effect = self._diagnostics.explain(effect)
        # From here on a new session may start, from a callback too: this one has let go of all before.
        self._tools.close()
        if self.turns is not None:
            self.turns.close()
        if self._recorder is not None:
            self._recorder.close(0)  # only asks; join waits
        self._inbox.close()
        self.timers.close()
        self.ending = effect
        last = [(observer.name, observer.call, (effect,)) for observer in self._wiring.on_end]
        try:
            self._notifier.close(last)
        finally:
            # Nobody waits for ever, even where no thread can be had any more (at the interpreter's exit).
            for flag in (self.is_ready, self.is_over):
                flag.set()
            self._readers.close(DisconnectionDetails.of(effect))
