"""CPU of a session that plays and listens in real time on the virtual sound card.

Run as ``eval "$(tests/sound-card)"; python -m tests.benchmarks.bench_device_cpu [SECONDS [ROUNDS]]``. A
loopback agent sends speech without a pause, a quarter second at a time, while the microphone is sent to it.
Each client is a process of its own, whose CPU is compared with the time: PortAudio alone, with callbacks
that do nothing; convsm; the ElevenLabs SDK with its own DefaultAudioInterface, if PyAudio is there.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from convsm.testing import LoopbackAgent, SendAudio
from tests.audio.sound_card import card_of_this_run
from tests.audio.sounds import tone

VARIANTS = ("PortAudio alone", "convsm", "elevenlabs")
RATE = 16000
MESSAGE_SECONDS = 0.25
# Ahead of the sound, as agents are, so that the loudspeaker never runs dry.
AHEAD_SECONDS = 1.0


def client(variant: str, url: str) -> None:
    """Play and listen; print the CPU seconds so far for each line of standard input, until it closes."""
    end = open_portaudio() if variant == "PortAudio alone" else converse(variant, url)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(time.process_time(), flush=True)
    end()


def open_portaudio() -> Any:
    """Open the streams that convsm opens, and do nothing with them."""
    import sounddevice

    def fill(outdata: Any, *_: Any) -> None:
        outdata[:] = silence

    silence = bytes(320)
    common = {"samplerate": RATE, "channels": 1, "dtype": "int16", "latency": 0.06}
    output = sounddevice.RawOutputStream(blocksize=160, callback=fill, **common)
    recording = sounddevice.RawInputStream(blocksize=480, callback=lambda *_: None, **common)
    output.start()
    recording.start()

    def end() -> None:
        for stream in (output, recording):
            stream.abort()
            stream.close()

    return end


def converse(variant: str, url: str) -> Any:
    """Hold a conversation."""
    if variant == "elevenlabs":
        from elevenlabs import ElevenLabs
        from elevenlabs.conversational_ai.conversation import Conversation
        from elevenlabs.conversational_ai.default_audio_interface import DefaultAudioInterface
    else:
        from convsm import Conversation, ElevenLabs  # type: ignore[assignment]
        from convsm.audio.device import DefaultAudioInterface  # type: ignore[assignment]
    conversation = Conversation(
        ElevenLabs(api_key="key", base_url=url),
        "agent",
        requires_auth=False,
        audio_interface=DefaultAudioInterface(),
    )
    conversation.start_session()

    def end() -> None:
        conversation.end_session()
        conversation.wait_for_session_end()

    return end


def measure(variant: str, seconds: float) -> float:
    """Return the CPU seconds a second."""
    speech = tone(2000, round(MESSAGE_SECONDS * RATE))
    with LoopbackAgent() as agent:
        command = [sys.executable, "-W", "ignore", "-m", __spec__.name, "--client", variant, agent.base_url]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            connection = None
            if variant != "PortAudio alone":
                connection = agent.wait_for_connection(30)
                assert connection.script_done.wait(30)

            def cpu() -> float:
                assert process.stdin is not None
                assert process.stdout is not None
                print(file=process.stdin, flush=True)
                return float(process.stdout.readline())

            began = due = time.monotonic()
            first = None
            while due < began + AHEAD_SECONDS + seconds:
                if connection is not None:
                    connection.send(SendAudio(speech, 1))
                due += MESSAGE_SECONDS
                # What comes before belongs to the start.
                if first is None and due > began + AHEAD_SECONDS:
                    time.sleep(0.2)
                    first = (time.monotonic(), cpu())
                time.sleep(max(0.0, due - AHEAD_SECONDS - time.monotonic()))
            assert first is not None
            figure = (cpu() - first[1]) / (time.monotonic() - first[0])
            process.stdin.close()
    return figure


def main() -> None:
    """Print the figures."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    variants = [each for each in VARIANTS if each != "elevenlabs" or importlib.util.find_spec("pyaudio")]
    figures: dict[str, list[float]] = {variant: [] for variant in variants}
    with card_of_this_run():
        for _ in range(rounds):
            for variant, list_of in figures.items():
                list_of.append(100 * measure(variant, seconds))
    print(f"CPU of one core while playing and listening, {rounds} rounds of {seconds:g} s in turn")
    for variant, list_of in figures.items():
        print(
            f"{variant:>15}: median {statistics.median(list_of):4.2f} %"
            f" ({min(list_of):.2f}-{max(list_of):.2f})"
        )
    print("load average:", Path("/proc/loadavg").read_text().split()[0])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        client(*sys.argv[2:4])
    else:
        main()
