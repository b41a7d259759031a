"""Which turns this process works on, told to the database every few seconds.

So what they hold is not given back while a step takes its time, and no other server takes them up. A process
that has died says nothing more; after `KEPT_SECONDS` its turns are anybody's.
"""

import logging
from typing import Never

import trio

from hivemind.agents.journal import KEPT_SECONDS
from hivemind.agents.turn import Resources
from hivemind.errors import DatabaseUnavailable
from hivemind.persistence import load_queries

log = logging.getLogger("hivemind.agents")

EVERY_SECONDS = KEPT_SECONDS / 3
_QUERIES = load_queries("hivemind.agents", "queries.sql")


async def keep(resources: Resources) -> None:
    """Keep what is in hand at this moment."""
    in_hand = dict(resources.in_hand)
    await resources.database.execute(
        _QUERIES["keep_turns"],
        (resources.server, KEPT_SECONDS, list(in_hand), list(in_hand.values()), resources.lease_seconds),
        repeatable=True,
    )


async def keep_on(resources: Resources) -> Never:
    """Keep for as long as this is not cancelled; a database that is away is tried again."""
    while True:
        try:
            await keep(resources)
        except DatabaseUnavailable as error:
            log.warning("turns are not kept for this server: %s", error)
        await trio.sleep(min(EVERY_SECONDS, resources.lease_seconds / 3))


async def leave(resources: Resources) -> None:
    """Let others take up what is left."""
    await resources.database.execute(_QUERIES["leave_turns"], (resources.server,), repeatable=True)
