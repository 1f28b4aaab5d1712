from __future__ import annotations

import errno
import logging
import struct
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.audio import WavAudioInterface, audio_format
from convsm.audio.mulaw import pcm_to_ulaw, ulaw_to_pcm
from convsm.audio.wav_device import LARGEST_LAG, TICK, WavDevice
from convsm.audio.wav_files import WavReader, WavWriter
from convsm.errors import AudioError, ConfigurationError
from tests.audio.sounds import read_wav, samples, tone, write_wav

PCM = audio_format("pcm_16000")
ULAW = audio_format("ulaw_8000")
TICK_BYTES = PCM.bytes_of(TICK)
TICK_SAMPLES = TICK_BYTES // 2
PATIENCE = 10.0


@attrs.define
class Ear:
    """A listener that notes what it is told, does what it was asked to, and lets others wait for it."""

    act: Callable[[int], object] = lambda through: None
    reports: list[int] = attrs.Factory(list)
    failures: list[str] = attrs.Factory(list)
    threads: set[str] = attrs.Factory(set)
    news: threading.Condition = attrs.Factory(threading.Condition)

    def played(self, through: int) -> None:
        self.act(through)
        with self.news:
            self.reports.append(through)
            self.threads.add(threading.current_thread().name)
            self.news.notify_all()

    def failed(self, message: str) -> None:
        with self.news:
            self.failures.append(message)
            self.news.notify_all()

    def wait_for_played(self, number: int) -> None:
        with self.news:
            assert self.news.wait_for(lambda: number in self.reports, PATIENCE)

    def wait_for_failure(self) -> str:
        with self.news:
            assert self.news.wait_for(lambda: self.failures, PATIENCE)
            return self.failures[0]


class Desk:
    """A WavDevice on a virtual clock that starts at 100 s."""

    def __init__(
        self,
        folder: Path,
        *,
        sound: bytes | None = None,
        output_format: str = "pcm_16000",
        input_format: str = "pcm_16000",
        real_time: bool = True,
        chunk_seconds: float = TICK,
        gaps: bool = False,
    ) -> None:
        self.ear = Ear()
        self.sent: list[bytes] = []
        self.act: Callable[[], object] = lambda: None
        self.now = 100.0
        self.heard_file = folder / "heard.wav"
        self.output_format = audio_format(output_format)
        self.input_finished = threading.Event()
        reader = None
        if sound is not None:
            spoken = audio_format(input_format)
            reader = WavReader(str(write_wav(folder / "said.wav", sound, rate=spoken.rate)), spoken)
        self.device = WavDevice(
            reader,
            WavWriter(str(self.heard_file), self.output_format),
            self.output_format,
            audio_format(input_format),
            self.take,
            self.ear,
            input_finished=self.input_finished,
            now=self.now,
            real_time=real_time,
            chunk_seconds=chunk_seconds,
            gaps=gaps,
        )

    def take(self, chunk: bytes) -> None:
        self.sent.append(chunk)
        self.act()

    def pass_ticks(self, count: int) -> None:
        for _ in range(count):
            self.now += TICK
            # A hair late, as a thread is; otherwise binary fractions decide.
            self.device.tick(self.now + 1e-6)

    def rush(self) -> int:
        """Tick without pace until the device has nothing to do; return how often that took."""
        count = 1
        while self.device.tick(self.now) is not None:
            count += 1
        return count

    def close(self) -> bytes:
        """Close the device and return what was heard."""
        self.device.close()
        return read_wav(self.heard_file, rate=self.output_format.rate)


# The loudspeaker in real time


