"""The emitters that end a session, and those of its timers."""

from __future__ import annotations

import attrs

from convsm.machine import effects
from convsm.machine.effects import AnnounceEnd
from convsm.machine.emitting import Emitting
from convsm.machine.events import (
    AudioFailed,
    ConnectionFailed,
    Event,
    SessionFailed,
    SocketClosed,
)
from convsm.machine.guards import APPROVAL_TIMER, Guards

__all__ = ["Ending"]


@attrs.define
class Ending(Guards, Emitting):
    """What rows ask for when a session ends or a timer is concerned."""

    # Ending

    def flush(self, event: Event) -> None:
        """Fall silent; a pause is over."""
        self.heard = self.handed
        if self.audio == "on":
            self._emit(effects.Flush())
            if self.is_paused:
                self._emit(effects.ResumeAudio())
        self.is_paused = False

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
        if self.failure is not None:
            reason, message = "error", f"the server ended the session: {self.failure}"
        # Before the server's acceptance there is no conversation that the agent could hang up.
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
        """Cancel what only an open session needs: tools, approvals, what is held or paused, the hang-up."""
        if self.is_paused:
            self.flush(event)
        for call_id in self.calls:
            self._emit(effects.CancelTool(call_id))
        self.calls.clear()
        for call_id in sorted(self.approvals):
            self._emit(effects.WithdrawApproval(call_id))
            self._cancel(APPROVAL_TIMER + call_id)
        self.approvals.clear()
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
