"""Sound that can be watched: how far, how loud, cut when."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.audio.companding import from_pcm
from convsm.audio.formats import audio_format
from convsm.errors import AudioError
from convsm.live.audio import ObservedAudio, ObservedCard, PlayoutClock, SpokenFile
from convsm.runtime.audio_port import can_pause
from tests.audio.sound_card import SoundCard, wait_until
from tests.audio.sounds import samples
from tests.demo.sounds import write_wav

PCM = audio_format("pcm_16000")
LOUD = b"\x00\x40" * 160 + b"\x00\xc0" * 160


class Listener:
    def __init__(self):
        self.heard = []
        self.failures = []

    def played(self, through):
        self.heard.append(through)

    def failed(self, message):
        self.failures.append(message)


@pytest.fixture
def clock():
    made = PlayoutClock()
    made.begin(PCM)
    return made


def test_silence_has_no_playout(clock):
    assert clock.playout(time.monotonic()) is None


def test_playout_tells_how_much_was_heard_and_is_queued(clock):
    clock.handed(PCM.bytes_of(10))
    clock.handed(PCM.bytes_of(20))
    now = time.monotonic()
    playout = clock.playout(now + 5)
    assert playout.heard + playout.queued == pytest.approx(30, abs=0.001)
    assert 5 <= playout.heard < 6
    assert clock.playout(now + 30) is None


def test_a_cut_tells_when_it_silenced_and_what_it_took_away(clock):
    before = time.monotonic()
    clock.handed(PCM.bytes_of(10))
    clock.cut()
    cut = clock.wait_for_cut(before, 0)
    assert before <= cut.at <= time.monotonic()
    assert 9 < cut.seconds <= 10
    assert clock.playout(time.monotonic()) is None
    assert clock.wait_for_cut(cut.at + 1e-6, 0) is None, "one from before does not count"


def test_a_cut_of_silence_is_none(clock):
    clock.cut()
    assert clock.wait_for_cut(0, 0) is None


def test_a_cut_that_comes_is_waited_for(clock):
    since = time.monotonic()
    clock.handed(PCM.bytes_of(10))
    found = []
    waiting = threading.Thread(target=lambda: found.append(clock.wait_for_cut(since, 5)))
    waiting.start()
    clock.cut()
    waiting.join(5)
    assert found[0].at >= since


# Pauses, on a clock of the test's own


class Clock:
    """The clock of a loudspeaker, and the time that it reads."""

    def __init__(self):
        self.now = 100.0
        self.clock = PlayoutClock(lambda: self.now)
        self.clock.begin(PCM)

    def hand(self, seconds):
        self.clock.handed(PCM.bytes_of(seconds))

    def shown(self):
        playout = self.clock.playout(self.now)
        return playout and (playout.heard, playout.queued, playout.is_paused)


@pytest.fixture
def stage():
    return Clock()


def test_a_pause_stops_the_clock_and_the_rest_is_heard_behind_it(stage):
    stage.hand(10)
    stage.now = 103.0
    stage.clock.pause()
    stage.now = 150.0
    stage.clock.pause()
    stage.hand(2)
    assert stage.shown() == (3, 9, True)
    stage.clock.resume()
    assert stage.shown() == (3, 9, False)
    stage.now = 158.0
    stage.clock.resume()
    assert stage.shown() == (11, 1, False)
    stage.now = 159.0
    assert stage.shown() is None


def test_speech_that_is_held_back_is_heard_from_its_beginning(stage):
    stage.clock.pause()
    assert stage.shown() is None
    stage.now = 105.0
    stage.hand(10)
    stage.now = 107.0
    assert stage.shown() == (0, 10, True)
    stage.clock.resume()
    stage.now = 108.0
    assert stage.shown() == (1, 9, False)


def test_a_cut_behind_a_pause_takes_away_what_was_paused_and_ends_the_pause(stage):
    stage.hand(10)
    stage.now = 104.0
    stage.clock.pause()
    stage.now = 150.0
    stage.clock.cut()
    cut = stage.clock.wait_for_cut(0, 0)
    assert (cut.at, cut.seconds) == (150, 6)
    assert stage.shown() is None
    stage.hand(1)
    stage.clock.resume()
    assert stage.shown() == (0, 1, False)


def test_a_loudspeaker_that_is_closed_has_nothing_left_and_was_not_cut(stage):
    stage.hand(10)
    stage.clock.pause()
    stage.clock.end()
    assert stage.shown() is None
    assert stage.clock.wait_for_cut(0, 0) is None
    stage.hand(1)
    assert stage.shown() == (0, 1, False)


@given(
    st.lists(
        st.sampled_from(["handed", "pause", "resume", "cut", "end"]) | st.integers(1, 5).map(float),
        max_size=30,
    )
)
def test_the_clock_reckons_as_one_who_counts_every_second(doings):
    stage = Clock()
    heard = queued = 0.0
    is_paused = False
    for doing in doings:
        if doing == "handed":
            stage.hand(3)
            heard, queued = heard if queued else 0, queued + 3
        elif isinstance(doing, float):
            stage.now += doing
            sounded = 0 if is_paused else min(queued, doing)
            heard, queued = heard + sounded, queued - sounded
        else:
            getattr(stage.clock, doing)()
            is_paused = doing == "pause"
            queued = queued if doing in ("pause", "resume") else 0
        assert stage.shown() == ((heard, queued, is_paused) if queued else None)


def spoken(path, name="pcm_16000", is_muted=False):
    """Return what the session hears of a file, and the interface."""
    audio = ObservedAudio(path, chunk_seconds=0.02, real_time=False)
    audio.muted = is_muted
    voice = audio_format(name)
    audio.configure(voice, voice, Listener())
    heard: list[bytes] = []
    audio.start(heard.append)
    assert audio.input_finished.wait(5)
    audio.stop()
    return b"".join(heard), audio


@pytest.mark.parametrize(("name", "rate"), [("pcm_16000", 16000), ("ulaw_8000", 8000), ("alaw_8000", 8000)])
def test_the_level_of_a_file_is_measured_and_its_samples_are_left_alone(tmp_path, name, rate):
    path = write_wav(tmp_path / "loud.wav", LOUD, rate)
    heard, audio = spoken(path, name)
    assert heard == from_pcm(LOUD, audio_format(name))
    assert audio.input_level.rms == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("name", "rate"), [("pcm_16000", 16000), ("ulaw_8000", 8000), ("alaw_8000", 8000)])
def test_a_muted_file_is_silence_for_the_session_and_loud_on_the_meter(tmp_path, name, rate):
    path = write_wav(tmp_path / "loud.wav", LOUD, rate)
    heard, audio = spoken(path, name, is_muted=True)
    silence = audio_format(name).silence_byte
    assert heard == silence * len(heard)
    assert heard
    assert audio.input_level.rms == pytest.approx(0.5, abs=0.02)


def test_a_file_reckons_its_playout_and_its_cuts():
    audio = ObservedAudio()
    audio.configure(PCM, PCM, Listener())
    since = time.monotonic()
    audio.play(1, PCM.silence(5))
    assert audio.clock.playout(time.monotonic()) is not None
    audio.interrupt()
    assert audio.clock.playout(time.monotonic()) is None
    assert audio.clock.wait_for_cut(since, 0) is not None


def paused_clock(audio):
    playout = audio.clock.playout(time.monotonic())
    assert playout is not None
    return playout.is_paused


def test_a_file_stops_its_clock_while_it_is_paused():
    audio = ObservedAudio()
    audio.configure(PCM, PCM, Listener())
    audio.start(lambda audio: None)
    audio.play(1, PCM.silence(5))
    audio.pause()
    assert (audio.is_paused, paused_clock(audio)) == (True, True)
    audio.resume()
    assert (audio.is_paused, paused_clock(audio)) == (False, False)
    audio.stop()
    assert audio.clock.playout(time.monotonic()) is None


@pytest.mark.parametrize(
    "make", [ObservedCard, ObservedAudio, lambda: SpokenFile("voice.wav", ObservedCard())]
)
def test_all_that_is_watched_can_pause(make):
    assert can_pause(make())


# Through the virtual sound card


def test_the_card_reckons_its_playout_and_its_cuts(sound_card: SoundCard):
    card, listener = ObservedCard(), Listener()
    card.configure(PCM, PCM, listener)
    card.start(lambda audio: None)
    try:
        since = time.monotonic()
        card.play(1, PCM.silence(5))
        assert card.clock.playout(time.monotonic()) is not None
        card.interrupt()
        assert card.clock.playout(time.monotonic()) is None
        assert card.clock.wait_for_cut(since, 0) is not None
    finally:
        card.stop()
    assert sound_card.streams == []


def test_a_file_speaks_in_the_place_of_the_microphone_and_the_card_is_heard(sound_card: SoundCard, tmp_path):
    voice, speech = samples(1, 8000), samples(20001, 8000)
    audio, listener = SpokenFile(write_wav(tmp_path / "voice.wav", voice), ObservedCard()), Listener()
    audio.configure(PCM, PCM, listener)
    heard = bytearray()
    with sound_card.monitor() as monitor:
        audio.start(heard.extend)
        try:
            sound_card.speak(samples(40001, 1600))
            audio.play(1, speech)
            monitor.wait_for(0)
            wait_until(lambda: audio.output_level.rms > 0, "the level of the agent")
            assert audio.clock.playout(time.monotonic()) is not None
            wait_until(lambda: listener.heard == [1], "the report")
            assert monitor.wait_for_silence() == speech
            audio.muted = True
            assert audio.muted
            audio.interrupt()
            wait_until(lambda: len(heard) > len(voice), "the end of the file")
        finally:
            audio.stop()
    assert bytes(heard[: len(voice)]) == voice
    assert not any(heard[len(voice) :]), "what the real microphone heard"
    assert audio.input_level.rms == 0
    assert listener.failures == []
    assert sound_card.streams == []


@pytest.mark.parametrize("is_spoken", [False, True])
def test_the_card_pauses_and_goes_on_where_it_was(sound_card: SoundCard, tmp_path, is_spoken):
    card, listener, speech = ObservedCard(), Listener(), samples(1, 8000)
    audio = SpokenFile(write_wav(tmp_path / "voice.wav"), card) if is_spoken else card
    audio.configure(PCM, PCM, listener)
    with sound_card.monitor() as monitor:
        audio.start(lambda audio: None)
        try:
            audio.pause()
            audio.play(1, speech)
            assert card.is_paused
            assert paused_clock(audio)
            audio.resume()
            monitor.wait_for(0)
            wait_until(lambda: listener.heard == [1], "the report")
            assert monitor.wait_for_silence() == speech
        finally:
            audio.stop()
    assert sound_card.streams == []


def test_a_file_that_does_not_fit_leaves_no_card_open(sound_card: SoundCard, tmp_path):
    audio = SpokenFile(write_wav(tmp_path / "voice.wav", rate=8000), ObservedCard())
    audio.configure(PCM, PCM, Listener())
    with pytest.raises(AudioError, match="convert it with"):
        audio.start(lambda audio: None)
    assert sound_card.streams == []


def test_a_file_that_fails_is_told_and_the_card_goes_on(sound_card: SoundCard, tmp_path):
    audio, listener = SpokenFile(write_wav(tmp_path / "voice.wav"), ObservedCard()), Listener()
    audio.configure(PCM, PCM, listener)

    def fail(audio):
        raise ValueError("full")

    audio.start(fail)
    try:
        wait_until(lambda: listener.failures, "the fault")
    finally:
        audio.stop()
    assert "stopped on ValueError" in listener.failures[0]
