"""Options, fixtures and the Hypothesis profile of the whole suite."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Their asserts are the tests' own.
pytest.register_assert_rewrite("tests.helpers", "tests.testing.recorded_steps", "tests.audio.sound_card")

# Here and nowhere else: whoever has the card keeps it for the whole run, and would wait for itself.
from tests.audio.sound_card import _sound_card_of_this_run, sound_card  # noqa: E402

__all__ = ["_sound_card_of_this_run", "sound_card"]

# A busy machine is slow, not wrong.
# A run that decides whether work lands is repeatable; the others search for what nobody thought of.
settings.register_profile("convsm", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
settings.load_profile("convsm")

DEFAULT_SEQUENCES = 10_000
LONG_SEQUENCES = 200_000

# Modules that take all steps there are, or very many at random.
SEARCHING = ("test_exhaustive", "test_properties", "test_differential", "test_turn_properties")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("convsm")
    group.addoption(
        "--long",
        action="store_true",
        help=f"run {LONG_SEQUENCES:,} random sequences, not {DEFAULT_SEQUENCES:,}, and tests marked long",
    )
    group.addoption(
        "--seed", type=int, default=0, help="first seed of the random sequences; a failure names its own"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes minutes; runs with --long only")
    config.addinivalue_line("markers", "threads_only: about threads, so the asyncio shell is left out")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --long"))


@pytest.fixture
def untraced() -> Iterator[None]:
    """Run without the tracer of the coverage, which makes a step cost four times as much.

    For tests that take a million steps; other tests go through the same lines. Those of the modules
    named in SEARCHING are always run so.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


@pytest.fixture(autouse=True)
def _searches_are_untraced(request: pytest.FixtureRequest) -> None:
    if request.path.stem in SEARCHING:
        request.getfixturevalue("untraced")


@pytest.fixture
def volume(request: pytest.FixtureRequest) -> int:
    """How many random sequences the tests that share this volume run altogether."""
    return LONG_SEQUENCES if request.config.getoption("--long") else DEFAULT_SEQUENCES


@pytest.fixture
def first_seed(request: pytest.FixtureRequest) -> int:
    """The seed of the first random sequence; the others count up from it."""
    seed: int = request.config.getoption("--seed")
    return seed
