from __future__ import annotations

import inspect
from itertools import pairwise

import pytest

from convsm import Conversation
from convsm.machine.effects import StateChanged
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    Interrupted,
    Pinged,
    SessionReady,
    TextPart,
    UserTranscript,
)
from convsm.machine.table import STATES
from convsm.protocols import messages
from convsm.protocols.messages import (
    AgentChatResponsePartType,
    AgentResponseCorrection,
    AudioEventAlignment,
)
from convsm.runtime.callbacks import MODES, STATUSES, observers
from convsm.runtime.stream import FrameReceived, FrameSent
from convsm.runtime.turn_setup import turn_observers


def told(name, subject):
    """What a callback is called with for an event or message."""
    calls: list[tuple[object, ...]] = []
    [(kind, [observer])] = observers({name: lambda *arguments: calls.append(arguments)}).items()
    assert kind is type(subject)
    assert observer.name == name
    observer.call(subject)
    return calls


TIMING = AudioEventAlignment(["a"], [0], [10])
INTERRUPTION = Interrupted(7, 7)
REPORTS = {
    "callback_error": messages.ServerError("error", "quota"),
    "callback_agent_tool_request": messages.AgentToolRequest("call_1", "timer"),
    "callback_agent_tool_response": messages.AgentToolResponse("call_1", "timer"),
    "callback_mcp_tool_call": messages.McpToolCall("call_1", "search"),
    "callback_mcp_connection_status": messages.McpConnectionStatus(),
    "callback_guardrail": messages.GuardrailTriggered("words"),
    "callback_context_usage": messages.ContextUsage("model", 10, 100),
    "callback_agent_typing": messages.AgentTyping(),
    "callback_metadata": messages.ResponseMetadata({"a": 1}),
}


@pytest.mark.parametrize(
    ("name", "subject", "calls"),
    [
        ("callback_agent_response", AgentResponse("Hi"), [("Hi",)]),
        ("callback_user_transcript", UserTranscript("Yes"), [("Yes",)]),
        ("callback_agent_response_correction", AgentResponseCorrection("Hello", "He"), [("Hello", "He")]),
        (
            "callback_agent_chat_response_part",
            TextPart("delta", "Hel"),
            [("Hel", AgentChatResponsePartType.DELTA)],
        ),
        ("callback_latency_measurement", Pinged(1, 42.0), [(42,)]),
        ("callback_latency_measurement", Pinged(1, 0), []),
        ("callback_latency_measurement", Pinged(1), []),
        ("callback_audio_alignment", AgentAudio(b"", 1, TIMING), [(TIMING,)]),
        ("callback_audio_alignment", AgentAudio(b"", 1), []),
        ("callback_connect", SessionReady("c", "pcm_24000", "ulaw_8000"), [("c", "pcm_24000", "ulaw_8000")]),
        ("callback_interruption", INTERRUPTION, [(INTERRUPTION,)]),
        ("callback_audio", AgentAudio(b"\1\2", 3), [(b"\1\2", 3)]),
        ("callback_audio", AgentAudio(b"", 3, TIMING), []),
        ("callback_tentative_transcript", messages.TentativeTranscript("wh"), [("wh",)]),
        ("callback_vad_score", messages.VadScore(0.25), [(0.25,)]),
        ("callback_vad_score", messages.VadScore(), []),
        (
            "callback_reasoning_part",
            messages.ReasoningPart("delta", "Hm"),
            [("Hm", AgentChatResponsePartType.DELTA)],
        ),
        ("callback_response_complete", messages.ResponseComplete(4), [(4,)]),
        ("callback_message_received", FrameReceived(b"{}"), [(b"{}",)]),
        ("callback_message_sent", FrameSent(b"{}"), [(b"{}",)]),
        *((name, report, [(report,)]) for name, report in REPORTS.items()),
    ],
)
def test_each_callback_gets_what_concerns_it(name, subject, calls):
    assert told(name, subject) == calls


def test_a_callback_that_was_not_given_is_not_called():
    assert observers({"callback_agent_response": None, "agent_id": None}) == {}


def test_the_status_is_told_when_it_changes_and_the_mode_too():
    statuses: list[str] = []
    modes: list[str] = []
    [[status, mode]] = observers({"callback_status": statuses.append, "callback_mode": modes.append}).values()
    path = ["idle", "connecting", "listening", "agent_speaking", "interrupted", "listening", "tool_running"]
    path += ["agent_speaking", "closing", "idle"]
    for source, target in pairwise(path):
        status.call(StateChanged(source, target, "Event", 0.0))
        mode.call(StateChanged(source, target, "Event", 0.0))
    assert statuses == ["connecting", "connected", "disconnecting", "disconnected"]
    assert modes == ["speaking", "listening", "speaking", "listening"]


def test_every_state_has_a_status_and_a_mode():
    assert list(STATUSES) == list(MODES) == [state.name for state in STATES]


def test_every_callback_of_the_constructor_is_called_for_something():
    names = [name for name in inspect.signature(Conversation).parameters if name.startswith("callback_")]
    given = dict.fromkeys(names, print)
    everybody = (*observers(given).values(), *turn_observers(given).values())
    called = {observer.name for several in everybody for observer in several}
    assert called == {*names} - {"callback_disconnect", "callback_end_session", "callback_mcp_approval"}
