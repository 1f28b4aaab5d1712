"""The spoken lines and the reading of a user's own."""

from __future__ import annotations

from importlib.resources import files

import pytest

from convsm.audio.vad import LoudnessModel, SpeechDetector
from convsm.demo.speech import LINES, RATE, VOICES, Sound, cough, load_line, read_sound
from convsm.errors import AudioError
from convsm.turns.events import SpeechEnded, SpeechStarted
from tests.demo.sounds import write_wav


def test_every_line_has_a_file_and_every_file_is_a_line():
    names = {entry.name for entry in (files("convsm") / "data").iterdir() if entry.name.endswith(".wav")}
    assert names == {f"{name}.wav" for name in LINES}
    assert {line.voice for line in LINES.values()} == set(VOICES)


@pytest.mark.parametrize("name", LINES)
def test_a_line_is_speech_at_16_khz_without_silence_around_it(name):
    sound = load_line(name)
    assert sound.rate == RATE
    assert 1 < sound.seconds < 9
    tenth = RATE // 10 * 2
    assert max(sound.pcm[1:tenth:2]) > 0
    assert max(sound.pcm[-tenth + 1 :: 2]) > 0


def test_the_files_stay_small_enough_to_ship():
    assert sum(len(load_line(name).pcm) for name in LINES) < 700_000


@pytest.mark.parametrize("rate", [8000, RATE, 48000])
def test_a_cough_is_one_short_noise_that_is_loud_to_its_end(rate):
    noise = cough()
    assert noise == cough()
    heard = SpeechDetector(LoudnessModel()).feed(noise.at(rate).at(RATE).pcm + bytes(RATE), 0.3 + 0.5)
    (began,) = (event.began for event in heard if isinstance(event, SpeechStarted))
    (ended,) = (event.ended for event in heard if isinstance(event, SpeechEnded))
    assert began == pytest.approx(0, abs=0.02)
    assert ended == pytest.approx(noise.seconds, abs=0.05)


def test_hurried_speech_keeps_every_so_many_samples():
    sound = Sound(b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09")
    assert sound.hurried(2).pcm == b"\x00\x01\x04\x05\x08\x09"
    assert sound.hurried(1) == sound


def test_at_another_rate_speech_takes_the_same_time():
    line = load_line("greeting")
    other = line.at(24000)
    assert other.rate == 24000
    assert other.seconds == pytest.approx(line.seconds, abs=0.001)
    assert line.at(RATE) is line


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_a_recording_of_any_rate_that_the_protocol_knows_is_read_whole(tmp_path, rate):
    path = write_wav(tmp_path / "mine.wav", b"\x01\x02" * rate, rate)
    assert read_sound(path) == Sound(b"\x01\x02" * rate, rate)


def test_of_a_long_recording_the_first_minute_is_read(tmp_path):
    path = write_wav(tmp_path / "long.wav", bytes(2 * 8000 * 61), 8000)
    assert read_sound(path).seconds == 60


def test_a_recording_that_does_not_fit_is_refused_with_a_command_that_converts_it(tmp_path):
    for path in (
        write_wav(tmp_path / "stereo.wav", channels=2),
        write_wav(tmp_path / "odd.wav", rate=11025),
    ):
        with pytest.raises(AudioError, match="convert it with: sox"):
            read_sound(path)


def test_a_recording_without_sound_and_a_missing_one_are_refused(tmp_path):
    with pytest.raises(AudioError, match="holds no sound"):
        read_sound(write_wav(tmp_path / "empty.wav", b""))
    with pytest.raises(AudioError, match="cannot be opened"):
        read_sound(str(tmp_path / "missing.wav"))
