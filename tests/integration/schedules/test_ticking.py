"""Promise: each due time is seen to once, on any number of servers, and one bad schedule stops no other."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import trio
from uuid_utils.compat import uuid7

from hivemind.agents import directives
from hivemind.agents.directives import Holding
from hivemind.agents.retry import Retry
from hivemind.audit import Action
from hivemind.errors import Conflict, InvalidFields, NotFound
from hivemind.persistence import Database, migrate
from hivemind.schedules import rows, ticking
from hivemind.schedules.schedule import Rule

HELLO = UUID("01980000-0000-7000-8000-000000000001")
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
PATIENCE_SECONDS = 60


@dataclass
class Calendar:
    """A database with schedules, and what tests ask of it."""

    database: Database
    other: Database

    async def make(self, name="hourly", cron="0 * * * *", now=NOON - MINUTE, **changes):
        rule = Rule(name, cron, "UTC", HELLO, f"Do {name}", **changes)
        return await rows.create(self.database, rule, now)

    async def sweep(self, now):
        return await ticking.sweep(self.database, now)

    async def ticks(self, schedule):
        """Outcomes by due time, oldest first."""
        found = await rows.ticks(self.database, schedule.id, None, 1000)
        return [(tick.due_at, tick.outcome) for tick in reversed(found)]

    async def value(self, sql):
        row = await self.database.fetch_one(sql)
        return next(iter(row.values()))

    async def finish_all(self, failure=None):
        """Carry out whatever there is."""
        holding = Holding(self.database, uuid7(), 60)
        done = 0
        while taken := await holding.take(100, []):
            for held in taken:
                tick = "refused_budget" if failure else None
                assert await holding.end(held, result=None if failure else "done", failure=failure, tick=tick)
                done += 1
        return done


@pytest.fixture
def on_calendar(database_url):
    """Run `await test(calendar)`."""

    @asynccontextmanager
    async def opened():
        async with Database(database_url, size=8) as database, Database(database_url, size=8) as other:
            await migrate(database)
            yield Calendar(database, other)

    def run(test):
        async def main():
            with trio.fail_after(PATIENCE_SECONDS):
                async with opened() as calendar:
                    await test(calendar)

        trio.run(main)

    return run


def test_a_due_time_becomes_a_directive_and_the_row_says_which(on_calendar):
    async def test(calendar):
        made = await calendar.make(retry=Retry(2, 5.0))
        assert made.next_run_at == NOON
        assert (await calendar.sweep(NOON - MINUTE / 2)).fired == ()
        (fired,) = (await calendar.sweep(NOON)).fired
        directive = await directives.directive(calendar.database, fired.directive_id)
        assert (directive.text, directive.source, directive.schedule_id) == ("Do hourly", "schedule", made.id)
        assert directive.retry == Retry(2, 5.0) and directive.state == "queued"
        row = await rows.schedule(calendar.database, made.id)
        assert (row.next_run_at, row.last_run_at, row.last_directive_id) == (NOON + HOUR, NOON, directive.id)
        assert await calendar.ticks(made) == [(NOON, "fired")]
        assert (await calendar.sweep(NOON + MINUTE)).fired == ()

    on_calendar(test)


def test_two_servers_on_one_database_fire_nothing_twice(on_calendar):
    async def test(calendar):
        made = [await calendar.make(f"s{n}", "*/5 * * * *", overlap="queue") for n in range(10)]
        fired = []

        async def server(database, now):
            fired.extend((await ticking.sweep(database, now)).fired)

        for look in range(6):
            async with trio.open_nursery() as nursery:
                for database in (calendar.database, calendar.other) * 2:
                    nursery.start_soon(server, database, NOON + look * 5 * MINUTE)
        assert len(fired) == 60 and all(tick.outcome == "fired" for tick in fired)
        assert await calendar.value("select count(*) from directives") == 60
        assert await calendar.value("select count(*) from schedule_ticks") == 60
        for schedule in made:
            assert [due for due, _ in await calendar.ticks(schedule)] == [
                NOON + n * 5 * MINUTE for n in range(6)
            ]

    on_calendar(test)


def test_two_servers_never_carry_out_one_directive_both(on_calendar):
    async def test(calendar):
        for n in range(50):
            await calendar.make(f"s{n}")
        await calendar.sweep(NOON)
        taken = []

        async def server(database):
            holding = Holding(database, uuid7(), 60)
            while mine := await holding.take(3, []):
                taken.extend(held.id for held in mine)

        async with trio.open_nursery() as nursery:
            for database in (calendar.database, calendar.other):
                nursery.start_soon(server, database)
        assert len(taken) == len(set(taken)) == 50

    on_calendar(test)


def test_overlap_skip_records_what_it_skips(on_calendar):
    async def test(calendar):
        made = await calendar.make()
        await calendar.sweep(NOON)
        await calendar.sweep(NOON + HOUR)
        await calendar.finish_all()
        await calendar.sweep(NOON + 2 * HOUR)
        outcomes = [outcome for _, outcome in await calendar.ticks(made)]
        assert outcomes == ["fired", "skipped_overlap", "fired"]

    on_calendar(test)


def test_overlap_queue_does_them_one_after_the_other(on_calendar):
    async def test(calendar):
        await calendar.make(overlap="queue")
        for n in range(3):
            await calendar.sweep(NOON + n * HOUR)
        holding = Holding(calendar.database, uuid7(), 60)
        (first,) = await holding.take(10, [])
        assert await holding.take(10, [first.id]) == []
        await holding.end(first, result="done")
        (second,) = await holding.take(10, [])
        assert second.id > first.id
        # One that waits for its next attempt keeps its place.
        await holding.again(second, 3600, ("llm_failed", "no"))
        assert await holding.take(10, []) == []

    on_calendar(test)


def test_overlap_replace_cancels_the_earlier(on_calendar):
    async def test(calendar):
        made = await calendar.make(overlap="replace")
        (first,) = (await calendar.sweep(NOON)).fired
        (held,) = await Holding(calendar.database, owner := uuid7(), 60).take(1, [])
        (second,) = (await calendar.sweep(NOON + HOUR)).fired
        assert second.replaced == (first.directive_id,)
        gone = await directives.directive(calendar.database, first.directive_id)
        assert gone.state == "cancelled"
        assert not await Holding(calendar.database, owner, 60).end(held, result="late")
        assert [outcome for _, outcome in await calendar.ticks(made)] == ["fired", "fired"]

    on_calendar(test)


def test_what_passed_while_no_server_ran_is_recorded_as_missed_and_not_made_up(on_calendar):
    async def test(calendar):
        made = await calendar.make()
        await calendar.sweep(NOON + 3 * HOUR + 30 * MINUTE)
        assert await calendar.ticks(made) == [(NOON + n * HOUR, "missed") for n in range(4)]
        assert await calendar.value("select count(*) from directives") == 0
        assert (await rows.schedule(calendar.database, made.id)).next_run_at == NOON + 4 * HOUR
        detail = await calendar.value("select detail from audit_log where action = 'schedule:tick:missed'")
        assert detail["count"] == 4

    on_calendar(test)


def test_catching_up(on_calendar):
    async def test(calendar):
        last = await calendar.make("last", catch_up="last")
        every = await calendar.make("all", catch_up="all", overlap="queue", catch_up_seconds=2 * 3600)
        await calendar.sweep(NOON + 3 * HOUR + 30 * MINUTE)
        assert [outcome for _, outcome in await calendar.ticks(last)] == ["missed"] * 3 + ["fired"]
        assert [outcome for _, outcome in await calendar.ticks(every)] == ["missed"] * 2 + ["fired"] * 2

    on_calendar(test)


def test_a_budget_that_refuses_shows_on_the_tick(on_calendar):
    async def test(calendar):
        made = await calendar.make()
        await calendar.sweep(NOON)
        await calendar.finish_all(failure=("budget_exceeded", "no money"))
        assert await calendar.ticks(made) == [(NOON, "refused_budget")]
        assert (
            await calendar.value(
                "select count(*) from audit_log where action = 'schedule:tick:refused-budget'"
            )
            == 1
        )

    on_calendar(test)


def test_by_hand_besides_and_by_the_same_rules(on_calendar):
    async def test(calendar):
        made = await calendar.make()
        await rows.pause(calendar.database, made.id)
        fired = await ticking.run_now(calendar.database, made.id, NOON)
        assert fired.outcome == "fired" and fired.directive_id
        assert (await ticking.run_now(calendar.database, made.id, NOON + MINUTE)).outcome == "skipped_overlap"
        actions = await calendar.database.fetch_all("select distinct action from audit_log")
        assert {Action(row["action"]) for row in actions} == {
            Action.OPERATOR_SCHEDULE_CREATED,
            Action.OPERATOR_SCHEDULE_PAUSED,
            Action.SCHEDULE_DIRECTIVE_CREATED,
            Action.TICK_FIRED,
            Action.TICK_SKIPPED_OVERLAP,
        }
        (second, first) = await rows.ticks(calendar.database, made.id, None, 10)
        assert first.by_hand and second.by_hand and first.directive_state == "queued"
        assert (await rows.schedule(calendar.database, made.id)).next_run_at is None
        assert await ticking.run_now(calendar.database, uuid7(), NOON) is None

    on_calendar(test)


def test_paused_nothing_is_due_and_nothing_is_missed(on_calendar):
    async def test(calendar):
        made = await calendar.make()
        assert (await rows.pause(calendar.database, made.id)).paused
        assert (await calendar.sweep(NOON + 5 * HOUR)).fired == ()
        resumed = await rows.resume(calendar.database, made.id, NOON + 5 * HOUR)
        assert resumed.next_run_at == NOON + 6 * HOUR and not resumed.paused
        assert await calendar.ticks(made) == []

    on_calendar(test)


def test_one_that_cannot_be_seen_to_stops_no_other(on_calendar, caplog):
    async def test(calendar):
        broken, odd, good = [await calendar.make(name) for name in ("broken", "odd", "good")]
        await calendar.database.execute("update schedules set cron = 'not cron' where name = 'broken'")
        await calendar.database.execute(
            """update schedules set retry = '{"surprise": 1}' where name = 'odd'"""
        )
        done = await calendar.sweep(NOON)
        assert len(done.fired) == 1 and done.failures == 1
        assert await calendar.ticks(good) == [(NOON, "fired")]
        row = await rows.schedule(calendar.database, broken.id)
        assert row.next_run_at is None and "cron" in row.failure
        mended = await rows.change(
            calendar.database, broken.id, Rule("broken", "0 * * * *", "UTC", HELLO, "text"), NOON
        )
        assert mended.failure is None and mended.next_run_at == NOON + HOUR
        assert odd.id

    on_calendar(test)


def test_changing_the_text_does_not_move_the_time_but_changing_the_times_does(on_calendar):
    async def test(calendar):
        made = await calendar.make(now=NOON - 10 * HOUR)  # due at 02:00, and nobody has looked since
        changed = await rows.change(
            calendar.database, made.id, Rule("other", "0 * * * *", "UTC", HELLO, "b"), NOON
        )
        assert (changed.rule.name, changed.next_run_at) == ("other", made.next_run_at)
        rule = Rule("other", "30 * * * *", "Asia/Kolkata", HELLO, "b")
        assert (await rows.change(calendar.database, made.id, rule, NOON)).next_run_at == NOON + HOUR

    on_calendar(test)


def test_names_are_unique_and_rules_are_checked(on_calendar):
    async def test(calendar):
        made = await calendar.make("a")
        other = await calendar.make("b")
        with pytest.raises(Conflict):
            await calendar.make("a")
        with pytest.raises(Conflict):
            await rows.change(calendar.database, other.id, made.rule, NOON)
        with pytest.raises(InvalidFields):
            await calendar.make("c", "61 * * * *")
        await rows.delete(calendar.database, made.id)
        with pytest.raises(NotFound):
            await rows.delete(calendar.database, made.id)
        with pytest.raises(NotFound):
            await rows.change(calendar.database, made.id, made.rule, NOON)

    on_calendar(test)
