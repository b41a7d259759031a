"""A real Postgres for every test that wants one: one server a session, a fresh database a test."""

import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import trio

from hivemind.persistence import Database, EmbeddedPostgres

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres():
    """Conninfo of a server with a superuser; HIVEMIND_TEST_DATABASE_URL names one that runs already."""
    if url := os.environ.get("HIVEMIND_TEST_DATABASE_URL"):
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="hivemind-test-"))
    folder.chmod(0o755)  # the account that root runs Postgres as has to enter it
    server = EmbeddedPostgres(folder / "postgres")
    trio.run(server.start, lambda _: None)
    yield server.conninfo
    trio.run(server.stop)
    shutil.rmtree(folder)


@pytest.fixture
def database_url(postgres):
    """Conninfo of a database of the test's own, empty and dropped afterwards."""
    from psycopg.conninfo import make_conninfo

    name = f"test_{os.getpid()}_{next(_numbers)}"

    async def run(sql):
        async with Database(postgres, size=1) as database:
            await database.execute(sql)

    trio.run(run, f"create database {name} template template0 strategy file_copy")
    yield make_conninfo(postgres, dbname=name)
    trio.run(run, f"drop database {name} with (force)")
