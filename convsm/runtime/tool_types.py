"""What values an annotation accepts of those that JSON can hold, and what becomes of them."""

from __future__ import annotations

import collections.abc
import dataclasses
import json
import types
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any

import attrs

__all__ = ["Mismatch", "Reader", "Unsupported", "brief", "reader_of"]


class Unsupported(Exception):
    """An annotation that cannot be checked; the text says why."""


class Mismatch(Exception):
    """A value is not what it must be.

    Attributes:
        expected: What it must be.
        value: The value.
        path: Where it stands inside the parameter, such as ``[2].name``; empty for the whole.
    """

    def __init__(self, expected: str, value: object, path: str = "") -> None:
        self.expected = expected
        self.value = value
        self.path = path
        super().__init__(expected)


@attrs.frozen
class Reader:
    """Reads values of one annotation.

    Attributes:
        expected: What a value must be, in words for the agent.
        read: Returns the value, converted if need be, or raises Mismatch.
    """

    expected: str
    read: Callable[[Any], Any]


def brief(value: object) -> str:
    """Return a value of JSON in at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=lambda one: type(one).__name__)
    return text if len(text) <= 60 else f"{text[:59]}…"


def reader_of(annotation: object) -> Reader:
    """Return the reader of an annotation.

    It may be str, int, float, bool, None, Any, object; list, dict with keys of str, and their abstract
    kinds; Literal, Optional and unions; enums (by value), dataclasses and attrs classes (of an object).
    A whole number is a float as well, and 3.0 an int, for JSON has one kind of number; a bool is neither.

    Raises:
        Unsupported: It is something else.
    """
    try:
        return _reader(annotation, {})
    except TypeError:  # unhashable, or no annotation at all
        raise Unsupported(f"{annotation!r} is no annotation") from None


# Classes on the way, by their fields' readers: a class may hold itself.
_Known = dict[type, Reader]


def _reader(annotation: Any, known: _Known) -> Reader:
    if annotation in (Any, object):
        return Reader("anything", lambda value: value)
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _reader(arguments[0], known)
    if origin is typing.Literal:
        return _one_of({_key(value): value for value in arguments})
    if origin in (typing.Union, types.UnionType):
        return _union([_reader(argument, known) for argument in arguments])
    if (origin or annotation) in _LISTS:
        return _list(_reader(arguments[0], known) if arguments else None)
    if (origin or annotation) in _DICTS:
        if arguments and arguments[0] not in (str, Any):
            raise Unsupported("the keys of an object are strings")
        return _dict(_reader(arguments[1], known) if arguments else None)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _one_of({_key(member.value): member for member in annotation})
    if isinstance(annotation, type) and (dataclasses.is_dataclass(annotation) or attrs.has(annotation)):
        return known.get(annotation) or _object(annotation, known)
    raise Unsupported(f"{getattr(annotation, '__name__', annotation)} is nothing that JSON holds")


_LISTS = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_DICTS = (dict, collections.abc.Mapping)


def _simple(expected: str, convert: Callable[[Any], Any]) -> Reader:
    def read(value: object) -> Any:
        try:
            return convert(value)
        except (LookupError, OverflowError):  # no conversion for its type, or a number beyond all floats
            raise Mismatch(expected, value) from None

    return Reader(expected, read)


def _same(value: Any) -> Any:
    return value


def _whole(value: float) -> int:
    if not value.is_integer():
        raise LookupError
    return int(value)


def _by_type(conversions: dict[type, Callable[[Any], Any]]) -> Callable[[Any], Any]:
    return lambda value: conversions[type(value)](value)


_NULL = _simple("null", _by_type({type(None): _same}))
_SIMPLE: dict[Any, Reader] = {
    str: _simple("a string", _by_type({str: _same})),
    int: _simple("a whole number", _by_type({int: _same, float: _whole})),
    float: _simple("a number", _by_type({float: _same, int: float})),
    bool: _simple("true or false", _by_type({bool: _same})),
    None: _NULL,
    type(None): _NULL,
}


def _key(value: object) -> tuple[type, object]:
    return (type(value), value)  # 1, 1.0 and True are equal, and not the same to an agent


def _one_of(choices: dict[tuple[type, object], object]) -> Reader:
    words = [brief(value) for _, value in choices]
    expected = f"one of {', '.join(words)}" if len(words) > 1 else "".join(words)

    def read(value: object) -> object:
        try:
            return choices[_key(value)]
        except (KeyError, TypeError):  # a list or a dict has no hash
            raise Mismatch(expected, value) from None

    return Reader(expected, read)


def _union(readers: list[Reader]) -> Reader:
    expected = " or ".join(reader.expected for reader in readers)

    def read(value: object) -> Any:
        # What needs no conversion comes first: an int of `float | int` stays one.
        results = []
        inner: list[Mismatch] = []
        for reader in readers:
            try:
                results.append(reader.read(value))
            except Mismatch as wrong:
                inner += [wrong] if wrong.path else []
        if not results:
            # A fault inside says more than that the whole fits none, if it is the only one that got so far.
            raise inner[0] if len(inner) == 1 else Mismatch(expected, value)
        return next((result for result in results if result is value), results[0])

    return Reader(expected, read)


def _inside(path: str, reader: Reader, value: object) -> Any:
    try:
        return reader.read(value)
    except Mismatch as wrong:
        raise Mismatch(wrong.expected, wrong.value, path + wrong.path) from None


def _list(item: Reader | None) -> Reader:
    expected = "a list" if item is None else f"a list, each item {item.expected}"

    def read(value: object) -> Any:
        if type(value) is not list:
            raise Mismatch(expected, value)
        if item is None:
            return value
        return [_inside(f"[{index}]", item, one) for index, one in enumerate(value)]

    return Reader(expected, read)


def _dict(item: Reader | None) -> Reader:
    expected = "an object" if item is None else f"an object, each value {item.expected}"

    def read(value: object) -> Any:
        if type(value) is not dict:
            raise Mismatch(expected, value)
        if item is None:
            return value
        return {key: _inside(f".{key}", item, one) for key, one in value.items()}

    return Reader(expected, read)


def _object(kind: type, known: _Known) -> Reader:
    try:
        hints = typing.get_type_hints(kind)
    except NameError as error:
        raise Unsupported(f"{kind.__name__} has annotations that cannot be resolved ({error})") from None
    # By the name that the constructor has: whether it is needed, and its annotation.
    names: dict[str, tuple[bool, Any]] = {}
    for field in attrs.fields(kind) if attrs.has(kind) else dataclasses.fields(kind):
        if field.init:
            name = getattr(field, "alias", field.name)
            names[name] = (_has_no_default(field), hints.get(field.name, Any))
    expected = f"an object with {', '.join(names)}" if names else "an object"
    readers: dict[str, Reader] = {}

    def read(value: object) -> Any:
        if type(value) is not dict:
            raise Mismatch(expected, value)
        for name, (is_needed, _) in names.items():
            if is_needed and name not in value:
                raise Mismatch(f"given ({readers[name].expected})", None, f".{name}")
        for name in value:
            if name not in readers:
                raise Mismatch(expected, value)
        return kind(**{name: _inside(f".{name}", readers[name], one) for name, one in value.items()})

    known[kind] = Reader(expected, read)
    readers.update({name: _reader(annotation, known) for name, (_, annotation) in names.items()})
    return known[kind]


def _has_no_default(field: Any) -> bool:
    missing = (attrs.NOTHING, dataclasses.MISSING)
    defaults = (field.default, getattr(field, "default_factory", attrs.NOTHING))
    return all(any(default is nothing for nothing in missing) for default in defaults)
