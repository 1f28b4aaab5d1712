from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import time
import timeit
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import attrs
import pybase64
import pytest

from convsm.errors import ConfigurationError
from convsm.machine import Session, SessionOptions
from convsm.machine.effects import Effect, Notify, Play, Unexpected
from convsm.machine.events import (
    AgentAudio,
    End,
    Informed,
    Interrupted,
    Pinged,
    Send,
    SocketOpened,
    Start,
    ToolCalled,
    UserAudio,
)
from convsm.recording import FORMAT_VERSION, Recorder, replay
from tests.recording.conversations import OPENED, PATIENCE, SPEAKING, Message, feed, read, record


class Gate:
    """Stands before a recorder's file and lets writes through when it is open, or fails them."""

    def __init__(self, file: FileIO, error: OSError | None = None) -> None:
        self._file, self._error = file, error
        self._may_write, self._asked, self._wrote = (
            threading.Event(),
            threading.Semaphore(0),
            threading.Semaphore(0),
        )

    @classmethod
    def before(cls, recorder: Recorder, error: OSError | None = None) -> Gate:
        gate = cls(recorder._file, error)
        recorder._file = gate  # type: ignore[assignment]
        return gate

    def write(self, data: memoryview) -> int:
        self._asked.release()
        assert self._may_write.wait(PATIENCE)
        if self._error is not None:
            raise self._error
        # In small pieces, as a file is free to do.
        written = self._file.write(data[:100])
        if written == len(data):
            self._wrote.release()
        return written

    def open(self) -> None:
        self._may_write.set()

    def wait_for_request(self) -> None:
        assert self._asked.acquire(timeout=PATIENCE)

    def wait_for_batch(self) -> None:
        assert self._wrote.acquire(timeout=PATIENCE)


def test_a_step_is_in_the_file_before_the_recorder_is_closed(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a", SessionOptions()) as recorder:
        gate = Gate.before(recorder)
        gate.open()
        feed(recorder, [Start()], Session())
        gate.wait_for_batch()
        assert replay(tmp_path / "a").steps == 1


def test_a_file_is_begun_with_its_header_at_once(tmp_path: Path) -> None:
    header = {"protocol": "elevenlabs"}
    with Recorder(tmp_path / "a", SessionOptions(text_only=True), header=header):
        header.clear()
        (line,) = read(tmp_path / "a")
    assert line["format"] == "convsm recording"
    assert line["version"] == FORMAT_VERSION
    assert line["header"] == {"protocol": "elevenlabs"}
    assert line["options"] == attrs.asdict(SessionOptions(text_only=True))


def test_only_the_owner_may_read_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("an older recording, longer than the new one's header " * 100)
    path.chmod(0o644)
    Recorder(path, SessionOptions()).close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"older" not in path.read_bytes()


def test_a_bad_path_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Recorder(tmp_path / "missing" / "a", SessionOptions())
    with pytest.raises(ConfigurationError, match="is not a file"):
        Recorder(tmp_path, SessionOptions())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="is not a file"):
        Recorder(tmp_path / "pipe", SessionOptions())


def test_a_recorder_that_cannot_start_its_thread_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        Recorder(tmp_path / "a", SessionOptions())  # an open file would be a ResourceWarning


def test_sessions_follow_one_another_with_their_own_options(tmp_path: Path) -> None:
    first, second = SessionOptions(settle_seconds=1), SessionOptions(settle_seconds=3)
    with Recorder(tmp_path / "a", first) as recorder:
        recorder.begin(first)  # each start says so, also the first
        feed(recorder, (*SPEAKING, Interrupted(1, 2)), Session(first))
        recorder.begin(second)
        recorder.begin(second)
        feed(recorder, (*SPEAKING, Interrupted(1, 2)), Session(second))
        recorder.begin(second)
    lines = read(tmp_path / "a")
    assert ["format" in line for line in lines] == [True, *[False] * 6, True, *[False] * 6, True]
    assert [line["step"] for line in lines if "step" in line] == [*range(1, 7), *range(1, 7)]
    report = replay(tmp_path / "a")
    assert report.is_equal
    assert report.sessions == 3