def test_speech_is_heard_at_the_pace_of_sound_and_reported_with_its_last_sample(tmp_path):
    desk = Desk(tmp_path)
    speech = samples(0, 5 * TICK_SAMPLES // 2)
    desk.device.play(1, speech)
    desk.pass_ticks(3)
    assert desk.ear.reports == []
    desk.pass_ticks(1)
    assert desk.ear.reports == [1]
    assert desk.close() == speech


def test_messages_follow_each_other_without_a_gap(tmp_path):
    desk = Desk(tmp_path, gaps=True)
    desk.device.play(1, samples(0, 100))
    desk.device.play(2, samples(100, TICK_SAMPLES - 100))
    desk.device.play(3, samples(TICK_SAMPLES, TICK_SAMPLES))
    desk.pass_ticks(2)
    assert desk.ear.reports == [2]
    desk.pass_ticks(1)
    assert desk.ear.reports == [2, 3]
    assert desk.close() == bytes(TICK_BYTES) + samples(0, 2 * TICK_SAMPLES)


def test_an_interruption_drops_all_that_was_not_heard_and_is_never_reported(tmp_path):
    desk = Desk(tmp_path)
    desk.device.play(1, samples(0, 2 * TICK_SAMPLES))
    desk.pass_ticks(2)
    desk.device.interrupt()
    desk.pass_ticks(5)
    assert desk.ear.reports == []
    assert desk.close() == samples(0, TICK_SAMPLES)


def test_an_interruption_takes_back_what_had_begun_to_sound_in_this_tick(tmp_path):
    desk = Desk(tmp_path)
    desk.device.play(1, samples(0, TICK_SAMPLES))
    desk.pass_ticks(1)
    desk.device.interrupt()
    desk.device.play(2, b"")
    desk.device.play(3, samples(500, TICK_SAMPLES))
    desk.pass_ticks(3)
    assert desk.ear.reports == [3]
    assert desk.close() == samples(500, TICK_SAMPLES)


def test_an_interruption_while_nothing_plays_changes_nothing(tmp_path):
    desk = Desk(tmp_path)
    desk.device.play(1, samples(0, 10))
    desk.pass_ticks(2)
    desk.device.interrupt()
    desk.device.interrupt()
    desk.device.play(2, samples(10, 10))
    desk.pass_ticks(2)
    assert desk.ear.reports == [1, 2]
    assert desk.close() == samples(0, 20)


def test_a_pause_is_silent_and_playout_goes_on_with_the_next_sample(tmp_path):
    desk = Desk(tmp_path, gaps=True)
    desk.device.play(1, samples(0, 2 * TICK_SAMPLES))
    desk.pass_ticks(2)
    desk.device.pause()
    is_paused = desk.device.is_paused
    desk.device.play(2, samples(2 * TICK_SAMPLES, TICK_SAMPLES))
    desk.pass_ticks(3)
    assert desk.ear.reports == []
    assert desk.device.position == TICK_SAMPLES
    desk.device.resume()
    assert (is_paused, desk.device.is_paused) == (True, False)
    desk.pass_ticks(2)
    assert desk.ear.reports == [1, 2]
    silence = bytes(TICK_BYTES)
    first, rest = samples(0, TICK_SAMPLES), samples(TICK_SAMPLES, 2 * TICK_SAMPLES)
    assert desk.close() == silence + first + 3 * silence + rest


@pytest.mark.parametrize("end", ["interrupt", "retire"])
def test_what_is_dropped_during_a_pause_is_never_heard_and_the_pause_is_over(tmp_path, end):
    desk = Desk(tmp_path)
    desk.device.play(1, samples(0, 2 * TICK_SAMPLES))
    desk.pass_ticks(2)
    desk.device.pause()
    getattr(desk.device, end)()
    assert not desk.device.is_paused
    desk.device.resume()
    desk.pass_ticks(3)
    assert desk.ear.reports == []
    assert desk.close() == samples(0, TICK_SAMPLES)


def test_a_device_that_was_retired_does_not_pause(tmp_path):
    desk = Desk(tmp_path)
    desk.device.retire()
    desk.device.pause()
    assert not desk.device.is_paused
    desk.close()


def test_empty_speech_is_reported_too(tmp_path):
    desk = Desk(tmp_path)
    desk.device.play(1, b"")
    desk.pass_ticks(2)
    assert desk.ear.reports == [1]
    assert desk.close() == b""


def test_gaps_give_the_file_the_timeline_of_the_conversation(tmp_path):
    desk = Desk(tmp_path, gaps=True)
    desk.pass_ticks(10)
    desk.device.play(1, samples(1, TICK_SAMPLES + 7))
    desk.pass_ticks(10)
    heard = desk.close()
    assert len(heard) == 20 * TICK_BYTES
    # Ten ticks of waiting, and one in which the message is taken up.
    assert heard[11 * TICK_BYTES :] == samples(1, TICK_SAMPLES + 7) + bytes(8 * TICK_BYTES - 14)
    assert not any(heard[: 11 * TICK_BYTES])


def test_a_gap_in_mu_law_is_silent_too(tmp_path):
    desk = Desk(tmp_path, gaps=True, output_format="ulaw_8000")
    desk.device.play(1, bytes(range(100)))
    desk.pass_ticks(3)
    assert desk.close() == bytes(320) + ulaw_to_pcm(bytes(range(100))) + bytes(120 + 320)


plays = st.tuples(st.just("play"), st.integers(0, 3 * TICK_SAMPLES))
passes = st.tuples(st.just("pass"), st.integers(1, 5))
stalls = st.tuples(st.just("stall"), st.integers(0, 10))
interruptions = st.tuples(st.just("interrupt"), st.just(0))
pauses = st.tuples(st.just("pause"), st.integers(0, 5))


@given(
    st.booleans(), st.lists(plays | plays | passes | passes | stalls | interruptions | pauses, max_size=30)
)
def test_whatever_happens_exactly_the_heard_is_written_and_reported(tmp_path_factory, gaps, acts):
    desk = Desk(tmp_path_factory.getbasetemp(), gaps=gaps)
    lengths: dict[int, int] = {}
    due: dict[int, float] = {}
    open_numbers: list[int] = []
    cut: set[int] = set()
    dry_at = desk.now
    stalled = 0.0
    for act, amount in [*acts, ("pass", 100)]:
        if act == "play":
            number = len(lengths) + 1
            lengths[number] = amount
            dry_at = max(dry_at, desk.now) + amount / PCM.rate
            due[number] = dry_at
            desk.device.play(number, tone(number, amount))
            open_numbers.append(number)
        elif act == "pass":
            for _ in range(amount):
                before = len(desk.ear.reports)
                desk.pass_ticks(1)
                for through in desk.ear.reports[before:]:
                    done = [number for number in open_numbers if number <= through]
                    del open_numbers[: len(done)]
                    # Never before it has sounded, and at most the rest of two ticks later.
                    assert due[through] - 1e-6 <= desk.now <= due[through] + stalled + 2 * TICK + 1e-6
        elif act == "stall":
            desk.now += amount * TICK
            stalled += amount * TICK
        elif act == "pause":
            position, reports = desk.device.position, list(desk.ear.reports)
            desk.device.pause()
            desk.pass_ticks(amount)
            assert (desk.device.position, desk.ear.reports) == (position, reports)
            desk.device.resume()
            dry_at += amount * TICK
            for number in open_numbers:
                due[number] += amount * TICK
        else:
            desk.device.interrupt()
            cut.update(open_numbers)
            open_numbers.clear()
            dry_at = desk.now
    heard = desk.close()
    if gaps:
        assert len(heard) == round((desk.now - 100.0) / TICK) * TICK_BYTES
    values = [value for value in struct.unpack(f"<{len(heard) // 2}h", heard) if value]
    assert list(values) == sorted(values)
    counted = Counter(values)
    for number, length in lengths.items():
        assert counted[number] <= length
        if number not in cut:
            assert counted[number] == length
    # What was not cut was reported, and what was cut never was.
    assert not open_numbers
    assert not cut & set(desk.ear.reports)
    assert desk.ear.reports == sorted(set(desk.ear.reports))


def test_ticks_that_nobody_came_for_are_silent_and_speech_goes_on_where_it_was(tmp_path):
    desk = Desk(tmp_path, gaps=True)
    speech = samples(1, 3 * TICK_SAMPLES)
    desk.device.play(1, speech)
    desk.pass_ticks(2)
    desk.now += 10 * TICK
    desk.pass_ticks(1)
    assert desk.ear.reports == []
    desk.pass_ticks(1)
    assert desk.ear.reports == [1]
    assert desk.close() == (
        bytes(TICK_BYTES) + speech[: 2 * TICK_BYTES] + bytes(10 * TICK_BYTES) + speech[2 * TICK_BYTES :]
    )


# The microphone in real time


@given(
    count=st.integers(0, 2000),
    chunk_seconds=st.floats(0.001, 0.1),
    steps=st.lists(st.floats(0, 0.3), max_size=20),
    format_name=st.sampled_from(["pcm_16000", "ulaw_8000", "pcm_22050"]),
)
def test_the_microphone_sends_the_file_and_then_silence_as_fast_as_time_passes(
    tmp_path_factory, count, chunk_seconds, steps, format_name
):
    spoken = audio_format(format_name)
    sound = samples(1, count)
    desk = Desk(
        tmp_path_factory.getbasetemp(), sound=sound, input_format=format_name, chunk_seconds=chunk_seconds
    )
    chunk_size = spoken.bytes_of(chunk_seconds)
    for step in steps:
        desk.now += step
        due = desk.device.tick(desk.now)
        assert due is not None
        assert due > desk.now
        sent = spoken.seconds_of(sum(map(len, desk.sent)))
        elapsed = desk.now - 100.0
        assert sent - 1e-6 <= elapsed <= sent + spoken.seconds_of(chunk_size) + 1e-6
    desk.close()
    assert {len(chunk) for chunk in desk.sent} <= {chunk_size}
    expected = pcm_to_ulaw(sound) if spoken.encoding == "ulaw" else sound
    sent_sound = b"".join(desk.sent)
    assert sent_sound[: len(expected)] == expected[: len(sent_sound)]
    assert sent_sound[len(expected) :].strip(spoken.silence_byte) == b""
    if len(sent_sound) > len(expected):
        assert desk.input_finished.is_set()


def test_the_input_is_finished_only_when_its_last_sample_was_sent(tmp_path):
    desk = Desk(tmp_path, sound=samples(0, 2 * TICK_SAMPLES + 1))
    desk.pass_ticks(2)
    assert not desk.input_finished.is_set()
    desk.pass_ticks(1)
    assert desk.input_finished.is_set()
    desk.close()


def test_deadlines_do_not_drift_in_ten_minutes(tmp_path):
    desk = Desk(tmp_path)
    while desk.now < 100.0 + 600:
        # Each time half a tick too late.
        desk.now = (desk.device.tick(desk.now) or 0.0) + TICK / 2
    desk.close()
    assert abs(len(desk.sent) - 600 / TICK) <= 1


def test_a_microphone_without_a_file_hears_silence(tmp_path):
    desk = Desk(tmp_path, input_format="ulaw_8000")
    desk.pass_ticks(2)
    assert desk.sent == [b"\xff" * 160] * 2
    assert desk.input_finished.is_set()
    desk.close()


def test_a_chunk_has_at_least_one_sample(tmp_path):
    desk = Desk(tmp_path, sound=samples(3, 1), chunk_seconds=1e-9)
    desk.device.tick(desk.now + 1.5 / PCM.rate)
    assert desk.sent == [samples(3, 1)]
    desk.close()


def test_what_a_short_delay_held_up_is_sent_afterwards(tmp_path):
    desk = Desk(tmp_path)
    desk.device.tick(desk.now + LARGEST_LAG)
    assert len(desk.sent) == round(LARGEST_LAG / TICK)
    desk.close()


def test_after_a_long_sleep_the_device_goes_on_from_there(tmp_path):
    desk = Desk(tmp_path, sound=samples(0, 10 * TICK_SAMPLES))
    desk.now += 3600
    due = desk.device.tick(desk.now)
    assert due is not None
    assert desk.now < due <= desk.now + TICK
    assert len(desk.sent) <= 3
    desk.pass_ticks(10)
    assert b"".join(desk.sent).startswith(samples(0, 10 * TICK_SAMPLES))
    desk.close()


# Without pace


def test_without_pace_the_file_is_sent_to_its_last_sample_and_then_nothing(tmp_path):
    desk = Desk(tmp_path, sound=samples(0, 1000), real_time=False)
    assert desk.rush() <= 6
    assert [len(chunk) for chunk in desk.sent] == [640, 640, 640, 80]
    assert b"".join(desk.sent) == samples(0, 1000)
    assert desk.input_finished.is_set()
    desk.rush()
    assert len(desk.sent) == 4
    desk.close()


def test_without_pace_speech_is_heard_when_the_device_comes_to_it(tmp_path):
    desk = Desk(tmp_path, real_time=False)
    speech = samples(0, 100_000)
    desk.device.play(1, speech)
    desk.device.play(2, b"")
    assert desk.ear.reports == []
    desk.rush()
    assert desk.ear.reports == [2]
    desk.device.play(3, samples(7, 7))
    desk.device.interrupt()
    desk.rush()
    assert desk.ear.reports == [2]
    assert desk.close() == speech


# The end


@pytest.mark.parametrize("real_time", [True, False])
def test_a_device_retired_by_its_own_callback_says_nothing_more(tmp_path, real_time):
    # The report comes at the second tick, at which the microphone is due as well.
    desk = Desk(tmp_path, sound=samples(0, 5000), real_time=real_time, chunk_seconds=2 * TICK)
    desk.device.play(1, samples(0, 10))
    desk.ear.act = lambda through: desk.device.retire()
    desk.pass_ticks(2)
    assert desk.ear.reports == [1]
    desk.device.play(2, samples(10, 10))
    desk.pass_ticks(4)
    assert desk.sent == []
    assert desk.close() == samples(0, 10)


def test_a_microphone_retired_by_its_own_callback_is_not_heard_again(tmp_path):
    desk = Desk(tmp_path, sound=samples(0, 5000))
    desk.act = desk.device.retire
    desk.device.tick(desk.now + 10 * TICK)
    assert len(desk.sent) == 1
    desk.close()


# The interface and its thread


def interface_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "convsm-wav"]


