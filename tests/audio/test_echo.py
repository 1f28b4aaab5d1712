from __future__ import annotations

import random
import struct
import sys

import pytest

from convsm.audio.device import DefaultAudioInterface
from convsm.audio.echo import EchoCanceller
from convsm.audio.level import level_of
from convsm.errors import AudioError
from tests.audio.sessions import running
from tests.audio.sound_card import SoundCard, wait_until


def noise(seconds: float, rate: int = 16000, seed: int = 1) -> bytes:
    """Return noise in bursts: a stand-in for speech that no two samples of are alike."""
    source = random.Random(seed)
    count = round(seconds * rate)
    # Bursts of 200 ms, as syllables are.
    return struct.pack(
        f"<{count}h", *(source.randint(-8000, 8000) if index * 5 // rate % 2 else 0 for index in range(count))
    )


def test_without_livekit_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "livekit.rtc", None)
    with pytest.raises(AudioError, match=r"\"pip install 'convsm\[aec\]'\""):
        EchoCanceller(16000, 16000)


def test_a_rate_without_whole_frames_is_refused():
    pytest.importorskip("livekit.rtc")
    with pytest.raises(AudioError, match=r"whole frames of 10 ms, which 22050 Hz does not have"):
        EchoCanceller(22050, 16000)


def test_blocks_of_any_size_come_out_in_whole_frames():
    pytest.importorskip("livekit.rtc")
    canceller = EchoCanceller(24000, 16000)
    canceller.played(bytes(2 * 100))
    sizes = [len(canceller.cleaned(bytes(2 * count))) for count in (100, 100, 400, 40)]
    assert sizes == [0, 320, 640, 320]


def test_the_echo_goes_and_the_user_stays():
    pytest.importorskip("livekit.rtc")
    canceller = EchoCanceller(16000, 16000)
    far = noise(6.0)
    delay = 2 * 960
    echo = bytes(delay) + bytes(
        b"".join((value // 2).to_bytes(2, "little", signed=True) for value in memoryview(far).cast("h"))
    )
    cleaned = bytearray()
    for start in range(0, len(far), 320):
        canceller.played(far[start : start + 320])
        cleaned += canceller.cleaned(echo[start : start + 320])
    left = level_of(bytes(cleaned[4 * 32000 :])).rms / level_of(echo[4 * 32000 : 6 * 32000]).rms
    assert left < 0.05
    # Nothing is played any more, and the user speaks.
    for start in range(0, 32000, 320):
        canceller.played(bytes(320))
        cleaned += canceller.cleaned(noise(1.0, seed=2)[start : start + 320])
    assert level_of(bytes(cleaned[-16000:])).rms > 0.3 * level_of(noise(1.0, seed=2)).rms


@pytest.mark.parametrize("cancels", [True, False])
def test_the_agent_hears_itself_only_without_cancellation(sound_card: SoundCard, cancels: bool):
    pytest.importorskip("livekit.rtc")
    # The microphone hears the loudspeaker: an echo without loss.
    sound_card.control("set-default-source", "speaker.monitor")
    try:
        with running(DefaultAudioInterface(echo_cancellation=cancels)) as session:
            speech = noise(6.0)
            session.interface.play(1, speech)
            wait_until(lambda: session.interface.position > 5.5 * 16000, "speech")
            recorded = bytes(session.recorded)
    finally:
        sound_card.choose("speaker", "mic")
    left = level_of(recorded[-2 * 32000 :]).rms / level_of(speech).rms
    assert left < 0.1 if cancels else left > 0.9