def test_a_recording_may_be_continued_by_another_recorder(tmp_path: Path) -> None:
    for steps in (6, 12):
        with Recorder(tmp_path / "a", SessionOptions(), append=True) as recorder:
            feed(recorder, (*SPEAKING, Interrupted(1, 2)), Session())
        report = replay(tmp_path / "a")
        assert report.is_equal
        assert report.steps == steps
    assert report.sessions == 2


def test_when_the_disk_does_not_keep_up_steps_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a"
    ping = Pinged(1)
    with Recorder(path, SessionOptions(), limit=4) as recorder:
        gate = Gate.before(recorder)
        session = Session()
        feed(recorder, [Start()], session)
        gate.wait_for_request()  # the writer took the first step and is stuck with it
        feed(recorder, [ping] * 7, session)
        recorder.begin(SessionOptions())  # never left out
        gate.open()
        gate.wait_for_batch()
        gate.wait_for_batch()
        feed(recorder, [Start(), ping], Session())
    kinds = [next(iter(line)) for line in read(path)]
    assert kinds == ["format", *["step"] * 5, "lost", "format", "step", "step"]
    assert read(path)[6] == {"lost": 3}
    assert [line["step"] for line in read(path)[8:]] == [1, 2]
    with pytest.raises(ConfigurationError, match="line 7: 3 steps are missing"):
        replay(path)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_each_loss_is_counted_also_the_one_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a"
    with Recorder(path, SessionOptions(), limit=0) as recorder:
        feed(recorder, [Send(1), Start()], Session())
        recorder.begin(SessionOptions())
        feed(recorder, [Start()], Session())
    assert [line.get("lost") for line in read(path)] == [None, 2, None, 1]
    assert len(caplog.records) == 1


def test_a_loss_between_two_steps_stands_between_them(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with Recorder(path, SessionOptions(), limit=1) as recorder:
        gate = Gate.before(recorder)
        recorder.step(Start(), ())
        gate.wait_for_request()
        for _ in range(3):
            recorder.step(Pinged(1), ())
        gate.open()
        gate.wait_for_batch()
        gate.wait_for_batch()
        recorder.step(Pinged(2), ())
    assert [line.get("step", line.get("lost")) for line in read(path)[1:]] == [1, 2, 2, 5]


def test_a_disk_error_is_logged_once_and_the_session_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Recorder(tmp_path / "a", SessionOptions()) as recorder:
        file = recorder._file
        gate = Gate.before(recorder, OSError(errno.ENOSPC, "No space left on device"))
        gate.open()
        session = Session()
        feed(recorder, [Start()], session)
        recorder._thread.join(PATIENCE)
        assert file.closed
        feed(recorder, [SocketOpened(), Start()], session)
        recorder.begin(SessionOptions(text_only=True))
        assert not recorder._queue
    (message,) = [record.getMessage() for record in caplog.records]
    assert "No space left on device" in message
    assert session.state == "connecting"
    assert len(read(tmp_path / "a")) == 1


def test_what_cannot_be_written_at_all_ends_the_recording_not_the_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endless: object = None
    for _ in range(300):  # a Notify counts as no level, since it holds the event itself
        endless = Notify(endless)  # type: ignore[arg-type]
    with Recorder(tmp_path / "a", SessionOptions()) as recorder:
        recorder.step(Start(), (endless,))  # type: ignore[arg-type]
    (message,) = [record.getMessage() for record in caplog.records]
    assert "failed (TypeError)" in message


def test_a_closed_recorder_ignores_steps_and_refuses_a_new_session(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a", SessionOptions())
    file, thread = recorder._file, recorder._thread
    assert thread.daemon
    assert thread.name.startswith("convsm-")
    recorder.close()
    recorder.close()
    assert file.closed
    assert not thread.is_alive()
    feed(recorder, [Send("early"), Start()], Session())
    assert not recorder._queue
    assert len(read(tmp_path / "a")) == 1
    with pytest.raises(ConfigurationError, match="closed"):
        recorder.begin(SessionOptions())


def test_close_does_not_wait_for_a_disk_that_does_not_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(tmp_path / "a", SessionOptions())
    file = recorder._file
    gate = Gate.before(recorder)
    feed(recorder, [Start()], Session())
    recorder.close(timeout=0)
    assert not caplog.records
    recorder.close(timeout=0.01)
    assert recorder._thread.is_alive()
    assert "still being written" in caplog.text
    gate.open()
    recorder.close(PATIENCE)
    assert file.closed
    assert replay(tmp_path / "a").steps == 1


@pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer multiplies what a step costs")
def test_a_step_costs_its_caller_less_than_two_microseconds(tmp_path: Path) -> None:
    audio = AgentAudio(bytes(8000), 1)
    effects: tuple[Effect, ...] = (Play(1, audio.audio, 1),)
    with Recorder(tmp_path / "a", SessionOptions(), limit=1 << 20) as recorder:
        # The best of many, in time of this thread: what else runs on the machine makes it wait.
        times = timeit.repeat(
            lambda: recorder.step(audio, effects), timer=time.thread_time, number=100, repeat=100
        )
        recorder.close(PATIENCE)
    assert min(times) / 100 < 2e-6
    assert read(tmp_path / "a")[-1]["step"] == 10_000


def test_an_unexpected_event_is_recorded_like_any_other(tmp_path: Path) -> None:
    session = Session()
    assert session.handle(SocketOpened()) == (Unexpected("SocketOpened", "idle"),)
    assert replay(record(tmp_path / "a", [SocketOpened()])).is_equal


# What is in the file


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {1: value}, Informed, Message])
def test_a_payload_nested_too_deeply_is_cut_and_replays(tmp_path: Path, wrap) -> None:
    value: object = 0
    for _ in range(200):
        value = wrap(value)
    path = record(tmp_path / "a", (*OPENED, Informed(value), ToolCalled("c", "tool", {"a": value})))
    assert replay(path).is_equal
    assert b"$object" in path.read_bytes()


