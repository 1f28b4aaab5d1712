from __future__ import annotations

import errno
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.audio import audio_format
from convsm.audio.mulaw import pcm_to_ulaw, ulaw_to_pcm
from convsm.audio.wav_files import WavReader, WavWriter
from convsm.errors import AudioError
from tests.audio.sounds import read_wav, samples, write_wav

PCM = audio_format("pcm_16000")
ULAW = audio_format("ulaw_8000")


def refusal(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        WavReader(str(path), PCM)
    return str(caught.value)


@given(count=st.integers(0, 300), size=st.integers(1, 100))
def test_a_file_is_read_to_its_last_sample_whatever_the_pieces(tmp_path_factory, count, size):
    path = write_wav(tmp_path_factory.getbasetemp() / "pieces.wav", samples(0, count))
    reader = WavReader(str(path), PCM)
    pieces = [reader.read(2 * size) for _ in range(count // size + 2)]
    reader.close()
    assert b"".join(pieces) == samples(0, count)
    assert [len(piece) for piece in pieces[: count // size]] == [2 * size] * (count // size)
    assert pieces[-1] == b""


def test_a_mu_law_session_reads_a_16_bit_file_encoded(tmp_path):
    path = write_wav(tmp_path / "in.wav", samples(-50, 100), rate=8000)
    reader = WavReader(str(path), ULAW)
    assert reader.read(60) + reader.read(60) == pcm_to_ulaw(samples(-50, 100))
    reader.close()


def test_a_file_cut_off_in_the_middle_of_a_sample_is_read_to_its_last_whole_one(tmp_path):
    path = write_wav(tmp_path / "in.wav", samples(0, 100))
    path.write_bytes(path.read_bytes()[:-3])
    reader = WavReader(str(path), PCM)
    assert reader.read(1000) == samples(0, 98)
    reader.close()


def test_a_missing_file_is_named(tmp_path):
    assert "nowhere.wav cannot be opened (" in refusal(tmp_path / "nowhere.wav")


@pytest.mark.parametrize(
    ("rate", "channels", "width", "found"),
    [
        (44100, 1, 2, "1 channel(s) of 16 bit at 44100 Hz"),
        (16000, 2, 2, "2 channel(s) of 16 bit at 16000 Hz"),
        (16000, 1, 3, "1 channel(s) of 24 bit at 16000 Hz"),
    ],
)
def test_another_rate_width_or_number_of_channels_is_refused_with_both_formats(
    tmp_path, rate, channels, width, found
):
    path = write_wav(tmp_path / "in.wav", bytes(60), rate=rate, channels=channels, width=width)
    message = refusal(path)
    assert found in message
    assert "wants mono 16 bit at 16000 Hz" in message


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"ID3 and so on, at length", "does not start with RIFF id"), (b"RI", "the file is cut short")],
)
def test_what_is_no_wav_file_is_refused_with_the_reason_and_a_way_out(tmp_path, content, problem):
    path = tmp_path / "in.mp3"
    path.write_bytes(content)
    message = refusal(path)
    assert problem in message
    assert f"ffmpeg -i {path} -ar 16000 -ac 1 -c:a pcm_s16le converted.wav" in message


def test_the_command_in_the_refusal_converts_the_file(tmp_path):
    path = write_wav(tmp_path / "it's stereo.wav", bytes(4 * 4410), rate=44100, channels=2)
    command = shlex.split(refusal(path).split("convert it with: ")[1].split(" (or: ")[0])
    assert command == [
        *("sox", str(path), "-r", "16000", "-c", "1", "-b", "16", "-e", "signed-integer", "converted.wav")
    ]
    if shutil.which("sox"):
        subprocess.run(command, cwd=tmp_path, check=True)
        reader = WavReader(str(tmp_path / "converted.wav"), PCM)
        assert len(reader.read(10_000)) == 2 * 1600
        reader.close()


def test_a_written_file_has_the_samples_and_the_rate_of_its_format(tmp_path):
    path = tmp_path / "out.wav"
    writer = WavWriter(str(path), audio_format("pcm_22050"))
    writer.write(samples(0, 10))
    writer.write(samples(10, 10))
    writer.close()
    assert read_wav(path, rate=22050) == samples(0, 20)


def test_mu_law_is_written_decoded(tmp_path):
    path = tmp_path / "out.wav"
    writer = WavWriter(str(path), ULAW)
    writer.write(bytes(range(256)))
    writer.close()
    assert read_wav(path, rate=8000) == ulaw_to_pcm(bytes(range(256)))


def test_a_file_into_which_nothing_was_written_is_a_wav_file_of_no_samples(tmp_path):
    path = tmp_path / "out.wav"
    WavWriter(str(path), PCM).close()
    assert read_wav(path) == b""


def test_a_file_can_be_read_while_it_is_written(tmp_path):
    path = tmp_path / "out.wav"
    writer = WavWriter(str(path), PCM)
    for count in range(3):
        writer.write(samples(320 * count, 320))
        assert read_wav(path) == samples(0, 320 * (count + 1))
    writer.close()


def test_an_output_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(AudioError, match=r"Audio output .*out\.wav cannot be opened \("):
        WavWriter(str(tmp_path / "missing" / "out.wav"), PCM)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error_and_the_file_is_closed_all_the_same():
    writer = WavWriter("/dev/full", PCM)
    with pytest.raises(OSError, match="No space") as caught:
        writer.write(samples(0, 10))
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="No space"):
        writer.close()
