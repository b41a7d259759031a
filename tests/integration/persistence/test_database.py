"""Statements, transactions and cancellation against a real Postgres: nothing half-done is ever handed on."""

import random
import uuid
from datetime import UTC, timedelta

import psycopg
import pytest
import trio

from hivemind.errors import ConfigError, DatabaseUnavailable
from hivemind.persistence import Database, Jsonb, UniqueViolation


@pytest.fixture
def run(database_url):
    """Run an async function with a pool of two connections."""

    def runner(function, **options):
        async def main():
            async with Database(database_url, **{"size": 2, "wait_seconds": 5} | options) as database:
                with trio.fail_after(60):
                    return await function(database)

        return trio.run(main)

    return runner


def test_rows_are_dicts_and_counts_are_counts(run):
    async def main(database):
        await database.execute("create table t (id int primary key, name text)")
        assert await database.execute("insert into t values (%s, %s), (%s, %s)", (1, "a", 2, "b")) == 2
        assert await database.fetch_one("select * from t where id = %(id)s", {"id": 2}) == {
            "id": 2,
            "name": "b",
        }
        assert await database.fetch_one("select * from t where id = 3") is None
        assert [row["id"] for row in await database.fetch_all("select id from t order by id")] == [1, 2]

    run(main)


def test_types_come_back_as_python_means_them(run):
    async def main(database):
        key = uuid.uuid4()
        row = await database.fetch_one(
            "select now() as at, %s::uuid as key, %s::jsonb as map, %s::jsonb as list",
            (key, {"é": 1}, Jsonb([1, "x"])),
        )
        assert row["at"].tzinfo is UTC or row["at"].utcoffset() == timedelta(0)
        assert row["key"] == key
        assert row["map"] == {"é": 1}
        assert row["list"] == [1, "x"]

    run(main)


def test_a_percent_sign_needs_no_escape_without_parameters(run):
    async def main(database):
        assert await database.fetch_one("select 'a' like '%a' as yes") == {"yes": True}

    run(main)


def test_a_server_in_another_time_zone_is_read_in_utc(run, database_url):
    async def main(database):
        await database.execute(
            f"alter database {psycopg.conninfo.conninfo_to_dict(database_url)['dbname']} set timezone = 'Asia/Tokyo'"
        )
        async with Database(database_url) as other:
            assert (await other.fetch_one("show timezone")) == {"TimeZone": "UTC"}

    run(main)


def test_a_transaction_commits_or_rolls_back_whole(run):
    async def main(database):
        await database.execute("create table t (id int)")
        async with database.transaction() as transaction:
            await transaction.execute("insert into t values (1)")
            assert await transaction.fetch_one("select count(*) as n from t") == {"n": 1}
            assert await database.fetch_one("select count(*) as n from t") == {"n": 0}
        with pytest.raises(ZeroDivisionError):
            async with database.transaction() as transaction:
                await transaction.execute("insert into t values (2)")
                raise ZeroDivisionError
        assert await database.fetch_all("select id from t") == [{"id": 1}]

    run(main)


def test_a_swallowed_sql_error_is_not_taken_for_a_commit(run):
    async def main(database):
        await database.execute("create table t (id int primary key)")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            async with database.transaction() as transaction:
                await transaction.execute("insert into t values (1)")
                with pytest.raises(UniqueViolation):
                    await transaction.execute("insert into t values (1)")
        assert await database.fetch_all("select id from t") == []

    run(main)


def test_a_connection_lost_inside_a_transaction_is_not_taken_for_a_commit(run):
    async def main(database):
        await database.execute("create table t (id int)")
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction() as transaction:
                await transaction.execute("insert into t values (1)")
                own = await transaction.fetch_one("select pg_backend_pid() as pid")
                await database.execute("select pg_terminate_backend(%s, 5000)", (own["pid"],))
        assert await database.fetch_all("select id from t") == []

    run(main)


def test_sql_errors_pass_through_and_the_connection_is_kept(run):
    async def main(database):
        pid = await database.fetch_one("select pg_backend_pid() as pid")
        with pytest.raises(psycopg.errors.UndefinedTable):
            await database.fetch_one("select * from nothing")
        assert await database.fetch_one("select pg_backend_pid() as pid") == pid

    run(main)


def test_a_cancelled_query_is_cancelled_on_the_server(run, database_url):
    async def main(database):
        pid = await database.fetch_one("select pg_backend_pid() as pid")
        async with Database(database_url) as watcher:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(database.fetch_one, "select pg_sleep(3600)")
                await _until(
                    watcher,
                    "select count(*) = 1 as yes from pg_stat_activity where query like 'select pg_sleep%'and state = 'active'",
                )
                nursery.cancel_scope.cancel()
            assert await database.fetch_one("select pg_backend_pid() as pid") == pid

    run(main)


def test_a_cancelled_transaction_leaves_nothing(run):
    async def main(database):
        await database.execute("create table t (id int)")
        with trio.CancelScope() as scope:
            async with database.transaction() as transaction:
                await transaction.execute("insert into t values (1)")
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert await database.fetch_all("select id from t") == []

    run(main)


def test_a_cancellation_after_the_last_statement_does_not_cut_the_commit_short(run):
    async def main(database):
        await database.execute("create table t (id int)")
        with trio.CancelScope() as scope:
            async with database.transaction() as transaction:
                await transaction.execute("insert into t values (1)")
                scope.cancel()
        assert await database.fetch_all("select id from t") == [{"id": 1}]

    run(main)


