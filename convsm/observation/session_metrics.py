"""What was measured of a session, as values: one thing, one tool, all of it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from convsm.observation.series import Series

__all__ = ["Measured", "SessionMeasured", "SessionMetrics", "ToolMetrics"]


@attrs.frozen
class Measured:
    """One thing was measured.

    Attributes:
        measure: Name of the field of SessionMetrics that it went into.
        value: The value, in the unit that the name says.
        tool: Name of the tool, for ``tools``; its value is in seconds.
    """

    measure: str
    value: float
    tool: str | None = None


@attrs.frozen
class ToolMetrics:
    """How one tool did.

    Attributes:
        seconds: From call to completion, of each call that completed.
        errors: How many of these failed.
    """

    seconds: Series = attrs.field(factory=Series)
    errors: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return everything as data that JSON can say."""
        return {"seconds": self.seconds.as_dict(), "errors": self.errors}


@attrs.frozen(kw_only=True)
class SessionMetrics:
    """What was measured of one session, so far or until its end.

    What cannot be known is None or left out rather than guessed.

    Attributes:
        seconds: From the start to the announcement of the end; None until then.
        seconds_to_ready: From the start to the server's acceptance; None until then.
        response_seconds: From each final user transcript to the first audio of the agent's answer
            handed to the loudspeaker; what a pause holds back counts once playout goes on. An answer that
            began before its transcript came has none.
        interruption_seconds: From each interruption that cut audible speech to the return of the audio
            interface's ``interrupt``. Of one that paused first, from the suspicion to the return of its
            ``pause``, for the agent fell silent then; how long the decision took is no part of it.
        gap_seconds: How long the loudspeaker was dry within one turn of the agent's: each time that
            speech of the same turn came after all before it was heard. Not while a tool runs or a pause
            lasts.
        tools: For each client tool by name, how its calls did; beyond 256 names, under ``(others)``.
        ping_milliseconds: Round trips as the server measured them.
        seconds_in: Time spent in each state that was left, and in the current one as far as asked for. A
            pause counts as interrupted, not as speaking.
        user_turns: Final transcripts and written messages of the user's.
        agent_turns: How often the agent took the floor; after a gap or a false interruption it is no new
            turn.
        interruptions: How often audible speech was cut by an interruption: by the server's, the user's or
            that of a message. One that paused first counts once it is confirmed.
        false_interruptions: How often audible speech was paused by an interruption that came to nothing,
            and went on.
        diagnostics: Things that should not have come and were ignored.
        messages_received: Messages from the server.
        bytes_received: Their size, as their payload came.
        messages_sent: Messages to the server, those with audio included.
        bytes_sent: Their size.
    """

    seconds: float | None = None
    seconds_to_ready: float | None = None
    response_seconds: Series = attrs.field(factory=Series)
    interruption_seconds: Series = attrs.field(factory=Series)
    gap_seconds: Series = attrs.field(factory=Series)
    tools: Mapping[str, ToolMetrics] = attrs.field(factory=dict)
    ping_milliseconds: Series = attrs.field(factory=Series)
    seconds_in: Mapping[str, float] = attrs.field(factory=dict)
    user_turns: int = 0
    agent_turns: int = 0
    interruptions: int = 0
    false_interruptions: int = 0
    diagnostics: int = 0
    messages_received: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    bytes_sent: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return everything as data that JSON can say, field by field."""
        return {field.name: _plain(getattr(self, field.name)) for field in attrs.fields(SessionMetrics)}


@attrs.frozen
class SessionMeasured:
    """The session is over; this is what was measured of it.

    Attributes:
        metrics: All of it, but for what is sent and received while the last parts close.
    """

    metrics: SessionMetrics


def _plain(value: object) -> object:
    if isinstance(value, Series | ToolMetrics):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value
