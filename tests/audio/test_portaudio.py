from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from convsm.audio import portaudio
from convsm.audio.portaudio import AudioDevice, devices, find_device, open_stream, refresh
from convsm.errors import AudioError
from tests.audio.sound_card import PATIENCE, SoundCard


def device(
    index: int, name: str, host_api: str = "ALSA", *, inputs: int = 1, outputs: int = 1, **more: Any
) -> AudioDevice:
    options = {"is_default_input": False, "is_default_output": False, **more}
    return AudioDevice(index, name, host_api, inputs, outputs, 48000, **options)


DESK = (
    device(0, "HDA Intel: ALC257 Analog (hw:0,0)", inputs=2, outputs=2),
    device(1, "USB Headset (hw:1,0)", outputs=2),
    device(2, "HDMI 0 (hw:0,3)", inputs=0, outputs=8),
    device(3, "default", is_default_input=True, is_default_output=True),
    device(4, "USB Headset Pro (hw:2,0)"),
    device(5, "Microphone", "MME", outputs=0, inputs=1),
    device(6, "Microphone", "Windows WASAPI", outputs=0, inputs=1),
)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with many devices."""
    monkeypatch.setattr(portaudio, "_listed", lambda: DESK)


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("kind", "wanted", "index"),
    [
        ("output", None, 3),
        ("input", None, 3),
        ("output", 2, 2),
        ("output", "hdmi", 2),
        ("input", "alc257", 0),
        ("output", "USB Headset (hw:1,0)", 1),
        ("input", "usb headset PRO", 4),
        ("input", "microphone wasapi", 6),
        ("output", "default", 3),
    ],
)
def test_a_device_is_found_by_index_name_and_words(
    kind: portaudio.Kind, wanted: int | str | None, index: int
):
    assert find_device(kind, wanted).index == index


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("kind", "wanted", "message"),
    [
        ("input", 2, r"Device 2 does not exist or is no microphone; choose input_device from: 0 'HDA"),
        ("output", 9, r"Device 9 does not exist or is no loudspeaker; choose output_device from: 0 'HDA"),
        ("input", "harp", r"No microphone has a name like 'harp'; choose input_device from: 0 'HDA"),
        ("input", "headset usb", r"No microphone has a name like 'headset usb'"),
        ("output", "usb", r"Several loudspeakers are called 'usb'; .*by index from: 1 'USB .*4 'USB"),
        (
            "input",
            "Microphone",
            r"Several microphones are called 'Microphone'; .*5 .*\(MME\), 6 .*\(Windows WASAPI\)",
        ),
    ],
)
def test_what_cannot_be_found_is_told_with_the_choice(kind: portaudio.Kind, wanted: int | str, message: str):
    with pytest.raises(AudioError, match=message):
        find_device(kind, wanted)


def test_of_one_device_under_several_host_apis_that_of_the_default_is_meant(monkeypatch: pytest.MonkeyPatch):
    here = (
        device(0, "Speakers", "MME"),
        device(1, "Speakers", "Windows WASAPI"),
        device(2, "Other", "Windows WASAPI", is_default_output=True),
    )
    monkeypatch.setattr(portaudio, "_listed", lambda: here)
    assert find_device("output", "speakers").index == 1


def test_a_machine_without_devices_or_default_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(portaudio, "_listed", lambda: ())
    with pytest.raises(AudioError, match="No microphone was found; connect one"):
        find_device("input", None)
    monkeypatch.setattr(portaudio, "_listed", lambda: (device(0, "HDMI"),))
    with pytest.raises(
        AudioError, match="There is no default loudspeaker; choose output_device from: 0 'HDMI'"
    ):
        find_device("output", None)


def test_the_devices_of_this_machine_are_listed(sound_card: SoundCard):
    listed = {each.name: each for each in devices()}
    default = listed["default"]
    assert default.is_default_input
    assert default.is_default_output
    assert default.host_api == "ALSA"
    assert default.channels("input") > 0
    assert default.channels("output") > 0
    assert default.default_rate > 0
    assert [each.index for each in listed.values()] == sorted(each.index for each in listed.values())


def test_devices_that_come_and_go_are_noticed(sound_card: SoundCard):
    assert devices()
    sound_card.kill()
    assert devices() == ()
    sound_card.restart()
    assert devices()


def test_a_stream_of_anybody_keeps_the_list_as_it_is(sound_card: SoundCard):
    import sounddevice

    foreign = sounddevice.RawOutputStream(samplerate=16000, channels=1, dtype="int16")
    try:
        assert not refresh()
        assert devices()
    finally:
        foreign.close()
    assert refresh()


def test_a_device_that_does_not_open_is_told_and_leaves_nothing_open(
    sound_card: SoundCard, monkeypatch: pytest.MonkeyPatch
):
    import sounddevice

    class Refused(sounddevice.RawInputStream):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            raise sounddevice.PortAudioError(f"no {options['samplerate']}", -9985)

    monkeypatch.setattr(sounddevice, "RawInputStream", Refused)
    with pytest.raises(AudioError, match=r"The microphone 'default' cannot be opened \(no 16000 .*; check"):
        open_stream(
            "input",
            None,
            16000,
            block_seconds=0.01,
            latency="low",
            callback=lambda *_: None,
            finished_callback=lambda: None,
        )
    assert portaudio._open_streams == 0
    assert refresh()


HIDDEN = """
import ctypes.util, sys
find = ctypes.util.find_library
ctypes.util.find_library = lambda name: None if "portaudio" in name else find(name)
from convsm.audio.device import DefaultAudioInterface
from convsm.errors import AudioError
interface = DefaultAudioInterface()
try:
    interface.start(print)
except AudioError as error:
    print(error)
interface.stop()
"""


def test_without_portaudio_the_start_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stderr == ""
    assert done.stdout == (
        "PortAudio is missing (PortAudio library not found); "
        "install it with 'sudo apt install libportaudio2' (Debian, Ubuntu), "
        "'sudo dnf install portaudio' (Fedora) or 'brew install portaudio' (macOS).\n"
    )


def test_without_sounddevice_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(AudioError, match="'pip install sounddevice'"):
        devices()


def test_a_portaudio_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch):
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise RuntimeError("Error initializing PortAudio")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(AudioError, match=r"PortAudio does not start \(Error initializing PortAudio\)"):
        devices()


def test_importing_the_interface_loads_no_portaudio_and_no_extra():
    code = (
        "import sys; from convsm.audio.device import DefaultAudioInterface; DefaultAudioInterface(); "
        "print(sorted({'sounddevice', 'cffi', 'numpy', 'soxr', 'livekit'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
