"""The second automaton: the user and their turn. States and rows, literal data and nothing else.

It runs first in the same step as the conversation's table (``convsm.machine.table``) and follows the
same rules. What it decides becomes an event of the conversation: a pause of playout, its end, an
interruption, a message. Who speaks, and whose turn is open, are one automaton, for each end of speech
is also a question about the turn.
"""

from __future__ import annotations

from convsm.machine.table import State, row

__all__ = ["GROUPS", "INITIAL", "ROWS", "STATES"]

INITIAL = "inactive"

STATES = (
    State("inactive", "there is no open conversation to take turns in"),
    State(
        "silent",
        "the user does not speak, and no turn of theirs is open",
        on_leave=("cancel_away_timer",),
    ),
    State(
        "speaking",
        "the user speaks, or holds the turn by hand",
        on_leave=("cancel_speech_timers",),
    ),
    State(
        "endpointing",
        "the user fell silent, and whether their turn is over is not yet known",
        on_leave=("cancel_endpointing_timers",),
    ),
    State(
        "committing",
        "the turn was ended by hand; its last words are awaited",
        on_leave=("cancel_commit_timer",),
    ),
    State(
        "committed",
        "the turn is over and the agent has not begun to reply",
        on_leave=("cancel_reply_timer",),
    ),
    State("away", "neither side has said anything for long"),
)

QUIET = ("silent", "endpointing", "committed", "away")
ACTIVE = ("silent", "speaking", "endpointing", "committing", "committed", "away")
# Where no decision about the turn is on its way on this side.
DECIDED = ("silent", "speaking", "committed", "away")
LISTENING = ("silent", "speaking", "endpointing", "committing", "away")
VOICELESS = ("inactive", *QUIET)
EVERYWHERE = ("inactive", *ACTIVE)

# Drawn once, from a frame around their states.
GROUPS = {"active": ACTIVE}

