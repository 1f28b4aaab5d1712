"""Random servers of both protocols against the driver itself, on virtual time: every invariant holds.

Socket, callbacks and tools are the test's, so that nothing takes time by itself; session, codec, inbox,
audio port and the reckoning of playout are the real ones.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import contextvars
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from convsm import (
    AsyncReportingAudioInterface,
    AudioInterface,
    ConvsmError,
    RealtimeOptions,
    ServerVad,
    SessionOptions,
)
from convsm.machine import Session
from convsm.machine.effects import Effect, Play, RequestReply, RunTool, StartAudio
from convsm.machine.events import (
    AudioStarted,
    AudioStopped,
    Event,
    SocketClosed,
    SocketOpened,
    ToolCompleted,
    UserAudio,
)
from convsm.protocols.codec import Codec
from convsm.protocols.elevenlabs import ElevenLabsCodec
from convsm.protocols.messages import ContextualUpdate, UserMessage
from convsm.protocols.openai_realtime import OpenAIRealtimeCodec
from convsm.runtime.async_audio_port import AsyncAudioPort
from convsm.runtime.async_driver import AsyncDriver
from convsm.runtime.async_inbox import AsyncInbox
from convsm.runtime.audio_port import AudioPort
from convsm.runtime.driver import Driver
from convsm.runtime.mailbox import Mailbox
from convsm.runtime.threaded_driver import ThreadedDriver
from convsm.runtime.tools import ClientTools
from convsm.runtime.wiring import TurnSetup, Wiring
from convsm.testing.clock import ManualTimers
from convsm.testing.invariants import InvariantChecker
from convsm.transport.options import TransportOptions
from tests.protocols.test_openai_playout import USER_SPEAKS, begin, end, speech
from tests.protocols.test_openai_properties import tool
from tests.runtime.hosted import settled

RATE = 24000


class Flag:
    def __init__(self) -> None:
        self.is_there = False

    def set(self) -> None:
        self.is_there = True

    def is_set(self) -> bool:
        return self.is_there


class Line:
    """The socket: it keeps what is sent and what was heard by then, and does at once what it is asked."""

    has_room = True

    def __init__(self, post: Callable[[Event], None], heard: Callable[[], dict[str, float]]) -> None:
        self.post = post
        self.heard = heard
        self.sent: list[tuple[dict[str, Any], dict[str, float]]] = []
        self.is_open = False

    def open(self) -> None:
        self.is_open = True
        self.post(SocketOpened())

    def send(self, message: bytes) -> None:
        assert self.is_open
        self.sent.append((json.loads(message), self.heard()))

    def send_audio(self, message: bytes, seconds: float) -> None:
        self.send(message)

    def close(self, code: int) -> None:
        self.hang_up(code)

    def drop(self) -> None:
        self.hang_up(1006)

    def hang_up(self, code: int) -> None:
        if self.is_open:
            self.is_open = False
            self.post(SocketClosed(code))


class Tools:
    """Tools that run until the test lets them complete."""

    def __init__(self) -> None:
        self.running: list[str] = []

    def run(self, call: RunTool) -> None:
        self.running.append(call.call_id)

    def cancel(self, call_id: str) -> None:
        self.running.remove(call_id)

    def release(self, call_id: str) -> None: ...

    def ask(self, request: object) -> None: ...

    def withdraw(self, call_id: str) -> None: ...

    def consult(self, call: object) -> None: ...

    def close(self) -> None: ...


class Silence:
    """Callbacks, of which there are none."""

    def notify(self, name: str, callback: Callable[..., object], *arguments: Any) -> None: ...

    def close(self, last: object = ()) -> None: ...


class Port(AudioPort):
    """The audio port without its worker: the interface opens and closes at once."""

    def start(self, effect: StartAudio) -> None:
        self._reckoning.format = attrs.evolve(
            self._reckoning.format, name=effect.output_format, rate=int(effect.output_format[4:])
        )
        self._post(AudioStarted())

    def stop(self) -> None:
        self._post(AudioStopped())


@attrs.define
class Loudspeaker:
    """Plays in virtual time and knows of which item each sample was.

    Attributes:
        clock: Virtual seconds.
        rate: Samples a second.
        item: The item whose audio comes now.
        queue: Number, item and bytes of what was not heard.
        heard: Bytes heard of each item.
        through: Number of the last piece that was heard whole.
        is_paused: Whether it keeps what it has.
    """

    clock: Callable[[], float]
    rate: int
    item: str = ""
    queue: list[list[Any]] = attrs.field(factory=list)
    heard: dict[str, float] = attrs.field(factory=dict)
    through: int = 0
    at: float = 0.0
    is_paused: bool = False

    def append(self, number: int, item: str, size: int) -> None:
        self.play()
        self.queue.append([number, item, size])

    def silence(self) -> None:
        self.play()
        self.queue.clear()
        self.is_paused = False

    def heard_by_now(self) -> dict[str, float]:
        """Return the bytes heard of each item."""
        self.play()
        return dict(self.heard)

    def play(self) -> None:
        """Play what was to be heard by now."""
        left = (self.clock() - self.at) * self.rate * 2
        self.at = self.clock()
        if self.is_paused:
            return
        while self.queue and left > 0:
            number, item, size = self.queue[0]
            part = min(left, size)
            self.heard[item] = self.heard.get(item, 0) + part
            left -= part
            self.queue[0][2] -= part
            if self.queue[0][2] < 1e-6:
                self.queue.pop(0)
                self.through = number


class PlainInterface(AudioInterface):
    """The loudspeaker behind an interface that reports nothing."""

    def __init__(self, loudspeaker: Loudspeaker) -> None:
        self.loudspeaker = loudspeaker

    def start(self, input_callback: object) -> None: ...

    def stop(self) -> None: ...

    def output(self, audio: bytes) -> None:
        self.loudspeaker.append(0, self.loudspeaker.item, len(audio))

    def interrupt(self) -> None:
        self.loudspeaker.silence()


class SlowInterface(AsyncReportingAudioInterface):
    """The loudspeaker behind one that reports and can pause, and takes nothing while it is slow."""

    def __init__(self, loudspeaker: Loudspeaker) -> None:
        self.loudspeaker = loudspeaker
        self.items: dict[int, str] = {}
        self.listener: Any = None
        self.is_taking = asyncio.Event()
        self.is_taking.set()

    def configure(self, output_format: object, input_format: object, listener: Any) -> None:
        self.listener = listener

    async def start(self, input_callback: object) -> None: ...

    async def stop(self) -> None: ...

    async def play(self, number: int, audio: bytes) -> None:
        await self.is_taking.wait()
        self.loudspeaker.append(number, self.items[number], len(audio))

    async def interrupt(self) -> None:
        self.loudspeaker.silence()

    def pause(self) -> None:
        self.loudspeaker.play()
        self.loudspeaker.is_paused = True

    def resume(self) -> None:
        self.loudspeaker.play()
        self.loudspeaker.is_paused = False

    @property
    def position(self) -> int:
        self.loudspeaker.play()
        return math.floor(sum(self.loudspeaker.heard.values()) / 2 + 1e-6)

    def take(self, is_taking: bool) -> None:
        (self.is_taking.set if is_taking else self.is_taking.clear)()

    def report(self) -> None:
        self.loudspeaker.play()
        if self.listener is not None:
            self.listener.played(self.loudspeaker.through)


class NotingPort(AsyncAudioPort):
    """The port that also tells the interface of which item a piece is."""

    def play(self, effect: Play) -> None:
        assert isinstance(self._interface, SlowInterface)
        self._interface.items[effect.number] = self._interface.loudspeaker.item
        super().play(effect)


@attrs.define(slots=False)
class Checked:
    """A session whose every step is checked; what is wrong is kept, for the inbox outlives it."""

    session: Session
    checker: InvariantChecker = attrs.field(factory=InvariantChecker)
    wrong: list[AssertionError] = attrs.field(factory=list)

    def handle(self, event: Event) -> tuple[Effect, ...]:
        try:
            return self.checker.handle(self.session, event)
        except AssertionError as error:
            self.wrong.append(error)
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


class Desk(Driver):
    """A driver whose surroundings are the test's, whatever its shell."""

    loudspeaker: Loudspeaker

    def __init__(self, codec: Codec, options: SessionOptions, turns: TurnSetup | None = None) -> None:
        self.complaints: list[str] = []
        super().__init__(
            Wiring(
                options=options,
                codec=codec,
                resolve_url=lambda: "",
                transport=TransportOptions(),
                audio=None,
                tools=ClientTools(),
                observers={},
                streams=(),
                on_end=(),
                open_recorder=None,
                turns=turns,
            ),
        )
        self.line: Any = self.transport
        self.start()

    def _make_common_parts(self, timers: Any) -> None:
        self.session: Any = Checked(self.session)
        self.is_ready, self.is_over = Flag(), Flag()
        self.timers = self.clockwork = timers
        self._notifier, self._tools = Silence(), Tools()
        self.transport = Line(lambda event: self._inbox.post(event), lambda: self.loudspeaker.heard_by_now())
        self.calls: list[str] = self._tools.running

    def take_work(self) -> None:
        """Take what nobody was there to take."""

    def begin(self, what: Any) -> None:
        """Let a server, a user, time or a tool do something."""
        self.loudspeaker.play()
        self.before = len(self.line.sent)
        if isinstance(what, dict):
            if self.line.is_open:
                self.loudspeaker.item = what.get("item_id", "")
                for event in self._decode(json.dumps(what)):
                    self._inbox.post(event)
        elif isinstance(what, int):
            self.clockwork.advance(what / 1000)
        elif what == "answer":
            for call_id in self.calls[:1]:
                self.calls.remove(call_id)
                self._inbox.post(ToolCompleted(call_id, "done"))
        elif what == "speak":
            self._inbox.post(UserAudio(bytes(320)))
        elif callable(what):
            with contextlib.suppress(ConvsmError):
                what(self)
        else:
            with contextlib.suppress(ConvsmError):
                self.interrupt() if what == "interrupt" else self.send(what)
        self.take_work()

    def check(self) -> None:
        """Check what became of it."""
        assert not self.session.wrong, self.session.wrong
        assert self.complaints == []
        for message, heard in self.line.sent[self.before :]:
            check_heard(message, heard)

    def check_end(self) -> None:
        """Check that nothing is left."""
        self.check()
        assert self.ending is not None
        assert self.session.state == "idle"
        assert self.is_ready.is_set()
        assert self.is_over.is_set()


