"""What the server answers, as values. A field that this client does not know is left out, never an error."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a turn used; `cost_micros` is in millionths of a dollar."""

    input_tokens: int
    output_tokens: int
    cost_micros: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The whole answer to a message. Give it as `after` to go on in its conversation."""

    reply: str
    turn_id: str
    usage: Usage
    conversation_id: str | None = None
    conversation_token: str | None = None
    agent_id: str | None = None
    incomplete: str | None = None

    @property
    def text(self) -> str:
        """What was said."""
        return self.reply


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message is with the server for good: whatever happens now, it is answered once."""

    turn_id: str
    conversation_id: str | None = None
    conversation_token: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Reset:
    """The answer starts again after a crash: forget the text so far."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The answer goes on when a person has decided."""


Event = Accepted | Delta | Waiting | Reset | Reply


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no result."""

    code: str
    message: str | None


@dataclass(frozen=True, slots=True)
class Agent:
    """A running instance of a profile; `usage` is there when it was asked for by its id."""

    id: str
    profile: str
    state: str
    parent_id: str | None
    external: bool
    failure: str | None
    created_at: datetime
    updated_at: datetime
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """A question that an agent puts to people: may this very call be made?"""

    id: str
    state: str
    agent_id: str
    profile: str
    tool: str
    arguments: Any
    on_deadline: str
    deadline_at: datetime
    asked_at: datetime
    answered_at: datetime | None
    answered_by: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Directive:
    """A job given without a person waiting."""

    id: str
    agent_id: str
    text: str
    state: str
    source: str
    attempts: int
    result: str | None
    failure: Failure | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.ended_at is not None


@dataclass(frozen=True, slots=True)
class Cost:
    """What was spent on one combination of what was asked for; the other groups are None."""

    input_tokens: int
    output_tokens: int
    cost_micros: int
    calls: int
    turns: int
    day: str | None = None
    profile: str | None = None
    profile_slug: str | None = None
    agent: str | None = None
    schedule: str | None = None
    caller: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list; the rest comes for its `next_cursor`."""

    items: tuple[Item, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def read(kind: type[Item], document: Mapping[str, Any]) -> Item:
    """A document as a value of a kind."""
    assert is_dataclass(kind)
    known = {
        each.name: _value(each.type, document[each.name]) for each in fields(kind) if each.name in document
    }
    return kind(**known)


def page(kind: type[Item], document: Mapping[str, Any]) -> Page[Item]:
    """A document as a page of a list."""
    return Page(tuple(read(kind, item) for item in document["items"]), document.get("next_cursor"))


def _value(kind: Any, value: Any) -> Any:
    if get_origin(kind) is UnionType:
        if value is None:
            return None
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    if is_dataclass(kind):
        assert isinstance(kind, type)
        return read(kind, value)
    return datetime.fromisoformat(value) if kind is datetime else value
