"""The demo held four times as fast, or cut short. The whole in real time is in tests/test_cli.py."""

from __future__ import annotations

import io
import logging
import os
import re
import threading
from array import array

import attrs
import pytest

from convsm.demo import ELEVENLABS, OPENAI, Demo, performance
from convsm.demo.scene import compose
from convsm.demo.speech import RATE, cough, load_line, read_sound
from convsm.errors import AudioError, ConfigurationError
from convsm.live.audio import ObservedCard
from convsm.live.view import View
from convsm.recording import replay
from convsm.testing import Close, Expect, RefuseHandshake, Say
from tests.audio.sound_card import wait_until
from tests.demo.sounds import write_wav
from tests.live.streams import FailingStream, Stream

ESCAPES = re.compile(r"\r|\x1b\[[0-9;]*[Km]")


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = threading.enumerate()
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(5)
    assert not any(thread.is_alive() for thread in left)
    assert logging.getLogger("convsm").propagate
    assert not logging.getLogger("convsm").handlers


@pytest.fixture
def shortened(monkeypatch):
    """Replace the agent's script."""

    def shorten(*steps):
        scene = attrs.evolve(compose(speed=4), steps=steps)
        monkeypatch.setattr(performance, "compose", lambda *arguments, **options: scene)

    return shorten


