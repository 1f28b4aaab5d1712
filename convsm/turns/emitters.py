"""The emitters that the rows of user and turn name: speech, words, interruptions, presence."""

from __future__ import annotations

from typing import get_args

import attrs

from convsm.machine.base import Event
from convsm.machine.effects import Diagnose
from convsm.machine.events import (
    Interrupt,
    InterruptionSuspected,
    UserTranscript,
)
from convsm.turns import reports
from convsm.turns.detection import Overlap, OverlapClassifier, Verdict, count_words
from convsm.turns.effects import ListenAnew, ResolveCommit, StopListening
from convsm.turns.events import (
    AgentChanged,
    CommitUserTurn,
    InterimTranscript,
    OverlapJudged,
    SpeechEnded,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    TurnHandlingChanged,
)
from convsm.turns.limits import TurnLimits

__all__ = ["TurnEmitters"]

# How long an interruption may wait for a decision about the turn before it is dismissed.
DECISION_SECONDS = 5.0
# Silence after which the user's words are of another overlap, where no timeout says so.
OVERLAP_SECONDS = 2.0


@attrs.define
class TurnEmitters(TurnLimits):
    """Everything a row can ask for. Each emitter gets the event that is being handled."""

    # The conversation

    def note_agent(self, event: AgentChanged) -> None:
        """Remember when the agent began and ended to be heard."""
        if self.is_agent_starting(event):
            self.agent_began = event.at
            self.overlap_from = len(self.words)
            self.asides.clear()
            self.forget_awaited(event)
            self.delays = self.delays.agent_started(event.at)
            if self.server.transcribes_open_turns:
                # It replies, so it has heard the words; whatever comes now is of another turn.
                self._forgive_words()
        elif event.source == "agent_speaking" != event.target:
            self.delays = self.delays.agent_ended(event.at)

    def note_servers_cut(self, event: AgentChanged) -> None:
        """Take note, and tell, that the server cut off an agent that was heard and not paused for it."""
        is_cut = event.cause == "Interrupted" and event.source == "agent_speaking" != event.target
        if is_cut:
            # Speech from before the agent began is not what interrupted it.
            since = self.began if self.began is not None and self._began_in_overlap() else event.at
            self._tell_interruption(event, since, is_tentative=False)

    def settle_suspicion(self, event: AgentChanged) -> None:
        """Stop waiting for a decision that has been made."""
        if event.was_undecided and not event.is_undecided:
            self._cancel("dismissal")
            self._cancel("decision")
            self.is_pending = self.has_told = False

    def arm_warmup_timer(self, event: AgentChanged) -> None:
        """Leave echo cancellation its time, once a session."""
        seconds = self.handling.aec_warmup_duration
        if self.is_agent_starting(event) and not self.has_warmed_up and not self.session.options.text_only:
            self.has_warmed_up = True
            if seconds:
                self._arm("aec_warmup", seconds)

    def abandon_turn(self, event: Event) -> None:
        """Give up all that waits for anything."""
        for name in tuple(self.timers):
            self._cancel(name)
        if self.commit is not None:
            self._emit(ResolveCommit(self.commit.commit_id, self.transcript()))
            self.commit = None
        self._clear_words(event)
        self.has_voice = self.holds_turn = self.is_pending = self.server_hears = False
        self.quiet_since = None
        self.pieces.clear()
        self.pre_roll = b""
        self.asides.clear()
        self._clear_limit()
        self.waive_protection(event)

    # Speech

    def note_server_speech(self, event: SpeechStarted) -> None:
        """Remember that the server hears speech."""
        self._expect_pieces(event)
        self.server_hears = True

    def note_server_silence(self, event: Event) -> None:
        """Remember that the server hears speech no longer."""
        self.server_hears = False

    def note_speech(self, event: SpeechStarted) -> None:
        """Remember when speech began."""
        if event.source == "local":
            self.hears_locally = True
        self._expect_pieces(event)
        is_overlapping = self.session.state == "agent_speaking" or self.session.is_undecided(event)
        timeout = self.handling.interruption.false_interruption_timeout
        gap = OVERLAP_SECONDS if timeout is None else timeout
        # Interjections that lie so far apart do not add up to an interruption.
        if self.last_spoke is None or event.began - self.last_spoke > gap:
            self.overlap_from = len(self.words)
        self.speech += 1
        self.has_voice, self.began, self.last_spoke = True, event.began, event.at
        self.quiet_since, self.voiced_for, self.voiced_since = None, 0.0, event.began
        # What paused the agent stays as serious as it was, though a short sound follows.
        self.weigh_speech_anew(event)
        self.delays = self.delays.user_started(event.began, is_overlapping)

    def note_pause(self, event: SpeechPaused) -> None:
        """Remember when voice paused."""
        if self.quiet_since is None:
            self.voiced_for += max(0.0, event.began - self.voiced_since)
            self.quiet_since = self.last_spoke = event.began

    def note_resumption(self, event: SpeechResumed) -> None:
        """Remember when voice came back."""
        if self.quiet_since is not None:
            self.quiet_since, self.voiced_since, self.last_spoke = None, event.began, event.at

    def note_silence(self, event: SpeechEnded) -> None:
        """Remember when speech ended."""
        if not self.has_voice:
            return
        began = self.began if self.began is not None else event.ended
        if self.silent_speech_began is None:
            self.silent_speech_began = began
        self.silent_speech += max(0.0, event.ended - began)
        self.has_voice, self.last_spoke = False, event.ended
        self.delays = self.delays.user_ended(event.ended, self._is_backchannel())

    def _is_backchannel(self) -> bool:
        # Nothing of what was said in this overlap counted as words.
        is_speaking = self.session.state == "agent_speaking"
        return is_speaking and self.classifier is not None and len(self.words) == self.overlap_from

    def forget_hearing(self, event: Event) -> None:
        """Take the server's word for it when the user speaks."""
        self.hears_locally = False

    def mute(self, event: Event) -> None:
        """Let nobody hear the user."""
        self.has_muted = True
        self.pre_roll = b""
        self._emit(StopListening())

    def unmute(self, event: Event) -> None:
        """Let the user be heard again."""
        self.has_muted = False
        self._emit(ListenAnew())

    def end_speech(self, event: Event) -> None:
        """End speech that nobody hears any more."""
        if self.has_voice:
            self._post(SpeechEnded(event.at, "local" if self.hears_locally else "server"))

    # Words

    def add_words(self, event: UserTranscript) -> None:
        """Take final words for the open turn's."""
        self._note_words(event)
        self.words.append(event.text.strip())
        self.limit_words.append(event.text.strip())
        self.interim = ""
        self._forget_silent_speech()
        if not self.hears_locally and not self.has_voice:
            # Where nothing hears speech, words tell when it ended.
            self.last_spoke = event.at
        if self.limit_began is None:
            # A server sends them when speech has ended.
            self.limit_began = event.at if self.began is None else self.began

    def drop_words(self, event: Event) -> None:
        """Forget what the user said in this overlap."""
        kept = self.overlap_from
        if self.words[kept:]:
            self.asides.append((event.at, " ".join(self.words[kept:])))
        dropped = len(self.words) - kept
        del self.words[kept:]
        del self.limit_words[len(self.limit_words) - dropped :]
        self.interim = ""

    def release_words(self, event: AgentChanged) -> None:
        """Take words right before the agent's end for the user's turn after all."""
        self.words += self._late_asides(event)
        self.asides.clear()

    def note_interim(self, event: InterimTranscript) -> None:
        """Keep words that are not final."""
        self.interim = event.text.strip()

    def judge_overlap(self, event: UserTranscript | InterimTranscript) -> None:
        """Have the words of this overlap judged."""
        is_final = isinstance(event, UserTranscript)
        text = self._overlapping_text()
        if not count_words(text):
            return
        verdict: Verdict = "interruption"
        if self.classifier is not None and self.handling.interruption.mode != "vad":
            verdict = self._classify(self.classifier, self._overlap(event, text, is_final))
            if verdict == "unknown" and is_final:
                verdict = "interruption"
        self._post(OverlapJudged(verdict, text))

    def _classify(self, classifier: OverlapClassifier, overlap: Overlap) -> Verdict:
        # It is the program's; a conversation does not end for its mistakes.
        try:
            verdict = classifier.classify(overlap)
        except Exception as error:
            found = f"raised {type(error).__name__}"
        else:
            if verdict in get_args(Verdict):
                return verdict
            found = f"returned {type(verdict).__name__}, which is no verdict"
        self._emit(Diagnose(f"the overlap classifier {found}; that counts as unknown"))
        return "unknown"

    def report_overlap(self, event: OverlapJudged) -> None:
        """Tell how the overlap was judged."""
        since = self.began if self.began is not None else event.at
        fact = reports.OverlappingSpeech(event.verdict, event.text, occurred_at=since, known_at=event.at)
        self._tell(fact)

    # Interruptions

    def arm_interruption_timer(self, event: Event) -> None:
        """Wait until speech is long enough to be meant."""
        # Who only hears it from a server that decides hears of the interruption from there too.
        is_known = self.hears_locally or not self.handling.is_servers or self.holds_turn
        if is_known and self._is_interruptible() and not self.is_serious:
            spoken = self.voiced_for + event.at - self.voiced_since
            self._arm("interruption", max(0.0, self.handling.interruption.min_duration - spoken))

    def cancel_speech_timers(self, event: Event) -> None:
        """Speech paused or ended."""
        self._cancel("interruption")
        self._cancel("inquiry")

    def note_serious(self, event: Event) -> None:
        """Remember that speech is long enough to be meant."""
        self.is_serious = True

    def weigh_speech_anew(self, event: Event) -> None:
        """Forget that speech was long enough, unless it has paused the agent for that."""
        self.is_serious = self.is_serious and self.session.is_undecided(event)

    def suspect_interruption(self, event: Event) -> None:
        """Pause the agent."""
        self._post(InterruptionSuspected())
        self._suspect(event)

    def interrupt_agent(self, event: Event) -> None:
        """Cut the agent off, as far as it can be heard."""
        self._post(Interrupt())

    def hold_agent(self, event: Event) -> None:
        """Pause before the first sample."""
        self._post(InterruptionSuspected())
        if self.has_voice and self.is_serious:
            self._suspect(event)

    def tell_suspicion(self, event: Event) -> None:
        """Tell that more than a noise holds the agent back, if that was not told."""
        if not self.has_told:
            self._suspect(event)

    def _suspect(self, event: Event) -> None:
        self.has_told = True
        self._report_interruption(event, is_tentative=True)

    def _report_interruption(self, event: Event, is_tentative: bool) -> None:
        # What was said before is not what interrupts.
        is_of_now = self.has_voice or self._began_in_overlap()
        since = self.began if self.began is not None and is_of_now else event.at
        self._tell_interruption(event, since, is_tentative)

    def confirm_by_commit(self, event: CommitUserTurn) -> None:
        """Cut the agent off, if a reply is wanted."""
        if not event.skip_reply:
            self.confirm_interruption(event)

    def _tell_interruption(self, event: Event, since: float, is_tentative: bool) -> None:
        fact = reports.UserInterruptionDetected(is_tentative, occurred_at=since, known_at=event.at)
        self._tell(fact)

    def confirm_interruption(self, event: Event) -> None:
        """Cut the agent off, if it is heard or may go on, and is not protected."""
        if self.session.is_undecided(event):
            self._post(Interrupt())
        elif self.is_agent_audible(event) and not self.is_agent_protected(event):
            self._post(Interrupt())
            self._report_interruption(event, is_tentative=False)

    def note_pending(self, event: Event) -> None:
        """Remember that the interruption waits for a decision."""
        self.is_pending = True

    def arm_decision_timer(self, event: Event) -> None:
        """Limit the wait for a decision."""
        self._arm("decision", DECISION_SECONDS)

    # Presence

    def arm_away_timer(self, event: Event) -> None:
        """Wait for somebody to say something, if nobody does and no tool runs."""
        timeout = self.handling.user_away_timeout
        if timeout is not None and self._is_idle(event):
            self._arm("away", timeout)

    def _is_idle(self, event: Event) -> bool:
        state = event.target if isinstance(event, AgentChanged) else self.session.state
        return state == "listening" and not self.session.calls and not self.session.is_undecided(event)

    def rearm_away_timer(self, event: Event) -> None:
        """Wait anew, for somebody did something."""
        self._cancel("away")
        self.arm_away_timer(event)

    def cancel_away_timer(self, event: Event) -> None:
        """The user said something, or is away."""
        self._cancel("away")

    def take_handling(self, event: TurnHandlingChanged) -> None:
        """Take the new settings."""
        self.handling = event.handling
        self.delays = self.delays.updated(event.handling.endpointing)
        if not event.handling.aec_warmup_duration:
            self._cancel("aec_warmup")
