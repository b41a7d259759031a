"""Postgres goes away while writers write: they wait for it, and nothing that was acknowledged is lost."""

import os
import signal

import pytest
import trio

from hivemind.errors import DatabaseUnavailable
from hivemind.persistence import Database, EmbeddedPostgres

WRITERS = 16


async def crash(server):
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    await server.stop()


async def shut_down(server):
    await server.stop()


@pytest.mark.parametrize("end", [crash, shut_down])
def test_no_acknowledged_row_is_lost_over_a_restart(end, folder):
    acknowledged, unavailable = [], []
    ends = trio.Event()

    async def write(database, writer):
        number = 0
        while not ends.is_set():
            number += 1
            key = writer * 1_000_000 + number
            try:
                if writer % 2:
                    await database.execute(
                        "insert into t values (%s) on conflict do nothing", (key,), repeatable=True
                    )
                else:
                    async with database.transaction() as transaction:
                        await transaction.execute("insert into t values (%s)", (key,))
            except DatabaseUnavailable:
                unavailable.append(writer)
            else:
                acknowledged.append(key)

    async def reach(count):
        while len(acknowledged) < count:
            await trio.lowlevel.checkpoint()

    async def main():
        server = EmbeddedPostgres(folder)
        await server.start(lambda _: None)
        try:
            async with Database(server.conninfo, wait_seconds=30) as database:
                await database.execute("create table t (id int primary key)")
                with trio.fail_after(120):
                    async with trio.open_nursery() as nursery:
                        for writer in range(WRITERS):
                            nursery.start_soon(write, database, writer)
                        await reach(500)
                        await end(server)
                        await server.start(lambda _: None)
                        await reach(len(acknowledged) + 500)
                        ends.set()
                stored = {row["id"] for row in await database.fetch_all("select id from t")}
        finally:
            await server.stop()
        assert set(acknowledged) <= stored
        assert len(acknowledged) == len(set(acknowledged))
        # Only those may fail whose connection died under a transaction: the others wait or repeat.
        assert all(writer % 2 == 0 for writer in unavailable)

    trio.run(main)
