"""The emitters about replies that have to be asked for, and about speech whose hearing is reported.

Servers of one kind reply by themselves and know what was cut. Those of the other generate one response
at a time, when they are asked to, and have to be told how much of it was heard.
"""

from __future__ import annotations

import attrs

from convsm.machine import effects
from convsm.machine.effects import RequestReply
from convsm.machine.ending import Ending
from convsm.machine.events import (
    AgentAudio,
    AnswerCall,
    Event,
    ResponseEnded,
    ResponseRefused,
    ResponseStarted,
    Send,
    ToolCompleted,
)
from convsm.machine.hearing import cut_items

__all__ = ["Replies"]


@attrs.define
class Replies(Ending):
    """The part of the emitters that only some servers need."""

    # What was heard

    @property
    def latest_turn(self) -> int:
        """The highest turn that was handed over, is streamed or is generated; 0 before the first."""
        turns = (self.spoken_turn, self.generated_turn, self.response_turn)
        return max((turn for turn in turns if turn is not None), default=0)

    def _note_item(self, event: AgentAudio, number: int) -> None:
        if event.item is not None:
            self.latest_item = event.item
            self.unheard.append((number, event.item, len(event.audio)))

    def note_unplayed(self, event: AgentAudio) -> None:
        """Count audio that is not handed over among what is not heard."""
        self._note_item(event, self.handed + 1)

    def _tell_cut(self, is_cancelled: bool) -> None:
        # The user's turn comes first; the reply to it will know all that is known by then.
        self.wanted = None
        # Nothing to tell a server that says neither what it generates nor which items its audio is of.
        if self.generation != "none" and not self.is_stopping:
            self.is_stopping = True
            if not is_cancelled:
                self._emit(effects.Transmit(effects.CancelReply()))
        self._tell_heard(self.latest_item if self.generation != "none" else None)

    def _tell_heard(self, generated: str | None) -> None:
        for item, heard in cut_items(self.unheard, self.heard_bytes, self.beyond, generated):
            self._emit(effects.Transmit(effects.ItemHeard(item, heard)))
        self.unheard.clear()
        self.heard_bytes.clear()
        self.beyond = 0

    def withdraw_item(self, event: AgentAudio) -> None:
        """Tell the server that nothing of an item is heard: it came after the cut."""
        assert event.item is not None
        self.latest_item = event.item
        self._emit(effects.Transmit(effects.ItemHeard(event.item, 0)))

    # Replies that have to be asked for

    def note_response_started(self, event: ResponseStarted) -> None:
        """Remember that the server is busy."""
        self.generation, self.is_stopping = "running", False
        self.generated_turn = max(event.turn, self.generated_turn or event.turn)

    def note_response_ended(self, event: ResponseEnded) -> None:
        """Remember that the server is free."""
        self.generation, self.is_stopping = "none", False

    def note_response_refused(self, event: ResponseRefused) -> None:
        """Remember that nothing comes; what was refused for another response is wanted behind that."""
        if self.generation != "running":
            self.generation, self.is_stopping = "none", False
        elif event.is_busy and not self.is_stopping and self.wanted is None:
            self.wanted = self.asked

    def note_wanted_reply(self, event: Send) -> None:
        """Remember that a response is wanted."""
        self.wanted = event.message if event.kind == "request" else RequestReply()

    def note_reply_to_call(self, event: ToolCompleted | AnswerCall) -> None:
        """Remember that a response to a tool's result is wanted, if the agent waits for that."""
        if self.options.asks_replies and self.calls[event.call_id] and self.wanted is None:
            self.wanted = RequestReply()

    def ask_reply(self, event: Event) -> None:
        """Ask for the response that is wanted, once server and user are free and no tool is awaited."""
        is_ready = self.conversation_id is not None and self.generation == "none"
        # A reply would be of a later turn, and end what is paused.
        is_ready = is_ready and not self.is_undecided(event)
        if self.wanted is not None and is_ready and not any(self.calls.values()):
            self._emit(effects.Transmit(self.wanted))
            self.generation, self.asked, self.wanted = "asked", self.wanted, None