def no_microphone(chunk: bytes) -> None:
    pass


def test_a_conversation_in_real_time_takes_its_time_and_is_exact_to_the_sample(tmp_path):
    said, heard = write_wav(tmp_path / "said.wav", samples(0, 1000)), tmp_path / "heard.wav"
    interface = WavAudioInterface(said, heard)
    ear = Ear()
    sent: list[bytes] = []
    interface.configure(audio_format("pcm_8000"), PCM, ear)
    interface.start(sent.append)
    began = monotonic()
    interface.play(1, samples(0, 400))
    interface.play(2, samples(400, 800))
    ear.wait_for_played(2)
    took = monotonic() - began
    assert interface.input_finished.wait(PATIENCE)
    interface.stop()
    # A thread that is late by less than a tick takes the message up within the tick of its arrival.
    assert took >= 0.15 - TICK
    assert ear.reports[-1] == 2
    assert ear.threads == {"convsm-wav"}
    assert read_wav(heard, rate=8000) == samples(0, 1200)
    assert b"".join(sent).startswith(samples(0, 1000))
    assert interface_threads() == []
    assert ear.failures == []


def test_without_pace_a_conversation_takes_no_time(tmp_path):
    said, heard = write_wav(tmp_path / "said.wav", samples(0, 100_000)), tmp_path / "heard.wav"
    interface = WavAudioInterface(str(said), str(heard), real_time=False, chunk_seconds=0.25)
    ear = Ear()
    sent: list[bytes] = []
    interface.configure(PCM, PCM, ear)
    interface.start(sent.append)
    assert interface.input_finished.wait(PATIENCE)
    for number in range(1, 101):
        interface.play(number, samples(number, 8000))
    ear.wait_for_played(100)
    interface.stop()
    assert b"".join(sent) == samples(0, 100_000)
    assert read_wav(heard) == b"".join(samples(number, 8000) for number in range(1, 101))
    assert ear.threads == {"convsm-wav"}


