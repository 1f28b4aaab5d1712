"""convsm: the explicit state machine behind a real-time voice conversation with an AI agent."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from convsm.version import VERSION as __version__  # noqa: N811

if TYPE_CHECKING:
    from convsm.audio.async_device import AsyncDefaultAudioInterface
    from convsm.audio.async_interface import AsyncAudioInterface, AsyncReportingAudioInterface
    from convsm.audio.device import DefaultAudioInterface
    from convsm.audio.interface import AudioInterface, ReportingAudioInterface
    from convsm.audio.vad import (
        LoudnessModel,
        SileroModel,
        SpeechDetector,
        VoiceSettings,
    )
    from convsm.audio.wav import WavAudioInterface
    from convsm.errors import (
        AudioError,
        ConfigurationError,
        ConnectionFailed,
        ConvsmError,
        ProtocolError,
        RefusedCommand,
        StopResponse,
        TableError,
        ToolError,
    )
    from convsm.machine import Session, SessionOptions
    from convsm.machine.effects import StateChanged
    from convsm.protocols.elevenlabs_opening import (
        ConversationInitiationData,
        OnPremInitiationData,
        PostCallWebhookConfig,
    )
    from convsm.protocols.elevenlabs_overrides import (
        AgentOverride,
        AsrOverride,
        ConfigurationOverride,
        ConversationOverride,
        KnowledgeBaseDocument,
        PromptOverride,
        SoftTimeoutOverride,
        SourceInfo,
        ToolMocking,
        TtsOverride,
        TurnOverride,
    )
    from convsm.protocols.messages import AgentChatResponsePartType, AudioEventAlignment, McpToolCall
    from convsm.protocols.openai_options import (
        FunctionTool,
        RealtimeOptions,
        SemanticVad,
        ServerVad,
        Transcription,
    )
    from convsm.recording import Recorder, replay
    from convsm.runtime.async_conversation import AsyncConversation
    from convsm.runtime.conversation import Conversation
    from convsm.runtime.openai import OpenAIRealtime
    from convsm.runtime.tools import ClientTools
    from convsm.runtime.turn_questions import CompletedTurn
    from convsm.runtime.wiring import DisconnectionDetails
    from convsm.transport.options import TransportOptions
    from convsm.transport.rest import AsyncElevenLabs, ElevenLabs, SignedUrl, UploadedFile
    from convsm.turns import (
        Endpointing,
        Interruption,
        TurnHandling,
        UserTurnLimit,
        WordListClassifier,
    )

__all__ = [
    "AgentChatResponsePartType",
    "AgentOverride",
    "AsrOverride",
    "AsyncAudioInterface",
    "AsyncConversation",
    "AsyncDefaultAudioInterface",
    "AsyncElevenLabs",
    "AsyncReportingAudioInterface",
    "AudioError",
    "AudioEventAlignment",
    "AudioInterface",
    "ClientTools",
    "CompletedTurn",
    "ConfigurationError",
    "ConfigurationOverride",
    "ConnectionFailed",
    "Conversation",
    "ConversationInitiationData",
    "ConversationOverride",
    "ConvsmError",
    "DefaultAudioInterface",
    "DisconnectionDetails",
    "ElevenLabs",
    "Endpointing",
    "FunctionTool",
    "Interruption",
    "KnowledgeBaseDocument",
    "LoudnessModel",
    "McpToolCall",
    "OnPremInitiationData",
    "OpenAIRealtime",
    "PostCallWebhookConfig",
    "PromptOverride",
    "ProtocolError",
    "RealtimeOptions",
    "Recorder",
    "RefusedCommand",
    "ReportingAudioInterface",
    "SemanticVad",
    "ServerVad",
    "Session",
    "SessionOptions",
    "SignedUrl",
    "SileroModel",
    "SoftTimeoutOverride",
    "SourceInfo",
    "SpeechDetector",
    "StateChanged",
    "StopResponse",
    "TableError",
    "ToolError",
    "ToolMocking",
    "Transcription",
    "TransportOptions",
    "TtsOverride",
    "TurnHandling",
    "TurnOverride",
    "UploadedFile",
    "UserTurnLimit",
    "VoiceSettings",
    "WavAudioInterface",
    "WordListClassifier",
    "__version__",
    "replay",
]

# Where each name lives. They are imported on first use: who wants a diagram pays for no socket.
_HOMES = {
    "convsm.turns": (
        "Endpointing",
        "Interruption",
        "TurnHandling",
        "UserTurnLimit",
        "WordListClassifier",
    ),
    "convsm.runtime.turn_questions": ("CompletedTurn",),
    "convsm.audio.vad": (
        "LoudnessModel",
        "SileroModel",
        "SpeechDetector",
        "VoiceSettings",
    ),
    "convsm.audio.async_device": ("AsyncDefaultAudioInterface",),
    "convsm.audio.async_interface": ("AsyncAudioInterface", "AsyncReportingAudioInterface"),
    "convsm.audio.device": ("DefaultAudioInterface",),
    "convsm.audio.interface": ("AudioInterface", "ReportingAudioInterface"),
    "convsm.audio.wav": ("WavAudioInterface",),
    "convsm.errors": (
        "AudioError",
        "ConfigurationError",
        "ConnectionFailed",
        "ConvsmError",
        "ProtocolError",
        "RefusedCommand",
        "StopResponse",
        "TableError",
        "ToolError",
    ),
    "convsm.machine": ("Session", "SessionOptions"),
    "convsm.machine.effects": ("StateChanged",),
    "convsm.protocols.elevenlabs_opening": (
        "ConversationInitiationData",
        "OnPremInitiationData",
        "PostCallWebhookConfig",
    ),
    "convsm.protocols.elevenlabs_overrides": (
        "AgentOverride",
        "AsrOverride",
        "ConfigurationOverride",
        "ConversationOverride",
        "KnowledgeBaseDocument",
        "PromptOverride",
        "SoftTimeoutOverride",
        "SourceInfo",
        "ToolMocking",
        "TtsOverride",
        "TurnOverride",
    ),
    "convsm.protocols.messages": ("AgentChatResponsePartType", "AudioEventAlignment", "McpToolCall"),
    "convsm.protocols.openai_options": (
        "FunctionTool",
        "RealtimeOptions",
        "SemanticVad",
        "ServerVad",
        "Transcription",
    ),
    "convsm.recording": ("Recorder", "replay"),
    "convsm.runtime.async_conversation": ("AsyncConversation",),
    "convsm.runtime.openai": ("OpenAIRealtime",),
    "convsm.runtime.conversation": ("Conversation",),
    "convsm.runtime.tools": ("ClientTools",),
    "convsm.runtime.wiring": ("DisconnectionDetails",),
    "convsm.transport.rest": ("AsyncElevenLabs", "ElevenLabs", "SignedUrl", "UploadedFile"),
    "convsm.transport.options": ("TransportOptions",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'convsm' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
