"""Schedules in the database, as owners see and change them. Firing them is `ticking`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from hivemind.agents.retry import Retry
from hivemind.errors import Conflict, NotFound
from hivemind.persistence import Database, Jsonb, Row, UniqueViolation, load_queries
from hivemind.schedules.schedule import Rule, Schedule, TickOutcome

QUERIES = load_queries("hivemind.schedules", "queries.sql")


@dataclass(frozen=True, slots=True)
class Tick:
    """One due time: what came of it, and how its directive stands."""

    due_at: datetime
    outcome: TickOutcome
    directive_id: UUID | None
    directive_state: str | None
    by_hand: bool
    detail: Mapping[str, object]
    at: datetime

    def as_dict(self) -> dict[str, object]:
        """The tick as JSON."""
        return {
            "due_at": self.due_at,
            "outcome": self.outcome,
            "directive_id": self.directive_id,
            "directive_state": self.directive_state,
            "by_hand": self.by_hand,
            "detail": self.detail,
            "at": self.at,
        }


async def create(
    database: Database,
    rule: Rule,
    now: datetime,
    *,
    agent_id: UUID | None = None,
    schedule_id: UUID | None = None,
) -> Schedule:
    """Make a schedule; `agent_id` is the agent that wants it, if it was not a person.

    Raises:
        InvalidFields: the rule cannot be.
        Conflict: there is a schedule of this name, or this id.
    """
    by = "operator" if agent_id is None else "agent"
    values = {**_values(rule, now), "id": schedule_id or uuid7(), "by": by, "agent_id": agent_id}
    row = await database.fetch_one(QUERIES["create"], values)
    if row is None:
        raise _taken(rule.name)
    return of_row(row)


async def schedule(database: Database, schedule_id: UUID) -> Schedule:
    """One schedule.

    Raises:
        NotFound: there is none.
    """
    rows = await database.fetch_all(QUERIES["page"], (schedule_id, None, None, 1), repeatable=True)
    return of_row(_found(rows[0] if rows else None))


async def page(database: Database, after: UUID | None, limit: int) -> list[Schedule]:
    """Schedules in the order of their ids, from the one after `after`."""
    rows = await database.fetch_all(QUERIES["page"], (None, after, after, limit), repeatable=True)
    return [of_row(row) for row in rows]


async def change(database: Database, schedule_id: UUID, rule: Rule, now: datetime) -> Schedule:
    """Give a schedule another rule; when it is due is told anew where its times have changed.

    Raises:
        InvalidFields: the rule cannot be.
        NotFound: there is no such schedule.
        Conflict: there is another of this name.
    """
    values = {**_values(rule, now), "id": schedule_id}
    try:
        row = await database.fetch_one(QUERIES["change"], values, repeatable=True)
    except UniqueViolation:
        raise _taken(rule.name) from None
    return of_row(_found(row))


async def pause(database: Database, schedule_id: UUID) -> Schedule:
    """Let nothing be due until it is resumed; what it has begun goes on.

    Raises:
        NotFound: there is no such schedule.
    """
    values = {"id": schedule_id, "paused": True, "next_run_at": None}
    return of_row(_found(await database.fetch_one(QUERIES["pause"], values, repeatable=True)))


async def resume(database: Database, schedule_id: UUID, now: datetime) -> Schedule:
    """Go on from now; what would have been due in between was not missed.

    Raises:
        NotFound: there is no such schedule.
    """
    next_run_at = (await schedule(database, schedule_id)).rule.parsed().after(now)
    values = {"id": schedule_id, "paused": False, "next_run_at": next_run_at}
    return of_row(_found(await database.fetch_one(QUERIES["pause"], values, repeatable=True)))


async def delete(database: Database, schedule_id: UUID) -> None:
    """Remove a schedule with its ticks; its directives stay, and what it cost.

    Raises:
        NotFound: there is no such schedule.
    """
    _found(await database.fetch_one(QUERIES["delete"], (schedule_id,)))


async def ticks(database: Database, schedule_id: UUID, before: datetime | None, limit: int) -> list[Tick]:
    """The due times of a schedule, newest first, from the one before `before`."""
    values = (schedule_id, before, before, limit)
    rows = await database.fetch_all(QUERIES["ticks"], values, repeatable=True)
    return [
        Tick(
            row["due_at"],
            row["outcome"],
            row["directive_id"],
            row["state"],
            row["by_hand"],
            row["detail"],
            row["at"],
        )
        for row in rows
    ]


def of_row(row: Row) -> Schedule:
    """A row of `schedules`."""
    rule = Rule(
        row["name"],
        row["cron"],
        row["time_zone"],
        row["profile_id"],
        row["text"],
        row["overlap"],
        row["catch_up"],
        row["catch_up_seconds"],
        Retry.of(row["retry"]),
    )
    return Schedule(
        row["id"],
        rule,
        row["paused"],
        row["next_run_at"],
        row["last_run_at"],
        row["last_directive_id"],
        row["failure"],
        row["created_at"],
        row["updated_at"],
    )


def _values(rule: Rule, now: datetime) -> dict[str, object]:
    cron = rule.parsed()
    return {
        "name": rule.name,
        "cron": cron.expression,
        "time_zone": rule.time_zone,
        "profile_id": rule.profile_id,
        "text": rule.text,
        "overlap": rule.overlap,
        "catch_up": rule.catch_up,
        "catch_up_seconds": rule.catch_up_seconds,
        "retry": Jsonb(rule.retry.as_dict()),
        "next_run_at": cron.after(now),
    }


def _found(row: Row | None) -> Row:
    if row is None:
        raise NotFound("There is no such schedule")
    return row


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a schedule named {name!r}", remedy="change that one, or take another name")
