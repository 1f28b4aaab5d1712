"""The last line and what the keys do, on a conversation that stands still."""

from __future__ import annotations

import time

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm import Conversation, ElevenLabs
from convsm.audio.formats import audio_format
from convsm.audio.level import SILENCE, Level
from convsm.live.audio import PlayoutClock
from convsm.live.controls import Controls, PushToTalk
from convsm.live.narrator import Narrator
from convsm.live.timeline import Timeline
from convsm.live.view import KEYS, View, loudness
from convsm.machine.effects import StateChanged
from tests.live.streams import FailingStream, Stream

SPEECH = Level(0.1, 0.5)


@attrs.define
class Card:
    """Sound that is watched, and makes none."""

    clock: PlayoutClock = attrs.field(factory=PlayoutClock)
    muted: bool = False
    input_level: Level = SILENCE
    output_level: Level | None = SILENCE


class Pressed:
    """Keys that were pressed before; those who look again find none."""

    are_there = True

    def __init__(self, *presses: str) -> None:
        self.presses = list(presses)

    def read(self, timeout: float) -> str:
        return self.presses.pop(0) if self.presses else ""


def view(columns=80, card=None, stream=None, controls=Controls):
    timeline = Timeline(stream or Stream(), columns=columns)
    narrator, card = Narrator(timeline), card or Card()
    return View(timeline, narrator, card, controls(narrator, card))


@pytest.fixture
def idle():
    return Conversation(ElevenLabs(), "agent", requires_auth=False)


def test_a_meter_hears_as_the_ear_does():
    assert loudness(SILENCE) == 0
    assert loudness(Level(0.001, 0.01)) == pytest.approx(0)
    assert loudness(SPEECH) == pytest.approx(2 / 3)
    assert loudness(Level(1.0, 1.0)) == 1


@given(st.floats(0, 1))
def test_a_meter_stays_within_its_bar(rms):
    assert 0 <= loudness(Level(rms, rms)) <= 1


def test_with_a_card_there_are_two_meters_and_the_keys():
    seen = view(card=Card(input_level=SPEECH, output_level=Level(1.0, 1.0)))
    assert seen.activity(0.0, True) == ("user", "mic   ███████░░░  out ██████████  keys m space q")
    assert seen.activity(0.0, False) == ("user", "mic   ███████░░░  out ██████████")


def test_while_the_agent_speaks_the_line_tells_how_far_it_is():
    card = Card(output_level=SPEECH)
    card.clock.begin(audio_format("pcm_16000"))
    card.clock.handed(32000 * 30)
    began = card.clock._began
    assert view(card=card).activity(began + 12.3, True) == (
        "agent",
        "mic   ░░░░░░░░░░  out ███████░░░  12.3 of 30.0 s",
    )
    card.output_level = None
    assert view(card=card).activity(began + 15)[1] == "██████████░░░░░░░░░░ 15.0 of 30.0 s heard"


def test_while_the_agent_is_paused_the_line_tells_where_and_the_user_is_at_it():
    card = Card(output_level=SILENCE)
    card.clock.begin(audio_format("pcm_16000"))
    card.clock.pause()
    card.clock.handed(32000 * 30)
    seen = view(card=card)
    assert seen.activity(0.0, True) == ("user", "mic   ░░░░░░░░░░  out ░░░░░░░░░░  paused at 0.0")
    card.output_level = None
    assert seen.activity(0.0) == ("user", "░░░░░░░░░░░░░░░░░░░░ 0.0 of 30.0 s paused")


def test_what_is_to_be_known_of_the_turn_is_told_where_the_agent_is_not_heard():
    card = Card(output_level=SILENCE)
    seen = view(card=card, controls=PushToTalk)
    held = ("user", "mic   ░░░░░░░░  out ░░░░░░░░  you hold the turn")
    assert seen.activity(0.0, True, "you hold the turn") == held
    assert seen.activity(0.0, True)[1].endswith("░  keys space c m q")
    card.output_level = None
    assert seen.activity(0.0, True, "you hold the turn")[1] == "░░░░░░░░░░░░░░░░░░░░ you hold the turn"
    card.output_level = SILENCE
    card.clock.begin(audio_format("pcm_16000"))
    card.clock.pause()
    card.clock.handed(32000 * 30)
    assert seen.activity(0.0, True, "you hold the turn") == held
    card.output_level = None
    assert seen.activity(0.0, True, "you hold the turn")[1] == "░░░░░░░░░░░░░░░░░░░░ you hold the turn"
    card.clock.resume()
    assert seen.activity(time.monotonic(), True, "you hold the turn")[1].endswith("of 30.0 s heard")


