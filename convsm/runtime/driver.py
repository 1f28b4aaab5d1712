"""The threaded driver: performs one session's effects and feeds its events back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from convsm.audio.formats import audio_format
from convsm.audio.interface import AudioInterface
from convsm.errors import AudioError, RefusedCommand
from convsm.machine import Session, SessionOptions, effects
from convsm.machine.effects import AnnounceEnd, Effect, StateChanged
from convsm.machine.events import End, Event, Informed, Interrupt, Send, Start, TimerFired
from convsm.protocols.codec import Codec
from convsm.protocols.messages import ServerError
from convsm.runtime.audio_port import AudioPort
from convsm.runtime.mailbox import Mailbox
from convsm.runtime.notifier import Notifier
from convsm.runtime.timers import ThreadedTimers
from convsm.runtime.tool_runner import ToolRunner
from convsm.runtime.tools import ClientTools
from convsm.runtime.wiring import Observer
from convsm.transport.threaded import ThreadedTransport, TransportOptions
from convsm.transport.uplink import UplinkDropped

if TYPE_CHECKING:
    from convsm.recording import Recorder

__all__ = ["Driver", "Wiring"]

logger = logging.getLogger("convsm.session")

# How many different diagnostics are logged as warnings; a server that goes on is logged at DEBUG.
DIAGNOSTIC_LIMIT = 100


class _Over(Exception):
    """The session has ended: it cannot be started."""


@attrs.frozen
class Wiring:
    """Everything a driver needs beside the session.

    Attributes:
        options: The session's settings.
        codec: The protocol.
        resolve_url: Returns the URL to connect to; may block, runs on the connecting thread.
        transport: Limits of the connection.
        audio: The user's audio interface; None in a text-only session.
        tools: The client tools.
        observers: User callbacks by the type of event, or of the message of an Informed event.
        on_state_change: User callback for every change of state.
        on_end: User callbacks for the end.
        open_recorder: Opens the recording of the session, if one is wanted.
    """

    options: SessionOptions
    codec: Codec
    resolve_url: Callable[[], str]
    transport: TransportOptions
    audio: AudioInterface | None
    tools: ClientTools
    observers: Mapping[type, Observer]
    on_state_change: Observer | None
    on_end: tuple[Observer, ...]
    open_recorder: Callable[[SessionOptions], Recorder] | None


class Driver:
    """One session and everything that runs for it; used for one conversation.

    All public methods may be called from any thread.
    """

    make_timers: Callable[[Callable[[], None]], ThreadedTimers] = ThreadedTimers

    def __init__(self, wiring: Wiring) -> None:
        """Put the parts together; no thread starts and nothing opens before ``start``."""
        self.session = Session(wiring.options)
        self.ending: AnnounceEnd | None = None
        self.is_ready = threading.Event()
        self.is_over = threading.Event()
        self.diagnostics = 0
        self._wiring = wiring
        self._diagnosed: set[str] = set()
        self._server_error = ""
        # First, for it may raise and nothing else is to be cleaned up then.
        open_recorder = wiring.open_recorder
        self._recorder = open_recorder(wiring.options) if open_recorder is not None else None
        self.timers = type(self).make_timers(self._drain)
        self._mailbox = Mailbox(self._take, self.timers.clock, self.timers.wake, self._diagnose)
        self._notifier = Notifier()
        self._tools = ToolRunner(wiring.tools, self._mailbox.post)
        self._input_format = audio_format("pcm_16000")
        self.transport = ThreadedTransport(
            self._mailbox.post, wiring.codec.decode, wiring.resolve_url, wiring.transport
        )
        self._audio = AudioPort(
            wiring.audio,
            self._mailbox.post,
            self._mailbox.post_aside,
            self.timers,
            self.transport.wait_for_audio_room,
        )
        self._perform: dict[type[Effect], Callable[[Any], None]] = {
            effects.OpenSocket: lambda _: self.transport.open(),
            effects.CloseSocket: lambda effect: self.transport.close(effect.code),
            effects.DropSocket: lambda _: self.transport.drop(),
            effects.SendOpening: self._send_opening,
            effects.Transmit: lambda effect: self.transport.send(wiring.codec.encode(effect.message)),
            effects.TransmitAudio: self._transmit_audio,
            effects.StartAudio: self._start_audio,
            effects.BeginPlayout: lambda _: self._audio.begin(),
            effects.Play: self._audio.play,
            effects.Flush: lambda _: self._audio.flush(),
            effects.StopAudio: lambda _: self._audio.stop(),
            effects.RunTool: self._tools.run,
            effects.CancelTool: lambda effect: self._tools.cancel(effect.call_id),
            effects.SetTimer: self._set_timer,
            effects.CancelTimer: lambda effect: self.timers.cancel(effect.name),
            effects.StateChanged: self._state_changed,
            effects.Notify: self._notify,
            effects.Diagnose: lambda effect: self._diagnose(effect.what),
            effects.Unexpected: lambda effect: self._diagnose(
                f"{effect.event} came in state {effect.state!r}; ignored"
            ),
            effects.AnnounceEnd: self._announce_end,
        }

    # Commands

    def start(self) -> bool:
        """Begin the conversation; returns before anything is connected.

        Returns:
            False if the session has ended, so that a new one is needed.

        Raises:
            RefusedCommand: The session was started already and has not ended.
        """
        try:
            self._mailbox.call(Start())
        except _Over:
            return False
        return True

    def send(self, message: object) -> None:
        """Send a message of the user's.

        Raises:
            RefusedCommand: The session is not open, or too much waits to be sent.
            ProtocolError: The protocol cannot say this message.
        """
        self._wiring.codec.encode(message)
        if not self.transport.has_room:
            raise RefusedCommand(
                "Send", self.session.state, ("End",), "the network does not keep up with what is sent"
            )
        self._mailbox.call(Send(message))

    def interrupt(self) -> None:
        """Silence the agent; nothing happens while nothing of it is audible.

        Raises:
            RefusedCommand: There is no session.
        """
        self._mailbox.call(Interrupt())

    def end(self) -> None:
        """End the conversation; accepted in every state, returns once accepted."""
        # Never refused, so there is nothing to wait for: whoever drains will take it next. The caller
        # may hold a lock that the audio interface wants, so it is not held back either.
        self._mailbox.post_at_once(End())

    def join(self, timeout: float) -> None:
        """Wait after the end for audio, callbacks and threads, except those the caller is part of."""
        deadline = self.timers.clock() + timeout
        for part in (self._audio, self._notifier, self.transport, self.timers):
            part.join(max(0.0, deadline - self.timers.clock()))
        self.finish_recording(max(0.0, deadline - self.timers.clock()))

    def finish_recording(self, timeout: float) -> None:
        """Wait until the recording of a session that is over is written."""
        if self._recorder is not None:
            self._recorder.close(timeout)

    @property
    def is_performing_here(self) -> bool:
        """Whether the caller runs inside an effect, that is, in ``output`` or ``interrupt``."""
        return self._mailbox.is_owned_here

    # The stream

    def _drain(self) -> None:
        self._mailbox.drain()

    def _take(self, event: Event) -> None:
        if self.ending is not None and type(event) not in (Send, Interrupt):
            if type(event) is Start:
                raise _Over
            return  # what belongs to a session that is over ends here
        recorder = self._recorder
        try:
            asked = self.session.handle(event)
        except RefusedCommand:
            if recorder is not None and self.ending is None:
                recorder.refused(event)
            raise
        if recorder is not None:
            recorder.step(event, asked)
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

    # Effects

    def _send_opening(self, effect: effects.SendOpening) -> None:
        for message in self._wiring.codec.opening():
            self.transport.send(message)

    def _start_audio(self, effect: effects.StartAudio) -> None:
        with suppress(AudioError):  # a format that nobody knows: the audio port says so
            self._input_format = audio_format(effect.input_format)
        self._audio.start(effect)

    def _transmit_audio(self, effect: effects.TransmitAudio) -> None:
        self.transport.send_audio(
            self._wiring.codec.encode_audio(effect.audio), self._input_format.seconds_of(len(effect.audio))
        )

    def _set_timer(self, effect: effects.SetTimer) -> None:
        fire = partial(self._mailbox.post, TimerFired(effect.name, effect.token))
        if effect.seconds > 0:
            self.timers.set(effect.name, effect.seconds, fire)
        else:
            fire()  # behind what is being performed, without a hop between threads

    def _state_changed(self, effect: StateChanged) -> None:
        if effect.event == "SessionReady":
            self.is_ready.set()
        observer = self._wiring.on_state_change
        if observer is not None:
            self._notifier.notify(observer.name, observer.call, effect)

    def _notify(self, effect: effects.Notify) -> None:
        subject: object = effect.event
        if type(subject) is Informed:
            subject = subject.message
            self._note(subject)
        observer = self._wiring.observers.get(type(subject))
        if observer is not None:
            self._notifier.notify(observer.name, observer.call, subject)

    def _note(self, message: object) -> None:
        if type(message) is ServerError:
            # A close frame holds 123 bytes of reason, so this much says all; a log line is not for more.
            text = (message.message or message.error_type or "no text")[:500]
            self._server_error = text
            self._diagnose(f"the server reports an error: {text}")
        elif type(message) is UplinkDropped:
            self._diagnose("the network is slower than the microphone; the oldest audio was dropped")

    def _diagnose(self, what: str) -> None:
        self.diagnostics += 1
        is_new = what not in self._diagnosed and len(self._diagnosed) < DIAGNOSTIC_LIMIT
        if is_new:
            self._diagnosed.add(what)
        logger.log(logging.WARNING if is_new else logging.DEBUG, "%s", what)

    def _announce_end(self, effect: AnnounceEnd) -> None:
        if self._server_error and effect.close_code is not None and effect.reason == "error":
            effect = attrs.evolve(effect, message=f"{effect.message}; the server said: {self._server_error}")
        # From here on a new session may start, from a callback too: this one has let go of all before.
        self._tools.close()
        if self._recorder is not None:
            self._recorder.close(0)  # only asks; join waits
        self._mailbox.close()
        self.timers.close()
        self.ending = effect
        last = [(observer.name, observer.call, (effect,)) for observer in self._wiring.on_end]
        try:
            self._notifier.close(last)
        finally:
            # Nobody waits for ever, even where no thread can be had any more (at the interpreter's exit).
            self.is_ready.set()
            self.is_over.set()
