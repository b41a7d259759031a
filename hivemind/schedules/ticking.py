"""Firing schedules: each in one transaction that holds its row, so that no due time fires twice.

A schedule that cannot be seen to is logged, and the others go on.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hivemind.agents import directives
from hivemind.agents.directives import Wanted
from hivemind.errors import DatabaseUnavailable, InvalidFields
from hivemind.persistence import Database, Jsonb, Transaction
from hivemind.schedules.rows import QUERIES, of_row
from hivemind.schedules.schedule import Schedule, TickOutcome, meets, plan

log = logging.getLogger("hivemind.schedules")

MAX_SCHEDULES = 1_000


@dataclass(frozen=True, slots=True)
class Fired:
    """What became of one due time: the directive that it made, and those that had to give way."""

    outcome: TickOutcome
    directive_id: UUID | None = None
    replaced: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one look at all schedules did."""

    fired: tuple[Fired, ...] = ()
    failures: int = 0


async def sweep(database: Database, now: datetime) -> Sweep:
    """See to every schedule that is due.

    Raises:
        DatabaseUnavailable: the rest waits for the next look.
    """
    fired: list[Fired] = []
    failures = 0
    for row in await database.fetch_all(QUERIES["due"], (now, MAX_SCHEDULES), repeatable=True):
        try:
            fired += await see_to(database, row["id"], now)
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("schedule %s could not be seen to", row["id"])
            failures += 1
    return Sweep(tuple(fired), failures)


async def see_to(database: Database, schedule_id: UUID, now: datetime) -> list[Fired]:
    """Fire what is due of one schedule, record what was missed, and say when it is due next."""
    async with database.transaction() as transaction:
        row = await transaction.fetch_one(QUERIES["lock_due"], (schedule_id, now))
        if row is None:
            return []
        schedule = of_row(row)
        assert schedule.next_run_at is not None
        try:
            cron = schedule.rule.parsed()
        except InvalidFields as error:
            failure = "; ".join(f"{field} {problem}" for field, problem in error.fields)
            log.warning("schedule %s is never due until it is mended: %s", schedule.rule.name, failure)
            await transaction.execute(QUERIES["fail"], (failure, schedule.id))
            return []
        todo = plan(schedule.rule, cron, schedule.next_run_at, now)
        if todo.missed:
            log.warning("schedule %s missed %d due times", schedule.rule.name, len(todo.missed))
            values = {
                "schedule_id": schedule.id,
                "due_at": list(todo.missed),
                "profile_id": schedule.rule.profile_id,
            }
            await transaction.execute(QUERIES["miss"], values)
        fired = [await _fire(transaction, schedule, due, now) for due in todo.fire]
        await transaction.execute(QUERIES["advance"], (todo.next_run_at, schedule.id))
    return [tick for tick in fired if tick is not None]


async def run_now(database: Database, schedule_id: UUID, now: datetime) -> Fired | None:
    """Fire a schedule by hand, by the same rules; None where there is no such schedule."""
    async with database.transaction() as transaction:
        row = await transaction.fetch_one(QUERIES["lock"], (schedule_id,))
        return await _fire(transaction, of_row(row), now, now, by_hand=True) if row else None


async def _fire(
    transaction: Transaction, schedule: Schedule, due: datetime, now: datetime, *, by_hand: bool = False
) -> Fired | None:
    """One due time; None where it has been seen to."""
    counted = await transaction.fetch_one(QUERIES["unfinished"], (schedule.id,))
    assert counted is not None
    way = meets(schedule.rule.overlap, counted["count"])
    outcome: TickOutcome = "skipped_overlap" if way == "skip" else "fired"
    detail: dict[str, object] = {"late_seconds": round((now - due).total_seconds())} if due < now else {}
    if counted["count"]:
        detail["unfinished"] = counted["count"]
    values = {
        "schedule_id": schedule.id,
        "due_at": due,
        "outcome": outcome,
        "by_hand": by_hand,
        "detail": Jsonb(detail),
        "profile_id": schedule.rule.profile_id,
    }
    if await transaction.fetch_one(QUERIES["record"], values) is None:
        return None
    if way == "skip":
        return Fired(outcome)
    replaced = await directives.cancel_of_schedule(transaction, schedule.id) if way == "replace" else []
    made = await directives.create(
        transaction,
        Wanted(
            schedule.rule.profile_id,
            schedule.rule.text,
            "schedule",
            schedule_id=schedule.id,
            retry=schedule.rule.retry,
        ),
    )
    await transaction.execute(QUERIES["stamp"], (made.id, schedule.id, due))
    await transaction.execute(QUERIES["ran"], (due, made.id, schedule.id))
    return Fired(outcome, made.id, tuple(gone.id for gone in replaced))
