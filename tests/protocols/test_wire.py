from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm.errors import ProtocolError
from convsm.protocols import wire
from convsm.protocols.wire import Wrong, dump, too_deep, whole
from tests.protocols.helpers import JSON


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@given(st.integers(-(10**18), 10**18))
def test_an_id_may_be_a_number_or_its_numeral(turn):
    assert whole(turn) == turn
    assert whole(str(turn)) == turn


@given(st.integers(-(2**53), 2**53))
def test_a_whole_float_is_a_whole_number(turn):
    assert whole(float(turn)) == turn
    assert type(whole(float(turn))) is int


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        None,
        1.5,
        float("nan"),
        float("inf"),
        "",
        "-",
        "+5",
        " 5",
        "5 ",
        "5\n",
        "5.0",
        "1e3",
        "0x5",
        "1_000",
        "٣",
        "²",
        "9" * 20,
        "9" * 5000,
        [],
        {},
    ],
)
def test_anything_else_is_no_whole_number(value):
    assert whole(value) is None


@given(JSON)
def test_readers_return_what_they_promise_or_say_which_field_is_wrong(value):
    body = {"field": value}
    assert wire.number(body, "field") is None or type(value) in (int, float)
    assert wire.maybe_text(body, "field") == (value if isinstance(value, str) else None)
    assert wire.flag(body, "field", True) is (value if isinstance(value, bool) else True)
    assert wire.offered(body, "field") == (value if isinstance(value, dict) else {})
    assert wire.mapping(body, "field") == (value if isinstance(value, dict) else {})
    assert wire.items(body, "field") == (value if isinstance(value, list) else [])
    assert wire.part_kind(value) == (value if value in ("start", "stop") else "delta")
    for reader, kind in ((wire.text, str), (wire.needed, dict)):
        if isinstance(value, kind):
            assert reader(body, "field") == value
        else:
            with pytest.raises(Wrong) as caught:
                reader(body, "field")
            assert caught.value.field == "field"
            assert caught.value.problem == ("missing" if value is None else caught.value.problem)


def test_a_hundred_levels_are_deep_enough():
    assert not too_deep(nested(99))
    assert too_deep(nested(100))
    assert too_deep({"a": [nested(97), {"b": nested(98)}]})


@pytest.mark.parametrize("reader", [wire.mapping, wire.items])
def test_free_form_that_is_nested_too_deeply_is_wrong(reader):
    body = {"field": {"a": nested(200)} if reader is wire.mapping else nested(200)}
    with pytest.raises(Wrong) as caught:
        reader(body, "field")
    assert (caught.value.field, caught.value.problem) == ("field", "nested too deeply")


@given(JSON)
def test_what_is_written_is_read_back_the_same(value):
    assert json.loads(dump(value)) == value


@given(st.text(st.characters(categories=["Cs", "L", "Zs"])))
def test_text_with_halves_of_surrogate_pairs_is_written_all_the_same(said):
    written = json.loads(dump({"text": said}))["text"]
    assert written == said.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def test_two_halves_become_their_character_and_one_half_a_replacement():
    assert json.loads(dump("\ud83d\ude00 \ude00 \ud83d!")) == "😀 \ufffd \ufffd!"


def test_numbers_beyond_64_bits_and_numbers_as_keys_are_written():
    assert json.loads(dump({"big": 2**64, "text": "\ud800", 5: None})) == {
        "big": 2**64,
        "text": "\ufffd",
        "5": None,
    }


def circular() -> object:
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize("value", [object(), b"bytes", {("a", "b"): 1}, circular(), [2**64, float("nan")]])
def test_what_json_cannot_express_is_refused(value):
    with pytest.raises(ProtocolError, match="cannot be written as JSON") as caught:
        dump({"secret": "hush", "value": value})
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