class ThreadlessDesk(Desk, ThreadedDriver):
    """The threads' driver without threads."""

    def _make_parts(self, wiring: Wiring) -> None:
        timers = ManualTimers(lambda: self._inbox.drain())
        self._make_common_parts(timers)
        self._inbox = Mailbox(self._take, timers.clock, timers.wake, self.complaints.append)
        self.loudspeaker = Loudspeaker(timers.clock, RATE if wiring.options.asks_replies else 16000)
        post, aside = self._inbox.post, self._inbox.post_aside
        self._audio = Port(PlainInterface(self.loudspeaker), post, aside, self.timers)

    def take_work(self) -> None:
        self._inbox.drain()

    def do(self, *script: Any) -> None:
        for what in script:
            self.begin(what)
            self.check()

    def finish(self) -> None:
        """End the session, and let all the time pass that it may wait."""
        self.end()
        self.clockwork.advance(100)
        self.check_end()


class AsyncDesk(Desk, AsyncDriver):
    """The loop's driver; its interface reports, and may be slow to take what it is given."""

    def _make_parts(self, wiring: Wiring) -> None:
        timers = ManualTimers()
        self._make_common_parts(timers)
        self._context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        self._inbox = AsyncInbox(self._take, timers.clock, self.complaints.append, loop)
        self.loudspeaker = Loudspeaker(timers.clock, RATE if wiring.options.asks_replies else 16000)
        self.interface = SlowInterface(self.loudspeaker)
        self._audio = NotingPort(self.interface, self._inbox.post, self.timers)

    async def do(self, *script: Any) -> None:
        for what in script:
            if what in ("slow", "quick"):
                self.interface.take(what == "quick")
                await settled()
                continue
            self.begin(what)
            await settled()
            self.interface.report()
            await settled()
            self.check()

    async def finish(self) -> None:
        """End the session, and let all the time pass that it may wait."""
        self.end()
        await settled()
        self.clockwork.advance(100)
        await settled()
        self.check_end()


