from __future__ import annotations

import pytest

from convsm.errors import ConfigurationError
from convsm.protocols.capabilities import CALLBACKS, Capabilities, Requirement, check_requirements
from convsm.protocols.elevenlabs import ElevenLabsCodec
from convsm.protocols.openai_options import RealtimeOptions
from convsm.protocols.openai_realtime import OpenAIRealtimeCodec

ELEVENLABS = ElevenLabsCodec().capabilities
OPENAI = OpenAIRealtimeCodec(RealtimeOptions()).capabilities


def test_what_can_be_done_raises_no_word():
    wanted = [Requirement("manual_turns", "client_commit"), Requirement("cancel", "client_cancel")]
    assert check_requirements(wanted, OPENAI) == ()
    assert check_requirements([], Capabilities(protocol="none")) == ()


def test_what_would_silently_do_nothing_is_refused_and_all_of_it_named():
    wanted = [
        Requirement("manual_turns", "client_commit"),
        Requirement("callback_latency_measurement", "latency_pings", "it is never called"),
        Requirement("pause_microphone", "needs_continuous_audio", is_unwanted=True),
    ]
    with pytest.raises(ConfigurationError) as refusal:
        check_requirements(wanted, ELEVENLABS)
    assert str(refusal.value) == (
        "ElevenLabs agents cannot do this: manual_turns (needs client_commit), "
        "pause_microphone (not with needs_continuous_audio); leave it out."
    )


def test_what_has_a_fallback_is_warned_about():
    assert check_requirements([CALLBACKS["callback_latency_measurement"]], OPENAI) == (
        "callback_latency_measurement needs latency_pings, which OpenAI Realtime lacks: it is never called.",
    )
    assert check_requirements(CALLBACKS.values(), ELEVENLABS) == ()


def test_transcripts_come_where_they_are_asked_for():
    silent = OpenAIRealtimeCodec(RealtimeOptions(transcription=None)).capabilities
    [warning] = check_requirements([CALLBACKS["callback_user_transcript"]], silent)
    assert warning.startswith("callback_user_transcript needs user_transcripts")
    assert check_requirements([CALLBACKS["callback_user_transcript"]], OPENAI) == ()


def test_only_one_kind_of_server_has_to_be_asked():
    assert OPENAI.asks_replies
    assert not ELEVENLABS.asks_replies


@pytest.mark.parametrize("name", ["nonsense", "protocol"])
def test_a_requirement_names_a_capability(name):
    with pytest.raises(ValueError, match=f"'{name}' is no capability"):
        Requirement("option", name)
