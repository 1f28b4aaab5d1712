"""From the interruption on the socket to the first silent sample at the loudspeaker's monitor.

Run as ``eval "$(tests/sound-card)"; python -m tests.benchmarks.bench_interruption [TRIALS]``. A loopback
agent sends speech in messages of one second, and at a random moment an interruption; the time runs from
just before that is sent until the monitor of the virtual card shows the first silent sample, of which it
tells every 5 ms. Each client is a process of its own: convsm; convsm while a user callback sleeps and a
tool blocks for two seconds each; the ElevenLabs SDK with its own DefaultAudioInterface, if PyAudio is there.
"""

from __future__ import annotations

import importlib.util
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from convsm.testing import CallTool, Interrupt, LoopbackAgent, Say, SendAudio
from tests.audio.sound_card import SoundCard, card_of_this_run, wait_until
from tests.audio.sounds import tone

VARIANTS = ("convsm", "convsm, busy", "elevenlabs")
SECONDS = 6
RATE = 16000
# The sleep of the busy callback and tool; longer than a trial takes to come to its interruption.
BUSY_SECONDS = 2.0


def client(variant: str, url: str) -> None:
    """Hold one conversation until standard input closes."""
    if variant == "elevenlabs":
        from elevenlabs import ElevenLabs
        from elevenlabs.conversational_ai.conversation import ClientTools, Conversation
        from elevenlabs.conversational_ai.default_audio_interface import DefaultAudioInterface
    else:
        from convsm import ClientTools, Conversation, ElevenLabs  # type: ignore[assignment]
        from convsm.audio.device import DefaultAudioInterface  # type: ignore[assignment]

    def sleep(_: Any) -> Any:
        time.sleep(BUSY_SECONDS)
        return "done"

    tools = ClientTools()
    tools.register("sleep", sleep)
    conversation = Conversation(
        ElevenLabs(api_key="key", base_url=url),
        "agent",
        requires_auth=False,
        audio_interface=DefaultAudioInterface(),
        client_tools=tools,
        callback_agent_response=sleep if variant == "convsm, busy" else None,
    )
    conversation.start_session()
    sys.stdin.read()
    conversation.end_session()
    conversation.wait_for_session_end()


def measure(variant: str, card: SoundCard, trials: int) -> list[float]:
    """Return the seconds of each trial.

    A trial is repeated if the speech had a gap just then: the machine stood still.
    """
    chance = random.Random(1)
    figures: list[float] = []
    trial = 0
    with LoopbackAgent() as agent, card.monitor() as monitor:
        command = [sys.executable, "-W", "ignore", "-m", __spec__.name, "--client", variant, agent.base_url]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            connection = agent.wait_for_connection(30)
            assert connection.script_done.wait(30)
            while len(figures) < trials:
                trial += 1
                turn = 2 * trial
                start = len(monitor.audio)
                if variant == "convsm, busy":
                    connection.send(CallTool("sleep", f"call_{trial}", expects_response=False))
                    connection.send(Say("I sleep.", audio=b"", turn=turn))
                for _ in range(SECONDS):
                    connection.send(SendAudio(tone(2000, RATE), turn))
                wait_until(lambda: any(monitor.audio[start:]), "speech")  # noqa: B023
                time.sleep(chance.uniform(0.5, 1.5))
                asked_at = time.monotonic()
                connection.send(Interrupt(turn))
                figure = monitor.silent_since(start) - asked_at
                if figure > 0:
                    figures.append(figure)
            assert process.stdin is not None
            process.stdin.close()
    return figures


def main() -> None:
    """Print the figures."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(f"interruption on the socket to first silent sample at the monitor, {trials} trials each")
    with card_of_this_run() as card:
        for variant in VARIANTS:
            if variant == "elevenlabs" and importlib.util.find_spec("pyaudio") is None:
                print(f"{variant:>14}: no PyAudio here; measured before: median 482 ms, max 1142 ms")
                continue
            figures = [1e3 * figure for figure in measure(variant, card, trials)]
            print(
                f"{variant:>14}: median {statistics.median(figures):6.1f} ms, "
                f"min {min(figures):6.1f} ms, max {max(figures):6.1f} ms"
            )
    print("load average:", Path("/proc/loadavg").read_text().split()[0])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        client(*sys.argv[2:4])
    else:
        main()
