"""convsm devices: the microphones and loudspeakers as a table, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import shorten

import attrs

from convsm.audio.portaudio import AudioDevice, Kind
from convsm.live.timeline import COLUMNS

__all__ = ["as_json", "as_table"]

NOBODY = "No microphone and no loudspeaker: connect one, or start the sound server."
TITLES: tuple[tuple[Kind, str], ...] = (("input", "microphones"), ("output", "loudspeakers"))
API_COLUMNS = 20
# Mark and index, channels, rate, and a blank or two before each.
OTHER_COLUMNS = 2 + 4 + 2 + 4 + 8
NAME_COLUMNS = COLUMNS - OTHER_COLUMNS - API_COLUMNS - 2


def as_table(devices: Sequence[AudioDevice]) -> str:
    """Return a table of at most 80 columns, or a sentence if there is none.

    Args:
        devices: All devices. One that can do both is in both halves.
    """
    if not any(device.channels(kind) for device in devices for kind, _ in TITLES):
        return f"{NOBODY}\n"
    lines: list[str] = []
    for kind, title in TITLES:
        heading = title if any(device.channels(kind) for device in devices) else f"no {title}"
        lines.append(_line(" ", "", heading, "host API", "ch.", "Hz"))
        lines += [_device_line(device, kind) for device in devices if device.channels(kind)]
        lines.append("")
    lines.append("* is the default. Choose another by its number or by words of its name:")
    lines.append("convsm talk --input-device 3 --output-device 'usb headset'")
    return "\n".join(lines) + "\n"


def as_json(devices: Sequence[AudioDevice]) -> str:
    """Return a JSON array with an object for each device; its keys are the fields of AudioDevice."""
    return json.dumps([attrs.asdict(device) for device in devices], indent=2, ensure_ascii=False) + "\n"


def _device_line(device: AudioDevice, kind: Kind) -> str:
    is_default = device.is_default_input if kind == "input" else device.is_default_output
    return _line(
        "*" if is_default else " ",
        str(device.index),
        _legible(device.name, NAME_COLUMNS),
        _legible(device.host_api, API_COLUMNS),
        str(device.channels(kind)),
        str(device.default_rate),
    )


def _line(mark: str, index: str, name: str, host_api: str, channels: str, rate: str) -> str:
    start = f"{mark} {index:>3}  {name:<{NAME_COLUMNS}}  {host_api:<{API_COLUMNS}}"
    return f"{start}{channels:>4}{rate:>8}".rstrip()


def _legible(name: str, columns: int) -> str:
    # Some drivers put line breaks into their names; what a terminal might obey is no name.
    printable = "".join(sign if sign.isprintable() else " " for sign in name)
    whole = " ".join(printable.split())
    return whole if len(whole) <= columns else shorten(whole, columns, placeholder="...")
