"""The options of a conversation: the reference client's arguments and convsm's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from convsm.errors import ConfigurationError
from convsm.machine import SessionOptions
from convsm.machine.effects import StateChanged
from convsm.machine.events import Interrupted
from convsm.observation.metrics import Measured
from convsm.protocols import messages
from convsm.protocols.elevenlabs_opening import ConversationInitiationData, OnPremInitiationData
from convsm.protocols.messages import AgentChatResponsePartType, AudioEventAlignment
from convsm.runtime.elevenlabs import Client
from convsm.runtime.tools import ClientTools
from convsm.runtime.wiring import DisconnectionDetails, Service
from convsm.transport.options import TransportOptions

if TYPE_CHECKING:
    from convsm.audio.vad import VoiceDetector
    from convsm.runtime.turn_questions import CompletedTurn
    from convsm.turns import OverlapClassifier, TurnHandling, reports

__all__ = ["ConversationOptions", "is_service"]


class ConversationOptions:
    """What a conversation is made with.

    Attributes:
        client: As given to the constructor, like all attributes named as its arguments.
    """

    def __init__(
        self,
        client: Client | Service | None,
        agent_id: str | None = None,
        user_id: str | None = None,
        *,
        requires_auth: bool | None = None,
        audio_interface: Any = None,
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
        callback_connect: Callable[[str, str, str], object] | None = None,
        callback_status: Callable[[str], object] | None = None,
        callback_mode: Callable[[str], object] | None = None,
        callback_interruption: Callable[[Interrupted], object] | None = None,
        callback_metrics: Callable[[Measured], object] | None = None,
        callback_audio: Callable[[bytes, int], object] | None = None,
        callback_tentative_transcript: Callable[[str], object] | None = None,
        callback_vad_score: Callable[[float], object] | None = None,
        callback_error: Callable[[messages.ServerError], object] | None = None,
        callback_agent_tool_request: Callable[[messages.AgentToolRequest], object] | None = None,
        callback_agent_tool_response: Callable[[messages.AgentToolResponse], object] | None = None,
        callback_unhandled_tool: Callable[[str, str, dict[str, Any]], object] | None = None,
        callback_mcp_approval: Callable[[messages.McpToolCall], bool | Awaitable[bool]] | None = None,
        callback_mcp_tool_call: Callable[[messages.McpToolCall], object] | None = None,
        callback_mcp_connection_status: Callable[[messages.McpConnectionStatus], object] | None = None,
        callback_guardrail: Callable[[messages.GuardrailTriggered], object] | None = None,
        callback_context_usage: Callable[[messages.ContextUsage], object] | None = None,
        callback_agent_typing: Callable[[messages.AgentTyping], object] | None = None,
        callback_reasoning_part: Callable[[str, AgentChatResponsePartType], object] | None = None,
        callback_response_complete: Callable[[int | None], object] | None = None,
        callback_metadata: Callable[[messages.ResponseMetadata], object] | None = None,
        callback_message_received: Callable[[bytes], object] | None = None,
        callback_message_sent: Callable[[bytes], object] | None = None,
        callback_user_state_changed: Callable[[reports.UserStateChanged], object] | None = None,
        callback_agent_state_changed: Callable[[reports.AgentStateChanged], object] | None = None,
        callback_user_interruption_detected: Callable[[reports.UserInterruptionDetected], object]
        | None = None,
        callback_agent_false_interruption: Callable[[reports.AgentFalseInterruption], object] | None = None,
        callback_user_turn_exceeded: Callable[[reports.UserTurnExceeded], object] | None = None,
        callback_user_transcription_timeout: Callable[[reports.UserTranscriptionTimeout], object]
        | None = None,
        turn_handling: TurnHandling | Mapping[str, Any] | None = None,
        voice_detector: VoiceDetector | Literal["auto"] | None = "auto",
        overlap_classifier: OverlapClassifier | None = None,
        on_user_turn_completed: Callable[[CompletedTurn], object] | None = None,
        on_user_turn_exceeded: Callable[[reports.UserTurnExceeded], object] | None = None,
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
        """Describe a conversation; nothing is opened, no thread and no task starts.

        Args:
            client: An ``elevenlabs.ElevenLabs``, a ``convsm.ElevenLabs``, or anything with
                ``_client_wrapper.get_base_url()`` and, for ``requires_auth``,
                ``conversational_ai.conversations.get_signed_url(agent_id=…)``. An ``AsyncElevenLabs`` of
                either makes works with ``AsyncConversation``. None suffices on-prem. For another protocol,
                its own description of the server, such as ``OpenAIRealtime``: then the arguments
                that are ElevenLabs' are left out.
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
            callback_connect: Called with the conversation's id and the formats of output and input.
            callback_status: Called with ``connecting``, ``connected``, ``disconnecting``, ``disconnected``.
            callback_mode: Called with ``speaking`` or ``listening``: whether the agent is audible.
            callback_interruption: Called with each interruption.
            callback_metrics: Called with each thing that was measured: the measure's name and its value.
            callback_audio: Called with each piece of the agent's speech and the number of its turn.
            callback_tentative_transcript: Called with what the user seems to be saying.
            callback_vad_score: Called with how sure the server is that the user speaks, from 0 to 1.
            callback_error: Called with each error that the server reports.
            callback_agent_tool_request: Called when the agent is about to use a tool, whoever runs it.
            callback_agent_tool_response: Called when a tool has answered the agent, whoever ran it.
            callback_unhandled_tool: Called with name, call id and parameters of a call of a tool that is not
                registered; it waits for send_tool_result. Without this the agent gets an error.
            callback_mcp_approval: Asked whether an MCP tool may run; runs like a tool. All but True is a no.
            callback_mcp_tool_call: Called with each change of a call of an MCP tool.
            callback_mcp_connection_status: Called with the agent's MCP servers when one of them changes.
            callback_guardrail: Called when a guardrail stopped the agent.
            callback_context_usage: Called with how full the language model's context is.
            callback_agent_typing: Called when a human who took over types.
            callback_reasoning_part: Called with each piece of the agent's reasoning and its kind.
            callback_response_complete: Called with the number of each turn that was generated to its end.
            callback_metadata: Called with what a custom language model attached to its response.
            callback_message_received: Called with each message from the socket, undecoded.
            callback_message_sent: Called with each message to the socket; the first may hold your secrets.
            callback_user_state_changed: Called when the user speaks, falls silent, goes away, comes back.
            callback_agent_state_changed: Called when the agent becomes ``initializing``, ``listening``,
                ``thinking``, ``speaking`` or ``idle``.
            callback_user_interruption_detected: Called when the user cuts in, for certain or not yet.
            callback_agent_false_interruption: Called when that came to nothing and the agent goes on.
            callback_user_turn_exceeded: Called when the user has said more than the limit allows.
            callback_user_transcription_timeout: Called when no words come of the user's speech.
            turn_handling: Who has the floor: a ``TurnHandling``, or a mapping of what is to differ from the
                defaults. None leaves it all to the server; then nothing of turn handling may be given.
            voice_detector: Hears the user speak on this side. ``auto`` is Silero's model if the extra
                ``convsm[vad]`` is installed; None leaves it to the server. One of your own listens in one
                session at a time; another session waits five seconds for it and then goes without.
            overlap_classifier: Tells a listener's "mhm" from an interruption.
            on_user_turn_completed: Asked about each turn of the user's that is over, before a reply is
                asked for; runs like a tool. It may raise ``StopResponse``.
            on_user_turn_exceeded: Told of a turn that is too long, and does what is to be done about it; runs
                like a tool. Without it the agent takes the floor, where the server can be asked for a reply.
            on_prem_config: An on-prem server; wins over ``requires_auth``.
            environment: Name of the server-side environment.
            audio_required: End with an error when the audio interface fails; False goes on without audio.
            equal_id: Whether audio whose id equals the last interruption's is played. ``play`` is what the
                JavaScript client does: after a message that interrupts, the reply's audio carries that id.
            allow_insecure: Accept ``ws://`` to another machine, as within a private network.
            record: Path of a recording to write: every event and effect, without audio and secrets. A
                restart of this conversation is appended.
            record_audio: Put the audio into the recording too.
            session_options: Timers and bounds; text_only and needs_audio are set by the arguments above, and
                can_pause is False unless the audio interface can.
            transport_options: Limits of the connection.

        Raises:
            TypeError: ``agent_id`` or ``requires_auth`` is missing, which ElevenLabs needs.
            ConfigurationError: An argument does nothing with this protocol.
        """
        if is_service(client):
            _refuse_all_of_elevenlabs(
                agent_id=agent_id,
                user_id=user_id,
                requires_auth=requires_auth,
                config=config,
                on_prem_config=on_prem_config,
                environment=environment,
                equal_id=None if equal_id == "play" else equal_id,
            )
        elif agent_id is None or requires_auth is None:
            missing = "agent_id" if agent_id is None else "requires_auth"
            raise TypeError(f"{type(self).__name__}() needs {missing} with an ElevenLabs client")
        if isinstance(voice_detector, str) and voice_detector != "auto":
            raise ConfigurationError(
                f"voice_detector is a VoiceDetector, 'auto' or None, not {voice_detector!r}"
            )
        if turn_handling is None:
            _refuse_all_of_turn_handling(
                voice_detector=None if isinstance(voice_detector, str) else voice_detector,
                overlap_classifier=overlap_classifier,
                on_user_turn_completed=on_user_turn_completed,
                on_user_turn_exceeded=on_user_turn_exceeded,
                callback_user_state_changed=callback_user_state_changed,
                callback_agent_state_changed=callback_agent_state_changed,
                callback_user_interruption_detected=callback_user_interruption_detected,
                callback_agent_false_interruption=callback_agent_false_interruption,
                callback_user_turn_exceeded=callback_user_turn_exceeded,
                callback_user_transcription_timeout=callback_user_transcription_timeout,
            )
        self.client = client
        self.agent_id = agent_id or ""
        self.user_id = user_id
        self.requires_auth = bool(requires_auth)
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
        self.callback_connect = callback_connect
        self.callback_status = callback_status
        self.callback_mode = callback_mode
        self.callback_interruption = callback_interruption
        self.callback_metrics = callback_metrics
        self.callback_audio = callback_audio
        self.callback_tentative_transcript = callback_tentative_transcript
        self.callback_vad_score = callback_vad_score
        self.callback_error = callback_error
        self.callback_agent_tool_request = callback_agent_tool_request
        self.callback_agent_tool_response = callback_agent_tool_response
        self.callback_unhandled_tool = callback_unhandled_tool
        self.callback_mcp_approval = callback_mcp_approval
        self.callback_mcp_tool_call = callback_mcp_tool_call
        self.callback_mcp_connection_status = callback_mcp_connection_status
        self.callback_guardrail = callback_guardrail
        self.callback_context_usage = callback_context_usage
        self.callback_agent_typing = callback_agent_typing
        self.callback_reasoning_part = callback_reasoning_part
        self.callback_response_complete = callback_response_complete
        self.callback_metadata = callback_metadata
        self.callback_message_received = callback_message_received
        self.callback_message_sent = callback_message_sent
        self.callback_user_state_changed = callback_user_state_changed
        self.callback_agent_state_changed = callback_agent_state_changed
        self.callback_user_interruption_detected = callback_user_interruption_detected
        self.callback_agent_false_interruption = callback_agent_false_interruption
        self.callback_user_turn_exceeded = callback_user_turn_exceeded
        self.callback_user_transcription_timeout = callback_user_transcription_timeout
        self.turn_handling = turn_handling
        self.voice_detector: VoiceDetector | Literal["auto"] | None = voice_detector
        self.overlap_classifier = overlap_classifier
        self.on_user_turn_completed = on_user_turn_completed
        self.on_user_turn_exceeded = on_user_turn_exceeded
        self.on_prem_config = on_prem_config
        self.environment = environment
        self.audio_required = audio_required
        self.equal_id: Literal["play", "drop"] = equal_id
        self.allow_insecure = allow_insecure
        self.record = record
        self.record_audio = record_audio
        self.session_options = session_options
        self.transport_options = transport_options
        self._begin()

    def _begin(self) -> None:
        """Prepare what a subclass keeps beside the options."""


def is_service(client: object) -> bool:
    """Tell whether the first argument describes a server of another vendor's."""
    # Of the class, for a stand-in for a client may have an attribute of any name.
    return hasattr(type(client), "opening")


def _refuse_all_of_elevenlabs(**arguments: object) -> None:
    names = _given(arguments)
    if names:
        raise ConfigurationError(
            f"{names}: only ElevenLabs knows that; describe the session in the first argument."
        )


def _refuse_all_of_turn_handling(**arguments: object) -> None:
    names = _given(arguments)
    if names:
        raise ConfigurationError(f"{names}: nothing comes of that without turn_handling; give that too.")


def _given(arguments: Mapping[str, object]) -> str:
    return ", ".join(name for name, value in arguments.items() if value is not None)