# fmt: off
ROWS = (
    # The conversation
    row("AgentChanged", "inactive", "silent", when=("is_conversation_open",), do=("arm_away_timer",),
        why="the server accepted: turns can be taken"),
    row("AgentChanged", "inactive", None, why="not open yet, or over"),
    row("AgentChanged", ACTIVE, "inactive", when=("is_conversation_over",), do=("abandon_turn",),
        why="no turn outlives its conversation, and no commit waits for ever"),
    row("AgentChanged", "committed", "silent", when=("is_agent_starting",),
        do=("note_agent", "settle_suspicion", "reset_turn_limit", "arm_warmup_timer"),
        why="the agent replies"),
    row("AgentChanged", "silent", None,
        do=("note_agent", "settle_suspicion", "reset_turn_limit", "arm_warmup_timer", "rearm_away_timer"),
        why="who waits for whom has changed"),
    row("AgentChanged", ("speaking", "endpointing", "committing", "committed", "away"), None,
        do=("note_agent", "settle_suspicion", "reset_turn_limit", "arm_warmup_timer"),
        why="the turn goes on beside the agent"),

    # The user speaks
    row("SpeechStarted", ACTIVE, None, when=("is_secondary",), do=("note_server_speech",),
        why="a detector of our own knows it sooner; that the server hears speech keeps a decision open"),
    row("SpeechStarted", ACTIVE, None, when=("is_unattended",),
        why="nobody listens: the microphone is muted, or turns begin by hand"),
    row("SpeechStarted", QUIET, "speaking",
        do=("note_speech", "open_turn_limit", "cancel_end_timers", "arm_interruption_timer"),
        why="the turn is open, or goes on; an undecided interruption stays so"),
    row("SpeechStarted", "speaking", None, when=("is_voiced",), why="both detectors, or one twice"),
    row("SpeechStarted", "speaking", None,
        do=("note_speech", "open_turn_limit", "cancel_end_timers", "arm_interruption_timer"),
        why="a turn held by hand has its first sound"),
    row("SpeechStarted", "committing", None, why="the turn was ended by hand"),
    row("SpeechStarted", "inactive", None, why="there is nobody to speak to"),
    row("SpeechPaused", "speaking", None, when=("is_voiced",),
        do=("note_pause", "cancel_speech_timers", "arm_inquiry_timer"),
        why="a pause is no speech, so it does not count towards an interruption"),
    row("SpeechPaused", EVERYWHERE, None, why="speech has ended already, or nobody listens"),
    row("SpeechResumed", "speaking", None, when=("is_voiced",),
        do=("note_resumption", "drop_prediction", "arm_interruption_timer"), why="the same speech goes on"),
    row("SpeechResumed", EVERYWHERE, None, why="speech has ended already, or nobody listens"),
    row("AgentAudio", "speaking", None, when=("must_hold",), do=("hold_agent",),
        why="no stale reply begins over a user who speaks again"),
    row("AgentAudio", EVERYWHERE, None, why="the conversation's business"),

    # The user falls silent
    row("SpeechEnded", ACTIVE, None, when=("is_secondary",), do=("note_server_silence",),
        why="a detector of our own is believed"),
    row("SpeechEnded", "speaking", None, when=("is_claimed",), do=("note_silence", "arm_transcription_timer"),
        why="a turn held by hand ends by hand"),
    row("SpeechEnded", "speaking", None, when=("awaits_recognition",),
        do=("note_silence", "lift_brief_hold", "arm_dismissal_timer"),
        why="the server's speech recognition says when speech has ended"),
    row("SpeechEnded", "speaking", "endpointing", when=("is_clients_turn", "has_turn"),
        do=("note_silence", "lift_brief_hold", "arm_dismissal_timer", "arm_transcription_timer",
            "await_end_of_turn"),
        why="whether the turn is over is decided here"),
    row("SpeechEnded", "speaking", "committed", when=("has_words",),
        do=("note_silence", "lift_brief_hold", "arm_dismissal_timer", "close_turn", "arm_reply_timer"),
        why="the server ended the turn and sent its words"),
    row("SpeechEnded", "speaking", "silent",
        do=("note_silence", "lift_brief_hold", "arm_dismissal_timer", "arm_transcription_timer",
            "arm_away_timer"),
        why="without words it may have been a noise; a turn begins with its first word"),
    row("SpeechEnded", ("committing", *VOICELESS), None, why="there was no speech that anybody listened to"),
    row("MicrophoneMuted", EVERYWHERE, None, do=("mute", "end_speech"),
        why="whoever is not heard does not speak"),
    row("MicrophoneUnmuted", EVERYWHERE, None, do=("unmute",), why="heard from here on"),

    # Words
    row("UserTranscript", "committing", "silent", when=("is_wordless", "has_no_words"),
        do=("resolve_commit", "arm_away_timer"), why="the turn was ended by hand, and nothing was said"),
    row("UserTranscript", ACTIVE, None, when=("is_wordless",), why="nothing was said"),
    row("UserTranscript", ("silent", "speaking", "endpointing", "committed", "away"), None, when=("is_late",),
        do=("report_late_words",), why="they belong to a turn that is over, and to no other"),
    row("UserTranscript", "speaking", None, do=("add_words", "judge_overlap", "report_many_words"),
        why="the turn goes on"),
    row("UserTranscript", ("silent", "away"), "endpointing", when=("is_clients_turn",),
        do=("add_words", "judge_overlap", "report_many_words", "await_end_of_turn"),
        why="the first words of a turn whose sound has ended, or was missed"),
    row("UserTranscript", ("silent", "away"), "committed",
        do=("add_words", "judge_overlap", "report_many_words", "close_turn", "arm_reply_timer"),
        why="the server ended the turn"),
    row("UserTranscript", "endpointing", None,
        do=("add_words", "judge_overlap", "report_many_words", "await_end_of_turn"),
        why="more of the turn: the wait begins anew, from the last speech"),
    row("UserTranscript", "committed", None, when=("is_servers_turn",),
        do=("add_words", "judge_overlap", "report_many_words", "close_turn", "arm_reply_timer"),
        why="another turn, before the agent replied to the one before"),
    row("UserTranscript", "committed", None, do=("report_late_words",), why="the turn is over"),
    row("UserTranscript", "committing", "committed", do=("add_words", "finish_commit", "arm_reply_timer"),
        why="the last words are in"),
    row("UserTranscript", "inactive", None, why="there is no turn"),
    row("InterimTranscript", ("inactive", "committed"), None, why="what comes behind a turn is not final"),
    row("InterimTranscript", LISTENING, None, when=("has_local_voice",), do=("note_interim",),
        why="a noise has interim words too; only final ones decide where speech itself is heard"),
    row("InterimTranscript", LISTENING, None, do=("note_interim", "judge_overlap"),
        why="without a detector nothing else tells early that the user speaks"),
    row("OverlapJudged", ACTIVE, None, when=("is_no_overlap",), why="the agent is not being interrupted"),
    row("OverlapJudged", ACTIVE, None, when=("is_mere_backchannel",),
        do=("report_overlap", "drop_words", "dismiss_interruption"), why="the user agrees, and listens on"),
    row("OverlapJudged", ACTIVE, None, when=("is_confirming",), do=("report_overlap", "confirm_interruption"),
        why="the user wants the floor"),
    row("OverlapJudged", EVERYWHERE, None, why="too little to decide"),

    # The end of the turn
    row("TurnPredicted", "endpointing", None, when=("is_expected", "is_end_unlikely"),
        do=("take_prediction", "arm_long_delay"), why="the user will probably go on"),
    row("TurnPredicted", "endpointing", None, when=("is_expected",),
        do=("take_prediction", "arm_short_delay"), why="the turn is probably over"),
    row("TurnPredicted", "speaking", None, when=("is_expected",), do=("take_prediction",),
        why="asked in a pause; it holds if speech ends without another sound"),
    row("TurnPredicted", EVERYWHERE, None, why="the answer to an older question"),
    row("TimerFired", "endpointing", None, when=("is_prediction_due",), do=("take_timer", "arm_short_delay"),
        why="a detector that does not answer delays nobody"),
    row("TimerFired", ("committing", *DECIDED), None, when=("is_prediction_due",), do=("take_timer",),
        why="asked in a pause, and not answered"),
    row("TimerFired", "speaking", None, when=("is_inquiry_due",), do=("take_timer", "ask_detector"),
        why="a detector that listens is asked in the pause already"),
    row("TimerFired", "endpointing", "silent", when=("is_endpoint_due", "is_agent_protected"),
        do=("take_timer", "lift_pending", "arm_away_timer"),
        why="the agent may not be interrupted: the words are kept for the turn that follows"),
    row("TimerFired", "endpointing", "silent", when=("is_endpoint_due", "has_too_few_words"),
        do=("take_timer", "lift_pending", "arm_away_timer"),
        why="too few words to interrupt; they are kept, so that small ones add up"),
    row("TimerFired", "endpointing", "committed", when=("is_endpoint_due",),
        do=("take_timer", "confirm_interruption", "commit_turn", "arm_reply_timer"), why="the turn is over"),
    row("TurnReleased", ("silent", "committed"), None, when=("is_current_turn", "wants_reply"),
        do=("request_reply",), why="the agent is asked to reply"),
    row("TurnReleased", EVERYWHERE, None, why="no reply is wanted, or the user has gone on"),
    row("TimerFired", "committed", "silent", when=("is_reply_due",), do=("take_timer", "arm_away_timer"),
        why="no reply came; the user is free to go away"),

    # Interruptions
    row("TimerFired", "speaking", None, when=("is_interruption_due", "is_undecided"),
        do=("take_timer", "note_serious"), why="held back already; now it is more than a noise"),
    row("TimerFired", "speaking", None, when=("is_interruption_due", "can_pause_agent"),
        do=("take_timer", "note_serious", "suspect_interruption"),
        why="long enough to be meant; words or the server confirm it, silence dismisses it"),
    row("TimerFired", "speaking", None, when=("is_interruption_due", "can_cut_agent"),
        do=("take_timer", "note_serious", "confirm_interruption"), why="long enough, and nothing can pause"),
    row("TimerFired", "speaking", None, when=("is_interruption_due",), do=("take_timer", "note_serious"),
        why="nobody is being interrupted, or not by sound alone"),
    row("TimerFired", ("endpointing", "committing"), None, when=("is_dismissal_due",),
        do=("take_timer", "note_pending", "arm_decision_timer"), why="the turn decides, but not for ever"),
    row("TimerFired", DECIDED, None, when=("is_dismissal_due", "is_server_listening"),
        do=("take_timer", "note_pending", "arm_decision_timer"), why="the server decides, but not for ever"),
    row("TimerFired", DECIDED, None, when=("is_dismissal_due",), do=("take_timer", "dismiss_interruption"),
        why="silence and no word: a false interruption"),
    row("TimerFired", ACTIVE, None, when=("is_decision_due",), do=("take_timer", "dismiss_interruption"),
        why="it was waited for long enough"),

    # By hand
    row("StartUserTurn", "inactive", None, do=("reject_inactive",), why="there is no open conversation"),
    row("StartUserTurn", "speaking", None, when=("is_claimed",), why="begun already"),
    row("StartUserTurn", "speaking", None, do=("confirm_interruption", "claim_turn", "send_pre_roll"),
        why="the turn is held by hand from here on"),
    row("StartUserTurn", QUIET, "speaking", do=("confirm_interruption", "claim_turn", "send_pre_roll"),
        why="the user takes the floor"),
    row("StartUserTurn", "committing", "speaking",
        do=("resolve_commit", "confirm_interruption", "claim_turn", "send_pre_roll"),
        why="the user takes the floor; the turn before is left as it is"),
    row("CommitUserTurn", "inactive", None, do=("reject_inactive",), why="there is no open conversation"),
    row("CommitUserTurn", ACTIVE, None, when=("cannot_skip_reply",), do=("reject_skip",),
        why="a server that replies by itself cannot be told not to"),
    row("CommitUserTurn", QUIET, None, when=("is_agent_audible",), do=("reject_commit",),
        why="the agent has the floor and the user has said nothing"),
    row("CommitUserTurn", "committing", None, do=("supersede_commit",), why="the later call stands"),
    row("CommitUserTurn", ("silent", "speaking", "endpointing", "away"), "committed", when=("is_settled",),
        do=("confirm_interruption", "begin_commit", "finish_commit", "arm_reply_timer"),
        why="no further words are to be expected"),
    row("CommitUserTurn", ("silent", "speaking", "endpointing", "committed", "away"), "committing",
        do=("confirm_interruption", "begin_commit", "flush_recognition", "arm_commit_timer"),
        why="the last words are on their way"),
    row("TimerFired", "committing", "committed", when=("is_commit_due", "has_something"),
        do=("take_timer", "adopt_interim", "finish_commit", "arm_reply_timer"),
        why="no more words came in time; what there is is the turn"),
    row("TimerFired", "committing", "silent", when=("is_commit_due",),
        do=("take_timer", "resolve_commit", "owe_words", "arm_away_timer"), why="nothing was said"),
    row("ClearUserTurn", "inactive", None, when=("is_conversation_idle",), do=("reject_inactive",),
        why="there is no conversation"),
    row("ClearUserTurn", "inactive", None, why="nothing was said"),
    row("ClearUserTurn", ("endpointing", "committed"), "silent",
        do=("clear_turn", "lift_pending", "arm_away_timer"), why="there is nothing left to commit"),
    row("ClearUserTurn", "committing", "silent",
        do=("clear_turn", "resolve_commit", "owe_words", "lift_pending", "arm_away_timer"),
        why="there is nothing left to commit"),
    row("ClearUserTurn", ("silent", "speaking", "away"), None, do=("clear_turn",), why="forgotten"),
    row("CancelUserTurn", "inactive", None, when=("is_conversation_idle",), do=("reject_inactive",),
        why="there is no conversation"),
    row("CancelUserTurn", "inactive", None, why="nothing was said"),
    row("CancelUserTurn", "speaking", "silent", when=("is_claimed",),
        do=("owe_words", "release_turn", "clear_turn", "dismiss_interruption", "arm_away_timer"),
        why="the user lets go; what was said is no turn"),
    row("CancelUserTurn", "committing", "silent",
        do=("clear_turn", "resolve_commit", "owe_words", "lift_pending", "arm_away_timer"),
        why="too late to be unsaid, but not to be forgotten"),
    row("CancelUserTurn", ("endpointing", "committed"), "silent",
        do=("clear_turn", "lift_pending", "arm_away_timer"), why="there is nothing left to commit"),
    row("CancelUserTurn", ("silent", "speaking", "away"), None, do=("clear_turn",), why="forgotten"),
    row("TurnHandlingChanged", "endpointing", "silent", when=("changes_hands",),
        do=("take_handling", "lift_pending", "arm_away_timer"),
        why="whoever decides now was not asked about this turn"),
    row("TurnHandlingChanged", EVERYWHERE, None, do=("take_handling",), why="they hold from here on"),

    # The microphone
    row("UserAudio", ACTIVE, None, when=("is_muted", "needs_silence"), do=("pass_silence",),
        why="the server's detector has to hear silence"),
    row("UserAudio", ACTIVE, None, when=("is_muted",), why="nobody is to hear it"),
    row("UserAudio", ACTIVE, None, when=("is_gate_closed", "needs_silence"),
        do=("keep_pre_roll", "pass_silence"), why="kept for a turn that begins in a moment"),
    row("UserAudio", ACTIVE, None, when=("is_gate_closed",), do=("keep_pre_roll",),
        why="kept for a turn that begins in a moment"),
    row("UserAudio", ACTIVE, None, when=("is_shielded",), do=("pass_silence",),
        why="a server that hears nothing does not interrupt"),
    row("UserAudio", EVERYWHERE, None, do=("pass_audio",), why="the server hears the user"),

    # Further timers
    row("TimerFired", "silent", "away", when=("is_away_due",), do=("take_timer",),
        why="neither side has said anything for long"),
    row("TimerFired", ACTIVE, None, when=("is_transcription_due",), do=("take_timer", "report_untranscribed"),
        why="somebody spoke, and no words came of it"),
    row("TimerFired", ACTIVE, None, when=("is_limit_due",), do=("take_timer", "report_long_turn"),
        why="the user has spoken for long"),
    row("TimerFired", ACTIVE, None, when=("is_warmup_due",), do=("take_timer",),
        why="echo cancellation has settled: speech may interrupt from here on"),
    row("TimerFired", EVERYWHERE, None, why="the conversation's, or cancelled while it fired"),
)
# fmt: on
