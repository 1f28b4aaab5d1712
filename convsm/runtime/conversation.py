"""Conversation: the reference API on threads, a thin face on the session and its driver."""

from __future__ import annotations

import threading
from collections.abc import Callable
from os import PathLike, fspath
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from convsm.audio.interface import AudioInterface
from convsm.errors import ConnectionFailed, ConvsmError, RefusedCommand
from convsm.machine import SessionOptions
from convsm.machine.effects import AnnounceEnd, StateChanged
from convsm.protocols.elevenlabs_opening import ConversationInitiationData, OnPremInitiationData
from convsm.protocols.messages import (
    AgentChatResponsePartType,
    AudioEventAlignment,
    ContextualUpdate,
    UserActivity,
    UserMessage,
)
from convsm.runtime.driver import Driver, Wiring
from convsm.runtime.tools import ClientTools
from convsm.runtime.wiring import (
    Client,
    DisconnectionDetails,
    Observer,
    Opening,
    multimodal_message,
    observers,
)
from convsm.transport.threaded import TransportOptions

if TYPE_CHECKING:
    from typing_extensions import Self

    from convsm.recording import Recorder

__all__ = ["Conversation"]

# How long wait_for_session_end waits, once the session is idle, for callbacks and audio to finish.
AFTER_END_SECONDS = 1.0


