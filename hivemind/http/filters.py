"""The filters of lists, from query strings."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import TypeVar
from uuid import UUID

from hivemind.errors import InvalidRequest

Choice = TypeVar("Choice", bound=str)


def id_in(arguments: Mapping[str, str], name: str) -> UUID | None:
    """The id that is asked for, or None.

    Raises:
        InvalidRequest: it is none.
    """
    text = arguments.get(name)
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest(f"{name} is not an id") from None


def choice_in(arguments: Mapping[str, str], name: str, choices: tuple[Choice, ...]) -> Choice | None:
    """The one of `choices` that is asked for, or None.

    Raises:
        InvalidRequest: it is none of them.
    """
    text = arguments.get(name)
    if not text:
        return None
    for choice in choices:
        if text == choice:
            return choice
    raise InvalidRequest(f"{name} is one of {', '.join(choices)}")


def moment_in(arguments: Mapping[str, str], name: str) -> datetime | None:
    """The moment that is asked for, or None; a day is its first one, and what names no zone is in UTC.

    Raises:
        InvalidRequest: it is no date and no time.
    """
    # A plus sign that a client did not escape arrives as a space.
    text = arguments.get(name, "").replace(" ", "+")
    if not text:
        return None
    try:
        if len(text) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"{name} is not a date or a time", remedy="write it as 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
