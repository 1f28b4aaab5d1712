"""Settings that a server cannot do are refused by name, or have a fallback that is said."""

from __future__ import annotations

import attrs
import pytest

from convsm.errors import ConfigurationError
from convsm.turns import TurnHandling
from convsm.turns.server import TurnServer
from convsm.turns.sound import bytes_per_second, silence
from tests.turns.test_options import Detector

OWNS = TurnServer(protocol="this protocol")
MUTE = attrs.evolve(OWNS, user_transcripts=False)
LEAVES = attrs.evolve(OWNS, commit="commit", reply="reply", transcribes_open_turns=False)


@pytest.mark.parametrize(
    ("server", "settings", "sentence"),
    [
        (OWNS, {"turn_detection": "vad"}, "turn_detection: this server ends the user's turns itself"),
        (OWNS, {"turn_detection": Detector(True)}, "turn_detection: this server ends"),
        (LEAVES, {"turn_detection": "stt"}, "'stt' needs a server that tells when speech ends"),
        (LEAVES, {"turn_detection": Detector(False)}, "a detector that reads needs words"),
        (
            OWNS,
            {"interruption": {"enabled": False, "discard_audio_if_uninterruptible": False}},
            "interruption.enabled: False needs discard_audio_if_uninterruptible",
        ),
        (MUTE, {"interruption": {"min_words": 1}}, "min_words needs"),
        (
            attrs.evolve(OWNS, user_transcripts=False),
            {"user_turn_limit": {"max_words": 1}},
            "max_words needs",
        ),
        (OWNS, {"interruption": {"mode": "adaptive"}}, "'adaptive' needs an overlap classifier"),
    ],
)
def test_what_would_be_silently_wrong_is_refused(server, settings, sentence):
    with pytest.raises(ConfigurationError) as error:
        server.check(TurnHandling.of(settings))
    assert sentence in str(error.value)
    assert "this protocol" in str(error.value)


@pytest.mark.parametrize(
    ("server", "settings"),
    [
        (OWNS, {}),
        (OWNS, {"turn_detection": "manual"}),
        (OWNS, {"interruption": {"enabled": False}}),
        (LEAVES, {"turn_detection": "vad"}),
        (LEAVES, {"turn_detection": Detector(True)}),
    ],
)
def test_what_can_be_done_is_not(server, settings):
    assert server.check(TurnHandling.of(settings)) == ()


def test_what_has_no_effect_is_said():
    server = attrs.evolve(OWNS, user_transcripts=False)
    [warning] = server.check(TurnHandling(transcription_timeout=2.0))
    assert "transcription_timeout has no effect" in warning


def test_silence_has_its_length_in_each_format():
    assert silence("pcm_16000", 0.5) == bytes(16_000)
    assert silence("ulaw_8000", 0.5) == b"\xff" * 4_000
    assert silence("alaw_8000", 0.25) == b"\xd5" * 2_000
    assert bytes_per_second("nonsense") == bytes_per_second("pcm_-1") == 32_000
