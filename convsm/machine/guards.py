"""The guards that rows name: predicates over an event and the session's data, free of side effects."""

from __future__ import annotations

import attrs

from convsm.machine.context import Context
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    AnswerCall,
    ApprovalAsked,
    ApprovalDecided,
    ApprovalWithdrawn,
    DecideApproval,
    Event,
    Played,
    Send,
    TextPart,
    TimerFired,
    ToolCalled,
    ToolCompleted,
)

__all__ = ["APPROVAL_TIMER", "Guards"]

# Each approval has a timer of its own: this and the id of the call.
APPROVAL_TIMER = "approval "


@attrs.define
class Guards(Context):
    """Everything a row can ask. Each guard gets the event that is being handled."""

    def is_unused(self, event: Event) -> bool:
        """The session was never started."""
        return self.socket == "none"

    # Speech

    def is_stale(self, event: AgentAudio) -> bool:
        """The audio belongs to a turn that was cut."""
        return self.fresh_from is not None and event.turn < self.fresh_from

    def is_unseen_item(self, event: AgentAudio) -> bool:
        """The server wants to be told about the item, and this is the first of it."""
        return event.item is not None and event.item != self.latest_item

    def is_empty(self, event: AgentAudio) -> bool:
        """The message carries no samples."""
        return not event.audio

    def is_playable(self, event: AgentAudio) -> bool:
        """There are samples of a turn that was not cut, and something to play them on."""
        return bool(event.audio) and self.audio == "on" and not self.is_stale(event)

    def is_unheard(self, event: Event) -> bool:
        """Something handed over was neither heard nor flushed, and it plays."""
        return self.heard < self.handed and not self.is_paused

    is_draining = is_unheard

    def is_undecided(self, event: Event) -> bool:
        """Playout is paused with something unheard: an interruption awaits its decision."""
        return self.is_paused and self.heard < self.handed

    def is_queueable(self, event: AgentAudio) -> bool:
        """Playout is paused, and the audio may wait behind what waits already."""
        return self.is_paused and self.is_playable(event) and not self._is_newer(event) and self._fits(event)

    def is_overflowing(self, event: AgentAudio) -> bool:
        """Playout is paused, and the audio is more than may wait."""
        return (
            self.is_paused and self.is_playable(event) and not self._is_newer(event) and not self._fits(event)
        )

    def _is_newer(self, event: AgentAudio) -> bool:
        return self.heard < self.handed and self.spoken_turn is not None and event.turn > self.spoken_turn

    def _fits(self, event: AgentAudio) -> bool:
        is_first = self.heard == self.handed
        return is_first or self.paused_bytes + len(event.audio) <= self.options.pause_limit

    def can_pause(self, event: Event) -> bool:
        """There is an audio interface that can pause."""
        return self.audio == "on" and self.options.can_pause

    def is_last_heard(self, event: Played) -> bool:
        """The report reaches the last thing that was handed over."""
        return self.heard < event.through == self.handed

    def is_progress(self, event: Played) -> bool:
        """The report says something new, and something is left."""
        return self.heard < event.through < self.handed

    def is_finer(self, event: Played) -> bool:
        """The report says how far into the next Play the loudspeaker is, and that is news."""
        return event.through == self.heard < self.handed and event.beyond > self.beyond

    def opens_response(self, event: TextPart) -> bool:
        """Text-only: a part of a response that was not cut."""
        return (
            self.options.text_only
            and event.kind != "stop"
            and (event.turn is None or self.fresh_from is None or event.turn >= self.fresh_from)
        )

    def closes_response(self, event: AgentResponse | TextPart) -> bool:
        """Text-only: the end of the response that is open, not of an older one."""
        return (
            self.response_open
            and (type(event) is not TextPart or event.kind == "stop")
            and (event.turn is None or self.response_turn is None or event.turn >= self.response_turn)
        )

    # Tools

    def has_open_calls(self, event: Event) -> bool:
        """The agent waits for a tool result."""
        return any(self.calls.values())

    def is_new_call(self, event: ToolCalled) -> bool:
        """The call's id was never seen in this session."""
        return event.call_id not in self.seen_calls

    def expects_response(self, event: ToolCalled) -> bool:
        """The agent will wait for the result of this call."""
        return event.expects_response

    def is_open_call(self, event: ToolCompleted) -> bool:
        """The call was neither answered nor cancelled."""
        return event.call_id in self.calls

    def is_awaited_call(self, event: AnswerCall) -> bool:
        """The agent waits for this result."""
        return self.calls.get(event.call_id, False)

    def is_last_open_call(self, event: ToolCompleted | AnswerCall) -> bool:
        """The agent waits for this result and for no other."""
        return self.calls.get(event.call_id, False) and sum(self.calls.values()) == 1

    # Approvals

    def is_new_approval(self, event: ApprovalAsked) -> bool:
        """The call's id was never asked about in this session."""
        return event.call_id not in self.seen_approvals

    def can_ask_approval(self, event: ApprovalAsked) -> bool:
        """There is room among the calls that await approval."""
        return len(self.approvals) < self.options.approval_limit

    def is_open_approval(self, event: ApprovalDecided | ApprovalWithdrawn | DecideApproval) -> bool:
        """The call still awaits approval."""
        return event.call_id in self.approvals

    # Sending

    def is_reply_request(self, event: Send) -> bool:
        """The message asks for a response, of which the server generates one at a time."""
        return self.options.asks_replies and event.kind == "request"

    def must_ask_reply(self, event: Send) -> bool:
        """The message is a turn of the user's, and the server replies only when asked."""
        return self.options.asks_replies and event.kind == "turn"

    def can_hold(self, event: Event) -> bool:
        """There is room among the messages that wait for the server's acceptance."""
        return len(self.held) < self.options.hold_limit

    # Ending

    def needs_audio(self, event: Event) -> bool:
        """The session was configured to end when audio fails."""
        return self.options.needs_audio

    def is_audio_stopping(self, event: Event) -> bool:
        """The audio interface was asked to stop and has not answered."""
        return self.audio == "stopping"

    def is_audio_last(self, event: Event) -> bool:
        """The audio interface is all that the session still waits for."""
        return self.audio == "stopping" and self.socket == "closed"

    def is_socket_last(self, event: Event) -> bool:
        """The socket is all that the session still waits for."""
        return self.socket != "closed" and self.audio in ("none", "stopped")

    def can_drop_socket(self, event: Event) -> bool:
        """The socket is still there and was not dropped yet."""
        return self.socket not in ("dropped", "closed")

    # Timers

    def _is_due(self, event: TimerFired, name: str) -> bool:
        return event.name == name and self.timers.get(name) == event.token

    def is_approval_due(self, event: TimerFired) -> bool:
        """The server no longer waits for an approval."""
        return event.name.startswith(APPROVAL_TIMER) and self._is_due(event, event.name)

    def is_ready_due(self, event: TimerFired) -> bool:
        """The server took too long to accept."""
        return self._is_due(event, "ready")

    def is_settle_due(self, event: TimerFired) -> bool:
        """Nothing followed an interruption."""
        return self._is_due(event, "settle")

    def is_hang_up_due(self, event: TimerFired) -> bool:
        """The server took too long to close after the agent hung up."""
        return self._is_due(event, "hang_up")

    def is_drain_due(self, event: TimerFired) -> bool:
        """The farewell took too long."""
        return self._is_due(event, "drain")

    def is_close_due(self, event: TimerFired) -> bool:
        """Closing took too long, or there is nothing to wait for."""
        return self._is_due(event, "close")
