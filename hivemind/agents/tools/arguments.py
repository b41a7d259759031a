"""The arguments that a model wrote, checked against the tool's JSON Schema.

What does not fit becomes a sentence for the model, which can mend it. Schemas come from MCP servers too, so
they are data: nothing is fetched for a `$ref`, and their patterns run in linear time.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import re2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from hivemind.agents.tools.tool import Tool

MAX_ARGUMENT_CHARS = 200_000
_MAX_MISTAKES = 5
_MAX_MISTAKE_CHARS = 300
_MAX_KEPT = 2_000

# By the identity of the schema, which is kept alive here: a mapping has no hash, and tools keep theirs.
_kept: dict[int, tuple[Mapping[str, Any], Validator]] = {}


def parse(tool: Tool, json_text: str) -> Mapping[str, Any] | str:
    """The arguments, or what is wrong with them in words that the model can act on."""
    if len(json_text) > MAX_ARGUMENT_CHARS:
        return f"The arguments are longer than {MAX_ARGUMENT_CHARS:,} characters; send less at once."
    try:
        value = orjson.loads(json_text) if json_text.strip() else {}
    except orjson.JSONDecodeError as error:
        return f"The arguments of {tool.name} are not JSON: {error}. Send one JSON object."
    if not isinstance(value, dict):
        return f"The arguments of {tool.name} have to be one JSON object."
    if "\\u0000" in json_text and _holds_nul(value):
        return "The arguments hold a NUL character; leave it out."
    try:
        mistakes = [
            _words(error) for _, error in zip(range(_MAX_MISTAKES), _errors(tool, value), strict=False)
        ]
    except (RecursionError, Unresolvable):
        return f"The arguments of {tool.name} cannot be checked against its schema."
    if mistakes:
        return f"The arguments of {tool.name} do not fit its schema. " + "; ".join(mistakes)
    return value


def schema_mistake(parameters: dict[str, Any]) -> str | None:
    """What is wrong with the schema of a tool, or None where it can be offered."""
    if parameters.get("type") != "object":
        return "its schema is not that of an object"
    try:
        validator_for(parameters, default=Draft202012Validator).check_schema(parameters)
    except SchemaError as error:
        return f"its schema is not valid: {error.message[:_MAX_MISTAKE_CHARS]}"
    return None


def _errors(tool: Tool, value: Mapping[str, Any]) -> Iterator[ValidationError]:
    kept = _kept.get(id(tool.parameters))
    if kept is None:
        if len(_kept) >= _MAX_KEPT:
            _kept.clear()
        kept = _kept[id(tool.parameters)] = (tool.parameters, _compile(tool.parameters))
    return kept[1].iter_errors(value)


def _compile(schema: Mapping[str, Any]) -> Validator:
    dialect = extend(  # type: ignore[no-untyped-call]
        validator_for(schema, default=Draft202012Validator),
        {
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "additionalProperties": _additional_properties,
        },
    )
    validator: Validator = dialect(schema, registry=Registry())
    return validator


def _words(error: ValidationError) -> str:
    place = ".".join(str(step) for step in error.absolute_path)
    message = error.message[:_MAX_MISTAKE_CHARS]
    return f"{place}: {message}" if place else message


def _holds_nul(value: object) -> bool:
    """Whether a text anywhere in the value holds what Postgres cannot store."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _holds_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_holds_nul(item) for item in value)


# -- keywords with patterns, on the linear-time engine; a pattern that it does not know is the tool's to check


def _found(pattern: str, text: str) -> bool:
    try:
        return re2.search(pattern, text) is not None
    except re2.error:
        return True


def _pattern(_: Validator, pattern: str, value: object, __: object) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _found(pattern, value):
        yield ValidationError(f"{value[:80]!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], value: object, _: object
) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        for pattern, schema in patterns.items():
            for key, item in value.items():
                if _found(pattern, key):
                    yield from validator.descend(item, schema, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: object, value: object, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extra = [
        key for key in value if key not in known and not any(_found(pattern, key) for pattern in patterns)
    ]
    if isinstance(allowed, dict):
        for key in extra:
            yield from validator.descend(value[key], allowed, path=key)
    elif allowed is False and extra:
        named = ", ".join(repr(key[:80]) for key in extra[:10])
        yield ValidationError(f"there is no {named}; it takes {', '.join(map(repr, known)) or 'nothing'}")
