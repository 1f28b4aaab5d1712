"""From the first sample of the user's speech at the microphone to the first silent one at the loudspeaker.

Run as ``eval "$(tests/sound-card)"; python -m tests.benchmarks.bench_barge_in [TRIALS]``. A loopback agent
speaks; at a random moment a recorded voice speaks into the virtual card's microphone. With ``min_duration``
0.1 the agent is paused; no words come, so that after the user has fallen silent it goes on. Both ends are
seen at monitors, which tell every 5 ms. In the end the loudspeaker has to have played every sample once.
"""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from convsm import Conversation, DefaultAudioInterface, ElevenLabs
from convsm.testing import LoopbackAgent, SendAudio
from tests.audio.sound_card import (
    PATIENCE,
    Monitor,
    SoundCard,
    card_of_this_run,
    wait_until,
    without_zeros,
)
from tests.audio.sounds import counting

RATE = 16000
HANDLING = {
    "interruption": {"min_duration": 0.1, "false_interruption_timeout": 0.3},
    "aec_warmup_duration": None,
}
# Long enough for the pause and what comes before and behind it.
SECONDS = 2


def voice(name: str = "interruption", seconds: float = 0.8) -> bytes:
    """Return the beginning of a recorded line, from its first sample that is not silent on."""
    with wave.open(str(files("convsm") / "data" / f"{name}.wav")) as file:
        spoken: bytes = file.readframes(round(seconds * RATE))
    return spoken.lstrip(b"\x00")


@contextmanager
def conversation() -> Iterator[tuple[Any, DefaultAudioInterface]]:
    """Hold a conversation through the virtual card; gives the agent's end and the interface."""
    interface = DefaultAudioInterface()
    with LoopbackAgent() as agent:
        held = Conversation(
            ElevenLabs(api_key="key", base_url=agent.base_url),
            "agent",
            requires_auth=False,
            audio_interface=interface,
            turn_handling=HANDLING,
        )
        held.start_session()
        try:
            yield agent.wait_for_connection(30), interface
        finally:
            held.end_session()
            held.wait_for_session_end()


def barge_in(card: SoundCard, loudspeaker: Monitor, microphone: Monitor, after: float, start: int) -> float:
    """Speak into the microphone after so many seconds; return how long the agent went on, in seconds."""
    time.sleep(after)
    mark = len(microphone.audio)
    speaking = threading.Thread(target=card.speak, args=(voice(),))
    speaking.start()
    paused_at = loudspeaker.silent_since(start)
    speaking.join()
    heard = microphone.audio
    first = next(index for index in range(mark, len(heard)) if heard[index])
    return paused_at - microphone.seen_at(first)


def measure(card: SoundCard, trials: int) -> tuple[list[float], bool]:
    """Return the seconds of each trial, and whether every sample was played once in all of them.

    A trial in which the sound card ran dry is repeated: the machine stood still.
    """
    chance = random.Random(1)
    figures: list[float] = []
    is_exact, turn = True, 0
    with (
        conversation() as (connection, interface),
        card.monitor() as loudspeaker,
        card.monitor("mic") as microphone,
    ):
        while len(figures) < trials + 1:
            start, underflows, turn = len(loudspeaker.audio), interface.underflows, turn + 1
            speech = counting(SECONDS * RATE)
            connection.send(SendAudio(speech, turn))
            wait_until(lambda: any(loudspeaker.audio[start:]), "speech")  # noqa: B023
            figure = barge_in(card, loudspeaker, microphone, chance.uniform(0.4, 1.0), start)
            assert interface.drain(PATIENCE)
            loudspeaker.wait_for_silence(0.3)
            if interface.underflows == underflows:
                is_exact = is_exact and sound_since(loudspeaker, start) == speech
                figures.append(figure)
    return figures[1:], is_exact  # in the first one the model is loaded


def sound_since(monitor: Monitor, start: int) -> bytes:
    """Return what was heard since a position, without zeros."""
    return without_zeros(monitor.audio[start:])


def main() -> None:
    """Print the figures."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with card_of_this_run() as card:
        figures, is_exact = measure(card, trials)
    figures = [1e3 * figure for figure in figures]
    print(f"first sample of speech at the microphone to silence at the loudspeaker, {trials} trials")
    print(f"median {statistics.median(figures):.0f} ms, min {min(figures):.0f}, max {max(figures):.0f}")
    print("after resuming, no sample was lost or repeated:", is_exact)
    print("load average:", Path("/proc/loadavg").read_text().split()[0])


if __name__ == "__main__":
    main()