class Conversation:
    """A voice or text conversation with an ElevenLabs agent, on threads.

    All methods may be called from any thread, any callback, any tool and any method of the audio
    interface, in every state; each says what it does where it is of no use. The conversation can be
    started again after it ended. As a context manager it starts, waits until the server has accepted,
    and ends when the body is left.

    Callbacks run one at a time, in order, on a thread of their own: a slow one delays only other
    callbacks, and one that raises is logged and ends nothing.

    Attributes:
        client: As given to the constructor, like all attributes named as its arguments.
    """

    _driver_class = Driver

    def __init__(
        self,
        client: Client | None,
        agent_id: str,
        user_id: str | None = None,
        *,
        requires_auth: bool,
        audio_interface: AudioInterface | None = None,
        config: ConversationInitiationData | None = None,
        client_tools: ClientTools | None = None,
        callback_agent_response: Callable[[str], object] | None = None,
        callback_agent_response_correction: Callable[[str, str], object] | None = None,
        callback_agent_chat_response_part: Callable[[str, AgentChatResponsePartType], object] | None = None,
        callback_user_transcript: Callable[[str], object] | None = None,
        callback_latency_measurement: Callable[[int], object] | None = None,
        callback_audio_alignment: Callable[[AudioEventAlignment], object] | None = None,
        callback_end_session: Callable[[], object] | None = None,
        callback_disconnect: Callable[[DisconnectionDetails], object] | None = None,
        callback_state_change: Callable[[StateChanged], object] | None = None,
        on_prem_config: OnPremInitiationData | None = None,
        environment: str | None = None,
        audio_required: bool = True,
        equal_id: Literal["play", "drop"] = "play",
        allow_insecure: bool = False,
        record: str | PathLike[str] | None = None,
        record_audio: bool = False,
        session_options: SessionOptions | None = None,
        transport_options: TransportOptions | None = None,
    ) -> None:
        """Describe a conversation; nothing is opened and no thread starts.

        Args:
            client: An ``elevenlabs.ElevenLabs``, a ``convsm.ElevenLabs``, or anything with
                ``_client_wrapper.get_base_url()`` and, for ``requires_auth``,
                ``conversational_ai.conversations.get_signed_url(agent_id=…)``. None suffices on-prem.
            agent_id: Id of the agent.
            user_id: Id of the user; comes before the one in ``config``.
            requires_auth: Fetch a signed URL with the client's API key.
            audio_interface: Microphone and loudspeaker; None makes a text-only conversation.
            config: Options of the conversation.
            client_tools: Tools that the agent may call; may serve other conversations too.
            callback_agent_response: Called with the full text of each agent turn.
            callback_agent_response_correction: Called with the original and the text as far as it was
                spoken, after an interruption.
            callback_agent_chat_response_part: Called with each streamed piece of text and its kind.
            callback_user_transcript: Called with each final transcript of the user.
            callback_latency_measurement: Called with the round trip in milliseconds that the server measured.
            callback_audio_alignment: Called with the character timing of each piece of audio that has one.
            callback_end_session: Called once at the end.
            callback_disconnect: Called once at the end, with the cause.
            callback_state_change: Called with each change: ``source``, ``target``, ``event``, ``at``.
            on_prem_config: An on-prem server; wins over ``requires_auth``.
            environment: Name of the server-side environment.
            audio_required: End with an error when the audio interface fails; False goes on without audio.
            equal_id: Whether audio whose id equals the last interruption's is played. ``play`` is what the
                JavaScript client does: after a message that interrupts, the reply's audio carries that id.
            allow_insecure: Accept ``ws://`` to another machine, as within a private network.
            record: Path of a recording to write: every event and effect, without audio and secrets. A
                restart of this conversation is appended.
            record_audio: Put the audio into the recording too.
            session_options: Timers and bounds; text_only and needs_audio are set by the arguments above.
            transport_options: Limits of the connection.
        """
        self.client = client
        self.agent_id = agent_id
        self.user_id = user_id
        self.requires_auth = requires_auth
        self.audio_interface = audio_interface
        self.config = config or ConversationInitiationData()
        self.client_tools = client_tools or ClientTools()
        self.callback_agent_response = callback_agent_response
        self.callback_agent_response_correction = callback_agent_response_correction
        self.callback_agent_chat_response_part = callback_agent_chat_response_part
        self.callback_user_transcript = callback_user_transcript
        self.callback_latency_measurement = callback_latency_measurement
        self.callback_audio_alignment = callback_audio_alignment
        self.callback_end_session = callback_end_session
        self.callback_disconnect = callback_disconnect
        self.callback_state_change = callback_state_change
        self.on_prem_config = on_prem_config
        self.environment = environment
        self.audio_required = audio_required
        self.equal_id: Literal["play", "drop"] = equal_id
        self.allow_insecure = allow_insecure
        self.record = record
        self.record_audio = record_audio
        self.session_options = session_options
        self.transport_options = transport_options
        self._driver: Driver | None = None
        self._lock = threading.Lock()

    # Life

    def start_session(self) -> None:
        """Begin the conversation; returns before connecting and never raises for the connection.

        Raises:
            RefusedCommand: It was started already and has not ended.
            ConfigurationError: The options contradict each other.
            OSError: The recording cannot be written.
        """
        is_started = False
        while not is_started:
            with self._lock:
                driver = self._driver
                if driver is None or driver.ending is not None:
                    driver = self._driver_class(self._wiring())
                    self._driver = driver
            # Not under the lock: it waits for whoever moves the session, who may be calling us.
            is_started = driver.start()

    def end_session(self) -> None:
        """End the conversation; returns once that is accepted, in every state.

        Queued speech is silenced. Does and announces nothing when there is no session.
        """
        if self._driver is not None:
            self._driver.end()

    def wait_until_ready(self, timeout: float | None = None) -> str:
        """Wait until the server has accepted the conversation.

        Args:
            timeout: Seconds; None waits as long as connecting may take.

        Returns:
            The conversation's id.

        Raises:
            RuntimeError: The session was not started.
            ConnectionFailed: It ended before the server accepted.
            TimeoutError: The timeout passed; the session goes on connecting.
        """
        driver = self._started("wait_until_ready")
        if not driver.is_ready.wait(timeout):
            raise TimeoutError(
                f"the server has not accepted the conversation within {timeout:g} s; still connecting"
            )
        conversation_id = driver.session.conversation_id
        if conversation_id is None:
            assert driver.ending is not None
            raise ConnectionFailed(
                f"the session ended before it was ready: {driver.ending.message}", driver.ending.status
            )
        return conversation_id

    def wait_for_session_end(self) -> str | None:
        """Wait until the conversation is over.

        Returns once the session is idle, the audio interface has stopped and the callbacks have run, or
        one second after it became idle; from a callback or a tool it waits for idle only.

        Returns:
            The conversation's id; None if it ended before the server accepted.

        Raises:
            RuntimeError: The session was not started, or the caller is a method of the audio interface.
            ConnectionFailed: The connection failed before the server accepted.
        """
        driver = self._started("wait_for_session_end")
        if driver.is_performing_here:
            raise RuntimeError(
                "wait_for_session_end cannot wait inside output or interrupt of the audio interface"
            )
        driver.is_over.wait()
        # Callbacks, tools and audio methods run on threads of ours: none waits for itself.
        if not threading.current_thread().name.startswith("convsm-"):
            driver.join(AFTER_END_SECONDS)
        ending = driver.ending
        assert ending is not None
        if not ending.was_ready and ending.reason != "user":
            raise ConnectionFailed(ending.message, ending.status)
        return driver.session.conversation_id

    def __enter__(self) -> Self:
        self.start_session()
        try:
            self.wait_until_ready()
        except BaseException:
            self.end_session()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_session()
        try:
            self.wait_for_session_end()
        except ConvsmError:
            if error is None:
                raise

    def interrupt(self) -> None:
        """Silence the agent, a farewell too; does nothing while nothing of it is audible.

        What the server still sends of that turn is dropped. ElevenLabs is told no more than that the user is
        active: the agent stays quiet for a while, and believes that it was heard.

        Raises:
            RuntimeError: There is no session.
        """
        self._started("interrupt").interrupt()

    # Sending

    def send_user_message(self, text: str) -> None:
        """Say something in writing; counts as a turn of the user and interrupts the agent.

        While connecting it is held and sent once the server has accepted.

        Raises:
            RuntimeError: There is no session, it is ending, or too much waits to be sent.
        """
        self._started("send_user_message").send(UserMessage(text))

    def send_contextual_update(self, text: str) -> None:
        """Tell the agent something without taking a turn.

        Raises:
            RuntimeError: As for send_user_message.
        """
        self._started("send_contextual_update").send(ContextualUpdate(text))

    def register_user_activity(self) -> None:
        """Tell the server that the user is busy: its turn timeout begins anew, the agent stays quiet.

        Raises:
            RuntimeError: As for send_user_message.
        """
        self._started("register_user_activity").send(UserActivity())

    def send_multimodal_message(
        self, text: str | None = None, file_id: str | None = None, file_ids: list[str] | None = None
    ) -> None:
        """Say something in writing with files that were uploaded before.

        Args:
            text: What to say.
            file_id: Id of one file; ``file_ids`` wins.
            file_ids: Ids of files.

        Raises:
            RuntimeError: As for send_user_message.
            ValueError: Neither text nor file was given.
        """
        driver = self._started("send_multimodal_message")
        session = driver.session
        if "Send" not in session.accepts():  # this is told before what is wrong with the arguments
            raise RefusedCommand("Send", session.state, session.accepts())
        driver.send(multimodal_message(text, file_id, file_ids))

    # Reading

    @property
    def state(self) -> str:
        """Name of the current state; ``idle`` before the start and after the end."""
        return "idle" if self._driver is None else self._driver.session.state

    @property
    def conversation_id(self) -> str | None:
        """The server's id of the current or last conversation, once it accepted."""
        return None if self._driver is None else self._driver.session.conversation_id

    # Putting it together

    def _started(self, call: str) -> Driver:
        if self._driver is None:
            reason = f"Session not started: {call} in state 'idle' needs start_session() first"
            raise RefusedCommand(call, "idle", ("Start", "End"), reason)
        return self._driver

    def _wiring(self) -> Wiring:
        opening = Opening(
            client=self.client,
            agent_id=self.agent_id,
            user_id=self.user_id,
            requires_auth=self.requires_auth,
            config=self.config,
            on_prem_config=self.on_prem_config,
            environment=self.environment,
            has_audio=self.audio_interface is not None,
            allow_insecure=self.allow_insecure,
        )
        options = opening.session_options(self.session_options, self.audio_required)
        codec = opening.codec(self.equal_id)

        def resolve_url() -> str:
            if opening.needs_signature():
                return opening.url(str(opening.ask_signature().signed_url))
            return opening.url()

        return Wiring(
            options=options,
            codec=codec,
            resolve_url=resolve_url,
            transport=self.transport_options or TransportOptions(),
            audio=None if options.text_only else self.audio_interface,
            tools=self.client_tools,
            observers=observers(vars(self)),
            on_state_change=(
                Observer("callback_state_change", self.callback_state_change)
                if self.callback_state_change is not None
                else None
            ),
            on_end=self._end_observers(),
            open_recorder=self._open_recorder if self.record is not None else None,
        )

    def _open_recorder(self, options: SessionOptions) -> Recorder:
        from convsm.recording import Recorder

        assert self.record is not None
        is_restart = self._driver is not None
        if self._driver is not None:
            self._driver.finish_recording(AFTER_END_SECONDS)
        return Recorder(
            fspath(self.record),
            options,
            include_audio=self.record_audio,
            header={"protocol": "elevenlabs"},
            append=is_restart,
        )

    def _end_observers(self) -> tuple[Observer, ...]:
        disconnected, ended = self.callback_disconnect, self.callback_end_session

        def call_disconnect(end: AnnounceEnd) -> object:
            return disconnected(DisconnectionDetails.of(end)) if disconnected is not None else None

        def call_end(_: AnnounceEnd) -> object:
            return ended() if ended is not None else None

        return (
            *([Observer("callback_disconnect", call_disconnect)] if disconnected is not None else []),
            *([Observer("callback_end_session", call_end)] if ended is not None else []),
        )
