"""One psycopg connection that waits in trio.

psycopg's protocol code is generators that say what they wait for; this module waits for them, and holds
what trio's cancellation asks of a connection: no query is left in flight, and COMMIT and ROLLBACK run to
their end. Pooling, deadlines and the error that callers see are in `database`.

Beyond psycopg's public interface it uses the method `wait`, the attribute `lock`, the values of `Wait` and
`Ready` and `errors._WaitTimeout`: hence the upper bound on psycopg, and a contract test.
"""

import select
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import orjson
import psycopg
import trio
from psycopg import errors, pq
from psycopg.abc import PQGen
from psycopg.rows import dict_row
from psycopg.types.json import JsonbDumper, set_json_dumps, set_json_loads
from psycopg.waiting import Ready, Wait

from hivemind.persistence.dial import dial
from hivemind.persistence.statements import Row, Statements

T = TypeVar("T")

Params = Sequence[object] | Mapping[str, object]

CLEANUP_SECONDS = 5.0
"""How long a cancelled task may go on to leave its connection in a known state."""

FIRST_PATIENCE_SECONDS = 0.05
"""How long an answer is waited for before the query is cancelled again."""

BUSY_SECONDS = 0.005
"""How long one connection is served without giving way to other tasks."""

_WAIT_READ, _WAIT_WRITE = int(Wait.R), int(Wait.W)
_READY_READ, _READY_WRITE = int(Ready.R), int(Ready.W)
_ACTIVE, _IDLE = pq.TransactionStatus.ACTIVE, pq.TransactionStatus.IDLE


