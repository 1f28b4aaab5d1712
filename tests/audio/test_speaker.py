from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.audio.formats import audio_format
from convsm.audio.level import SILENCE, Level
from convsm.audio.mulaw import ulaw_to_pcm
from convsm.audio.speaker import Speaker
from tests.audio.sounds import samples, tone

BLOCK = 160
SECONDS = 0.01


@attrs.define
class Time:
    """What PortAudio tells a callback."""

    currentTime: float  # noqa: N815, PortAudio's name
    outputBufferDacTime: float  # noqa: N815


@attrs.define
class Status:
    output_underflow: bool = False

    def __bool__(self) -> bool:
        return self.output_underflow


@attrs.define
class Device:
    """A device that calls a speaker back, on a clock of its own.

    Attributes:
        latency: Seconds between callback and sound, as it tells.
        heard: All that it was given.
    """

    monkeypatch: pytest.MonkeyPatch
    name: str = "pcm_16000"
    latency: float = 0.025
    now: float = 100.0
    heard: bytearray = attrs.field(factory=bytearray)
    reports: list[tuple[int, float]] = attrs.field(factory=list)
    speaker: Speaker = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.speaker = Speaker(audio_format(self.name))
        self.attach()
        self.monkeypatch.setattr("convsm.audio.speaker.monotonic", lambda: self.now)

    def attach(self) -> None:
        self.speaker.attach(self.speaker.format.rate, 0.02, SECONDS, None, self.note)

    def note(self, through: int) -> None:
        self.reports.append((through, round(self.now, 3)))

    def call(self, count: int = 1, frames: int = BLOCK) -> bytes:
        """Call so many times, once in a block, and return what was given."""
        given_to_us = bytearray()
        for _ in range(count):
            block = bytearray(2 * frames)
            self.speaker.fill(block, frames, Time(7.0, 7.0 + self.latency), Status())
            given_to_us += block
            self.now += frames / self.speaker.format.rate
        self.heard += given_to_us
        return bytes(given_to_us)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    return Device(monkeypatch)


def test_a_message_is_reported_when_its_last_sample_left_the_device(device: Device):
    # Handed over at 100.0, sounds from 100.025 to 100.035; the next callback after that is at 100.04.
    device.speaker.play(1, samples(1, BLOCK))
    device.call(10)
    assert device.reports == [(1, 100.04)]
    assert device.heard == samples(1, BLOCK) + bytes(2 * 9 * BLOCK)


def test_messages_that_end_in_one_block_are_reported_by_the_last_number(device: Device):
    for number in range(1, 5):
        device.speaker.play(number, samples(40 * number, 40))
    device.call(10)
    assert [number for number, _ in device.reports] == [4]


def test_empty_audio_is_heard_as_soon_as_all_before_it(device: Device):
    device.speaker.play(1, b"")
    device.call()
    assert device.reports == [(1, 100.0)]
    device.speaker.play(2, samples(1, BLOCK))
    device.call()
    device.speaker.play(3, b"")
    device.call(8)
    assert [number for number, _ in device.reports] == [1, 3]


def test_the_latency_that_portaudio_told_at_first_serves_where_the_device_tells_none(device: Device):
    device.latency = 0.0
    device.speaker.play(1, samples(1, BLOCK))
    device.call(10)
    assert device.reports == [(1, 100.03)]


def test_the_position_runs_between_the_callbacks(device: Device):
    device.speaker.play(1, samples(1, 4 * BLOCK))
    device.call(2)
    assert device.speaker.position == 0
    device.now = 100.03
    assert device.speaker.position == 80
    device.now = 100.04
    assert device.speaker.position == 240