def test_without_pace_a_pause_lasts_until_it_is_resumed(tmp_path):
    interface, ear = WavAudioInterface(output=tmp_path / "heard.wav", real_time=False), Ear()
    interface.configure(PCM, PCM, ear)
    interface.start(no_microphone)
    interface.play(1, samples(0, 10))
    ear.wait_for_played(1)
    interface.pause()
    assert interface.is_paused
    interface.play(2, samples(10, 10))
    interface.play(3, samples(20, 10))
    assert interface.position == 10
    interface.resume()
    ear.wait_for_played(3)
    interface.stop()
    assert read_wav(tmp_path / "heard.wav") == samples(0, 30)


def test_a_listener_may_play_and_interrupt_before_it_returns(tmp_path):
    heard = tmp_path / "heard.wav"
    interface = WavAudioInterface(output=heard, real_time=False)

    def answer(through: int) -> None:
        interface.interrupt()
        if through < 5:
            interface.play(through + 1, tone(through + 1, 1))

    ear = Ear(answer)
    interface.configure(PCM, PCM, ear)
    interface.start(no_microphone)
    interface.play(1, tone(1, 1))
    ear.wait_for_played(5)
    interface.stop()
    assert read_wav(heard) == b"".join(tone(number, 1) for number in range(1, 6))


