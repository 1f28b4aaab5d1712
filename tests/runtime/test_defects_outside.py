"""Defects 36 to 45 of the reference client: the end, formats, requests, the interpreter around."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import pytest

from convsm import ElevenLabs, OnPremInitiationData, SessionOptions
from convsm.testing import Close, Drop, HoldHandshake, IgnoreClose, LoopbackAgent, Ping, StreamText, UserSaid
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    PCM,
    FakeAudio,
    ManualConversation,
    ReportingAudio,
    assert_over,
    conversation,
    join,
    nothing_is_left,
    run,
)

pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


def test_d36_a_peer_that_never_answers_the_close_frame_holds_nothing_longer_than_configured():
    # The reference waits ten seconds.
    with LoopbackAgent([IgnoreClose()]) as agent, conversation(agent, kind=ManualConversation) as call:
        assert call.start().script_done.wait(PATIENCE)
        call.conversation.end_session()
        call.settle()
        assert call.timers.armed == {"close": SessionOptions().close_seconds}
        assert SessionOptions().close_seconds < 1
        call.advance(1)
        assert_over(call)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_d37_breaking_off_leaves_nothing_open(agent, error):
    # The reference's cancelled task stops neither audio nor tools; this is its like on threads.
    def converse():
        with call.conversation:
            raise error

    with conversation(agent, audio_interface=FakeAudio()) as call:
        with pytest.raises(error):
            converse()
        assert_over(call)
        assert [entry for entry in call.audio.log.entries if entry != "interrupt"] in ([], ["start", "stop"])


def test_d38_negotiated_formats_reach_an_interface_that_takes_formats(caplog):
    # The reference hands µ-law to a PCM speaker and PCM to a µ-law recogniser, in silence.
    with LoopbackAgent(output_format="ulaw_8000", input_format="pcm_48000") as agent:
        with conversation(agent, audio_interface=ReportingAudio()) as call:
            call.start()
            call.audio.log.wait_for("start")
            assert call.audio.formats == ("ulaw_8000", "pcm_48000")
        with conversation(agent, audio_interface=FakeAudio()) as call:
            call.start(1)
            call.audio.log.wait_for("start")
    [warning] = [record.message for record in caplog.records]
    assert warning.startswith("the agent speaks ulaw_8000 and hears pcm_48000; FakeAudio gets")


def test_d39_a_signed_url_is_kept_to_the_letter():
    # The reference decodes and encodes it again, and a plus becomes %20.
    with LoopbackAgent(requires_auth=True, api_key="key") as agent:
        client = ElevenLabs(api_key="key", base_url=agent.base_url)
        with conversation(agent, client=client, requires_auth=True) as call:
            assert "conversation_signature=cvtkn+0%2Floopback&source=" in call.start().request_path


def test_d40_on_prem_wins_over_authentication(agent):
    # The reference asks the cloud for a signed URL.
    on_prem = OnPremInitiationData(f"ws://127.0.0.1:{agent.port}/x/convai/conversation")
    with conversation(agent, on_prem_config=on_prem, requires_auth=True) as call:
        assert call.start().request_path == "/x/convai/conversation"
    assert len(agent.requests) == 1


FORGOTTEN = """
import convsm
from convsm.audio.interface import AudioInterface
class Silent(AudioInterface):
    def start(self, input_callback): pass
    def stop(self): pass
    def output(self, audio): pass
    def interrupt(self): pass
conversation = convsm.Conversation(
    convsm.ElevenLabs(base_url={url!r}), "agent", requires_auth=False, audio_interface=Silent(),
    callback_state_change=lambda change: None, record={path!r},
)
conversation.start_session()
print(conversation.wait_until_ready(5))
"""


@pytest.mark.parametrize("handshake", ["answered", "held"])
def test_d41_a_forgotten_session_does_not_keep_the_interpreter_alive(handshake, tmp_path):
    # The reference's thread is not a daemon.
    script = [HoldHandshake()] if handshake == "held" else []
    with LoopbackAgent(script) as agent:
        program = FORGOTTEN.format(url=agent.base_url, path=str(tmp_path / "recording.jsonl"))
        if handshake == "held":
            program = program[: program.index("print(")]
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("conv_0\n" if handshake == "answered" else "")


def test_d42_importing_warns_of_nothing():
    # The reference names a class in an annotation that is deprecated.
    program = "import convsm; from convsm import *; from convsm import Conversation"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=20)


def test_d44_no_class_is_made_for_a_message(agent):
    # The reference makes a handler class for each message.
    with conversation(agent) as call:
        connection = call.start()
        connection.send(StreamText(["Hi"]))
        connection.send(Ping(1))
        connection.wait_for("pong")
        gc.collect()
        before = {*object.__subclasses__()}
        for _ in range(50):
            connection.send(UserSaid("Yes"))
        call.log.wait_for(("user", "Yes"), 50)
        assert {*object.__subclasses__()} - before == set()


@pytest.mark.parametrize("end", [Close(1011), Drop()])
def test_d45_a_microphone_that_goes_on_after_the_end_makes_no_noise(end, caplog):
    # In the reference each piece is an error in the log, and one of them races the receiver to the end.
    with LoopbackAgent([end]) as agent, conversation(agent, audio_interface=FakeAudio()) as call:
        speaking, silent = threading.Event(), threading.Event()

        def speak():
            while not silent.wait(0.001):
                call.audio.microphone(PCM)
                speaking.set()

        microphone = run(speak)
        assert speaking.wait(PATIENCE)
        call.start()
        call.finish()
        silent.set()
        join(microphone)
        assert call.details.reason == "error"
    assert caplog.records == []
