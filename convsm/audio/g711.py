"""What the two laws of G.711 have in common: tables from each byte to its sample and back."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable

import attrs

__all__ = ["SampleTables"]


@attrs.frozen(slots=False)
class SampleTables:
    """Codes s16le samples by tables, which are built on first use: most sessions speak pcm.

    Attributes:
        decode_byte: Returns the 16-bit sample of a byte.
        encode_sample: Returns the byte of a sample of fewer bits.
        sample_bits: How many.
    """

    decode_byte: Callable[[int], int]
    encode_sample: Callable[[int], int]
    sample_bits: int

    @functools.cached_property
    def _halves(self) -> tuple[bytes, bytes]:
        samples = [struct.pack("<h", self.decode_byte(code)) for code in range(256)]
        return bytes(sample[0] for sample in samples), bytes(sample[1] for sample in samples)

    @functools.cached_property
    def _codes(self) -> bytes:
        # 64 KiB, indexed by the sample taken as unsigned.
        count = 1 << self.sample_bits
        return b"".join(
            bytes((self.encode_sample(sample - count if sample >= count // 2 else sample),))
            * (65536 // count)
            for sample in range(count)
        )

    def to_pcm(self, audio: bytes) -> bytes:
        """Decode bytes into s16le samples, twice as long."""
        low, high = self._halves
        pcm = bytearray(2 * len(audio))
        pcm[0::2] = audio.translate(low)
        pcm[1::2] = audio.translate(high)
        return bytes(pcm)

    def from_pcm(self, audio: bytes) -> bytes:
        """Encode s16le samples into bytes, half as long.

        Raises:
            struct.error: The length is odd.
        """
        samples = struct.unpack(f"<{len(audio) // 2}H", audio)
        return bytes(map(self._codes.__getitem__, samples))
