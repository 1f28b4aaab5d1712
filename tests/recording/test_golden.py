"""Golden recordings: what the format looks like, and that it can still be read.

``python -m tests.recording.test_golden`` makes them anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from convsm.machine import SessionOptions
from convsm.machine.events import (
    AgentAudio,
    AgentHungUp,
    AgentResponse,
    AnswerCall,
    ApprovalAsked,
    ApprovalDecided,
    ApprovalWithdrawn,
    AudioFailed,
    AudioStarted,
    AudioStopped,
    ConnectionFailed,
    DecideApproval,
    End,
    Event,
    Informed,
    Interrupted,
    Malformed,
    Pinged,
    Played,
    Send,
    SessionReady,
    SocketClosed,
    SocketOpened,
    Start,
    TextPart,
    TimerFired,
    ToolCalled,
    ToolCompleted,
    UserAudio,
    UserTranscript,
)
from convsm.recording import replay
from tests.recording.conversations import OPENED, read, record, stamped

GOLDEN = Path(__file__).parent.parent / "recordings"

CONVERSATIONS: dict[str, tuple[SessionOptions, tuple[tuple[Event, ...], ...]]] = {
    "conversation": (
        SessionOptions(),
        (
            stamped(
                Start(),
                SocketOpened(),
                Send({"text": "held until the server accepts"}),
                SessionReady("conversation_1"),
                AudioStarted(),
                UserAudio(bytes(320)),
                AgentAudio(b"\1\0" * 160, 1),
                Pinged(7, 21.5),
                AgentAudio(b"\2\0" * 160, 1, {"chars": ["H", "i"]}),
                AgentResponse("Hello! How can I help?", 1),
                Played(1),
                Interrupted(1, 2),
                AgentAudio(b"\3\0" * 160, 1),
                UserTranscript("Where is my parcel?", 2),
                ToolCalled("call_1", "find_parcel", {"number": "42"}),
                Malformed("audio", "event_id", "missing"),
                ToolCompleted("call_1", "in the van"),
                AgentAudio(b"\4\0" * 160, 3),
                AgentHungUp(),
                SocketClosed(1000, "done"),
                Played(3),
                AudioStopped(),
            ),
        ),
    ),
    "text_only": (
        SessionOptions(text_only=True),
        (
            stamped(
                Start(),
                SocketOpened(),
                SessionReady("conversation_1"),
                TextPart("start", turn=1),
                TextPart("delta", "Hé", 1),
                TextPart("stop", turn=1),
                Informed({"score": float("nan"), "lone": "\ud800", "large": 2**70}),
                End(),
                SocketClosed(1000),
            ),
        ),
    ),
    "calls": (
        SessionOptions(text_only=True),
        (
            stamped(
                Start(),
                SocketOpened(),
                SessionReady("conversation_1"),
                ToolCalled("call_1", "find_parcel", {"number": "42"}),
                AnswerCall("call_1", "in the van"),
                ToolCompleted("call_1", "too late"),
                AnswerCall("call_1", "again"),
                ApprovalAsked("call_2", {"name": "book"}, 30.0),
                ApprovalDecided("call_2", True),
                ApprovalAsked("call_3", {"name": "pay"}),
                DecideApproval("call_3", False),
                ApprovalAsked("call_4", {"name": "look"}),
                ApprovalWithdrawn("call_4"),
                ApprovalAsked("call_5", {"name": "wait"}, 0.5),
                TimerFired("approval call_5", 5),
                ApprovalAsked("call_6", {"name": "last"}),
                End(),
                SocketClosed(1000),
            ),
        ),
    ),
    "two_sessions": (
        SessionOptions(needs_audio=False),
        (
            stamped(Send("too early"), Start(), ConnectionFailed("HTTP 401", 401), TimerFired("close", 2)),
            stamped(*OPENED, AudioFailed("no sound card"), SocketClosed(), TimerFired("close", 2)),
        ),
    ),
}


def make_golden(name: str, path: Path) -> None:
    options, sessions = CONVERSATIONS[name]
    record(path, *sessions, options=options, header={"protocol": "none"})


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_golden_recording_replays_clean_and_is_what_is_written_today(tmp_path: Path, name: str) -> None:
    golden = GOLDEN / f"{name}.jsonl"
    report = replay(golden)
    assert report.is_equal, report.text()
    assert report.steps == sum(map(len, CONVERSATIONS[name][1]))
    make_golden(name, tmp_path / "a")
    written, kept = read(tmp_path / "a"), read(golden)
    for line in (*written, *kept):
        line.pop("convsm", None)  # the version may differ, nothing else
    assert written == kept, "stale? look at the difference, then: python -m tests.recording.test_golden"


def test_a_golden_conversation_goes_the_whole_way() -> None:
    states = {
        effect["target"]
        for line in read(GOLDEN / "conversation.jsonl")
        for effect in line.get("effects", ())  # type: ignore[attr-defined]
        if effect["type"] == "StateChanged"
    }
    assert len(states) == 7


if __name__ == "__main__":
    for each in CONVERSATIONS:
        make_golden(each, GOLDEN / f"{each}.jsonl")
        (GOLDEN / f"{each}.jsonl").chmod(0o644)  # these are no secret
