"""WAV files as a source and a sink of a session's audio; µ-law sessions read and write 16-bit files too."""

from __future__ import annotations

import shlex
import wave

from convsm.audio.companding import from_pcm, to_pcm
from convsm.audio.formats import AudioFormat
from convsm.errors import AudioError

__all__ = ["WavReader", "WavWriter"]


class WavReader:
    """Samples of a WAV file in a session's input format. For one thread."""

    def __init__(self, path: str, audio_format: AudioFormat) -> None:
        """Open the file; it has to be 16-bit, mono and of the format's rate.

        Raises:
            AudioError: It cannot be read or is something else.
        """
        self._format = audio_format
        try:
            self._wave = wave.open(path, "rb")  # noqa: SIM115, closed by close()
        except OSError as error:
            raise AudioError(f"Audio input {path} cannot be opened ({error}).") from error
        except (wave.Error, EOFError) as error:
            # An EOFError has no text.
            problem = str(error) or "the file is cut short"
            raise AudioError(
                f"Audio input {path} is not a plain 16-bit WAV file ({problem}); "
                f"{_conversion(path, audio_format)}"
            ) from error
        found = (self._wave.getnchannels(), self._wave.getsampwidth(), self._wave.getframerate())
        if found != (1, 2, audio_format.rate):
            self.close()
            raise AudioError(
                f"Audio input {path} has {found[0]} channel(s) of {8 * found[1]} bit at {found[2]} Hz, "
                f"but the session wants mono 16 bit at {audio_format.rate} Hz; "
                f"{_conversion(path, audio_format)}"
            )

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes of the input format; fewer at the end of the file, none after it."""
        samples = self._wave.readframes(size // self._format.bytes_per_sample)
        # A file that was cut short may end in the middle of a sample.
        samples = samples[: len(samples) // 2 * 2]
        return from_pcm(samples, self._format)

    def close(self) -> None:
        """Close the file."""
        self._wave.close()


def _conversion(path: str, wanted: AudioFormat) -> str:
    source = shlex.quote(path)
    return (
        f"convert it with: sox {source} -r {wanted.rate} -c 1 -b 16 -e signed-integer converted.wav "
        f"(or: ffmpeg -i {source} -ar {wanted.rate} -ac 1 -c:a pcm_s16le converted.wav)."
    )


class WavWriter:
    """A 16-bit mono WAV file made of samples in a session's output format. For one thread."""

    def __init__(self, path: str, audio_format: AudioFormat) -> None:
        """Open the file for writing; one that exists is overwritten.

        Raises:
            AudioError: It cannot be opened.
        """
        self._format = audio_format
        try:
            self._file = open(path, "wb")  # noqa: SIM115, closed by close()
        except OSError as error:
            raise AudioError(f"Audio output {path} cannot be opened ({error}).") from error
        self._wave = wave.open(self._file, "wb")  # noqa: SIM115, closed by close()
        self._wave.setnchannels(1)
        self._wave.setsampwidth(2)
        self._wave.setframerate(audio_format.rate)

    def write(self, audio: bytes) -> None:
        """Append whole samples.

        Header and samples reach the file each time, for a killed process cannot see to it at the end.

        Raises:
            OSError: The disk is full, or the like.
        """
        self._wave.writeframes(to_pcm(audio, self._format))
        self._file.flush()

    def close(self) -> None:
        """Complete the header and close the file, also if nothing was written.

        Raises:
            OSError: What was written last did not reach the disk; the file is closed all the same.
        """
        with self._file:
            self._wave.close()
