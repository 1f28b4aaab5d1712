from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from convsm.audio.formats import audio_format
from convsm.audio.level import SILENCE, Level
from convsm.audio.microphone import Microphone
from convsm.audio.mulaw import pcm_to_ulaw
from tests.audio.sounds import samples, tone


def microphone(name: str, chunk_seconds: float = 0.02) -> tuple[Microphone, list[bytes]]:
    pieces: list[bytes] = []
    made = Microphone(audio_format(name), pieces.append, chunk_seconds)
    made.attach(None, None, 0.01)
    return made, pieces


@given(st.lists(st.integers(0, 700), max_size=20), st.sampled_from([0.001, 0.01, 0.02, 0.0333]))
def test_blocks_of_any_size_become_pieces_of_one_without_losing_a_sample(
    sizes: list[int], chunk_seconds: float
):
    made, pieces = microphone("pcm_16000", chunk_seconds)
    whole = samples(1, sum(sizes))
    start = 0
    for size in sizes:
        made.take(whole[2 * start : 2 * (start + size)])
        start += size
    size = 2 * round(chunk_seconds * 16000)
    assert all(len(piece) == size for piece in pieces)
    assert b"".join(pieces) == whole[: len(whole) // size * size]


def test_ulaw_pieces_have_half_the_size():
    made, pieces = microphone("ulaw_8000")
    made.take(samples(1, 160))
    assert pieces == [pcm_to_ulaw(samples(1, 160))]


def test_muted_pieces_are_silent_and_the_level_is_not():
    for name, silence in (("pcm_16000", b"\x00" * 640), ("ulaw_8000", b"\xff" * 160)):
        made, pieces = microphone(name)
        made.muted = True
        made.take(tone(16384, 320 if name == "pcm_16000" else 160))
        assert pieces == [silence]
        assert made.level == Level(0.5, 0.5)


def test_the_level_is_that_of_the_last_blocks():
    made, _ = microphone("pcm_16000")
    assert made.level == SILENCE
    for value in (16384, 0, 0, 0, 0, 0):
        made.take(tone(value, 160))
    assert made.level == SILENCE