def test_without_configure_it_is_the_plain_interface_of_the_reference_client(tmp_path, monkeypatch):
    heard = tmp_path / "heard.wav"
    interface = WavAudioInterface(output=heard, real_time=False)
    # Nobody is told what was heard, so watch the file.
    is_written = threading.Event()
    write = WavWriter.write

    def write_and_look(writer: WavWriter, audio: bytes) -> None:
        write(writer, audio)
        if audio.endswith(samples(19, 1)):
            is_written.set()

    monkeypatch.setattr(WavWriter, "write", write_and_look)
    interface.start(no_microphone)
    interface.output(samples(0, 10))
    interface.output(samples(10, 10))
    assert is_written.wait(PATIENCE)
    interface.interrupt()
    interface.stop()
    assert read_wav(heard) == samples(0, 20)


def test_stopped_before_anything_was_heard_it_leaves_an_empty_wav_file(tmp_path):
    interface = WavAudioInterface(output=tmp_path / "heard.wav")
    interface.start(no_microphone)
    interface.stop()
    assert read_wav(tmp_path / "heard.wav") == b""


def test_without_files_it_keeps_the_pace_and_forgets_the_sound():
    interface, ear = WavAudioInterface(), Ear()
    interface.configure(PCM, ULAW, ear)
    interface.start(no_microphone)
    interface.play(1, samples(0, 10))
    ear.wait_for_played(1)
    interface.stop()
    assert ear.reports == [1]


