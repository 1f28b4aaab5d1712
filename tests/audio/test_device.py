from __future__ import annotations

import math
import random
import re
import struct
import sys
import threading
import time
from typing import Any

import pytest

from convsm.audio.device import DefaultAudioInterface
from convsm.audio.formats import audio_format
from convsm.audio.level import SILENCE, Level, level_of
from convsm.audio.mulaw import ulaw_to_pcm
from convsm.errors import AudioError, ConfigurationError
from tests.audio.sessions import messages, running
from tests.audio.sound_card import PATIENCE, RATE, SoundCard, wait_until
from tests.audio.sounds import samples, tone

# Speech


def test_what_the_agent_says_is_heard_to_the_sample(sound_card: SoundCard):
    speech = samples(1, 24000)
    with sound_card.monitor() as monitor, running() as session:
        for number, audio in messages(speech, 7):
            session.interface.play(number, audio)
        assert session.interface.drain(PATIENCE)
        heard = monitor.wait_for_silence()
    assert heard == speech
    assert session.interface.position == 24000
    if not session.interface.underflows:
        assert speech in monitor.audio


def test_what_the_user_says_arrives_to_the_sample(sound_card: SoundCard):
    speech = samples(1, 24000)
    with running() as session:
        wait_until(lambda: session.recorded, "the microphone")
        sound_card.speak(speech)
        wait_until(lambda: speech in session.recorded, "the user's words")
    assert set(session.pieces) == {960}


def test_messages_are_reported_in_order_and_not_before_they_were_heard(sound_card: SoundCard):
    speech = samples(1, 16000)
    with sound_card.monitor() as monitor, running() as session:
        parts = messages(speech, 5)
        for number, audio in parts:
            session.interface.play(number, audio)
        wait_until(lambda: session.reported[-1:] == [5], "the last report")
        monitor.wait_for_silence()
    assert session.reported == [1, 2, 3, 4, 5]
    start = monitor.audio.index(speech[:200])
    end = start
    for (_, audio), (_, at) in zip(parts, session.reports, strict=True):
        end += len(audio)
        late = at - monitor.seen_at(end - 1)
        # The server hands its monitor 5 ms at a time.
        assert -0.006 < late < 0.1


# Interruption


def test_an_interruption_silences_what_the_device_holds_too(sound_card: SoundCard):
    delays = []
    with sound_card.monitor() as monitor, running() as session:
        for number in range(1, 7):
            enough = len(monitor.sound) + 3200
            session.interface.play(number, samples(1, 32000))
            monitor.wait_for(enough)
            asked_at = time.monotonic()
            session.interface.interrupt()
            took = time.monotonic() - asked_at
            monitor.wait_for_silence()
            delays.append(monitor.seen_at(len(monitor.audio.rstrip(bytes(1))) - 1) - asked_at)
            assert took < 0.02
        assert session.interface.drain(0)
    # Left to itself the device sounds for 45 ms on. The best of six, for the machine may be busy.
    assert min(delays) < 0.015
    assert session.reported == []


