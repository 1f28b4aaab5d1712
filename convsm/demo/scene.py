"""The script of the demo: what the user's microphone hears, what the agent does when, what has to be seen."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs

from convsm.audio.formats import AudioFormat, audio_format
from convsm.audio.vad import VoiceSettings
from convsm.demo.dialects import ELEVENLABS, Dialect
from convsm.demo.speech import LINES, RATE, Sound, cough, load_line
from convsm.protocols.openai_options import FunctionTool
from convsm.testing import Expect, LoopbackConnection, Pause
from convsm.testing.connection import StepLike
from convsm.turns import Interruption, TurnHandling

__all__ = ["TOOL", "TOOL_MINUTES", "Cue", "Scene", "compose"]

TOOL = FunctionTool(
    "set_timer",
    "Set a kitchen timer.",
    {"type": "object", "properties": {"minutes": {"type": "integer"}}, "required": ["minutes"]},
)
TOOL_MINUTES = 10
TOOL_CALL = "call_1"

# Pauses as people make them, in seconds.
BREATH = 0.5
# A busy machine may end the greeting later by this, however fast all is; then words would cut into it.
LAG = 0.4
# How much of the greeting is heard before the user coughs: into the second sentence.
COUGH_AT = 1.9
# How much of the answer is heard before the user cuts in: into the second sentence.
PATIENCE = 2.8
# How much of the interrupting words an agent needs before it believes them. The rest of them takes
# less than the two seconds for which a session stays interrupted without news.
BELIEF = 0.6
# On this side so much of them holds the agent up, and so much silence without a word lets it go on.
SUSPICION, DOUBT = 0.1, 1.0
VOICE = VoiceSettings()
# From a user's own recording: the least and the most that is taken as the question. Within the most,
# the interruption still falls into the answer and the demo stays under its half minute.
LEAST_HEARD, MOST_HEARD = 1.5, 4.0
# The user's audio comes in real time; whatever is later than this does not come.
LATENESS = 5.0


@attrs.define(eq=False)
class Cue:
    """A step of the script that notes when it was reached.

    Attributes:
        at: Monotonic seconds; None before.
    """

    at: float | None = None

    def __call__(self, connection: LoopbackConnection) -> None:
        """Note it."""
        self.at = time.monotonic()


@attrs.frozen(eq=False)
class Scene:
    """A conversation to be held, and what proves that it was.

    Attributes:
        dialect: The protocol.
        microphone: The user's cough, their words, and silence without end after that; None for a real
            microphone.
        output_format: Of the agent's speech.
        input_format: Of the microphone.
        steps: The agent's script.
        cut: Noted right before the agent tells of the interruption.
        ear_seconds: How much of the microphone the agent waits for.
        responses: The texts of the agent's turns.
        tentative: The tentative transcripts.
        transcripts: The final transcripts.
        corrections: What was left of the interrupted turn, where the agent tells.
        cut_seconds: How long the interrupted turn is, where the agent has to be told what of it was heard;
            None where it tells.
        pongs: The ids of the pings.
        tool_seconds: How long the tool takes.
        turn_handling: What the user's sounds do to the agent.
        voice_settings: What counts as a sound of theirs.
    """

    dialect: Dialect
    microphone: Sound | None
    output_format: AudioFormat
    input_format: AudioFormat
    steps: Sequence[StepLike]
    cut: Cue
    ear_seconds: float
    responses: tuple[str, ...]
    tentative: tuple[str, ...]
    transcripts: tuple[str, ...]
    corrections: tuple[str, ...]
    cut_seconds: float | None
    pongs: tuple[int, ...]
    tool_seconds: float
    turn_handling: TurnHandling
    voice_settings: VoiceSettings


@attrs.frozen
class _User:
    """What the user says after the greeting; times in seconds from the first word.

    Attributes:
        sound: All of it, with the pause in which the agent answers.
        asked: When the question has ended.
        answered: When the agent begins to answer.
        cut: When the agent takes note of the interruption.
        finished: When the interrupting words are over.
        tentative: The transcript of half the question.
        question: The transcript of the question.
        interruption: The transcript of the interrupting words.
    """

    sound: Sound
    asked: float
    answered: float
    cut: float
    finished: float
    tentative: str
    question: str
    interruption: str


def _shipped_user(speed: int) -> _User:
    question, words = (load_line(name).hurried(speed) for name in ("question", "interruption"))
    answered = question.seconds + BREATH / speed
    spoken = answered + PATIENCE / speed
    gap = audio_format(f"pcm_{RATE}").silence(spoken - question.seconds)
    return _User(
        sound=Sound(question.pcm + gap + words.pcm),
        asked=question.seconds,
        answered=answered,
        cut=spoken + BELIEF / speed,
        finished=spoken + words.seconds,
        tentative=_spoken(LINES["question"].text, 0.5),
        question=LINES["question"].text,
        interruption=LINES["interruption"].text,
    )


def _recorded_user(recording: Sound, speed: int) -> _User:
    # Nobody knows where its words are: its first half is the question, its second the interruption.
    half = min(max(recording.seconds / 2, LEAST_HEARD), MOST_HEARD)
    rest = max(half, PATIENCE)
    return _User(
        sound=recording.hurried(speed),
        asked=half / speed,
        answered=half / speed,
        cut=(half + rest) / speed,
        finished=(half + rest + 2 * BREATH) / speed,
        tentative=f"[{half / 2:.1f} s heard so far]",
        question=f"[{half:.1f} s heard]",
        interruption=f"[{rest + 2 * BREATH:.1f} s more heard]",
    )


def _present_user(speed: int) -> _User:
    # Whatever it says, it takes the time that the shipped voice takes.
    shipped = _shipped_user(speed)
    rest = shipped.finished - shipped.answered
    return attrs.evolve(
        shipped,
        tentative=f"[{shipped.asked / 2:.1f} s heard so far]",
        question=f"[{shipped.answered:.1f} s heard]",
        interruption=f"[{rest:.1f} s more heard]",
    )


class _Ear:
    """The agent's clock: how much of the microphone it has heard, whatever the real time was."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def until(self, seconds: float) -> Expect:
        delay, self.seconds = seconds - self.seconds, seconds
        return Expect("user_audio", seconds=delay, timeout=delay + LATENESS)


