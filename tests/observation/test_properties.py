"""Both reducers over random sequences: sane sessions, hostile ones, and messages in any order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from convsm.machine import SessionOptions
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    Event,
    Informed,
    Interrupted,
    Played,
    Send,
    TextPart,
    UserTranscript,
)
from convsm.observation import Metrics, SessionMeasured, Transcript
from convsm.protocols.messages import (
    AgentResponseCorrection,
    MultimodalMessage,
    TentativeTranscript,
    UserMessage,
)
from convsm.testing.strategies import Scenario, hostile_sequences, scenarios
from tests.observation.steps import OPENING, feed
from tests.observation.test_transcript import mirror

TEXTS = st.sampled_from(["", "a", "b", "c"])
NUMBERED = st.integers(0, 4)
TURNS = st.none() | NUMBERED


def messages(turns: st.SearchStrategy[int | None]) -> st.SearchStrategy[Event]:
    """Return all that says, plays or cuts something, with these turns."""
    return st.one_of(
        st.builds(UserTranscript, TEXTS, turns),
        st.builds(AgentResponse, TEXTS, turns),
        st.builds(TextPart, st.sampled_from(["start", "delta", "stop"]), TEXTS, turns),
        st.builds(Informed, st.builds(TentativeTranscript, TEXTS, turns)),
        st.builds(Informed, st.builds(AgentResponseCorrection, TEXTS, TEXTS, turns)),
        st.builds(AgentAudio, st.sampled_from([b"", b"ab"]), NUMBERED),
        st.builds(Interrupted, NUMBERED, NUMBERED),
        st.builds(Played, st.integers(0, 6)),
        st.builds(Send, st.builds(UserMessage, TEXTS) | st.builds(MultimodalMessage, TEXTS)),
    )


def conversations(turns: st.SearchStrategy[int | None]) -> st.SearchStrategy[Scenario]:
    return st.builds(
        lambda text_only, said: Scenario(SessionOptions(text_only=text_only), (*OPENING, *said)),
        st.booleans(),
        st.lists(messages(turns), max_size=25),
    )


ANY = scenarios() | hostile_sequences() | conversations(TURNS)


@settings(max_examples=300)
@given(scenario=ANY, limit=st.none() | st.integers(1, 3))
def test_a_transcript_takes_whatever_comes_and_its_changes_add_up(scenario: Scenario, limit: int | None):
    transcript = Transcript(limit=limit)
    told = feed(transcript, scenario.options, scenario.events)
    entries = transcript.entries
    assert mirror(told) == entries
    assert limit is None or len(entries) <= limit
    assert len({entry.number for entry in entries}) == len(entries)
    turns = Counter((entry.who, entry.turn) for entry in entries if entry.turn is not None)
    assert all(count == 1 for count in turns.values())
    assert sum(entry.who == "user" and not entry.is_final for entry in entries) <= 1
    assert all(entry.ended_at is not None for entry in entries if entry.who == "user" and entry.is_final)


@given(ANY)
def test_the_same_steps_give_the_same_transcript_and_metrics(scenario: Scenario):
    for kind in (Transcript, Metrics):
        one, other = kind(), kind()
        told = feed(one, scenario.options, scenario.events)
        assert told == feed(other, scenario.options, scenario.events)


@settings(max_examples=300)
@given(conversations(NUMBERED))
def test_no_final_text_is_lost_and_numbered_turns_are_in_order(scenario: Scenario):
    transcript = Transcript()
    feed(transcript, scenario.options, scenario.events)
    finals: dict[tuple[str, int], str] = {}
    for event in scenario.events:
        if isinstance(event, UserTranscript) and event.turn is not None:
            finals["user", event.turn] = event.text
        elif isinstance(event, AgentResponse) and event.turn is not None:
            finals["agent", event.turn] = event.text
    found = {(str(entry.who), entry.turn): entry for entry in transcript.entries if entry.turn is not None}
    for key, text in finals.items():
        assert found[key].text == text
        assert found[key].is_final
    assert [*found] == sorted(found, key=lambda key: (key[1], key[0] == "agent"))
    written = sum(isinstance(event, Send) for event in scenario.events)
    assert sum(entry.is_written for entry in transcript.entries) == written


@st.composite
def reorderings(draw: st.DrawFn) -> tuple[Sequence[Event], Sequence[Event]]:
    """Return what ends a few turns, and the same in another order, some of it twice."""
    said: list[Event] = []
    for turn in draw(st.sets(NUMBERED, min_size=1)):
        said += [UserTranscript(f"question {turn}", turn), AgentResponse(f"answer {turn}", turn)]
        if draw(st.booleans()):
            said.append(Informed(AgentResponseCorrection(f"answer {turn}", "answer", turn)))
        if draw(st.booleans()):
            said.append(Informed(TentativeTranscript("quest", turn)))
    return said, draw(st.permutations([*said, *draw(st.lists(st.sampled_from(said), max_size=5))]))


@given(reorderings())
def test_late_and_doubled_messages_come_to_the_same_transcript(orders: tuple[Sequence[Event], ...]):
    results = []
    for said in orders:
        transcript = Transcript()
        feed(transcript, SessionOptions(), (*OPENING, *said))
        results.append(
            [
                (entry.who, entry.turn, entry.text, entry.spoken, entry.is_final, entry.is_interrupted)
                for entry in transcript.entries
            ]
        )
    assert results[0] == results[1]


@settings(max_examples=300)
@given(ANY, st.lists(st.floats(0, 1e9), max_size=3))
def test_metrics_take_whatever_comes_and_are_plain_data(scenario: Scenario, silences: list[float]):
    metrics = Metrics()
    told = feed(metrics, scenario.options, scenario.events)
    for at in silences:
        metrics.note_silenced(at)
    found = metrics.snapshot(at=1e9)
    json.dumps(found.as_dict(), allow_nan=False)
    assert all(seconds >= 0 for seconds in found.seconds_in.values())
    series = (found.response_seconds, found.interruption_seconds, found.gap_seconds)
    assert all(value >= 0 for one in series for value in one.values)
    assert (
        found.interruption_seconds.count <= found.interruptions <= found.agent_turns + found.gap_seconds.count
    )
    assert sum(isinstance(one, SessionMeasured) for one in told) <= 1
