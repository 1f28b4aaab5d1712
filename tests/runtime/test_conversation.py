from __future__ import annotations

import inspect
import threading
import warnings
from typing import Any

import pytest

from convsm import (
    ClientTools,
    ConnectionFailed,
    Conversation,
    ConversationInitiationData,
    DisconnectionDetails,
    ElevenLabs,
    OnPremInitiationData,
    RefusedCommand,
    SessionOptions,
    TransportOptions,
    TurnHandling,
    WordListClassifier,
)
from convsm.testing import (
    Close,
    HangUp,
    HoldHandshake,
    LoopbackAgent,
    RefuseHandshake,
    Say,
    SendMetadata,
    WaitFor,
    WaitForInitiation,
)
from tests.runtime.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    FakeAudio,
    conversation,
    join,
    nothing_is_left,
    run,
    threads,
)

pytestmark = pytest.mark.usefixtures("shell")


@pytest.fixture
def agent():
    with LoopbackAgent() as agent:
        yield agent


@pytest.fixture
def call(agent):
    with conversation(agent) as call:
        yield call


# Construction


def test_every_argument_of_the_constructor_stays_readable_as_an_attribute():
    given: dict[str, Any] = {
        "client": ElevenLabs(),
        "agent_id": "agent_1",
        "user_id": "user_1",
        "requires_auth": True,
        "audio_interface": FakeAudio(),
        "config": ConversationInitiationData(user_id="someone"),
        "client_tools": ClientTools(),
        "on_prem_config": OnPremInitiationData("wss://x/y"),
        "environment": "staging",
        "audio_required": False,
        "equal_id": "drop",
        "allow_insecure": True,
        "record": "nowhere.jsonl",
        "record_audio": True,
        "session_options": SessionOptions(),
        "transport_options": TransportOptions(),
        "turn_handling": TurnHandling(),
        "voice_detector": None,
        "overlap_classifier": WordListClassifier(),
        "on_user_turn_completed": print,
        "on_user_turn_exceeded": print,
    }
    parameters = {*inspect.signature(Conversation).parameters}
    given |= {name: lambda *_: None for name in parameters if name.startswith("callback_")}
    assert {*given} == parameters
    made = Conversation(**given)
    assert {name: getattr(made, name) for name in given} == given


def test_the_arguments_stand_in_the_order_of_the_reference():
    made = Conversation(ElevenLabs(), "agent_1", "user_1", requires_auth=False)
    assert (made.agent_id, made.user_id) == ("agent_1", "user_1")
    with pytest.raises(TypeError, match="requires_auth"):
        Conversation(ElevenLabs(), "agent_1")


def test_what_is_not_given_is_made():
    made = Conversation(None, "agent_1", requires_auth=False)
    assert made.config == ConversationInitiationData()
    assert isinstance(made.client_tools, ClientTools)
    assert made.audio_interface is None


def test_construction_starts_no_thread_and_opens_nothing(tmp_path):
    Conversation(None, "agent_1", requires_auth=False, record=tmp_path / "recording.jsonl")
    assert threads() == []
    assert [*tmp_path.iterdir()] == []


def test_no_argument_is_deprecated():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Conversation(None, "agent_1", requires_auth=False, callback_end_session=lambda: None)


# Reading


def test_state_and_id_follow_the_conversation(call):
    conversation = call.conversation
    assert (conversation.state, conversation.conversation_id) == ("idle", None)
    call.start()
    assert (conversation.state, conversation.conversation_id) == ("listening", "conv_0")
    conversation.end_session()
    call.finish()
    assert (conversation.state, conversation.conversation_id) == ("idle", "conv_0")


@pytest.mark.parametrize("name", ["state", "conversation_id"])
def test_state_and_id_are_read_only(call, name):
    with pytest.raises(AttributeError):
        setattr(call.conversation, name, "mine")


# Starting


def test_starting_returns_before_anything_is_connected():
    with LoopbackAgent([HoldHandshake()]) as agent, conversation(agent) as call:
        call.conversation.start_session()
        assert call.conversation.state == "connecting"


def test_starting_never_raises_for_the_connection():
    with LoopbackAgent([RefuseHandshake(403)]) as agent, conversation(agent) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match="403"):
            call.finish()


def test_starting_twice_is_refused_and_the_session_goes_on(call):
    call.start()
    with pytest.raises(RefusedCommand, match=r"Start is not possible in state 'listening'"):
        call.conversation.start_session()
    assert call.conversation.state == "listening"


def test_of_many_threads_that_start_at_once_exactly_one_does(agent, call):
    barrier = threading.Barrier(8)
    outcomes = []

    def start():
        barrier.wait()
        try:
            call.conversation.start_session()
            outcomes.append("started")
        except RefusedCommand:
            outcomes.append("refused")

    join(run(*[start] * 8))
    assert sorted(outcomes) == ["refused"] * 7 + ["started"]
    call.conversation.wait_until_ready(PATIENCE)
    call.conversation.end_session()
    call.finish()
    assert len(agent.connections) == 1


def test_options_that_contradict_each_other_are_told_at_the_start(call):
    call.conversation.equal_id = "perhaps"
    with pytest.raises(ValueError, match="equal_id"):
        call.conversation.start_session()
    assert call.conversation.state == "idle"


# Waiting until ready


