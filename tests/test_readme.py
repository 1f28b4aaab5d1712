"""The README's examples, run as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent.joinpath("README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
TITLES = (
    "a conversation",
    "on an event loop",
    "OpenAI Realtime",
    "tools",
    "turns by hand",
    "embedding the session",
    "exporting a diagram",
    "a property test",
)


def test_the_readme_has_an_example_for_each_use():
    assert len(EXAMPLES) == len(TITLES)


@pytest.mark.parametrize("example", EXAMPLES, ids=TITLES[: len(EXAMPLES)])
def test_an_example_runs_as_printed(example, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_the_conversation_fits_into_fifteen_lines_beside_its_imports():
    statements = [line for line in EXAMPLES[0].splitlines() if line and not line.startswith("from ")]
    assert len(statements) <= 15


def test_the_test_command_is_what_continuous_integration_runs():
    ci = Path(__file__).parent.parent.joinpath(".ci", "run").read_text(encoding="utf-8")
    assert "```sh\ntests/run\n```" in README
    assert ci.rstrip().endswith("\ntests/run")


def test_every_required_dependency_is_explained():
    project = Path(__file__).parent.parent.joinpath("pyproject.toml").read_text(encoding="utf-8")
    required = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert required is not None
    names = re.findall(r'"([a-z0-9-]+)', required[1])
    assert names == sorted(names)
    assert all(re.search(rf"^\| {name} \| \w", README, re.MULTILINE) for name in names)
