"""A statement with parameters means the same the first time, prepared, and when a table changed under it."""

from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
import trio
from psycopg import errors

from hivemind.persistence import Jsonb, statements
from hivemind.persistence.connection import Connection
from hivemind.persistence.dial import complete


@pytest.fixture
def run(database_url):
    def runner(function, **options):
        async def main():
            connection = await Connection.open(complete(database_url, wait_seconds=5), **options)
            try:
                with trio.fail_after(30):
                    await function(connection)
                    assert connection.is_idle
            finally:
                await connection.close()

        trio.run(main)

    return runner


async def prepared(connection):
    return (await connection.fetch("select count(*) as n from pg_prepared_statements", ()))[0]["n"]


def test_values_go_and_come_as_psycopg_adapts_them(run):
    values = (1, 70_000, 1 << 40, 0.5, True, None, "ü % '", b"\0", uuid4(), datetime.now(UTC), ["a", "b"])
    sql = (
        "select %s as a, %s as b, %s as c, %s as d, %s as e, %s as f, %s as g, %s as h, %s as i, %s as j,"
        " %s::text[] as k, %s as l, 100 %% 7 as m"
    )

    async def main(connection):
        by_cursor = await connection.execute(sql, (*values, Jsonb({"x": [1]})))
        expected = await by_cursor.fetchone()
        for _ in range(8):
            assert await connection.fetch(sql, (*values, Jsonb({"x": [1]}))) == [expected]
        assert expected["l"] == {"x": [1]} and expected["m"] == 2
        assert await prepared(connection) == 1

    run(main)


def test_what_is_prepared_goes_by_the_types_of_the_parameters(run):
    async def main(connection):
        for value in (1, 1 << 20, 1 << 40, "7", None) * 7:
            assert await connection.fetch("select %s::bigint as v", (value,)) == [
                {"v": value if value is None else int(value)}
            ]
        # int2, int4, int8; text and null are left to Postgres, in one statement
        assert await prepared(connection) == 4

    run(main)


def test_rows_that_are_touched_are_counted(run):
    async def main(connection):
        await connection.execute("create temp table t (id int)")
        assert await connection.touch("insert into t select generate_series(1, %s)", (5,)) == 5
        assert await connection.touch("update t set id = id where id > %s", (2,)) == 3
        assert await connection.fetch("update t set id = id where id > %s", (2,)) == []

    run(main)


def test_a_table_that_changed_is_an_error_once(run):
    async def main(connection):
        await connection.execute("create temp table t (id int)")
        for _ in range(8):
            await connection.fetch("select * from t where %s", (True,))
        await connection.execute("alter table t add more text default 'x'")
        await connection.execute("insert into t values (1)")
        with pytest.raises(errors.FeatureNotSupported):
            await connection.fetch("select * from t where %s", (True,))
        assert await connection.fetch("select * from t where %s", (True,)) == [{"id": 1, "more": "x"}]

    run(main)


def test_what_cannot_be_sent_is_said_and_harms_nothing(run):
    async def main(connection):
        for params in ((1,), (1, 2, 3)):
            with pytest.raises(psycopg.ProgrammingError, match=f"{len(params)} parameters"):
                await connection.fetch("select %s, %s", params)
        with pytest.raises(psycopg.DataError, match="NUL"):
            await connection.fetch("select %s", ("a\0b",))
        with pytest.raises(errors.DivisionByZero):
            await connection.fetch("select 1 / %s", (0,))
        assert await connection.fetch("select %s as n", (1,)) == [{"n": 1}]

    run(main)


def test_statements_made_up_anew_each_time_are_not_kept(run, monkeypatch):
    monkeypatch.setattr(statements, "MAX_PREPARED", 3)
    monkeypatch.setattr(statements, "MAX_SEEN", 5)

    async def main(connection):
        for number in range(20):
            for _ in range(3):
                assert await connection.fetch(f"select {number} + %s as n", (1,)) == [{"n": number + 1}]
        assert await prepared(connection) == 3
        kept = connection._statements
        assert len(kept._numbered) <= 5 and len(kept._seen) <= 5

    run(main, prepare_threshold=1)
