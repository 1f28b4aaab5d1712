"""What both conversations share: what can be read of them, and how they are put together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from os import fspath
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from convsm.errors import ConnectionFailed, RefusedCommand
from convsm.machine import SessionOptions
from convsm.machine.effects import AnnounceEnd
from convsm.observation.entries import TranscriptEntry
from convsm.observation.session_metrics import SessionMetrics
from convsm.protocols.capabilities import CALLBACKS, check_requirements
from convsm.protocols.messages import MultimodalMessage
from convsm.runtime.audio_port import can_pause
from convsm.runtime.callbacks import observers
from convsm.runtime.conversation_options import ConversationOptions, is_service
from convsm.runtime.driver import Driver
from convsm.runtime.elevenlabs import ElevenLabsOpening
from convsm.runtime.wiring import (
    DisconnectionDetails,
    Observer,
    Opening,
    Stream,
    Wiring,
    multimodal_message,
)
from convsm.transport.options import TransportOptions

if TYPE_CHECKING:
    from convsm.recording import Recorder
    from convsm.turns import TurnTaking
    from convsm.turns.reports import AgentState, UserState

__all__ = ["AFTER_END_SECONDS", "ConversationBase"]

logger = logging.getLogger("convsm.session")

# How long wait_for_session_end waits, once the session is idle, for callbacks and audio to finish.
AFTER_END_SECONDS = 1.0

AnyDriver = TypeVar("AnyDriver", bound=Driver)


class ConversationBase(ConversationOptions, Generic[AnyDriver]):
    """What can be read of a conversation, and how its parts are put together.

    Attributes:
        client: As given to the constructor, like all attributes named as its arguments.
    """

    def _begin(self) -> None:
        self._driver: AnyDriver | None = None
        self._starting = threading.Lock()
        # Those that were asked for while no session was on: they read the next one.
        self._waiting_streams: tuple[Stream, ...] = ()

    # Reading

    @property
    def state(self) -> str:
        """Name of the current state; ``idle`` before the start and after the end."""
        return "idle" if self._driver is None else self._driver.session.state

    @property
    def conversation_id(self) -> str | None:
        """The server's id of the current or last conversation, once it accepted."""
        return None if self._driver is None else self._driver.session.conversation_id

    @property
    def transcript(self) -> tuple[TranscriptEntry, ...]:
        """What was said in the current or last conversation, in order, corrected as far as is known."""
        return () if self._driver is None else self._driver.transcript.entries

    @property
    def metrics(self) -> SessionMetrics | None:
        """What was measured of the current or last conversation; None before the first."""
        return None if self._driver is None else self._driver.metrics.snapshot()

    @property
    def user_state(self) -> UserState | None:
        """``listening``, ``speaking`` or ``away``; None without turn handling, or before the first start."""
        taking = self._taking
        return None if taking is None else _turns().user_state(taking.turn)

    @property
    def agent_state(self) -> AgentState | None:
        """``initializing``, ``listening``, ``thinking``, ``speaking`` or ``idle``; None as ``user_state``."""
        taking = self._taking
        return None if taking is None else _turns().agent_state(taking.session, taking.turn)

    @property
    def _taking(self) -> TurnTaking | None:
        turns = None if self._driver is None else self._driver.turns
        return None if turns is None else turns.taking

    # What the shells share

    def _started(self, call: str) -> AnyDriver:
        if self._driver is None:
            reason = f"Session not started: {call} in state 'idle' needs start_session() first"
            raise RefusedCommand(call, "idle", ("Start", "End"), reason)
        return self._driver

    def _outcome(self, driver: AnyDriver) -> str | None:
        """Return what wait_for_session_end returns, or raise what it raises."""
        ending = driver.ending
        assert ending is not None
        if not ending.was_ready and ending.reason != "user":
            raise ConnectionFailed(ending.message, ending.status)
        return driver.session.conversation_id

    def _readiness(self, driver: AnyDriver) -> str:
        """Return what wait_until_ready returns, or raise what it raises."""
        conversation_id = driver.session.conversation_id
        if conversation_id is None:
            assert driver.ending is not None
            raise ConnectionFailed(
                f"the session ended before it was ready: {driver.ending.message}", driver.ending.status
            )
        return conversation_id

    def _multimodal(
        self, driver: AnyDriver, text: str | None, file_id: str | None, file_ids: list[str] | None
    ) -> MultimodalMessage:
        session = driver.session
        if "Send" not in session.accepts():  # this is told before what is wrong with the arguments
            raise RefusedCommand("Send", session.state, session.accepts())
        return multimodal_message(text, file_id, file_ids)

    def _attach(self, stream: Stream) -> None:
        """Have a stream read the session that is on, or the next one."""
        with self._starting:  # a start takes those that wait
            driver = self._driver
            if driver is not None and driver.ending is None:
                driver.add_stream(stream)
            else:
                waiting = (each for each in self._waiting_streams if not each.is_closed)
                self._waiting_streams = (*waiting, stream)

    # Putting it together

    def _opening(self) -> Opening:
        client: Any = self.client
        if is_service(client):
            opening: Opening = client.opening(self.audio_interface is not None, self.allow_insecure)
            return opening
        return ElevenLabsOpening(
            client=client,
            agent_id=self.agent_id,
            user_id=self.user_id,
            requires_auth=self.requires_auth,
            config=self.config,
            on_prem_config=self.on_prem_config,
            environment=self.environment,
            has_audio=self.audio_interface is not None,
            allow_insecure=self.allow_insecure,
            equal_id=self.equal_id,
        )

    def _resolver(self, opening: Opening) -> Callable[[], Any]:
        """Return the shell's way to have the URL."""
        raise NotImplementedError

    def _wiring(self) -> Wiring:
        opening, turns, told = self._opening(), None, {}
        if self.turn_handling is not None:
            from convsm.runtime.turn_setup import set_turns_up, turn_observers

            opening, turns = set_turns_up(self, opening)
            told = turn_observers(vars(self))
        options = opening.session_options(self.session_options, self.audio_required)
        # The machine never asks for a pause that nobody could make.
        options = attrs.evolve(options, can_pause=options.can_pause and can_pause(self.audio_interface))
        codec = opening.codec()
        wanted = [CALLBACKS[name] for name in CALLBACKS if getattr(self, name) is not None]
        for warning in check_requirements(wanted, codec.capabilities):
            logger.warning("%s", warning)
        streams, self._waiting_streams = self._waiting_streams, ()
        transport = self.transport_options or TransportOptions()
        return Wiring(
            options=options,
            codec=codec,
            resolve_url=self._resolver(opening),
            transport=attrs.evolve(transport, headers={**opening.headers, **transport.headers}),
            audio=None if options.text_only else self.audio_interface,
            tools=self.client_tools,
            observers={**observers(vars(self)), **told},
            streams=streams,
            on_end=self._end_observers(),
            open_recorder=self._open_recorder if self.record is not None else None,
            approve=self.callback_mcp_approval,
            turns=turns,
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
            header={"protocol": self._opening().protocol},
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


def _turns() -> Any:
    # On use: a conversation without turn handling does not pay for it.
    from convsm.turns import taking

    return taking