def test_a_recording_is_heard_and_a_terminal_shows_it_live(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Stream(is_terminal=True)
    mine = write_wav(tmp_path / "mine.wav", b"\x00\x20" * 48000 * 3, 48000)
    heard, recording = str(tmp_path / "heard.wav"), str(tmp_path / "session.jsonl")
    assert Demo(mine, heard, recording, is_fast=True).run(terminal) == 0
    shown = terminal.getvalue()
    assert "\x1b[1;36magent_speaking" in shown
    assert re.search(r"agent  [█░]{20} \d\.\d of \d\.\d s heard", shown)
    assert re.search(r"user   [█░]{20} microphone", shown)
    assert "tool   runs for" in shown
    plain = ESCAPES.sub("\n", shown)
    assert all(len(line) <= 80 for line in plain.split("\n"))
    assert 'said "[1.5 s heard]"' in plain
    assert "Your recording talks" in plain
    assert "A cough is put before it" in plain
    assert "s paused" in plain
    assert "The whole script was seen" in plain
    assert "recording       " in plain
    assert replay(recording).is_equal
    assert_goes_on_after_the_cough(heard)
    # What was heard has the length of the conversation, for its gaps are in it.
    assert 3 < read_sound(heard).seconds < 15


def sounding(pcm):
    """Return the samples that are not silence."""
    return array("h", filter(None, array("h", pcm)))


def assert_goes_on_after_the_cough(heard, dialect=ELEVENLABS):
    """See that the greeting was held up, and that not one sample of it was lost or came twice."""
    sound = read_sound(heard)
    greeting = load_line("greeting").hurried(4).at(dialect.rate or RATE).pcm
    wanted = sounding(greeting)
    assert sounding(sound.pcm)[: len(wanted)] == wanted
    held = sound.rate // 3
    assert len(sounding(sound.pcm[: len(greeting) + 2 * held])) < len(wanted)


def test_in_the_protocol_of_openai_the_whole_script_is_seen(tmp_path):
    stream, recording = io.StringIO(), str(tmp_path / "session.jsonl")
    heard = str(tmp_path / "heard.wav")
    assert Demo(output=heard, record=recording, is_fast=True, dialect=OPENAI).run(stream) == 0
    shown = " ".join(stream.getvalue().split())
    assert "to a scripted agent of OpenAI Realtime" in shown
    assert "The whole script was seen" in shown
    assert " note " not in shown
    assert "a false interruption: on from the very sample" in shown
    told = re.search(
        r"(\d\.\d) s of speech dropped .* tells the agent that (\d\.\d\d) s of its answer", shown
    )
    assert told is not None
    answer = compose(speed=4, dialect=OPENAI).cut_seconds
    assert answer is not None
    assert abs(float(told[1]) + float(told[2]) - answer) < 0.3
    assert replay(recording).is_equal
    assert read_sound(heard).rate == 24000
    assert_goes_on_after_the_cough(heard, OPENAI)


def test_what_was_not_seen_of_openai_is_told_and_fails(monkeypatch):
    scene = attrs.evolve(compose(speed=4, dialect=OPENAI), steps=[Close(1011, "enough")])
    monkeypatch.setattr(performance, "compose", lambda *arguments, **options: scene)
    stream = io.StringIO()
    assert Demo(is_fast=True, dialect=OPENAI).run(stream) == 1
    assert "- how much was heard of the 1.8 s of the answer" in stream.getvalue()


def test_what_was_not_seen_is_told_and_fails(shortened):
    shortened(Close(1011, "enough"))
    stream = io.StringIO()
    assert Demo(is_fast=True).run(stream) == 1
    told = stream.getvalue().partition("Not seen of the script:\n")[2]
    assert "- the state agent_speaking\n" in told
    assert "close code 1000" in told
    assert "- the tool's result at the agent\n" in told


def test_a_refused_connection_is_told_and_fails(shortened):
    shortened(RefuseHandshake(503))
    stream = io.StringIO()
    assert Demo(is_fast=True).run(stream) == 1
    assert "HTTP status 503" in " ".join(stream.getvalue().split())


def test_a_conversation_that_takes_too_long_is_ended_and_fails(shortened, monkeypatch):
    monkeypatch.setattr(performance, "LIMIT_SECONDS", 0.2)
    shortened(Say("I could go on for ever.", seconds=20.0))
    stream = io.StringIO()
    assert Demo(is_fast=True).run(stream) == 1
    assert "user   ended the conversation" in stream.getvalue()


def test_a_failure_of_the_script_is_told(shortened):
    shortened(Expect("pong", timeout=0.1))
    stream = io.StringIO()
    assert Demo(is_fast=True).run(stream) == 1
    assert "- a script without failure: connection 0: Expect" in stream.getvalue()


def test_a_stream_without_a_reader_ends_the_conversation(shortened):
    shortened(Say("Is anybody there?", seconds=20.0))
    with pytest.raises(BrokenPipeError):
        Demo(is_fast=True).run(FailingStream())


def test_ctrl_c_ends_the_conversation(shortened, monkeypatch):
    def press(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(View, "watch", press)
    shortened(Say("Shall I go on?", seconds=20.0))
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        Demo(is_fast=True).run(stream)
    assert "user   ended the conversation" in stream.getvalue()


def test_files_that_cannot_be_used_are_refused_before_anything_begins(tmp_path):
    mine = write_wav(tmp_path / "mine.wav")
    words = read_sound(mine)
    stream = io.StringIO()
    with pytest.raises(AudioError, match="cannot be opened"):
        Demo(str(tmp_path / "missing.wav")).run(stream)
    with pytest.raises(ConfigurationError, match=r"--out .* cannot be written .*name another file"):
        Demo(output=str(tmp_path / "nowhere" / "out.wav")).run(stream)
    with pytest.raises(ConfigurationError, match=r"--record .* cannot be written"):
        Demo(record=str(tmp_path)).run(stream)
    with pytest.raises(ConfigurationError, match="--input and --out are one file"):
        Demo(mine, output=str(tmp_path / "." / "mine.wav")).run(stream)
    with pytest.raises(ConfigurationError, match="--out and --record are one file"):
        Demo(output=mine, record=mine).run(stream)
    assert stream.getvalue() == ""
    assert read_sound(mine) == words


# Through the virtual sound card


def test_with_the_sound_card_a_person_sees_the_whole_script_and_hears_the_agent(sound_card):
    stream = Stream(is_terminal=True)
    with sound_card.monitor() as monitor:
        assert Demo(is_fast=True, card=ObservedCard()).run(stream, io.StringIO()) == 0
        assert len(monitor.sound) > 2 * 16000
    plain = ESCAPES.sub("\n", stream.getvalue())
    assert re.search(r"agent  mic   [█░]{10}  out [█░]{10}  \d\.\d of \d\.\d s", plain)
    assert "Talk to a scripted agent" in plain
    assert "The whole script was seen" in plain
    assert all(len(line) <= 80 for line in plain.split("\n"))
    assert sound_card.streams == []


def test_with_the_sound_card_the_protocol_of_openai_shows_how_a_cough_holds_the_agent_up(sound_card):
    stream = Stream(is_terminal=True)

    def cough_often():
        wait_until(lambda: "AgentAudio" in stream.getvalue(), "the greeting")
        sound_card.speak((cough().pcm + bytes(RATE)) * 4)

    person = threading.Thread(target=cough_often)
    with sound_card.monitor() as monitor:
        person.start()
        assert Demo(is_fast=True, card=ObservedCard(), dialect=OPENAI).run(stream, io.StringIO()) == 0
        assert len(monitor.sound) > 2 * 16000
    person.join(20)
    plain = " ".join(ESCAPES.sub(" ", stream.getvalue()).split())
    assert re.search(r"InterruptionSuspected: .* a false interruption: on from the very sample", plain)
    assert "The whole script was seen" in plain
    assert sound_card.streams == []


def test_a_person_may_end_the_demo_by_a_key(sound_card):
    pressing, reading = os.openpty()
    with os.fdopen(reading, encoding="utf-8") as keyboard:
        stream = Stream()

        def press_when_asked():
            wait_until(lambda: "AgentAudio" in stream.getvalue(), "the greeting")
            os.write(pressing, b" q")

        thread = threading.Thread(target=press_when_asked)
        thread.start()
        assert Demo(is_fast=True, card=ObservedCard()).run(stream, keyboard) == 1
        thread.join(5)
    os.close(pressing)
    shown = stream.getvalue()
    assert "Keys: m mutes" in shown
    assert "Interrupt: the user wants silence now" in shown
    assert shown.endswith("You ended it before the whole script was seen.\n")


def test_without_the_sound_card_the_demo_for_a_person_is_refused(sound_card):
    stream = Stream()
    with pytest.raises(AudioError, match="No microphone has a name like 'phonograph'"):
        Demo(card=ObservedCard(input_device="phonograph")).run(stream)
    assert stream.getvalue() == ""


def test_the_sound_card_and_files_in_its_place_contradict_each_other(tmp_path):
    for demo in (Demo("mine.wav"), Demo(output=str(tmp_path / "out.wav"))):
        with pytest.raises(ConfigurationError, match="--audio takes the sound card"):
            attrs.evolve(demo, card=ObservedCard()).run(Stream())
