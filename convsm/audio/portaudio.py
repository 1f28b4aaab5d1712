"""PortAudio, through sounddevice: the devices, and streams on them, with errors that say what to do."""

from __future__ import annotations

import atexit
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import attrs

from convsm.errors import AudioError

__all__ = [
    "AudioDevice",
    "Kind",
    "Stream",
    "abandon",
    "devices",
    "find_device",
    "load",
    "open_stream",
    "refresh",
]

Kind = Literal["input", "output"]

INSTALL_PORTAUDIO = (
    "install it with 'sudo apt install libportaudio2' (Debian, Ubuntu), 'sudo dnf install portaudio' "
    "(Fedora) or 'brew install portaudio' (macOS)"
)
NOUNS: dict[Kind, str] = {"input": "microphone", "output": "loudspeaker"}
# Opening and closing change PortAudio's own list of streams, which nothing in it guards. A sound server that
# does not answer may hold a call for good; whoever comes next waits so many seconds for it and then says so.
PATIENCE = 5.0
# Rates that hardware has if it has only one: that of video, then that of the CD.
COMMON_RATES = (48000, 44100)

_lock = threading.RLock()
_open_streams = 0


@attrs.frozen
class AudioDevice:
    """A device as PortAudio lists it.

    Attributes:
        index: PortAudio's number; may change when devices come and go.
        name: Name that people know it by.
        host_api: The system interface it is reached through, such as ``ALSA`` or ``Core Audio``.
        input_channels: Most channels it records; 0 if it is no microphone.
        output_channels: Most channels it plays; 0 if it is no loudspeaker.
        default_rate: Samples a second that it prefers.
        is_default_input: Whether it is used when no microphone is chosen.
        is_default_output: Whether it is used when no loudspeaker is chosen.
    """

    index: int
    name: str
    host_api: str
    input_channels: int
    output_channels: int
    default_rate: int
    is_default_input: bool
    is_default_output: bool

    def channels(self, kind: Kind) -> int:
        """Return how many channels it has in one direction."""
        return self.input_channels if kind == "input" else self.output_channels


