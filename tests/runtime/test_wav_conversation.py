"""A WAV file as the user and a WAV file as the loudspeaker, through the whole stack, sample for sample."""

from __future__ import annotations

import random
import wave

from convsm import Conversation, ElevenLabs, WavAudioInterface
from convsm.testing import Expect, HangUp, LoopbackAgent, Say

SECONDS = 60


def samples(seed: int, seconds: float) -> bytes:
    return random.Random(seed).randbytes(int(seconds * 16000) * 2)


def write(path, audio: bytes) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(audio)


def read(path) -> bytes:
    with wave.open(str(path), "rb") as file:
        return file.readframes(file.getnframes())


def test_a_minute_read_without_pace_arrives_whole_and_the_answer_is_written_whole(tmp_path):
    spoken, answer = samples(1, SECONDS), samples(2, 5)
    write(tmp_path / "question.wav", spoken)
    script = [Expect("user_audio", seconds=SECONDS, timeout=30), Say("So it is.", answer), HangUp()]
    with LoopbackAgent(script) as agent:
        conversation = Conversation(
            ElevenLabs(base_url=agent.base_url),
            "agent",
            requires_auth=False,
            audio_interface=WavAudioInterface(
                tmp_path / "question.wav", tmp_path / "answer.wav", real_time=False
            ),
        )
        conversation.start_session()
        conversation.wait_for_session_end()
        assert agent.connections[0].user_audio == spoken
    assert read(tmp_path / "answer.wav") == answer


def test_an_end_wakes_a_file_that_waits_for_the_network(tmp_path):
    write(tmp_path / "question.wav", samples(3, SECONDS))
    import threading

    from convsm.testing import StopReading, WaitFor

    is_stuck = threading.Event()
    script = [StopReading(), WaitFor(is_stuck, timeout=30)]
    with LoopbackAgent(script, receive_buffer_bytes=4096) as agent:
        interface = WavAudioInterface(tmp_path / "question.wav", real_time=False)
        conversation = Conversation(
            ElevenLabs(base_url=agent.base_url), "agent", requires_auth=False, audio_interface=interface
        )
        conversation.start_session()
        conversation.wait_until_ready(5)
        assert not interface.input_finished.wait(0.2)
        conversation.end_session()
        conversation.wait_for_session_end()
        assert conversation.state == "idle"
        assert not [t for t in threading.enumerate() if t.name in ("convsm-audio", "convsm-wav")]
        is_stuck.set()
        agent.forgive()
