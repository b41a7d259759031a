"""How one operation of the API is declared: what it takes, what it answers, what it may refuse.

The declarations stand beside each other by subject in this package; what OpenAPI makes of them is `document`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field

from hivemind.errors import HivemindError
from hivemind.http.paging import DEFAULT_LIMIT, MAX_LIMIT

JSON = "application/json"
SSE = "text/event-stream"
Shape = Any
"""What a value looks like: a type that pydantic knows, or the fields of an object by name."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A field of the query, or a header."""

    name: str
    type: Shape
    told: str
    place: Literal["query", "header"] = "query"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes with one status: a body in one media type or in several, or nothing."""

    told: str
    content: Mapping[str, Shape] = field(default_factory=dict)
    events: Mapping[str, Shape] = field(default_factory=dict)
    """Of a stream, the data of each event by its name."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at one path, by its key in `http/roles.py`."""

    key: str
    summary: str
    answers: Mapping[int, Answer]
    body: Shape = None
    body_may_be_missing: bool = False
    query: tuple[Parameter, ...] = ()
    refuses: tuple[type[HivemindError], ...] = ()
    """Beside what every operation with a role, a body or a name in its path may refuse."""
    told: str = ""
    example: Mapping[str, object] | None = None
    frames: Mapping[str, Shape] = field(default_factory=dict)
    """Of a WebSocket: what the client sends and what the server sends."""
    in_dialect: bool = False
    """Errors are told as OpenAI's API tells them."""

    @property
    def method(self) -> str:
        """The method, `WS` for a WebSocket."""
        return self.key.partition(" ")[0]

    @property
    def path(self) -> str:
        """The path with `{names}`."""
        return self.key.partition(" ")[2]


@dataclass(frozen=True, slots=True)
class Group:
    """Operations about one subject, under a heading of their own."""

    name: str
    told: str
    operations: tuple[Operation, ...]


NONE: Mapping[int, Answer] = MappingProxyType({204: Answer("Done; there is nothing to say.")})
PAGE = (
    Parameter("limit", Annotated[int, Field(ge=1, le=MAX_LIMIT)], f"How many: {DEFAULT_LIMIT} unless told."),
    Parameter("cursor", str, "`next_cursor` of the page before."),
)


def says(shape: Shape, told: str = "As asked.", status: int = 200) -> dict[int, Answer]:
    """A JSON answer."""
    return {status: Answer(told, {JSON: shape})}


def listed(item: Shape, told: str = "A page of the list.", **more: Shape) -> dict[int, Answer]:
    """A page of a list."""
    return says({**more, "items": list[item], "next_cursor": str | None}, told)
