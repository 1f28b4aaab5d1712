"""What the keys do to a conversation, and what the last line tells of whose turn it is."""

from __future__ import annotations

from concurrent.futures import Future
from typing import ClassVar

import attrs

from convsm.errors import ConvsmError
from convsm.live.audio import WatchedAudio
from convsm.live.narrator import Narrator
from convsm.runtime.conversation import Conversation

__all__ = ["Controls", "PushToTalk"]

# Backspace is one sign on some terminals and another on others.
GIVE_UP = ("c", "\x7f", "\b")
# A terminal repeats a key that is held down, some quickly, a console about every 0.1 s; no finger is as fast.
REPEAT_SECONDS = 0.15
# Longer than that without a repeat: the key was let go. A slow connection may hold one up for a while.
RELEASE_SECONDS = 0.3


@attrs.define(eq=False)
class Controls:
    """Mutes the user and interrupts the agent; for one conversation, and for one thread.

    Attributes:
        narrator: Shows what was done.
        audio: Has a microphone to mute.
        has_turns: Whether the conversation has turn handling.
        help: The keys, in a line.
        short_help: The same for the last line.
        meter_columns: How wide each of two meters may be, so that a remark fits beside them.
    """

    narrator: Narrator
    audio: WatchedAudio
    has_turns: bool = False

    help: ClassVar[str] = "Keys: m mutes and unmutes you, space interrupts the agent, q ends it all."
    short_help: ClassVar[str] = "keys m space q"
    meter_columns: ClassVar[int] = 10

    def press(self, key: str, now: float, conversation: Conversation) -> None:
        """Do what a key says; what the conversation refuses is shown.

        Args:
            key: One sign, in lower case.
            now: Monotonic seconds.
            conversation: Whom it concerns.
        """
        try:
            self._obey(key, now, conversation)
        except ConvsmError as error:
            self.narrator.tell("note", str(error))

    def _obey(self, key: str, now: float, conversation: Conversation) -> None:
        if key == "m":
            self._mute(conversation)
        elif key == " ":
            conversation.interrupt()

    def _mute(self, conversation: Conversation) -> None:
        self.audio.muted = not self.audio.muted
        told = "is muted: the agent hears silence" if self.audio.muted else "is heard again"
        self.narrator.tell("user", told)
        if self.has_turns:
            # The interface alone would leave speech open until a detector has heard enough silence.
            conversation.set_microphone_muted(self.audio.muted)

    def attend(self, now: float, conversation: Conversation) -> None:
        """Do what time says; to be called often.

        Args:
            now: Monotonic seconds.
            conversation: Whom it concerns.
        """

    def remark(self, conversation: Conversation) -> str:
        """Return what is to be known of the turn beside the conversation's state; empty for nothing."""
        if conversation.user_state == "speaking":
            return self._of_speech()
        # That a tool runs is the conversation's state, which is shown anyway.
        is_thinking = conversation.agent_state == "thinking" and conversation.state != "tool_running"
        return "agent thinks" if is_thinking else ""

    def _of_speech(self) -> str:
        return "you speak"


@attrs.define(eq=False)
class PushToTalk(Controls):
    """Lets the user be heard between two presses of a key, or while it is held down.

    The conversation's turn detection is ``manual``, so the user speaks as long as their turn is held.
    """

    help: ClassVar[str] = "Keys: space begins and ends your turn, or hold it; c drops it, m mutes, q quits."
    short_help: ClassVar[str] = "keys space c m q"
    meter_columns: ClassVar[int] = 8

    _words: Future[str] | None = attrs.field(default=None, init=False)
    _pressed_at: float = attrs.field(default=0.0, init=False)
    # A second press, as long as it may be the first repeat of a key that is held down.
    _second_at: float | None = attrs.field(default=None, init=False)
    _is_down: bool = attrs.field(default=False, init=False)

    def _obey(self, key: str, now: float, conversation: Conversation) -> None:
        if key == " ":
            self._talk(now, conversation)
        elif key in GIVE_UP:
            self._give_up(conversation)
        else:
            super()._obey(key, now, conversation)

    def _talk(self, now: float, conversation: Conversation) -> None:
        self._pressed_at = now
        if not _is_held(conversation):
            self._second_at, self._is_down, self._words = None, False, None
            conversation.start_user_turn()
            told = "but is muted" if self.audio.muted else "and is heard"
            self.narrator.tell("user", f"holds the turn {told}")
        elif self._second_at is None:
            self._second_at = now
        else:
            self._is_down = True

    def _give_up(self, conversation: Conversation) -> None:
        if _is_held(conversation) or self._words is not None:
            self._words = None
            conversation.cancel_user_turn()
            self.narrator.tell("user", "gives the turn up")

    def attend(self, now: float, conversation: Conversation) -> None:
        """End the turn when the key was let go or pressed again; tell if no words came of it."""
        if _is_held(conversation):
            if self._has_ended(now):
                self._end(conversation)
        elif self._words is not None and self._words.done():
            # Words themselves are told as they come.
            if not self._words.cancelled() and not self._words.result():
                self.narrator.tell("note", "no words came of that turn")
            self._words = None

    def _has_ended(self, now: float) -> bool:
        if self._is_down:
            return now - self._pressed_at >= RELEASE_SECONDS
        return self._second_at is not None and now - self._second_at >= REPEAT_SECONDS

    def _end(self, conversation: Conversation) -> None:
        self._second_at, self._is_down = None, False
        try:
            # Looked at now and then, never waited for: the last line goes on.
            self._words = conversation.commit_user_turn()
        except ConvsmError as error:
            self.narrator.tell("note", str(error))
        else:
            self.narrator.tell("user", "ends the turn")

    def remark(self, conversation: Conversation) -> str:
        """Return who holds the turn, or that its words are awaited; else as without push-to-talk."""
        if self._words is not None and not _is_held(conversation):
            return "awaiting words"
        return super().remark(conversation)

    def _of_speech(self) -> str:
        return "you hold the turn"


def _is_held(conversation: Conversation) -> bool:
    return conversation.user_state == "speaking"
