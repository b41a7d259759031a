"""Lists a page at a time: `?limit=&cursor=` in, `{"items": […], "next_cursor": …|null}` out.

A cursor holds the sort key of the last row told, never an offset, so rows that arrive meanwhile neither
double nor hide others. What the key is and how rows are fetched is each list's business.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import orjson

from hivemind.errors import InvalidRequest

DEFAULT_LIMIT = 50
MAX_LIMIT = 500

Key = tuple[int | str | UUID | datetime, ...]
Row = TypeVar("Row")

_MAX_CURSOR_CHARS = 1_000
_MAX_BIGINT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows are wanted: at most `limit`, after the one with the key `after` (None: from the start)."""

    limit: int
    after: Key | None

    @property
    def fetch(self) -> int:
        """How many rows to ask the database for: one more than is told shows whether there are more."""
        return self.limit + 1

    def reply(
        self, rows: Sequence[Row], key: Callable[[Row], Key], item: Callable[[Row], object]
    ) -> dict[str, object]:
        """The page as JSON, from at most `fetch` rows in the order of their keys."""
        told = rows[: self.limit]
        return {
            "items": [item(row) for row in told],
            "next_cursor": cursor(key(told[-1])) if len(rows) > self.limit else None,
        }


def asked(arguments: Mapping[str, str], *kinds: type[int | str | UUID | datetime]) -> Page:
    """The page that a query string asks for; `kinds` are the types of the list's sort key.

    Raises:
        InvalidRequest: the limit is no number in range, or the cursor is not one of this list's.
    """
    text = arguments.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MAX_LIMIT):
        raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}")
    given = arguments.get("cursor")
    return Page(int(text), key_of(given, *kinds) if given else None)


def cursor(key: Key) -> str:
    """A key as clients carry it."""
    return urlsafe_b64encode(orjson.dumps(key)).rstrip(b"=").decode()


def key_of(text: str, *kinds: type[int | str | UUID | datetime]) -> Key:
    """The key in a cursor.

    Raises:
        InvalidRequest: it does not hold a key of these types.
    """
    try:
        return tuple(_value(value, kind) for value, kind in zip(_values(text), kinds, strict=True))
    except (ValueError, TypeError, binascii.Error) as error:
        raise InvalidRequest(
            "The cursor is not one that this list gave out", remedy="send next_cursor as it came, or none"
        ) from error


def _values(text: str) -> list[object]:
    if len(text) > _MAX_CURSOR_CHARS:
        raise ValueError("too long")
    values = orjson.loads(urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
    if not isinstance(values, list):
        raise TypeError("not a key")
    return values


def _value(value: object, kind: type[int | str | UUID | datetime]) -> int | str | UUID | datetime:
    if kind is int:
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _MAX_BIGINT:
            raise TypeError("not a whole number")
        return value
    if not isinstance(value, str) or "\0" in value:
        raise TypeError("not a text")
    if kind is UUID:
        return UUID(value)
    if kind is datetime:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError("no time zone")
        return at
    return value
