from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, IntEnum
from types import MappingProxyType

import orjson
import pytest
from hypothesis import given, settings

from convsm.machine.effects import Transmit
from convsm.recording.encoding import Encoder, decode
from tests.recording.conversations import Message, payloads


class Colour(Enum):
    RED = "red"


class Kind(str, Enum):
    DELTA = "delta"


class Level(IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Real(float):
    pass


class Grumpy(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("changed meanwhile")

    def __len__(self) -> int:
        return 1


def circle() -> object:
    inner: list[object] = [1]
    inner.append({"again": inner})
    return inner


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (Message("greeting"), {"type": "Message", "$type": "greeting", "text": "hello"}),
        (Transmit(None), {"type": "Transmit", "message": None}),
        (Colour.RED, "red"),
        (Kind.DELTA, "delta"),
        (Level.HIGH, 3),
        (Text("a"), "a"),
        (Number(7), 7),
        (Real(0.5), 0.5),
        ((1, (2,)), [1, [2]]),
        (True, True),
        ("ü", "ü"),
        ("a\ud800", {"$text": "Ye2ggA=="}),
        (2**63, 2**63),
        (2**64, {"$integer": "0x10000000000000000"}),
        (-(2**63) - 1, {"$integer": "-0x8000000000000001"}),
        (float("inf"), {"$float": "inf"}),
        (-float("inf"), {"$float": "-inf"}),
        (float("nan"), {"$float": "nan"}),
        (b"\0\0", {"$bytes": 2, "sha256": "96a296d224f285c6"}),
        (bytearray(b"\0\0"), {"$bytes": 2, "sha256": "96a296d224f285c6"}),
        (memoryview(b"\0\0"), {"$bytes": 2, "sha256": "96a296d224f285c6"}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ({1: "a", "b": None}, {"$mapping": [[1, "a"], ["b", None]]}),
        ({"$bytes": 1}, {"$mapping": [["$bytes", 1]]}),
        ({"\ud800": 1}, {"$mapping": [[{"$text": "7aCA"}, 1]]}),
        ({"a": object()}, {"a": {"$object": "object"}}),
        (Message, {"$object": "type"}),
        (Grumpy(), {"$object": "Grumpy"}),
        (circle(), [1, {"again": {"$object": "list"}}]),
    ],
)
def test_each_kind_of_value_has_one_encoding(value: object, encoded: object) -> None:
    actual = Encoder().encode(value)
    assert orjson.loads(orjson.dumps(actual)) == encoded
    assert orjson.dumps(Encoder().encode(decode(actual))) == orjson.dumps(actual)


@pytest.mark.parametrize(
    "value",
    ["a\ud800\udc00", 10**5000, -(2**70), float("-inf"), "ü", 0, None, False],
    ids=lambda value: type(value).__name__,  # so long a number cannot be printed
)
def test_a_plain_value_is_read_back_whole(value: object) -> None:
    assert decode(orjson.loads(orjson.dumps(Encoder().encode(value)))) == value


@settings(deadline=None)
@given(payloads)
def test_an_opaque_payload_is_as_true_as_the_original(payload: object) -> None:
    assert bool(decode(orjson.loads(orjson.dumps(Encoder().encode(payload))))) is bool(payload)
