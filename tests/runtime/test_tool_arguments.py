from __future__ import annotations

import builtins
import dataclasses
import enum
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Optional, Union

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsm import ClientTools, ConfigurationError, ToolError
from convsm.runtime.tool_arguments import keywords_of
from convsm.runtime.tool_types import Mismatch, Unsupported, brief, reader_of

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Place:
    city: str
    street: str | None = None
    near: list[Place] = dataclasses.field(default_factory=list)
    hidden: int = dataclasses.field(default=0, init=False)


@attrs.frozen
class Trip:
    goal: Place
    _days: int = 1


READ = [
    (str, "a", "a"),
    (int, 3, 3),
    (int, 3.0, 3),
    (int, 10**30, 10**30),
    (float, 3, 3.0),
    (float, 2.5, 2.5),
    (bool, True, True),
    (None, None, None),
    (Any, {"a": [1]}, {"a": [1]}),
    (object, 1, 1),
    (Annotated[str, "a note"], "a", "a"),
    (list, [1, "a"], [1, "a"]),
    (list[int], [1, 2.0], [1, 2]),
    (Sequence[str], ["a"], ["a"]),
    (dict, {"a": 1}, {"a": 1}),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (Mapping[str, Any], {"a": None}, {"a": None}),
    (Literal["a", 1, True], True, True),
    (Optional[int], None, None),  # noqa: UP045 - users write it
    (Union[int, str], "a", "a"),  # noqa: UP007
    (int | float, 2.5, 2.5),
    (float | int, 2, 2),
    (Unit, "f", Unit.FAHRENHEIT),
    (Level, 2, Level.HIGH),
    (list[Unit | None], ["c", None], [Unit.CELSIUS, None]),
    (Place, {"city": "Oslo"}, Place("Oslo")),
    (Place, {"city": "Oslo", "near": [{"city": "Ski"}]}, Place("Oslo", None, [Place("Ski")])),
    (Trip, {"goal": {"city": "Oslo"}, "days": 2}, Trip(Place("Oslo"), 2)),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), READ)
def test_a_value_of_its_annotation_is_read(annotation, value, expected):
    result = reader_of(annotation).read(value)
    assert result == expected
    assert type(result) is type(expected)


WRONG = [
    (str, 1, "", "a string"),
    (int, "3", "", "a whole number"),
    (int, 3.5, "", "a whole number"),
    (int, True, "", "a whole number"),
    (float, True, "", "a number"),
    (float, 10**400, "", "a number"),
    (bool, 1, "", "true or false"),
    (None, 0, "", "null"),
    (list[int], {"a": 1}, "", "a list, each item a whole number"),
    (list[int], [1, "b"], "[1]", "a whole number"),
    (dict[str, list[int]], {"a": [1, None]}, ".a[1]", "a whole number"),
    (dict, [], "", "an object"),
    (Literal["a", 1], True, "", 'one of "a", 1'),
    (Literal["a"], [], "", '"a"'),
    (Unit, "k", "", 'one of "c", "f"'),
    (Unit, {}, "", 'one of "c", "f"'),
    (int | None, "a", "", "a whole number or null"),
    (Place | None, {"city": 1}, ".city", "a string"),
    (Place, "Oslo", "", "an object with city, street, near"),
    (Place, {}, ".city", "given (a string)"),
    (Place, {"city": "Oslo", "hidden": 1}, "", "an object with city, street, near"),
    (Place, {"city": "Oslo", "near": [{"city": "Ski", "street": 1}]}, ".near[0].street", "a string or null"),
]


@pytest.mark.parametrize(("annotation", "value", "path", "expected"), WRONG)
def test_a_value_that_is_wrong_is_told_with_its_place_and_what_it_must_be(annotation, value, path, expected):
    with pytest.raises(Mismatch) as wrong:
        reader_of(annotation).read(value)
    assert (wrong.value.path, wrong.value.expected) == (path, expected)


@given(st.sampled_from([annotation for annotation, _, _ in READ]), json_values)
def test_whatever_comes_is_read_or_told(annotation: Any, value: Any):
    told = None
    try:
        reader_of(annotation).read(value)
    except Mismatch as wrong:
        told = wrong
    assert told is None or (told.expected and len(brief(told.value)) <= 60)


@pytest.mark.parametrize(
    "annotation", [set[int], bytes, dict[int, str], Callable[[], int], complex, [int], 7]
)
def test_an_annotation_that_cannot_be_checked_is_unsupported(annotation):
    with pytest.raises(Unsupported):
        reader_of(annotation)


# Keywords


def forecast(city: str, days: int = 1, unit: Unit = Unit.CELSIUS) -> str:
    """Do nothing."""
    return f"{city} {days} {unit.value}"


def bind(function: Callable[..., Any], **parameters: Any) -> dict[str, Any]:
    return keywords_of("forecast", function)({**parameters, "tool_call_id": "call_1"})


def problem(function: Callable[..., Any], **parameters: Any) -> str:
    with pytest.raises(ToolError) as error:
        bind(function, **parameters)
    assert error.value.error_type == "unknown"
    text = str(error.value)
    assert text.startswith("The call was not run: ")
    assert text.endswith(". Correct it and call again.")
    return text.removeprefix("The call was not run: ").removesuffix(". Correct it and call again.")


