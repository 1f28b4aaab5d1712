"""JSON on the wire, for every codec: reading fields that nobody vouches for, and writing what users say.

The readers are total: a required field that is missing or wrong raises Wrong, which names the field and
never its content; an optional one that is wrong counts as absent.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import orjson

from convsm.errors import ProtocolError

__all__ = [
    "Json",
    "Wrong",
    "dump",
    "flag",
    "items",
    "mapping",
    "maybe_text",
    "needed",
    "number",
    "offered",
    "part_kind",
    "text",
    "too_deep",
    "whole",
]

Json = dict[str, Any]

# At most 19 digits: a nanosecond clock fits, and so does an unsigned 64-bit number, the most that JSON
# writers agree on. Python's own limit (4,300 digits, since 3.11) would raise instead.
_NUMERAL = re.compile("-?[0-9]{1,19}")

# A tenth of Python's recursion limit of 1,000 (the parser takes 1,024 levels), so that whoever prints,
# compares or stores a message can.
_DEEPEST = 100


class Wrong(Exception):
    """A required field is missing or wrong.

    Attributes:
        field: Name of the field.
        problem: What is wrong with it, without its content.
    """

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(field, problem)


# Reading: what has to be there


def needed(message: Json, key: str) -> Json:
    """Return the object under a key that has to be there."""
    body = message.get(key)
    if type(body) is dict:
        return body
    raise Wrong(key, "missing" if body is None else "not an object")


def text(body: Json, key: str) -> str:
    """Return a string that has to be there; it may be empty."""
    value = body.get(key)
    if type(value) is str:
        return value
    raise Wrong(key, "missing" if value is None else "not a string")


# Reading: what may be absent


def offered(message: Json, key: str) -> Json:
    """Return the object under a key, or an empty one."""
    body = message.get(key)
    return body if type(body) is dict else {}


def maybe_text(body: Json, key: str) -> str | None:
    """Return a string if there is one."""
    value = body.get(key)
    return value if type(value) is str else None


def number(body: Json, key: str) -> float | None:
    """Return a number if there is one; the parser lets only finite ones in, and a bool is none."""
    value = body.get(key)
    return value if type(value) is int or type(value) is float else None


def whole(value: object) -> int | None:
    """Return the whole number that a value stands for: itself, a numeral of up to 19 digits, or 5 for 5.0."""
    if type(value) is int:
        return value
    if type(value) is float:
        return int(value) if value.is_integer() else None
    if type(value) is str and _NUMERAL.fullmatch(value):
        return int(value)
    return None


def flag(body: Json, key: str, default: bool) -> bool:
    """Return a bool, or the default if there is none."""
    value = body.get(key)
    return value if type(value) is bool else default


def mapping(body: Json, key: str) -> Json:
    """Return a free-form object, or an empty one; one that is nested too deeply is wrong."""
    value = body.get(key)
    if type(value) is not dict:
        return {}
    if too_deep(value):
        raise Wrong(key, "nested too deeply")
    return value


def items(body: Json, key: str) -> list[Any]:
    """Return a free-form list, or an empty one; one that is nested too deeply is wrong."""
    value = body.get(key)
    if type(value) is not list:
        return []
    if too_deep(value):
        raise Wrong(key, "nested too deeply")
    return value


def part_kind(value: object) -> Literal["start", "delta", "stop"]:
    """Return the kind of a streamed part; one that nobody has heard of is a delta."""
    if value == "start":
        return "start"
    return "stop" if value == "stop" else "delta"


def too_deep(value: object) -> bool:
    """Return whether JSON is nested deeper than anyone downstream could walk recursively."""
    level = [value]
    for _ in range(_DEEPEST):
        below: list[object] = []
        for item in level:
            if type(item) is dict:
                below.extend(item.values())
            elif type(item) is list:
                below.extend(item)
        if not below:
            return False
        level = below
    return True


# Writing


def dump(message: object) -> bytes:
    """Write a message as JSON.

    Half of a surrogate pair, which UTF-8 cannot express, becomes U+FFFD; two halves become their character.

    Raises:
        ProtocolError: The message holds what JSON cannot express. Its text names types, no content.
    """
    try:
        return orjson.dumps(message)
    except TypeError:
        pass
    # The standard library takes what orjson refuses: surrogates, big numbers, numbers as keys.
    try:
        written = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(
            f"The message cannot be written as JSON ({error}); send only strings, numbers, lists and dicts."
        ) from None
    return written.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
