"""Directives: jobs given without a person waiting. The rows, and each change of them as one statement.

Who carries them out is `dispatcher`; when one that failed is tried again is `retry`.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, cast
from uuid import UUID

from uuid_utils.compat import uuid7

from hivemind.agents.retry import Retry
from hivemind.errors import Conflict, NotFound
from hivemind.persistence import Database, Jsonb, Row, Transaction, load_queries

State = Literal["queued", "running", "done", "failed", "cancelled"]
Source = Literal["api", "schedule", "task", "agent"]
STATES: tuple[State, ...] = ("queued", "running", "done", "failed", "cancelled")
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")
SCOPE = "directive"
"""Of the idempotency keys of their messages."""

_QUERIES = load_queries("hivemind.agents", "directives.sql")


@dataclass(frozen=True, slots=True)
class Directive:
    """One row. `attempts` counts those that began; `agent_id` carries out the present one or the next."""

    id: UUID
    profile_id: UUID
    agent_id: UUID
    parent_id: UUID | None
    text: str
    state: State
    source: Source
    schedule_id: UUID | None
    task_id: UUID | None
    retry: Retry
    not_before: datetime
    attempts: int
    takes: int
    result: str | None
    failure_code: str | None
    failure_message: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def key(self) -> str:
        """The idempotency key of this attempt: a crash resumes it, and never doubles it."""
        return f"{self.id}:{self.attempts}"

    def as_dict(self) -> dict[str, object]:
        """The directive as JSON."""
        failure = {"code": self.failure_code, "message": self.failure_message} if self.failure_code else None
        return {
            "id": self.id,
            "profile_id": self.profile_id,
            "agent_id": self.agent_id,
            "parent_id": self.parent_id,
            "text": self.text,
            "state": self.state,
            "source": self.source,
            "schedule_id": self.schedule_id,
            "task_id": self.task_id,
            "retry": self.retry.as_dict(),
            "not_before": self.not_before,
            "attempts": self.attempts,
            "result": self.result,
            "failure": failure,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """A directive as somebody asks for it; `key` makes asking twice harmless."""

    profile_id: UUID
    text: str
    source: Source
    schedule_id: UUID | None = None
    task_id: UUID | None = None
    parent_id: UUID | None = None
    key: str | None = None
    retry: Retry = field(default_factory=Retry)
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which directives are listed; None counts for nothing."""

    state: State | None = None
    profile_id: UUID | None = None
    schedule_id: UUID | None = None
    task_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the turn of an attempt stands in the database: the word that counts.

    `acted` says that it called tools: another attempt might do again what they did. `incomplete` names the
    bound that cut the answer short.
    """

    state: Literal["admitted", "answered", "failed", "interrupted"]
    text: str | None
    code: str | None
    message: str | None
    acted: bool
    incomplete: str | None


async def create(database: Database | Transaction, wanted: Wanted) -> Directive:
    """Make a directive, or give the one that was made with the same key."""
    directive_id, agent_id = uuid7(), uuid7()
    row = await database.fetch_one(
        _QUERIES["direct"],
        (
            directive_id,
            wanted.profile_id,
            agent_id,
            wanted.parent_id,
            wanted.text,
            wanted.source,
            wanted.schedule_id,
            wanted.task_id,
            wanted.key,
            Jsonb(wanted.retry.as_dict()),
            wanted.not_before,
        ),
    )
    if row is None:
        row = await database.fetch_one(_QUERIES["by_key"], (wanted.key,))
    assert row is not None
    return _directive(row)


async def directive(database: Database, directive_id: UUID) -> Directive:
    """One directive.

    Raises:
        NotFound: there is none.
    """
    row = await database.fetch_one(_QUERIES["by_id"], (directive_id,), repeatable=True)
    if row is None:
        raise NotFound("There is no such directive")
    return _directive(row)


async def page(database: Database, wanted: Filter, after: UUID | None, limit: int) -> list[Directive]:
    """Directives, newest first, from the one after `after`."""
    rows = await database.fetch_all(
        _QUERIES["page"],
        {
            "after": after,
            "state": wanted.state,
            "profile_id": wanted.profile_id,
            "schedule_id": wanted.schedule_id,
            "task_id": wanted.task_id,
            "limit": limit,
        },
        repeatable=True,
    )
    return [_directive(row) for row in rows]


async def change(
    database: Database, directive_id: UUID, text: str, not_before: datetime, retry: Retry
) -> Directive:
    """Give a directive that waits another text, time or retry policy.

    Raises:
        NotFound: there is no such directive.
        Conflict: it has begun.
    """
    values = {
        "id": directive_id,
        "text": text,
        "not_before": not_before,
        "retry": Jsonb(retry.as_dict()),
    }
    row = await database.fetch_one(_QUERIES["change"], values, repeatable=True)
    if row is None:
        found = await directive(database, directive_id)
        raise Conflict(f"The directive is {found.state}: only one that is queued can be changed")
    return _directive(row)


async def cancel(database: Database, directive_id: UUID) -> Directive:
    """Cancel a directive; whoever carries it out stops.

    Raises:
        NotFound: there is no such directive.
        Conflict: it has ended.
    """
    gone = await database.fetch_one(_QUERIES["cancel"], (directive_id, None, "operator"))
    if gone is None:
        found = await directive(database, directive_id)
        raise Conflict(f"The directive has ended: it is {found.state}")
    return _directive(gone)


async def cancel_of_schedule(database: Database | Transaction, schedule_id: UUID) -> list[Directive]:
    """Cancel what a schedule has begun and not ended, as another takes its place."""
    rows = await database.fetch_all(_QUERIES["cancel"], (None, schedule_id, "schedule"))
    return [_directive(row) for row in rows]


async def delete(database: Database, directive_id: UUID) -> None:
    """Remove a directive that has ended; what its agent did stays.

    Raises:
        NotFound: there is no such directive.
        Conflict: it has not ended.
    """
    if await database.fetch_one(_QUERIES["delete"], (directive_id,)) is None:
        found = await directive(database, directive_id)
        raise Conflict(f"The directive is {found.state}", remedy="cancel it first")


class Holding:
    """What one owner holds of the directives: nobody else carries those out while the leases last.

    Every write names the owner, so one that was cancelled or lost its lease writes nothing.
    """

    def __init__(self, database: Database, owner: UUID, lease_seconds: float) -> None:
        self._database = database
        self._owner = owner
        self._lease_seconds = lease_seconds

    async def take(self, limit: int, in_hand: Collection[UUID]) -> list[Directive]:
        """Take up to `limit` that may be carried out now."""
        rows = await self._database.fetch_all(
            _QUERIES["take"],
            {
                "in_hand": list(in_hand),
                "limit": limit,
                "owner": self._owner,
                "lease_seconds": self._lease_seconds,
            },
        )
        return sorted((_directive(row) for row in rows), key=lambda taken: taken.id)

    async def keep(self, in_hand: Collection[UUID]) -> dict[UUID, bool]:
        """Lease anew what is still held: whether each of them waits for a person."""
        values = {"lease_seconds": self._lease_seconds, "owner": self._owner, "in_hand": list(in_hand)}
        rows = await self._database.fetch_all(_QUERIES["keep"], values, repeatable=True)
        return {row["id"]: row["waits"] for row in rows}

    async def let_go(self, directive_id: UUID | None = None, seconds: float = -1.0) -> None:
        """Give one back for whoever takes it after that time, or at once all that is held."""
        values = {"owner": self._owner, "id": directive_id, "seconds": seconds}
        await self._database.execute(_QUERIES["let_go"], values, repeatable=True)

    async def outcome(self, held: Directive) -> Outcome | None:
        """How the turn of its attempt stands; None: it was not admitted."""
        row = await self._database.fetch_one(_QUERIES["outcome"], (held.key,), repeatable=True)
        return (
            Outcome(
                row["state"],
                row["text"],
                row["error_code"],
                row["error_message"],
                row["acted"],
                row["incomplete"],
            )
            if row is not None
            else None
        )

    async def end(
        self,
        held: Directive,
        *,
        result: str | None = None,
        failure: tuple[str, str] | None = None,
        tick: str | None = None,
    ) -> bool:
        """Write how it ended; with a failure it failed, whatever result there is. Whether it was still held.

        `tick` is the outcome of its schedule's tick, where that has become another.
        """
        code, message = failure or (None, None)
        state = "failed" if failure else "done"
        row = await self._database.fetch_one(
            _QUERIES["end"], (held.id, self._owner, state, result, code, message, tick), repeatable=True
        )
        assert row is not None
        return bool(row["done"])

    async def again(self, held: Directive, seconds: float, failure: tuple[str, str]) -> bool:
        """Queue it for its next attempt, by a new agent. Whether it was still held."""
        values = {
            "id": held.id,
            "owner": self._owner,
            "agent_id": uuid7(),
            "old_agent_id": held.agent_id,
            "seconds": seconds,
            "code": failure[0],
            "message": failure[1],
        }
        return await self._database.fetch_one(_QUERIES["again"], values) is not None


def _directive(row: Row) -> Directive:
    return Directive(
        row["id"],
        row["profile_id"],
        row["agent_id"],
        row["parent_id"],
        row["text"],
        cast("State", row["state"]),
        cast("Source", row["source"]),
        row["schedule_id"],
        row["task_id"],
        Retry.of(row["retry"]),
        row["not_before"],
        row["attempts"],
        row["takes"],
        row["result"],
        row["failure_code"],
        row["failure_message"],
        row["created_at"],
        row["started_at"],
        row["ended_at"],
    )
