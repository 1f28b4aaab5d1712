"""Conversations to record, written down and random, and a driver that does nothing but record them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import orjson
from hypothesis import strategies as st

from convsm.errors import RefusedCommand
from convsm.machine import Session, SessionOptions
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
    Interrupt,
    Interrupted,
    InterruptionDismissed,
    InterruptionSuspected,
    Malformed,
    Pinged,
    Played,
    ResponseEnded,
    ResponseRefused,
    ResponseStarted,
    Send,
    SessionFailed,
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
from convsm.recording import Recorder

PATIENCE = 10.0  # seconds after which a test gives up; none waits for them when all is well


def feed(recorder: Recorder, events: Sequence[Event], session: Session) -> None:
    for event in events:
        try:
            effects = session.handle(event)
        except RefusedCommand:
            recorder.refused(event)
        else:
            recorder.step(event, effects)


def record(
    path: Path,
    *sessions: Sequence[Event],
    options: SessionOptions | None = None,
    include_audio: bool = False,
    header: Mapping[str, object] | None = None,
) -> Path:
    options = options or SessionOptions()
    with Recorder(str(path), options, include_audio=include_audio, header=header) as recorder:
        for events in sessions:
            recorder.begin(options)
            feed(recorder, events, Session(options))
        recorder.close(PATIENCE)
    return path


def read(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def rewrite(path: Path, lines: Sequence[object]) -> None:
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def stamped(*events: Event) -> tuple[Event, ...]:
    return tuple(attrs.evolve(event, at=number / 4) for number, event in enumerate(events))


OPENED = (Start(), SocketOpened(), SessionReady("conversation_1"))
SPEAKING = (*OPENED, AudioStarted(), AgentAudio(b"\1\0" * 160, 1))


@attrs.frozen
class Message:
    type: str
    text: str = "hello"
    key: str = attrs.field(default="secret-1", repr=False)


# Random conversations

turns = st.integers(1, 3)
call_ids = st.sampled_from(["call_1", "call_2", "\ud800"])
times = st.floats(0, 1e6) | st.sampled_from([float("nan"), float("inf")])
payloads = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(st.characters(codec=None), max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=10,
)
any_event = st.one_of(
    st.builds(Start, at=times),
    st.builds(Send, payloads, st.sampled_from(["message", "turn", "request"])),
    st.builds(End),
    st.builds(SocketOpened),
    st.builds(ConnectionFailed, st.just("refused"), st.sampled_from([None, 401])),
    st.builds(SocketClosed, st.sampled_from([1000, 1006, 1008])),
    st.builds(SessionReady, st.just("conversation_1"), at=times),
    st.builds(Pinged, st.integers(), times),
    st.builds(
        AgentAudio, st.binary(max_size=4), turns, payloads, item=st.sampled_from([None, "item_1", "item_2"])
    ),
    st.builds(AgentResponse, st.text(max_size=5), turns),
    st.builds(TextPart, st.sampled_from(["start", "delta", "stop"]), turn=turns),
    st.builds(UserTranscript, st.text(max_size=5)),
    st.builds(Interrupted, turns, turns, st.booleans()),
    st.builds(Interrupt),
    st.builds(ResponseStarted, turns),
    st.builds(ResponseEnded, turns),
    st.builds(ResponseRefused, st.booleans()),
    st.builds(SessionFailed, st.just("expired")),
    st.builds(
        ToolCalled, call_ids, st.just("tool"), st.dictionaries(st.text(max_size=3), payloads), st.booleans()
    ),
    st.builds(AnswerCall, call_ids, st.text(max_size=5)),
    st.builds(ApprovalAsked, call_ids, payloads, times),
    st.builds(ApprovalWithdrawn, call_ids),
    st.builds(ApprovalDecided, call_ids, st.booleans()),
    st.builds(DecideApproval, call_ids, st.booleans()),
    st.builds(AgentHungUp),
    st.builds(Informed, payloads),
    st.builds(Malformed, st.just("audio"), st.just("event_id"), st.just("missing")),
    st.builds(AudioStarted),
    st.builds(AudioStopped),
    st.builds(AudioFailed, st.just("unplugged")),
    st.builds(InterruptionSuspected),
    st.builds(InterruptionDismissed),
    st.builds(Played, st.integers(0, 4), st.integers(0, 4)),
    st.builds(UserAudio, st.binary(max_size=4)),
    st.builds(ToolCompleted, call_ids, st.text(max_size=5)),
    st.builds(
        TimerFired, st.sampled_from(["ready", "settle", "hang_up", "drain", "close"]), st.integers(1, 6)
    ),
)
# Half of them begin with an accepted session, or few would get that far.
conversations = st.tuples(st.sampled_from([(), OPENED, SPEAKING]), st.lists(any_event, max_size=20)).map(
    lambda parts: (*parts[0], *parts[1])
)
some_options = st.builds(
    SessionOptions,
    text_only=st.booleans(),
    asks_replies=st.booleans(),
    needs_audio=st.booleans(),
    settle_seconds=st.sampled_from([2.0, float("inf")]),
    hold_limit=st.integers(0, 2),
)
