"""Fields that a person gives on the command line: `--set FIELD=VALUE`, or a file of JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hivemind.errors import InvalidRequest

Command = TypeVar("Command", bound=Callable[..., Any])


def options(command: Command) -> Command:
    """`given` and `path`, for `read`."""
    values = click.option(
        "--set",
        "given",
        multiple=True,
        metavar="FIELD=VALUE",
        help="A field; the value is JSON, or else a text. As often as you like.",
    )
    file = click.option(
        "--file", "path", type=click.Path(path_type=Path, exists=True), help="A JSON object of fields."
    )
    decorated: Command = values(file(command))
    return decorated


def read(given: tuple[str, ...], path: Path | None) -> dict[str, Any]:
    """The fields of a file, and over them those of the command line."""
    fields = parse(path.read_text()) if path is not None else {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--set {text!r} has no value: write it as FIELD=VALUE")
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value
    return fields


def read_some(given: tuple[str, ...], path: Path | None) -> dict[str, Any]:
    """As `read`, for a command that does nothing without a field."""
    fields = read(given, path)
    if not fields:
        raise click.UsageError("name what is to change: --set FIELD=VALUE, or --file")
    return fields


def parse(text: str) -> dict[str, Any]:
    """The JSON object that somebody wrote."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"That is not JSON: {error}", remedy="nothing was changed") from None
    if not isinstance(value, dict):
        raise InvalidRequest("That is not a JSON object", remedy="nothing was changed")
    return value
