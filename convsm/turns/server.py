"""What a server can do about turns, and how it is told; and the check of the settings against that."""

from __future__ import annotations

import attrs

from convsm.errors import ConfigurationError
from convsm.turns.options import TurnHandling

__all__ = ["TurnServer"]


@attrs.frozen(kw_only=True)
class TurnServer:
    """A server's abilities. The messages are the protocol's own, for its codec to encode.

    Attributes:
        protocol: Its name, for messages.
        user_transcripts: It tells what the user said.
        transcribes_open_turns: It does so before the turn is committed.
        speech_events: It tells when the user begins and ends to speak.
        needs_continuous_audio: It has to hear silence while the microphone is off.
        commit: Message that ends the user's turn; None if what the user says needs no such message.
        clear: Message that throws the user's audio away; None if it cannot.
        reply: Message that asks for a reply; None if it replies by itself.
    """

    protocol: str = "the server"
    user_transcripts: bool = True
    transcribes_open_turns: bool = True
    speech_events: bool = False
    needs_continuous_audio: bool = True
    commit: object = None
    clear: object = None
    reply: object = None

    def check(self, handling: TurnHandling, has_classifier: bool = False) -> tuple[str, ...]:
        """Check settings against what the server can do.

        Args:
            handling: The settings.
            has_classifier: Whether overlaps are classified.

        Returns:
            A sentence for a warning for each setting that has no effect.

        Raises:
            ConfigurationError: Settings would be silently wrong; names the first.
        """
        detection, interruption = handling.turn_detection, handling.interruption
        detector = handling.detector
        needs_words = detector is not None and not detector.is_streaming
        wrong = (
            (detection not in ("server", "manual") and self.commit is None and self.reply is None,
             "turn_detection: this server ends the user's turns itself; choose 'server' or 'manual'"),
            (detection == "stt" and not self.speech_events,
             "turn_detection: 'stt' needs a server that tells when speech ends"),
            (needs_words and not self.transcribes_open_turns,
             "turn_detection: a detector that reads needs words before the turn is over"),
            (not interruption.enabled
             and handling.is_servers
             and not interruption.discard_audio_if_uninterruptible,
             "interruption.enabled: False needs discard_audio_if_uninterruptible, or this server interrupts"),
            (interruption.min_words > 0 and not self.user_transcripts,
             "interruption.min_words needs a server that tells what the user said"),
            (handling.is_servers and self.reply is not None and not self.user_transcripts,
             "turn_detection: 'server' needs a server that replies by itself, or tells what the user said"),
            (interruption.mode == "adaptive" and not has_classifier,
             "interruption.mode: 'adaptive' needs an overlap classifier"),
            (handling.user_turn_limit.max_words is not None and not self.user_transcripts,
             "user_turn_limit.max_words needs a server that tells what the user said"),
        )  # fmt: skip
        for is_wrong, sentence in wrong:
            if is_wrong:
                raise ConfigurationError(f"{sentence} ({self.protocol})")
        if handling.transcription_timeout is not None and not self.user_transcripts:
            return (f"transcription_timeout has no effect: {self.protocol} tells no words of the user's",)
        return ()

    def needs_local_hearing(self, handling: TurnHandling) -> bool:
        """Tell whether no turn would end if nothing heard speech on this side.

        Args:
            handling: The settings.
        """
        return not (handling.is_servers or handling.is_manual or self.speech_events)
