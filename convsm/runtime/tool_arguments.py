"""Checks the arguments of a tool call before its handler runs, against a schema or against annotations.

A wrong argument is a ToolError whose text names each parameter that was wrong and what it must be, so
that the agent can call again. Annotations are checked here, for JSON has six types; schemas by the package
``jsonschema``, which knows all drafts and names the place of each fault.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from convsm.errors import ConfigurationError, ToolError
from convsm.runtime.tool_types import Mismatch, Reader, Unsupported, brief, reader_of

__all__ = ["Binder", "keywords_of", "schema_check"]

Binder = Callable[[dict[str, Any]], dict[str, Any]]

# What a call may have wrong before the rest is left out; an error is read by a model, and paid for.
_MOST_PROBLEMS = 5


def schema_check(name: str, schema: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], None]:
    """Return a function that raises ToolError for parameters that a JSON schema forbids.

    Args:
        name: Name of the tool.
        schema: A schema of an object; without ``$schema`` it is of draft 2020-12. References lead to
            places inside it: nothing is fetched.

    Raises:
        ConfigurationError: The package ``jsonschema`` is missing, or the schema is none.
    """
    try:
        import jsonschema
        from referencing import Registry
    except ImportError:
        raise ConfigurationError(
            f"Tool '{name}' has a schema, and checking it needs the package jsonschema; "
            'install it: pip install "convsm[schema]"'
        ) from None
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ConfigurationError(
            f"The schema of tool '{name}' is not a JSON schema: {error.message}"
        ) from None
    validator = kind(schema, registry=Registry())

    def check(parameters: Mapping[str, Any]) -> None:
        errors = sorted(
            validator.iter_errors(parameters), key=lambda error: list(map(str, error.absolute_path))
        )
        _raise([_schema_problem(list(error.absolute_path), error.message) for error in errors])

    return check


def _schema_problem(path: list[Any], message: str) -> str:
    if not path:
        return message
    first, *rest = path
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    return f"parameter '{first}{place}': {message}"


def keywords_of(name: str, function: Callable[..., Any], check_types: bool = True) -> Binder:
    """Return what makes a function's keyword arguments of a call's parameters.

    Args:
        name: Name of the tool.
        function: Every parameter of it becomes one of the tool; ``tool_call_id`` gets the id of the call.
        check_types: Whether values are checked against the annotations, and converted where these name an
            enum, a dataclass, an attrs class or float.

    Returns:
        A function of the dict that handlers get; it raises ToolError for a parameter that is missing,
        unexpected or wrong.

    Raises:
        ConfigurationError: An annotation cannot be resolved or checked, or a parameter has no name that
            could be called.
    """
    try:
        parameters = inspect.signature(function, eval_str=check_types).parameters
    except (NameError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"The signature of tool '{name}' cannot be read ({error}); "
            "use annotations that its module can resolve, or give a schema."
        ) from None
    readers: dict[str, Reader | None] = {}
    needed: list[str] = []
    takes_rest = takes_id = False
    for parameter in parameters.values():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigurationError(
                f"Parameter '{parameter.name}' of tool '{name}' cannot be given by its name."
            )
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_rest = True
        elif parameter.name == "tool_call_id":
            takes_id = True
        else:
            readers[parameter.name] = _reader(name, parameter) if check_types else None
            if parameter.default is parameter.empty:
                needed.append(parameter.name)

    def bind(arguments: dict[str, Any]) -> dict[str, Any]:
        given = {key: value for key, value in arguments.items() if key != "tool_call_id"}
        problems = [f"parameter '{key}' is missing" for key in needed if key not in given]
        for key, value in given.items():
            if key not in readers:
                if not takes_rest:
                    problems.append(
                        f"there is no parameter '{key}' (there is: {', '.join(readers) or 'none'})"
                    )
                continue
            reader = readers[key]
            try:
                given[key] = value if reader is None else reader.read(value)
            except Mismatch as wrong:
                problems.append(
                    f"parameter '{key}{wrong.path}' must be {wrong.expected}, not {brief(wrong.value)}"
                )
        _raise(problems)
        return {**given, "tool_call_id": arguments.get("tool_call_id")} if takes_id else given

    return bind


def _reader(name: str, parameter: inspect.Parameter) -> Reader | None:
    if parameter.annotation is parameter.empty:
        return None
    try:
        return reader_of(parameter.annotation)
    except Unsupported as unsupported:
        raise ConfigurationError(
            f"Parameter '{parameter.name}' of tool '{name}' cannot be checked: {unsupported}; "
            "use types that JSON has, enums, dataclasses or attrs classes, or give a schema."
        ) from None


def _raise(problems: list[str]) -> None:
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        text = "; ".join(problems[:_MOST_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
        raise ToolError(f"The call was not run: {text}. Correct it and call again.", "unknown")
