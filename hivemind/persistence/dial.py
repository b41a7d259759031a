"""Reaching a Postgres: from connection info to a connection of libpq, without blocking the loop.

libpq's own blocking connect will not do: psycopg holds the interpreter's lock meanwhile, so that a host
that does not answer would stop every task. What is then done with the connection is `connection`'s business.
"""

import math

import trio
from psycopg import errors, pq
from psycopg.conninfo import conninfo_attempts, conninfo_to_dict, make_conninfo

# Resolving a name blocks a thread for as long as a silent name server takes: never trio's own threads.
_resolving = trio.CapacityLimiter(16)


def complete(conninfo: str, *, wait_seconds: float) -> str:
    """Add what a server needs and the owner's URL leaves open: time limits and signs of life."""
    defaults: dict[str, str | int] = {
        "application_name": "hivemind",
        "client_encoding": "utf8",
        "connect_timeout": max(2, math.ceil(wait_seconds)),
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    given = conninfo_to_dict(conninfo)
    return make_conninfo(conninfo, **{name: value for name, value in defaults.items() if name not in given})


async def dial(conninfo: str) -> pq.abc.PGconn:
    """Connect to the first host that answers, each within `connect_timeout`; all of them are in the error."""
    params = conninfo_to_dict(conninfo)
    host = str(params.get("host") or "/")
    if host.startswith("/") and "," not in host:
        attempts = [params]
    else:
        attempts = await trio.to_thread.run_sync(
            conninfo_attempts, params, abandon_on_cancel=True, limiter=_resolving
        )
    failures = []
    for attempt in attempts:
        seconds = float(attempt.get("connect_timeout") or 0) or math.inf
        with trio.move_on_after(seconds):
            try:
                return await _dial_one(make_conninfo("", **attempt))
            except errors.OperationalError as error:
                failures.append(str(error).strip())
                continue
        failures.append(f"no answer from {attempt.get('host')} within {seconds:g} s")
    raise errors.OperationalError("; ".join(failures))


async def _dial_one(conninfo: str) -> pq.abc.PGconn:
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    try:
        await _shake_hands(pgconn)
    except BaseException:
        pgconn.finish()
        raise
    pgconn.nonblocking = 1
    return pgconn


async def _shake_hands(pgconn: pq.abc.PGconn) -> None:
    while pgconn.status != pq.ConnStatus.BAD:
        status = pgconn.connect_poll()
        if status == pq.PollingStatus.OK:
            return
        if status == pq.PollingStatus.READING:
            await trio.lowlevel.wait_readable(pgconn.socket)
        elif status == pq.PollingStatus.WRITING:
            await trio.lowlevel.wait_writable(pgconn.socket)
        else:
            break
    raise errors.OperationalError(pgconn.get_error_message())
