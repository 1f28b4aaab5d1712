from __future__ import annotations

import pytest

from convsm.audio import AUDIO_FORMATS, audio_format
from convsm.audio.companding import from_pcm, to_pcm


@pytest.mark.parametrize("name", AUDIO_FORMATS)
def test_audio_of_every_format_comes_back_as_it_was(name):
    known = audio_format(name)
    audio = bytes(range(0x80, 0xFF)) * 2
    assert len(to_pcm(audio, known)) == len(audio) * 2 // known.bytes_per_sample
    assert from_pcm(to_pcm(audio, known), known) == audio
