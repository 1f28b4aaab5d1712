"""The output alphabet: everything the machine can ask of the world.

Effects are frozen data, named by imperatives. Whoever performs them must not block and must not
run user code while doing so.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from convsm.machine.answers import (
    Approval,
    CancelReply,
    Interruption,
    ItemHeard,
    Pong,
    RequestReply,
    ToolResult,
)
from convsm.machine.events import Event

__all__ = [
    "EFFECTS",
    "AnnounceEnd",
    "Approval",
    "AskApproval",
    "BeginPlayout",
    "CancelReply",
    "CancelTimer",
    "CancelTool",
    "CloseSocket",
    "Diagnose",
    "DropSocket",
    "Effect",
    "Flush",
    "Interruption",
    "ItemHeard",
    "Notify",
    "OpenSocket",
    "PauseAudio",
    "Play",
    "Pong",
    "Reject",
    "ReleaseTool",
    "RequestReply",
    "ResumeAudio",
    "RunTool",
    "SendOpening",
    "SetTimer",
    "StartAudio",
    "StateChanged",
    "StopAudio",
    "ToolResult",
    "Transmit",
    "TransmitAudio",
    "Unexpected",
    "WithdrawApproval",
]


@attrs.frozen
class Effect:
    """Base of all effects."""


# Socket


@attrs.frozen
class OpenSocket(Effect):
    """Connect. Answered by ConnectionFailed, or by SocketOpened and later one SocketClosed."""


@attrs.frozen
class CloseSocket(Effect):
    """Give up a connection attempt, or send the close frame behind what is queued.

    Attributes:
        code: Close code to send.
    """

    code: int = 1000


@attrs.frozen
class DropSocket(Effect):
    """Shut the socket down without waiting for the peer."""


@attrs.frozen
class SendOpening(Effect):
    """Send the protocol's opening messages, before anything else."""


@attrs.frozen
class Transmit(Effect):
    """Queue one message for the server.

    Attributes:
        message: A typed message that the codec can encode.
    """

    message: object


@attrs.frozen
class TransmitAudio(Effect):
    """Queue a piece of the user's audio for the server.

    Attributes:
        audio: Samples in the session's input format.
    """

    audio: bytes


# Audio


@attrs.frozen
class StartAudio(Effect):
    """Open the audio interface. Answered by AudioStarted or AudioFailed.

    Attributes:
        output_format: Format of what will be played.
        input_format: Format that the microphone has to deliver.
    """

    output_format: str
    input_format: str


@attrs.frozen
class BeginPlayout(Effect):
    """The device is open: play what was handed over while it opened."""


@attrs.frozen
class Play(Effect):
    """Hand a piece of speech to the loudspeaker.

    Attributes:
        number: Running number, from 1; Played reports it back.
        audio: Samples in the session's output format.
        turn: Number of the agent's turn.
    """

    number: int
    audio: bytes
    turn: int


@attrs.frozen
class Flush(Effect):
    """Fall silent now and forget all that was handed over."""


@attrs.frozen
class PauseAudio(Effect):
    """Fall silent now and keep what is not heard; what is handed over from now on queues behind it.

    May come before the device is open. What sounded before the pause took hold is reported by Played.
    """


@attrs.frozen
class ResumeAudio(Effect):
    """Play on, from the very sample at which playout paused; after a Flush, what follows it."""


@attrs.frozen
class StopAudio(Effect):
    """Close the audio interface. Answered by AudioStopped."""


# Tools and timers


@attrs.frozen
class RunTool(Effect):
    """Run a client tool. Answered by ToolCompleted unless cancelled.

    Attributes:
        call_id: Id of the call.
        name: Name of the tool.
        parameters: Its arguments.
        expects_response: Whether a result will be sent.
    """

    call_id: str
    name: str
    parameters: Mapping[str, object]
    expects_response: bool


@attrs.frozen
class CancelTool(Effect):
    """Cancel an open call; its result is no longer wanted.

    Attributes:
        call_id: Id of the call.
    """

    call_id: str


@attrs.frozen
class ReleaseTool(Effect):
    """An open call was answered by hand. Its handler goes on; ToolCompleted follows when that ends.

    Attributes:
        call_id: Id of the call. If nothing runs for it, ToolCompleted follows at once.
    """

    call_id: str


@attrs.frozen
class AskApproval(Effect):
    """Ask the approval handler, if there is one. Answered by ApprovalDecided unless withdrawn.

    Attributes:
        call_id: Id of the call that awaits approval.
        request: The protocol's payload, as it came.
    """

    call_id: str
    request: object


@attrs.frozen
class WithdrawApproval(Effect):
    """Nobody waits for the approval handler's decision any more.

    Attributes:
        call_id: Id of the call that awaited approval.
    """

    call_id: str


@attrs.frozen
class SetTimer(Effect):
    """Set a timer; one of the same name is replaced.

    Attributes:
        name: Name of the timer.
        seconds: Delay until TimerFired.
        token: To be carried by TimerFired.
    """

    name: str
    seconds: float
    token: int


@attrs.frozen
class CancelTimer(Effect):
    """Cancel the timer of this name.

    Attributes:
        name: Name of the timer.
    """

    name: str


# Reports


@attrs.frozen
class StateChanged(Effect):
    """The session changed its state; the first effect of its step.

    Attributes:
        source: State before.
        target: State after.
        event: Name of the event that did it.
        at: The event's time.
    """

    source: str
    target: str
    event: str
    at: float


@attrs.frozen
class Notify(Effect):
    """Tell the user's callbacks about an event.

    Attributes:
        event: The event as it came.
    """

    event: Event


@attrs.frozen
class Diagnose(Effect):
    """Something was ignored that should not have come; worth a log line, ends nothing.

    Attributes:
        what: What happened and what was done, in one sentence.
    """

    what: str


@attrs.frozen
class Unexpected(Effect):
    """An event had no row in this state; nothing was changed.

    Attributes:
        event: Name of the event.
        state: The state.
    """

    event: str
    state: str


@attrs.frozen
class Reject(Effect):
    """The command was understood but cannot be taken now; raise this to the caller.

    Attributes:
        reason: Why, and what to do, in one sentence.
    """

    reason: str


@attrs.frozen
class AnnounceEnd(Effect):
    """The conversation is over. Comes exactly once a session, by the row into idle.

    Attributes:
        reason: Who ended it: ``user``, ``agent`` or ``error``.
        message: What happened, in one sentence.
        close_code: Code of the server's close frame, if that is what ended it.
        close_reason: Reason of that close frame.
        was_ready: Whether the server had accepted the conversation.
        status: HTTP status of a refused handshake.
    """

    reason: str
    message: str
    close_code: int | None = None
    close_reason: str | None = None
    was_ready: bool = False
    status: int | None = None


EFFECTS: dict[str, type[Effect]] = {
    kind.__name__: kind
    for kind in (
        OpenSocket,
        CloseSocket,
        DropSocket,
        SendOpening,
        Transmit,
        TransmitAudio,
        StartAudio,
        BeginPlayout,
        Play,
        Flush,
        PauseAudio,
        ResumeAudio,
        StopAudio,
        RunTool,
        CancelTool,
        ReleaseTool,
        AskApproval,
        WithdrawApproval,
        SetTimer,
        CancelTimer,
        StateChanged,
        Notify,
        Diagnose,
        Unexpected,
        Reject,
        AnnounceEnd,
    )
}
