"""What the witness shows and what it finds missing, without a conversation."""

from __future__ import annotations

import io
import re
import time
from types import SimpleNamespace

import attrs
import pytest

from convsm.audio.formats import audio_format
from convsm.demo.dialects import OPENAI
from convsm.demo.scene import compose
from convsm.demo.witness import Witness
from convsm.live.audio import ObservedAudio
from convsm.live.timeline import Timeline
from convsm.machine.effects import StateChanged
from convsm.machine.table import STATES
from convsm.observation.session_metrics import Measured
from convsm.runtime.wiring import DisconnectionDetails

PCM = audio_format("pcm_16000")


@pytest.fixture
def scene():
    return attrs.evolve(compose(speed=4), tool_seconds=0.0)


@pytest.fixture
def stage(scene):
    stream, audio = io.StringIO(), ObservedAudio()
    audio.configure(PCM, PCM, SimpleNamespace())
    return SimpleNamespace(
        scene=scene, stream=stream, audio=audio, witness=Witness(Timeline(stream), scene, audio)
    )


def change(target, event="Event", source="idle", at=100.0):
    return StateChanged(source, target, event, at)


def see_everything(stage):
    """Let the witness see what a conversation without fault shows it; return the agent's side."""
    witness, scene = stage.witness, stage.scene
    stage.audio.play(1, PCM.silence(5))
    stage.audio.interrupt()
    cut = stage.audio.clock.wait_for_cut(0, 0)
    scene.cut.at = cut.at - 0.002
    for state in STATES:
        witness.state_change(change(state.name, "Interrupted", at=cut.at - 0.001))
    witness.state_change(change("interrupted", "InterruptionSuspected", "agent_speaking"))
    witness.state_change(change("agent_speaking", "InterruptionDismissed", "interrupted"))
    for text in scene.responses:
        witness.agent_response(text)
    for text in scene.tentative:
        witness.tentative_transcript(text)
    for text in scene.transcripts:
        witness.user_transcript(text)
    for text in scene.corrections:
        witness.correction("all of it", text)
    witness.use_tool({"minutes": 10, "tool_call_id": "call_1"})
    witness.disconnect(DisconnectionDetails("agent", 1000))
    return SimpleNamespace(
        tool_results=[{"result": '{"timer":"running","minutes":10}'}],
        pongs=[1, 2, 3],
        user_audio=scene.microphone.pcm + bytes(32000),
    )


TRUNCATE = b'{"type":"conversation.item.truncate","item_id":"item_1","content_index":0,"audio_end_ms":%d}'
OUTPUT = {"type": "function_call_output", "output": '{"timer":"running","minutes":10}'}


def see_everything_of_openai(stage):
    """Do the same in a scene of that protocol."""
    stage.witness._scene = stage.scene = attrs.evolve(compose(speed=4, dialect=OPENAI), tool_seconds=0.0)
    connection = see_everything(stage)
    stage.witness.message_sent(b'{"type":"input_audio_buffer.append","audio":"AAAA"}')
    stage.witness.message_sent(TRUNCATE % 800)
    connection.pongs = []
    connection.messages = lambda kind: [{"item": {"type": "message"}}, {"item": OUTPUT}]
    return connection


def test_nothing_is_missing_when_all_was_seen(stage):
    connection = see_everything(stage)
    assert stage.witness.missing(connection, []) == []
    assert stage.witness.is_over.is_set()


def test_of_a_conversation_that_never_was_everything_is_missing(stage):
    lacks = stage.witness.missing(None, [])
    assert [lack for lack in lacks if lack.startswith("the state ")] == [
        f"the state {state.name}" for state in STATES
    ]
    assert len([lack for lack in lacks if lack.startswith(("agent:", "user:", "tentative:"))]) == 7
    assert "silence after the interruption" in lacks
    assert lacks[-1] == "a connection at the agent"


