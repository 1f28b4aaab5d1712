"""Replay: feed a recording to a fresh Session and find the first step that differs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from difflib import SequenceMatcher
from textwrap import wrap
from typing import Protocol, TypeVar

import attrs
import orjson

from convsm.errors import ConfigurationError, RefusedCommand
from convsm.machine.context import SessionOptions
from convsm.machine.effects import Effect
from convsm.machine.events import EVENTS, Event
from convsm.machine.session import Session
from convsm.recording.encoding import Encoded, Encoder, decode
from convsm.recording.recorder import FORMAT, FORMAT_VERSION

__all__ = ["Divergence", "ReplayReport", "Replayable", "replay"]

_COLUMNS = 80
# Lines of one effect in a report; a payload may be megabytes.
_MAX_LINES = 8
_REFUSAL = {"type": RefusedCommand.__name__}

_Built = TypeVar("_Built", Event, SessionOptions)


class Replayable(Protocol):
    """What a recording can be fed to: a Session, or another interpreter of a table."""

    def handle(self, event: Event) -> tuple[Effect, ...]:
        """Return the effects of an event, or raise RefusedCommand."""


@attrs.frozen
class Divergence:
    """The first step whose effects differ.

    A refusal stands as one effect ``{"type": "RefusedCommand"}``; another error of the session as
    its class and message.

    Attributes:
        line: Line of the file, from 1.
        step: Number of the step in its session.
        event: The event, as recorded.
        expected: The recorded effects.
        actual: The effects that replay gave, encoded like the recorded ones.
    """

    line: int
    step: int
    event: Mapping[str, object]
    expected: tuple[Mapping[str, object], ...]
    actual: tuple[Mapping[str, object], ...]


@attrs.frozen
class ReplayReport:
    """What a replay found.

    Attributes:
        steps: Steps that were replayed, with the one that differs.
        sessions: Sessions among them.
        divergence: The first difference; None when all is equal.
        cut_line: The last line, if it was cut off, as by a crash; what stands before it counts.
    """

    steps: int
    sessions: int
    divergence: Divergence | None = None
    cut_line: int | None = None

    @property
    def is_equal(self) -> bool:
        """Whether every step that was replayed gave the recorded effects."""
        return self.divergence is None

    def text(self) -> str:
        """Return the report for people, in lines of at most 80 characters."""
        if self.divergence is None:
            steps = "1 step" if self.steps == 1 else f"{self.steps:,} steps"
            sessions = "1 session" if self.sessions == 1 else f"{self.sessions:,} sessions"
            lines = [f"Replayed {steps} of {sessions}: all effects are equal."]
        else:
            lines = _describe(self.divergence)
        if self.cut_line is not None:
            lines.append(
                f"Line {self.cut_line} was cut off, as by a crash; what stands before it was replayed."
            )
        return "\n".join(lines)


def _describe(divergence: Divergence) -> list[str]:
    lines = [
        f"Step {divergence.step} (line {divergence.line}) differs; all before it are equal.",
        "Event:",
        *_item("    ", divergence.event),
        "Effects (- recorded, + replayed):",
    ]
    expected, actual = (
        [_canonical(effect) for effect in side] for side in (divergence.expected, divergence.actual)
    )
    for tag, start, stop, other, end in SequenceMatcher(None, expected, actual, False).get_opcodes():
        for effect in divergence.expected[start:stop]:
            lines += _item("    " if tag == "equal" else "  - ", effect)
        if tag != "equal":
            for effect in divergence.actual[other:end]:
                lines += _item("  + ", effect)
    return lines


def _item(indent: str, encoded: Mapping[str, object]) -> list[str]:
    values = (f"{name}={orjson.dumps(value).decode()}" for name, value in encoded.items() if name != "type")
    text = " ".join((str(encoded.get("type")), *values))
    # What a terminal might obey is written as an escape.
    text = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
    return wrap(
        text,
        _COLUMNS,
        initial_indent=indent,
        subsequent_indent=" " * 8,
        break_on_hyphens=False,
        max_lines=_MAX_LINES,
        placeholder=" …",
    )


def _canonical(encoded: Encoded) -> bytes:
    # Compared as bytes, for Python holds 1, 1.0 and True equal.
    return orjson.dumps(encoded, option=orjson.OPT_SORT_KEYS)


def _without_news(actual: Encoded, expected: Encoded) -> Encoded:
    """Return an encoding without empty fields that the other one, of an older convsm, lacks."""
    if not (isinstance(actual, dict) and isinstance(expected, dict)):
        return actual
    if "type" in actual and actual["type"] == expected.get("type"):
        return {
            name: _without_news(value, expected.get(name))
            for name, value in actual.items()
            if value is not None or name in expected
        }
    return actual


def replay(
    path: str | os.PathLike[str], session_factory: Callable[[SessionOptions], Replayable] = Session
) -> ReplayReport:
    """Feed the events of a recording to fresh sessions and compare what they ask for. Performs nothing.

    Payloads are not rebuilt: the session gets stand-ins that encode as they were recorded and have
    the length of the original, audio included.

    Args:
        path: A file that a Recorder wrote.
        session_factory: Makes a session of its recorded options; called for each header.

    Returns:
        A report that ends with the first difference.

    Raises:
        OSError: The file cannot be read.
        ConfigurationError: It is not a recording, of a newer format, damaged, or lacks steps; with
            file and line. A difference before that place is reported instead.
    """
    replaying = _Replay(os.fspath(path), session_factory)
    for line, record in replaying.records():
        divergence = replaying.take(line, record)
        if divergence is not None:
            break
    else:
        divergence = None
    return ReplayReport(replaying.steps, replaying.sessions, divergence, replaying.cut_line)


@attrs.define
class _Replay:
    """The way through one file."""

    path: str
    session_factory: Callable[[SessionOptions], Replayable]
    session: Replayable | None = None
    steps: int = 0  # in all sessions
    step: int = 0  # in this one
    sessions: int = 0
    cut_line: int | None = None
    _encoder: Encoder = attrs.field(factory=Encoder)

    def damage(self, line: int, problem: str) -> ConfigurationError:
        """Return the error that names file, line and problem."""
        return ConfigurationError(f"{self.path}, line {line}: {problem}")

    def records(self) -> Iterator[tuple[int, Encoded]]:
        """Yield number and content of each line that is whole."""
        number = 0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    record = orjson.loads(line)
                except orjson.JSONDecodeError:
                    record = None
                if isinstance(record, dict):
                    yield number, record
                elif number == 1:
                    raise self.damage(1, "this is not a convsm recording")
                elif line.endswith(b"\n"):
                    raise self.damage(number, "the line is damaged")
                else:
                    self.cut_line = number
        if not number:
            raise self.damage(1, "the file is empty, not a convsm recording")

    def take(self, line: int, record: dict[str, Encoded]) -> Divergence | None:
        """Take one line; return what differs."""
        if "format" in record or self.session is None:
            self._begin(line, record)
            return None
        if "lost" in record:
            raise self.damage(
                line,
                f"{record['lost']} steps are missing, for the disk did not keep up when this was recorded; "
                "what follows cannot be replayed",
            )
        if record.get("step") != self.step + 1:
            raise self.damage(line, f"step {self.step + 1} should stand here; lines are missing or damaged")
        self.step += 1
        self.steps += 1
        return self._step(line, record, self.session)

    def _begin(self, line: int, record: dict[str, Encoded]) -> None:
        if record.get("format") != FORMAT:
            raise self.damage(line, "this is not a convsm recording")
        version, options = record.get("version"), record.get("options")
        if type(version) is not int or version < 1 or not isinstance(options, dict):
            raise self.damage(line, "the header is damaged")
        if version > FORMAT_VERSION:
            raise self.damage(
                line,
                f"the recording has format version {version}, this convsm reads up to {FORMAT_VERSION}; "
                "use a newer convsm",
            )
        self.session = self.session_factory(self._build(line, SessionOptions, options))
        self.sessions += 1
        self.step = 0

    def _step(self, line: int, record: dict[str, Encoded], session: Replayable) -> Divergence | None:
        encoded, expected = record.get("event"), record.get("effects")
        if record.get("refused") is True:
            expected = [_REFUSAL]
        if not isinstance(encoded, dict) or not isinstance(expected, list):
            raise self.damage(line, "event or effects are missing")
        if not all(isinstance(effect, dict) for effect in expected):
            raise self.damage(line, "an effect is damaged")
        try:
            _canonical(record)
        except orjson.JSONEncodeError:  # orjson reads deeper than it writes, and a report has to be written
            raise self.damage(line, "the line is nested too deeply for a recording") from None
        name = str(encoded.get("type"))
        kind = EVENTS.get(name)
        if kind is None:
            raise self.damage(line, f"this convsm knows no event {name!r}")
        event = self._build(line, kind, {key: value for key, value in encoded.items() if key != "type"})
        self._encoder.forget()
        actual: list[Encoded]
        try:
            actual = [self._encoder.encode(effect) for effect in session.handle(event)]
        except RefusedCommand:
            actual = [_REFUSAL]
        except Exception as error:  # a session that breaks differs from one that did not
            actual = [{"type": type(error).__name__, "message": self._encoder.encode(str(error))}]
        actual[: len(expected)] = map(_without_news, actual, expected)
        if [_canonical(effect) for effect in actual] == [_canonical(effect) for effect in expected]:
            return None
        return Divergence(line, self.step, encoded, tuple(expected), tuple(actual))

    def _build(self, line: int, kind: type[_Built], fields: dict[str, Encoded]) -> _Built:
        try:
            return kind(**{name: decode(value) for name, value in fields.items()})
        except (TypeError, ValueError) as error:
            raise self.damage(line, f"{kind.__name__} cannot be rebuilt ({error})") from None
