"""JSON through a guard of text, so that it is still JSON afterwards.

Each string, number and name is checked by itself, and then the whole, where a name says what a value is.
"""

import json
from collections.abc import Callable
from typing import Any

import orjson

Check = Callable[[str], str]

_WITHHELD = '{"withheld":"the guards cannot let this through as JSON"}'


class _NameTwice(ValueError):
    """An object has a name twice, so that who reads it next may read another value than was checked."""


def passed_json(text: str, check: Check) -> str:
    """The JSON text as it may go on; what is no JSON is checked as the text that it is."""
    try:
        orjson.loads(text)  # stricter than the standard library, which keeps large numbers as they are
        value = json.loads(text, object_pairs_hook=_object)
    except orjson.JSONDecodeError:
        return check(text)
    except _NameTwice:
        return _WITHHELD
    by_parts = passed(value, check)
    # An escape can hide from the check of the whole what a reader sees.
    clean = text if by_parts == value and "\\u" not in text else _dumped(by_parts)
    whole = check(clean)
    if whole == clean:
        return clean
    try:
        orjson.loads(whole)
    except orjson.JSONDecodeError:
        return _WITHHELD
    return whole


def passed(value: Any, check: Check) -> Any:
    """A JSON value as it may go on."""
    if isinstance(value, str):
        return check(value)
    if isinstance(value, dict):
        return {check(name): passed(inner, check) for name, inner in value.items()}
    if isinstance(value, list):
        return [passed(inner, check) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    text = str(value)
    clean = check(text)
    return value if clean == text else clean


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _NameTwice
    return found


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
