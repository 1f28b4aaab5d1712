"""What a protocol can do, and the check of what a user wants against it, before anything is opened."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from convsm.errors import ConfigurationError

__all__ = ["CALLBACKS", "Capabilities", "Requirement", "check_requirements"]


@attrs.frozen(kw_only=True)
class Capabilities:
    """What can be done in a session of a protocol.

    Attributes:
        protocol: Its name, for messages.
        asks_replies: The server replies to messages and tool results only when asked
            (``SessionOptions.asks_replies``).
        server_turn_detection: The server can decide when the user's turn is over.
        client_can_disable_turn_detection: The client can decide that instead.
        client_commit: The client can say that the user's turn is over.
        client_cancel: The client can tell the server to stop generating.
        client_truncate: The client can tell how much of a cut response was heard.
        interim_transcripts: What the user says is told while they speak.
        user_transcripts: What the user said is told.
        server_speech_events: The server tells when the user begins to speak, and ends.
        interruption_event: The server says itself which turn is cut.
        needs_continuous_audio: The server's turn detection wants silence too: a microphone that is off
            has to send it.
        reply_instructions: A reply can be asked for with instructions of its own.
        user_activity: The agent can be asked to wait, for the user is busy.
        feedback: A response can be rated.
        uploaded_files: A message can show files.
        mcp_approval: Tools of MCP servers can be approved.
        audio_alignment: Speech comes with character timing.
        latency_pings: The server measures the round trip.
        response_corrections: The server tells what was really said of a response that was cut.
        agent_reports: The server tells what else its agent does: tools that it uses, guardrails, context,
            reasoning and more.
    """

    protocol: str
    asks_replies: bool = False
    server_turn_detection: bool = False
    client_can_disable_turn_detection: bool = False
    client_commit: bool = False
    client_cancel: bool = False
    client_truncate: bool = False
    interim_transcripts: bool = False
    user_transcripts: bool = False
    server_speech_events: bool = False
    interruption_event: bool = False
    needs_continuous_audio: bool = False
    reply_instructions: bool = False
    user_activity: bool = False
    feedback: bool = False
    uploaded_files: bool = False
    mcp_approval: bool = False
    audio_alignment: bool = False
    latency_pings: bool = False
    response_corrections: bool = False
    agent_reports: bool = False


@attrs.frozen
class Requirement:
    """What an option needs of the protocol.

    Attributes:
        option: The option, as its user wrote it.
        capability: Name of the capability.
        fallback: What is done without it, as the end of a sentence; None if nothing can be, so that the
            option would silently do nothing.
        is_unwanted: Whether the option needs the capability to be absent.
    """

    option: str
    capability: str = attrs.field()
    fallback: str | None = None
    is_unwanted: bool = False

    @capability.validator
    def _check(self, attribute: object, name: str) -> None:
        if name not in attrs.fields_dict(Capabilities) or name == "protocol":
            raise ValueError(f"{name!r} is no capability")


# What the callbacks of a conversation need, all of which are harmless without.
_NEVER = "it is never called"
CALLBACKS: dict[str, Requirement] = {
    name: Requirement(name, capability, _NEVER)
    for name, capability in {
        "callback_user_transcript": "user_transcripts",
        "callback_agent_response_correction": "response_corrections",
        "callback_latency_measurement": "latency_pings",
        "callback_audio_alignment": "audio_alignment",
        "callback_tentative_transcript": "interim_transcripts",
        "callback_vad_score": "agent_reports",
        "callback_agent_tool_request": "agent_reports",
        "callback_agent_tool_response": "agent_reports",
        "callback_mcp_connection_status": "agent_reports",
        "callback_guardrail": "agent_reports",
        "callback_context_usage": "agent_reports",
        "callback_agent_typing": "agent_reports",
        "callback_reasoning_part": "agent_reports",
        "callback_metadata": "agent_reports",
    }.items()
}


def check_requirements(requirements: Iterable[Requirement], capabilities: Capabilities) -> tuple[str, ...]:
    """Check what is wanted against what can be done.

    Args:
        requirements: What the options need.
        capabilities: What the protocol can do with them.

    Returns:
        A sentence for a warning for each option that falls back on something else.

    Raises:
        ConfigurationError: Options would silently do nothing; names all of them.
    """
    missing = [
        wanted for wanted in requirements if getattr(capabilities, wanted.capability) is wanted.is_unwanted
    ]
    refused = [wanted for wanted in missing if wanted.fallback is None]
    if refused:
        names = ", ".join(
            f"{wanted.option} ({'not with' if wanted.is_unwanted else 'needs'} {wanted.capability})"
            for wanted in refused
        )
        raise ConfigurationError(f"{capabilities.protocol} cannot do this: {names}; leave it out.")
    return tuple(
        f"{wanted.option} needs {wanted.capability}, which {capabilities.protocol} lacks: {wanted.fallback}."
        for wanted in missing
    )
