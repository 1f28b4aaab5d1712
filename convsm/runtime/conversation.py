"""Conversation: the reference API on threads, a thin face on the session and its driver."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from convsm.errors import ConfigurationError, ConvsmError
from convsm.protocols.messages import ContextualUpdate, Feedback, UserActivity, UserMessage
from convsm.runtime.answers import Answers
from convsm.runtime.base_conversation import AFTER_END_SECONDS, ConversationBase
from convsm.runtime.elevenlabs import upload_file
from convsm.runtime.stream import EventStream
from convsm.runtime.threaded_driver import ThreadedDriver
from convsm.runtime.turn_calls import SAY, TurnCalls
from convsm.runtime.wiring import Opening, Wiring
from convsm.transport.multipart import UploadSource

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Conversation"]


class Conversation(ConversationBase[ThreadedDriver], Answers, TurnCalls):
    """A voice or text conversation with an ElevenLabs agent or an OpenAI Realtime server, on threads.

    All methods may be called from any thread, any callback, any tool and any method of the audio
    interface, in every state; each says what it does where it is of no use. The conversation can be
    started again after it ended. As a context manager it starts, waits until the server has accepted,
    and ends when the body is left.

    Callbacks run one at a time, in order, on a thread of their own: a slow one delays only other
    callbacks, and one that raises is logged and ends nothing.

    Attributes:
        client: As given to the constructor, like all attributes named as its arguments.
    """

    _driver_class = ThreadedDriver

    # Life

    def start_session(self) -> None:
        """Begin the conversation; returns before connecting and never raises for the connection.

        Raises:
            RefusedCommand: It was started already and has not ended.
            ConfigurationError: The options contradict each other.
            AudioError: Turn handling needs a voice detector, and there is none.
            OSError: The recording cannot be written.
        """
        is_started = False
        while not is_started:
            with self._starting:
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
        return self._readiness(driver)

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
        return self._outcome(driver)

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

    def interrupt(self, force: bool = False) -> None:
        """Silence the agent, a farewell too; does nothing while nothing of it is audible.

        What the server still sends of that turn is dropped. ElevenLabs is told no more than that the user is
        active: the agent stays quiet for a while, and believes that it was heard. OpenAI Realtime is told to
        stop, and how much was heard.

        Args:
            force: Whether to do so though turn handling protects what the agent says.

        Raises:
            RuntimeError: There is no session, or turn handling protects the agent.
        """
        self._started("interrupt").interrupt(force)

    # Sending

    def send_user_message(self, text: str) -> None:
        """Say something in writing; counts as a turn of the user and interrupts the agent.

        While connecting it is held and sent once the server has accepted.

        Raises:
            RuntimeError: There is no session, it is ending, or too much waits to be sent.
        """
        self._started("send_user_message").send(UserMessage(text))

    def generate_reply(self, instructions: str | None = None, *, allow_interruptions: bool = True) -> None:
        """Have the agent reply now, where the protocol can (OpenAI Realtime).

        It is asked for once the server is free: a running response and open tool calls come first.

        Args:
            instructions: What holds for this reply in place of the session's instructions.
            allow_interruptions: Whether it may be interrupted, but for ``interrupt(force=True)`` and a
                written message; False needs turn handling.

        Raises:
            RuntimeError: As for send_user_message.
            ProtocolError: The protocol's agents reply by themselves.
            ConfigurationError: It may not be interrupted, and the conversation has no turn handling.
        """
        self._reply("generate_reply", instructions, allow_interruptions)

    def say(self, text: str, *, allow_interruptions: bool = True) -> None:
        """Have the agent say something word for word, where the protocol can (OpenAI Realtime).

        The model is told to; nothing makes it.

        Args:
            text: What to say.
            allow_interruptions: As for generate_reply.

        Raises:
            RuntimeError: As for send_user_message.
            ProtocolError: As for generate_reply.
            ConfigurationError: As for generate_reply.
        """
        self._reply("say", SAY + text, allow_interruptions)

    def send(self, message: object) -> None:
        """Send any typed message that the protocol knows, such as CommitAudio of OpenAI Realtime.

        Args:
            message: A value of ``convsm.protocols.messages`` or ``convsm.protocols.turn_messages``.

        Raises:
            RuntimeError: As for send_user_message.
            ProtocolError: The protocol has no such message.
        """
        self._started("send").send(message)

    def send_contextual_update(self, text: str, context_id: str | None = None) -> None:
        """Tell the agent something without taking a turn.

        Args:
            text: What to tell.
            context_id: A newer update of the same id supersedes this one.

        Raises:
            RuntimeError: As for send_user_message.
        """
        self._started("send_contextual_update").send(ContextualUpdate(text, context_id))

    def register_user_activity(self) -> None:
        """Tell the server that the user is busy: its turn timeout begins anew, the agent stays quiet.

        Raises:
            RuntimeError: As for send_user_message.
        """
        self._started("register_user_activity").send(UserActivity())

    def send_feedback(self, event_id: int, score: Literal["like", "dislike"] | None) -> None:
        """Rate a turn of the agent's.

        Args:
            event_id: Number of the turn.
            score: ``like``, ``dislike``, or None to take a rating back.

        Raises:
            RuntimeError: As for send_user_message.
            ValueError: The score is something else.
        """
        self._started("send_feedback").send(Feedback(event_id, score))

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
        driver.send(self._multimodal(driver, text, file_id, file_ids))

    def upload_file(
        self, file: UploadSource, name: str | None = None, content_type: str | None = None
    ) -> str:
        """Upload a file for ``send_multimodal_message``; blocks until the API has answered.

        Args:
            file: Bytes, a path, or a binary file object, which is read to its end and left open.
            name: Name for the server; None takes the path's or the file object's.
            content_type: Such as ``image/png``; None guesses by the name.

        Returns:
            The file's id.

        Raises:
            RuntimeError: There was no session.
            ConfigurationError: The server has not accepted yet, the client cannot upload, or the file is too
                big.
            ConnectionFailed: The API did not answer, or refused.
            OSError: The file cannot be read.
        """
        self._started("upload_file")
        answer = upload_file(self.client, self.conversation_id, file, name, content_type)
        return str(_at_once(answer))

    # Reading

    def events(self, *kinds: type) -> EventStream:
        """Return an iterator over everything that happens in this session, or in the next if none is on.

        Args:
            kinds: Classes that are wanted; none stands for all but raw frames.
        """
        stream = EventStream(kinds)
        self._attach(stream)
        return stream

    # Putting it together

    def _wiring(self) -> Wiring:
        if inspect.iscoroutinefunction(getattr(self.audio_interface, "start", None)):
            raise ConfigurationError(
                "The audio interface is asynchronous; use AsyncConversation, or give an AudioInterface."
            )
        return super()._wiring()

    def _resolver(self, opening: Opening) -> Callable[[], str]:
        def resolve_url() -> str:
            if not opening.needs_signature():
                return opening.url()
            return opening.url(str(_at_once(opening.ask_signature()).signed_url))

        return resolve_url


def _at_once(answer: Any) -> Any:
    """Return a client's answer, unless that is still to be awaited."""
    if not inspect.isawaitable(answer):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()
    raise ConfigurationError(
        "The client is asynchronous; use AsyncConversation, or give this one an ElevenLabs."
    )
