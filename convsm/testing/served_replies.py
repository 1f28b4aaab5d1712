"""The part of the world's contract about servers that generate one response at a time, when asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from convsm.machine.events import Event, ResponseEnded, ResponseRefused, ResponseStarted
from convsm.testing.vocabulary import sayings

if TYPE_CHECKING:
    from convsm.testing.world import World

__all__ = ["may_say", "take_refusal", "take_response"]


def may_say(world: World, kind: type[Event]) -> Sequence[Event]:
    """Return what a server may say of responses now: one begins behind another, and ends once."""
    is_possible = {
        ResponseStarted: world.asks_replies and not world.is_generating,
        ResponseEnded: world.is_generating,
        ResponseRefused: world.was_asked,
    }
    return sayings(kind, world.fresh_from, ()) if is_possible[kind] and world.socket == "open" else ()


def take_response(world: World, event: Event) -> None:
    """Note that a response began or ended."""
    world.is_generating = isinstance(event, ResponseStarted)


def take_refusal(world: World, event: Event) -> None:
    """Note that what was asked for is not coming."""
    world.was_asked = False
