"""What decides about speech with more than a threshold: turn detectors, and classifiers of overlaps."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import attrs

__all__ = [
    "BACKCHANNELS",
    "Overlap",
    "OverlapClassifier",
    "SoundClassifier",
    "TurnDetector",
    "Verdict",
    "WordListClassifier",
    "count_words",
]

Verdict = Literal["interruption", "backchannel", "unknown"]


@runtime_checkable
class TurnDetector(Protocol):
    """Says how likely it is that the user's turn is over.

    Attributes:
        is_streaming: Whether it listens to the sound, not to the words.
        unlikely_threshold: A probability below it takes the end for unlikely; 0 to 1.
    """

    is_streaming: bool
    unlikely_threshold: float

    async def probability(self, transcript: str, audio: bytes) -> float:
        """Return the probability, 0 to 1, that the turn is over.

        Awaited outside the session, for at most one second; later answers, and errors, count as none.

        Args:
            transcript: What the user said in this turn as far as it is known.
            audio: The turn's latest sound in the session's input format; empty if it is not kept.
        """


@attrs.frozen
class Overlap:
    """What the user said while the agent was speaking.

    Attributes:
        text: The words, as far as they are known.
        is_final: Whether they are final.
        duration: For how long the user has spoken, in seconds.
    """

    text: str
    is_final: bool
    duration: float


class OverlapClassifier(Protocol):
    """Tells a backchannel (the user agrees, and listens on) from an interruption. It must not block."""

    def classify(self, overlap: Overlap) -> Verdict:
        """Return the verdict; ``unknown`` counts as an interruption once the words are final.

        Args:
            overlap: What the user said.
        """


class SoundClassifier(OverlapClassifier, Protocol):
    """A classifier that listens too; to words alone it may always answer ``unknown``."""

    async def classify_sound(self, overlap: Overlap, audio: bytes) -> Verdict:
        """Return the verdict; ``unknown`` leaves it to the words, and to silence.

        Awaited outside the session, for at most 0.7 seconds; later answers, and errors, count as unknown.
        Asked when the agent is paused, and once more when the user falls silent and nothing is decided.

        Args:
            overlap: What the user says.
            audio: How it sounds, with one second before it and three at most, in the session's input format.
        """


# What people say while they listen, in a few languages that write words apart. "yes" and "no" are not
# among them: they answer.
BACKCHANNELS = frozenset(
    """
    ah aha ahem ehm eh er erm hm hmm hmmm huh mhm mhmm mm mmm mmhmm oh ok okay right sure uh uhhuh uhuh um umm
    yeah yep yup achso genau jaja tja d'accord ouais voilà claro vale
    """.split()  # noqa: SIM905  # forty words are read more easily without their quotes
)


@attrs.frozen
class WordListClassifier:
    """Takes what consists of listed words only for a backchannel.

    Attributes:
        words: The words, in lower case.
        max_words: What has more words is an interruption.
    """

    words: frozenset[str] = attrs.field(default=BACKCHANNELS, converter=frozenset)
    max_words: int = 3

    def classify(self, overlap: Overlap) -> Verdict:
        """Return the verdict; ``unknown`` without words."""
        words = _words(overlap.text)
        if not words:
            return "unknown"
        is_listed = all(word.strip("-").replace("-", "") in self.words for word in words)
        return "backchannel" if is_listed and len(words) <= self.max_words else "interruption"


def count_words(text: str) -> int:
    """Count the words of a text.

    Words are what white space and punctuation separate. Where a script writes without spaces (Chinese,
    Japanese, Thai, Lao, Khmer, Burmese), each letter counts as one word.

    Args:
        text: Any text.

    Returns:
        The number; 0 for white space and punctuation alone.
    """
    return sum(_weight(word) for word in _words(text))


# What may stand inside a word: apostrophes and the hyphen.
_INSIDE = "'\u2019-"


def _words(text: str) -> list[str]:
    joined = "".join(
        letter if letter.isalnum() or letter in _INSIDE or _is_mark(letter) else " "
        for letter in text.casefold()
    )
    return [word for word in (part.strip(_INSIDE) for part in joined.split()) if word]


# First and last letters of the scripts that are written without spaces.
_UNSPACED = (
    ("\u0e00", "\u0eff"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17ff"),
    ("\u3040", "\u30ff"),
    ("\u3400", "\u9fff"),
    ("\U00020000", "\U0003ffff"),
)


def _is_unspaced(letter: str) -> bool:
    return any(first <= letter <= last for first, last in _UNSPACED)


def _is_mark(letter: str) -> bool:
    # Vowel signs, which are no letters of their own.
    return _is_unspaced(letter) or "\u0300" <= letter <= "\u036f" or "\u0900" <= letter <= "\u0dff"


def _weight(word: str) -> int:
    apart = sum(_is_unspaced(letter) and letter.isalnum() for letter in word)
    return apart + any(not _is_unspaced(letter) for letter in word)