def mute(connection):
    connection.user_audio = bytes(len(connection.user_audio))


def cut_short(connection):
    connection.user_audio = connection.user_audio[:1000]


def add_noise(connection):
    connection.user_audio += b"\x01\x00"


def forget_pong(connection):
    connection.pongs = [1, 3]


def spoil_result(connection):
    connection.tool_results[0]["result"] = "no"


def repeat_result(connection):
    connection.tool_results *= 2


@pytest.mark.parametrize(
    ("spoil", "lack"),
    [
        (mute, "the user's words"),
        (cut_short, "the user's words"),
        (add_noise, "the user's words"),
        (forget_pong, "the pongs"),
        (spoil_result, "the tool's result"),
        (repeat_result, "the tool's result"),
    ],
)
def test_what_the_agent_did_not_get_is_missing(stage, spoil, lack):
    connection = see_everything(stage)
    spoil(connection)
    (found,) = stage.witness.missing(connection, [])
    assert found.startswith(lack)


@pytest.mark.parametrize("state", [state.name for state in STATES])
def test_a_state_that_was_not_reached_is_missing(stage, state):
    connection = see_everything(stage)
    stage.witness.changes = [seen for seen in stage.witness.changes if seen.target != state]
    assert stage.witness.missing(connection, []) == [f"the state {state}"]


@pytest.mark.parametrize("kind", ["agent", "tentative", "user", "correction"])
def test_a_text_that_was_not_heard_is_missing(stage, kind):
    connection = see_everything(stage)
    text = stage.witness.heard[kind].pop()
    assert stage.witness.missing(connection, []) == [f'{kind}: "{text}"']


@pytest.mark.parametrize("ending", [DisconnectionDetails("user"), DisconnectionDetails("error", 1011), None])
def test_another_end_than_the_agents_is_not_the_one_of_the_script(stage, ending):
    connection = see_everything(stage)
    stage.witness.ending = ending
    (found,) = stage.witness.missing(connection, [])
    assert found.startswith("the agent's own end")


def test_what_the_agent_complains_of_is_told(stage):
    connection = see_everything(stage)
    assert stage.witness.missing(connection, ["it hurts"]) == ["a script without failure: it hurts"]


def test_silence_that_did_not_come_is_not_measured(stage, monkeypatch):
    monkeypatch.setattr("convsm.demo.witness.INSTANT", 0.0)
    stage.witness.state_change(change("interrupted", "Interrupted", "agent_speaking"))
    assert stage.witness.interruption is None


def test_an_interruption_is_measured_from_the_agent_and_from_the_event(stage):
    see_everything(stage)
    assert stage.witness.interruption.from_event == pytest.approx(0.001)
    assert stage.witness.interruption.from_agent == pytest.approx(0.002)
    assert "silenced 1.00 ms later, 5.0 s of speech dropped" in stage.stream.getvalue()


def suspect(stage, seconds=5.0):
    """Let the agent be paused on a suspicion; return when that was."""
    stage.audio.play(1, PCM.silence(seconds))
    stage.audio.pause()
    at = time.monotonic() - 0.2
    stage.witness.state_change(change("interrupted", "InterruptionSuspected", "agent_speaking", at))
    return at


def test_a_suspicion_waits_for_no_cut_and_is_no_interruption(stage, monkeypatch):
    monkeypatch.setattr(stage.audio.clock, "wait_for_cut", None)
    suspect(stage)
    stage.witness.state_change(change("agent_speaking", "InterruptionDismissed", "interrupted"))
    assert stage.witness.has_gone_on
    assert stage.witness.interruption is None
    assert "silence after the interruption" in stage.witness.missing(None, [])


