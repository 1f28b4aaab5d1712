"""Text streams that pretend to be what a timeline may be shown on."""

from __future__ import annotations

import io


class Stream(io.StringIO):
    """A text stream with an encoding, on a terminal or not."""

    def __init__(self, encoding: str = "utf-8", is_terminal: bool = False) -> None:
        super().__init__()
        self._encoding, self._is_terminal = encoding, is_terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a StringIO has none
        return self._encoding

    def isatty(self) -> bool:
        return self._is_terminal


class FailingStream(Stream):
    """A stream whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")
