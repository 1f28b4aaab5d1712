"""The calls of turn handling: one face for threads and one for event loops, over what they share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from convsm.errors import ConfigurationError
from convsm.machine.effects import RequestReply

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures

    from convsm.machine.base import Event
    from convsm.runtime.turn_port import Commit, TurnPort
    from convsm.turns import TurnHandling

__all__ = ["FLUSH_LIMIT", "AsyncTurnCalls", "TurnCalls"]

# Seconds of silence that a commit may send: as much audio as may wait to be sent.
FLUSH_LIMIT = 10.0


# What a model is told that is to say something.
SAY = "Say exactly this, word for word, and nothing else: "


class TurnTaker(Protocol):
    """The part of a driver that takes turns."""

    @property
    def turns(self) -> TurnPort | None:
        """Turn handling, if the conversation has it."""

    def command(self, event: Event) -> None:
        """Do what a call says, or raise RefusedCommand."""

    def send(self, message: object, command: Event | None = None) -> None:
        """Send a message of the user's, or raise RefusedCommand."""

    def commit(
        self, future: Commit, transcript_timeout: float, stt_flush_duration: float, skip_reply: bool
    ) -> None:
        """End the user's turn by hand."""


class _Calls:
    """What the faces share; the shell says which driver is meant."""

    def _started(self, call: str) -> TurnTaker:
        raise NotImplementedError

    def _take(self, call: str, event: str, *arguments: Any) -> None:
        from convsm.turns import events  # on use: others do not pay for it

        _turns_of(self._started(call), call)
        self._started(call).command(getattr(events, event)(*arguments))

    def _commit(self, future: Any, seconds: tuple[float, float], skip_reply: bool) -> None:
        driver = self._started("commit_user_turn")
        _turns_of(driver, "commit_user_turn")
        if not all(math.isfinite(duration) and duration >= 0 for duration in seconds):
            raise ValueError("transcript_timeout and stt_flush_duration are seconds, at least 0.")
        if seconds[1] > FLUSH_LIMIT:
            raise ValueError(f"stt_flush_duration is at most {FLUSH_LIMIT:g} seconds.")
        driver.commit(future, *seconds, skip_reply)
        if future.done() and not future.cancelled() and future.exception() is not None:
            raise future.exception()

    def _reply(self, call: str, instructions: str | None, allow_interruptions: bool) -> None:
        driver, message = self._started(call), RequestReply(instructions)
        if driver.turns is None and allow_interruptions:
            driver.send(message)
            return
        _turns_of(driver, f"allow_interruptions=False of {call}")
        from convsm.turns.events import RequestAgentReply

        driver.send(message, RequestAgentReply(message, allow_interruptions))

    def _update(self, settings: TurnHandling | Mapping[str, Any]) -> None:
        from convsm.turns import TurnHandling
        from convsm.turns.events import TurnHandlingChanged

        driver = self._started("update_turn_handling")
        turns = _turns_of(driver, "update_turn_handling")
        handling = TurnHandling.of(settings, turns.taking.turn.handling)
        turns.check(handling)
        driver.command(TurnHandlingChanged(handling))