class Lock:
    """At most one task is inside; entering is a checkpoint only when another one is.

    psycopg takes its lock in clean-up code, where every checkpoint of a cancelled scope raises again.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def __aenter__(self) -> None:
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


class Connection(psycopg.AsyncConnection[Row]):
    """A connection with no query in flight whenever no task is inside one of its methods.

    It is in autocommit mode, in UTC, and gives rows as dicts.
    """

    def __init__(self, pgconn: pq.abc.PGconn, row_factory: Any = dict_row) -> None:
        super().__init__(pgconn, row_factory)
        self.lock = Lock()  # type: ignore[assignment]
        self.opened_at_seconds = time.monotonic()
        self._poll = select.poll()
        self._poll.register(pgconn.socket, select.POLLIN | select.POLLOUT)
        self.adapters.register_dumper(dict, JsonbDumper)
        set_json_loads(orjson.loads, self)
        set_json_dumps(orjson.dumps, self)
        self.prepare_threshold = None  # psycopg's own would throw away what ours has prepared
        self._statements = Statements(self, None)

    @classmethod
    async def open(cls, conninfo: str, *, prepare_threshold: int | None = 5) -> Self:
        """Connect; `conninfo` is complete (see `dial`)."""
        pgconn = await dial(conninfo)
        self = cls(pgconn)
        self._statements = Statements(self, prepare_threshold)
        try:
            await self.set_autocommit(True)
            if pgconn.parameter_status(b"TimeZone") != b"UTC":
                await self.execute("set time zone 'UTC'")
        except BaseException:
            await self.close()
            raise
        return self

    async def fetch(self, sql: str, params: Params) -> list[Row]:
        """Run a statement and return its rows."""
        if not params or isinstance(params, Mapping):
            return await (await self.execute(sql, params or None)).fetchall()
        statements = self._statements
        return statements.rows(await self.wait(statements.ask(sql, params)))

    async def touch(self, sql: str, params: Params) -> int:
        """Run a statement and return how many rows it touched."""
        if not params or isinstance(params, Mapping):
            return (await self.execute(sql, params or None)).rowcount
        result = await self.wait(self._statements.ask(sql, params))
        return result.command_tuples or 0

    def is_fresh(self, max_age_seconds: float) -> bool:
        """Tell whether an idle connection can be trusted.

        One that is readable while idle has been told something: nearly always good-bye.
        """
        if self.closed or time.monotonic() - self.opened_at_seconds > max_age_seconds:
            return False
        return self._ready() & _READY_READ == 0

    @property
    def is_idle(self) -> bool:
        """Open, outside a transaction and with nothing in flight."""
        return self.pgconn.transaction_status == _IDLE

    @asynccontextmanager
    async def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> AsyncIterator[psycopg.AsyncTransaction]:
        """Commit at the end, roll back on any exception; neither is ever cut short by a cancellation.

        Leaving the block without an exception means that Postgres committed. psycopg alone would also
        leave it quietly when the connection is gone or when the block swallowed an SQL error.
        """
        block = psycopg.AsyncTransaction(self, savepoint_name, force_rollback)
        await block.__aenter__()
        try:
            yield block
            self._refuse_swallowed_error()
        except BaseException as error:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS) as cleanup:
                done = await block.__aexit__(type(error), error, error.__traceback__)
            if cleanup.cancelled_caught:
                self.pgconn.finish()
            elif done:
                return
            raise
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS) as cleanup:
            if self.closed:
                raise errors.OperationalError("the connection was lost before COMMIT")
            await block.__aexit__(None, None, None)
        if cleanup.cancelled_caught:
            self.pgconn.finish()
            raise errors.OperationalError(f"COMMIT was not answered within {CLEANUP_SECONDS:g} s")

    async def wait(self, gen: PQGen[T], interval: float = 0.0, timeout: float | None = None) -> T:
        """Run a psycopg generator to its end; when cancelled, cancel its query on the server too."""
        del interval  # psycopg polls for Ctrl-C with it; trio needs no poll
        try:
            if timeout is None:
                return await self._drive(gen)
            with trio.move_on_after(max(timeout, 0.0)):
                return await self._drive(gen)
            raise errors._WaitTimeout("wait timeout expired")  # noqa: SLF001
        except (trio.Cancelled, KeyboardInterrupt, SystemExit):
            if self.pgconn.transaction_status == _ACTIVE:
                await self._abort(gen)
            raise

    async def cancel_safe(self, *, timeout: float = CLEANUP_SECONDS) -> None:
        """Ask the server to cancel the query in flight, over a second connection of the same kind."""
        if self.closed:
            return
        request = self.pgconn.cancel_conn()
        request.start()
        with trio.fail_after(timeout):
            while (status := request.poll()) != pq.PollingStatus.OK:
                if status == pq.PollingStatus.READING:
                    await trio.lowlevel.wait_readable(request.socket)
                elif status == pq.PollingStatus.WRITING:
                    await trio.lowlevel.wait_writable(request.socket)
                else:
                    raise errors.OperationalError(f"cancellation failed: {request.get_error_message()}")

    def _refuse_swallowed_error(self) -> None:
        if self.pgconn.transaction_status == pq.TransactionStatus.INERROR:
            raise errors.InFailedSqlTransaction("an SQL error was swallowed inside the transaction")

    async def _abort(self, gen: PQGen[Any]) -> None:
        """Read the outcome of the cancelled query; close the connection where that fails."""
        deadline = trio.current_time() + CLEANUP_SECONDS
        with trio.CancelScope(shield=True, deadline=deadline) as cleanup:
            try:
                await self._cancel_until_answered(gen)
            except errors.QueryCanceled:
                pass
            except (psycopg.Error, trio.TooSlowError):
                self.pgconn.finish()
            except BaseException:
                self.pgconn.finish()
                raise
        # A COPY that was cancelled while it began has been answered and is still open.
        in_copy = self.pgconn.transaction_status == _ACTIVE and not self.pgconn.pipeline_status
        if cleanup.cancelled_caught or in_copy:
            self.pgconn.finish()

    async def _cancel_until_answered(self, gen: PQGen[Any]) -> None:
        """Cancel again while no answer comes: a request that overtakes its query cancels nothing."""
        patience = FIRST_PATIENCE_SECONDS
        while True:
            await self.cancel_safe()
            with trio.move_on_after(patience):
                await self._drive(gen)
                return
            patience *= 2

    async def _drive(self, gen: PQGen[T]) -> T:
        busy_since = 0.0
        socket = self.pgconn.socket
        try:
            wanted = int(next(gen))
            while True:
                # A socket is nearly always writable: ask, rather than sleep for it.
                if wanted & _WAIT_WRITE and (ready := self._ready() & wanted):
                    now = time.monotonic()
                    if not busy_since:
                        busy_since = now
                    elif now - busy_since > BUSY_SECONDS:
                        await trio.lowlevel.checkpoint()
                        busy_since = 0.0
                else:
                    ready = await _sleep_until(socket, wanted)
                    busy_since = 0.0
                wanted = int(gen.send(ready))
        except StopIteration as end:
            value: T = end.value
            return value
        except (OSError, trio.ClosedResourceError) as error:
            raise errors.OperationalError("the connection's socket is closed") from error

    def _ready(self) -> int:
        ready = 0
        for _, seen in self._poll.poll(0):
            if seen & (select.POLLIN | select.POLLHUP | select.POLLERR | select.POLLNVAL):
                ready |= _READY_READ
            if seen & (select.POLLOUT | select.POLLERR):
                ready |= _READY_WRITE
        return ready


async def _sleep_until(socket: int, wanted: int) -> int:
    if wanted == _WAIT_READ:
        await trio.lowlevel.wait_readable(socket)
        return _READY_READ
    if wanted == _WAIT_WRITE:
        await trio.lowlevel.wait_writable(socket)
        return _READY_WRITE
    ready = 0
    async with trio.open_nursery() as nursery:

        async def one(wait: Callable[[int], Awaitable[None]], bit: int) -> None:
            nonlocal ready
            await wait(socket)
            ready |= bit
            nursery.cancel_scope.cancel()

        nursery.start_soon(one, trio.lowlevel.wait_readable, _READY_READ)
        nursery.start_soon(one, trio.lowlevel.wait_writable, _READY_WRITE)
    return ready