def test_what_is_asked_of_an_interface_at_rest_does_nothing(tmp_path):
    interface = WavAudioInterface(output=tmp_path / "heard.wav")
    interface.stop()
    interface.interrupt()
    interface.pause()
    interface.resume()
    assert not interface.is_paused
    interface.play(1, samples(0, 10))
    interface.start(no_microphone)
    interface.stop()
    interface.stop()
    interface.interrupt()
    interface.play(2, samples(0, 10))
    assert read_wav(tmp_path / "heard.wav") == b""


def test_started_again_it_reads_from_the_beginning_and_overwrites_the_output(tmp_path):
    said, heard = write_wav(tmp_path / "said.wav", samples(0, 500)), tmp_path / "heard.wav"
    interface = WavAudioInterface(said, heard, real_time=False)
    for session in (1, 2):
        ear = Ear()
        sent: list[bytes] = []
        interface.configure(PCM, PCM, ear)
        interface.start(sent.append)
        interface.play(1, tone(session, 50))
        ear.wait_for_played(1)
        assert interface.input_finished.wait(PATIENCE)
        interface.stop()
        assert b"".join(sent) == samples(0, 500)
        assert read_wav(heard) == tone(session, 50)


def test_a_running_interface_can_be_neither_started_nor_configured():
    interface = WavAudioInterface()
    interface.start(no_microphone)
    with pytest.raises(AudioError, match="still running; call stop"):
        interface.start(no_microphone)
    with pytest.raises(AudioError, match="still running; call stop"):
        interface.configure(PCM, PCM, Ear())
    interface.stop()
    interface.configure(PCM, PCM, Ear())


def test_it_can_be_stopped_from_inside_its_own_callback(tmp_path):
    heard = tmp_path / "heard.wav"
    interface = WavAudioInterface(output=heard)
    sent: list[bytes] = []

    def hang_up(chunk: bytes) -> None:
        interface.stop()
        sent.append(chunk)

    interface.start(hang_up)
    for thread in interface_threads():
        thread.join(PATIENCE)
    assert interface_threads() == []
    assert len(sent) == 1
    interface.stop()
    assert read_wav(heard) == b""


