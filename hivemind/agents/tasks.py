"""Tasks: items of work, local or mirrored from another system. Working on one is a directive.

Of a mirrored task the other system owns title, text and state; what is ours is whose it is and what was done.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from uuid_utils.compat import uuid7

from hivemind.errors import Conflict, NotFound
from hivemind.persistence import Database, Row, load_queries

State = Literal["open", "doing", "done", "dropped"]
STATES: tuple[State, ...] = ("open", "doing", "done", "dropped")
LOCAL = "local"

_QUERIES = load_queries("hivemind.agents", "tasks.sql")


@dataclass(frozen=True, slots=True)
class Task:
    """One row; `profile_id` is who is to do it, `directive_id` the last attempt at it."""

    id: UUID
    title: str
    text: str
    state: State
    source: str
    external_id: str | None
    external_url: str | None
    profile_id: UUID | None
    directive_id: UUID | None
    created_at: datetime
    updated_at: datetime

    @property
    def job(self) -> str:
        """The task as an agent is told it."""
        return f"{self.title}\n\n{self.text}".strip()

    def as_dict(self) -> dict[str, object]:
        """The task as JSON."""
        return {
            "id": self.id,
            "title": self.title,
            "text": self.text,
            "state": self.state,
            "source": self.source,
            "external_id": self.external_id,
            "external_url": self.external_url,
            "profile_id": self.profile_id,
            "directive_id": self.directive_id,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A task as another system has it; `group` is what it is listed under there."""

    source: str
    external_id: str
    group: str
    title: str
    text: str
    state: State
    url: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Filter:
    """Which tasks are listed; None counts for nothing."""

    state: State | None = None
    source: str | None = None
    profile_id: UUID | None = None


async def create(
    database: Database,
    title: str,
    text: str,
    profile_id: UUID | None,
    *,
    agent_id: UUID | None = None,
    task_id: UUID | None = None,
) -> Task:
    """Make a task; `agent_id` is the agent that wants it, if it was not a person.

    The same `task_id` again is the same task.
    """
    task_id = task_id or uuid7()
    values = {
        "id": task_id,
        "title": title,
        "text": text,
        "profile_id": profile_id,
        "by": "operator" if agent_id is None else "agent",
        "agent_id": agent_id,
    }
    row = await database.fetch_one(_QUERIES["create"], values)
    return _task(row) if row is not None else await task(database, task_id)


async def task(database: Database, task_id: UUID) -> Task:
    """One task.

    Raises:
        NotFound: there is none.
    """
    row = await database.fetch_one(_QUERIES["by_id"], (task_id,), repeatable=True)
    if row is None:
        raise NotFound("There is no such task")
    return _task(row)


async def page(database: Database, wanted: Filter, after: UUID | None, limit: int) -> list[Task]:
    """Tasks, newest first, from the one after `after`."""
    values = {
        "after": after,
        "state": wanted.state,
        "source": wanted.source,
        "profile_id": wanted.profile_id,
        "limit": limit,
    }
    return [_task(row) for row in await database.fetch_all(_QUERIES["page"], values, repeatable=True)]


async def change(database: Database, wanted: Task) -> Task:
    """Write a task anew: title, text, state and profile.

    Raises:
        NotFound: there is no such task.
        Conflict: it is mirrored, and what the other system owns was to be another.
    """
    was = await task(database, wanted.id)
    if was.source != LOCAL and (was.title, was.text, was.state) != (wanted.title, wanted.text, wanted.state):
        raise Conflict(f"Title, text and state of this task are {was.source}'s", remedy="change them there")
    values = {
        "id": wanted.id,
        "title": wanted.title,
        "text": wanted.text,
        "state": wanted.state,
        "profile_id": wanted.profile_id,
    }
    row = await database.fetch_one(_QUERIES["change"], values, repeatable=True)
    if row is None:
        raise NotFound("There is no such task")
    return _task(row)


async def delete(database: Database, task_id: UUID) -> None:
    """Remove a local task; its directives stay.

    Raises:
        NotFound: there is no such task.
        Conflict: it is mirrored and would come back.
    """
    if await database.fetch_one(_QUERIES["delete"], (task_id,)) is None:
        was = await task(database, task_id)
        raise Conflict(f"This task is {was.source}'s", remedy="delete it there")


async def mirror(database: Database, seen: Mirrored) -> Literal["new", "changed", "known"]:
    """Write down a task as the other system has it; what was written before and is as new stays."""
    values = {
        "id": uuid7(),
        "title": seen.title,
        "text": seen.text,
        "state": seen.state,
        "source": seen.source,
        "external_id": seen.external_id,
        "external_group": seen.group,
        "external_url": seen.url,
        "external_updated_at": seen.updated_at,
    }
    row = await database.fetch_one(_QUERIES["mirror"], values, repeatable=True)
    if row is None:
        return "known"
    return "new" if row["is_new"] else "changed"


async def mirrored(database: Database, source: str, group: str) -> set[str]:
    """The external ids of a group that are here and have not vanished."""
    rows = await database.fetch_all(_QUERIES["mirrored"], (source, group), repeatable=True)
    return {row["external_id"] for row in rows}


async def vanish(database: Database, source: str, external_id: str) -> bool:
    """Drop a task that the other system has no more; whether it was here."""
    return await database.fetch_one(_QUERIES["vanish"], (source, external_id), repeatable=True) is not None


def _task(row: Row) -> Task:
    return Task(
        row["id"],
        row["title"],
        row["text"],
        row["state"],
        row["source"],
        row["external_id"],
        row["external_url"],
        row["profile_id"],
        row["directive_id"],
        row["created_at"],
        row["updated_at"],
    )