def test_a_storm_of_cancellations_mixes_no_answers(run):
    """A thousand tasks, most cancelled at a random point: each answer is the asker's own, none stays open."""
    dice = random.Random(20261124)
    answered, wrong = 0, []

    async def ask(database, number):
        nonlocal answered
        with trio.move_on_after(dice.choice((0, 0.001, 0.003, 0.01, 0.05, 30))):
            if number % 3:
                row = await database.fetch_one("select %s::int as n, pg_sleep(0.002)", (number,))
            else:
                async with database.transaction() as transaction:
                    row = await transaction.fetch_one(
                        "insert into t values (%s) returning id as n", (number,)
                    )
                    await transaction.fetch_one("select pg_sleep(0.002)")
            if row["n"] == number:
                answered += 1
            else:
                wrong.append((number, row))

    async def main(database):
        await database.execute("create table t (id int primary key)")
        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(ask, database, number)
        assert wrong == []
        assert answered > 100
        states = await database.fetch_all(
            "select state, count(*) as n from pg_stat_activity where datname = current_database()"
            " and pid <> pg_backend_pid() group by state"
        )
        assert {row["state"] for row in states} <= {"idle"}
        assert sum(row["n"] for row in states) <= 3
        async with database.transaction() as one, database.transaction() as two:
            assert await one.fetch_one("select 1 as x") == await two.fetch_one("select 1 as x")

    run(main, size=4)


def test_a_full_pool_is_waited_for_and_then_said_to_be_full(run):
    async def main(database):
        async with database.transaction():
            with pytest.raises(DatabaseUnavailable, match="none of 1 database connections"):
                await database.fetch_one("select 1")
        assert await database.fetch_one("select 1 as one") == {"one": 1}

    run(main, size=1, wait_seconds=0.2)


def test_a_terminated_connection_is_replaced_and_a_repeatable_statement_repeated(run, database_url):
    async def main(database):
        await database.fetch_one("select 1")
        async with Database(database_url) as other:
            await other.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        assert await database.fetch_one("select 1 as one") == {"one": 1}

        # The first run ends its own connection; the sequence remembers that across the two.
        await database.execute("create sequence s")
        suicide = (
            "select case when nextval('s') % 2 = 1 then pg_terminate_backend(pg_backend_pid(), 0) end as gone,"
            " pg_sleep(0.01)"
        )
        assert (await database.fetch_one(suicide, repeatable=True))["gone"] is None
        with pytest.raises(DatabaseUnavailable) as caught:
            await database.fetch_one(suicide)
        assert caught.value.code == "database_unavailable"

    run(main)


def test_without_prepared_statements_nothing_is_prepared(run):
    async def main(database):
        for _ in range(20):
            await database.fetch_one("select %s::int as n", (1,))
        return (await database.fetch_one("select count(*) as n from pg_prepared_statements"))["n"]

    assert run(main, size=1, prepare_threshold=None) == 0
    assert run(main, size=1) == 1


def test_a_large_answer_and_a_large_question_pass(run):
    async def main(database):
        text = "x" * 5_000_000
        assert (await database.fetch_one("select %s::text as text", (text,)))["text"] == text

    run(main)


def test_a_database_that_is_not_there_is_waited_for_until_the_deadline(tmp_path):
    async def main():
        async with Database(f"host={tmp_path} dbname=x", wait_seconds=0.3) as database:
            with pytest.raises(DatabaseUnavailable) as caught:
                await database.fetch_one("select 1")
            assert caught.value.remedy
            with pytest.raises(DatabaseUnavailable):
                await database.ping()

    trio.run(main)


def test_a_silent_host_holds_no_caller_beyond_its_deadline_and_no_other_task_at_all():
    """libpq's blocking connect held the interpreter's lock until `connect_timeout`: the whole server stood."""
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await trio.sleep(0.01)

    async def main():
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        port = listener.socket.getsockname()[1]
        url = f"host=localhost port={port} dbname=x"
        async with listener, Database(url, wait_seconds=0.5) as database, trio.open_nursery() as nursery:
            nursery.start_soon(count_turns)
            with trio.fail_after(30), pytest.raises(DatabaseUnavailable):
                await database.fetch_one("select 1")
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert turns > 5


def test_the_second_of_two_hosts_is_tried(database_url, tmp_path):
    given = psycopg.conninfo.conninfo_to_dict(database_url)
    if not given["host"].startswith("/"):
        pytest.skip("needs a server on a Unix socket")

    async def main():
        both = database_url.replace(given["host"], f"{tmp_path},{given['host']}")
        async with Database(both, wait_seconds=5) as database:
            assert await database.fetch_one("select 1 as one") == {"one": 1}
        silent = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        port = silent.socket.getsockname()[1]
        both = psycopg.conninfo.make_conninfo(
            database_url, host=f"127.0.0.1,{given['host']}", port=f"{port},5432", connect_timeout=1
        )
        async with silent, Database(both, wait_seconds=10) as database:
            assert await database.fetch_one("select 1 as one") == {"one": 1}

    trio.run(main)


def test_a_closed_database_says_so_and_a_bad_url_too(run):
    async def main(database):
        database.close()
        with pytest.raises(DatabaseUnavailable, match="closed"):
            await database.fetch_one("select 1")

    run(main)
    with pytest.raises(ConfigError, match="database URL"):
        Database("postgres//nonsense")


async def _until(database, sql):
    with trio.fail_after(30):
        while not (await database.fetch_one(sql))["yes"]:
            await trio.lowlevel.checkpoint()
