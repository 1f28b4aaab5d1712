"""The table of devices, of devices that may be anything."""

from __future__ import annotations

import json

import attrs
from hypothesis import given
from hypothesis import strategies as st

from convsm.audio.portaudio import AudioDevice
from convsm.live.devices import as_json, as_table

MICROPHONE = AudioDevice(0, "USB headset", "Core Audio", 1, 0, 48000, True, False)
LOUDSPEAKER = AudioDevice(1, "USB headset", "Core Audio", 0, 2, 44100, False, False)
BOTH = AudioDevice(12, "default", "ALSA", 32, 32, 44100, False, True)

devices = st.builds(
    AudioDevice,
    st.integers(0, 200),
    st.text(max_size=300),
    st.text(max_size=60),
    st.integers(0, 128),
    st.integers(0, 128),
    st.integers(8000, 384000),
    st.booleans(),
    st.booleans(),
)


def test_the_table_has_microphones_then_loudspeakers_with_their_defaults_marked():
    assert as_table([MICROPHONE, LOUDSPEAKER, BOTH]).splitlines()[:8] == [
        "       microphones                             host API             ch.      Hz",
        "*   0  USB headset                             Core Audio             1   48000",
        "   12  default                                 ALSA                  32   44100",
        "",
        "       loudspeakers                            host API             ch.      Hz",
        "    1  USB headset                             Core Audio             2   44100",
        "*  12  default                                 ALSA                  32   44100",
        "",
    ]


def test_what_is_not_there_is_told():
    assert "no loudspeakers" in as_table([MICROPHONE])
    nobody = "No microphone and no loudspeaker: connect one, or start the sound server.\n"
    assert as_table([]) == nobody
    assert as_table([AudioDevice(0, "midi", "ALSA", 0, 0, 44100, False, False)]) == nobody


@given(st.lists(devices, max_size=5))
def test_the_table_fits_the_page_whatever_devices_are_called(found):
    lines = as_table(found).split("\n")
    assert max(map(len, lines)) <= 80
    assert all(line.isprintable() for line in lines)


@given(st.lists(devices, max_size=5))
def test_the_json_has_every_field_of_every_device(found):
    assert json.loads(as_json(found)) == [attrs.asdict(device) for device in found]
