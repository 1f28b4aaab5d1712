"""The guards that the rows of user and turn name: predicates over an event and the data."""

from __future__ import annotations

import attrs

from convsm.machine import GROUPS
from convsm.machine.base import Event
from convsm.machine.events import (
    AgentAudio,
    ResponseRefused,
    ResponseStarted,
    Send,
    TimerFired,
)
from convsm.turns.events import (
    AgentChanged,
    CommitUserTurn,
    InterruptAgent,
    OverlapJudged,
    RequestAgentReply,
    SpeechEnded,
    SpeechStarted,
    TakeFloor,
    TurnHandlingChanged,
    TurnPredicted,
    TurnReleased,
)
from convsm.turns.words import WordGuards

__all__ = ["TurnGuards"]

# A final transcript that is older does not settle a commit: more may be on its way.
FRESH_SECONDS = 0.5


@attrs.define
class TurnGuards(WordGuards):
    """Everything a row can ask. Each guard gets the event that is being handled."""

    # The conversation

    def is_conversation_open(self, event: AgentChanged) -> bool:
        """The server has accepted and nobody has ended the conversation."""
        return event.target in GROUPS["open"]

    def is_conversation_over(self, event: AgentChanged) -> bool:
        """The conversation is not open any more."""
        return event.target not in GROUPS["open"]

    def is_conversation_idle(self, event: Event) -> bool:
        """No conversation was started, or it is over."""
        return self.session.state == "idle"

    def is_agent_starting(self, event: AgentChanged) -> bool:
        """The agent has become audible."""
        return event.target == "agent_speaking" != event.source

    def is_commit_answered(self, event: AgentChanged) -> bool:
        """The agent has become audible, and words of the turn are known."""
        return self.is_agent_starting(event) and bool(self.words)

    def is_undecided(self, event: Event) -> bool:
        """The agent is paused or held back, and may have to go on."""
        return self.session.is_undecided(event)

    def is_agent_audible(self, event: Event) -> bool:
        """The agent is heard right now."""
        return self.session.state == "agent_speaking"

    def is_agent_protected(self, event: Event) -> bool:
        """The agent speaks and may not be interrupted."""
        return self.is_agent_audible(event) and not self._is_interruptible()

    # Replies that may not be interrupted

    def is_taken_protected(self, event: RequestAgentReply) -> bool:
        """The reply may not be interrupted, and the conversation takes the request."""
        session = self.session
        is_held = session.is_reply_request(Send(event.message, kind="request")) or session.can_hold(event)
        is_taken = self._is_open() or (session.state == "connecting" and is_held)
        return is_taken and not event.allow_interruptions and event.message is not None

    def is_promised_reply(self, event: ResponseStarted | AgentAudio) -> bool:
        """The reply that may not be interrupted begins."""
        session = self.session
        if session.options.asks_replies:
            is_asked = session.generation == "asked" and not session.is_stopping
            return isinstance(event, ResponseStarted) and is_asked and self._is_promised(session.asked)
        is_next = bool(self.promises) and event.turn >= self.promised_from
        return is_next and (isinstance(event, ResponseStarted) or self._plays(event))

    def is_protected_piece(self, event: AgentAudio) -> bool:
        """It is more of the reply that may not be interrupted, and will be heard."""
        return event.turn == self.protected_turn and self._plays(event)

    def is_disowned(self, event: ResponseRefused) -> bool:
        """The response that was taken for the reply is another one."""
        session = self.session
        is_running = self.protected_turn is not None and session.generation == "running"
        return is_running and self._is_promised(session.asked)

    def is_promise_refused(self, event: ResponseRefused) -> bool:
        """No reply comes, of a server that is asked at once."""
        return bool(self.promises) and not self.session.options.asks_replies

    # The floor

    def cannot_take_floor(self, event: TakeFloor) -> bool:
        """The agent has it already, or is about to, or cannot be asked to speak."""
        return self.is_agent_audible(event) or bool(self.promises) or self.server.reply is None

    def is_reply_coming(self, event: TakeFloor) -> bool:
        """A reply to the turn that is over was asked for, or will be."""
        return not self.skips_reply

    def can_end_turn(self, event: TakeFloor) -> bool:
        """This side decides when the turn is over, by hand if it is held so."""
        return self.is_clients_turn(event) or self.holds_turn

    def is_nothing_awaited(self, event: TurnReleased) -> bool:
        """It is the turn that was committed last, and the agent is not asked to reply to it."""
        session = self.session
        is_asked = session.wanted is not None or session.generation != "none" or bool(self.promises)
        return self.is_current_turn(event) and self.server.reply is not None and not is_asked

    # Speech

    def has_local_voice(self, event: Event) -> bool:
        """A detector on this side was heard of."""
        return self.hears_locally

    def is_secondary(self, event: SpeechStarted | SpeechEnded) -> bool:
        """The server says it, and a detector of our own does so too."""
        return event.source == "server" and self.hears_locally and self.handling.turn_detection != "stt"

    def is_unattended(self, event: Event) -> bool:
        """Speech means nothing: the microphone is muted, or turns begin by hand and none has."""
        return self.has_muted or (self.handling.is_manual and not self.holds_turn)

    def is_voiced(self, event: Event) -> bool:
        """Speech has begun already."""
        return self.has_voice

    def is_voicing(self, event: Event) -> bool:
        """Speech has begun and does not pause."""
        return self.has_voice and self.quiet_since is None

    def is_claimed(self, event: Event) -> bool:
        """The turn is held by hand."""
        return self.holds_turn

    def is_server_listening(self, event: Event) -> bool:
        """The server heard speech begin, and not end."""
        return self.server_hears

    def awaits_recognition(self, event: SpeechEnded) -> bool:
        """Only the server's speech recognition ends speech."""
        return self.handling.turn_detection == "stt" and event.source == "local"

    def must_hold(self, event: AgentAudio) -> bool:
        """The agent is about to begin, and the user speaks and has hardly paused."""
        is_speaking = self.holds_turn or (self.has_voice and self.hears_locally and not self._is_quiet(event))
        # Where the server decides and has sent the words of this speech, this is the reply to them.
        is_reply = self.handling.is_servers and bool(self.words)
        can_hold = self._can_pause() and self._is_interruptible() and not is_reply
        is_silent = self.session.state not in ("agent_speaking", "closing") and not self.session.is_paused
        return is_speaking and can_hold and is_silent and self.session.is_playable(event)

    # Whose turn it is

    def is_users_message(self, event: Send) -> bool:
        """The user writes what others say."""
        return event.kind == "turn"

    def is_clients_turn(self, event: Event) -> bool:
        """This side decides when the turn is over, and not by hand."""
        return not self.handling.is_servers and not self.handling.is_manual

    def is_servers_turn(self, event: Event) -> bool:
        """The server decides when the turn is over."""
        return self.handling.is_servers

    def has_turn(self, event: Event) -> bool:
        """There are words, or none are told before the turn is over."""
        are_told = self.server.user_transcripts and self.server.transcribes_open_turns
        return bool(self.words) or not are_told

    # Interruptions

    def can_pause_agent(self, event: Event) -> bool:
        """The agent is heard, may be interrupted, and can be paused."""
        return self._may_interrupt() and self.is_agent_audible(event) and self._can_pause()

    def can_cut_agent(self, event: Event) -> bool:
        """The agent is heard, and sound alone may interrupt it."""
        can_cut = self.handling.interruption.min_words == 0
        return self._may_interrupt() and self.is_agent_audible(event) and can_cut

    def is_no_overlap(self, event: OverlapJudged) -> bool:
        """The agent is neither heard nor to be interrupted, or the verdict is about earlier speech."""
        if event.speech not in (0, self.speech):
            return True
        if self.session.is_undecided(event):
            # Of a server that ends turns, what is held back is the reply to words that come only now.
            is_held = self.holds_turn or (self.handling.is_servers and not self.is_serious)
            return is_held and self.server.commit is None
        # A server may send words late, when it replies to them already; only speech tells that apart.
        is_heard = not self.handling.is_servers or self._began_in_overlap()
        return not (self._may_interrupt() and self.is_agent_audible(event) and is_heard)

    def is_mere_backchannel(self, event: OverlapJudged) -> bool:
        """The user agrees without wanting the floor, and the agent has been heard for a while."""
        boundary = self.handling.interruption.backchannel_boundary
        start = boundary[0] if boundary is not None else 0.0
        began = self.began if self.began is not None else event.at
        is_early = self.agent_began is not None and began - self.agent_began < start
        return event.verdict == "backchannel" and not is_early

    def has_no_other_words(self, event: OverlapJudged) -> bool:
        """The turn has no words from before this overlap."""
        return self.overlap_from == 0

    def is_confirming(self, event: OverlapJudged) -> bool:
        """The user wants the floor, and there are words enough."""
        enough = self._word_count() >= self.handling.interruption.min_words
        return event.verdict == "interruption" and enough

    def may_not_cut_in(self, event: Event) -> bool:
        """The agent speaks, or may go on, and is protected, or the turn has too few words."""
        is_overlap = self.is_agent_audible(event) or self.is_undecided(event)
        has_too_few_words = is_overlap and self._word_count() < self.handling.interruption.min_words
        return has_too_few_words or self.is_agent_protected(event)

    # The end of the turn

    def is_expected(self, event: TurnPredicted) -> bool:
        """The answer is to the last question, and there was none before."""
        is_open = "prediction" in self.timers and self.prediction is None
        return event.prediction_id == self.prediction_id and is_open

    def is_end_unlikely(self, event: TurnPredicted) -> bool:
        """The detector expects the user to go on."""
        detector = self.handling.detector
        return detector is not None and event.probability < detector.unlikely_threshold

    def is_current_turn(self, event: TurnReleased) -> bool:
        """It is the turn that was committed last."""
        return event.turn == self.committed

    def has_reply_next(self, event: SpeechEnded) -> bool:
        """There are final words, or the agent was about to reply when speech began, and has not."""
        return bool(self.words) or self.is_awaiting

    def wants_reply(self, event: TurnReleased) -> bool:
        """A reply is wanted, and has to be asked for."""
        return event.wants_reply and not self.skips_reply and self.server.reply is not None

    # By hand

    def is_gentle(self, event: InterruptAgent) -> bool:
        """An agent that is protected is to be left alone."""
        return not event.force

    def cannot_skip_reply(self, event: CommitUserTurn) -> bool:
        """No reply is wanted, and the server gives one by itself."""
        return event.skip_reply and self.server.reply is None

    def is_settled(self, event: CommitUserTurn) -> bool:
        """The last words are in, or none are ever told."""
        is_fresh = self.last_spoke is not None and event.at - self.last_spoke <= FRESH_SECONDS
        is_said = bool(self.words) and not self.has_voice and not is_fresh
        return is_said or not self.server.user_transcripts

    def is_reply_held(self, event: CommitUserTurn) -> bool:
        """What was held back while the turn was held by hand is of a server that ends turns itself."""
        return self.holds_turn and self.is_undecided(event) and self.server.commit is None

    def has_something(self, event: Event) -> bool:
        """There are words that await a reply, or the server was told that the turn is over."""
        is_awaited = bool(self.interim) and not self.is_agent_audible(event)
        return bool(self.words) or is_awaited or self.server.commit is not None

    def changes_hands(self, event: TurnHandlingChanged) -> bool:
        """Turns are to be ended by hand from now on, or not any more."""
        return event.handling.is_manual != self.handling.is_manual

    # The microphone

    def is_muted(self, event: Event) -> bool:
        """The user does not want to be heard."""
        return self.has_muted

    def needs_silence(self, event: Event) -> bool:
        """The server has to hear silence while the microphone is off."""
        return self.server.needs_continuous_audio

    def is_gate_closed(self, event: Event) -> bool:
        """Turns begin by hand, and none has."""
        return self.handling.is_manual and not self.holds_turn

    def is_shielded(self, event: Event) -> bool:
        """The agent is protected, or may hear itself, and the server would interrupt it."""
        is_protected = self.is_agent_protected(event) or self._is_reply_protected()
        is_unheard = self.handling.interruption.discard_audio_if_uninterruptible and is_protected
        # What is heard while echo cancellation settles may be the agent itself.
        return is_unheard or ("aec_warmup" in self.timers and self.is_agent_audible(event))

    # Timers

    def _is_due(self, event: TimerFired, name: str) -> bool:
        return event.name == name and self.timers.get(name) == event.token

    def is_interruption_due(self, event: TimerFired) -> bool:
        """The user has spoken long enough to be meant."""
        return self._is_due(event, "interruption")

    def is_dismissal_due(self, event: TimerFired) -> bool:
        """Silence and no word followed an interruption."""
        return self._is_due(event, "dismissal")

    def is_decision_due(self, event: TimerFired) -> bool:
        """A decision about the turn has taken too long."""
        return self._is_due(event, "decision")

    def is_endpoint_due(self, event: TimerFired) -> bool:
        """The user has not gone on."""
        return self._is_due(event, "endpointing")

    def is_prediction_due(self, event: TimerFired) -> bool:
        """The detector takes too long."""
        return self._is_due(event, "prediction")

    def is_inquiry_due(self, event: TimerFired) -> bool:
        """A pause is long enough for a detector that listens."""
        return self._is_due(event, "inquiry")

    def is_commit_due(self, event: TimerFired) -> bool:
        """The last words do not come."""
        return self._is_due(event, "commit")

    def is_reply_due(self, event: TimerFired) -> bool:
        """The agent does not reply."""
        return self._is_due(event, "reply")

    def is_away_due(self, event: TimerFired) -> bool:
        """Neither side has said anything for long."""
        return self._is_due(event, "away")

    def is_transcription_due(self, event: TimerFired) -> bool:
        """Words take too long."""
        return self._is_due(event, "transcription")

    def is_limit_due(self, event: TimerFired) -> bool:
        """The user has spoken for as long as the limit allows."""
        return self._is_due(event, "turn_limit")

    def is_promise_due(self, event: TimerFired) -> bool:
        """A reply that was asked for does not begin."""
        return self._is_due(event, "promise")

    def is_warmup_due(self, event: TimerFired) -> bool:
        """Echo cancellation has settled."""
        return self._is_due(event, "aec_warmup")
