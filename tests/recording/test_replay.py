from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from convsm.machine import Session, SessionOptions
from convsm.machine.effects import Effect
from convsm.machine.events import (
    EVENTS,
    AgentAudio,
    End,
    Event,
    Informed,
    Interrupted,
    Send,
    Start,
    UserTranscript,
)
from convsm.recording import ReplayReport, replay
from tests.recording.conversations import (
    OPENED,
    SPEAKING,
    any_event,
    conversations,
    read,
    record,
    rewrite,
    some_options,
)


def test_the_random_events_are_all_there_are() -> None:
    kinds = {strategy.wrapped_strategy.target for strategy in any_event.original_strategies}  # type: ignore[attr-defined]
    assert kinds == set(EVENTS.values())


@settings(deadline=None)  # files and a thread: as fast as the machine is
@given(st.lists(conversations, min_size=1, max_size=3), some_options, st.booleans())
def test_whatever_happened_replays_clean(
    sessions: list[tuple[Event, ...]], options: SessionOptions, include_audio: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = record(Path(folder, "a"), *sessions, options=options, include_audio=include_audio)
        report = replay(path)
    assert report.is_equal, report.text()
    assert report.cut_line is None
    assert report.steps == sum(map(len, sessions))
    assert report.sessions == 1 + sum(1 for i, _ in enumerate(sessions[1:]) if sessions[i])


def leaves(encoded: object, way: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    if isinstance(encoded, dict):
        for key, value in encoded.items():
            yield from leaves(value, (*way, key))
    elif isinstance(encoded, list):
        for index, value in enumerate(encoded):
            yield from leaves(value, (*way, index))
    else:
        yield way


def spoil(encoded: dict[str, object], way: tuple[object, ...]) -> None:
    inner: dict[object, object] = encoded  # type: ignore[assignment]
    for key in way[:-1]:
        inner = inner[key]  # type: ignore[assignment]
    value = inner[way[-1]]
    # The nearest other value: Python holds 1, 1.0 and True equal.
    inner[way[-1]] = float(value) if isinstance(value, int) else f"{value}!"


@settings(deadline=None)  # files and a thread: as fast as the machine is
@given(conversations, st.data())
def test_a_changed_effect_is_found_at_its_line(conversation: tuple[Event, ...], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = record(Path(folder, "a"), (Start(), *conversation))
        lines = read(path)
        number = data.draw(st.sampled_from([i for i, line in enumerate(lines) if line.get("effects")]))
        effects: list[dict[str, object]] = lines[number]["effects"]  # type: ignore[assignment]
        recorded = orjson.loads(orjson.dumps(effects))
        place = data.draw(st.integers(0, len(effects) - 1))
        match data.draw(st.sampled_from(["spoil", "drop", "double"])):
            case "spoil":
                spoil(effects[place], data.draw(st.sampled_from(list(leaves(effects[place])))))
            case "drop":
                del effects[place]
            case _:
                effects.insert(place, effects[place])
        rewrite(path, lines)
        report = replay(path)
    divergence = report.divergence
    assert divergence is not None
    assert (divergence.line, divergence.step) == (number + 1, number)
    assert divergence.event == lines[number]["event"]
    assert list(divergence.expected) == effects
    assert list(divergence.actual) == recorded
    assert max(map(len, report.text().splitlines())) <= 80


def test_a_recording_from_before_a_field_was_there_replays_clean(tmp_path: Path) -> None:
    path = record(tmp_path / "a", (*SPEAKING, UserTranscript("stop", 1)))
    lines = read(path)
    del lines[-1]["event"]["item"]  # type: ignore[attr-defined]
    effect: Any = lines[-1]["effects"][0]  # type: ignore[index]
    assert effect["event"].pop("item") is None
    rewrite(path, lines)
    assert replay(path).is_equal
    # A field that says something is news.
    del effect["event"]["turn"]
    rewrite(path, lines)
    assert not replay(path).is_equal


# What differs


class Forgetful(Session):
    """A session whose table differs: it plays what was cut."""

    def is_stale(self, event: AgentAudio) -> bool:
        return False


def test_a_session_that_behaves_otherwise_differs(tmp_path: Path) -> None:
    path = record(tmp_path / "a", (*SPEAKING, Interrupted(1, 2), AgentAudio(b"\2\0", 1), End()))
    assert replay(path).is_equal
    report = replay(path, Forgetful)
    assert not report.is_equal
    assert report.steps == 7
    assert report.divergence is not None
    assert report.divergence.line == 8
    assert report.divergence.event["type"] == "AgentAudio"
    assert report.divergence.expected == ()
    assert [effect["type"] for effect in report.divergence.actual][:2] == ["StateChanged", "Play"]


class Broken(Session):
    """A session with a fault."""

    def handle(self, event: Event) -> tuple[Effect, ...]:
        raise ZeroDivisionError("no \ud800")


def test_a_session_that_breaks_differs(tmp_path: Path) -> None:
    report = replay(record(tmp_path / "a", [Start()]), Broken)
    assert report.divergence is not None
    assert [effect["type"] for effect in report.divergence.actual] == ["ZeroDivisionError"]
    assert "+ ZeroDivisionError message=" in report.text()


def test_a_refused_command_replays_and_a_taken_one_differs_from_it(tmp_path: Path) -> None:
    path = record(tmp_path / "a", [Send("too early"), Start(), Send("held")])
    lines = read(path)
    assert lines[1]["refused"] is True
    assert "effects" not in lines[1]
    assert replay(path).is_equal

    def differs_at(line: int, change: Mapping[str, object]) -> ReplayReport:
        rewrite(path, [*lines[:line], {**lines[line], **change}, *lines[line + 1 :]])
        report = replay(path)
        assert report.divergence is not None
        assert report.divergence.line == line + 1
        return report

    assert differs_at(1, {"refused": False, "effects": []}).divergence.actual == ({"type": "RefusedCommand"},)  # type: ignore[union-attr]
    assert differs_at(3, {"refused": True}).divergence.expected == ({"type": "RefusedCommand"},)  # type: ignore[union-attr]


def test_a_report_is_readable_in_80_columns(tmp_path: Path) -> None:
    message = {"sign": "\x9b31m\u202e", "other": "ünï", "text": "word " * 200}
    path = record(tmp_path / "a", (*OPENED, Informed(message)))
    assert replay(path).text() == "Replayed 4 steps of 1 session: all effects are equal."
    lines = read(path)
    lines[4]["effects"] = [{"type": "Notify", "event": None}]
    rewrite(path, lines)
    text = replay(path).text()
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("Step 4 (line 5) differs; all before it are equal.\nEvent:\n    Informed at=0.0 ")
    assert "\n  - Notify event=null\n  + Notify event=" in text
    assert text.count(" …") == 2
    assert text.replace("\n", "").isprintable()
    assert r'"sign":"\x9b31m\u202e","other":"ünï"' in text


def test_equal_effects_of_a_step_that_differs_stand_unmarked(tmp_path: Path) -> None:
    path = record(tmp_path / "a", [Start()], [Start()])
    assert replay(path).text() == "Replayed 2 steps of 2 sessions: all effects are equal."
    lines = read(path)
    del lines[3]["effects"][1]  # type: ignore[attr-defined]
    rewrite(path, lines)
    assert replay(path).text().splitlines()[3:] == [
        "Effects (- recorded, + replayed):",
        '    StateChanged source="idle" target="connecting" event="Start" at=0.0',
        "  + OpenSocket",
        '    SetTimer name="ready" seconds=20.0 token=1',
    ]
