"""Both shells for the tests that ask for them: each runs once on threads and once on an event loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from convsm import Conversation
from convsm.testing import LoopbackAgent, OpenAILoopbackAgent
from tests.runtime import helpers
from tests.runtime.hosted import HOST, HostedConversation, ManualHostedConversation
from tests.runtime.protocols import ELEVENLABS, OPENAI, Protocol


@pytest.fixture(scope="session", autouse=True)
def loop_of_the_tests() -> None:
    """Have the loop before any test counts sockets."""
    HOST.begin()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shell" in metafunc.fixturenames:
        is_for_threads = metafunc.definition.get_closest_marker("threads_only") is not None
        metafunc.parametrize(
            "shell", ["threads"] if is_for_threads else ["threads", "asyncio"], indirect=True
        )


@pytest.fixture(params=[ELEVENLABS, OPENAI], ids=lambda protocol: protocol.name)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    """Run the test with servers of each protocol."""
    spoken: Protocol = request.param
    return spoken


@pytest.fixture
def shell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test in this shell."""
    if request.param == "asyncio":
        monkeypatch.setitem(helpers.SHELL, Conversation, HostedConversation)
        monkeypatch.setitem(helpers.SHELL, helpers.ManualConversation, ManualHostedConversation)
    return str(request.param)


@pytest.fixture
def agent(protocol: Protocol) -> Iterator[LoopbackAgent]:
    """A loopback agent of each protocol; a module that wants another one has its own."""
    with protocol.agent() as agent:
        yield agent


@pytest.fixture
def openai() -> Iterator[OpenAILoopbackAgent]:
    """A loopback agent of OpenAI Realtime."""
    with OpenAILoopbackAgent() as agent:
        yield agent
