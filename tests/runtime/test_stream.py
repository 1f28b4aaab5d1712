from __future__ import annotations

import asyncio

import pytest

from convsm.machine.events import AgentAudio, AgentResponse, Event, UserTranscript
from convsm.protocols.messages import VadScore
from convsm.runtime import stream as stream_module
from convsm.runtime.stream import AsyncEventStream, EventStream, FrameReceived, FrameSent
from tests.runtime.helpers import PATIENCE, elsewhere, join, run

EVENTS = (UserTranscript("Hi"), VadScore(0.5), FrameReceived(b"{}"), AgentAudio(b"", 1), FrameSent(b"{}"))
NO_FRAMES = [event for event in EVENTS if not isinstance(event, FrameReceived | FrameSent)]


def read(stream: EventStream) -> list[object]:
    for event in EVENTS:
        stream.put(event)
    stream.close()
    return list(stream)


async def read_all(stream: AsyncEventStream) -> list[object]:
    return [event async for event in stream]


def test_all_but_raw_frames_is_read_in_order_and_the_end_of_the_session_ends_it():
    assert read(EventStream()) == NO_FRAMES


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        ((UserTranscript,), [EVENTS[0]]),
        ((Event,), [EVENTS[0], EVENTS[3]]),
        ((FrameReceived,), [EVENTS[2]]),
        ((object,), list(EVENTS)),
        ((AgentResponse,), []),
    ],
)
def test_only_what_is_named_is_read_its_subclasses_too(kinds, wanted):
    assert read(EventStream(kinds)) == wanted


def test_frames_are_tapped_only_for_those_who_read_them():
    assert not EventStream().wants_frames
    assert not EventStream((Event,)).wants_frames
    assert EventStream((FrameSent,)).wants_frames
    assert EventStream((object,)).wants_frames


def test_a_reader_waits_for_the_next_event_on_whatever_thread():
    stream = EventStream()
    events: list[object] = []
    threads = run(lambda: events.extend(stream))
    elsewhere(lambda: stream.put(VadScore(0.1)))
    stream.put(VadScore(0.2))
    stream.close()
    join(threads)
    assert events == [VadScore(0.1), VadScore(0.2)]


def test_a_reader_that_does_not_keep_up_loses_the_newest_and_is_told_how_many(monkeypatch):
    monkeypatch.setattr(stream_module, "LIMIT", 2)
    stream = EventStream()
    for score in range(5):
        stream.put(VadScore(score))
    assert stream.dropped == 3
    # The end is never among what is lost.
    stream.close(VadScore(9))
    stream.close(VadScore(10))
    assert list(stream) == [VadScore(0), VadScore(1), VadScore(9)]


def test_what_comes_after_the_close_is_not_read():
    with EventStream() as stream:
        stream.put(VadScore(0.1))
    stream.put(VadScore(0.2))
    assert list(stream) == [VadScore(0.1)]


@pytest.mark.parametrize("kind", [EventStream, AsyncEventStream])
def test_a_last_event_that_nobody_asked_for_is_not_read(kind):
    stream = kind((UserTranscript,))
    stream.close(VadScore(1))
    assert stream.is_closed
    assert list(stream._queue) == []


def test_on_a_loop_the_same_is_read():
    async def main() -> None:
        async with AsyncEventStream() as stream:
            for event in EVENTS:
                stream.put(event)
        assert await read_all(stream) == NO_FRAMES

    asyncio.run(main())


def test_on_a_loop_a_reader_waits_for_the_next_event_and_for_the_end():
    async def main() -> None:
        stream = AsyncEventStream((VadScore,))
        reading = asyncio.create_task(read_all(stream))
        for score in (0.1, 0.2):
            await asyncio.sleep(0)
            stream.put(VadScore(score))
            stream.put(AgentAudio(b"", 1))
        await asyncio.sleep(0)
        assert not reading.done()
        stream.close()
        assert await asyncio.wait_for(reading, PATIENCE) == [VadScore(0.1), VadScore(0.2)]

    asyncio.run(main())


def test_on_a_loop_a_reader_that_was_cancelled_may_be_followed_by_another():
    async def main() -> None:
        stream = AsyncEventStream()
        first = asyncio.create_task(read_all(stream))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task already reads this stream"):
            await anext(stream)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        stream.put(VadScore(0.1))
        assert await anext(stream) == VadScore(0.1)

    asyncio.run(main())
