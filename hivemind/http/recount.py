"""Counts again what counted in the limits before this process began, from rows that are there anyway.

Nothing is written for the limits: an admitted message is a turn, one that a gate refused is in the audit log.
So a restart, however it came, gives nobody a fresh minute or day.
"""

import time
from uuid import UUID

import trio

from hivemind.http.limits import DAY_SECONDS, MINUTE_SECONDS, Counted, Limiter
from hivemind.persistence import Database, load_queries

# How far the clock that numbers the turns may be from the database's: rows are chosen by id, counted by time.
_CLOCKS_APART_SECONDS = 3600.0
_QUERIES = load_queries("hivemind.http", "recount.sql")


async def recount(database: Database, limiter: Limiter) -> None:
    """Let the limiter begin.

    Raises:
        DatabaseUnavailable: it is not known what counted, so the limiter refuses on.
    """
    minute = await database.fetch_all(
        _QUERIES["minute"], {"first": _first_id(MINUTE_SECONDS)}, repeatable=True
    )
    day = await database.fetch_all(_QUERIES["day"], {"first": _first_id(DAY_SECONDS)}, repeatable=True)
    limiter.begin(
        [Counted(**row) for row in minute],
        [(row["minutes_ago"], row["count"]) for row in day],
        trio.current_time(),
    )


def _first_id(age_seconds: float) -> UUID:
    """The least UUIDv7 of so long ago."""
    milliseconds = int((time.time() - age_seconds - _CLOCKS_APART_SECONDS) * 1000)
    return UUID(int=milliseconds << 80)
