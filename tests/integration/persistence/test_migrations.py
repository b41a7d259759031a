"""Migrations against a real Postgres: whole or not at all, once each, by however many servers start."""

import psycopg
import pytest
import trio

from hivemind.errors import MigrationRefused
from hivemind.persistence import Database, migrate


@pytest.fixture
def run(database_url):
    def runner(function):
        async def main():
            async with Database(database_url, wait_seconds=5) as database:
                with trio.fail_after(60):
                    return await function(database)

        return trio.run(main)

    return runner


def write(folder, **files):
    for name, sql in files.items():
        (folder / f"{name[1:]}.sql").write_text(sql)


def test_a_database_is_brought_up_and_then_left_alone(run, tmp_path):
    write(
        tmp_path,
        _0001_pre_a="create table a (id int); create function f() returns int language sql as $$ select 1; $$;",
        _0002_post_b="-- no transaction\ncreate index concurrently if not exists a_id on a (id)",
    )
    seen = []

    async def main(database):
        assert await migrate(database, folder=tmp_path, through="pre") == ["0001_pre_a"]
        assert await migrate(database, folder=tmp_path, report=seen.append) == ["0002_post_b"]
        assert await migrate(database, folder=tmp_path) == []
        rows = await database.fetch_all(
            "select name, length(sha256) as n from schema_migrations order by version"
        )
        assert [(row["name"], row["n"]) for row in rows] == [("0001_pre_a", 64), ("0002_post_b", 64)]

    run(main)
    assert seen == ["applying 0002_post_b outside a transaction"]


def test_a_failing_file_leaves_nothing_and_those_before_it_stay(run, tmp_path):
    write(tmp_path, _0001_pre_a="create table a (id int)", _0002_pre_b="create table b (id int); select 1/0")

    async def main(database):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await migrate(database, folder=tmp_path)
        found = await database.fetch_one(
            "select to_regclass('a') is not null as a, to_regclass('b') is not null as b"
        )
        assert found == {"a": True, "b": False}
        write(tmp_path, _0002_pre_b="create table b (id int)")
        assert await migrate(database, folder=tmp_path) == ["0002_pre_b"]

    run(main)


def test_an_edited_file_is_refused(run, tmp_path):
    write(tmp_path, _0001_pre_a="create table a (id int)")

    async def main(database):
        await migrate(database, folder=tmp_path)
        write(tmp_path, _0001_pre_a="create table a (id bigint)")
        with pytest.raises(MigrationRefused, match="edited"):
            await migrate(database, folder=tmp_path)

    run(main)


def test_six_servers_that_start_together_apply_each_file_once(run, tmp_path, database_url):
    for number in range(1, 13):
        (tmp_path / f"{number:04}_pre_t.sql").write_text(f"create table t{number} (id int)")
    applied = []

    async def one():
        async with Database(database_url, size=1, wait_seconds=30) as database:
            applied.extend(await migrate(database, folder=tmp_path))

    async def main(_):
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(one)

    run(main)
    assert sorted(applied) == [f"{number:04}_pre_t" for number in range(1, 13)]


def test_the_schema_of_this_release_applies(run):
    async def main(database):
        assert (await migrate(database))[0].startswith("0001_pre_")
        assert await migrate(database) == []

    run(main)