def test_a_suspicion_that_is_confirmed_is_measured_from_what_paused_the_agent(stage):
    suspected = suspect(stage)
    stage.scene.cut.at = suspected + 0.4
    stage.audio.interrupt()
    stage.witness.measured(Measured("interruption_seconds", 0.001))
    assert stage.witness.interruption.from_event == 0.001
    assert stage.witness.interruption.from_agent == pytest.approx(-0.399)
    shown = " ".join(stage.stream.getvalue().split())
    assert "interrupts indeed: what was paused is never heard" in shown
    assert re.search(r"sound paused for \d\.\d\d s; 5\.0 s of speech dropped", shown)


def test_a_suspicion_that_the_user_confirms_is_not_measured_from_the_agent(stage):
    suspect(stage)
    stage.audio.interrupt()
    stage.witness.measured(Measured("interruption_seconds", 0.001))
    assert stage.witness.interruption.from_agent is None


@pytest.mark.parametrize("measure", ["response_seconds", "interruption_seconds"])
def test_other_measures_confirm_nothing(stage, measure):
    if measure == "response_seconds":
        suspect(stage)
    stage.witness.measured(Measured(measure, 0.001))
    assert stage.witness.interruption is None


def test_a_confirmation_that_cuts_nothing_is_not_measured(stage, monkeypatch):
    monkeypatch.setattr("convsm.demo.witness.INSTANT", 0.0)
    suspect(stage)
    stage.witness.measured(Measured("interruption_seconds", 0.001))
    assert stage.witness.interruption is None


def test_an_agent_that_did_not_go_on_is_missed_unless_the_user_is_a_person(stage):
    connection = see_everything(stage)
    stage.witness.has_gone_on = False
    assert stage.witness.missing(connection, []) == ["a false interruption after which the agent goes on"]
    stage.witness._scene = attrs.evolve(stage.scene, microphone=None)
    assert stage.witness.missing(connection, []) == []


def test_an_interruption_of_the_users_own_counts_and_is_not_measured_from_the_agent(stage):
    stage.audio.play(1, PCM.silence(5))
    stage.audio.interrupt()
    cut = stage.audio.clock.wait_for_cut(0, 0)
    stage.witness.state_change(change("interrupted", "Interrupt", "agent_speaking", cut.at - 0.001))
    assert stage.witness.interruption.from_event == pytest.approx(0.001)
    assert stage.witness.interruption.from_agent is None


def test_of_a_person_only_the_amount_of_words_is_judged(stage):
    connection = see_everything(stage)
    stage.witness._scene = attrs.evolve(stage.scene, microphone=None)
    add_noise(connection)
    assert stage.witness.missing(connection, []) == []
    cut_short(connection)
    assert stage.witness.missing(connection, []) == ["the user's words at the agent"]


# In the protocol of OpenAI


def test_nothing_is_missing_when_the_agent_was_told_what_was_heard(stage):
    connection = see_everything_of_openai(stage)
    assert stage.witness.missing(connection, []) == []
    shown = " ".join(stage.stream.getvalue().split())
    assert "tells the agent that 0.80 s of its answer were heard" in shown


@pytest.mark.parametrize("told", [[], [0.0], [99.0], [0.8, 0.8]])
def test_what_cannot_have_been_heard_is_missing(stage, told):
    connection = see_everything_of_openai(stage)
    stage.witness.told[:] = told
    (found,) = stage.witness.missing(connection, [])
    assert found.startswith("how much was heard of the 1.8 s")


def test_a_person_may_cut_in_more_than_once(stage):
    connection = see_everything_of_openai(stage)
    stage.witness._scene = attrs.evolve(stage.scene, microphone=None)
    stage.witness.told[:] = [0.3, 0.8]
    assert stage.witness.missing(connection, []) == []
    stage.witness.told.clear()
    (found,) = stage.witness.missing(connection, [])
    assert found.startswith("how much was heard of the 1.8 s")


def test_a_result_that_openais_agent_did_not_get_is_missing(stage):
    connection = see_everything_of_openai(stage)
    connection.messages = lambda kind: []
    assert stage.witness.missing(connection, []) == ["the tool's result at the agent"]
