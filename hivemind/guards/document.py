"""JSON through a guard of text, so that it is still JSON afterwards.

Each string, number and name is checked by itself, and then the whole, where a name says what a value is.
"""

from collections.abc import Callable
from typing import Any

import orjson

Check = Callable[[str], str]

_WITHHELD = '{"withheld":"a guard changed this so much that it is no JSON any more"}'


def passed_json(text: str, check: Check) -> str:
    """The JSON text as it may go on; what is no JSON is checked as the text that it is."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return check(text)
    by_parts = passed(value, check)
    clean = text if by_parts == value else orjson.dumps(by_parts).decode()
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
