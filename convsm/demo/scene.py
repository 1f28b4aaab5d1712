"""The script of the demo: what the user's microphone hears, what the agent does when, what has to be seen."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs

from convsm.audio.formats import AudioFormat, audio_format
from convsm.demo.speech import LINES, RATE, Sound, load_line
from convsm.testing import (
    CallTool,
    CorrectResponse,
    Expect,
    ExpectToolResult,
    HangUp,
    Interrupt,
    LoopbackConnection,
    Pause,
    Ping,
    Say,
    UserSaid,
)
from convsm.testing.connection import StepLike

__all__ = ["TOOL", "TOOL_MINUTES", "Cue", "Scene", "compose"]

TOOL = "set_timer"
TOOL_MINUTES = 10
TOOL_CALL = "call_1"

# Pauses as people make them, in seconds.
BREATH = 0.5
# How much of the answer is heard before the user cuts in: into the second sentence.
PATIENCE = 2.8
# How much of the interrupting words an agent needs before it believes them. The rest of them takes
# less than the two seconds for which a session stays interrupted without news.
BELIEF = 0.5
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
        microphone: What the user says, and silence without end after it; None for a real microphone.
        output_format: Of the agent's speech.
        input_format: Of the microphone.
        steps: The agent's script.
        cut: Noted right before the agent tells of the interruption.
        ear_seconds: How much of the microphone the agent waits for.
        responses: The texts of the agent's turns.
        tentative: The tentative transcripts.
        transcripts: The final transcripts.
        corrections: What was left of the interrupted turn.
        pongs: The ids of the pings.
        tool_seconds: How long the tool takes.
    """

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
    pongs: tuple[int, ...]
    tool_seconds: float


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


def _tentative(text: str, turn: int) -> StepLike:
    event = {"user_transcript": text, "event_id": turn}
    return {"type": "tentative_user_transcript", "tentative_user_transcription_event": event}


def compose(recording: Sound | None = None, speed: int = 1, *, is_present: bool = False) -> Scene:
    """Write the script.

    Args:
        recording: The user's own words; None takes those that are shipped.
        speed: How many times as fast as in life everything happens.
        is_present: Whether the user is there and speaks into a microphone, whatever it may be.
    """
    if is_present:
        user = _present_user(speed)
    else:
        user = _shipped_user(speed) if recording is None else _recorded_user(recording, speed)
    greeting, answer, result, farewell = (
        load_line(name).hurried(speed) for name in ("greeting", "answer", "result", "farewell")
    )
    texts = {name: line.text for name, line in LINES.items()}
    # The agent knows how long it was heard, so it knows about what was heard.
    corrected = _spoken(texts["answer"], (user.cut - user.answered) / answer.seconds)
    input_format = audio_format(f"pcm_{user.sound.rate}")
    start = greeting.seconds + BREATH / speed
    cut, ear = Cue(), _Ear()
    steps: list[StepLike] = [
        Say(texts["greeting"], greeting.pcm, turn=1),
        Ping(1),
        Expect("pong", 1),
        ear.until(start + user.asked / 2),
        _tentative(user.tentative, 2),
        ear.until(start + user.answered),
        UserSaid(user.question, 2),
        Say(texts["answer"], answer.pcm, turn=3),
        Ping(2),
        Expect("pong", 2),
        ear.until(start + user.cut),
        cut,
        Interrupt(4),
        CorrectResponse(texts["answer"], corrected, 3),
        ear.until(start + user.finished),
        UserSaid(user.interruption, 4),
        Pause(BREATH / speed),
        CallTool(TOOL, TOOL_CALL, {"minutes": TOOL_MINUTES}, turn=5),
        ExpectToolResult(TOOL_CALL, is_error=False),
        Say(texts["result"], result.pcm, turn=5),
        Pause(result.seconds + BREATH / speed),
        Ping(3),
        Expect("pong", 3),
        Say(texts["farewell"], farewell.pcm, turn=6),
        HangUp(),
    ]
    return Scene(
        microphone=(
            None if is_present else Sound(input_format.silence(start) + user.sound.pcm, user.sound.rate)
        ),
        output_format=audio_format(f"pcm_{RATE}"),
        input_format=input_format,
        steps=steps,
        cut=cut,
        ear_seconds=ear.seconds,
        responses=tuple(texts[name] for name in ("greeting", "answer", "result", "farewell")),
        tentative=(user.tentative,),
        transcripts=(user.question, user.interruption),
        corrections=(corrected,),
        pongs=(1, 2, 3),
        tool_seconds=0.5 / speed,
    )
