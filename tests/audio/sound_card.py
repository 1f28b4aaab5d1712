"""The virtual sound card of tests/sound-card: what it sounds, what it hears, and its faults."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import pytest

__all__ = ["Monitor", "SoundCard", "card_of_this_run", "sound_card", "wait_until", "without_zeros"]

SCRIPT = Path(__file__).parents[1] / "sound-card"
# The rate of both sinks: at others the server resamples, and nothing is exact any more.
RATE = 16000
PARTS = ("pulseaudio", "pactl", "parec", "pacat")
# Longer than any of what is waited for may take on a busy machine, seconds.
PATIENCE = 20.0
# Silence for so long is no gap between two messages.
SILENCE = bytes(2 * RATE // 20)


def wait_until(is_so: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
    """Wait for something that nothing else announces."""
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}"
        time.sleep(0.002)


class Monitor:
    """Records what the loudspeaker really sounds, and when that was seen."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lock = threading.Lock()
        self._audio = bytearray()
        self._seen: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=self._read, name="monitor", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while chunk := os.read(self._process.stdout.fileno(), 65536):
            with self._lock:
                self._audio += chunk
                self._seen.append((time.monotonic(), len(self._audio)))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._thread.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def audio(self) -> bytes:
        """All samples so far, with the silence."""
        with self._lock:
            return bytes(self._audio[: len(self._audio) // 2 * 2])

    @property
    def sound(self) -> bytes:
        """All samples so far that are not zero."""
        return without_zeros(self.audio)

    def wait_for(self, size: int) -> None:
        """Wait until more than so many bytes were heard, zeros not counted."""
        wait_until(lambda: len(self.sound) > size, "sound at the monitor")

    def wait_for_silence(self, seconds: float = 0.2) -> bytes:
        """Wait until nothing was heard for so long, and return what was heard before, without zeros."""
        size = 2 * round(seconds * RATE)
        start = len(self.audio)
        wait_until(
            lambda: len(self.audio) >= start + size and not any(self.audio[-size:]), "silence at the monitor"
        )
        return self.sound

    def silent_since(self, start: int) -> float:
        """Wait until sound behind a position has stopped; return when its first silence was seen."""
        heard = b""

        def is_over() -> bool:
            nonlocal heard
            heard = self.audio
            return any(heard[start:]) and heard.endswith(SILENCE)

        wait_until(is_over, "silence")
        return self.seen_at(len(heard.rstrip(b"\x00")) + 1)

    def seen_at(self, position: int) -> float:
        """Return when the byte at this position had been seen, monotonic seconds."""
        with self._lock:
            return next(at for at, end in self._seen if end > position)


def without_zeros(audio: bytes) -> bytes:
    """Return the samples that are not zero."""
    view = memoryview(audio).cast("h")
    return b"".join(value.to_bytes(2, "little", signed=True) for value in view if value)


@attrs.frozen
class SoundCard:
    """The card: the sink ``speaker`` is its loudspeaker, the monitor of the sink ``mic`` its microphone."""

    directory: Path

    def control(self, *arguments: str) -> str:
        """Ask the sound server for something."""
        done = subprocess.run(
            ["pactl", *arguments], check=True, capture_output=True, text=True, timeout=PATIENCE
        )
        return done.stdout

    @contextmanager
    def monitor(self, sink: str = "speaker", rate: int = RATE) -> Iterator[Monitor]:
        """Record what a sink sounds."""
        command = ["parec", "-d", f"{sink}.monitor", "--raw", "--format=s16le", f"--rate={rate}"]
        process = subprocess.Popen(
            [*command, "--channels=1", "--latency-msec=5"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        monitor = Monitor(process)
        try:
            wait_until(lambda: monitor.audio, "the monitor to run")
            yield monitor
        finally:
            monitor.close()

    def speak(self, audio: bytes, sink: str = "mic", rate: int = RATE) -> None:
        """Speak into the microphone, and return when all was said."""
        command = ["pacat", "-d", sink, "--raw", "--format=s16le", f"--rate={rate}", "--channels=1"]
        subprocess.run(command, input=audio, check=True, timeout=PATIENCE + len(audio) / rate / 2)

    def suspend(self, sink: str = "speaker") -> None:
        """Make a sink stand still without telling anybody."""
        self.control("suspend-sink", sink, "1")

    def wake(self, sink: str = "speaker") -> None:
        self.control("suspend-sink", sink, "0")

    def kill(self) -> None:
        """Kill the sound server, as a crash does."""
        os.kill(self._pid, signal.SIGKILL)
        wait_until(lambda: not self.is_running, "the sound server to end")

    def restart(self) -> None:
        """Start the sound server unless it runs."""
        subprocess.run([SCRIPT], check=True, capture_output=True, timeout=PATIENCE)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have the sound server answer nobody, without ending."""
        pid = self._pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def at_rate(self, rate: int) -> Iterator[None]:
        """Have a card of another rate instead, with the sinks ``speaker-RATE`` and ``mic-RATE``."""
        modules = [
            self.control(
                "load-module",
                "module-null-sink",
                f"sink_name={sink}-{rate}",
                "norewinds=1",
                f"rate={rate}",
                "channels=1",
            ).strip()
            for sink in ("speaker", "mic")
        ]
        try:
            self.choose(f"speaker-{rate}", f"mic-{rate}")
            yield
        finally:
            self.choose("speaker", "mic")
            for module in modules:
                self.control("unload-module", module)

    def choose(self, speaker: str, mic: str) -> None:
        """Make these sinks the default loudspeaker and the default microphone."""
        self.control("set-default-sink", speaker)
        self.control("set-default-source", f"{mic}.monitor")

    def unplug(self, sink: str) -> None:
        """Take a sink out of the card; ``sound_card`` puts it in again."""
        for line in self.control("list", "short", "modules").splitlines():
            module, _, arguments = line.split("\t")[:3]
            if f"sink_name={sink} " in arguments:
                self.control("unload-module", module)

    @property
    def sinks(self) -> set[str]:
        """The names of the sinks that are plugged in."""
        return {line.split("\t")[1] for line in self.control("list", "short", "sinks").splitlines()}

    @property
    def streams(self) -> list[str]:
        """What plays or records at the moment."""
        kinds = ("sink-inputs", "source-outputs")
        return [line for kind in kinds for line in self.control("list", "short", kind).splitlines()]

    @property
    def _pid(self) -> int:
        return int((self.directory / "runtime" / "pid").read_text())

    def mend(self) -> None:
        """Undo whatever was done to it."""
        self.restart()
        if self.sinks != {"speaker", "mic"}:
            self.kill()
            self.restart()
        for sink in ("speaker", "mic"):
            self.wake(sink)

    @property
    def is_running(self) -> bool:
        return subprocess.run(["pactl", "info"], capture_output=True, timeout=PATIENCE).returncode == 0


def what_is_missing() -> str:
    """Return why there is no card to test with, or nothing."""
    if "CONVSM_SOUND_CARD" not in os.environ:
        return 'no virtual sound card; start one with: eval "$(tests/sound-card)"'
    for part in PARTS:
        if shutil.which(part) is None:
            return f"no {part}; tests/sound-card installs it"
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError) as error:
        return f"no PortAudio ({error}); tests/sound-card installs it"
    return ""


@contextmanager
def card_of_this_run() -> Iterator[SoundCard]:
    """Have the card for oneself.

    Raises:
        RuntimeError: There is none; the message says what to do.
    """
    missing = what_is_missing()
    if missing:
        raise RuntimeError(missing)
    directory = Path(os.environ["CONVSM_SOUND_CARD"])
    # Two runs of the tests take turns: each hears what the other plays, and kills the server.
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        card = SoundCard(directory)
        card.mend()
        yield card


@pytest.fixture(scope="session")
def _sound_card_of_this_run() -> Iterator[SoundCard]:
    with ExitStack() as until_the_end:
        try:
            yield until_the_end.enter_context(card_of_this_run())
        except RuntimeError as missing:
            if os.environ.get("CI") or os.environ.get("CONVSM_REQUIRE_SOUND"):
                pytest.fail(str(missing))
            pytest.skip(str(missing))


@pytest.fixture
def sound_card(_sound_card_of_this_run: SoundCard) -> SoundCard:
    """The virtual sound card, running and in order."""
    _sound_card_of_this_run.mend()
    return _sound_card_of_this_run
