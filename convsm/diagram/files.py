"""The generated files of a checkout: written, or compared with what they should be."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from convsm.diagram.graphviz import dot, fingerprint, svg
from convsm.diagram.matrix import matrix
from convsm.diagram.mermaid import mermaid
from convsm.diagram.model import CONVERSATION, Automaton
from convsm.diagram.turns import TURNS
from convsm.errors import ConfigurationError, ConvsmError

__all__ = ["BEGIN", "END", "main", "stale", "write"]

BEGIN = "<!-- convsm:diagram -->"
END = "<!-- /convsm:diagram -->"

_README = Path("README.md")
_PICTURES = {"conversation": CONVERSATION, "turns": TURNS}


def write(root: Path, automaton: Automaton = CONVERSATION, name: str = "conversation") -> None:
    """Write the pictures and the matrix below ``root``, and for the conversation the README's block.

    A README without the block's markers is left alone, and none is created.

    Args:
        root: The checkout.
        automaton: What to draw.
        name: What its files are called.

    Raises:
        ConfigurationError: Graphviz is missing, or the README has one marker without the other.
        OSError: A file could not be written.
    """
    # All are made before the first is written, so that a failure leaves no mixture of old and new.
    texts = {**_texts(automaton, name), _svg(name): svg(automaton)}
    readme = _with_block(root / _README, automaton) if name == "conversation" else None
    if readme is not None:
        texts[_README] = readme
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8", newline="\n")


def stale(root: Path, automaton: Automaton = CONVERSATION, name: str = "conversation") -> list[str]:
    """Return the names of the files below ``root`` that differ from the table; write nothing.

    An SVG depends on the version of Graphviz, so it counts as fresh when it was made of the same
    dot source.

    Args:
        root: The checkout.
        automaton: What is drawn.
        name: What its files are called.

    Raises:
        ConfigurationError: The README has one marker without the other.
    """
    expected = {path: text == _read(root / path) for path, text in _texts(automaton, name).items()}
    expected[_svg(name)] = fingerprint(dot(automaton)) in (_read(root / _svg(name)) or "")
    readme = _with_block(root / _README, automaton) if name == "conversation" else None
    if readme is not None:
        expected[_README] = readme == _read(root / _README)
    return [path.as_posix() for path, is_fresh in expected.items() if not is_fresh]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m convsm.diagram [--check] [ROOT]`` and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m convsm.diagram", description="Write the generated pictures and documents."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    parser.add_argument("root", nargs="?", default=".", type=Path, help="the checkout (default: here)")
    options = parser.parse_args(arguments)
    try:
        if not options.check:
            for name, automaton in _PICTURES.items():
                write(options.root, automaton, name)
            return 0
        found = [
            path for name, automaton in _PICTURES.items() for path in stale(options.root, automaton, name)
        ]
    except (ConvsmError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for path in found:
        print(f"{path} is stale; run `python -m convsm.diagram`", file=sys.stderr)
    return 1 if found else 0


def _texts(automaton: Automaton, name: str) -> dict[Path, str]:
    return {
        Path("diagrams", f"{name}.mmd"): mermaid(automaton),
        Path("diagrams", f"{name}.dot"): dot(automaton),
        Path("diagrams", "matrix.md" if name == "conversation" else f"{name}.md"): matrix(automaton),
    }


def _svg(name: str) -> Path:
    return Path("diagrams", f"{name}.svg")


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _with_block(path: Path, automaton: Automaton) -> str | None:
    text = _read(path)
    if text is None or (BEGIN not in text and END not in text):
        return None
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ConfigurationError(f"{path.name} needs the line {BEGIN} and, behind it, the line {END}")
    return f"{before}{BEGIN}\n```mermaid\n{mermaid(automaton)}```\n{END}{after}"
