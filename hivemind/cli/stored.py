"""What is stored, for commands that ask the database itself: with a running server or without one."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import click

from hivemind.guards.replay import Stored
from hivemind.persistence import Database, EmbeddedPostgres, conninfo_in_use
from hivemind.settings import Settings

PAGE = 1_000
_NEXT = """
select m.id, m.role, m.text, p.injection_threshold
from messages m join turns t on t.id = m.turn_id join agent_profiles p on p.id = t.profile_id
where m.id > %s and m.created_at >= now() - make_interval(secs => %s)
order by m.id limit %s
"""
# Those that were refused are in the audit log only, as the guards left them.
_NEXT_REFUSED = """
select a.id, 'user' as role, a.text, p.injection_threshold
from audit_log a join agent_profiles p on p.id = a.profile_id
where a.action = 'chat:turn:refused' and a.text is not null
  and a.id > %s and a.at >= now() - make_interval(secs => %s)
order by a.id limit %s
"""


@asynccontextmanager
async def located(settings: Settings) -> AsyncGenerator[str, None]:
    """How to connect to the database of the settings. An embedded one that no server uses runs meanwhile."""
    async with AsyncExitStack() as stack:
        folder = settings.data.folder.resolve() / "postgres"
        if settings.database.url is not None:
            conninfo = settings.database.url.get_secret_value()
        elif (in_use := conninfo_in_use(folder)) is not None:
            conninfo = in_use
        else:
            embedded = EmbeddedPostgres(folder)
            await embedded.start(lambda line: click.echo(line, err=True))
            stack.push_async_callback(embedded.stop)
            conninfo = embedded.conninfo
        yield conninfo


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Database, None]:
    """The database of the settings, as `located` finds it."""
    async with (
        located(settings) as conninfo,
        Database(conninfo, size=1, wait_seconds=settings.database.wait_seconds) as database,
    ):
        yield database


async def messages(settings: Settings, age: timedelta) -> list[Stored]:
    """The messages that are not older than `age`."""
    async with opened(settings) as database:
        return await read(database, age)


async def read(database: Database, age: timedelta) -> list[Stored]:
    """What was said, then what was refused: a page at a time, so that no statement holds the database up."""
    found: list[Stored] = []
    for query, mark in ((_NEXT, ""), (_NEXT_REFUSED, "audit ")):
        last = 0
        while rows := await database.fetch_all(query, (last, age.total_seconds(), PAGE), repeatable=True):
            found += [
                Stored(f"{mark}{row['id']}", row["role"], row["text"], row["injection_threshold"])
                for row in rows
            ]
            last = rows[-1]["id"]
    return found
