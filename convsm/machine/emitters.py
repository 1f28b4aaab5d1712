"""The emitters that rows name: they append effects, update the session's data, and cannot fail."""

from __future__ import annotations

import attrs

from convsm.machine import effects
from convsm.machine.effects import AnnounceEnd
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    AudioFailed,
    ConnectionFailed,
    Event,
    Interrupted,
    Malformed,
    Pinged,
    Played,
    Send,
    SessionFailed,
    SessionReady,
    SocketClosed,
    TextPart,
    TimerFired,
    ToolCalled,
    ToolCompleted,
    UserAudio,
)
from convsm.machine.hearing import hear
from convsm.machine.replies import Replies

__all__ = ["Emitters"]


@attrs.define
class Emitters(Replies):
    """Everything a row can ask for. Each emitter gets the event that is being handled."""

    # Opening

    def open_socket(self, event: Event) -> None:
        """Connect."""
        self.socket = "opening"
        self._emit(effects.OpenSocket())

    def reject_reuse(self, event: Event) -> None:
        """Refuse to start a session again."""
        self._emit(effects.Reject("this session was used already; make a new one for each start"))

    def send_opening(self, event: Event) -> None:
        """Send the protocol's opening messages."""
        self.socket = "open"
        self._emit(effects.SendOpening())

    def accept_session(self, event: SessionReady) -> None:
        """Keep what the server told about the conversation."""
        self.conversation_id = event.conversation_id
        self.output_format = event.output_format
        self.input_format = event.input_format

    def diagnose_second_ready(self, event: SessionReady) -> None:
        """Say that the server accepted twice."""
        self._emit(effects.Diagnose("the server sent its session parameters twice; the first ones stay"))

    def start_audio(self, event: Event) -> None:
        """Open the audio interface, unless the session is text-only."""
        if not self.options.text_only:
            self.audio = "on"
            self._emit(effects.StartAudio(self.output_format, self.input_format))

    # Speech

    def play(self, event: AgentAudio) -> None:
        """Hand the audio over under the next number."""
        self.handed += 1
        self.latest_turn = max(self.latest_turn, event.turn)
        if event.item is not None:
            self.latest_item = event.item
            self.unheard.append((self.handed, event.item, len(event.audio)))
        self._emit(effects.Play(self.handed, event.audio, event.turn))

    def begin_playout(self, event: Event) -> None:
        """Release what was handed over while the device opened."""
        if self.audio == "on":
            self._emit(effects.BeginPlayout())

    def note_heard(self, event: Played) -> None:
        """Remember how far the loudspeaker came."""
        self.heard = event.through
        self.beyond = event.beyond if event.through < self.handed else 0
        hear(self.unheard, self.heard_bytes, event.through)

    def lose_playout(self, event: Event) -> None:
        """Count on none of what was handed over being heard."""
        self.heard = self.handed

    def flush(self, event: Event) -> None:
        """Fall silent."""
        self.heard = self.handed
        if self.audio == "on":
            self._emit(effects.Flush())

    def void_turn(self, event: Interrupted) -> None:
        """Fall silent and never go back behind the interruption; the user's turn comes first."""
        self.wanted = None
        self._void(event, event.fresh_from)

    def void_latest_turn(self, event: Event) -> None:
        """Fall silent and never go back to what is played or generated."""
        self._void(event, self.latest_turn + 1)

    def _void(self, event: Event, fresh_from: int) -> None:
        if self.fresh_from is None or fresh_from > self.fresh_from:
            self.fresh_from = fresh_from
        self.response_open = False
        self.flush(event)

    def open_response(self, event: TextPart) -> None:
        """Remember that a streamed response is open."""
        if not self.response_open:
            self.response_open, self.response_turn = True, event.turn
        elif event.turn is not None:
            self.response_turn = max(
                event.turn, event.turn if self.response_turn is None else self.response_turn
            )

    def close_response(self, event: AgentResponse | TextPart) -> None:
        """Remember that the streamed response ended."""
        self.response_open = False

    def diagnose_unplayable(self, event: AgentAudio) -> None:
        """Say that speech came when it cannot be played."""
        self._emit(
            effects.Diagnose(f"agent audio came in state {self.state!r} without an open audio interface")
        )

    # Tools

    def run_tool(self, event: ToolCalled) -> None:
        """Start the handler."""
        self.seen_calls.add(event.call_id)
        self.calls[event.call_id] = event.expects_response
        self._emit(effects.RunTool(event.call_id, event.name, event.parameters, event.expects_response))

    def answer_call(self, event: ToolCompleted) -> None:
        """Send the result if the agent waits for one."""
        if self.calls.pop(event.call_id):
            self._emit(
                effects.Transmit(
                    effects.ToolResult(event.call_id, event.result, event.is_error, event.error_type)
                )
            )

    def diagnose_repeated_call(self, event: ToolCalled) -> None:
        """Say that the server used the id of an earlier call."""
        self._emit(
            effects.Diagnose(f"tool {event.name!r} was called under an id that was used before; ignored")
        )

    # Answers and reports

    def answer_ping(self, event: Pinged) -> None:
        """Send the pong."""
        self._emit(effects.Transmit(effects.Pong(event.ping_id)))

    def notify(self, event: Event) -> None:
        """Tell the user's callbacks."""
        self._emit(effects.Notify(event))

    def diagnose_malformed(self, event: Malformed) -> None:
        """Say which field of which message was wrong."""
        where = f"field {event.field!r} of {event.kind!r}" if event.field else f"frame {event.kind!r}"
        self._emit(effects.Diagnose(f"{where} was unreadable ({event.problem}); ignored"))

    # Sending

    def transmit(self, event: Send) -> None:
        """Send the user's message."""
        self._emit(effects.Transmit(event.message))

    def transmit_audio(self, event: UserAudio) -> None:
        """Send a piece of the microphone's signal."""
        self._emit(effects.TransmitAudio(event.audio))

    def hold(self, event: Send) -> None:
        """Keep the message until the server accepts."""
        self.held.append(event.message)

    def release_held(self, event: Event) -> None:
        """Send what was held, in order."""
        for message in self.held:
            self._emit(effects.Transmit(message))
        self.held.clear()

    def reject_overflow(self, event: Send) -> None:
        """Refuse a message that cannot be held any more."""
        self._emit(
            effects.Reject(
                f"{self.options.hold_limit} messages already wait for the server's acceptance; "
                "wait until the session is ready"
            )
        )

    # Ending

    def note_hang_up(self, event: Event) -> None:
        """Remember that the agent ended the conversation."""
        self.has_hung_up = True

    def note_failure(self, event: SessionFailed) -> None:
        """Remember why the session cannot go on, unless the agent ended it before."""
        if self.failure is None and not self.has_hung_up:
            self.failure = event.message

    def _blame(
        self,
        reason: str,
        message: str,
        code: int | None = None,
        close_reason: str | None = None,
        status: int | None = None,
    ) -> None:
        was_ready = self.conversation_id is not None
        # Before the server's acceptance there is no conversation that the agent could hang up.
        if self.failure is not None:
            reason, message = "error", f"the server ended the session: {self.failure}"
        elif self.has_hung_up and was_ready:
            reason = "agent"
        self.ending = AnnounceEnd(reason, message, code, close_reason, was_ready, status)

    def blame_user(self, event: Event) -> None:
        """The user ended it."""
        self._blame("user", "the user ended the conversation")

    def blame_hang_up(self, event: Event) -> None:
        """The agent ended it, without a close frame."""
        self._blame("agent", "the agent hung up")

    def blame_peer(self, event: SocketClosed) -> None:
        """Whoever closed the socket ended it."""
        # 1000 and 1001 are how a server takes leave; before its acceptance nothing began that it could end.
        said_goodbye = event.code in (1000, 1001) and self.conversation_id is not None
        text = "the agent ended the conversation" if said_goodbye else "the connection was closed"
        self._blame(
            "agent" if said_goodbye else "error",
            f"{text} (close code {event.code})",
            event.code,
            event.reason,
        )

    def blame_connection(self, event: ConnectionFailed) -> None:
        """The connection never opened."""
        self._blame("error", event.message, status=event.status)

    def blame_server(self, event: SessionFailed) -> None:
        """The server refused the session."""
        self._blame("error", f"the server refused the session: {event.message}")

    def blame_silence(self, event: Event) -> None:
        """The server never accepted."""
        self._blame("error", f"the server did not accept the session within {self.options.ready_seconds:g} s")

    def blame_audio(self, event: AudioFailed) -> None:
        """The audio interface failed."""
        self._blame("error", f"audio failed: {event.message}")

    def diagnose_audio(self, event: AudioFailed) -> None:
        """Say that the session goes on without audio."""
        self._emit(effects.Diagnose(f"audio failed: {event.message}; the session goes on without audio"))

    def wind_down(self, event: Event) -> None:
        """Cancel what only an open session needs: tool calls, held messages, the hang-up timer."""
        for call_id in self.calls:
            self._emit(effects.CancelTool(call_id))
        self.calls.clear()
        self.held.clear()
        self.response_open = False
        self._cancel("hang_up")

    def close_socket(self, event: Event) -> None:
        """Say goodbye, or give up connecting."""
        self.socket = "closing"
        self._emit(effects.CloseSocket())

    def drop_socket(self, event: Event) -> None:
        """Wait for the peer no longer."""
        self.socket = "dropped"
        self._emit(effects.DropSocket())

    def note_socket_closed(self, event: Event) -> None:
        """Remember that the socket is gone."""
        self.socket = "closed"

    def stop_audio(self, event: Event) -> None:
        """Close the audio interface, if it is open."""
        if self.audio == "on":
            self.audio = "stopping"
            self._emit(effects.StopAudio())

    def note_audio_stopped(self, event: Event) -> None:
        """Remember that the audio interface is closed."""
        self.audio = "stopped"

    def abandon(self, event: Event) -> None:
        """Wait no longer for adapters that do not answer."""
        if self.audio == "stopping":
            self._emit(
                effects.Diagnose("the audio interface did not stop in time; the session ended without it")
            )
        if self.socket != "closed":
            self._emit(effects.Diagnose("the socket did not close in time; the session ended without it"))

    def announce_end(self, event: Event) -> None:
        """Tell that the conversation is over, and why."""
        if self.ending is not None:
            self._emit(self.ending)

    # Timers

    def _arm(self, name: str, seconds: float) -> None:
        self.last_token += 1
        self.timers[name] = self.last_token
        self._emit(effects.SetTimer(name, seconds, self.last_token))

    def _cancel(self, name: str) -> None:
        if self.timers.pop(name, None) is not None:
            self._emit(effects.CancelTimer(name))

    def take_timer(self, event: TimerFired) -> None:
        """Remember that the timer is no longer armed."""
        del self.timers[event.name]

    def arm_ready_timer(self, event: Event) -> None:
        """Limit the wait for the server's acceptance."""
        self._arm("ready", self.options.ready_seconds)

    def arm_settle_timer(self, event: Event) -> None:
        """Limit the wait for what follows an interruption."""
        self._arm("settle", self.options.settle_seconds)

    def arm_hang_up_timer(self, event: Event) -> None:
        """Limit the wait for the server's close; a repeated hang-up does not extend it."""
        if "hang_up" not in self.timers:
            self._arm("hang_up", self.options.hang_up_seconds)

    def arm_drain_timer(self, event: Event) -> None:
        """Limit the farewell."""
        self._arm("drain", self.options.drain_seconds)

    def arm_close_timer(self, event: Event) -> None:
        """Limit the wait for socket and audio; at once when neither is left."""
        is_waiting = self.socket != "closed" or self.audio in ("on", "stopping")
        self._arm("close", self.options.close_seconds if is_waiting else 0.0)

    def cancel_ready_timer(self, event: Event) -> None:
        """The server answered, or nobody waits for it any more."""
        self._cancel("ready")

    def cancel_settle_timer(self, event: Event) -> None:
        """The next turn is known."""
        self._cancel("settle")

    def cancel_closing_timers(self, event: Event) -> None:
        """Neither farewell nor close needs its limit any more."""
        self._cancel("drain")
        self._cancel("close")