def dictionaries(encoded: object) -> Iterator[dict[str, object]]:
    if isinstance(encoded, dict):
        yield encoded
        encoded = list(encoded.values())
    if isinstance(encoded, list):
        for value in encoded:
            yield from dictionaries(value)


def test_audio_is_written_whole_only_if_asked_for(tmp_path: Path) -> None:
    conversation = (*SPEAKING, UserAudio(b"voice of the user"))
    assert b"base64" not in record(tmp_path / "a", conversation).read_bytes()
    path = record(tmp_path / "b", conversation, include_audio=True)
    for line, audio in ((read(path)[5], b"\1\0" * 160), (read(path)[6], b"voice of the user")):
        whole, *others = [encoded for encoded in dictionaries(line) if "$bytes" in encoded]
        assert pybase64.b64decode(whole.pop("base64")) == audio  # type: ignore[arg-type]
        assert others
        assert all(encoded == whole for encoded in others)
    assert replay(path).is_equal


def test_a_recording_holds_no_secret(tmp_path: Path) -> None:
    conversation = (
        *OPENED,
        Send(Message("secret")),
        Informed([Message("secret"), {"a": Message("b")}]),
        End(),
    )
    text = record(tmp_path / "a", conversation, header={"protocol": Message("b")}).read_bytes()
    assert b"secret-1" not in text
    assert text.count(b'"type":"Message"') == 7  # event and effect of each, and the header


def test_what_a_tool_does_to_its_arguments_shows_in_event_and_effect_alike(tmp_path: Path) -> None:
    arguments: dict[str, object] = {"a": 1}
    with Recorder(tmp_path / "a", SessionOptions()) as recorder:
        gate = Gate.before(recorder)
        feed(recorder, (*OPENED, ToolCalled("c", "tool", arguments)), Session())
        arguments["b"] = 2
        gate.open()
    assert replay(tmp_path / "a").is_equal