def check_heard(message: dict[str, Any], heard: dict[str, float]) -> None:
    """What the server is told of an item is what the loudspeaker played of it, to the millisecond."""
    milliseconds = heard.get(message.get("item_id", ""), 0) * 1000 / (2 * RATE)
    # Rounded down; and a piece may end within a sample.
    if message.get("type") == "conversation.item.truncate":
        assert milliseconds - 1.1 <= message["audio_end_ms"] <= milliseconds + 0.1
    elif message.get("type") == "conversation.item.delete":
        assert milliseconds < 1.1


sends = st.sampled_from([UserMessage("Hi"), ContextualUpdate("It rains."), RequestReply()])
others = st.one_of(st.integers(0, 400), sends, st.sampled_from(["interrupt", "answer", "speak", "answer"]))


# What was cut, and what is spoken behind that; the same while the interface takes nothing.
CUT = (begin(1), speech(1, 9600), speech(1, 9600), 100, USER_SPEAKS, end(1, "cancelled"), begin(2))
SPEAKING = (*CUT, speech(2, 9600), 50)
WAITING = ("slow", *CUT, "quick", speech(2, 9600), 50)


# OpenAI: a server that generates one response at a time, and in it one item behind the other.


@st.composite
def openai_scripts(
    draw: st.DrawFn, start: Sequence[Any] = SPEAKING, more: st.SearchStrategy[Any] = others
) -> list[Any]:
    # Half of the scripts begin with speech, or few would get that far.
    script = [*start] if draw(st.booleans()) else []
    number, item, is_running = 2 if script else 0, 0, bool(script)
    for _ in range(draw(st.integers(0, 40))):
        kind = draw(st.sampled_from(["response", "audio", "audio", "audio", "cut", "tool", "other", "other"]))
        if kind == "response":
            if is_running:
                script.append(end(number, draw(st.sampled_from(["completed", "cancelled", "failed"]))))
            else:
                number += 1
                script.append(begin(number))
            is_running = not is_running
        elif kind == "audio" and is_running:
            item += draw(st.sampled_from([0, 0, 1]))
            size = draw(st.sampled_from([1, 2, 480, 4801, 9600]))
            script.append(speech(number, size, f"item_{number}_{item}"))
        elif kind == "cut":
            script.append(USER_SPEAKS)
        elif kind == "tool" and number:
            script.append(tool(number, draw(st.sampled_from(["call_1", "call_2", "call_3"])), "{}"))
        else:
            script.append(draw(st.one_of(others, more)))
    return script


