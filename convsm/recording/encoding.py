"""How events, effects and payloads stand in a recording, and how they are read back.

An attrs class is an object with its name as ``type`` (a field of that name is ``$type``), without the
fields that its repr leaves out, for those may be secret. Enums are their value, tuples lists.
``{"$bytes": length, "sha256": …}`` are bytes; in the event that brought audio, and nowhere else, they
stand as ``base64`` too if that was asked for. What JSON has no word for is ``$float`` (nan, inf,
-inf), ``$integer`` (beyond 64 bit, in hexadecimal), ``$text`` (with lone surrogates, in base64) or
``$mapping`` (pairs, where a key is no string or begins with a dollar sign). All else, and what is
nested deeper than 64 levels or in a circle, is ``$object``, the name of its type.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

import attrs
import pybase64

from convsm.machine.effects import Notify

__all__ = ["Encoded", "Encoder", "Recorded", "decode"]

# A level is at most three levels of JSON, and orjson writes 254.
_MAX_DEPTH = 64

Encoded = Any  # what JSON can say; a name for readers, since its type would be recursive


@attrs.frozen(eq=False)
class Recorded:
    """Stands in for a payload on replay: opaque, with its length, and encoded as it was recorded."""

    encoded: Encoded
    length: int

    def __len__(self) -> int:
        return self.length


@lru_cache(maxsize=1024)
def _field_names(kind: type) -> tuple[str, ...] | None:
    if not attrs.has(kind):
        return None
    return tuple(field.name for field in attrs.fields(kind) if field.repr is not False)


@attrs.define
class Encoder:
    """Turns values into what JSON can say. It does not raise, and is used by one thread."""

    # A step's values by identity, kept alive with their encodings: the same bytes are hashed once, and
    # what somebody changes meanwhile looks the same in the event and in its effects.
    _known: dict[int, tuple[object, Encoded]] = attrs.field(factory=dict, init=False)

    def forget(self) -> None:
        """Begin a new step."""
        self._known.clear()

    def encode(self, value: Any, depth: int = 0) -> Encoded:
        """Return the encoding of any value; depth counts from the event or effect that holds it."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return _encode_text(value)
        if kind is int:
            return value if -(1 << 63) <= value < 1 << 64 else {"$integer": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        stranger = {"$object": kind.__name__}
        self._known[id(value)] = (value, stranger)  # for whoever comes back here in a circle
        try:
            encoded = self._compound(value, kind, depth) if depth <= _MAX_DEPTH else stranger
        except Exception:  # foreign code behind items(), value or an attribute, or changed meanwhile
            encoded = stranger
        self._known[id(value)] = (value, encoded)
        return encoded

    def _compound(self, value: object, kind: type, depth: int) -> Encoded:
        if isinstance(value, Recorded):
            return value.encoded
        names = _field_names(kind)
        if names is not None:
            # The event in a Notify encodes like the event itself, so it may not count as a level.
            inner = depth if kind is Notify else depth + 1
            fields = {name: self.encode(getattr(value, name), inner) for name in names}
            if "type" in fields:
                fields["$type"] = fields.pop("type")
            return {"type": kind.__name__, **fields}
        if isinstance(value, Enum):
            return self.encode(value.value, depth + 1)
        if isinstance(value, str):
            return _encode_text(str.__str__(value))
        if isinstance(value, int):
            return self.encode(int.__index__(value))
        if isinstance(value, float):
            return self.encode(float.__float__(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            # 64 bits tell apart any two pieces of a recording; it guards against nobody.
            return {"$bytes": len(bytes(value)), "sha256": hashlib.sha256(value).hexdigest()[:16]}
        if isinstance(value, (list, tuple)):
            return [self.encode(item, depth + 1) for item in value]
        if isinstance(value, Mapping):
            return self._mapping(list(value.items()), depth + 1)
        return {"$object": kind.__name__}

    def _mapping(self, items: list[tuple[object, object]], depth: int) -> Encoded:
        encoded = {}
        for key, value in items:
            if type(key) is not str or key[:1] == "$" or _encode_text(key) is not key:
                return {
                    "$mapping": [[self.encode(key, depth), self.encode(item, depth)] for key, item in items]
                }
            encoded[key] = self.encode(value, depth)
        return encoded


def _encode_text(text: str) -> Encoded:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return {"$text": pybase64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")}
    return text


def decode(encoded: Encoded) -> Any:
    """Return the plain value, or a stand-in for a payload (ValueError, TypeError: it is damaged)."""
    if isinstance(encoded, dict):
        if "$float" in encoded:
            return float(encoded["$float"])
        if "$integer" in encoded:
            return int(encoded["$integer"], 16)
        if "$text" in encoded:
            return pybase64.b64decode(encoded["$text"], validate=True).decode("utf-8", "surrogatepass")
        if "$bytes" in encoded:
            length = encoded["$bytes"]
            if type(length) is not int or not 0 <= length < 1 << 48:
                raise ValueError("$bytes holds no length")
            return Recorded({key: value for key, value in encoded.items() if key != "base64"}, length)
    return Recorded(encoded, len(encoded)) if isinstance(encoded, (dict, list)) else encoded
