"""Both reducers over random sequences: sane sessions, hostile ones, and messages in any order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convsm.machine import Session, SessionOptions
from convsm.machine.effects import Effect, Flush, StateChanged
from convsm.machine.events import (
    AgentAudio,
    AgentResponse,
    Event,
    Informed,
    Interrupt,
    Interrupted,
    InterruptionDismissed,
    InterruptionSuspected,
    Played,
    Send,
    TextPart,
    UserTranscript,
    stamp,
)
from convsm.observation import Metrics, SessionMeasured, Transcript
from convsm.protocols.messages import (
    AgentResponseCorrection,
    MultimodalMessage,
    TentativeTranscript,
    UserMessage,
)
from convsm.testing.observation import OPEN, perform
from convsm.testing.strategies import Scenario, hostile_sequences, scenarios
from convsm.testing.world import World
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
        st.sampled_from([Interrupt(), InterruptionSuspected(), InterruptionDismissed()]),
        st.builds(Played, st.integers(0, 6)),
        st.builds(Send, st.builds(UserMessage, TEXTS) | st.builds(MultimodalMessage, TEXTS)),
    )


def conversations(turns: st.SearchStrategy[int | None]) -> st.SearchStrategy[Scenario]:
    return st.builds(
        lambda text_only, can_pause, said: Scenario(
            SessionOptions(text_only=text_only, can_pause=can_pause), (*OPENING, *said)
        ),
        st.booleans(),
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


# Pauses


@attrs.define
class Oracle:
    """Counts interruptions by what the session knows of itself, and sees what each pause came to."""

    is_undecided: bool = False
    outcomes: Counter[str] = attrs.field(factory=Counter)

    def check(self, event: Event, asked: tuple[Effect, ...], session: Session) -> None:
        change = asked[0] if asked and isinstance(asked[0], StateChanged) else None
        if change is not None and (change.source, change.target) == ("agent_speaking", "interrupted"):
            self.is_undecided = session.is_paused
            self.outcomes["confirmed at once"] += not session.is_paused
        elif self.is_undecided and not session.is_paused:
            self.is_undecided = False
            self.outcomes[self._outcome(event, asked, session)] += 1
        elif change is not None and change.event == "InterruptionDismissed":
            self.outcomes["let through"] += 1

    def _outcome(self, event: Event, asked: tuple[Effect, ...], session: Session) -> str:
        if session.state not in OPEN:
            return "ended"
        if isinstance(event, InterruptionDismissed):
            return "false"
        return "confirmed" if Flush() in asked else "heard out or lost"


def walk(seed: int, oracle: Oracle, steps: int = 80) -> None:
    """Walk a session and both reducers through a random world that can pause, and compare them."""
    random = Random(seed)
    asks_replies = random.random() < 0.5
    session = Session(SessionOptions(needs_audio=False, asks_replies=asks_replies, pause_limit=8))
    world, metrics, transcript = World(asks_replies=asks_replies), Metrics(), Transcript()
    before = oracle.outcomes.copy()
    for number in range(steps):
        event = attrs.evolve(world.pick(random))
        stamp(event, float(number))
        asked = perform(session, event)
        world.note(event, asked)
        metrics.observe(event, asked)
        transcript.observe(event, asked)
        oracle.check(event, asked, session)
        playout = transcript._playout
        assert (playout.paused_at is not None) == session.is_paused
        if session.state in OPEN:
            assert bool(playout.waiting) == (session.heard < session.handed)
        for entry in transcript.entries:
            assert entry.ended_at is None or entry.began_at <= entry.ended_at
    came = oracle.outcomes - before
    found = metrics.snapshot()
    assert found.interruptions == came["confirmed"] + came["confirmed at once"]
    assert found.false_interruptions == came["false"]


def test_what_is_counted_of_pauses_is_what_the_session_made_of_them():
    oracle = Oracle()
    for seed in range(400):
        walk(seed, oracle)
    seen = {name for name, count in oracle.outcomes.items() if count >= 5}
    wanted = {"confirmed at once", "confirmed", "false", "heard out or lost", "ended", "let through"}
    assert seen == wanted, oracle.outcomes


@pytest.mark.long
def test_what_is_counted_of_pauses_is_what_the_session_made_of_them_for_long():
    oracle = Oracle()
    for seed in range(400, 10_400):
        walk(seed, oracle, 200)


def outcome(scenario: Scenario, events: Sequence[Event]) -> tuple[object, ...]:
    """Return all that is said and measured, but for how often a pause came to nothing."""
    transcript, metrics = Transcript(), Metrics()
    options = attrs.evolve(scenario.options, can_pause=True)
    feed(transcript, options, events)
    feed(metrics, options, events)
    found = metrics.snapshot(at=100.0)
    seconds_in = {state: seconds for state, seconds in found.seconds_in.items() if seconds}
    return transcript.entries, attrs.evolve(found, seconds_in=seconds_in, false_interruptions=0)


def clocked(event: Event, at: float) -> Event:
    event = attrs.evolve(event)
    stamp(event, at)
    return event


def decided(scenario: Scenario) -> list[Event]:
    """Return what comes in a conversation without local evidence, one event a second."""
    evidence = (InterruptionSuspected, InterruptionDismissed)
    said = [event for event in scenario.events if not isinstance(event, evidence)]
    return [clocked(event, float(at)) for at, event in enumerate(said)]


@settings(max_examples=300)
@given(conversations(TURNS), st.data())
def test_a_noise_changes_nothing_of_what_is_said_and_measured(scenario: Scenario, data: st.DataObject):
    said = decided(scenario)
    noisy = list(said)
    for position in sorted(data.draw(st.sets(st.integers(len(OPENING), len(said)))), reverse=True):
        noise = (InterruptionSuspected(), InterruptionDismissed())
        noisy[position:position] = [clocked(event, position - 0.5) for event in noise]
    assert outcome(scenario, noisy) == outcome(scenario, said)


@settings(max_examples=300)
@given(conversations(TURNS))
def test_an_interruption_that_was_suspected_is_the_same_as_one_that_was_not(scenario: Scenario):
    said = decided(scenario)
    suspected: list[Event] = []
    for event in said:
        is_cut = isinstance(event, Interrupted)
        suspected += [clocked(InterruptionSuspected(), event.at), event] if is_cut else [event]
    assert outcome(scenario, suspected) == outcome(scenario, said)