READY = [{"type": kind, "session": {"id": "sess_1"}} for kind in ("session.created", "session.updated")]


@settings(max_examples=300, deadline=None)
@given(openai_scripts(), st.booleans())
def test_with_openai_every_invariant_holds_and_what_was_heard_is_told_to_the_millisecond(script, interrupts):
    options = RealtimeOptions(turn_detection=ServerVad(interrupt_response=interrupts))
    desk = ThreadlessDesk(OpenAIRealtimeCodec(options), SessionOptions(asks_replies=True))
    desk.do(*READY, *script)
    desk.finish()


@settings(max_examples=150, deadline=None)
@given(openai_scripts(WAITING, st.sampled_from(["slow", "quick"])), st.booleans())
def test_so_it_is_on_a_loop_with_an_interface_that_takes_its_time(script, interrupts):
    async def main() -> None:
        options = RealtimeOptions(turn_detection=ServerVad(interrupt_response=interrupts))
        desk = AsyncDesk(OpenAIRealtimeCodec(options), SessionOptions(asks_replies=True))
        await desk.do(*READY, *script)
        await desk.finish()

    asyncio.run(main())


# ElevenLabs

turns = st.integers(1, 4)
elevenlabs_frames = st.one_of(
    st.builds(
        lambda turn, size: {
            "type": "audio",
            "audio_event": {"audio_base_64": base64.b64encode(bytes(size)).decode(), "event_id": turn},
        },
        turns,
        st.sampled_from([0, 1, 320, 6400]),
    ),
    st.builds(lambda turn: {"type": "interruption", "interruption_event": {"event_id": turn}}, turns),
    st.builds(
        lambda call_id, expects: {
            "type": "client_tool_call",
            "client_tool_call": {
                "tool_name": "t",
                "tool_call_id": call_id,
                "parameters": {},
                "expects_response": expects,
            },
        },
        st.sampled_from(["call_1", "call_2", "call_3"]),
        st.booleans(),
    ),
    st.just({"type": "ping", "ping_event": {"event_id": 1}}),
    st.just({"type": "user_transcript", "user_transcription_event": {"user_transcript": "Yes."}}),
    st.just({"type": "agent_response", "agent_response_event": {"agent_response": "Well."}}),
    st.just({"type": "audio", "audio_event": {}}),
)
METADATA = {
    "type": "conversation_initiation_metadata",
    "conversation_initiation_metadata_event": {
        "conversation_id": "conv_1",
        "agent_output_audio_format": "pcm_16000",
        "user_input_audio_format": "pcm_16000",
    },
}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(elevenlabs_frames, elevenlabs_frames, others), max_size=40), st.booleans())
def test_with_elevenlabs_every_invariant_holds(script, is_strict):
    desk = ThreadlessDesk(ElevenLabsCodec(equal_id="drop" if is_strict else "play"), SessionOptions())
    desk.do(METADATA, *script)
    desk.finish()
