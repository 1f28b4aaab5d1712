"""Words are counted, and listed ones told from others."""

from __future__ import annotations

import pytest

from convsm.turns import Overlap, WordListClassifier, count_words


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("  … -- !?", 0),
        ("Stop!", 1),
        ("ok, stop!", 2),
        ("don't - you dare", 3),
        ("d\u2019accord", 1),
        ("twenty-one 21", 2),
        ("Überraschung für naïve", 3),
        ("नमस्ते दुनिया", 2),
        ("停下来", 3),
        ("ちょっと待って OK", 8),
    ],
)
def test_words_are_counted(text, count):
    assert count_words(text) == count


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("", "unknown"),
        ("...", "unknown"),
        ("Mhm.", "backchannel"),
        ("uh-huh, okay", "backchannel"),
        ("yes", "interruption"),
        ("no wait", "interruption"),
        ("ok ok ok ok", "interruption"),
    ],
)
def test_listed_words_alone_are_a_backchannel(text, verdict):
    assert WordListClassifier().classify(Overlap(text, True, 0.4)) == verdict


def test_the_list_can_be_another_one():
    assert WordListClassifier({"doch"}).classify(Overlap("Doch!", False, 0.2)) == "backchannel"  # type: ignore[arg-type]