class TurnCalls(_Calls):
    """Turns by hand, from any thread. All but ``update_turn_handling`` are for push-to-talk above all."""

    def start_user_turn(self) -> None:
        """Begin a turn by hand: the agent falls silent, what was said is forgotten, the user is heard.

        The server hears what the microphone heard just before, too (``TurnHandling.pre_roll``). From here
        on speech ends no turn: ``commit_user_turn`` or ``cancel_user_turn`` does.

        Raises:
            RuntimeError: There is no open session.
            ConfigurationError: The conversation has no turn handling.
        """
        self._take("start_user_turn", "StartUserTurn")

    def commit_user_turn(
        self, transcript_timeout: float = 2.0, stt_flush_duration: float = 2.0, skip_reply: bool = False
    ) -> concurrent.futures.Future[str]:
        """End the user's turn by hand, and have the agent reply.

        A server that ends turns itself (ElevenLabs) is sent silence until it does; then no reply can be
        skipped. A second call while the first one waits cancels the first one's future.

        Args:
            transcript_timeout: How long to wait for the last words, in seconds, at least 0.
            stt_flush_duration: How much silence to send to a server that ends turns itself, in
                seconds, 0 to 10.
            skip_reply: Whether the agent is not to reply.

        Returns:
            The turn's words, once they are known; empty if nothing was said in time, or the session ended.
            It is settled in every case. What is added with ``add_done_callback`` runs on a thread of its own.

        Raises:
            RuntimeError: There is no open session, the agent speaks and no turn is open, or this server
                cannot skip its reply.
            ValueError: A duration is out of its range.
            ConfigurationError: The conversation has no turn handling.
        """
        from convsm.runtime.commits import CommitFuture  # on use: others do not pay for it

        future = CommitFuture()
        self._commit(future, (transcript_timeout, stt_flush_duration), skip_reply)
        return future

    def clear_user_turn(self) -> None:
        """Forget what the user said and did not commit; a turn that is held by hand goes on.

        Raises:
            RuntimeError: There is no session.
            ConfigurationError: The conversation has no turn handling.
        """
        self._take("clear_user_turn", "ClearUserTurn")

    def cancel_user_turn(self) -> None:
        """Give up a turn that was begun by hand: what was said is no turn, and nothing more is heard.

        Raises:
            RuntimeError: There is no session.
            ConfigurationError: The conversation has no turn handling.
        """
        self._take("cancel_user_turn", "CancelUserTurn")

    def set_microphone_muted(self, is_muted: bool) -> None:
        """Let nobody hear the user, or again; speech that was going on ends at once.

        Raises:
            RuntimeError: No session was started.
            ConfigurationError: The conversation has no turn handling.
        """
        self._take("set_microphone_muted", "MicrophoneMuted" if is_muted else "MicrophoneUnmuted")

    def update_turn_handling(self, settings: TurnHandling | Mapping[str, Any]) -> None:
        """Let other settings hold from now on. What the server was told when it was opened stays.

        Args:
            settings: What is to differ from those that hold, or all of them. What was learned stays.

        Raises:
            RuntimeError: There is no session.
            ConfigurationError: A setting is unknown or out of its range, the server cannot do it, or the
                conversation has no turn handling.
        """
        self._update(settings)


class AsyncTurnCalls(_Calls):
    """Turns by hand, on the session's event loop; see ``TurnCalls`` for what each does and raises."""

    async def start_user_turn(self) -> None:
        """Begin a turn by hand: the agent falls silent, what was said is forgotten, the user is heard."""
        self._take("start_user_turn", "StartUserTurn")

    def commit_user_turn(
        self, transcript_timeout: float = 2.0, stt_flush_duration: float = 2.0, skip_reply: bool = False
    ) -> asyncio.Future[str]:
        """End the user's turn by hand, and have the agent reply.

        Done once it is called; to be awaited by whoever wants the words. Settled in every case.

        Args:
            transcript_timeout: How long to wait for the last words, in seconds, at least 0.
            stt_flush_duration: How much silence to send to a server that ends turns itself, in
                seconds, 0 to 10.
            skip_reply: Whether the agent is not to reply.
        """
        import asyncio

        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._commit(future, (transcript_timeout, stt_flush_duration), skip_reply)
        return future

    async def clear_user_turn(self) -> None:
        """Forget what the user said and did not commit; a turn that is held by hand goes on."""
        self._take("clear_user_turn", "ClearUserTurn")

    async def cancel_user_turn(self) -> None:
        """Give up a turn that was begun by hand: what was said is no turn, and nothing more is heard."""
        self._take("cancel_user_turn", "CancelUserTurn")

    async def set_microphone_muted(self, is_muted: bool) -> None:
        """Let nobody hear the user, or again; speech that was going on ends at once."""
        self._take("set_microphone_muted", "MicrophoneMuted" if is_muted else "MicrophoneUnmuted")

    async def update_turn_handling(self, settings: TurnHandling | Mapping[str, Any]) -> None:
        """Let other settings hold from now on. What the server was told when it was opened stays."""
        self._update(settings)


def _turns_of(driver: TurnTaker, call: str) -> TurnPort:
    """Return the turn handling of a driver.

    Raises:
        ConfigurationError: It has none.
    """
    if driver.turns is None:
        raise ConfigurationError(f"{call} needs turn handling; give the conversation turn_handling={{}}.")
    return driver.turns
