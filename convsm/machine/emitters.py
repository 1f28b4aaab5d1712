"""The emitters that rows name: they append effects, update the session's data, and cannot fail."""

from __future__ import annotations

import attrs

from convsm.machine import effects
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    AnswerCall,
    ApprovalAsked,
    ApprovalDecided,
    ApprovalWithdrawn,
    DecideApproval,
    Event,
    Interrupted,
    Malformed,
    Pinged,
    Played,
    Send,
    SessionReady,
    TextPart,
    TimerFired,
    ToolCalled,
    ToolCompleted,
    UserAudio,
)
from convsm.machine.guards import APPROVAL_TIMER
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
        self.spoken_turn = event.turn if self.spoken_turn is None else max(self.spoken_turn, event.turn)
        if self.is_paused:
            self.paused_bytes += len(event.audio)
        self._note_item(event, self.handed)
        self._emit(effects.Play(self.handed, event.audio, event.turn))

    def supersede(self, event: AgentAudio) -> None:
        """Cut a turn that is paused: the audio is of a later one."""
        if self.is_paused:
            self._void_before(event.turn)
            self.flush(event)
            # What the server generates now is the later turn; the paused one is complete.
            self._tell_heard(generated=None)

    def pause_playout(self, event: Event) -> None:
        """Fall silent without forgetting anything, unless playout is paused already."""
        if not self.is_paused:
            self.is_paused, self.paused_bytes = True, 0
            self._emit(effects.PauseAudio())

    def resume_playout(self, event: Event) -> None:
        """Play on, if playout is paused."""
        if self.is_paused:
            self.is_paused = False
            self._emit(effects.ResumeAudio())

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
        self.is_paused = False

    def void_turn(self, event: Interrupted) -> None:
        """Fall silent and never go back behind the interruption; tell the server what it wants to know."""
        self._void_before(event.fresh_from)
        self.flush(event)
        self._tell_cut(event.is_cancelled)

    def _void_before(self, turn: int) -> None:
        self.fresh_from = turn if self.fresh_from is None else max(self.fresh_from, turn)
        self.response_open = False

    def cut_in(self, event: Event) -> None:
        """Fall silent, void every turn that was heard of, and tell the server."""
        turn = self.response_turn if self.response_open else self.spoken_turn
        if self.options.asks_replies:
            turn = self.latest_turn
        # What the server has yet to send of it is not wanted either.
        if turn is not None:
            self._void_before(turn + 1)
        self.response_open = False
        self.flush(event)
        # A server that replies when asked is told what to stop, and what was heard.
        if not self.options.asks_replies:
            self._emit(effects.Transmit(effects.Interruption(turn)))
        self._tell_cut(is_cancelled=False)

    def open_response(self, event: TextPart) -> None:
        """Remember that a streamed response is open."""
        if not self.response_open:
            self.response_open, self.response_turn = True, event.turn
        elif event.turn is not None:
            former = event.turn if self.response_turn is None else self.response_turn
            self.response_turn = max(event.turn, former)

    def close_response(self, event: AgentResponse | TextPart) -> None:
        """Remember that the streamed response ended."""
        self.response_open = False

    def diagnose_unplayable(self, event: AgentAudio) -> None:
        """Say that speech came when it cannot be played."""
        what = f"agent audio came in state {self.state!r} without an open audio interface"
        self._emit(effects.Diagnose(what))

    # Tools

    def run_tool(self, event: ToolCalled) -> None:
        """Start the handler."""
        self.seen_calls.add(event.call_id)
        self.calls[event.call_id] = event.expects_response
        self._emit(effects.RunTool(event.call_id, event.name, event.parameters, event.expects_response))

    def answer_call(self, event: ToolCompleted) -> None:
        """Send the result if the agent waits for one, and ask for the reply that it wants."""
        if self.calls.pop(event.call_id):
            self._send_result(event)

    def _send_result(self, event: ToolCompleted | AnswerCall) -> None:
        result = effects.ToolResult(event.call_id, event.result, event.is_error, event.error_type)
        self._emit(effects.Transmit(result))
        self.ask_reply(event)

    def diagnose_repeated_call(self, event: ToolCalled) -> None:
        """Say that the server used the id of an earlier call."""
        what = f"tool {event.name!r} was called under an id that was used before; ignored"
        self._emit(effects.Diagnose(what))

    def answer_by_hand(self, event: AnswerCall) -> None:
        """Send the user's result; the handler's own is no longer awaited."""
        self.calls[event.call_id] = False
        self._send_result(event)
        self._emit(effects.ReleaseTool(event.call_id))

    def reject_answer(self, event: AnswerCall) -> None:
        """Refuse the answer to a call that is not open."""
        self._emit(effects.Reject(f"no result is awaited for the tool call {event.call_id!r}"))

    # Approvals

    def _approval_of(self, event: ApprovalWithdrawn | DecideApproval | TimerFired) -> str:
        if isinstance(event, TimerFired):
            return event.name.removeprefix(APPROVAL_TIMER)
        return event.call_id

    def ask_approval(self, event: ApprovalAsked) -> None:
        """Ask whether the call may run."""
        self.approvals.add(event.call_id)
        self.seen_approvals.add(event.call_id)
        self._emit(effects.AskApproval(event.call_id, event.request))

    def arm_approval_timer(self, event: ApprovalAsked) -> None:
        """Limit the wait for a decision, as the server does."""
        self._arm(APPROVAL_TIMER + event.call_id, event.seconds)

    def answer_approval(self, event: ApprovalDecided | DecideApproval) -> None:
        """Send the decision."""
        self.approvals.remove(event.call_id)
        self._cancel(APPROVAL_TIMER + event.call_id)
        self._emit(effects.Transmit(effects.Approval(event.call_id, event.is_approved)))

    def withdraw_approval(self, event: ApprovalWithdrawn | DecideApproval | TimerFired) -> None:
        """Wait for the handler's decision no longer."""
        call_id = self._approval_of(event)
        self.approvals.discard(call_id)
        self._cancel(APPROVAL_TIMER + call_id)
        self._emit(effects.WithdrawApproval(call_id))

    def reject_decision(self, event: DecideApproval) -> None:
        """Refuse a decision that nobody waits for."""
        self._emit(effects.Reject(f"the call {event.call_id!r} does not await approval"))

    def diagnose_crowded_approval(self, event: ApprovalAsked) -> None:
        """Say that an approval was not asked for."""
        limit = self.options.approval_limit
        self._emit(effects.Diagnose(f"{limit} calls already await approval; one more is ignored"))

    def diagnose_undecided(self, event: TimerFired) -> None:
        """Say that a decision did not come in time."""
        self._emit(effects.Diagnose(f"the call {self._approval_of(event)!r} was not approved in time"))

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
        """Send what was held, in order, and ask for the reply that it wants."""
        self._effects += [effects.Transmit(message) for message in self.held]
        self.held.clear()
        self.ask_reply(event)

    def reject_overflow(self, event: Send) -> None:
        """Refuse a message that cannot be held any more."""
        self._emit(
            effects.Reject(
                f"{self.options.hold_limit} messages already wait for the server's acceptance; "
                "wait until the session is ready"
            )
        )