def test_what_comes_after_an_interruption_is_heard_whole_and_nothing_of_before(sound_card: SoundCard):
    before, after = samples(1, 16000), samples(20001, 8000)
    with sound_card.monitor() as monitor, running() as session:
        session.interface.play(1, before)
        monitor.wait_for(3200)
        session.interface.interrupt()
        session.interface.play(2, after)
        assert session.interface.drain(PATIENCE)
        heard = monitor.wait_for_silence()
    assert heard.endswith(after)
    cut = heard.removesuffix(after)
    assert before.startswith(cut)
    assert len(cut) < len(before)
    assert session.reported == [2]
    # What was heard of the first, within the 5 ms that nobody can know.
    assert abs(session.interface.position - len(heard) // 2) < 0.02 * RATE


def test_an_interruption_of_silence_changes_nothing(sound_card: SoundCard):
    speech = samples(1, 4000)
    with sound_card.monitor() as monitor, running() as session:
        for _ in range(3):
            session.interface.interrupt()
        session.interface.play(1, speech)
        assert session.interface.drain(PATIENCE)
        assert monitor.wait_for_silence() == speech
        session.interface.interrupt()
    assert session.reported == [1]


# Pause


def test_pauses_lose_no_sample_and_repeat_none(sound_card: SoundCard):
    speech = samples(1, 32000)
    moment = random.Random(1)
    with sound_card.monitor() as monitor, running() as session:
        for number, audio in messages(speech, 9):
            session.interface.play(number, audio)
        for _ in range(12):
            time.sleep(moment.uniform(0.0, 0.15))
            session.interface.pause()
            time.sleep(moment.uniform(0.0, 0.08))
            session.interface.resume()
        assert session.interface.drain(PATIENCE)
        assert monitor.wait_for_silence() == speech
    assert session.reported[-1] == 9


def test_a_pause_is_silent_and_keeps_its_place(sound_card: SoundCard):
    speech = samples(1, 16000)
    with sound_card.monitor() as monitor, running() as session:
        session.interface.play(1, speech)
        monitor.wait_for(3200)
        session.interface.pause()
        assert session.interface.is_paused
        heard = monitor.wait_for_silence(0.3)
        assert speech.startswith(heard)
        assert session.interface.position == len(heard) // 2
        assert not session.interface.drain(0)
        assert session.reported == []
        session.interface.resume()
        assert session.interface.drain(PATIENCE)
        assert monitor.wait_for_silence() == speech
    assert session.reported == [1]


def test_an_interruption_ends_a_pause(sound_card: SoundCard):
    after = samples(20001, 4000)
    with sound_card.monitor() as monitor, running() as session:
        session.interface.pause()
        session.interface.play(1, samples(1, 4000))
        session.interface.interrupt()
        assert not session.interface.is_paused
        session.interface.play(2, after)
        assert session.interface.drain(PATIENCE)
        assert monitor.wait_for_silence() == after


# Formats


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_every_rate_is_spoken_and_heard_to_the_sample(sound_card: SoundCard, rate: int):
    speech = samples(1, 20000)
    voice = samples(10001, 12000)
    name = f"pcm_{rate}"
    with (
        sound_card.at_rate(rate),
        sound_card.monitor(f"speaker-{rate}", rate) as monitor,
        running(speech=name, voice=name) as session,
    ):
        session.interface.play(1, speech)
        wait_until(lambda: session.recorded, "the microphone")
        sound_card.speak(voice, f"mic-{rate}", rate)
        assert session.interface.drain(PATIENCE)
        assert monitor.wait_for_silence() == speech
        wait_until(lambda: voice in session.recorded, "the user's words")
    assert set(session.pieces) == {2 * round(0.03 * rate)}


def test_ulaw_is_spoken_and_heard_to_the_sample(sound_card: SoundCard):
    codes = bytes(code for code in range(256) if code not in (0x7F, 0xFF))
    speech = codes * 40
    voice = ulaw_to_pcm(codes * 20)
    with (
        sound_card.at_rate(8000),
        sound_card.monitor("speaker-8000", 8000) as monitor,
        running(speech="ulaw_8000", voice="ulaw_8000") as session,
    ):
        for number, audio in messages(speech, 7):
            session.interface.play(number, audio)
        wait_until(lambda: session.recorded, "the microphone")
        sound_card.speak(voice, "mic-8000", 8000)
        assert session.interface.drain(PATIENCE)
        assert monitor.wait_for_silence() == ulaw_to_pcm(speech)
        wait_until(lambda: codes * 20 in session.recorded, "the user's words")
        assert session.interface.position == len(speech)
    assert set(session.pieces) == {240}
    assert session.recorded[:240] == b"\xff" * 240


def test_the_two_directions_may_have_different_formats(sound_card: SoundCard):
    speech = samples(1, 8000)
    with sound_card.monitor() as monitor, running(speech="pcm_16000", voice="ulaw_8000") as session:
        session.interface.play(1, speech)
        assert session.interface.drain(PATIENCE)
        assert monitor.wait_for_silence() == speech
    assert set(session.pieces) == {240}


def test_a_device_of_another_rate_gets_and_gives_resampled_sound(
    sound_card: SoundCard, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("soxr")
    only_at(48000, monkeypatch)
    speech = tone_of(440, 16000, 16000)
    with sound_card.monitor(rate=16000) as monitor, running() as session:
        for number, audio in messages(speech, 5):
            session.interface.play(number, audio)
        wait_until(lambda: session.recorded, "the microphone")
        sound_card.speak(speech)
        assert session.interface.drain(PATIENCE)
        assert session.interface.position == 16000
        monitor.wait_for_silence()
        wait_until(lambda: len(trimmed(session.recorded)) > 31900, "the user's words")
    # A tone keeps its loudness, its length and its shape: the level of a sine is its peak by the root of 2.
    for sound in (trimmed(monitor.audio), trimmed(session.recorded)):
        assert abs(len(sound) // 2 - 16000) < 50
        middle = sound[4000:-4000]
        assert level_of(middle).peak == pytest.approx(0.25, abs=0.002)
        assert level_of(middle).rms == pytest.approx(0.25 / 2**0.5, abs=0.002)
    assert session.reported == [1, 2, 3, 4, 5]


def test_a_device_of_another_rate_needs_the_extra(sound_card: SoundCard, monkeypatch: pytest.MonkeyPatch):
    only_at(48000, monkeypatch)
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(AudioError, match=r"pip install 'convsm\[resample\]'"):
        DefaultAudioInterface().start(lambda audio: None)
    wait_until(lambda: not sound_card.streams, "the streams to be closed")


def only_at(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the device refuse all other rates, as bare hardware does."""
    import sounddevice

    for name in ("RawInputStream", "RawOutputStream"):
        kind = getattr(sounddevice, name)

        class Picky(kind):  # type: ignore[misc, valid-type]
            def __init__(self, **options: Any) -> None:
                if options["samplerate"] != rate:
                    raise sounddevice.PortAudioError("Invalid sample rate", -9997)
                super().__init__(**options)

        monkeypatch.setattr(sounddevice, name, Picky)


def trimmed(audio: bytes | bytearray) -> bytes:
    """Return a sound without the silence, and the resamplers' ringing, before and after it."""
    loud = [index for index, value in enumerate(memoryview(bytes(audio)).cast("h")) if abs(value) > 100]
    return bytes(audio[2 * loud[0] : 2 * loud[-1] + 2]) if loud else b""


def tone_of(frequency: float, count: int, rate: int) -> bytes:
    turn = 2 * math.pi * frequency / rate
    return struct.pack(f"<{count}h", *(round(8192 * math.sin(turn * index)) for index in range(count)))


# Loudness


def test_volume_and_mute_change_what_is_heard_while_it_runs(sound_card: SoundCard):
    interface = DefaultAudioInterface(volume=0.5, muted=True)
    with sound_card.monitor() as monitor, running(interface) as session:
        interface.play(1, tone(8000, 1600))
        assert interface.drain(PATIENCE)
        assert monitor.wait_for_silence() == tone(4000, 1600)
        interface.volume = 1.0
        interface.play(2, tone(8000, 1600))
        assert interface.drain(PATIENCE)
        assert monitor.wait_for_silence() == tone(4000, 1600) + tone(8000, 1600)
        wait_until(lambda: session.recorded, "the microphone")
        sound_card.speak(tone(9000, 3200))
        assert not any(session.recorded)
        interface.muted = False
        sound_card.speak(tone(9000, 3200))
        wait_until(lambda: tone(9000, 3200) in session.recorded, "the user's words")
        assert interface.muted is False
        assert interface.volume == 1.0


def test_levels_follow_what_is_heard_and_said(sound_card: SoundCard):
    interface = DefaultAudioInterface(muted=True)
    assert interface.input_level == interface.output_level == SILENCE
    with running(interface):
        wait_until(lambda: interface.output_level == SILENCE, "silence")
        interface.play(1, tone(16384, 16000))
        wait_until(lambda: interface.output_level == Level(0.5, 0.5), "the agent's level")
        speaking = threading.Thread(target=sound_card.speak, args=(tone(-8192, 16000),), daemon=True)
        speaking.start()
        wait_until(lambda: interface.input_level == Level(0.25, 0.25), "the user's level")
        speaking.join(PATIENCE)
        wait_until(lambda: interface.input_level == SILENCE, "the user to be silent")


# The rest of the interface


def test_nothing_happens_to_an_interface_that_does_not_run():
    interface = DefaultAudioInterface()
    interface.play(1, b"12")
    interface.output(b"12")
    interface.interrupt()
    interface.pause()
    interface.resume()
    interface.stop()
    assert interface.drain(0)
    assert not interface.is_paused
    assert interface.position == interface.underflows == interface.overflows == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"volume": 1.5}, "volume is 1.5; choose from 0 (silence) to 1 (as it comes)."),
        ({"volume": math.nan}, "volume is nan; choose from 0 (silence) to 1 (as it comes)."),
        ({"block_seconds": 0}, "block_seconds is 0; choose from 0.001 to 1 seconds."),
        ({"chunk_seconds": math.inf}, "chunk_seconds is inf; choose from 0.001 to 60 seconds."),
        ({"latency": "none"}, "latency is 'none'; choose low, high, or from 0.001 to 2 seconds."),
        ({"latency": 3.0}, "latency is 3.0; choose low, high, or from 0.001 to 2 seconds."),
        ({"reopen_seconds": -1}, "reopen_seconds is -1; choose from 0 to 3600 seconds."),
        (
            {"watchdog_seconds": 0.1, "block_seconds": 0.05},
            "watchdog_seconds has to be at least four times block_seconds.",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        DefaultAudioInterface(**arguments)


def test_a_running_interface_is_neither_started_nor_configured_again(sound_card: SoundCard):
    with running() as session:
        with pytest.raises(AudioError, match=r"still in use; call stop\(\)"):
            session.interface.start(session.take)
        with pytest.raises(AudioError, match=r"still in use; call stop\(\)"):
            session.interface.configure(audio_format("pcm_8000"), audio_format("pcm_8000"), session)
        session.interface.volume = 0.5
        with pytest.raises(ConfigurationError):
            session.interface.volume = 2


def test_an_interface_serves_one_session_after_another(sound_card: SoundCard):
    interface = DefaultAudioInterface()
    for speech in (samples(1, 4000), samples(4001, 4000)):
        with sound_card.monitor() as monitor, running(interface) as session:
            interface.play(1, speech)
            assert interface.drain(PATIENCE)
            assert monitor.wait_for_silence() == speech
            assert interface.position == 4000
        assert session.reported == [1]


def test_more_speech_than_the_limit_is_refused(sound_card: SoundCard):
    with running(DefaultAudioInterface(limit=20_000)) as session:
        session.interface.play(1, samples(1, 8000))
        with pytest.raises(AudioError, match="raise the limit"):
            session.interface.play(2, samples(1, 8000))


def test_pieces_have_the_duration_that_was_chosen(sound_card: SoundCard):
    interface = DefaultAudioInterface(chunk_seconds=0.25, block_seconds=0.02)
    with running(interface) as session:
        wait_until(lambda: len(session.pieces) > 1, "the microphone")
    assert set(session.pieces) == {8000}


@pytest.mark.parametrize("name", ["default", "DEFAULT alsa", 1])
def test_devices_are_chosen_by_name_or_index(sound_card: SoundCard, name: str | int):
    with running(DefaultAudioInterface(input_device=name, output_device=name)) as session:
        wait_until(lambda: session.pieces, "the microphone")
        session.interface.play(1, samples(1, 160))
        assert session.interface.drain(PATIENCE)
