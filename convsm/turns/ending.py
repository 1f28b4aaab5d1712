"""The emitters about the end of a turn: delays, predictions, commits."""

from __future__ import annotations

import attrs

from convsm.machine import effects as machine
from convsm.machine.base import Event
from convsm.machine.events import InterruptionDismissed, Send, UserAudio
from convsm.turns import reports
from convsm.turns.detection import Overlap
from convsm.turns.effects import (
    CancelCommit,
    CompleteTurn,
    JudgeSound,
    ListenAnew,
    PredictTurn,
    Report,
    ResolveCommit,
)
from convsm.turns.events import CommitUserTurn, SpeechPaused, TakeFloor, TurnPredicted
from convsm.turns.owed import OwedWords
from convsm.turns.sound import bytes_per_second, silence

__all__ = ["TurnEnding"]

# How long a detector has for its answer, and how long a pause is before one that listens is asked.
PREDICTION_SECONDS = 1.0
INQUIRY_SECONDS = 0.2
# A reply that has not begun by then frees the user, where no time for being away is set.
REPLY_SECONDS = 15.0
# A commit's silence goes out in pieces of this length.
FLUSH_SECONDS = 0.2


@attrs.define
class TurnEnding(OwedWords):
    """What rows ask for when a turn may be over, or is."""

    # Waiting for the end

    def await_end_of_turn(self, event: Event) -> None:
        """Wait for the user to go on, or ask the detector how long to wait."""
        detector = self.handling.detector
        if detector is None:
            self._arm_endpointing(event, self.delays.min_delay)
        elif detector.is_streaming and self.prediction is not None:
            is_unlikely = self.prediction < detector.unlikely_threshold
            self._arm_endpointing(event, self.delays.max_delay if is_unlikely else self.delays.min_delay)
        elif not (detector.is_streaming and "prediction" in self.timers):
            self.ask_detector(event)

    def _arm_endpointing(self, event: Event, delay: float) -> None:
        since = event.at if self.last_spoke is None else self.last_spoke
        self._cancel("prediction")
        self._arm("endpointing", max(0.0, since + delay - event.at))

    def arm_short_delay(self, event: Event) -> None:
        """Wait for the short delay, from the last speech on."""
        self._arm_endpointing(event, self.delays.min_delay)

    def arm_long_delay(self, event: Event) -> None:
        """Wait for the long delay, from the last speech on."""
        self._arm_endpointing(event, self.delays.max_delay)

    def ask_detector(self, event: Event) -> None:
        """Ask the detector whether the turn is over, for a limited time."""
        self._cancel("endpointing")
        self.prediction_id, self.prediction = self.prediction_id + 1, None
        self._arm("prediction", PREDICTION_SECONDS)
        self._emit(PredictTurn(self.prediction_id, self.transcript()))

    def arm_inquiry_timer(self, event: SpeechPaused) -> None:
        """Ask a detector that listens, once the pause is long enough."""
        detector = self.handling.detector
        if detector is not None and detector.is_streaming:
            self._arm("inquiry", max(0.0, event.began + INQUIRY_SECONDS - event.at))

    def take_prediction(self, event: TurnPredicted) -> None:
        """Remember the detector's answer."""
        self.prediction = event.probability
        self._cancel("prediction")

    def drop_prediction(self, event: Event) -> None:
        """Forget what the detector was asked: the user goes on."""
        self.prediction = None
        self._cancel("inquiry")
        self._cancel("prediction")

    def cancel_endpointing_timers(self, event: Event) -> None:
        """Whether the turn is over is known."""
        self._cancel("endpointing")
        self._cancel("prediction")

    def cancel_end_timers(self, event: Event) -> None:
        """The user goes on: what only silence decides is open again."""
        self.drop_prediction(event)
        for name in ("endpointing", "transcription", "dismissal", "decision"):
            self._cancel(name)
        self.is_pending = False

    # The turn is over

    def _end_turn(self) -> str:
        transcript = self.transcript()
        self.words.clear()
        self.interim, self.overlap_from = "", 0
        self.prediction = None
        self._forget_silent_speech()
        self.turn += 1
        return transcript

    def _forget_silent_speech(self) -> None:
        self._cancel("transcription")
        self.silent_speech, self.silent_speech_began = 0.0, None

    def _complete(self, event: Event, skips_reply: bool = False) -> str:
        turn, transcript = self.turn, self._end_turn()
        self.forget_awaited(event)
        self.skips_reply, self.committed = skips_reply, turn
        if transcript or self.server.commit is None or not self.server.user_transcripts:
            # A server that is told of each turn transcribes each, in order.
            self._forgive_words()
        if not self.handling.is_servers:
            self._close_pieces(turn)
        is_taken = any(piece.turn == turn for piece in self.pieces)
        if not (transcript or is_taken or self.server.commit is not None):
            self._owe(turn, event)
        since = event.at if self.last_spoke is None else min(self.last_spoke, event.at)
        committed = reports.UserTurnCommitted(turn, transcript, occurred_at=since, known_at=event.at)
        self._emit(Report(committed))
        self._emit(CompleteTurn(turn, transcript, skips_reply))
        return transcript

    def close_turn(self, event: Event) -> None:
        """Take note that the server ended the turn, if there was one."""
        if self.words:
            self._complete(event)

    def commit_turn(self, event: Event) -> None:
        """End the turn and tell the server."""
        self._send_commit(event)
        self._complete(event)

    def yield_floor(self, event: TakeFloor) -> None:
        """End the turn as it stands, and ask the agent to speak in place of a reply to it."""
        self.release_turn(event)
        self._send_commit(event)
        self._complete(event, skips_reply=True)
        self.request_floor(event)

    def request_reply(self, event: Event) -> None:
        """Ask the agent to reply."""
        self._post(Send(self.server.reply, kind="request"))

    def note_awaited(self, event: Event) -> None:
        """Remember whether the agent is about to reply."""
        self.is_awaiting = self.state == "committed"

    def forget_awaited(self, event: Event) -> None:
        """Expect no reply from before this speech."""
        self.is_awaiting = self.has_release = False

    def forget_unless_committing(self, event: Event) -> None:
        """Expect no reply from before this speech, unless its commit may come to nothing."""
        if self.commit is None:
            self.forget_awaited(event)

    def keep_release(self, event: Event) -> None:
        """Remember that a reply may be asked for."""
        self.has_release = True

    def take_up_release(self, event: Event) -> None:
        """Ask for the reply that was released meanwhile, if one was."""
        if self.has_release:
            self.request_reply(event)

    def arm_reply_timer(self, event: Event) -> None:
        """Limit the wait for a reply."""
        self._arm("reply", self.handling.user_away_timeout or REPLY_SECONDS)

    def cancel_reply_timer(self, event: Event) -> None:
        """The agent replied, or the user goes on."""
        self._cancel("reply")

    # Interruptions that come to nothing

    def dismiss_interruption(self, event: Event) -> None:
        """Let an agent that was paused go on."""
        self._cancel("dismissal")
        self._cancel("decision")
        self.is_pending = False
        if self.session.is_paused:
            self._post(InterruptionDismissed())
        if self.has_told and self.session.is_undecided(event):
            fact = reports.AgentFalseInterruption(True, occurred_at=event.at, known_at=event.at)
            self._emit(Report(fact))

    def lift_brief_hold(self, event: Event) -> None:
        """Let an agent that was held back begin, if it was for a noise only."""
        if not self.is_serious:
            self.dismiss_interruption(event)

    def lift_pending(self, event: Event) -> None:
        """Let the agent go on, if only the turn kept it from that."""
        if self.is_pending:
            self.dismiss_interruption(event)

    def arm_dismissal_timer(self, event: Event) -> None:
        """Wait for words, or for the end of an interruption that was none; ask about its sound once more."""
        timeout = self.handling.interruption.false_interruption_timeout
        if self.session.is_undecided(event) and self.is_serious:
            # Without a timeout nothing pauses; what was paused under other settings goes on.
            self._arm("dismissal", timeout or 0.0)
            self.ask_about_sound(event)

    def ask_about_sound(self, event: Event) -> None:
        """Ask a classifier that listens whether the user wants the floor."""
        if self._judges_sound():
            self._emit(JudgeSound(self.speech, self._overlap(event, self._overlapping_text(), False)))

    def _overlap(self, event: Event, text: str, is_final: bool) -> Overlap:
        duration = max(0.0, event.at - self.began) if self.began is not None else 0.0
        return Overlap(text, is_final, duration)

    # By hand

    def begin_commit(self, event: CommitUserTurn) -> None:
        """Close the gate behind the turn and tell the server that it is over."""
        self.commit = event
        self.release_turn(event)
        self.cancel_end_timers(event)
        if event.skip_reply:
            # Nothing else would let a paused agent go on, or end it.
            self.lift_brief_hold(event)
            self.arm_dismissal_timer(event)
        self._send_commit(event)

    def flush_recognition(self, event: CommitUserTurn) -> None:
        """Send the silence that makes a server end the turn, where it cannot be told."""
        if self.server.commit is None:
            piece = silence(self.session.input_format, FLUSH_SECONDS)
            for _ in range(round(event.stt_flush_duration / FLUSH_SECONDS)):
                self._post(UserAudio(piece))

    def arm_commit_timer(self, event: CommitUserTurn) -> None:
        """Limit the wait for the last words."""
        self._arm("commit", max(0.0, event.transcript_timeout))

    def cancel_commit_timer(self, event: Event) -> None:
        """The last words are in, or not wanted any more."""
        self._cancel("commit")

    def supersede_commit(self, event: CommitUserTurn) -> None:
        """Give the former call up for this one; the wait begins anew."""
        if self.commit is not None:
            self._emit(CancelCommit(self.commit.commit_id))
        self.commit = event
        self.arm_commit_timer(event)

    def adopt_interim(self, event: Event) -> None:
        """Take words that never became final for final."""
        if self.interim:
            self.words.append(self.interim)
            self.interim = ""

    def finish_commit(self, event: Event) -> None:
        """Answer the commit with the turn's words."""
        commit = self.commit
        is_last_word = commit is not None and commit.skip_reply
        transcript = self._complete(event, is_last_word)
        if is_last_word:
            self.lift_pending(event)
        self._resolve(transcript)

    def answer_commit(self, event: CommitUserTurn) -> None:
        """Answer a commit that has nothing to end."""
        self.skips_reply = self.skips_reply or event.skip_reply
        self._emit(ResolveCommit(event.commit_id, ""))

    def _resolve(self, transcript: str) -> None:
        if self.commit is not None:
            self._emit(ResolveCommit(self.commit.commit_id, transcript))
            self.commit = None

    def resolve_commit(self, event: Event) -> None:
        """Answer the commit with what was said, though it is no turn."""
        self._resolve(self.transcript())
        self._clear_words(event)

    def claim_turn(self, event: Event) -> None:
        """Begin the turn by hand, without anything said before."""
        self.cancel_end_timers(event)
        self.clear_turn(event)
        self.holds_turn = True
        if not self.has_voice:
            # Nobody listened until now, so nobody knows whether the user speaks already.
            self._emit(ListenAnew())

    def release_turn(self, event: Event) -> None:
        """Hold the turn no longer; speech that goes on is none of it."""
        self.holds_turn = False
        if self.has_voice:
            self.has_voice, self.last_spoke = False, event.at

    def send_pre_roll(self, event: Event) -> None:
        """Send what the microphone heard just before."""
        if self.pre_roll:
            self._post(UserAudio(self.pre_roll))
            self.pre_roll = b""

    def clear_turn(self, event: Event) -> None:
        """Forget what was said, here and at the server."""
        self._clear_words(event)
        self._clear_limit()
        self._disown_pieces()
        self.last_spoke = None
        if self.server.clear is not None:
            self._post(Send(self.server.clear))

    def _clear_words(self, event: Event) -> None:
        """Forget the words of the open turn."""
        self.forget_awaited(event)
        self.words.clear()
        self.interim, self.overlap_from = "", 0
        self._forget_silent_speech()

    def _clear_limit(self) -> None:
        self._cancel("turn_limit")
        self.limit_began, self.has_exceeded = None, False
        self.limit_words.clear()

    def reject_inactive(self, event: Event) -> None:
        """Refuse: there is no open conversation."""
        what = type(event).__name__
        state = self.session.state
        self._emit(machine.Reject(f"{what} is not possible in state {state!r}: start a session and wait"))

    def reject_interruption(self, event: Event) -> None:
        """Refuse: the agent may not be interrupted."""
        self._emit(machine.Reject("the agent may not be interrupted while it speaks; use force to do so"))

    def reject_skip(self, event: Event) -> None:
        """Refuse: the server replies by itself."""
        self._emit(machine.Reject(f"skip_reply is not possible: {self.server.protocol} replies by itself"))

    def reject_commit(self, event: Event) -> None:
        """Refuse: there is no turn, and the agent speaks."""
        text = "there is no turn to commit while the agent speaks; interrupt it first"
        self._emit(machine.Reject(text))

    # The microphone

    def pass_audio(self, event: UserAudio) -> None:
        """Let the server hear the user."""
        self._post(event)

    def pass_silence(self, event: UserAudio) -> None:
        """Let the server hear as much silence."""
        rate = bytes_per_second(self.session.input_format)
        self._post(UserAudio(silence(self.session.input_format, len(event.audio) / rate)))

    def keep_pre_roll(self, event: UserAudio) -> None:
        """Keep the latest sound for a turn that may begin."""
        size = int(self.handling.pre_roll * bytes_per_second(self.session.input_format))
        size -= size % 2
        self.pre_roll = (self.pre_roll + event.audio)[-size:] if size else b""
