"""The database as the rest of Hivemind sees it: statements, transactions, and one error when it is away.

A small pool that waits for Postgres up to a deadline instead of failing at once. SQL errors of Postgres
other than "it is not there" pass through as they are: they are defects of ours.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

import psycopg
import trio

from hivemind.errors import ConfigError, DatabaseUnavailable
from hivemind.persistence.connection import Connection, Params
from hivemind.persistence.dial import complete
from hivemind.persistence.places import Places
from hivemind.persistence.statements import Row

T = TypeVar("T")

FIRST_RETRY_SECONDS = 0.02
LAST_RETRY_SECONDS = 0.25

_LOST_CLASSES = ("08", "57P")
_READ_ONLY = "25006"
"""What a primary says that has been demoted under us: the next connection finds the new one."""


class Transaction:
    """Statements that take effect together, when the block that gave this out ends without an exception."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        """Run a statement and return its first row."""
        return _first(await self._connection.fetch(sql, params))

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        """Run a statement and return its rows."""
        return await self._connection.fetch(sql, params)

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run a statement and return how many rows it touched."""
        return await self._connection.touch(sql, params)


class Database:
    """A pool of at most `size` connections, each used by one task at a time and idle when not in use.

    Nothing is opened before the first statement. `prepare_threshold` is how often a connection runs a
    statement before it prepares it; None (never) is for a pooler in transaction mode.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        size: int = 8,
        wait_seconds: float = 10.0,
        prepare_threshold: int | None = 5,
        max_age_seconds: float = 3600.0,
    ) -> None:
        try:
            self._conninfo = complete(conninfo, wait_seconds=wait_seconds)
        except psycopg.ProgrammingError as error:
            raise ConfigError(
                f"the database URL cannot be read: {str(error).strip()}",
                remedy="write it as postgresql://user:password@host:5432/database",
            ) from error
        self._size = size
        self._wait_seconds = wait_seconds
        self._prepare_threshold = prepare_threshold
        self._max_age_seconds = max_age_seconds
        self._places = Places(size, wait_seconds)
        self._idle: list[Connection] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def facts(self) -> dict[str, int]:
        """How many connections are in use, and how many tasks wait for one."""
        return {"in_use": self._size - self._places.free, "waiting": self._places.waiting}

    def close(self) -> None:
        """Close what is idle now and what is in use when it comes back."""
        self._closed = True
        while self._idle:
            _discard(self._idle.pop())

    async def fetch_one(self, sql: str, params: Params = (), *, repeatable: bool = False) -> Row | None:
        """Run a statement of its own and return its first row.

        A repeatable statement does no harm when it runs twice: it is tried again where the connection was
        lost under it and nobody can know whether it took effect.
        """
        return _first(await self._run(sql, params, repeatable, Connection.fetch))

    async def fetch_all(self, sql: str, params: Params = (), *, repeatable: bool = False) -> list[Row]:
        """Run a statement of its own and return its rows."""
        return await self._run(sql, params, repeatable, Connection.fetch)

    async def execute(self, sql: str, params: Params = (), *, repeatable: bool = False) -> int:
        """Run a statement of its own and return how many rows it touched."""
        return await self._run(sql, params, repeatable, Connection.touch)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Give out one transaction; leaving the block without an exception means that it is committed."""
        connection = await self._acquire(trio.current_time() + self._wait_seconds)
        try:
            async with connection.transaction():
                yield Transaction(connection)
        except psycopg.OperationalError as error:
            if is_lost(error, connection):
                raise self._unavailable("the connection was lost", error) from error
            raise
        finally:
            self._release(connection)

    async def ping(self, *, timeout_seconds: float = 1.0) -> float:
        """Return the seconds that a round trip takes now."""
        began = time.perf_counter()
        with trio.move_on_after(timeout_seconds) as scope:
            await self.fetch_one("select 1")
        if scope.cancelled_caught:
            raise DatabaseUnavailable(f"the database did not answer within {timeout_seconds:g} s")
        return time.perf_counter() - began

    async def server_version(self) -> int:
        """Return the version of Postgres as it counts itself: 170010 is 17.10."""
        row = await self.fetch_one(
            "select current_setting('server_version_num')::int as version", repeatable=True
        )
        assert row is not None
        version: int = row["version"]
        return version

    async def _run(
        self,
        sql: str,
        params: Params,
        repeatable: bool,
        run: Callable[[Connection, str, Params], Awaitable[T]],
    ) -> T:
        deadline = trio.current_time() + self._wait_seconds
        while True:
            connection = await self._acquire(deadline)
            try:
                return await run(connection, sql, params)
            except psycopg.OperationalError as error:
                if not is_lost(error, connection):
                    raise
                if not repeatable or trio.current_time() >= deadline:
                    raise self._unavailable("the connection was lost", error) from error
            finally:
                self._release(connection)

    async def _acquire(self, deadline: float) -> Connection:
        if self._closed:
            raise DatabaseUnavailable("the database has been closed")
        if not await self._places.take():
            raise DatabaseUnavailable(
                f"none of {self._size} database connections became free in {self._wait_seconds:g} s",
                retry_after_seconds=self._wait_seconds,
            )
        try:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_fresh(self._max_age_seconds):
                    return connection
                _discard(connection)
            return await self._open(deadline)
        except BaseException:
            self._places.give_back()
            raise

    async def _open(self, deadline: float) -> Connection:
        """Connect, and try again until the deadline while Postgres is not there."""
        delay = FIRST_RETRY_SECONDS
        last: psycopg.Error | None = None
        while True:
            with trio.move_on_at(deadline):
                try:
                    return await Connection.open(self._conninfo, prepare_threshold=self._prepare_threshold)
                except psycopg.OperationalError as error:
                    last = error
            if trio.current_time() + delay >= deadline:
                raise self._unavailable("the database cannot be reached", last) from last
            await trio.sleep(delay)
            delay = min(delay * 1.5, LAST_RETRY_SECONDS)

    def _release(self, connection: Connection) -> None:
        # In a transaction still, or busy: the server rolls back when the connection goes.
        if connection.is_idle and not self._closed:
            self._idle.append(connection)
        else:
            _discard(connection)
        self._places.give_back()

    def _unavailable(self, what: str, error: psycopg.Error | None) -> DatabaseUnavailable:
        because = " ".join(str(error).split()) if error else f"no answer within {self._wait_seconds:g} s"
        return DatabaseUnavailable(
            f"{what}: {because}",
            remedy="see that Postgres runs and that the database URL is right",
            retry_after_seconds=self._wait_seconds,
        )


def is_lost(error: psycopg.Error, connection: Connection) -> bool:
    """Tell whether an error means that the server is away; closes a connection that is of no more use."""
    state = error.sqlstate or ""
    if state == _READ_ONLY or state.startswith(_LOST_CLASSES):
        _discard(connection)
    return connection.closed


def _first(rows: list[Row]) -> Row | None:
    return rows[0] if rows else None


def _discard(connection: Connection) -> None:
    connection.pgconn.finish()
