"""What the demo measures on its way."""

from __future__ import annotations

import time

import pytest

from convsm.audio.formats import audio_format
from convsm.demo.observing import CountingCodec, ObservedAudio, Traffic
from convsm.machine.effects import Pong
from convsm.machine.events import Pinged
from convsm.protocols.elevenlabs import ElevenLabsCodec
from tests.demo.sounds import write_wav

PCM = audio_format("pcm_16000")


class Nobody:
    def played(self, through):
        pass

    def failed(self, message):
        raise AssertionError(message)


@pytest.fixture
def audio():
    made = ObservedAudio(chunk_seconds=0.02)
    made.configure(PCM, PCM, Nobody())
    return made


def test_a_counting_codec_translates_and_counts_every_frame():
    codec, traffic = ElevenLabsCodec([b'{"type":"first"}']), Traffic()
    counting = CountingCodec(codec, traffic)
    frame = b'{"type":"ping","ping_event":{"event_id":7}}'
    assert counting.decode(frame) == codec.decode(frame) == (Pinged(7),)
    sent = [*counting.opening(), counting.encode(Pong(7)), counting.encode_audio(b"\1\0")]
    assert sent == [*codec.opening(), codec.encode(Pong(7)), codec.encode_audio(b"\1\0")]
    assert traffic == Traffic(1, len(frame), 3, sum(map(len, sent)))


def test_silence_has_no_playout(audio):
    assert audio.playout(time.monotonic()) is None


def test_playout_tells_how_much_was_heard_and_is_queued(audio):
    audio.play(1, PCM.silence(10))
    audio.play(2, PCM.silence(20))
    now = time.monotonic()
    playout = audio.playout(now + 5)
    assert playout.heard + playout.queued == pytest.approx(30, abs=0.001)
    assert 5 <= playout.heard < 6
    assert audio.playout(now + 30) is None


def test_an_interruption_tells_when_it_silenced_and_what_it_took_away(audio):
    before = time.monotonic()
    audio.play(1, PCM.silence(10))
    audio.interrupt()
    assert audio.silenced.is_set()
    assert before <= audio.silenced_at <= time.monotonic()
    assert 9 < audio.cut_seconds <= 10
    assert audio.playout(time.monotonic()) is None


def test_an_interruption_of_silence_silences_nothing(audio):
    audio.interrupt()
    assert not audio.silenced.is_set()


def test_the_level_follows_the_microphone_and_falls_slowly(tmp_path, audio):
    loud = write_wav(tmp_path / "loud.wav", b"\x00\x7f" * 160 + b"\x00\x81" * 160)
    audio = ObservedAudio(loud, chunk_seconds=0.02, real_time=False)
    audio.configure(PCM, PCM, Nobody())
    heard: list[bytes] = []
    audio.start(heard.append)
    assert audio.input_finished.wait(5)
    audio.stop()
    assert audio.level == 1
    assert b"".join(heard) == b"\x00\x7f" * 160 + b"\x00\x81" * 160

    quiet = ObservedAudio(write_wav(tmp_path / "quiet.wav", bytes(640)), real_time=False)
    quiet.configure(PCM, PCM, Nobody())
    quiet.level = 1.0
    quiet.start(heard.append)
    assert quiet.input_finished.wait(5)
    quiet.stop()
    assert quiet.level == pytest.approx(0.91)
