"""Audio: formats, playout and the interfaces to files and devices."""

from convsm.audio.formats import AUDIO_FORMATS, AudioFormat, audio_format
from convsm.audio.interface import AudioInterface, PlayoutListener, ReportingAudioInterface
from convsm.audio.playout import PlayoutBuffer
from convsm.audio.wav import WavAudioInterface

__all__ = [
    "AUDIO_FORMATS",
    "AudioFormat",
    "AudioInterface",
    "PlayoutBuffer",
    "PlayoutListener",
    "ReportingAudioInterface",
    "WavAudioInterface",
    "audio_format",
]
