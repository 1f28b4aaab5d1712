from __future__ import annotations

import math
import random
import struct
import sys

import pytest

from convsm.audio.device import DefaultAudioInterface
from convsm.audio.level import level_of
from convsm.audio.processing import VoiceProcessing
from convsm.demo.speech import load_line
from convsm.errors import AudioError
from tests.audio.sessions import running
from tests.audio.sound_card import SoundCard, wait_until, without_zeros
from tests.audio.sounds import halved, hiss, mixed

RATE = 16000
SECOND = 2 * RATE


def bursts(seconds: float, rate: int = RATE, seed: int = 1) -> bytes:
    """Return noise in bursts: a stand-in for speech that no two samples of are alike."""
    source = random.Random(seed)
    count = round(seconds * rate)
    # Bursts of 200 ms, as syllables are.
    return struct.pack(
        f"<{count}h", *(source.randint(-8000, 8000) if index * 5 // rate % 2 else 0 for index in range(count))
    )


def decibels(sound: bytes, reference: bytes) -> float:
    """Return how much louder a sound is than another one."""
    return 20 * math.log10(level_of(sound).rms / level_of(reference).rms)


def processed(processing: VoiceProcessing, heard: bytes, played: bytes = b"") -> bytes:
    """Return what a microphone heard, cleaned in blocks of 10 ms, while a loudspeaker played."""
    played = played.ljust(len(heard), b"\0")
    cleaned = bytearray()
    for start in range(0, len(heard), SECOND // 100):
        processing.played(played[start : start + SECOND // 100])
        cleaned += processing.cleaned(heard[start : start + SECOND // 100])
    return bytes(cleaned)


@pytest.mark.parametrize(
    ("cancels", "suppresses", "who"),
    [
        (True, False, "Echo cancellation needs"),
        (False, True, "Noise suppression needs"),
        (True, True, "Echo cancellation and noise suppression need"),
    ],
)
def test_without_livekit_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, cancels: bool, suppresses: bool, who: str
):
    monkeypatch.setitem(sys.modules, "livekit.rtc", None)
    with pytest.raises(AudioError, match=rf"^{who} livekit; .*\"pip install 'convsm\[aec\]'\".* turn "):
        VoiceProcessing(RATE, RATE, echo_cancellation=cancels, noise_suppression=suppresses)


def test_a_rate_without_whole_frames_is_refused():
    pytest.importorskip("livekit.rtc")
    with pytest.raises(AudioError, match=r"whole frames of 10 ms, which 22050 Hz does not have"):
        VoiceProcessing(22050, RATE, echo_cancellation=True, noise_suppression=False)
    with pytest.raises(AudioError, match=r"whole frames of 10 ms, which 11025 Hz does not have"):
        VoiceProcessing(RATE, 11025, echo_cancellation=False, noise_suppression=True)


@pytest.mark.parametrize("suppresses", [True, False])
def test_blocks_of_any_size_come_out_in_whole_frames(suppresses: bool):
    pytest.importorskip("livekit.rtc")
    processing = VoiceProcessing(24000, RATE, echo_cancellation=True, noise_suppression=suppresses)
    processing.played(bytes(2 * 100))
    sizes = [len(processing.cleaned(bytes(2 * count))) for count in (100, 100, 400, 40)]
    assert sizes == [0, 320, 640, 320]


def test_noise_is_suppressed_whatever_the_rate_of_the_loudspeaker():
    pytest.importorskip("livekit.rtc")
    processing = VoiceProcessing(22050, RATE, echo_cancellation=False, noise_suppression=True)
    processing.played(bytes(2 * 100))
    noise = hiss(2 * RATE)
    assert decibels(processed(processing, noise)[-SECOND:], noise) < -8


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_the_noise_between_words_goes_and_the_voice_stays(rate: int):
    pytest.importorskip("livekit.rtc")
    line = load_line("question").at(rate).pcm
    pause = bytes(2 * 2 * rate)
    voice = pause + line + pause
    noise = hiss(len(voice) // 2)
    heard = mixed(voice, noise)
    for suppresses in (True, False):
        processing = VoiceProcessing(rate, rate, echo_cancellation=False, noise_suppression=suppresses)
        cleaned = processing.cleaned(heard)
        # The second before the line and the last one.
        for second in (slice(2 * rate, 4 * rate), slice(len(cleaned) - 2 * rate, None)):
            change = decibels(cleaned[second], noise)
            # Without, a device at 48 kHz still loses what is above speech.
            assert change < -10 if suppresses else change > -4
        spoken = slice(len(pause), len(pause) + len(line))
        assert abs(decibels(cleaned[spoken], line)) < 3


@pytest.mark.parametrize("suppresses", [True, False])
def test_the_echo_goes_and_the_user_stays(suppresses: bool):
    pytest.importorskip("livekit.rtc")
    processing = VoiceProcessing(RATE, RATE, echo_cancellation=True, noise_suppression=suppresses)
    far = bursts(6.0)
    echo = (bytes(2 * 960) + halved(far))[: len(far)]
    line = load_line("question").pcm
    line += bytes(-len(line) % (SECOND // 100))
    voice = bytes(len(far)) + line
    room = mixed(voice, hiss(len(voice) // 2)) if suppresses else voice
    cleaned = processed(processing, mixed(room, echo.ljust(len(voice), b"\0")), far)
    # Four seconds learn the room. The noise of the room alone would be 15 dB below the echo.
    assert decibels(cleaned[4 * SECOND : 6 * SECOND], echo[4 * SECOND :]) < -26
    # Nothing is played any more, and the user speaks.
    assert abs(decibels(cleaned[6 * SECOND :], line)) < 3


@pytest.mark.parametrize("cancels", [True, False])
def test_the_agent_hears_itself_only_without_cancellation(sound_card: SoundCard, cancels: bool):
    pytest.importorskip("livekit.rtc")
    # The microphone hears the loudspeaker: an echo without loss.
    sound_card.control("set-default-source", "speaker.monitor")
    try:
        with running(DefaultAudioInterface(echo_cancellation=cancels)) as session:
            speech = bursts(6.0)
            session.interface.play(1, speech)
            wait_until(lambda: session.interface.position > 5.5 * 16000, "speech")
            recorded = bytes(session.recorded)
    finally:
        sound_card.choose("speaker", "mic")
    left = level_of(recorded[-2 * 32000 :]).rms / level_of(speech).rms
    assert left < 0.1 if cancels else left > 0.9


@pytest.mark.parametrize("suppresses", [True, False])
def test_the_agent_hears_less_of_the_noise_only_with_suppression(sound_card: SoundCard, suppresses: bool):
    pytest.importorskip("livekit.rtc")
    noise = hiss(8 * RATE // 5, rms=1000)
    with running(DefaultAudioInterface(noise_suppression=suppresses)) as session:
        sound_card.speak(noise)
        wait_until(lambda: len(without_zeros(bytes(session.recorded))) > 3 * SECOND // 2, "the noise")
        recorded = without_zeros(bytes(session.recorded))
    # The first second learns the noise.
    change = decibels(recorded[SECOND : 3 * SECOND // 2], noise)
    assert change < -8 if suppresses else change > -2
