from __future__ import annotations

from collections.abc import Callable

import pytest

from convsm.audio import AudioFormat, AudioInterface, PlayoutListener, ReportingAudioInterface


class Parrot(AudioInterface):
    """What a user writes who knows the reference page: the four methods and nothing else."""

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        self.input_callback = input_callback

    def stop(self) -> None:
        pass

    def output(self, audio: bytes) -> None:
        self.input_callback(audio)

    def interrupt(self) -> None:
        pass


class Scribe(ReportingAudioInterface):
    """A reporting interface that writes down what it was given."""

    def __init__(self) -> None:
        self.plays: list[tuple[int, bytes]] = []

    def configure(
        self, output_format: AudioFormat, input_format: AudioFormat, listener: PlayoutListener
    ) -> None: ...

    def start(self, input_callback: Callable[[bytes], None]) -> None: ...

    def stop(self) -> None: ...

    def interrupt(self) -> None: ...

    def play(self, number: int, audio: bytes) -> None:
        self.plays.append((number, audio))


def test_the_four_reference_methods_make_an_interface():
    heard: list[bytes] = []
    parrot = Parrot()
    parrot.start(heard.append)
    parrot.output(b"ab")
    assert heard == [b"ab"]
    assert not isinstance(parrot, ReportingAudioInterface)


@pytest.mark.parametrize("missing", ["start", "stop", "output", "interrupt"])
def test_an_interface_without_one_of_its_methods_cannot_be_made(missing):
    kept = {name: getattr(Parrot, name) for name in ("start", "stop", "output", "interrupt")}
    del kept[missing]
    with pytest.raises(TypeError, match=missing):
        type("Torso", (AudioInterface,), kept)()


def test_output_of_a_reporting_interface_is_play_with_rising_numbers():
    first, second = Scribe(), Scribe()
    first.output(b"a")
    second.output(b"x")
    first.output(b"b")
    assert first.plays == [(1, b"a"), (2, b"b")]
    assert second.plays == [(1, b"x")]