def test_muted_is_told_beside_the_meter_of_what_is_not_heard():
    card = Card(muted=True, input_level=SPEECH)
    assert view(card=card).activity(0.0)[1].startswith("muted ███████░░░")
    card.output_level = None
    assert view(card=card).activity(0.0) == ("user", "█████████████░░░░░░░ muted")


def test_a_tool_is_at_it():
    seen = view(card=Card(output_level=None))
    seen.narrator.changes.append(StateChanged("listening", "tool_running", "ToolCalled", 1.0))
    assert seen.activity(1.25) == ("tool", "runs for 0.2 s")
    seen.audio.output_level = SILENCE
    assert seen.activity(1.25)[0] == "tool"


def test_a_meter_falls_slowly_enough_to_be_seen():
    seen = view(card=Card(input_level=Level(1.0, 1.0)))
    seen.activity(0.0)
    seen.audio.input_level = SILENCE
    bars = [seen.activity(0.1 * number)[1].count("█") for number in range(8)]
    assert bars == sorted(bars, reverse=True)
    assert bars[0] == 7
    assert bars[-1] <= 1


@given(
    columns=st.integers(60, 80),
    muted=st.booleans(),
    level=st.sampled_from([None, SILENCE, SPEECH]),
    seconds=st.sampled_from([0, 1, 30, 300]),
    has_keys=st.booleans(),
    is_paused=st.booleans(),
    remark=st.sampled_from(["", "you speak", "agent thinks", "awaiting words", "you hold the turn"]),
    controls=st.sampled_from([Controls, PushToTalk]),
)
def test_the_last_line_always_has_room(columns, muted, level, seconds, has_keys, is_paused, remark, controls):
    card = Card(muted=muted, output_level=level)
    if is_paused:
        card.clock.pause()
    card.clock.handed(32000 * seconds)
    seen = view(columns, card, controls=controls)
    who, what = seen.activity(card.clock._began, has_keys, remark)
    assert len(who) <= 5
    assert len(what) <= seen.timeline.room


def test_the_keys_are_told_in_a_line():
    assert Controls.help == KEYS
    assert max(len(KEYS), len(PushToTalk.help)) <= 80


def test_m_mutes_and_unmutes(idle):
    seen = view()
    seen.watch(idle, Pressed("m", "x", "q"))
    assert seen.audio.muted
    seen.watch(idle, Pressed("M", "q"))
    assert not seen.audio.muted
    told = seen.timeline.stream.getvalue()
    assert "is muted: the agent hears silence" in told
    assert "is heard again" in told


def test_q_is_a_wish_to_end_and_what_was_typed_before_it_counts(idle):
    seen = view()
    seen.watch(idle, Pressed("mmmq"))
    assert seen.has_quit
    assert seen.audio.muted


def test_space_where_there_is_nothing_to_interrupt_is_told(idle):
    seen = view()
    seen.watch(idle, Pressed(" ", "q"))
    assert "Session not started: interrupt" in " ".join(seen.timeline.stream.getvalue().split())


def test_a_conversation_that_is_over_or_takes_too_long_is_watched_no_longer(idle):
    seen = view()
    seen.watch(idle, None, limit=0)
    seen.narrator.is_over.set()
    seen.watch(idle, Pressed())
    assert not seen.has_quit


def test_lines_that_nobody_reads_are_written_no_longer(idle):
    seen = view(stream=FailingStream())
    seen.timeline.text("hello")
    seen.watch(idle, Pressed())
    assert isinstance(seen.timeline.fault, BrokenPipeError)
