"""The emitters about single replies that may not be interrupted.

Which speech a request becomes is known from the conversation. A server that generates one response at a
time (``SessionOptions.asks_replies``) begins the response that it was asked for last; if it refuses that
afterwards, what began was another one. Of a server that says nothing of its responses it is assumed that
the first turn above all that were known at the request is the reply, and that one that does not begin
in time never comes. A request that another one replaces while it waits has no reply of its own; one with
the very same message counts as the same request.
"""

from __future__ import annotations

import attrs

from convsm.machine.base import Event
from convsm.machine.emitting import Emitting
from convsm.machine.events import AgentAudio, ResponseStarted, Send
from convsm.turns.effects import Post
from convsm.turns.events import RequestAgentReply, TakeFloor
from convsm.turns.guards import TurnGuards

__all__ = ["Protection"]

# Where nothing tells that a reply was refused, one that has not begun by then does not come.
PROMISE_SECONDS = 15.0


@attrs.define
class Protection(TurnGuards, Emitting):
    """What rows ask for when a reply is requested, begins, or is over."""

    def _post(self, event: Event) -> None:
        self._emit(Post(event))

    def post_request(self, event: RequestAgentReply) -> None:
        """Ask the agent for a reply."""
        self._post(Send(event.message, kind="request"))

    def request_floor(self, event: TakeFloor) -> None:
        """Ask the agent to speak without being interrupted."""
        self._post(RequestAgentReply(event.message, allow_interruptions=False))

    def protect_reply(self, event: RequestAgentReply) -> None:
        """Let nothing interrupt the reply to this request."""
        if not self.promises:
            self.promised_from = self.session.latest_turn + 1
        if self.session.options.asks_replies:
            # What another request replaced is not awaited, and the same one again is one request.
            awaited = [one for one in self.promises if self._is_awaited(one) and one is not event.message]
            self.promises = awaited
        self.promises.append(event.message)

    def arm_promise_timer(self, event: Event) -> None:
        """Limit the wait for a reply that nothing tells about, once the conversation is open."""
        if self.promises and not self.session.options.asks_replies and self._is_open():
            self._arm("promise", PROMISE_SECONDS)

    def note_reply(self, event: ResponseStarted | AgentAudio) -> None:
        """Remember which turn of the agent's the reply is."""
        self.protected_turn, self.protected_before = event.turn, self.protected_through
        if not self.session.options.asks_replies:
            # The replies come in the order of the requests.
            del self.promises[0]
            self.promised_from = event.turn + 1
            if not self.promises:
                self._cancel("promise")

    def note_protected_piece(self, event: AgentAudio) -> None:
        """Remember how far the reply reaches in what is played."""
        self.protected_through = self.session.handed + 1

    def disown_response(self, event: Event) -> None:
        """Remember that the response that began is not the reply."""
        self.protected_turn, self.protected_through = None, self.protected_before

    def note_other_response(self, event: Event) -> None:
        """Remember that no more of the reply is generated."""
        self.protected_turn = None

    def settle_promises(self, event: Event) -> None:
        """Keep only what may still be heard."""
        is_live = self._is_live()
        self.promises = [one for one in self.promises if is_live and self._is_awaited(one)]
        # The turn stays: where running dry is all that tells the end, more of it may follow.
        self.protected_through = 0

    def forget_promises(self, event: Event) -> None:
        """Expect no reply that has not begun."""
        self.promises.clear()
        self._cancel("promise")

    def waive_protection(self, event: Event) -> None:
        """Protect no reply any more, whatever becomes of it."""
        self.forget_promises(event)
        self.protected_turn, self.protected_through = None, 0
