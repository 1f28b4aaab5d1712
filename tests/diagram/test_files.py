from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import pytest

from convsm.diagram import main, mermaid, stale, write
from convsm.diagram import turns as automaton
from convsm.diagram.files import BEGIN, END
from convsm.errors import ConfigurationError
from tests.diagram.helpers import DOOR, needs_graphviz

CHECKOUT = Path(__file__).parents[2]
GENERATED = [
    "diagrams/conversation.mmd",
    "diagrams/conversation.dot",
    "diagrams/matrix.md",
    "diagrams/conversation.svg",
]
TURNS = ["diagrams/turns.mmd", "diagrams/turns.dot", "diagrams/turns.md", "diagrams/turns.svg"]


def test_the_pictures_of_this_checkout_are_fresh():
    assert stale(CHECKOUT) == []
    assert stale(CHECKOUT, automaton.TURNS, "turns") == []


def test_the_readme_of_this_checkout_shows_the_diagram():
    readme = CHECKOUT / "README.md"
    if not readme.exists() or BEGIN not in readme.read_text(encoding="utf-8"):
        pytest.skip("README.md has no block for the diagram yet")

    assert f"{BEGIN}\n```mermaid\n{mermaid()}```\n{END}" in readme.read_text(encoding="utf-8")


def test_in_an_empty_directory_everything_is_stale(tmp_path):
    assert stale(tmp_path) == GENERATED
    assert list(tmp_path.iterdir()) == []


@needs_graphviz
def test_what_was_written_is_fresh_until_the_table_changes(tmp_path):
    write(tmp_path, DOOR)

    assert stale(tmp_path, DOOR) == []
    assert stale(tmp_path) == GENERATED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diagrams"]


@needs_graphviz
@pytest.mark.parametrize("name", GENERATED)
def test_a_file_that_was_edited_is_stale(tmp_path, name):
    write(tmp_path, DOOR)
    (tmp_path / name).write_text("edited", encoding="utf-8")

    assert stale(tmp_path, DOOR) == [name]


@needs_graphviz
def test_an_svg_of_another_graphviz_is_fresh(tmp_path):
    write(tmp_path, DOOR)
    picture = tmp_path / "diagrams" / "conversation.svg"
    picture.write_text(picture.read_text(encoding="utf-8").replace("Helvetica", "Arial"), encoding="utf-8")

    assert stale(tmp_path, DOOR) == []


@needs_graphviz
def test_only_the_block_of_the_readme_is_written(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter\n", encoding="utf-8")
    assert "README.md" in stale(tmp_path, DOOR)

    write(tmp_path, DOOR)

    assert readme.read_text(encoding="utf-8") == (
        f"# Before\n\n{BEGIN}\n```mermaid\n{mermaid(DOOR)}```\n{END}\n\nAfter\n"
    )
    assert stale(tmp_path, DOOR) == []


def test_a_readme_without_the_block_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("# No picture\n", encoding="utf-8")

    assert "README.md" not in stale(tmp_path)


@pytest.mark.parametrize("text", [BEGIN, END, f"{END}\n{BEGIN}"])
def test_half_a_block_is_an_error(tmp_path, text):
    (tmp_path / "README.md").write_text(text, encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"README\.md needs"):
        stale(tmp_path)


def test_check_names_what_is_stale_and_writes_nothing(tmp_path, capsys):
    assert main(["--check", str(tmp_path)]) == 1

    errors = capsys.readouterr().err
    assert [line.partition(" is stale")[0] for line in errors.splitlines()] == GENERATED + TURNS
    assert list(tmp_path.iterdir()) == []


@needs_graphviz
def test_check_passes_after_a_run(tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0

    assert capsys.readouterr() == ("", "")


def test_without_graphviz_nothing_is_written_and_the_error_is_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)

    assert main([str(tmp_path)]) == 2

    assert "apt install graphviz" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_it_runs_as_a_module(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["diagram", "--check", str(tmp_path)])

    with pytest.raises(SystemExit) as caught:
        runpy.run_module("convsm.diagram", run_name="__main__")

    assert caught.value.code == 1
    assert "conversation.svg is stale" in capsys.readouterr().err