def test_a_callback_that_raises_fails_once_and_all_is_closed(tmp_path):
    heard = tmp_path / "heard.wav"
    interface, ear = WavAudioInterface(write_wav(tmp_path / "said.wav", samples(0, 9999)), heard), Ear()
    interface.configure(PCM, PCM, ear)

    def trip(chunk: bytes) -> None:
        raise LookupError("no such chunk")

    interface.start(trip)
    message = ear.wait_for_failure()
    assert "LookupError (no such chunk)" in message
    assert "input callback does not raise" in message
    assert interface.input_finished.wait(PATIENCE)
    interface.play(1, samples(0, 10))
    interface.stop()
    assert ear.failures == [message]
    assert ear.reports == []
    assert read_wav(heard) == b""
    interface.start(no_microphone)
    interface.stop()


@pytest.mark.parametrize("moment", ["write", "close"])
def test_a_full_disk_is_reported_once(tmp_path, monkeypatch, moment):
    interface, ear = WavAudioInterface(output=tmp_path / "heard.wav", real_time=False), Ear()
    interface.configure(PCM, PCM, ear)
    close = WavWriter.close

    def full(writer: WavWriter, *audio: bytes) -> None:
        if moment == "close":
            close(writer)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(WavWriter, moment, full)
    interface.start(no_microphone)
    interface.play(1, samples(0, 10))
    if moment == "write":
        ear.wait_for_failure()
    else:
        ear.wait_for_played(1)
    interface.stop()
    assert len(ear.failures) == 1
    assert "No space left on device" in ear.failures[0]
    assert interface_threads() == []


def test_an_interface_that_nobody_configured_logs_its_failure(caplog):
    def trip(chunk: bytes) -> None:
        raise RuntimeError("enough")

    interface = WavAudioInterface()
    with caplog.at_level(logging.ERROR):
        interface.start(trip)
        assert interface.input_finished.wait(PATIENCE)
        interface.stop()
    assert "RuntimeError (enough)" in caplog.text


def test_an_input_of_the_wrong_format_is_refused_before_the_output_is_touched(tmp_path):
    said = write_wav(tmp_path / "said.wav", samples(0, 10), rate=44100)
    heard = tmp_path / "heard.wav"
    heard.write_bytes(b"precious")
    with pytest.raises(AudioError, match=r"at 44100 Hz, but the session wants mono 16 bit at 16000 Hz"):
        WavAudioInterface(said, heard).start(no_microphone)
    assert heard.read_bytes() == b"precious"


def test_an_output_that_cannot_be_opened_leaves_nothing_open(tmp_path):
    said = write_wav(tmp_path / "said.wav", samples(0, 10))
    interface = WavAudioInterface(said, tmp_path / "missing" / "heard.wav")
    with pytest.raises(AudioError, match="cannot be opened"):
        interface.start(no_microphone)
    interface.stop()
    assert interface_threads() == []


def test_when_no_thread_can_be_started_nothing_is_left_open(tmp_path, monkeypatch):
    interface = WavAudioInterface(
        write_wav(tmp_path / "said.wav", samples(0, 10)), tmp_path / "heard.wav", real_time=False
    )

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            interface.start(no_microphone)
    interface.stop()
    assert read_wav(tmp_path / "heard.wav") == b""
    interface.start(no_microphone)
    assert interface.input_finished.wait(PATIENCE)
    interface.stop()


def test_more_speech_than_the_buffer_holds_is_an_error_of_play():
    interface = WavAudioInterface()
    interface.start(no_microphone)
    with pytest.raises(AudioError, match="limit of"):
        interface.play(1, bytes(65 * 1024 * 1024))
    interface.stop()


@pytest.mark.parametrize("seconds", [0, -0.02, float("nan"), float("inf")])
def test_chunks_have_to_have_a_duration(seconds):
    with pytest.raises(ConfigurationError, match="chunk_seconds"):
        WavAudioInterface(chunk_seconds=seconds)


def test_gaps_without_real_time_are_refused():
    with pytest.raises(ConfigurationError, match="no gaps"):
        WavAudioInterface(gaps=True, real_time=False)


def test_input_and_output_have_to_be_two_files(tmp_path):
    with pytest.raises(ConfigurationError, match="choose another output"):
        WavAudioInterface(tmp_path / "a.wav", tmp_path / "b" / ".." / "a.wav")
