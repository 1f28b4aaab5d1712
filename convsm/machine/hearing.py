"""How much was heard of each item of speech: plain data in, plain data out.

A server that wants to be told keeps its speech in items, each of which comes in many pieces.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["cut_items", "hear"]


def hear(unheard: list[tuple[int, str, int]], heard_bytes: dict[str, int], through: int) -> None:
    """Count all pieces up to a number as heard.

    Args:
        unheard: Number, item and bytes of the pieces that were not heard, in order; the heard ones are taken.
        heard_bytes: Bytes heard of each item. Not bounded: a number an item, until the next cut.
        through: Number of the last piece that was heard.
    """
    count = 0
    for number, item, size in unheard:
        if number > through:
            break
        count += 1
        heard_bytes[item] = heard_bytes.get(item, 0) + size
    del unheard[:count]


def cut_items(
    unheard: list[tuple[int, str, int]], heard_bytes: dict[str, int], beyond: int, latest: str | None
) -> Iterator[tuple[str, int]]:
    """Yield each item that is not heard to its end, with the bytes of it that were.

    Args:
        unheard: As for ``hear``.
        heard_bytes: As for ``hear``.
        beyond: Bytes heard of the first piece there; more than it has, or less than none, is a mistake
            of whoever reported it and is brought to the nearest that can be.
        latest: An item that is still being generated, so that what was heard cannot be its end.
    """
    cut = dict.fromkeys(item for _, item, _ in unheard)
    if latest in heard_bytes:
        cut[latest] = None
    for item in cut:
        heard = heard_bytes.get(item, 0)
        if unheard and unheard[0][1] == item:
            heard += min(max(beyond, 0), unheard[0][2])
        yield item, heard
