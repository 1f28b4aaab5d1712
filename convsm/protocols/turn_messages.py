"""Typed messages to servers that leave turns and items to the client, beside those all protocols share.

``RequestReply``, ``CancelReply`` and ``ItemHeard`` are the machine's own.
"""

from __future__ import annotations

import attrs

__all__ = ["ClearAudio", "CommitAudio", "DeleteItem", "RetrieveItem"]


@attrs.frozen
class CommitAudio:
    """The user's audio so far is a turn of theirs. A reply has to be asked for."""


@attrs.frozen
class ClearAudio:
    """The user's audio that is no turn yet is to be thrown away."""


@attrs.frozen
class DeleteItem:
    """Take an item out of the conversation.

    Attributes:
        item_id: Id of the item.
    """

    item_id: str


@attrs.frozen
class RetrieveItem:
    """Ask for an item as the server holds it; it comes as an ``ItemChanged``.

    Attributes:
        item_id: Id of the item.
    """

    item_id: str
