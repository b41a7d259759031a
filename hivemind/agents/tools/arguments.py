"""The arguments that a model wrote, checked against the tool's schema; mistakes go back to the model."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from hivemind.agents.tools.tool import Tool

_MOST_MISTAKES = 5


def parse(tool: Tool, text: str) -> Mapping[str, Any] | str:
    """The arguments, or what the model has to mend."""
    try:
        arguments = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        return f"The arguments are not JSON: {error}."
    if not isinstance(arguments, dict):
        return "The arguments have to be a JSON object."
    validator = _validator(orjson.dumps(tool.parameters))
    mistakes = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(arguments)]
    if mistakes:
        return "The arguments do not fit: " + "; ".join(mistakes[:_MOST_MISTAKES])
    return arguments


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> Validator:
    return Draft202012Validator(orjson.loads(schema))