def _spoken(text: str, fraction: float) -> str:
    """Return as much of a text as was spoken in a fraction of its time, to a whole word."""
    return text[: round(len(text) * fraction)].rpartition(" ")[0] + " ..."


def _turn_handling(speed: int) -> TurnHandling:
    return TurnHandling(
        interruption=Interruption(min_duration=SUSPICION / speed, false_interruption_timeout=DOUBT / speed),
        # No echo is cancelled, so nothing has to settle.
        aec_warmup_duration=None,
    )


def _voice_settings(speed: int) -> VoiceSettings:
    return VoiceSettings(
        min_speech_duration=VOICE.min_speech_duration / speed,
        min_silence_duration=VOICE.min_silence_duration / speed,
        min_pause_duration=VOICE.min_pause_duration / speed,
    )


def _microphone(coughed: float, start: float, voice: Sound) -> Sound:
    """Return silence with a cough in it, and the user's words after it."""
    written, noise = audio_format(f"pcm_{voice.rate}"), cough().at(voice.rate)
    before = written.silence(coughed)
    after = written.silence(start - coughed - noise.seconds)
    return Sound(before + noise.pcm + after + voice.pcm, voice.rate)


def compose(
    recording: Sound | None = None,
    speed: int = 1,
    *,
    is_present: bool = False,
    dialect: Dialect = ELEVENLABS,
) -> Scene:
    """Write the script.

    Args:
        recording: The user's own words; None takes those that are shipped.
        speed: How many times as fast as in life everything happens.
        is_present: Whether the user is there and speaks into a microphone, whatever it may be.
        dialect: The protocol.
    """
    if is_present:
        user = _present_user(speed)
    else:
        user = _shipped_user(speed) if recording is None else _recorded_user(recording, speed)
    voice = user.sound.at(dialect.rate or user.sound.rate)
    greeting, answer, result, farewell = (
        load_line(name).hurried(speed).at(dialect.rate or RATE)
        for name in ("greeting", "answer", "result", "farewell")
    )
    texts = {name: line.text for name, line in LINES.items()}
    # The agent knows how long it was heard, so it knows about what was heard.
    corrected = _spoken(texts["answer"], (user.cut - user.answered) / answer.seconds)
    input_format = audio_format(f"pcm_{voice.rate}")
    # A cough is not hurried: it has to be longer than what a busy machine needs to hear it.
    held = cough().seconds + (VOICE.min_silence_duration + DOUBT) / speed
    start = greeting.seconds + held + max(BREATH / speed, LAG)
    cut, ear = Cue(), _Ear()
    steps: list[StepLike] = [
        *dialect.open(),
        *dialect.say(texts["greeting"], greeting.pcm, 1),
        *dialect.ping(1),
        ear.until(start + user.asked / 2),
        *dialect.hear(user.tentative, 2),
        ear.until(start + user.answered),
        *dialect.understand(user.question, 2),
        *dialect.say(texts["answer"], answer.pcm, 3),
        *dialect.ping(2),
        ear.until(start + user.cut),
        cut,
        *dialect.stop(texts["answer"], corrected, 4),
        ear.until(start + user.finished),
        *dialect.understand(user.interruption, 4),
        Pause(BREATH / speed),
        *dialect.call(TOOL.name, TOOL_CALL, {"minutes": TOOL_MINUTES}, 5),
        *dialect.say(texts["result"], result.pcm, 5),
        Pause(result.seconds + BREATH / speed),
        *dialect.ping(3),
        *dialect.say(texts["farewell"], farewell.pcm, 6),
        *dialect.leave(),
    ]
    return Scene(
        dialect=dialect,
        microphone=None if is_present else _microphone(COUGH_AT / speed, start, voice),
        output_format=audio_format(f"pcm_{greeting.rate}"),
        input_format=input_format,
        steps=steps,
        cut=cut,
        ear_seconds=ear.seconds,
        responses=tuple(texts[name] for name in ("greeting", "answer", "result", "farewell")),
        tentative=(user.tentative,),
        transcripts=(user.question, user.interruption),
        corrections=(corrected,) if dialect.corrects else (),
        cut_seconds=None if dialect.corrects else answer.seconds,
        pongs=(1, 2, 3) if dialect.has_pings else (),
        tool_seconds=0.5 / speed,
        turn_handling=_turn_handling(speed),
        voice_settings=_voice_settings(speed),
    )
