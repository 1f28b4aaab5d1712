"""Random sequences by number: cheap enough for hundreds of thousands, and each can be had again."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from convsm.machine import RefusedCommand, Session, SessionOptions
from convsm.machine.effects import Effect
from convsm.machine.events import Event
from convsm.testing.noise import hostile_event
from convsm.testing.world import World

__all__ = ["LENGTH", "Handle", "walk"]

LENGTH = 40

Handle = Callable[[Session, Event], tuple[Effect, ...]]


def walk(
    seed: int, handle: Handle, *, noise: float = 0.0, is_prompt: bool = True, length: int = LENGTH
) -> tuple[Session, World]:
    """Lead a session through one random sequence and return it with the world around it.

    Args:
        seed: Number of the sequence; it decides the options too.
        handle: What to do with each event; may raise RefusedCommand.
        noise: Share of events that do not keep the adapter contract.
        is_prompt: Whether adapters answer before the close timer gives them up.
        length: How many events.

    Raises:
        AssertionError: ``handle`` failed; names the seed.
    """
    random = Random(seed)
    options = SessionOptions(
        text_only=random.random() < 0.3,
        needs_audio=random.random() < 0.5,
        asks_replies=random.random() < 0.5,
        hold_limit=random.randrange(4),
        approval_limit=random.randrange(4),
        can_pause=random.random() < 0.8,
        pause_limit=random.randrange(6),
    )
    session, world = Session(options), World(is_prompt=is_prompt, asks_replies=options.asks_replies)
    for _ in range(length):
        event = hostile_event(random) if random.random() < noise else world.pick(random)
        try:
            effects = handle(session, event)
        except RefusedCommand:
            effects = ()
        except Exception as error:
            raise AssertionError(f"sequence with seed {seed} (noise {noise}): {error}") from error
        world.note(event, effects)
    return session, world
