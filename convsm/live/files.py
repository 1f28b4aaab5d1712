"""The files of a command, looked at before anything begins."""

from __future__ import annotations

import os
import wave
from collections.abc import Mapping
from contextlib import suppress

from convsm.audio.formats import AUDIO_FORMATS, AudioFormat, audio_format
from convsm.audio.wav_files import WavReader
from convsm.errors import ConfigurationError

__all__ = ["check_files", "open_voice"]

# What a file is to be converted to, if no session could want its rate.
USUAL_RATE = 16000


def check_files(read: Mapping[str, str | None], written: Mapping[str, str | None]) -> None:
    """See that files can be written, and that no two are one.

    Args:
        read: Paths by option; None for those not given. Whether they can be read is not looked at.
        written: Likewise. What is there already is left as it is; what is not is made, empty.

    Raises:
        ConfigurationError: One cannot be written, or two are one; names the option.
    """
    seen: dict[str, str] = {}
    for option, path in (*read.items(), *written.items()):
        if path is None:
            continue
        real = os.path.realpath(path)
        if real in seen:
            raise ConfigurationError(f"{seen[real]} and {option} are one file; name another for {option}.")
        seen[real] = option
    for option, path in written.items():
        if path is not None:
            _require_writable(option, path)


def _require_writable(option: str, path: str) -> None:
    # Now rather than in the middle of the conversation; what the file holds is left alone until then.
    try:
        with open(path, "ab"):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"{option} {path} cannot be written ({error.strerror}); name another file."
        ) from None


def open_voice(path: str) -> tuple[WavReader, AudioFormat]:
    """Open a WAV file with a user's words, at any rate that the protocol knows.

    Returns:
        The reader, to be closed, and the format of what it reads.

    Raises:
        AudioError: It cannot be read, or is not 16-bit mono at such a rate; the message tells how to
            convert it.
    """
    rate = USUAL_RATE
    # What is wrong with the file, the reader below says better.
    with suppress(OSError, EOFError, wave.Error), wave.open(path) as header:
        rate = header.getframerate()
    wanted = f"pcm_{rate}"
    voice_format = audio_format(wanted if wanted in AUDIO_FORMATS else f"pcm_{USUAL_RATE}")
    return WavReader(path, voice_format), voice_format
