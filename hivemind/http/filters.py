"""The filters of lists, from query strings."""

from collections.abc import Mapping
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