@given(
    st.lists(
        st.tuples(st.sampled_from(["play", "pause", "resume", "call"]), st.integers(0, 500)), max_size=60
    )
)
def test_whatever_the_pauses_each_sample_is_heard_once_in_order(steps: list[tuple[str, int]]):
    with pytest.MonkeyPatch.context() as monkeypatch:
        device = Device(monkeypatch)
        said, number = b"", 0
        for step, size in steps:
            if step == "play":
                number += 1
                audio = samples(len(said) // 2 + 1, size)
                said += audio
                device.speaker.play(number, audio)
            elif step == "call":
                device.call(size % 4)
            else:
                getattr(device.speaker, step)()
        device.speaker.resume()
        device.call(len(said) // (2 * BLOCK) + 6)
        heard = b"".join(bytes(device.heard[at : at + 2]) for at in range(0, len(device.heard), 2))
        assert strip(heard) == said
        assert device.speaker.position == len(said) // 2
        numbers = [reported for reported, _ in device.reports]
        assert numbers == sorted(set(numbers))
        assert numbers[-1:] == ([number] if number else [])
        device.speaker.note_heard()
        assert device.speaker.wait_until_quiet(0)


def strip(audio: bytes) -> bytes:
    return b"".join(audio[at : at + 2] for at in range(0, len(audio), 2) if audio[at : at + 2] != b"\0\0")


def test_an_interruption_holds_everything_back_until_the_device_was_emptied(device: Device):
    device.speaker.play(1, samples(1, 4 * BLOCK))
    device.call(2)
    assert device.speaker.interrupt()
    device.speaker.play(2, samples(9001, BLOCK))
    assert device.call(3) == bytes(6 * BLOCK)
    device.speaker.silenced()
    assert device.call() == samples(9001, BLOCK)
    device.call(6)
    assert [number for number, _ in device.reports] == [2]


def test_an_interruption_that_finds_the_device_empty_needs_nobody(device: Device):
    assert not device.speaker.interrupt()
    device.speaker.play(1, samples(1, BLOCK))
    assert not device.speaker.interrupt()
    device.speaker.play(2, samples(1, BLOCK))
    device.call(9)
    assert not device.speaker.interrupt()
    assert device.speaker.position == BLOCK


def test_what_a_lost_device_held_is_played_again(device: Device):
    device.speaker.play(1, samples(1, 2 * BLOCK))
    device.speaker.play(2, samples(1 + 2 * BLOCK, 4 * BLOCK))
    device.call(5)
    # By now two of them have sounded.
    device.speaker.lose_device(100.046)
    assert device.reports == [(1, 100.05)]
    device.attach()
    assert device.call(9) == samples(1 + 2 * BLOCK, 4 * BLOCK) + bytes(2 * 5 * BLOCK)
    assert [number for number, _ in device.reports] == [1, 2]
    assert device.speaker.position == 6 * BLOCK


def test_what_a_lost_device_held_fits_another_block_size_too(device: Device):
    device.speaker.play(1, samples(1, 300))
    device.call(2)
    device.speaker.lose_device(100.0)
    device.speaker.play(2, samples(301, 300))
    device.attach()
    assert strip(device.call(30, 47)) == samples(1, 600)
    assert [number for number, _ in device.reports] == [1, 2]


def test_an_interruption_drops_what_was_to_be_played_again(device: Device):
    device.speaker.play(1, samples(1, 2 * BLOCK))
    device.call(2)
    device.speaker.lose_device(100.0)
    assert not device.speaker.wait_until_quiet(0)
    assert not device.speaker.interrupt()
    assert device.speaker.wait_until_quiet(0)
    assert device.call(3) == bytes(6 * BLOCK)
    assert device.reports == []


def test_a_retired_speaker_is_silent(device: Device):
    device.speaker.play(1, samples(1, 2 * BLOCK))
    device.speaker.retire()
    device.speaker.play(2, samples(1, 2 * BLOCK))
    assert device.call(9) == bytes(18 * BLOCK)
    assert device.reports == []
    assert device.speaker.wait_until_quiet(0)


def test_ulaw_is_decoded_and_silence_is_silence(monkeypatch: pytest.MonkeyPatch):
    device = Device(monkeypatch, "ulaw_8000")
    codes = bytes(range(80))
    device.speaker.play(1, codes)
    assert device.call(2, 80) == ulaw_to_pcm(codes) + bytes(160)
    device.call(6, 80)
    assert device.speaker.position == 80


def test_the_level_is_that_of_what_the_device_gets(device: Device):
    assert device.speaker.level == SILENCE
    device.speaker.volume = 0.5
    device.speaker.play(1, tone(16384, 5 * BLOCK))
    device.call(5)
    assert device.speaker.level == Level(0.25, 0.25)
    device.call(5)
    assert device.speaker.level == SILENCE


def test_underflows_are_counted(device: Device):
    for has_run_dry in (True, False, True):
        device.speaker.fill(bytearray(320), 160, Time(0.0, 0.1), Status(has_run_dry))
    assert device.speaker.underflows == 2


def test_all_that_the_device_gets_is_copied_for_the_echo_canceller(monkeypatch: pytest.MonkeyPatch):
    copies: list[bytes] = []
    speaker = Speaker(audio_format("pcm_16000"))
    speaker.attach(16000, 0.02, SECONDS, copies.append, lambda through: None)
    speaker.play(1, samples(1, 200))
    for _ in range(2):
        speaker.fill(bytearray(320), 160, Time(0.0, 0.1), Status())
    assert b"".join(copies) == samples(1, 200) + bytes(240)
