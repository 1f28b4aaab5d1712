"""Random servers, users and programs against the driver with turn handling on: every invariant holds.

As in ``test_driver_properties``, on virtual time; beside what is there, local speech begins and ends, words
come, and the program takes turns by hand. Every commit is answered, and no report is older than its cause.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from convsm import RealtimeOptions, SessionOptions, TurnHandling, WordListClassifier
from convsm.machine.base import Event
from convsm.protocols.elevenlabs import ElevenLabsCodec
from convsm.protocols.openai_realtime import OpenAIRealtimeCodec
from convsm.runtime.openai import OpenAIRealtime
from convsm.runtime.wiring import TurnSetup
from convsm.turns import TurnServer
from convsm.turns.events import (
    CancelUserTurn,
    ClearUserTurn,
    InterruptAgent,
    MicrophoneMuted,
    MicrophoneUnmuted,
    SpeechEnded,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    StartUserTurn,
)
from tests.runtime.test_driver_properties import (
    METADATA,
    READY,
    SPEAKING,
    WAITING,
    AsyncDesk,
    Desk,
    ThreadlessDesk,
    elevenlabs_frames,
    openai_scripts,
    others,
)

Act = Callable[[Any], None]


class Turns:
    """What is said of a driver's turns, and what was promised."""

    commits: list[Any]

    def prepare(self) -> None:
        self.commits = []

    def begin(self: Any, what: Any) -> None:
        Desk.begin(self, ACTS.get(what, what) if isinstance(what, str) else what)

    def check_turns(self: Any) -> None:
        assert all(commit.done() for commit in self.commits)
        assert self.turns._commits == {}


class TurnDesk(Turns, ThreadlessDesk):
    """The threads' driver."""


class AsyncTurnDesk(Turns, AsyncDesk):
    """The loop's driver, with an interface that pauses."""


def posted(make: Callable[[float], Event]) -> Act:
    return lambda desk: desk._inbox.post(make(desk.clockwork.clock()))


def commit(seconds: float, skips: bool) -> Act:
    def act(desk: Any) -> None:
        future: concurrent.futures.Future[str] = concurrent.futures.Future()
        desk.commits.append(future)
        desk.commit(future, seconds, 0.4, skips)

    return act


ACTS: dict[str, Act] = {
    "speech started": posted(lambda now: SpeechStarted(now - 0.05)),
    "speech paused": posted(SpeechPaused),
    "speech resumed": posted(SpeechResumed),
    "speech ended": posted(lambda now: SpeechEnded(now - 0.25)),
    "start turn": lambda desk: desk.command(StartUserTurn()),
    "clear turn": lambda desk: desk.command(ClearUserTurn()),
    "cancel turn": lambda desk: desk.command(CancelUserTurn()),
    "force": lambda desk: desk.command(InterruptAgent(True)),
    "mute": posted(lambda _: MicrophoneMuted()),
    "unmute": posted(lambda _: MicrophoneUnmuted()),
    "commit": commit(0.5, False),
    "commit without a reply": commit(2.0, True),
}
# Speech that is long enough comes more often than all else by hand.
acts = st.one_of(
    st.sampled_from(list(ACTS)[:4]), st.sampled_from(list(ACTS)), st.sampled_from([150, 300, 2500])
)


@st.composite
def handlings(draw: st.DrawFn, detections: tuple[str, ...]) -> TurnHandling:
    return TurnHandling.of(
        {
            "turn_detection": draw(st.sampled_from(detections)),
            "interruption": {
                "enabled": draw(st.sampled_from([True, True, True, False])),
                "min_duration": draw(st.sampled_from([0.0, 0.1])),
                "false_interruption_timeout": draw(st.sampled_from([0.3, 2.0, None])),
                "resume_false_interruption": draw(st.sampled_from([True, True, False])),
            },
            "aec_warmup_duration": None,
            "user_turn_limit": {"max_duration": draw(st.sampled_from([None, 1.0]))},
        }
    )


def setup(handling: TurnHandling, server: TurnServer) -> TurnSetup:
    return TurnSetup(handling, server, WordListClassifier())


def openai(handling: TurnHandling) -> tuple[OpenAIRealtimeCodec, TurnServer]:
    opening = OpenAIRealtime(RealtimeOptions()).opening(True, True).with_turns(handling)
    return opening.codec(), opening.turn_server()


def begin(desk: Any) -> Any:
    desk.prepare()
    return desk


@settings(max_examples=300, deadline=None)
@given(openai_scripts(SPEAKING, acts), handlings(("server", "vad", "stt", "manual")))
def test_with_openai_every_invariant_holds_on_threads(script, handling):
    codec, server = openai(handling)
    desk = begin(TurnDesk(codec, SessionOptions(asks_replies=True), setup(handling, server)))
    desk.do(*READY, *script)
    desk.finish()
    desk.check_turns()


@settings(max_examples=300, deadline=None)
@given(
    openai_scripts(WAITING, st.one_of(acts, acts, st.sampled_from(["slow", "quick"]))),
    handlings(("server", "vad", "stt", "manual")),
)
def test_with_openai_every_invariant_holds_on_a_loop_with_an_interface_that_pauses(script, handling):
    async def main() -> None:
        codec, server = openai(handling)
        desk = begin(AsyncTurnDesk(codec, SessionOptions(asks_replies=True), setup(handling, server)))
        await desk.do(*READY, *script)
        await desk.finish()
        desk.check_turns()

    asyncio.run(main())


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(elevenlabs_frames, elevenlabs_frames, acts, acts, others), max_size=40),
    handlings(("server", "manual")),
)
def test_with_elevenlabs_every_invariant_holds_on_threads(script, handling):
    desk = begin(TurnDesk(ElevenLabsCodec(), SessionOptions(), setup(handling, TurnServer())))
    desk.do(METADATA, *script)
    desk.finish()
    desk.check_turns()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(elevenlabs_frames, elevenlabs_frames, acts, acts, others), max_size=40),
    handlings(("server", "manual")),
)
def test_with_elevenlabs_every_invariant_holds_on_a_loop_with_an_interface_that_pauses(script, handling):
    async def main() -> None:
        desk: Desk = begin(AsyncTurnDesk(ElevenLabsCodec(), SessionOptions(), setup(handling, TurnServer())))
        await desk.do(METADATA, *script)  # type: ignore[attr-defined]
        await desk.finish()  # type: ignore[attr-defined]
        desk.check_turns()  # type: ignore[attr-defined]

    asyncio.run(main())