def load() -> Any:
    """Import sounddevice, which loads PortAudio.

    Raises:
        AudioError: One of both is missing or does not work; the message says what to install.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise AudioError(
            f"The sounddevice package is missing ({error}); install it with 'pip install sounddevice'."
        ) from error
    except OSError as error:
        # sounddevice looks for the library as it is imported.
        raise AudioError(f"PortAudio is missing ({error}); {INSTALL_PORTAUDIO}.") from error
    except Exception as error:
        raise AudioError(
            f"PortAudio does not start ({error}); check the sound system, or {INSTALL_PORTAUDIO} again."
        ) from error
    return sounddevice


@contextmanager
def _alone() -> Iterator[None]:
    if not _lock.acquire(timeout=PATIENCE):
        raise AudioError(
            "PortAudio does not answer another call of this process; check the sound server, "
            "then restart the program."
        )
    try:
        yield
    finally:
        _lock.release()


def devices() -> tuple[AudioDevice, ...]:
    """List the devices, as they are now unless a stream is open: then as they were before.

    May block for as long as the sound system takes to list them; any thread may call it.

    Raises:
        AudioError: PortAudio is missing or does not answer.
    """
    with _alone():
        refresh()
        return _listed()


def refresh() -> bool:
    """Have PortAudio look for devices again, which it does only as it starts.

    Nothing is done while this process has a stream open, of ours or anybody's: it would be closed.

    Returns:
        Whether it has looked.

    Raises:
        AudioError: PortAudio is missing, does not answer or does not start any more.
    """
    with _alone():
        sounddevice = load()
        if _open_streams or _has_foreign_stream(sounddevice):
            return False
        try:
            sounddevice._terminate()
            sounddevice._initialize()
        except Exception as error:
            raise AudioError(f"PortAudio does not start again ({error}); check the sound system.") from error
        return True


def abandon() -> None:
    """Leave PortAudio as it is when the interpreter exits, for what hangs in it would hang the exit too."""
    atexit.unregister(load()._exit_handler)


def _has_foreign_stream(sounddevice: Any) -> bool:
    """Whether somebody else in this process has opened a stream."""
    # There is no list of them to ask. Isinstance would run code of whoever is looked at, hence type().
    # One that could not be opened does not call itself closed, but it has no rate.
    kinds = (sounddevice.RawInputStream, sounddevice.RawOutputStream)
    return any(
        issubclass(type(thing), kinds) and not thing.closed and hasattr(thing, "samplerate")
        for thing in gc.get_objects()
    )


def _listed() -> tuple[AudioDevice, ...]:
    sounddevice = load()
    try:
        host_apis = sounddevice.query_hostapis()
        default_input, default_output = sounddevice.default.device
        return tuple(
            AudioDevice(
                index=index,
                name=found["name"],
                host_api=host_apis[found["hostapi"]]["name"],
                input_channels=found["max_input_channels"],
                output_channels=found["max_output_channels"],
                default_rate=round(found["default_samplerate"]),
                is_default_input=index == default_input,
                is_default_output=index == default_output,
            )
            for index, found in enumerate(sounddevice.query_devices())
        )
    except sounddevice.PortAudioError as error:
        raise AudioError(f"PortAudio cannot list the devices ({error}); check the sound system.") from error


def find_device(kind: Kind, wanted: int | str | None) -> AudioDevice:
    """Return the device that is meant.

    Args:
        kind: What it has to be able to do.
        wanted: Index; or name, or words of the name and the host API in their order, whatever their case;
            None for the default.

    Raises:
        AudioError: There is none, or several are meant; the message has those to choose from.
    """
    with _alone():
        able = [device for device in _listed() if device.channels(kind)]
    noun = NOUNS[kind]
    if not able:
        raise AudioError(f"No {noun} was found; connect one, or start the sound server.")
    choice = f"choose {kind}_device from: " + ", ".join(f"{each.index} {each.name!r}" for each in able)
    if wanted is None:
        is_default = attrs.fields(AudioDevice).is_default_input.name.replace("input", kind)
        chosen = [each for each in able if getattr(each, is_default)]
        if not chosen:
            raise AudioError(f"There is no default {noun}; {choice}.")
        return chosen[0]
    if isinstance(wanted, int):
        for each in able:
            if each.index == wanted:
                return each
        raise AudioError(f"Device {wanted} does not exist or is no {noun}; {choice}.")
    matches = _matching(able, wanted)
    if not matches:
        raise AudioError(f"No {noun} has a name like {wanted!r}; {choice}.")
    if len(matches) > 1:
        several = ", ".join(f"{each.index} {each.name!r} ({each.host_api})" for each in matches)
        raise AudioError(
            f"Several {noun}s are called {wanted!r}; choose {kind}_device by index from: {several}."
        )
    return matches[0]


def _matching(able: list[AudioDevice], wanted: str) -> list[AudioDevice]:
    exact = [each for each in able if each.name.casefold() == wanted.casefold()]
    if exact:
        # Windows lists each device once for each of its four host APIs.
        default = [each.host_api for each in able if each.is_default_input or each.is_default_output]
        return [each for each in exact if each.host_api in default][:1] or exact
    words = wanted.casefold().split()
    return [each for each in able if _has_words(f"{each.name}, {each.host_api}".casefold(), words)]


def _has_words(text: str, words: list[str]) -> bool:
    start = 0
    for word in words:
        found = text.find(word, start)
        if found < 0:
            return False
        start = found + len(word)
    return True


@attrs.define(eq=False)
class Stream:
    """An open stream in one direction: mono s16le, driven by a callback on PortAudio's thread.

    ``start``, ``abort`` and ``close`` belong to one thread and may block if the sound server does not answer.
    While they run, that thread must hold no lock that the callbacks want: PortAudio waits for them.

    Attributes:
        device: What it was opened on.
        rate: Samples a second.
        latency: Seconds between callback and sound, as PortAudio reckons.
    """

    device: AudioDevice
    rate: int
    latency: float
    _stream: Any
    _is_closed: bool = False

    def start(self) -> None:
        """Begin to call back.

        Raises:
            AudioError: PortAudio refuses.
        """
        try:
            self._stream.start()
        except load().PortAudioError as error:
            raise AudioError(
                f"{self.device.name!r} does not start ({error}); check the sound system."
            ) from error

    def abort(self) -> None:
        """Stop calling back and forget what the device still holds."""
        self._stream.abort(ignore_errors=True)

    def close(self) -> None:
        """Close the stream; what the device still holds is forgotten."""
        global _open_streams
        with _alone():
            if not self._is_closed:
                self._is_closed = True
                self._stream.close(ignore_errors=True)
                _open_streams -= 1


def open_stream(
    kind: Kind,
    wanted: int | str | None,
    rate: int,
    *,
    block_seconds: float,
    latency: float | Literal["low", "high"],
    callback: Callable[[Any, int, Any, Any], None],
    finished_callback: Callable[[], None],
) -> Stream:
    """Open a stream, at another rate if the device does not have the one wanted.

    Args:
        kind: Direction.
        wanted: Device; see find_device.
        rate: Samples a second that are wanted.
        block_seconds: Duration of what one callback brings or takes, to the nearest sample.
        latency: Seconds that are wished for, or the device's own idea.
        callback: See ``sounddevice.RawInputStream`` and ``sounddevice.RawOutputStream``.
        finished_callback: Called when calling back ends, whatever the reason.

    Raises:
        AudioError: No such device, or it cannot be opened; nothing is left open.
    """
    global _open_streams
    with _alone():
        sounddevice = load()
        device = find_device(kind, wanted)
        make = sounddevice.RawInputStream if kind == "input" else sounddevice.RawOutputStream
        refusal: Exception | None = None
        for each in dict.fromkeys((rate, device.default_rate, *COMMON_RATES)):
            try:
                stream = make(
                    samplerate=each,
                    blocksize=max(1, round(each * block_seconds)),
                    device=device.index,
                    channels=1,
                    dtype="int16",
                    latency=latency,
                    callback=callback,
                    finished_callback=finished_callback,
                )
            except sounddevice.PortAudioError as error:
                refusal = refusal or error
            else:
                _open_streams += 1
                return Stream(device, each, stream.latency, stream)
    raise AudioError(
        f"The {NOUNS[kind]} {device.name!r} cannot be opened ({refusal}); "
        "check that no other program holds it, or choose another."
    )
