"""The schema's history: plain SQL files, applied in order, each in one transaction with its record.

`0007_pre_orders.sql` is safe while the release before still runs; `0008_post_orders.sql` only after it is
gone. `plan` decides what to apply and refuses what does not fit; `migrate` does it, under an advisory lock
that belongs to a transaction: a crash releases it, and a transaction pooler does not break it.

A first line `-- no transaction` is for what Postgres refuses inside one (create index concurrently): one
statement to a file, which must do no harm when it runs twice.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal

from hivemind.errors import ConfigError, MigrationRefused
from hivemind.persistence.database import Database

Stage = Literal["pre", "post"]

OLDEST_POSTGRES = 15
LOCK_KEY = 0x48_49_56_45

_FILENAME = re.compile(r"(\d{4})_(pre|post)_([a-z0-9_]+)\.sql")
_NO_TRANSACTION = re.compile(r"--\s*no transaction\b")

_CREATE = """
create table if not exists schema_migrations (
    version int primary key,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now()
)"""
_SELECT = "select version, name, sha256 from schema_migrations"
_RECORD = "insert into schema_migrations (version, name, sha256) values (%s, %s, %s) on conflict do nothing"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of SQL."""

    version: int
    stage: Stage
    name: str
    sql: str
    sha256: str

    @property
    def in_transaction(self) -> bool:
        """Whether it shares a transaction with its record."""
        return _NO_TRANSACTION.match(self.sql) is None


@dataclass(frozen=True, slots=True)
class Applied:
    """What the database remembers of a migration."""

    name: str
    sha256: str


def shipped() -> Traversable:
    """Return the folder of migrations that belongs to this release.

    It is the top-level `migrations/`; a symbolic link inside the package makes it part of every wheel.
    """
    return files("hivemind").joinpath("migrations")


def load(folder: Traversable) -> list[Migration]:
    """Read a folder of migrations, oldest first."""
    found: dict[int, Migration] = {}
    for file in folder.iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = _FILENAME.fullmatch(file.name)
        if match is None:
            raise ConfigError(f"{file.name} is no name for a migration", remedy="0001_pre_what_it_does.sql")
        version, content = int(match[1]), file.read_bytes()
        if version in found:
            raise ConfigError(f"two migrations have the number {version:04}")
        found[version] = Migration(
            version,
            "pre" if match[2] == "pre" else "post",
            file.name.removesuffix(".sql"),
            content.decode(),
            hashlib.sha256(content).hexdigest(),
        )
    return [found[version] for version in sorted(found)]


def plan(
    migrations: Iterable[Migration], applied: Mapping[int, Applied], *, through: Stage = "post"
) -> list[Migration]:
    """Decide what to apply, in order; refuse a database that does not fit these files.

    Files come in the order of their numbers within a stage, and no `pre` file comes after a `post` file
    with a higher number. `pre` files of a newer release are tolerated: they are what an update leaves
    behind that was rolled back, and by their name this release still runs on them.
    """
    known = {migration.version: migration for migration in migrations}
    for version, record in applied.items():
        migration = known.get(version)
        if migration is None:
            if re.match(r"\d{4}_pre_", record.name):
                continue
            raise MigrationRefused(
                f"the database has the migration {record.name}, which this release does not know",
                remedy="install the newer release again, or restore a backup made by this one",
            )
        if migration.sha256 != record.sha256:
            raise MigrationRefused(
                f"the migration {migration.name} was edited after it was applied",
                remedy="put the file back as it was and write a new migration for the change",
            )
    pending = [known[version] for version in sorted(known.keys() - applied.keys())]
    for migration in pending:
        later = [
            record.name
            for version, record in applied.items()
            if version > migration.version
            and (migration.stage == "pre" or f"_{migration.stage}_" in record.name[:10])
        ]
        if later:
            raise MigrationRefused(
                f"the migration {migration.name} comes too late: {max(later)} was already applied",
                remedy="give it a number after the newest one",
            )
    return [migration for migration in pending if through == "post" or migration.stage == "pre"]


async def migrate(
    database: Database,
    *,
    folder: Traversable | None = None,
    through: Stage = "post",
    report: Callable[[str], None] = lambda _: None,
) -> Sequence[str]:
    """Bring the database to this release and return the names of what was applied.

    Several servers may do this at once: each file is applied by one of them.
    """
    version = await database.server_version()
    if version // 10_000 < OLDEST_POSTGRES:
        raise ConfigError(
            f"Postgres {version // 10_000} is too old: {OLDEST_POSTGRES} is the oldest that works",
            remedy="upgrade the database server",
        )
    migrations = load(folder or shipped())
    done: list[str] = []
    while True:
        async with database.transaction() as transaction:
            await transaction.execute("select pg_advisory_xact_lock(%s)", (LOCK_KEY,))
            await transaction.execute(_CREATE)
            rows = await transaction.fetch_all(_SELECT)
            applied = {row["version"]: Applied(row["name"], row["sha256"]) for row in rows}
            todo = plan(migrations, applied, through=through)
            if not todo:
                return done
            migration = todo[0]
            record = (migration.version, migration.name, migration.sha256)
            if migration.in_transaction:
                report(f"applying {migration.name}")
                await transaction.execute(migration.sql)
                await transaction.execute(_RECORD, record)
        if not migration.in_transaction:
            report(f"applying {migration.name} outside a transaction")
            await database.execute(migration.sql)
            await database.execute(_RECORD, record)
        done.append(migration.name)
