from __future__ import annotations

from pathlib import Path

import pytest

from convsm.errors import ConfigurationError
from convsm.recording import FORMAT_VERSION, replay
from tests.recording.conversations import SPEAKING, record, rewrite

HEADER = {"format": "convsm recording", "version": FORMAT_VERSION, "convsm": "0", "options": {}, "header": {}}
STEP = {"step": 1, "event": {"type": "Pinged", "ping_id": 1}, "effects": []}


def event(encoded: object) -> dict[str, object]:
    return {**STEP, "event": encoded}


def nested(levels: int) -> object:
    value: object = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("lines", "line", "problem"),
    [
        ([], 1, "empty"),
        (["hello"], 1, "not a convsm recording"),
        ([b"\xff\xfeRIFF"], 1, "not a convsm recording"),
        ([{"format": "foreign"}], 1, "not a convsm recording"),
        ([STEP], 1, "not a convsm recording"),
        ([{**HEADER, "version": FORMAT_VERSION + 1}], 1, "newer convsm"),
        ([{**HEADER, "version": True}], 1, "header is damaged"),
        ([{**HEADER, "version": 0}], 1, "header is damaged"),
        ([{**HEADER, "options": None}], 1, "header is damaged"),
        ([{**HEADER, "options": {"speed": 1}}], 1, "SessionOptions cannot be rebuilt"),
        ([HEADER, [1]], 2, "damaged"),
        ([HEADER, b"{", STEP], 2, "damaged"),
        ([HEADER, {**HEADER, "format": "foreign"}], 2, "not a convsm recording"),
        ([HEADER, {**STEP, "step": 2}], 2, "step 1 should stand here"),
        ([HEADER, {"step": 1}], 2, "event or effects are missing"),
        ([HEADER, {**STEP, "effects": None}], 2, "event or effects are missing"),
        ([HEADER, {**STEP, "effects": [1]}], 2, "effect is damaged"),
        ([HEADER, {**STEP, "effects": [{"type": nested(260)}]}], 2, "nested too deeply"),
        ([HEADER, event({"type": ["Pinged"]})], 2, "knows no event"),
        ([HEADER, event({"type": "Sneezed"})], 2, "knows no event 'Sneezed'"),
        ([HEADER, event({"type": "Pinged"})], 2, "Pinged cannot be rebuilt"),
        ([HEADER, event({"type": "Pinged", "ping_id": 1, "size": 1})], 2, "Pinged cannot be rebuilt"),
        ([HEADER, event({"type": "Pinged", "ping_id": {"$integer": "x"}})], 2, "Pinged cannot be rebuilt"),
        ([HEADER, event({"type": "Pinged", "ping_id": {"$float": []}})], 2, "Pinged cannot be rebuilt"),
        ([HEADER, event({"type": "Send", "message": {"$text": "ä"}})], 2, "Send cannot be rebuilt"),
        ([HEADER, event({"type": "UserAudio", "audio": {"$bytes": -1}})], 2, "UserAudio cannot be rebuilt"),
        ([HEADER, event({"type": "UserAudio", "audio": {"$bytes": "1"}})], 2, "UserAudio cannot be rebuilt"),
        ([HEADER, {"lost": 3}, {**STEP, "step": 4}], 2, "3 steps are missing"),
    ],
)
def test_a_file_that_cannot_be_replayed_is_refused_with_its_line(
    tmp_path: Path, lines: list[object], line: int, problem: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(
        b"".join((text if isinstance(text, bytes) else deep_dumps(text)) + b"\n" for text in lines)
    )
    with pytest.raises(ConfigurationError, match=problem) as caught:
        replay(path)
    assert f"{path}, line {line}: " in str(caught.value)


def deep_dumps(value: object) -> bytes:
    # orjson reads deeper than it writes.
    return repr(value).replace("'", '"').replace("None", "null").replace("True", "true").encode()


def test_a_missing_file_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replay(tmp_path / "a")


def test_a_difference_before_the_damage_is_found_first(tmp_path: Path) -> None:
    path = tmp_path / "a"
    rewrite(path, [HEADER, STEP, {"lost": 3}])
    report = replay(path)
    assert report.divergence is not None
    assert report.divergence.line == 2


@pytest.mark.parametrize("cut", [1, 30])
def test_a_last_line_cut_by_a_crash_is_told_and_the_rest_replays(tmp_path: Path, cut: int) -> None:
    path = record(tmp_path / "a", SPEAKING)
    whole = path.read_bytes()
    path.write_bytes(whole[: -1 - cut])
    report = replay(path)
    assert report.is_equal
    assert (report.steps, report.cut_line) == (4, 6)
    assert report.text().splitlines()[1].startswith("Line 6 was cut off")
    path.write_bytes(whole[:-1])  # only the line end is missing
    report = replay(path)
    assert (report.steps, report.cut_line) == (5, None)
