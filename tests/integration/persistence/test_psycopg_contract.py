"""What our connection relies on in psycopg beyond its public interface: fails loudly when that moves."""

import inspect

import psycopg
import pytest
import trio
import trio.testing
from psycopg import errors, pq
from psycopg.waiting import Ready, Wait

from hivemind.persistence.connection import Connection
from hivemind.persistence.dial import complete


@pytest.fixture
def run(database_url):
    def runner(function):
        async def main():
            connection = await Connection.open(complete(database_url, wait_seconds=5))
            try:
                with trio.fail_after(30):
                    await function(connection)
                    assert connection.is_idle
                    cursor = await connection.execute("select 1 as one")
                    assert await cursor.fetchone() == {"one": 1}
            finally:
                await connection.close()

        trio.run(main)

    return runner


def test_the_surface_is_the_one_that_was_studied():
    assert psycopg.__version__.startswith("3.3.")
    assert list(inspect.signature(psycopg.AsyncConnection.wait).parameters) == [
        "self",
        "gen",
        "interval",
        "timeout",
    ]
    assert (Wait.R, Wait.W, Wait.RW) == (1, 2, 3)
    assert (Ready.R, Ready.W, Ready.RW) == (1, 2, 3)
    assert issubclass(errors._WaitTimeout, Exception)
    assert pq.version() >= 170000, "PGcancelConn came with libpq 17"


def test_the_base_class_waits_nowhere_but_in_what_we_override():
    """A new use of asyncio in psycopg's connection would block or break under trio."""
    ours = {"connect", "wait", "cancel_safe", "__init__", "transaction"}
    for name, member in vars(psycopg.AsyncConnection).items():
        function = getattr(member, "__func__", member)
        if inspect.isfunction(function) and name not in ours:
            names = inspect.unwrap(function).__code__.co_names
            assert not {"asyncio", "waiting"} & set(names), name


def test_copy(run):
    async def main(connection):
        await connection.execute("create temp table t (id int)")
        async with connection.cursor() as cursor:
            async with cursor.copy("copy t from stdin") as copy:
                for number in range(20_000):
                    await copy.write_row((number,))
            async with cursor.copy("copy t to stdout") as copy:
                assert len([row async for row in copy.rows()]) == 20_000

    run(main)


def test_pipeline_executemany_stream_and_server_cursor(run):
    async def main(connection):
        await connection.execute("create temp table t (id int)")
        async with connection.pipeline():
            first = await connection.execute("insert into t values (1) returning id")
            await connection.execute("insert into t values (2)")
        assert await first.fetchone() == {"id": 1}
        async with connection.cursor() as cursor:
            await cursor.executemany("insert into t values (%s)", [(n,) for n in range(3, 1001)])
            assert [row["id"] async for row in cursor.stream("select id from t order by id limit 3")] == [
                1,
                2,
                3,
            ]
        async with connection.transaction(), connection.cursor("c") as cursor:
            await cursor.execute("select id from t order by id")
            assert len(await cursor.fetchall()) == 1000

    run(main)


def test_nested_transactions_and_a_wait_with_a_time_limit(run):
    async def main(connection):
        await connection.execute("create temp table t (id int)")
        async with connection.transaction():
            await connection.execute("insert into t values (1)")
            with pytest.raises(ZeroDivisionError):
                async with connection.transaction():
                    await connection.execute("insert into t values (2)")
                    raise ZeroDivisionError
        assert await (await connection.execute("select id from t")).fetchall() == [{"id": 1}]
        assert [n async for n in connection.notifies(timeout=0)] == []

    run(main)


@pytest.mark.parametrize("work", ["pipeline", "statement"])
def test_a_cancelled_piece_of_work_leaves_a_usable_connection(run, work):
    async def main(connection):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def cancel_when_waiting():
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()

                nursery.start_soon(cancel_when_waiting)
                if work == "pipeline":
                    async with connection.pipeline():
                        await connection.execute("select 1")
                        await (await connection.execute("select pg_sleep(3600)")).fetchone()
                else:
                    await connection.execute("select pg_sleep(3600)")
        assert scope.cancelled_caught

    run(main)


def test_a_cancellation_that_overtakes_its_query_is_repeated(run, monkeypatch):
    """Found by cancelling a COPY at once: the request came before the query and cancelled nothing."""
    sent = []
    real = Connection.cancel_safe

    async def first_one_is_lost(self, **options):
        sent.append(1)
        if len(sent) > 1:
            await real(self, **options)

    async def main(connection):
        monkeypatch.setattr(Connection, "cancel_safe", first_one_is_lost)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.execute, "select pg_sleep(3600)")
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert len(sent) > 1

    run(main)


def test_a_copy_cancelled_while_it_begins_ends_its_connection_rather_than_leave_it_open(database_url):
    """Its cancellation is answered with "copy begins", after which nobody would read to its end."""

    async def main():
        connection = await Connection.open(complete(database_url, wait_seconds=5))
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def copy():
                    async with (
                        connection.cursor() as cursor,
                        cursor.copy("copy (select pg_sleep(3600)) to stdout"),
                    ):
                        await trio.sleep_forever()

                nursery.start_soon(copy)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert connection.closed or connection.is_idle

    trio.run(main)