def test_parameters_become_keywords_by_their_names():
    assert bind(forecast, city="Oslo", unit="f") == {"city": "Oslo", "unit": Unit.FAHRENHEIT}


def test_each_parameter_that_is_wrong_is_named():
    assert problem(forecast, days="three", unit="k", town="Oslo") == (
        "parameter 'city' is missing; parameter 'days' must be a whole number, not \"three\"; "
        'parameter \'unit\' must be one of "c", "f", not "k"; '
        "there is no parameter 'town' (there is: city, days, unit)"
    )


def test_no_more_problems_are_told_than_a_model_can_use():
    text = problem(lambda: None, **{f"p{number}": 1 for number in range(9)})
    assert text.count("there is no parameter") == 5
    assert text.endswith("; and 4 more")
    assert "(there is: none)" in text


def test_the_id_of_the_call_is_given_to_who_has_a_parameter_for_it():
    def with_id(city: str, tool_call_id: str) -> None: ...

    def with_rest(**rest: Any) -> None: ...

    assert bind(with_id, city="Oslo") == {"city": "Oslo", "tool_call_id": "call_1"}
    assert bind(with_rest, city="Oslo", more=1) == {"city": "Oslo", "more": 1}
    assert "tool_call_id" not in bind(forecast, city="Oslo")


def test_a_function_without_annotations_and_one_that_takes_all_positions_are_not_checked():
    def plain(city, *others): ...

    assert bind(plain, city=["anything"]) == {"city": ["anything"]}


def test_partials_methods_and_callable_objects_have_signatures_too():
    class Tools:
        def method(self, days: int) -> None: ...

        def __call__(self, days: int) -> None: ...

    for function in (Tools().method, Tools(), functools.partial(forecast, "Oslo")):
        assert bind(function, days=2) == {"days": 2}
        assert "whole number" in problem(function, days="2")


def test_what_cannot_be_called_by_name_or_checked_is_refused_when_it_is_registered():
    def positional(city, /): ...

    def unsupported(city: set[str]) -> None: ...

    def unresolved(city: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    @dataclasses.dataclass
    class Inside:
        place: Elsewhere  # type: ignore[name-defined]  # noqa: F821

    def nested(inside): ...

    nested.__annotations__["inside"] = Inside
    for function, text in (
        (positional, "'city' of tool 'x' cannot be given by its name"),
        (unsupported, "'city' of tool 'x' cannot be checked: set is nothing that JSON holds"),
        (unresolved, "signature of tool 'x' cannot be read"),
        (nested, "'inside' of tool 'x' cannot be checked: Inside has annotations"),
    ):
        with pytest.raises(ConfigurationError, match=text):
            ClientTools().tool(name="x")(function)


def test_a_value_in_an_error_is_short():
    assert brief("x" * 100) == f'"{"x" * 58}…'
    assert brief({"a": math.inf}) == '{"a": Infinity}'


# Schemas

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
    "required": ["city"],
    "additionalProperties": False,
}


def test_without_the_package_a_schema_says_which_extra_is_needed(monkeypatch):
    original = builtins.__import__

    def refuse(name, *rest):
        if name == "jsonschema":
            raise ImportError
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigurationError, match=r'install it: pip install "convsm\[schema\]"'):
        ClientTools().register("x", str, schema=SCHEMA)


def checked(schema: Mapping[str, Any], **parameters: Any) -> str:
    pytest.importorskip("jsonschema")
    tools = ClientTools()
    tools.register("x", lambda given: "ran", schema=schema)
    try:
        return str(tools.tools["x"].call({**parameters, "tool_call_id": "call_1"}))
    except ToolError as error:
        return str(error)


def test_a_schema_is_checked_before_the_handler_runs():
    assert checked(SCHEMA, city="Oslo", days=[1]) == "ran"
    assert checked(SCHEMA, days=[1, "two"]) == (
        "The call was not run: 'city' is a required property; "
        "parameter 'days[1]': 'two' is not of type 'integer'. Correct it and call again."
    )
    assert "'town' was unexpected" in checked(SCHEMA, city="Oslo", town="Oslo")


def test_a_schema_of_an_older_draft_is_understood_and_nothing_is_fetched():
    older = {"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"a": {"maximum": 3}}}
    assert checked({**older}, a=4) != "ran"
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        checked({"$ref": "http://127.0.0.1:1/schema"}, a=1)


def test_what_is_no_schema_is_refused():
    pytest.importorskip("jsonschema")
    with pytest.raises(ConfigurationError, match="The schema of tool 'x' is not a JSON schema"):
        ClientTools().register("x", str, schema={"type": "nonsense"})


def test_a_schema_takes_the_place_of_annotations():
    pytest.importorskip("jsonschema")
    tools = ClientTools()

    @tools.tool(schema={"properties": {"city": {"type": "integer"}}})
    def where(city: set[str]) -> object:
        return city

    assert tools.tools["where"].call({"city": 7, "tool_call_id": "call_1"}) == 7
    with pytest.raises(ToolError, match="is not of type 'integer'"):
        tools.tools["where"].call({"city": "Oslo"})
    with pytest.raises(ToolError, match="parameter 'city' is missing"):
        tools.tools["where"].call({})
