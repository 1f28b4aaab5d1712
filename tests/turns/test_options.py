"""The settings: defaults of the reference, named errors, and mappings that are merged."""

from __future__ import annotations

import attrs
import pytest

from convsm.errors import ConfigurationError
from convsm.turns import Endpointing, Interruption, TurnHandling, UserTurnLimit


class Detector:
    unlikely_threshold = 0.3

    def __init__(self, is_streaming: bool) -> None:
        self.is_streaming = is_streaming

    async def probability(self, transcript: str, audio: bytes) -> float:
        return 1.0


def test_the_defaults_are_those_of_the_reference():
    assert attrs.asdict(TurnHandling()) == {
        "turn_detection": "server",
        "endpointing": {"mode": "fixed", "min_delay": 0.5, "max_delay": 3.0, "alpha": 0.9},
        "interruption": {
            "enabled": True,
            "mode": None,
            "min_duration": 0.5,
            "min_words": 0,
            "false_interruption_timeout": 2.0,
            "resume_false_interruption": True,
            "discard_audio_if_uninterruptible": True,
            "backchannel_boundary": (1.0, 1.0),
        },
        "user_turn_limit": {"max_words": None, "max_duration": None},
        "aec_warmup_duration": 3.0,
        "user_away_timeout": 15.0,
        "transcription_timeout": None,
        "pre_roll": 0.5,
    }


def test_a_streaming_detector_has_shorter_delays_key_by_key():
    streaming, text = Detector(True), Detector(False)
    assert TurnHandling(turn_detection=streaming).endpointing == Endpointing(min_delay=0.3, max_delay=2.5)
    assert TurnHandling(turn_detection=text).endpointing == Endpointing()
    given = {"turn_detection": streaming, "endpointing": {"min_delay": 1.0}}
    handling = TurnHandling.of(given)
    assert (handling.endpointing.min_delay, handling.endpointing.max_delay) == (1.0, 2.5)
    again = TurnHandling.of({"turn_detection": "vad"}, handling)
    assert (again.endpointing.min_delay, again.endpointing.max_delay) == (1.0, 3.0)
    assert again.detector is None
    assert handling.detector is streaming


def test_realtime_llm_is_the_server():
    assert TurnHandling(turn_detection="realtime_llm") == TurnHandling()
    assert TurnHandling().is_servers
    assert TurnHandling(turn_detection="manual").is_manual


def test_mappings_are_merged_into_what_was_there():
    base = TurnHandling(interruption=Interruption(min_words=3, min_duration=0.1))
    handling = TurnHandling.of({"interruption": {"min_words": 1}, "user_turn_limit": {"max_words": 9}}, base)
    assert handling.interruption == Interruption(min_words=1, min_duration=0.1)
    assert handling.user_turn_limit == UserTurnLimit(max_words=9)
    assert TurnHandling.of(base) is base
    assert TurnHandling.of(None) == TurnHandling()
    assert TurnHandling.of({"interruption": Interruption(min_words=2)}).interruption.min_words == 2


def test_one_boundary_stands_for_both():
    for given in (0.5, (0.5, 0.5), [0.5, 0.5]):
        assert Interruption(backchannel_boundary=given).backchannel_boundary == (0.5, 0.5)
    assert Interruption(backchannel_boundary=None).backchannel_boundary is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"turn_detection": "maybe"}, "turn_detection must be one of 'server'"),
        ({"turn_detection": None}, "turn_detection must be one of"),
        ({"endpointing": {"mode": "slow"}}, "endpointing.mode must be one of 'fixed', 'dynamic', not 'slow'"),
        ({"endpointing": {"min_delay": -1}}, "endpointing.min_delay must be a number of at least 0, not -1"),
        ({"endpointing": {"max_delay": float("inf")}}, "endpointing.max_delay must be"),
        ({"endpointing": {"alpha": 0}}, "endpointing.alpha must be a number above 0 and at most 1, not 0"),
        ({"endpointing": {"alpha": 1.1}}, "endpointing.alpha must be"),
        ({"interruption": {"enabled": 1}}, "interruption.enabled must be True or False, not 1"),
        ({"interruption": {"mode": "polite"}}, "interruption.mode must be one of 'adaptive', 'vad', None"),
        ({"interruption": {"min_words": 1.5}}, "interruption.min_words must be a whole number of at least 0"),
        ({"interruption": {"min_duration": True}}, "interruption.min_duration must be a number"),
        ({"interruption": {"false_interruption_timeout": -2}}, "at least 0 or None, not -2"),
        ({"interruption": {"backchannel_boundary": -1}}, "a number of at least 0, a pair of them, or None"),
        ({"interruption": {"backchannel_boundary": (1, 2, 3)}}, "interruption.backchannel_boundary must be"),
        ({"user_turn_limit": {"max_words": 0}}, "user_turn_limit.max_words must be"),
        ({"user_turn_limit": {"max_duration": 0}}, "user_turn_limit.max_duration must be a number above 0"),
        ({"aec_warmup_duration": "3"}, "aec_warmup_duration must be a number of at least 0 or None, not '3'"),
        ({"user_away_timeout": 0}, "user_away_timeout must be"),
        ({"transcription_timeout": float("nan")}, "transcription_timeout must be"),
        ({"pre_roll": 11}, "pre_roll must be a number of at least 0 and at most 10, not 11"),
        ({"endpoint": {}}, "there is no setting endpoint; known: turn_detection"),
        ({"interruption": {"words": 3}}, "there is no setting interruption.words; known: enabled"),
        ({"interruption": 3}, "interruption must be a mapping or Interruption, not 3"),
    ],
)
def test_a_bad_value_is_named_with_its_range(settings, sentence):
    with pytest.raises(ConfigurationError) as error:
        TurnHandling.of(settings)
    assert sentence in str(error.value)