def test_waiting_until_ready_returns_the_id(call):
    call.conversation.start_session()
    assert call.conversation.wait_until_ready(PATIENCE) == "conv_0"
    assert call.conversation.wait_until_ready() == "conv_0"


def test_waiting_until_ready_without_a_session_is_refused(call):
    with pytest.raises(RuntimeError, match="wait_until_ready in state 'idle' needs start_session"):
        call.conversation.wait_until_ready()


def test_waiting_until_ready_ends_when_its_time_has_passed_and_the_attempt_goes_on():
    accept = threading.Event()
    script = [WaitForInitiation(), WaitFor(accept), SendMetadata("conv_late")]
    with LoopbackAgent(script, opening=False) as agent, conversation(agent) as call:
        call.conversation.start_session()
        with pytest.raises(TimeoutError, match="still connecting"):
            call.conversation.wait_until_ready(0.01)
        accept.set()
        assert call.conversation.wait_until_ready(PATIENCE) == "conv_late"


def test_waiting_until_ready_tells_why_it_will_not_be():
    with LoopbackAgent([RefuseHandshake(401)]) as agent, conversation(agent) as call:
        call.conversation.start_session()
        with pytest.raises(ConnectionFailed, match=r"before it was ready: .* HTTP status 401") as failure:
            call.conversation.wait_until_ready()
        assert failure.value.status == 401


def test_waiting_until_ready_ends_with_the_session():
    with LoopbackAgent([HoldHandshake()]) as agent, conversation(agent) as call:
        call.conversation.start_session()
        failures = []

        def wait():
            with pytest.raises(ConnectionFailed, match="the user ended the conversation") as failure:
                call.conversation.wait_until_ready()
            failures.append(failure.value)

        waiter = run(wait)
        call.conversation.end_session()
        join(waiter)
        assert len(failures) == 1


def test_the_id_is_told_even_if_the_session_lived_for_milliseconds():
    with LoopbackAgent([Close(1008)]) as agent, conversation(agent) as call:
        call.conversation.start_session()
        call.finish()
        assert call.conversation.wait_until_ready() == "conv_0"


# As a context manager


def test_entering_starts_and_waits_and_leaving_ends_and_waits(call):
    with call.conversation as entered:
        assert entered is call.conversation
        assert entered.conversation_id == "conv_0"
        assert entered.state == "listening"
    assert call.conversation.state == "idle"
    assert call.details == DisconnectionDetails("user")


def test_an_error_of_the_body_comes_through_and_the_session_is_over(call):
    with pytest.raises(ZeroDivisionError), call.conversation:
        _ = 1 / 0
    assert call.conversation.state == "idle"
    assert call.details.reason == "user"


def test_an_error_of_the_body_is_not_masked_by_one_of_the_connection(call):
    def fail():
        with call.conversation as entered:
            entered.end_session()
            entered.wait_for_session_end()
            entered.client = ElevenLabs(base_url="http://127.0.0.1:1")
            entered.start_session()
            call.log.wait_for(("end",), 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_a_connection_that_fails_during_the_body_is_told_on_leaving(call):
    def restart():
        with call.conversation as entered:
            entered.end_session()
            entered.wait_for_session_end()
            entered.client = ElevenLabs(base_url="http://127.0.0.1:1")
            entered.start_session()
            call.log.wait_for(("end",), 2)

    with pytest.raises(ConnectionFailed):
        restart()


def enter(call):
    with call.conversation:
        raise AssertionError("never reached")


def test_a_failed_connection_is_told_on_entering():
    with LoopbackAgent([RefuseHandshake(503)]) as agent, conversation(agent) as call:
        with pytest.raises(ConnectionFailed, match="503"):
            enter(call)
        call.log.wait_for(("end",))
        assert call.conversation.state == "idle"


@pytest.mark.threads_only
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_who_breaks_off_the_entering_ends_the_attempt(monkeypatch, error):
    def interrupt(timeout=None):
        raise error

    with LoopbackAgent([HoldHandshake()]) as agent, conversation(agent) as call:
        monkeypatch.setattr(call.conversation, "wait_until_ready", interrupt)
        with pytest.raises(error):
            enter(call)
        call.log.wait_for(("end",))
        assert call.details.reason == "user"


def test_a_session_that_the_agent_ended_during_the_body_is_left_in_peace():
    with LoopbackAgent([HangUp()]) as agent, conversation(agent) as call:
        with call.conversation:
            call.log.wait_for(("end",))
        assert call.details.reason == "agent"


# Interrupting the program (the main thread runs this test)


@pytest.mark.threads_only
def test_an_interface_that_breaks_out_of_the_program_does_not_tear_the_session():
    # A second Ctrl-C would be raised in the main thread; were it the one that performs effects,
    # the close frame, the stop and the timers behind this interrupt would be lost for good.
    seen = []

    def interrupt():
        seen.append(threading.current_thread())
        raise KeyboardInterrupt

    with LoopbackAgent([Say("Hello")]) as agent:
        audio = FakeAudio(on_interrupt=interrupt)
        with conversation(agent, audio_interface=audio) as call:
            call.start()
            audio.log.wait_for(bool)
            call.wait_for_state("agent_speaking")
            audio.log.wait_for(lambda entry: isinstance(entry, bytes))
            call.conversation.end_session()
            call.finish()
            assert call.details == DisconnectionDetails("user")
        assert audio.log.entries[-2:] == ["interrupt", "stop"]
        assert threading.main_thread() not in seen
